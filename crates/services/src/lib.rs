//! The services of the server, without sockets, TLS, HTTP or a clock.
//!
//! One [`shard::Shard`] owns all live state of its accounts and is driven by one thread of the edge: each call
//! gets a [`owner::context::Context`] with the time, randomness, the store and the [`owner::wire::Wire`] to the outside.
//! Nothing here blocks; what needs the disk continues in [`shard::Shard::completion`].
//!
//! The directories are layers, each of which knows only those before it in this list: the vocabulary (the files beside this one),
//! [`account`] (accounts as they are in memory), [`effects`] (what a room can ask for), [`changes`] (how documents that several
//! rooms share are changed), [`rooms`] (one for each feature), [`owner`] (which owns accounts and runs rooms), and the door,
//! [`shard`]. [`testing`] and `plays` are for tests only. Words: docs/glossary.md.
//!
//! Called by `chaski-server`. Calls `chaski-xmpp` (protocol), `chaski-store`, telemetry.

pub mod account;
pub mod allowance;
mod budget;
pub mod changes;
mod data;
pub mod effects;
mod fault;
mod form;
pub mod knobs;
mod metrics;
pub mod owner;
pub mod places;
#[cfg(test)]
mod plays;
mod rate;
pub mod realm;
pub mod rooms;
pub mod shard;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod ticket;
mod timers;
pub mod trace;
pub mod wire;
