//! The edge: everything that touches a socket, and the composition with the rooms.
//!
//! [`Edge`] runs the shards: each a thread with its own event loop (`mio`, no async), its listeners, its clients'
//! connections and one [`chaski_services::shard::Shard`] with the rooms of its accounts. HTTP, SMS and the admin
//! socket run on a small tokio runtime beside them and speak to the shards through bounded queues.

pub mod certificate;
pub mod config;
pub mod edge;
pub mod http;
pub mod tls;

pub use edge::{
    Edge, EdgeConfig, EdgeLimits, EdgeTiming, ListenerConfig, ListenerTls, StartError, UpgradedWebSocket,
};
pub use tls::{TlsError, TlsIdentity};
