//! The mailbox contract: append, read, acknowledge.
//!
//! # Promises
//! - [`Mailboxes::append`] puts the message into memory at once, so that it can be read in the same turn; it is
//!   durable when [`Completion::Committed`](crate::Completion::Committed) with its ticket is polled. If it can't be made durable,
//!   [`Completion::Refused`](crate::Completion::Refused) comes instead and the entry is gone from memory again.
//! - Sequence numbers of one account only grow, also across restarts. Reads return them in order.
//! - What was committed is readable until acknowledged, whatever happens to the process.
//! - After [`Mailboxes::ack`] the entry is never read again in this run; after a crash it may reappear once
//!   (at-least-once). Within a minute no byte of it is on disk.
//! - An account is *here* from the answer to its [`ShardStore::load`](crate::ShardStore::load) to [`ShardStore::leave`](crate::ShardStore::leave). What its mailbox holds is known meanwhile: of who is away the
//!   store keeps nothing in memory but what is not yet on disk, and a start looks at no mailbox. Before its load only what was appended
//!   in this run is read and counted.
//! - A mailbox may have [readers](crate::cursors), each with a cursor: an entry waits until all have it, and is kept once. Cursors come with the account's load. They
//!   are durable as acknowledgements are: a little later, on a full disk too, and a crash may set one back to where it was before.
//!   [`Mailboxes::ack`] speaks for all readers.
//! - Append is idempotent by [`MessageId`] against what is still unacknowledged, wherever it waits, if the account is here.
//! - An entry that is acknowledged before it was durable completes its ticket at once.
//! - What leaves a mailbox otherwise than by acknowledgement or with its account (it grew too old, the disk damaged it)
//!   leaves a [`Gap`] in its place in the same transaction: an entry that is read and acknowledged like a message, and
//!   survives like one. A mailbox has at most one; what is lost later joins it under a number of its own, so that
//!   acknowledging what was told does not clear what was not. It counts as one message of no bytes.
//! - After [`Completion::Purged`](crate::Completion::Purged) nothing that was kept under the account comes back, whatever happens to the process.

use crate::shares::Sender;
use crate::{AccountId, Cursors, Reader, StoreError};
use std::sync::Arc;

/// Position in a mailbox. Grows; unique within an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

/// What tells one message of a mailbox from another: equal for what is the same to the last byte, sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u128);

/// A message as it is kept, opaque to the store: its recipient's own part, and one that it may share with other mailboxes and with
/// the sessions that are sent it. On disk they lie one behind the other; what is read from there is all in `body`.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// The recipient's own.
    pub head: Arc<[u8]>,
    /// The rest.
    pub body: Arc<[u8]>,
}

impl Content {
    /// Bytes of both.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there is nothing, as in the place of what is lost.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Both, as they lie on disk.
    pub fn pieces(&self) -> [&[u8]; 2] {
        [&self.head, &self.body]
    }
}

impl<B: Into<Arc<[u8]>>> From<B> for Content {
    fn from(body: B) -> Self {
        Self { head: Arc::default(), body: body.into() }
    }
}

/// Equal if the same would be read back.
impl PartialEq<[u8]> for Content {
    fn eq(&self, other: &[u8]) -> bool {
        other.strip_prefix(&*self.head).is_some_and(|rest| *rest == *self.body)
    }
}

/// A message that waits for its recipient.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place in the mailbox.
    pub seq: Seq,
    /// Its identity.
    pub id: MessageId,
    /// When it was accepted, Unix time in milliseconds.
    pub accepted_unix_ms: u64,
    /// What was appended.
    pub stanza: Content,
    /// This is no message, but what stands for some that are lost: `stanza` is empty, `id` says nothing.
    pub gap: Option<Gap>,
}

/// Messages that left a mailbox although nobody had acknowledged them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub messages: u32,
    /// When the first of them was accepted, Unix time in milliseconds.
    pub since_unix_ms: u64,
    /// When the last of them was.
    pub until_unix_ms: u64,
}

impl Gap {
    /// One message.
    pub fn of(accepted_unix_ms: u64) -> Self {
        Self { messages: 1, since_unix_ms: accepted_unix_ms, until_unix_ms: accepted_unix_ms }
    }

    /// Both.
    pub fn join(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            since_unix_ms: self.since_unix_ms.min(other.since_unix_ms),
            until_unix_ms: self.until_unix_ms.max(other.until_unix_ms),
        }
    }

    /// As it stands in a mailbox.
    pub fn entry(self, seq: Seq) -> Entry {
        Entry {
            seq,
            id: MessageId(0),
            accepted_unix_ms: self.until_unix_ms,
            stanza: Content::default(),
            gap: Some(self),
        }
    }
}

/// One message to be put into a mailbox.
#[derive(Debug)]
pub struct Append {
    /// Whose mailbox. The caller is the shard that owns this account.
    pub account: AccountId,
    /// The message's identity, for idempotence.
    pub id: MessageId,
    /// Unix time in milliseconds.
    pub accepted_unix_ms: u64,
    /// The message.
    pub stanza: Content,
    /// Whose share of the mailbox it takes ([`crate::shares`]).
    pub sender: Sender,
    /// Comes back in [`Completion::Committed`](crate::Completion::Committed) or [`Completion::Refused`](crate::Completion::Refused).
    pub ticket: crate::Ticket,
}

/// A message that is charged as one put into a mailbox would be, and not kept.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// Whose mailbox. The caller is the shard that owns this account.
    pub account: AccountId,
    /// Whose share of it.
    pub sender: Sender,
    /// The stanza's bytes.
    pub size: usize,
    /// Unix time in milliseconds.
    pub now_unix_ms: u64,
    /// Comes back in [`Completion::Committed`](crate::Completion::Committed) or [`Completion::Refused`](crate::Completion::Refused), with the commit that the message would have been in.
    pub ticket: crate::Ticket,
}

/// The immediate answer to an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// In memory, on its way to the disk.
    Queued(Seq),
    /// A message with this id waits already; nothing was added. The ticket still completes.
    Duplicate,
}

/// How much one read may return. Whichever bound is reached first ends it; at least one entry is returned if
/// there is one. Fewer may come although there is more (where memory and disk meet): `more` says so, read on.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    /// Most entries.
    pub messages: usize,
    /// Most bytes of stanzas.
    pub bytes: usize,
}

/// What a mailbox holds now, in memory and on disk together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Unacknowledged messages. A gap counts as one.
    pub messages: u64,
    /// Their stanzas' bytes.
    pub bytes: u64,
}

/// The answer to [`Mailboxes::read`].
#[derive(Debug)]
pub enum ReadStart {
    /// Everything needed was in memory. `more` says whether entries remain after the last one returned.
    Ready {
        /// In order of `seq`.
        entries: Vec<Entry>,
        /// Whether there is more to read after these.
        more: bool,
    },
    /// The disk is asked; [`Completion::Read`](crate::Completion::Read) with the same ticket follows.
    Pending,
}

/// The contract of mailboxes, as one shard sees it: never blocks. Only the owner of an account may call it for that account, which is
/// [here](crate::ShardStore::load).
pub trait Mailboxes {
    /// Puts a message into a mailbox. See the promises above.
    fn append(&mut self, append: Append) -> Result<Appended, StoreError>;

    /// Refuses what [`Mailboxes::append`] would refuse, and else charges the sender's share of the mailbox until the message
    /// would have grown too old, without keeping it: what somebody sends who is blocked. What it charges concerns later
    /// charges alone, not what is appended.
    fn charge(&mut self, charge: Charge) -> Result<(), StoreError>;

    /// Entries after `after` in order. `ticket` comes back if the answer is pending.
    fn read(&mut self, account: AccountId, after: Seq, limit: ReadLimit, ticket: crate::Ticket) -> ReadStart;

    /// The account's client has these. Unknown ones are ignored (they were acknowledged before).
    fn ack(&mut self, account: AccountId, seqs: &[Seq]);

    /// How much waits for this account, which is here. Never touches the disk.
    fn usage(&self, account: AccountId) -> Usage;

    /// From now on what lies behind `from` waits for this reader, too. One that is known keeps its place.
    fn add_reader(&mut self, account: AccountId, reader: Reader, from: Seq);

    /// This reader has everything up to here. What all readers have goes as if it had been acknowledged. Ignored if it is no reader, or further already; a cursor
    /// is never ahead of what has come.
    fn advance(&mut self, account: AccountId, reader: Reader, upto: Seq);

    /// Nothing waits for this reader any more. What those that are left have goes; without any everything stays until it is acknowledged.
    fn remove_reader(&mut self, account: AccountId, reader: Reader);

    /// The readers of this account's mailbox, which is here, and how far each has come. Never touches the disk.
    fn cursors(&self, account: AccountId) -> Cursors;
}
