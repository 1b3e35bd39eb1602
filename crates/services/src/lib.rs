//! The rooms of the server, without sockets, TLS, HTTP or a clock.
//!
//! One [`shard::Shard`] owns all live state of its accounts and is driven by one thread of the edge: each call
//! gets a [`context::Context`] with the time, randomness, the store and the [`wire::Wire`] to the outside.
//! Nothing here blocks; what needs the disk continues in [`shard::Shard::completion`].
//!
//! Called by `chaski-server` (and later by the simulator). Calls `chaski-xmpp` (protocol), `chaski-store`, telemetry.

pub mod accounts;
pub mod blocking;
pub mod book;
mod budget;
pub mod calls;
pub mod caps;
pub mod command;
pub mod commands;
pub mod context;
mod data;
mod desk;
pub mod directory;
pub mod dispatch;
pub mod errand;
pub mod iq;
mod leaving;
pub mod login;
mod mailbox;
pub mod outbox;
pub mod owners;
pub mod pep;
pub mod places;
#[cfg(test)]
mod plays;
pub mod presence;
pub mod privacy;
pub mod private;
pub mod profile;
mod rate;
pub mod roster;
pub mod router;
pub mod session;
pub mod shard;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod ticket;
mod timers;
mod trace;
pub mod upload;
pub mod wire;
