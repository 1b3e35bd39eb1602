//! Between frames: segments are closed when they are old, asked back from the shards, and unlinked.

use super::Writer;
use crate::Seq;
use crate::embedded::link::Link;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The last number of each front in a segment. Few: one per shard.
pub(super) type LastSeqs = Vec<(Arc<Link>, Seq)>;

/// A segment that is complete and still needed.
pub(super) struct Closed {
    number: u64,
    path: PathBuf,
    first_frame_ms: u64,
    last_seqs: LastSeqs,
}

impl Closed {
    fn is_needed(&self) -> bool {
        self.last_seqs.iter().any(|(link, last)| link.needed_from.load(Ordering::Acquire) <= last.0)
    }
}

impl Writer {
    /// Closes, asks to spill, and unlinks what is due.
    pub(super) fn upkeep(&mut self, now_ms: u64) {
        let options = &self.shared.options;
        if let Some(segment) = &self.active
            && segment.first_frame_ms.is_some_and(|first| now_ms >= first + options.segment_age_ms)
        {
            self.close_active(now_ms);
        }
        let spill_after_ms = self.shared.options.spill_after_ms;
        let due = self.closed.iter().take_while(|closed| now_ms >= closed.first_frame_ms + spill_after_ms);
        if let Some(due) = due.last()
            && self.shared.spill_upto.fetch_max(due.number, Ordering::AcqRel) < due.number
        {
            self.shared.links().iter().for_each(|link| link.wake());
        }
        if let Err(error) = self.unlink_cleared() {
            tracing::warn!(%error, "a journal segment cannot be removed; trying again");
        }
    }

    pub(super) fn close_active(&mut self, now_ms: u64) {
        if let Some(segment) = self.active.take() {
            let first_frame_ms = segment.first_frame_ms.unwrap_or(now_ms);
            self.closed.push_back(Closed {
                number: segment.number,
                path: segment.path().to_owned(),
                first_frame_ms,
                last_seqs: std::mem::take(&mut self.active_last_seqs),
            });
        }
    }

    /// Unlinks closed segments, oldest first, as long as no front needs them. The directory is synced after each, so
    /// that no crash can leave an older segment without a newer one.
    fn unlink_cleared(&mut self) -> io::Result<()> {
        while let Some(oldest) = self.closed.front()
            && !oldest.is_needed()
        {
            match self.shared.options.disk.unlink(&oldest.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.closed.pop_front(),
            };
            self.shared.options.disk.sync_directory(&self.journal)?;
            self.metrics.unlinked_total.inc();
        }
        self.metrics.segments.set(self.closed.len() as i64 + i64::from(self.active.is_some()));
        Ok(())
    }
}
