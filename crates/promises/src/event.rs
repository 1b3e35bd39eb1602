//! The words of a history: what can be seen of a server from outside.
//!
//! An observer names accounts, devices, sessions and messages by numbers of its own; equal numbers mean the same thing
//! throughout a history. It tells events in the order in which it saw them, with a time in milliseconds that is the true
//! one: not what the server's clock says. Called by every observer (plays, chaos, crash test, power cuts, loads).

/// An account as it is addressed: a phone number or a service's name. Who has it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account(pub u64);

/// A device of an account: what has a memory of its own for what it was shown. Unique over all accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device(pub u64);

/// A session: one stream, with all connections on which it was resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session(pub u64);

/// A digest of a stanza-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StanzaId(pub u64);

/// What a message is, wherever it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Content {
    /// A digest of its origin-id, else of its id if that has 8 characters or more. `None`: it has no identity (M6).
    pub identity: Option<u64>,
    /// A digest of what its sender has put into it, without what the server adds.
    pub bytes: u64,
}

/// A message that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letter {
    /// To whom.
    pub to: Account,
    /// Addressed to this resource: an order of its own, until every message is for all devices (D2).
    pub resource: Option<u64>,
    /// What.
    pub content: Content,
    /// Whether it is one that is kept for who is away. What is not (a headline, typing) may be lost.
    pub kept: bool,
}

/// A message that a client is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Showing {
    /// The sender's account.
    pub from: Account,
    /// What.
    pub content: Content,
    /// The stanza-id by the recipient's account. What is kept has one.
    pub stanza_id: Option<StanzaId>,
    /// Whether it says that it is late.
    pub delayed: bool,
}

/// The registration lock that stood before a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// None was set.
    None,
    /// It stands: only its PIN, the old key or a token get past it.
    Standing,
    /// The account was silent for the lock's days, and no PIN was given.
    Fallen,
}

/// Why a session is over for good, as far as the observer has a part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The client ended its stream.
    Client,
    /// The client sent what can't be framed.
    Unframed,
    /// The client broke the protocol of streams: acknowledged what it was never sent, say.
    Protocol,
    /// An operator has ended it.
    Operator,
}

/// What a notice of a gap says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// Messages became too old.
    Age,
    /// There were more than a bound allows.
    Bound,
    /// A part of the disk could not be read.
    Damage,
    /// It does not say.
    Unsaid,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody has registered this number, or an operator has made its account or given it a new key. Answered.
    Registered {
        /// Which.
        account: Account,
        /// The generation of its key: sessions that have proved an older one are void.
        key: u32,
        /// Whether continuity was proved: the lock's PIN, the old key, a token; or an operator did it.
        proof: bool,
        /// How long ago the number was last seen. 0 if it is new.
        silent_ms: u64,
        /// The lock that was there.
        lock: Lock,
    },
    /// The key was changed. Answered.
    KeyChanged {
        /// Whose.
        account: Account,
        /// Its generation.
        key: u32,
    },
    /// Somebody asks for an account's removal: from now on it may be gone.
    Removing {
        /// Whose.
        account: Account,
    },
    /// The removal was answered.
    Removed {
        /// Whose.
        account: Account,
    },
    /// A change of number was answered.
    Moved {
        /// The number that is nobody's now.
        from: Account,
        /// The number that was nobody's.
        to: Account,
    },
    /// Somebody asks for a block: from now on it may hold.
    Blocking {
        /// Who blocks.
        by: Account,
        /// Whom.
        whom: Account,
    },
    /// A block was answered.
    Blocked {
        /// Who has blocked.
        by: Account,
        /// Whom.
        whom: Account,
    },
    /// Somebody asks for the end of a block.
    Unblocked {
        /// Who had blocked.
        by: Account,
        /// Whom; `None`: everybody.
        whom: Option<Account>,
    },
    /// A session begins.
    Began {
        /// A new name.
        session: Session,
        /// Of whom.
        account: Account,
        /// Where.
        device: Device,
        /// The generation of the key that was proved.
        key: u32,
    },
    /// Stream management is on: both sides count from zero.
    Managed {
        /// Where.
        session: Session,
    },
    /// A session goes on over another connection.
    Resumed {
        /// Which.
        session: Session,
        /// The generation of the key that was proved.
        key: u32,
        /// What the server says that it has handled.
        h: u32,
        /// What the client says that has arrived.
        arrived: u32,
    },
    /// A session can't be resumed.
    ResumeRefused {
        /// Which.
        session: Session,
    },
    /// A connection is lost.
    Lost {
        /// Of which session.
        session: Session,
        /// So many stanzas, the last that were written to it, have not arrived.
        missing: u32,
    },
    /// A session is over for good.
    Ended {
        /// Which.
        session: Session,
        /// Why, if the observer knows.
        cause: Option<Cause>,
    },
    /// The server is gone without a farewell, and starts again.
    Crashed {
        /// Whether the disk has lost what was not synced.
        power: bool,
    },
    /// A client sends a stanza.
    Sent {
        /// Where.
        session: Session,
        /// The message, if it is one.
        letter: Option<Letter>,
    },
    /// The server's `<a h/>`.
    Covered {
        /// To which session.
        session: Session,
        /// All that the client has sent up to this count is handled.
        h: u32,
    },
    /// A message comes back as an error.
    Refused {
        /// To which session.
        session: Session,
        /// Whom it was for.
        to: Account,
        /// Which, if the error tells.
        content: Option<Content>,
        /// It says that the sender has reached a bound (`resource-constraint`), which who is blocked does like any stranger.
        is_bound: bool,
    },
    /// A client has got a stanza.
    Shown {
        /// Where.
        session: Session,
        /// The message, if it is one.
        showing: Option<Showing>,
    },
    /// The client's `<a h/>`.
    Acknowledged {
        /// Where.
        session: Session,
        /// It has all up to this count.
        h: u32,
    },
    /// The client's TCP has confirmed everything that was written: an acknowledgement where there is no better one.
    Confirmed {
        /// Where.
        session: Session,
    },
    /// A client without stream management has answered a message with a receipt.
    Receipted {
        /// Where.
        session: Session,
        /// Whose message.
        from: Account,
        /// Which.
        content: Content,
    },
    /// A client is told that something is missing.
    Gap {
        /// Where.
        session: Session,
        /// Why.
        cause: GapCause,
        /// Equal for the same notice, told again.
        notice: StanzaId,
    },
    /// Somebody has looked whether a message is anywhere: on disks, in the mailbox.
    Looked {
        /// The recipient.
        account: Account,
        /// The sender.
        from: Account,
        /// The message.
        content: Content,
        /// Whether a byte of it was there.
        found: bool,
    },
    /// A session has had an answer to its last `<r/>`, and nothing is under way.
    Quiet {
        /// Which.
        session: Session,
    },
    /// A device of the account was there, took messages and acknowledged until nothing more came: what it has not got will
    /// not come.
    Drained {
        /// Whose.
        account: Account,
    },
}

/// An event and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// True time in milliseconds, from any beginning.
    pub at_ms: u64,
    /// What.
    pub event: Event,
}
