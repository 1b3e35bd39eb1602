//! The journal's policy when a write or a sync fails: what is not known to be durable isn't.
//!
//! It is the same for the fdatasync of a frame and the fsync of new room, of a new segment, of its directory and of the
//! roll, whatever the system's reason, a full disk included: after a failed sync nobody knows what the page cache has
//! dropped, and a second sync that succeeds proves nothing (PostgreSQL learnt that in 2018). Hence:
//!
//! 1. A segment that failed is never written or synced again. What was confirmed in it stays there until it is in SQLite,
//!    which the shards are asked for at once. The caretaker may be making room there at that moment; nothing is confirmed by that.
//! 2. The frame that failed is written anew, from memory, as the first of a new segment, under the same number: so that
//!    what may stand of it in the old one is void (`format.rs`). Only when that is durable is anything confirmed.
//! 3. What has been in a frame is never refused, as it may be on the disk and come back after a crash: its senders see
//!    neither acceptance nor error until it is durable, or until the process ends. Frames are made of what the shards have
//!    in flight, so that this is bounded. What comes meanwhile is refused before it is taken in, as for a full disk.
//! 4. The first failure after a quiet second is answered by a new segment at once, and nobody is refused. One that follows
//!    is answered by a rest, from `retry_ms` doubling to `retry_ms_max`. The first success ends it; no restart is needed.
//! 5. It is said: one line in the log when it begins and one when it ends, a reason in [`Health`], counters.
//!
//! New room is made by the caretaker, and his failures are taken here: before the next frame, and again when that was synced, as his
//! sync and the frame's are of one file. Each syncs a file that it has opened for itself, so that Linux (since 4.13) tells both what
//! could not be written back, whoever asks first.
//!
//! Room that runs out before a frame is written, or a partial frame that could be cut off durably, is no failure but a
//! full disk: those messages are refused, and the segment goes on.
//!
//! [`Health`]: crate::embedded::health::Health

use super::{Closed, Writer};
use crate::embedded::health::Part;
use crate::embedded::journal::segment::SegmentError;

/// A failure this long after the last one is the first of its kind, and is tried again at once.
const QUIET_MS: u64 = 1_000;
/// After this the rests begin small again.
const FORGIVEN_MS: u64 = 60_000;

/// Where the policy stands.
#[derive(Default)]
pub(super) struct Failing {
    last_ms: Option<u64>,
    rest_ms: u64,
    /// When the next attempt is due; `None`: the journal is believed to be well.
    retry_at_ms: Option<u64>,
}

impl Failing {
    /// Whether the journal is not believed to be well.
    pub(super) fn is_failing(&self) -> bool {
        self.retry_at_ms.is_some()
    }

    /// Whether the next attempt is not due yet.
    pub(super) fn is_resting(&self, now_ms: u64) -> bool {
        self.retry_at_ms.is_some_and(|at| now_ms < at)
    }

    /// Notes a failure. Whether to try again at once.
    fn note(&mut self, now_ms: u64, rest_min_ms: u64, rest_max_ms: u64) -> bool {
        let since = self.last_ms.replace(now_ms).map_or(u64::MAX, |last| now_ms.saturating_sub(last));
        if since >= QUIET_MS && !self.is_failing() {
            self.rest_ms = if since >= FORGIVEN_MS { 0 } else { self.rest_ms };
            return true;
        }
        self.rest(now_ms, rest_min_ms, rest_max_ms);
        false
    }

    fn rest(&mut self, now_ms: u64, rest_min_ms: u64, rest_max_ms: u64) {
        self.rest_ms = (2 * self.rest_ms).clamp(rest_min_ms.min(rest_max_ms), rest_max_ms);
        self.retry_at_ms = Some(now_ms + self.rest_ms);
    }
}

impl Writer {
    /// A write or sync has failed: its segment is given up. Whether to try again at once.
    pub(super) fn give_up_segment(&mut self, now_ms: u64, error: &SegmentError) -> bool {
        let SegmentError::Failed { what, source } = error else { return false };
        self.metrics.failures_total.inc();
        self.abandon(now_ms);
        let options = &self.shared.options;
        if self.failing.note(now_ms, options.retry_ms, options.retry_ms_max) {
            tracing::warn!(
                what, error = %source,
                "the journal failed once: what was not durable is written anew in another segment; look at the disk (dmesg)"
            );
            return true;
        }
        self.say(&format!("{what}: {source}"));
        false
    }

    /// The caretaker has failed in a segment that was closed or given up meanwhile. Nothing is written there any more.
    pub(super) fn failed_after_its_end(&mut self, now_ms: u64, what: &str, error: &std::io::Error) {
        self.metrics.failures_total.inc();
        tracing::warn!(what, %error, "the journal failed in a segment that it had done with; look at the disk (dmesg)");
        self.spill_all(now_ms);
    }

    /// There is no room to write anew what is in doubt.
    pub(super) fn rest_in_doubt(&mut self, now_ms: u64) {
        let options = &self.shared.options;
        self.failing.rest(now_ms, options.retry_ms, options.retry_ms_max);
        self.say("no room on the disk to write anew what a failed sync left in doubt");
    }

    fn say(&self, why: &str) {
        let trouble = format!("the journal cannot be written ({why}): messages are refused for now");
        if self.shared.health.ail(Part::Journal, trouble) {
            tracing::error!(
                error = why,
                "the journal cannot be written: messages are refused until it can, which is tried again by itself; nothing \
                 accepted is lost; look at the disk (dmesg, smartctl, df), a restart does not help"
            );
        }
        self.metrics.failing.set(1);
    }

    /// A frame is durable.
    pub(super) fn is_well(&mut self) {
        if self.failing.retry_at_ms.take().is_some() {
            self.metrics.failing.set(0);
            if self.shared.health.mend(Part::Journal) {
                tracing::info!("the journal can be written again: messages are accepted");
            }
        }
    }

    /// Ends the active segment for good and has the shards move what is in the journal to SQLite, soon.
    fn abandon(&mut self, now_ms: u64) {
        if let Some(segment) = self.active.take() {
            self.closed.push_back(Closed {
                number: segment.number,
                path: segment.path().to_owned(),
                bytes: segment.allocated(),
                spill_at_ms: now_ms,
                last_seqs: std::mem::take(&mut self.active_last_seqs),
                last_effects: std::mem::take(&mut self.active_last_effects),
                is_void: segment.first_frame_ms.is_none(),
                arrears: None,
            });
        }
        self.unmarked_since_ms = None;
        self.spill_all(now_ms);
    }

    fn spill_all(&mut self, now_ms: u64) {
        self.closed.iter_mut().for_each(|closed| closed.spill_at_ms = closed.spill_at_ms.min(now_ms));
        self.next_upkeep_ms = now_ms;
    }
}
