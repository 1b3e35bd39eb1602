//! What the edge is told at start: listeners, limits, times. Filled by the binary from the configuration file.

use crate::tls::TlsIdentity;
use chaski_services::rooms::accounts::guesses::Allowances;
use std::net::SocketAddr;

/// Everything the edge needs to start, except the store and the [`Realm`](chaski_services::realm::Realm), which has the domain
/// and the number of shards.
#[derive(Debug, Clone, Default)]
pub struct EdgeConfig {
    /// Where client connections are accepted.
    pub listeners: Vec<ListenerConfig>,
    /// Certificate and key for `starttls` and `direct` listeners. `None` only if every listener is `terminated`.
    pub tls: Option<TlsIdentity>,
    /// Bounds on what clients may use.
    pub limits: EdgeLimits,
    /// How long things may take.
    pub timing: EdgeTiming,
}

/// One client-to-server listener (`[[c2s]]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Address and port; port 0 takes a free one (see [`crate::Edge::local_addrs`]).
    pub addr: SocketAddr,
    /// Where TLS comes from.
    pub tls: ListenerTls,
    /// Allows `terminated` on an address that is not loopback: the operator promises that only a TLS terminator
    /// can reach it.
    pub force: bool,
}

/// How a listener's connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerTls {
    /// Plain at first, TLS required before authentication (RFC 6120 §5).
    StartTls,
    /// TLS from the first byte (XEP-0368).
    Direct,
    /// A TLS terminator in front has done it: plain here, counted as protected. Loopback only unless forced.
    Terminated,
}

/// Bounds. Each says what happens beyond it.
#[derive(Debug, Clone, Copy)]
pub struct EdgeLimits {
    /// Connections per shard; more are accepted and closed at once (counted as refused).
    pub connections_per_shard: usize,
    /// Resident memory of the process at which everything is refused that can be (see `memory`); `u64::MAX`: none.
    pub memory_bytes: u64,
    /// Connections of one client address per shard; more are closed at once. Loopback is exempt.
    pub connections_per_address: usize,
    /// Connections of one wide network per shard that have not authenticated; more are closed at once, or the oldest of them
    /// is ([`EdgeTiming::guest_patience_ms`]). Loopback is exempt.
    pub guests_per_network: usize,
    /// Connections per shard that have not authenticated; more wait in the kernel's backlog, or the oldest of the network that
    /// has most is closed.
    pub guests: usize,
    /// Wrong keys and passwords, at all doors.
    pub guesses: Allowances,
    /// Connections taken from each listener in one turn of a shard; the rest wait in the kernel's backlog.
    pub accepts_per_turn: usize,
    /// Time in one turn of a shard for connections that are not logged in yet (TLS handshakes, mostly), so that a storm of
    /// logins leaves the live sessions their latency. Microseconds; at least one step is taken.
    pub login_us_per_turn: u64,
    /// Bytes of one element before authentication; beyond it `policy-violation`.
    pub element_bytes_before_auth: usize,
    /// Bytes of one stanza; beyond it `policy-violation`.
    pub element_bytes: usize,
    /// Bytes that may wait for a client's socket; beyond it the connection is cut (its messages stay in the
    /// mailbox).
    pub unsent_bytes: usize,
    /// Failed logins on one connection before it is closed.
    pub login_failures: u8,
    /// Whether there are accounts whose SCRAM iterations are not [`chaski_services::account::credentials::ITERATIONS`], so that nobody can be
    /// challenged before the account's record is there.
    pub iterations_vary: bool,
    /// Envelopes that may wait for a shard; beyond it [`chaski_services::owner::wire::Wire::forward`] refuses.
    pub queued_envelopes: usize,
    /// Connections and commands that may wait for a shard; beyond it they are refused.
    pub queued_arrivals: usize,
    /// Passwords that may wait for the slow check; beyond it those of the network that has most are turned away.
    pub queued_verifications: usize,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            connections_per_shard: 4_000_000,
            memory_bytes: u64::MAX,
            connections_per_address: 10_000,
            guests_per_network: 1_024,
            guests: 8_192,
            guesses: Allowances::default(),
            accepts_per_turn: 64,
            login_us_per_turn: 2_000,
            element_bytes_before_auth: 8 * 1024,
            element_bytes: 256 * 1024,
            unsent_bytes: 2 * 1024 * 1024,
            login_failures: 5,
            iterations_vary: false,
            queued_envelopes: 65_536,
            queued_arrivals: 65_536,
            queued_verifications: 1_024,
        }
    }
}

/// How long things may take, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct EdgeTiming {
    /// From accept to an authenticated, bound session.
    pub login_deadline_ms: u64,
    /// How long a connection has for that before others may take its place, where there are too many.
    pub guest_patience_ms: u64,
    /// Silence after which the client is probed.
    pub idle_timeout_ms: u64,
    /// Silence after the probe until the connection is cut.
    pub probe_timeout_ms: u64,
    /// How long a stream that we ended may take to drain and to be closed by the peer.
    pub close_linger_ms: u64,
    /// A login that fails is told so this long after it was asked for, and up to as long again, as chance decides: who proves
    /// nothing learns nothing from how long it took to find out. If it took longer: so many times as long.
    pub failure_ms: u64,
    /// Granularity of all of these but the last three.
    pub tick_ms: u64,
    /// How often the kernel is asked whether a peer without stream management has what was sent.
    pub confirm_poll_ms: u64,
    /// By how much a busy shard's turns begin apart at least, so that what has come meanwhile is dealt with together; 0: as events
    /// come. In microseconds.
    pub turn_gap_us: u64,
}

impl Default for EdgeTiming {
    fn default() -> Self {
        Self {
            login_deadline_ms: 30_000,
            guest_patience_ms: 5_000,
            idle_timeout_ms: 16 * 60_000,
            probe_timeout_ms: 60_000,
            close_linger_ms: 5_000,
            failure_ms: 100,
            tick_ms: 1_000,
            confirm_poll_ms: 25,
            turn_gap_us: 1_000,
        }
    }
}
