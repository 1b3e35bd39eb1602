//! The fate of every message of a run, four bits each: sent, accepted, refused, delivered.
//!
//! Shared by all generator threads; without locks: a sender's thread takes numbers in blocks, whoever sees a message's fate sets
//! its bit. So what is lost or doubled is known exactly, whichever thread it arrived at. Bounded: 268 million messages a run.
//! What no bit tells is counted when it is seen: an error after the acceptance, a delivery after the error, a message that nobody
//! of the run has sent. At the end [`Balance::fates`] is held against docs/promises.md.

use chaski_promises::fates::Fates;
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
    refused_after_accepted: AtomicU64,
    delivered_after_error: AtomicU64,
    unsent: AtomicU64,
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
    /// An error came after the acceptance.
    pub(crate) refused_after_accepted: u64,
    /// A delivery came after the error.
    pub(crate) delivered_after_error: u64,
    /// Delivered, and nobody of the run has sent it.
    pub(crate) unsent: u64,
}

impl Balance {
    /// For the judge, with what the sessions have noticed besides.
    pub(crate) fn fates(&self, noticed: Fates) -> Fates {
        Fates {
            lost: self.lost,
            refused_after_accepted: self.refused_after_accepted,
            delivered_after_error: self.delivered_after_error,
            unsent: self.unsent,
            ..noticed
        }
    }
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            blocks: (0..BLOCKS_MAX).map(|_| OnceLock::new()).collect(),
            taken: AtomicU32::new(0),
            refused_after_accepted: AtomicU64::new(0),
            delivered_after_error: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
        }
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
        let Some(Block(bits)) = block.map(Box::as_ref) else {
            self.unsent.fetch_add(u64::from(fate == Fate::Delivered), Ordering::Relaxed);
            return false;
        };
        let bit = number % BLOCK;
        let (word, mask) = (bit as usize / 64, 1u64 << (bit % 64));
        // Relaxed: the bits are counted after the threads have said that they are done, and what one thread sees of another
        // came through the server, which is later than any memory.
        let is_news = bits[fate as usize][word].fetch_or(mask, Ordering::Relaxed) & mask == 0;
        let has = |other: Fate| bits[other as usize][word].load(Ordering::Relaxed) & mask != 0;
        let odd = match fate {
            Fate::Refused if is_news && has(Fate::Accepted) => Some(&self.refused_after_accepted),
            Fate::Delivered if is_news && !has(Fate::Sent) => Some(&self.unsent),
            Fate::Delivered if has(Fate::Refused) => Some(&self.delivered_after_error),
            _ => None,
        };
        if let Some(odd) = odd {
            odd.fetch_add(1, Ordering::Relaxed);
        }
        is_news
    }

    pub(crate) fn balance(&self) -> Balance {
        let mut sum = Balance {
            refused_after_accepted: self.refused_after_accepted.load(Ordering::Relaxed),
            delivered_after_error: self.delivered_after_error.load(Ordering::Relaxed),
            unsent: self.unsent.load(Ordering::Relaxed),
            ..Balance::default()
        };
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
    use chaski_promises::Rule;

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
        assert_eq!(balance.fates(Fates::default()).broken(), [(Rule::NeverShown, 1), (Rule::NeverSent, 1)]);
    }

    #[test]
    fn what_comes_too_late_is_told() {
        let ledger = Ledger::new();
        let first = ledger.take_block().unwrap();
        (first..first + 3).for_each(|number| assert!(ledger.note(number, Fate::Sent)));
        for (number, fates) in [
            (first, [Fate::Delivered, Fate::Refused]),
            (first + 1, [Fate::Accepted, Fate::Refused]),
            (first + 2, [Fate::Refused, Fate::Delivered]),
            (first + 3, [Fate::Delivered, Fate::Delivered]),
        ] {
            for fate in fates {
                ledger.note(number, fate);
            }
        }
        let broken =
            [Rule::RefusedAfterAccepted, Rule::ShownAfterError, Rule::NeverSent].map(|rule| (rule, 1));
        assert_eq!(ledger.balance().fates(Fates::default()).broken(), broken);
    }
}
