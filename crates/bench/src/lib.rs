//! Load and faults for a server: what `chaski bench` does.
//!
//! [`crash`] kills the real server again and again under load and checks that no accepted message is lost; [`idle`], [`pairs`], [`login`],
//! [`mixed`], [`presence`] and [`overload`] measure any XMPP server, on the engine of small sessions, and say it in one [`result`]. They share
//! [`server`] (the server process and its numbers), [`accounts`] and [`progress`].
//!
//! Called by: the binary and tests. Calls `chaski-client`, `chaski-xmpp` and `chaski-tls`.

pub mod accounts;
pub mod crash;
mod engine;
pub mod error;
pub mod floor;
pub mod idle;
pub mod load;
pub mod login;
pub mod mixed;
pub mod overload;
pub mod pairs;
pub mod presence;
pub mod progress;
pub mod report;
pub mod result;
mod run;
pub mod server;

pub use error::BenchError;
