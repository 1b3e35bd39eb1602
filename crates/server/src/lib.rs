//! The edge: everything that touches a socket, and the composition with the shards' services.
//!
//! [`Edge`] runs the shards: each a thread with its own event loop (`mio`, no async), its listeners, its clients'
//! connections and one [`chaski_services::shard::Shard`], which owns accounts. HTTP, SMS and the admin socket run on a
//! small tokio runtime beside them and speak to the shards through bounded queues.

pub mod admin;
mod c2s;
pub mod certificate;
pub mod config;
mod descriptors;
mod doors;
pub mod edge;
mod event_loop;
mod fair;
mod handover;
pub mod http;
mod listener;
pub mod memory;
mod metrics;
pub mod owners;
mod password_checks;
mod replies;
pub mod sms;
pub mod specs;
mod timers;
pub mod tls;
mod websocket;

pub use descriptors::has_table_per_shard;
pub use doors::Doors;
pub use edge::{
    Edge, EdgeConfig, EdgeLimits, EdgeTiming, ListenerConfig, ListenerTls, StartError, UpgradedWebSocket,
};
pub use tls::{TlsError, TlsIdentity};
