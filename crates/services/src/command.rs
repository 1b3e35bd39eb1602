//! What the HTTP side, the admin socket, and the ad-hoc commands of XEP-0133 ask of an account's owner.
//!
//! A command goes to [`crate::shard::Shard::command`] of any shard; it is carried out by the account's owner and
//! answered exactly once through its [`Reply`].

use crate::accounts::AccountRecord;
use crate::directory::Account;
use crate::outbox::Turn;
use chaski_store::AccountId;
use chaski_store::records::Put;

/// Something to be done to an account by its owner.
pub enum Action {
    /// Makes the account or replaces its record. If the key's generation changes, all sessions and resumptions end at
    /// once with `not-authorized`. Refused with [`Refusal::Conflict`] unless the stored generation is `expected`
    /// (`None`: no such account; `Some(None)` is not needed: use [`Expected::Any`] for an operator).
    SetAccount {
        /// The new record.
        record: Box<AccountRecord>,
        /// What must be there now.
        expected: Expected,
    },
    /// Removes the account with everything that is kept of it, and ends its sessions. Answered once nothing can come back,
    /// whatever crashes. Commands that come for it meanwhile wait for that: a [`Self::SetAccount`] with
    /// [`Expected::Absent`] that is given behind it makes the number's account anew.
    RemoveAccount,
    /// What of an account that is [marked](AccountRecord::moving_to) goes with its owner to another number. Answered by
    /// [`Done::Leaving`]; [`Refusal::Conflict`] if it is not marked.
    Leave,
    /// Makes the account of a number that its owner has changed to, and in the same transaction writes what goes with
    /// them. Refused with [`Refusal::Conflict`] if there is an account.
    Arrive {
        /// Its record.
        record: Box<AccountRecord>,
        /// Records of its own.
        puts: Vec<Put>,
    },
    /// As [`Self::RemoveAccount`], if it is still [marked](AccountRecord::moving_to); else there is
    /// [nothing](Refusal::NoSuchAccount) to remove.
    RemoveMoved,
    /// The account's record and whether it is online.
    ShowAccount,
    /// The account's sessions.
    ListSessions,
    /// Ends one session (by resource) or all.
    Kick {
        /// `None`: all.
        resource: Option<String>,
    },
    /// The account's phone book is shown or changed. Answered by [`Done::Book`].
    Book(BookChange),
    /// The account's privacy settings are shown, after this change if there is one. Answered by [`Done::Privacy`]; asked by
    /// [`Reply::Call`] only.
    Privacy(Option<PrivacyChange>),
    /// As [`Self::RemoveAccount`], if the account still has this key and nobody has been there since this time; else
    /// [`Refusal::Conflict`].
    RemoveSilent {
        /// The key's generation.
        generation: u32,
        /// What its record says.
        seen_unix_ms: u64,
    },
    /// Who the account's contacts are, as far as it is one of theirs, and by its phone book as it is now: answered by
    /// [`Done::Contacts`].
    Contacts,
    /// The account is told of a contact's new key, if that is one of its contacts and not blocked. Answered once its
    /// mailbox has that durably.
    TellOfKey(NewKey),
    /// This, if the account still has the key of this generation, which whoever asks has proved; else there is
    /// [no such account](Refusal::NoSuchAccount).
    IfKey {
        /// The key's generation.
        generation: u32,
        /// What is to be done.
        action: Box<Action>,
    },
    /// Something was found of an account that has no record: delete it if there is still no such account.
    ClearLeftovers,
}

/// What is to become of a phone book. Numbers are E.164 digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BookChange {
    /// Nothing: who is there?
    Show,
    /// It is this.
    Replace(Vec<u64>),
    /// Some are added and others removed; what is in both is added.
    Change {
        /// To be in it.
        add: Vec<u64>,
        /// To be in it no more.
        remove: Vec<u64>,
    },
    /// Some are added that somebody has paid for already: a change of number. Costs nothing of the quota.
    Adopt(Vec<u64>),
}

impl BookChange {
    /// How many numbers it names.
    pub fn numbers(&self) -> usize {
        match self {
            Self::Show => 0,
            Self::Replace(numbers) | Self::Adopt(numbers) => numbers.len(),
            Self::Change { add, remove } => add.len() + remove.len(),
        }
    }
}

/// What is to become of privacy settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivacyChange {
    /// The rules that change.
    pub patch: crate::privacy::Patch,
    /// What it does not name becomes as it was at first, instead of staying.
    pub whole: bool,
}

/// A number has a new key: what its contacts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewKey {
    /// The number, as E.164 digits.
    pub number: u64,
    /// When.
    pub unix_ms: u64,
    /// The account is a new one as well: it may be somebody else's.
    pub is_new: bool,
    /// Whoever is told is a contact by the phone books of both, as the store has them: their roster may not have followed yet,
    /// or have no room.
    pub is_by_books: bool,
}

/// What [`Action::SetAccount`] expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever.
    Any,
    /// No account.
    Absent,
    /// An account whose key has this generation.
    Generation(u32),
}

/// An action, whom it concerns, and who waits for the outcome.
pub struct Command {
    /// The account concerned.
    pub account: AccountId,
    /// What is to be done.
    pub action: Action,
    /// Who is told. `None` inside [`crate::outbox::Post::Command`], where the router fills it in.
    pub reply: Option<Reply>,
}

/// How a room goes on with an outcome.
pub type RoomReply = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Outcome) + Send>;

/// How the outcome gets back.
pub enum Reply {
    /// To a thread outside the shards. Must not block.
    Call(Box<dyn FnOnce(Outcome) + Send>),
    /// To a room of the account concerned, on its shard, if it is in memory. After the removal of an account: before its
    /// sessions end.
    Room {
        /// The account concerned.
        account: AccountId,
        /// The room goes on.
        then: RoomReply,
    },
    /// To a session's ad-hoc command: where that is, the session, and the room's memo.
    Session {
        /// Whose session it is.
        place: crate::places::Place,
        /// The session.
        session: crate::wire::SessionId,
        /// See [`crate::outbox::Post::Command`].
        memo: Box<str>,
    },
}

/// What came of a command.
pub type Outcome = Result<Done, Refusal>;

/// A command's success.
#[derive(Debug, Clone)]
pub enum Done {
    /// It is done and durable.
    Done,
    /// The answer to [`Action::ShowAccount`].
    Account {
        /// The record.
        record: Box<AccountRecord>,
        /// Its sessions.
        sessions: Vec<SessionSummary>,
        /// Messages that wait.
        waiting_messages: u64,
        /// Their bytes.
        waiting_bytes: u64,
    },
    /// The answer to [`Action::ListSessions`].
    Sessions(Vec<SessionSummary>),
    /// The answer to [`Action::Book`].
    Book(Box<BookView>),
    /// The answer to [`Action::Leave`].
    Leaving(Box<Leaving>),
    /// The answer to [`Action::Contacts`]: each account once.
    Contacts {
        /// By the phone books of both.
        by_books: Vec<AccountId>,
        /// The others: by subscriptions both ways.
        by_subscription: Vec<AccountId>,
    },
    /// The answer to [`Action::Privacy`].
    Privacy(crate::privacy::View),
    /// The answer to [`Action::Kick`]: how many sessions were ended.
    Kicked(usize),
}

/// What goes with somebody who changes their number, besides what is only in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The roster's document, as it is to be under the new number.
    pub roster: Vec<u8>,
    /// The phone book.
    pub book: Vec<u64>,
    /// Whose phone book has the account, of those in its own.
    pub mutual: Vec<u64>,
    /// Messages that wait. Nothing is added to them while the account is marked.
    pub waiting_messages: u64,
}

/// A phone book, as far as others are in it who are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookView {
    /// How many numbers it has.
    pub numbers: usize,
    /// Which of them are accounts, in ascending order.
    pub matches: Vec<u64>,
    /// Changes with `matches`, and with nothing else.
    pub version: String,
}

/// A session, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    /// Its full JID.
    pub full_jid: String,
    /// Whether it has sent initial presence.
    pub available: bool,
    /// Its priority.
    pub priority: i8,
    /// Whether it has no connection now and waits to be resumed.
    pub hibernating: bool,
    /// Unacknowledged stanzas queued for it.
    pub unacknowledged: usize,
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such account.
    #[error("no such account")]
    NoSuchAccount,
    /// The account is not in the state that was expected.
    #[error("the account was changed by somebody else")]
    Conflict,
    /// The store did not answer or is full; try again.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What was asked for is not possible.
    #[error("{0}")]
    NotAcceptable(String),
    /// Too much waits; try again.
    #[error("the server is overloaded")]
    Overloaded,
    /// More new numbers than the account's quota has left.
    #[error("too many new numbers; again in {} seconds", retry_after_ms.div_ceil(1_000))]
    Limited {
        /// How long until it has enough.
        retry_after_ms: u64,
    },
    /// More numbers than a phone book may have.
    #[error("more numbers than a phone book may have")]
    TooLarge,
}
