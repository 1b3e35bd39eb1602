//! Coarse timers of a shard's sessions: one bucket per quarter of a second, nothing per idle session.
//!
//! A timer is never cancelled: when it fires, its handler looks whether it still means something.

use crate::wire::SessionId;
use std::collections::BTreeMap;

/// Width of a bucket.
const BUCKET_MS: u64 = 250;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A hibernating session's time may be over.
    Hibernation,
    /// A client may not have answered an `<r/>`.
    Unanswered,
    /// An `<r/>` may have to be sent for messages that are unacknowledged.
    Ask,
    /// An `<r/>` may have to be sent for stanzas that are no messages.
    Remind,
    /// A client's `<r/>` may be waiting for its `<a/>`, because a message is not durable yet.
    Answer,
    /// Stanzas of a client may be waiting for an answer that was lost.
    Answers,
    /// A session has more to read of its mailbox, and no acknowledgement will cause that.
    ReadOn,
}

/// The timers that are set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    buckets: BTreeMap<u64, Vec<(SessionId, Timer)>>,
}

impl Timers {
    /// Fires at the first tick at or after `at_ms` (up to a bucket late).
    pub(crate) fn set(&mut self, at_ms: u64, session: SessionId, timer: Timer) {
        self.buckets.entry(at_ms.div_ceil(BUCKET_MS)).or_default().push((session, timer));
    }

    /// How many are set.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn len(&self) -> usize {
        self.buckets.values().map(Vec::len).sum()
    }

    /// Whether a timer may be due.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.buckets.first_key_value().is_some_and(|(bucket, _)| bucket * BUCKET_MS <= now_ms)
    }

    /// Takes a timer that is due.
    pub(crate) fn next_due(&mut self, now_ms: u64) -> Option<(SessionId, Timer)> {
        loop {
            let mut bucket =
                self.buckets.first_entry().filter(|bucket| *bucket.key() * BUCKET_MS <= now_ms)?;
            match bucket.get_mut().pop() {
                Some(due) => return Some(due),
                None => _ = bucket.remove(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_at_or_after_its_time() {
        let mut timers = Timers::default();
        timers.set(1_600, SessionId(1), Timer::Answer);
        timers.set(900, SessionId(2), Timer::Hibernation);
        assert_eq!(timers.next_due(999), None);
        assert_eq!(timers.next_due(1_000), Some((SessionId(2), Timer::Hibernation)));
        assert_eq!(timers.next_due(1_749), None);
        assert!(!timers.is_due(1_749));
        assert_eq!(timers.next_due(1_750), Some((SessionId(1), Timer::Answer)));
        assert_eq!(timers.next_due(u64::MAX), None);
    }
}
