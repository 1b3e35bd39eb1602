//! The edge as the binary sees it: started with listeners and rooms, stopped within a bound.
//!
//! Owns the shards' threads and the plain-password worker. Called by the composition (`serve`), by HTTP (to hand
//! over upgraded WebSockets) and by the admin socket (commands). Each call is cheap and may be made from any thread.

mod settings;

pub use settings::{EdgeConfig, EdgeLimits, EdgeTiming, ListenerConfig, ListenerTls};

use crate::tls::TlsIdentity;
use chaski_services::command::{Action, Command, Outcome};
use chaski_services::context::Realm;
use chaski_store::{AccountId, Engine};
use chaski_telemetry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The running edge.
pub struct Edge {}

/// Why the edge did not start. Each says what the operator has to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the port.
    #[error("{0} is in use by another program")]
    AddressInUse(SocketAddr),
    /// The address can't be bound for another reason (no permission, not one of ours).
    #[error("can't listen on {addr}: {source}")]
    Bind {
        /// Which one.
        addr: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A `terminated` listener on an address that others can reach.
    #[error("{0} is not a loopback address: clear-text logins would be open to the network")]
    TerminatedExposed(SocketAddr),
    /// A `starttls` or `direct` listener without certificate.
    #[error("{0} needs a certificate")]
    NoCertificate(SocketAddr),
    /// A thread or an event queue could not be made.
    #[error("can't start a shard: {0}")]
    Shard(#[from] std::io::Error),
}

/// A connection that HTTP has upgraded to WebSocket (RFC 7395), to be served by the shards from here on.
pub struct UpgradedWebSocket {
    /// The socket; the 101 response has been written.
    pub stream: std::net::TcpStream,
    /// The TLS state, if the HTTP listener spoke TLS.
    pub tls: Option<rustls::ServerConnection>,
    /// Bytes of WebSocket frames that were already read (and decrypted).
    pub leftover: Vec<u8>,
    /// Whether the connection counts as protected although there is no TLS here (a terminator in front, loopback).
    pub protected: bool,
}

impl Edge {
    /// Binds all listeners, starts `realm.shards` shards, and returns when connections are accepted. The metrics of
    /// edge and rooms are registered with `registry`.
    pub fn start(
        _config: EdgeConfig,
        _realm: Arc<Realm>,
        _engine: Arc<dyn Engine>,
        _registry: &mut Registry,
    ) -> Result<Self, StartError> {
        todo!()
    }

    /// The addresses that are listened on, in the order of the configuration, with port 0 resolved.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        todo!()
    }

    /// New connections use this certificate from now on; present ones keep theirs.
    pub fn reload_tls(&self, _identity: TlsIdentity) {
        todo!()
    }

    /// Takes over an upgraded WebSocket. An overloaded edge closes it.
    pub fn adopt_websocket(&self, _socket: UpgradedWebSocket) -> std::io::Result<()> {
        todo!()
    }

    /// Gives a command to the account's owner; its reply is called exactly once, with
    /// [`chaski_services::command::Refusal::Overloaded`] if the shard's queue is full.
    pub fn command(&self, _command: Command) {
        todo!()
    }

    /// The same, waiting for the outcome.
    pub async fn request(&self, _account: AccountId, _action: Action) -> Outcome {
        todo!()
    }

    /// Stops accepting, tells clients `system-shutdown`, flushes, and joins the shards; returns after at most
    /// about `deadline`. `true` if every client got its farewell in time.
    pub fn stop(&self, _deadline: Duration) -> bool {
        todo!()
    }
}
