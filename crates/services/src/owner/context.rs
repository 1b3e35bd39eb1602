//! What the edge lends for one call into a shard: time, randomness, the store, the wire.
//!
//! Made by the edge (or a test) for each call into [`crate::shard::Shard`]. Rooms do not see it: they are lent a
//! [`Turn`](crate::effects::turn::Turn).

use super::wire::Wire;
use crate::effects::turn::command::AtWork;
use crate::realm::Pressure;
use chaski_store::ShardStore;

/// The outside, for one call. The rooms have no other way to it.
pub struct Context<'a> {
    /// Monotonic time in milliseconds, from any origin. Timers count in it.
    pub now_ms: u64,
    /// Age time, Unix time in milliseconds ([`chaski_store::Time`]). Stamps are made of it and compared with it.
    pub unix_ms: u64,
    /// What is added to a stamp when somebody is shown it.
    pub shown_by_ms: i64,
    /// What is to be given up for want of memory.
    pub pressure: Pressure,
    /// Randomness fit for secrets.
    pub rng: &'a mut dyn rand::CryptoRng,
    /// The shard's part of the store.
    pub store: &'a mut dyn ShardStore,
    /// The shard's connections, and the way to other shards.
    pub wire: &'a mut dyn Wire,
    /// Whatever a shard is asked for while there is a context it answers.
    pub at_work: AtWork,
}

impl Context<'_> {
    /// A stamp as it is shown.
    pub fn shown(&self, unix_ms: u64) -> u64 {
        unix_ms.saturating_add_signed(self.shown_by_ms)
    }
}
