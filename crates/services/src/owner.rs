//! The owner of a shard's accounts: it keeps them in memory, calls rooms for them, and carries out what rooms ask for.
//!
//! [`state`] is what an owner has; the other files are what it does, each one job.

pub(crate) mod admission;
pub(crate) mod asked;
pub(crate) mod broadcast_delivery;
pub(crate) mod broadcast_queue;
pub(crate) mod call;
pub(crate) mod commands;
pub(crate) mod completions;
pub(crate) mod contact_sync;
pub mod context;
pub(crate) mod desk;
pub(crate) mod directory;
pub mod dispatch;
pub(crate) mod documents;
pub(crate) mod dump;
pub(crate) mod ending;
pub(crate) mod errands;
pub(crate) mod fast;
pub(crate) mod gate;
pub(crate) mod ledger;
pub(crate) mod links;
pub(crate) mod login;
pub(crate) mod mailbox;
pub(crate) mod media;
pub(crate) mod metrics;
pub(crate) mod moving;
pub(crate) mod new_key;
pub(crate) mod nonzas;
pub(crate) mod outgoing;
pub(crate) mod pep_notifications;
pub(crate) mod refusals;
pub(crate) mod removal;
pub(crate) mod resident;
pub(crate) mod router;
pub(crate) mod session;
pub(crate) mod settle;
pub(crate) mod shares;
pub(crate) mod state;
pub(crate) mod strangers;
pub(crate) mod transactions;
pub(crate) mod visit;
pub mod wire;
