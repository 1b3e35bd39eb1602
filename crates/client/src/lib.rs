//! An async XMPP client, for our own programs: the terminal client, the load generator, tests.
//!
//! [`Client`] is one account on one device, as a phone has it: it connects ([`target`] says where, [`trust`] whom to
//! believe), logs in, resumes what it can and sends again what was not accepted (RFC 6120, 6121, XEP-0198). It has no
//! task and no timer of its own: who calls [`Client::next`] drives it. [`message`] writes and reads chat messages,
//! [`registration`] makes an account by HTTPS, [`files`] puts and gets files, [`sharing`] says in XMPP where they
//! are; [`local`] knows the servers that run on this machine.
//!
//! Called by: `chaski-chat`, `chaski-bench`. Calls `chaski-xmpp` for everything that is protocol.

pub mod device;
pub mod error;
pub mod files;
pub mod local;
pub mod message;
pub mod registration;
pub mod sharing;
pub mod target;
pub mod trust;

mod answer;
mod client;
mod http;
mod link;
mod login;
mod transport;

pub use client::{Client, Connected, Event, Settings, UNMARKED};
pub use device::{Device, Token};
pub use error::ClientError;
pub use link::Element;
pub use target::{Security, Target};
pub use trust::Trust;
