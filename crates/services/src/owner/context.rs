//! What the edge lends for one call into a shard: time, randomness, the store, the wire.
//!
//! Made by the edge (or a test) for each call into [`crate::shard::Shard`]. Rooms do not see it: they are lent a
//! [`Turn`](crate::effects::turn::Turn).

use super::wire::Wire;
use crate::effects::turn::command::AtWork;
use crate::realm::Pressure;
use chaski_store::ShardStore;

/// The outside, for one call. A shard has no other way to it.
pub struct Context<'a> {
    /// Monotonic time in milliseconds, from any origin. Timers count in it.
    pub now_ms: u64,
    /// Age time: Unix time in milliseconds that does not jump ([`chaski_store::Time`]). Stamps are taken from it and compared
    /// with it.
    pub unix_ms: u64,
    /// The difference between age time and the time that people are shown.
    pub shown_by_ms: i64,
    /// What the server gives up at present because memory is short.
    pub pressure: Pressure,
    /// Randomness fit for secrets.
    pub rng: &'a mut dyn rand::CryptoRng,
    /// The shard's part of the store.
    pub store: &'a mut dyn ShardStore,
    /// The shard's connections, and the way to other shards.
    pub wire: &'a mut dyn Wire,
    /// Marks the time in which the shard works, so that commands which it forgets to answer are noticed.
    pub at_work: AtWork,
}

impl Context<'_> {
    /// Turns a stamp into the time that people are shown.
    pub fn shown(&self, unix_ms: u64) -> u64 {
        unix_ms.saturating_add_signed(self.shown_by_ms)
    }
}
