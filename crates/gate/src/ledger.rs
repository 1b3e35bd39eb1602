//! What the gate knows of one log: which frames were acknowledged, how far the followers are, what was truncated, and what was broken.
//!
//! Pure but for its atomics. Written by the log's publisher and its two followers, read by whoever judges. Promises: an acknowledged frame that was not
//! truncated can be compared with what lies in the log; nothing is truncated that a follower has not verified.

use crate::frame::Hash;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Frames that stay in the log behind what both followers have, so that an audit has something to read.
pub(crate) const KEPT_FRAMES: u64 = 500;
/// Violations that are told in full.
const TOLD: usize = 20;
/// How many follow each log.
pub(crate) const FOLLOWERS: usize = 2;

/// The hashes of acknowledged frames, without gaps, from the first that may still be in the log.
#[derive(Debug, Default)]
struct Acked {
    hashes: VecDeque<Hash>,
    truncated: u64,
}

/// One log's.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    acked: Mutex<Acked>,
    followers: [AtomicU64; FOLLOWERS],
    /// Messages in acknowledged frames.
    pub(crate) messages: AtomicU64,
    /// Acknowledged frames.
    pub(crate) frames: AtomicU64,
    /// Acknowledgements that came for a frame that was sent again, or were read from the log because they never came.
    pub(crate) again: AtomicU64,
    /// When the last acknowledgement came, in ns since the stage began.
    pub(crate) last_ack_ns: AtomicU64,
    /// The next sequence that the log would take, as its leader said when it had less than was acknowledged; else 0.
    pub(crate) behind: AtomicU64,
    broken: Mutex<Vec<String>>,
    broken_total: AtomicU64,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Frame `number` is acknowledged; they come in order.
    pub(crate) fn acknowledge(&self, number: u64, hash: Hash, messages: u32) {
        let mut acked = held(&self.acked);
        debug_assert_eq!(acked.truncated + acked.hashes.len() as u64 + 1, number);
        acked.hashes.push_back(hash);
        self.messages.fetch_add(u64::from(messages), Ordering::Relaxed);
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// The last acknowledged frame's number.
    pub(crate) fn last(&self) -> u64 {
        let acked = held(&self.acked);
        acked.truncated + acked.hashes.len() as u64
    }

    /// The last truncated frame's number.
    pub(crate) fn truncated(&self) -> u64 {
        held(&self.acked).truncated
    }

    /// The hash of an acknowledged frame that was not truncated.
    pub(crate) fn hash(&self, number: u64) -> Option<Hash> {
        let acked = held(&self.acked);
        let index = number.checked_sub(acked.truncated + 1)?;
        acked.hashes.get(usize::try_from(index).ok()?).copied()
    }

    /// A follower has verified everything up to `number`.
    pub(crate) fn followed(&self, follower: usize, number: u64) {
        self.followers[follower].store(number, Ordering::Relaxed);
    }

    /// What the slower follower has verified.
    pub(crate) fn followed_by_all(&self) -> u64 {
        self.followers.iter().map(|at| at.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    /// Up to which frame the log may be truncated now, if that is something.
    pub(crate) fn truncatable(&self) -> Option<u64> {
        let upto = self.followed_by_all().min(self.last()).saturating_sub(KEPT_FRAMES);
        (upto > self.truncated()).then_some(upto)
    }

    /// The log was told to forget up to `number`.
    pub(crate) fn truncate(&self, number: u64) {
        let mut acked = held(&self.acked);
        let gone = number.saturating_sub(acked.truncated).min(acked.hashes.len() as u64);
        acked.hashes.drain(..gone as usize);
        acked.truncated += gone;
    }

    /// Something that must not be.
    pub(crate) fn violation(&self, what: String) {
        self.broken_total.fetch_add(1, Ordering::Relaxed);
        let mut broken = held(&self.broken);
        if broken.len() < TOLD {
            broken.push(what);
        }
    }

    /// The first violations, and how many in all.
    pub(crate) fn violations(&self) -> (Vec<String>, u64) {
        (held(&self.broken).clone(), self.broken_total.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_truncated_that_a_follower_has_not_verified() {
        let ledger = Ledger::default();
        for number in 1..=KEPT_FRAMES + 50 {
            ledger.acknowledge(number, [number as u8; 16], 3);
        }
        assert_eq!((ledger.last(), ledger.truncatable()), (KEPT_FRAMES + 50, None));
        ledger.followed(0, KEPT_FRAMES + 50);
        assert_eq!(ledger.truncatable(), None);
        ledger.followed(1, KEPT_FRAMES + 10);
        assert_eq!(ledger.truncatable(), Some(10));
        ledger.truncate(10);
        assert_eq!((ledger.truncated(), ledger.truncatable()), (10, None));
        assert_eq!((ledger.hash(10), ledger.hash(11)), (None, Some([11; 16])));
        assert_eq!((ledger.last(), ledger.hash(KEPT_FRAMES + 51)), (KEPT_FRAMES + 50, None));
    }
}
