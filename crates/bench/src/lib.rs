//! Load and faults for a server: what `chaski bench` does.
//!
//! [`crash`] kills the real server again and again under load, [`soak`] wears it out for long; both have what their clients saw judged by the
//! checker of promises. [`hostile`] lets neighbours see what somebody does to them, [`oracle`] asks in every way who is registered. [`idle`], [`pairs`], [`login`],
//! [`mixed`], [`presence`] and [`overload`] measure any XMPP server, on the engine of small sessions, and say it in one [`result`]. They share
//! [`server`] (the server process and its numbers), [`accounts`] and [`progress`].
//!
//! Called by: the binary and tests. Calls `chaski-client`, `chaski-xmpp`, `chaski-tls` and `chaski-promises`.

pub mod accounts;
pub mod crash;
mod engine;
pub mod error;
pub mod floor;
pub mod hostile;
pub mod idle;
pub mod load;
pub mod login;
pub mod media;
pub mod mixed;
pub mod oracle;
pub mod overload;
pub mod pairs;
mod peer;
pub mod presence;
pub mod progress;
pub mod report;
pub mod result;
mod run;
pub mod server;
pub mod soak;
mod witness;

pub use error::BenchError;
pub use witness::Totals;
