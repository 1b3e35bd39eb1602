//! The fate of every message of a run, four bits each: sent, accepted, refused, delivered.
//!
//! Shared by all generator threads; without locks: a sender's thread takes numbers in blocks, whoever sees a message's fate sets
//! its bit. So what is lost or doubled is known exactly, whichever thread it arrived at. Bounded: 268 million messages a run.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Messages of a block.
pub(crate) const BLOCK: u32 = 1 << 14;
const BLOCKS_MAX: usize = 1 << 14;
const WORDS: usize = BLOCK as usize / 64;

type Bits = [AtomicU64; WORDS];

struct Block([Bits; 4]);

/// What can happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Sent = 0,
    Accepted = 1,
    Refused = 2,
    Delivered = 3,
}

/// See the module.
pub(crate) struct Ledger {
    blocks: Box<[OnceLock<Box<Block>>]>,
    taken: AtomicU32,
}

/// What came of all messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) delivered: u64,
    /// Accepted, not refused, not delivered.
    pub(crate) lost: u64,
    /// Sent, neither accepted nor refused.
    pub(crate) not_accepted: u64,
    /// Sent, neither refused nor delivered.
    pub(crate) not_delivered: u64,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { blocks: (0..BLOCKS_MAX).map(|_| OnceLock::new()).collect(), taken: AtomicU32::new(0) }
    }

    /// The first number of a block of [`BLOCK`] that nobody else has; `None`: no more.
    pub(crate) fn take_block(&self) -> Option<u32> {
        let index = self.taken.fetch_add(1, Ordering::Relaxed);
        let slot = self.blocks.get(index as usize)?;
        slot.get_or_init(|| {
            Box::new(Block(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)))))
        });
        Some(index * BLOCK)
    }

    /// Notes a fate. True: it is news.
    pub(crate) fn note(&self, number: u32, fate: Fate) -> bool {
        let block = self.blocks.get((number / BLOCK) as usize).and_then(OnceLock::get);
        let Some(Block(bits)) = block.map(Box::as_ref) else { return false };
        let bit = number % BLOCK;
        let mask = 1u64 << (bit % 64);
        // Relaxed: the bits are counted after the threads have said that they are done.
        bits[fate as usize][bit as usize / 64].fetch_or(mask, Ordering::Relaxed) & mask == 0
    }

    pub(crate) fn balance(&self) -> Balance {
        let mut sum = Balance::default();
        for Block(bits) in self.blocks.iter().map_while(OnceLock::get).map(Box::as_ref) {
            for word in 0..WORDS {
                let [sent, accepted, refused, delivered] =
                    [0, 1, 2, 3].map(|fate: usize| bits[fate][word].load(Ordering::Relaxed));
                let count = |bits: u64| u64::from(bits.count_ones());
                sum.sent += count(sent);
                sum.accepted += count(accepted);
                sum.refused += count(refused);
                sum.delivered += count(delivered);
                sum.lost += count(accepted & !refused & !delivered);
                sum.not_accepted += count(sent & !accepted & !refused);
                sum.not_delivered += count(sent & !refused & !delivered);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_its_fate() {
        let ledger = Ledger::new();
        let first = ledger.take_block().unwrap();
        assert_eq!(ledger.take_block(), Some(first + BLOCK));
        for number in first..first + 4 {
            assert!(ledger.note(number, Fate::Sent));
        }
        assert!(ledger.note(first, Fate::Accepted) && ledger.note(first, Fate::Delivered));
        assert!(!ledger.note(first, Fate::Delivered), "a second delivery is none");
        assert!(ledger.note(first + 1, Fate::Accepted));
        assert!(ledger.note(first + 2, Fate::Refused));
        assert!(!ledger.note(u32::MAX, Fate::Delivered), "nobody sent it");
        let balance = ledger.balance();
        assert_eq!((balance.sent, balance.accepted, balance.refused, balance.delivered), (4, 2, 1, 1));
        assert_eq!((balance.lost, balance.not_accepted, balance.not_delivered), (1, 1, 2));
    }
}
