//! The edge against real sockets: raw bytes in, what comes back and when the connection ends.
//!
//! Every test starts an edge of its own on loopback with free ports, the memory engine, and two shards, so that
//! connections move between threads. Waiting is for an event, bounded by a deadline that only a failure reaches.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "edge/bad_input.rs"]
mod bad_input;
#[path = "edge/bursts.rs"]
mod bursts;
#[path = "edge/first_requests.rs"]
mod first_requests;
#[path = "edge/login.rs"]
mod login;
#[path = "edge/oracle.rs"]
mod oracle;
#[path = "edge/over_bounds.rs"]
mod over_bounds;
#[path = "edge/prefixes.rs"]
mod prefixes;
#[path = "edge/rig.rs"]
mod rig;
#[path = "edge/round_trips.rs"]
mod round_trips;
#[path = "edge/sasl2.rs"]
mod sasl2;
#[path = "edge/session.rs"]
mod session;
#[path = "edge/stopping.rs"]
mod stopping;
#[path = "edge/strangers.rs"]
mod strangers;
#[path = "edge/websocket.rs"]
mod websocket;
