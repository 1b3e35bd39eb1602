//! Between frames: marks are set, segments are closed when they are old, asked back from the shards, and unlinked.

use super::Writer;
use crate::Seq;
use crate::embedded::arrears::Arrears;
use crate::embedded::health::Part;
use crate::embedded::journal::format::{self, FRAME_HEADER};
use crate::embedded::journal::roll::Roll;
use crate::embedded::journal::segment::{Segment, SegmentError};
use crate::embedded::link::Link;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The last number of each front in a segment. Few: one per shard.
pub(super) type LastSeqs = Vec<(Arc<Link>, Seq)>;

/// A segment that is complete and still needed.
pub(super) struct Closed {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// What it takes on the disk.
    pub(super) bytes: u64,
    /// When the shards are asked to move what they need of it.
    pub(super) spill_at_ms: u64,
    pub(super) last_seqs: LastSeqs,
    /// The last frame in it that has effects.
    pub(super) last_effects: u64,
    /// It holds nothing that was ever confirmed.
    pub(super) is_void: bool,
    /// It is from before this opening, and needed until all of it is in SQLite.
    pub(super) arrears: Option<Arc<Arrears>>,
}

impl Closed {
    fn is_needed(&self, applied: u64) -> bool {
        applied < self.last_effects
            || self.last_seqs.iter().any(|(link, last)| link.needed_from.load(Ordering::Acquire) <= last.0)
            || self.arrears.as_ref().is_some_and(|arrears| arrears.is_pending())
    }
}

impl Writer {
    /// Closes, asks to spill, and unlinks what is due.
    pub(super) fn upkeep(&mut self, now_ms: u64) {
        if self.full
            && !self.shared.arrears.is_pending()
            && self.disk_has(self.shared.options.preallocate_bytes)
        {
            self.has_room();
        }
        if self.shared.health.is_scarce() {
            self.disk_has(0);
        }
        self.keep_spare();
        let age_ms = self.shared.options.segment_age_ms;
        if let Some(segment) = &self.active
            && segment.first_frame_ms.is_some_and(|first| now_ms >= first + age_ms)
            && !self.is_last_room(segment)
        {
            self.close_active(now_ms);
        }
        let due = self.closed.iter().take_while(|closed| now_ms >= closed.spill_at_ms);
        if let Some(due) = due.last()
            && self.shared.spill_upto.fetch_max(due.number, Ordering::AcqRel) < due.number
        {
            self.shared.links().iter().for_each(|link| link.wake());
        }
        if let Err(error) = self.unlink_cleared() {
            self.metrics.removal_failures_total.inc();
            self.say_removal(&error.to_string());
        } else if let Some(error) = self.caretaker.trouble() {
            self.say_removal(&error);
        } else {
            self.removal_ails = false;
            self.shared.health.mend(Part::Removal);
        }
    }

    /// Sees to it that there is a spare, as long as the disk has room for one and for messages.
    fn keep_spare(&mut self) {
        let step = self.shared.options.preallocate_bytes;
        if self.spare.is_there() || self.failing.is_failing() || !self.disk_has(2 * step) {
            return;
        }
        let disk = self.shared.options.disk.clone();
        if let Some((what, error)) = self.spare.make(&*disk, step) {
            tracing::warn!(what, %error, "there is no spare segment for a full disk; trying again until there is");
        }
    }

    /// Whether acknowledgements would have nowhere to go without this segment: it was the spare, the disk is still full, and what they
    /// acknowledge is still there.
    fn is_last_room(&self, segment: &Segment) -> bool {
        segment.is_spare && !self.spare.is_there() && !self.closed.is_empty()
    }

    fn say_removal(&mut self, error: &str) {
        self.removal_ails = true;
        let trouble = format!("segments of the journal that nobody needs cannot be removed ({error})");
        if self.shared.health.ail(Part::Removal, trouble) {
            tracing::warn!(error, "segments of the journal cannot be removed; trying again until they can");
        }
    }

    /// Writes a mark behind the last frame if nothing has followed it for a while, so that it is known to be confirmed.
    pub(super) fn mark(&mut self, now_ms: u64) {
        let mark_after_ms = self.shared.options.mark_after_ms;
        let due =
            self.unmarked_since_ms.is_some_and(|since| now_ms >= since + mark_after_ms || self.stopping);
        if !due || self.active.is_none() || self.failing.is_failing() {
            return;
        }
        self.frame.clear();
        self.frame.resize(FRAME_HEADER, 0);
        format::finish_frame(&mut self.frame, self.next_frame, self.seed);
        match self.write_frame(now_ms, false) {
            Ok(_) => {
                self.metrics.marks_total.inc();
                self.unmarked_since_ms = None;
            }
            Err(SegmentError::Full) => self.unmarked_since_ms = Some(now_ms),
            Err(error) => drop(self.give_up_segment(now_ms, &error)),
        }
    }

    pub(super) fn close_active(&mut self, now_ms: u64) {
        if let Some(segment) = self.active.take() {
            let first_frame_ms = segment.first_frame_ms.unwrap_or(now_ms);
            self.closed.push_back(Closed {
                number: segment.number,
                path: segment.path().to_owned(),
                bytes: segment.allocated(),
                spill_at_ms: first_frame_ms + self.shared.options.spill_after_ms,
                last_seqs: std::mem::take(&mut self.active_last_seqs),
                last_effects: std::mem::take(&mut self.active_last_effects),
                is_void: segment.first_frame_ms.is_none(),
                arrears: None,
            });
        }
    }

    /// Takes closed segments off the roll and has the caretaker remove them: oldest first, as long as no front needs them.
    /// Those that never held anything, which are small, and what he doesn't take are unlinked here. What fails is tried again at
    /// the next tick.
    pub(super) fn unlink_cleared(&mut self) -> io::Result<()> {
        let applied = self.shared.overlay.applied_frame();
        let needed_from = self.closed.iter().position(|closed| closed.is_needed(applied));
        let needed_from = needed_from.unwrap_or(self.closed.len());
        let stays = |at: usize, closed: &Closed| at >= needed_from && !closed.is_void;
        if self.closed.iter().enumerate().any(|(at, closed)| !stays(at, closed)) {
            let staying = self.closed.iter().enumerate().filter(|(at, closed)| stays(*at, closed));
            let active = self.active.as_ref().map(|segment| segment.number);
            let segments: Vec<u64> = staying.map(|(_, closed)| closed.number).chain(active).collect();
            self.roll.write(&Roll { segments, next: self.next_segment })?;
            let (closed, gone) = std::mem::take(&mut self.closed)
                .into_iter()
                .enumerate()
                .partition::<Vec<_>, _>(|(at, closed)| stays(*at, closed));
            self.closed = closed.into_iter().map(|(_, closed)| closed).collect();
            for (_, closed) in gone {
                let refused = match closed.is_void {
                    true => Err(closed.path),
                    false => self.caretaker.remove(closed.path, closed.bytes),
                };
                self.off_roll.extend(refused.err());
            }
        }
        while let Some(path) = self.off_roll.front() {
            match self.shared.options.disk.unlink(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(self.off_roll.pop_front()),
            }
            self.unlinked_unsynced = true;
            self.metrics.unlinked_total.inc();
        }
        if self.unlinked_unsynced {
            self.shared.options.disk.sync_directory(&self.journal)?;
            self.unlinked_unsynced = false;
        }
        self.metrics.segments.set(self.closed.len() as i64 + i64::from(self.active.is_some()));
        Ok(())
    }
}
