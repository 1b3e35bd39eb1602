//! The router: the one path of every stanza from its sender's session to whom it is for, across shards.
//!
//! Called by `shard` with a client's stanza, an envelope of another shard, or a room's posts. Calls the rooms and
//! [`crate::mailbox`]. Specification: RFC 6120 §10, RFC 6121 §8.

use crate::accounts::Credentials;
use crate::command::{Command, Outcome};
use crate::wire::{ConnId, SessionId, Unavailable};
use chaski_store::{AccountId, ShardIndex};
use std::sync::Arc;

/// What one shard sends to another. Opaque to the edge.
pub struct Envelope(pub(crate) Letter);

/// The contents of an [`Envelope`].
pub(crate) enum Letter {
    /// A stanza for an account of the receiving shard.
    Parcel(Box<Parcel>),
    /// Messages of the receiving shard's sessions are settled: durable, acknowledged or refused.
    Settled(Vec<Origin>),
    /// A connection on shard `asker` wants to authenticate.
    CredentialsWanted { asker: ShardIndex, conn: ConnId, account: AccountId },
    /// The answer.
    Credentials { conn: ConnId, result: Result<Option<Box<Credentials>>, Unavailable> },
    /// A command for an account of the receiving shard.
    Command(Box<Command>),
    /// The outcome of a command that an ad-hoc command of the receiving shard's session gave.
    Outcome { session: SessionId, memo: Box<str>, outcome: Outcome },
}

/// A stanza on its way to an account.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    /// Whose it is.
    pub(crate) to: AccountId,
    /// The resource, if it goes to a full JID.
    pub(crate) resource: Option<Box<str>>,
    /// The whole stanza, in the stored form.
    pub(crate) stanza: Arc<[u8]>,
    /// Who waits for it to be settled.
    pub(crate) origin: Option<Origin>,
}

/// The sender's count of a stanza (XEP-0198) that is to advance when the stanza is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) shard: ShardIndex,
    pub(crate) session: SessionId,
    pub(crate) index: u32,
}
