//! Slots: into how many parts all accounts are divided, and in which one an account is.
//!
//! Accounts are owned, moved and, one day, copied by the slot. An account's slot is a function of its 64 bits and of nothing
//! else: no secret, no configuration, no number of shards or nodes goes into it, and it is the same in every build for good.
//! Whoever changes [`AccountId::slot`] makes every map of slots that was ever written wrong.

use crate::{AccountId, ShardIndex};

/// One of the [`Slot::COUNT`] parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// How many there are. For good.
    pub const COUNT: u16 = 4_096;

    /// The slot of this number, if there is one.
    pub fn new(number: u16) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// All of them, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// From 0 up to, not including, [`Self::COUNT`].
    pub fn number(self) -> u16 {
        self.0
    }

    /// Which of so many shards of one process it is laid to, as long as slots do not move between them: each has as many
    /// slots as any other, or one more. `shards` is at least 1.
    pub fn shard(self, shards: u16) -> ShardIndex {
        ShardIndex((u32::from(self.0) * u32::from(shards) / u32::from(Self::COUNT)) as u16)
    }
}

impl AccountId {
    /// Where the account belongs: the upper 12 of the 64 bits that the finalizer of SplitMix64 makes of
    /// [`to_bits`](Self::to_bits) (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Consecutive
    /// numbers, and those of one prefix, spread.
    pub fn slot(self) -> Slot {
        let mut bits = self.to_bits();
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        Slot((bits >> 52) as u16)
    }

    /// The shard of one process that owns the account, of `shards` (at least 1): its slot's.
    pub fn shard(self, shards: u16) -> ShardIndex {
        self.slot().shard(shards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(number: u64) -> AccountId {
        AccountId::phone(number).unwrap()
    }

    /// These stand in maps and journals of servers that run: they are never to be changed.
    #[test]
    fn an_accounts_slot_is_the_same_for_good() {
        let known = [
            (phone(15_551_234_567), 1_351),
            (phone(15_551_234_568), 1_821),
            (phone(10_000), 2_452),
            (phone(999_999_999_999_999), 3_841),
            (AccountId::service("echo"), 3_762),
        ];
        for (account, slot) in known {
            assert_eq!(account.slot().number(), slot, "{account:?}");
        }
    }

    #[test]
    fn numbers_of_one_prefix_spread() {
        let mut counts = vec![0u32; usize::from(Slot::COUNT)];
        for number in 0..409_600 {
            counts[usize::from(phone(49_170_000_000 + number).slot().number())] += 1;
        }
        // 100 each on average: with a standard deviation of 10 these are seven of them.
        assert!(counts.iter().all(|count| (30..170).contains(count)));
        let mut shards = [0u32; 7];
        for number in (0..4_096_000).step_by(1_000) {
            shards[usize::from(phone(15_550_000_000 + number).shard(7).0)] += 1;
        }
        assert!(shards.iter().all(|count| (450..720).contains(count)), "{shards:?}");
    }

    #[test]
    fn every_shard_has_as_many_slots_as_any_other() {
        for shards in [1, 2, 3, 12, 64, 4_096] {
            let mut counts = vec![0u16; usize::from(shards)];
            Slot::all().for_each(|slot| counts[usize::from(slot.shard(shards).0)] += 1);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1 && *least > 0, "{shards}: {least} to {most}");
        }
    }
}
