//! Durable state: what survives a restart, and nothing else.
//!
//! Four kinds of state live here, each with a contract and a suite in [`conformance`]. A [`mailbox`] holds the messages that an account's clients
//! have not yet acknowledged ([`Mailboxes`]); [`records`] hold what an account *is* (credentials, roster, registrations, limits:
//! [`AccountRecords`]); [`books`] are phone books: who has whose number ([`Contacts`]); [`media`] is the index of the files that accounts have
//! uploaded ([`ShardMedia`]). A shard has them all in one [`ShardStore`].
//! Engines: [`memory`] (tests, simulation) and [`embedded`] (journal + SQLite, the default).
//!
//! Called by: `chaski-services` (each shard owns one [`ShardStore`]; its registration holds a [`records::Records`]). Calls nobody but
//! `chaski-telemetry`.

pub mod account;
pub mod books;
pub mod conformance;
pub mod cursors;
pub mod embedded;
pub mod leftovers;
pub mod mailbox;
pub mod media;
pub mod memory;
pub mod records;
pub mod secrets;
pub mod shard_store;
pub mod shares;
mod slot;
pub mod time;

pub use account::AccountId;
pub use books::Contacts;
pub use cursors::{Cursors, Reader};
pub use mailbox::{
    Append, Appended, Charge, Content, Entry, Gap, Mailboxes, MessageId, ReadLimit, Seq, Usage,
};
pub use media::ShardMedia;
pub use records::{AccountRecords, Records, Revision, Table, Versioned};
pub use secrets::Secrets;
pub use shard_store::{Completion, ShardStore, Ticket};
pub use shares::{Sender, Shares, Standing};
pub use slot::Slot;
pub use time::{Now, Time};

use std::sync::Arc;

/// Index of a shard: `0..shards`. The owner of an account is [`AccountId::shard`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardIndex(pub u16);

/// Called by an engine from any thread when a shard has completions to poll. Must be cheap and must not block.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// A storage engine: one per data directory, shared by all shards of the process.
pub trait Engine: Send + Sync {
    /// The part of the engine that one shard owns. Called once per shard at start, and `shards` never changes
    /// while the engine is open (it may differ from the last run).
    fn attach(&self, shard: ShardIndex, shards: u16, waker: Waker) -> Box<dyn ShardStore>;

    /// Blocking access to records, for programs and for the HTTP side (call it off the shards' threads).
    fn records(&self) -> Arc<dyn Records>;

    /// Blocking access to the index of media, for the HTTP side.
    fn media(&self) -> Arc<dyn media::Index>;

    /// The realm's secrets, as they are for this opening.
    fn secrets(&self) -> Secrets;

    /// The time of everything that is kept here; it goes on where it was when the data was open last.
    fn time(&self) -> Arc<Time>;

    /// What the engine counts, for the process' metrics registry.
    fn metrics(&self) -> Vec<Arc<dyn chaski_telemetry::Source>>;

    /// What is wrong with the engine now, a line each: it refuses something until that is over. Empty if all is well.
    fn troubles(&self) -> Vec<String>;

    /// Makes everything that was submitted durable and stops the engine's threads. Idempotent.
    fn close(&self);
}

/// Why the store refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk (or the configured reserve is reached). Try again later; nothing was kept.
    #[error("no room left on the disk that holds the data directory")]
    Full,
    /// The mailbox has reached its bound of messages or bytes.
    #[error("the mailbox is full")]
    MailboxFull,
    /// A compare-and-set lost: the record's revision is another one.
    #[error("the record was changed by somebody else")]
    Conflict,
    /// The queue to the engine is full: the disk is slower than the load. Try again later; nothing was kept.
    #[error("the storage engine is overloaded")]
    Overloaded,
    /// Anything else: I/O, corruption found at run time. The text is for the operator's log.
    #[error("storage failed: {0}")]
    Failed(Arc<str>),
}
