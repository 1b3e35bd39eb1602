//! Where accounts are owned: a map that assigns every slot to a place, and the places themselves, which serve as return
//! addresses.
//!
//! A [`Place`] names a shard of one run of one node. What is addressed to another run is dropped where it arrives
//! ([`Envelope`](crate::effects::letter::Envelope) with another [`Incarnation`]), since the sessions and question numbers of that
//! run mean nothing in this one. An asker that still waits asks again. Within one incarnation no session number is used twice.
//!
//! Made once per run, together with the [`Realm`](crate::realm::Realm); read by every shard for each stanza, so a look-up costs
//! two loads. In one process every slot is in this node, in the shard given by [`Slot::shard`].

use crate::data::data;
use chaski_store::{AccountId, ShardIndex, Slot};

/// A process among those that serve a domain together. Alone it is number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Node(pub u16);

/// One run of a node. No two runs of a node have the same: it is drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

/// A shard of one run of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which node.
    pub node: Node,
    /// Which of its shards.
    pub shard: ShardIndex,
    /// Which of its runs.
    pub incarnation: Incarnation,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Places {
    /// Every place that owns slots. Those of this process come first, by shard.
    owners: Box<[Place]>,
    /// For each slot, the owner as a position in `owners`.
    slots: Box<[u16]>,
    shards: u16,
}

impl Places {
    /// All slots are in this process, spread over so many shards (at least 1).
    pub fn of_one_process(incarnation: Incarnation, shards: u16) -> Self {
        let node = Node::default();
        let place = |shard| Place { node, shard: ShardIndex(shard), incarnation };
        Self {
            owners: (0..shards).map(place).collect(),
            slots: Slot::all().map(|slot| slot.shard(shards).0).collect(),
            shards,
        }
    }

    /// The owner of an account.
    pub fn owner(&self, account: AccountId) -> Place {
        self.owners[self.owner_number(account)]
    }

    /// The owner of an account as its position in [`Self::owners`].
    pub fn owner_number(&self, account: AccountId) -> usize {
        usize::from(self.slots[usize::from(account.slot().number())])
    }

    /// All owners.
    pub fn owners(&self) -> &[Place] {
        &self.owners
    }

    /// Which of [`Self::owners`] a place is. `None`: it is of another run, or owns nothing.
    pub fn number_of(&self, place: Place) -> Option<usize> {
        let here = usize::from(place.shard.0);
        match self.owners.get(here) {
            Some(owner) if *owner == place => Some(here),
            _ => self.owners.iter().position(|owner| *owner == place),
        }
    }

    /// The place of one of this process' shards.
    pub fn here(&self, shard: ShardIndex) -> Place {
        self.owners[usize::from(shard.0)]
    }

    /// Which of this process' shards a place is. `None`: it is another node's, or an earlier run's.
    pub fn shard_here(&self, place: Place) -> Option<ShardIndex> {
        let is_here = place.shard.0 < self.shards && self.here(place.shard) == place;
        is_here.then_some(place.shard)
    }

    /// How many shards this process has.
    pub fn shards(&self) -> u16 {
        self.shards
    }
}

data!(struct Node(number));
data!(struct Incarnation(number));
data!(struct Place { node, shard, incarnation });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_another_run_is_nowhere() {
        let places = Places::of_one_process(Incarnation(7), 3);
        let here = places.here(ShardIndex(2));
        assert_eq!(places.shard_here(here), Some(ShardIndex(2)));
        assert_eq!(places.number_of(here), Some(2));
        for other in [
            Place { incarnation: Incarnation(8), ..here },
            Place { node: Node(1), ..here },
            Place { shard: ShardIndex(3), ..here },
        ] {
            assert_eq!(places.shard_here(other), None, "{other:?}");
            assert_eq!(places.number_of(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_owner_is_the_shard_that_the_store_serves_it_in() {
        for shards in [1, 2, 12] {
            let places = Places::of_one_process(Incarnation(1), shards);
            for number in 15_550_000_000..15_550_002_000 {
                let account = AccountId::phone(number).unwrap();
                assert_eq!(places.owner(account).shard, account.shard(shards));
            }
        }
    }
}
