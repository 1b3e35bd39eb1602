//! Requests to an account's owner from outside it: from HTTP, the admin socket, registration, the ad-hoc commands of XEP-0133,
//! and from a room that removes its own account.
//!
//! Each request is a type that names its answer ([`Request`]), and its [`Action`] has the [`Reply`] that takes exactly that
//! answer: the owner can't answer with anything else, and the asker gets that answer or a [`Refusal`]. A [`Command`] may be given
//! to [`crate::shard::Shard::command`] of any shard. It is carried out by the account's owner and answered exactly once
//! ([`reply`] says what enforces that). Outside the shards all requests are made through [`crate::effects::owners::Owners`].
//!
//! Only the request travels to another place, as data ([`Question`]). What waits for its answer stays with the asker
//! ([`crate::owner`], `asked`), and so does the time limit.

mod form;
pub(crate) mod reply;

pub use reply::{AtWork, Call, Carrier, Reply};

use crate::account::record::AccountRecord;
use crate::account::settings;
use crate::places::Place;
use crate::trace::TracePage;
use chaski_store::AccountId;
use chaski_store::records::Put;
use reply::{Due, Kept};

/// How long an asker waits for an answer, in milliseconds. Most answers come within a turn and a write to the disk; a phone book
/// of 50,000 numbers with a removal behind it takes seconds. HTTP clients commonly give up after 30 seconds, and get the answer
/// before that.
pub const ANSWER_MS: u64 = 25_000;

/// A request that can be made of an account's owner.
pub trait Request: Sized + Send + 'static {
    /// The owner's answer, unless it refuses.
    type Answer: Kept;

    /// The request together with what waits for its answer.
    fn with(self, reply: Reply<Self::Answer>) -> Action;
}

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident($request:ty) => $answer:ty;)*) => {
        /// A request, and who waits for its answer.
        pub enum Action {
            $($(#[$doc])* $name($request, Reply<$answer>),)*
        }

        /// A request on its way to an owner at another place: data.
        pub(crate) enum Question {
            $($name($request),)*
        }

        $(impl Request for $request {
            type Answer = $answer;

            fn with(self, reply: Reply<$answer>) -> Action {
                Action::$name(self, reply)
            }
        })*

        impl Action {
            /// The request to be sent, and who is to be told when its answer comes.
            pub(crate) fn part(self) -> (Question, reply::Waiting) {
                match self {
                    $(Self::$name(request, reply) => (Question::$name(request), reply.into()),)*
                }
            }

            /// Whoever waits is refused.
            pub(crate) fn refused(self, refusal: Refusal) -> Due {
                match self {
                    $(Self::$name(_, reply) => reply.with(Err(refusal)),)*
                }
            }

            fn carried(self, carrier: &impl Carrier) -> Self {
                match self {
                    $(Self::$name(request, reply) => Self::$name(request, reply.carried(carrier)),)*
                }
            }
        }

        impl Question {
            /// The request as it is carried out, answered to where it has come from.
            pub(crate) fn asked_by(self, asker: Place, number: u64) -> Action {
                match self {
                    $(Self::$name(request) => request.with(Reply::letter(asker, number)),)*
                }
            }
        }
    };
}

requests! {
    /// See [`SetAccount`].
    SetAccount(SetAccount) => ();
    /// See [`RemoveAccount`].
    RemoveAccount(RemoveAccount) => ();
    /// See [`Leave`].
    Leave(Leave) => Box<Leaving>;
    /// See [`Arrive`].
    Arrive(Arrive) => ();
    /// See [`RemoveMoved`].
    RemoveMoved(RemoveMoved) => ();
    /// See [`ShowAccount`].
    ShowAccount(ShowAccount) => AccountView;
    /// See [`ListSessions`].
    ListSessions(ListSessions) => Vec<SessionSummary>;
    /// See [`Kick`].
    Kick(Kick) => Kicked;
    /// The account's phone book is shown or changed.
    Book(BookChange) => Box<BookView>;
    /// See [`SetPrivacy`].
    Privacy(SetPrivacy) => settings::View;
    /// See [`RemoveSilent`].
    RemoveSilent(RemoveSilent) => ();
    /// See [`ShowContacts`].
    Contacts(ShowContacts) => Contacts;
    /// The account is told of a contact's new key, if that is one of its contacts and not blocked. Answered once its
    /// mailbox has that durably.
    TellOfKey(NewKey) => ();
    /// See [`ClearLeftovers`].
    ClearLeftovers(ClearLeftovers) => ();
    /// See [`Trace`].
    Trace(Trace) => TracePage;
    /// See [`DumpAccount`].
    DumpAccount(DumpAccount) => Dumped;
    /// See [`DumpShard`].
    DumpShard(DumpShard) => Dumped;
}

/// Makes the account or replaces its record. If the key's generation changes, all sessions and resumptions end at once with
/// `not-authorized`. Refused with [`Refusal::Conflict`] unless the present account is as `expected`. Answered when it is durable.
#[derive(Debug, Clone)]
pub struct SetAccount {
    /// The new record.
    pub record: Box<AccountRecord>,
    /// The state in which the account must be.
    pub expected: Expected,
}

/// Removes the account with everything that is kept of it, and ends its sessions. Answered when nothing can come back, whatever
/// crashes. Commands for the account that come meanwhile wait: a [`SetAccount`] with [`Expected::Absent`] makes the number's
/// account anew afterwards.
#[derive(Debug, Clone, Copy)]
pub struct RemoveAccount;

/// Says what an account that is [marked](AccountRecord::moving_to) takes along to its owner's other number. [`Refusal::Conflict`]
/// if the account is not marked.
#[derive(Debug, Clone, Copy)]
pub struct Leave;

/// Makes the account of a number that its owner has changed to, and writes what the owner takes along in the same transaction.
/// Refused with [`Refusal::Conflict`] if the account exists.
#[derive(Debug, Clone)]
pub struct Arrive {
    /// The new account's record.
    pub record: Box<AccountRecord>,
    /// The other records of the new account.
    pub puts: Vec<Put>,
}

/// The same as [`RemoveAccount`], if the account is still [marked](AccountRecord::moving_to); otherwise there is [no such
/// account](Refusal::NoSuchAccount) to remove.
#[derive(Debug, Clone, Copy)]
pub struct RemoveMoved;

/// The account's record and whether it is online.
#[derive(Debug, Clone, Copy)]
pub struct ShowAccount;

/// The account's sessions.
#[derive(Debug, Clone, Copy)]
pub struct ListSessions;

/// Ends one session (by resource) or all.
#[derive(Debug, Clone)]
pub struct Kick {
    /// `None`: all.
    pub resource: Option<String>,
}

/// Changes the account's privacy settings, if a change is given, and shows them.
#[derive(Debug, Clone)]
pub struct SetPrivacy(pub Option<PrivacyChange>);

/// The same as [`RemoveAccount`], if the account still has this key and has not been used since this time; otherwise
/// [`Refusal::Conflict`].
#[derive(Debug, Clone, Copy)]
pub struct RemoveSilent {
    /// The generation of the account's key.
    pub generation: u32,
    /// When the account was last seen, according to its record.
    pub seen_unix_ms: u64,
}

/// Lists the account's contacts that have it as a contact in turn, by the phone books as they are now and by subscriptions.
#[derive(Debug, Clone, Copy)]
pub struct ShowContacts;

/// Something was found in the store of an account without a record: deletes it, if there is still no such account.
#[derive(Debug, Clone, Copy)]
pub struct ClearLeftovers;

/// Shows what has happened to the account after the event of this number (0: from now on). The account is traced as long as this
/// is asked.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    /// [`TracePage::next`] of the previous answer.
    pub after: u64,
}

/// What the owner has in memory of the account.
#[derive(Debug, Clone, Copy)]
pub struct DumpAccount;

/// Shows what the owner of the account, which need not exist, has in memory of all accounts.
#[derive(Debug, Clone, Copy)]
pub struct DumpShard;

/// A request about a phone book. Numbers are E.164 digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BookChange {
    /// Change nothing; show which of the numbers have accounts.
    Show,
    /// Replace the phone book by these numbers.
    Replace(Vec<u64>),
    /// Add and remove numbers. A number in both lists is added.
    Change {
        /// The numbers to be added.
        add: Vec<u64>,
        /// The numbers to be removed.
        remove: Vec<u64>,
    },
    /// Add numbers that were paid for already, after a change of number. Takes nothing from the quota.
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

/// A change of privacy settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivacyChange {
    /// The rules that change.
    pub patch: crate::account::settings::Patch,
    /// Rules that the patch does not name are reset to the defaults, instead of staying as they are.
    pub whole: bool,
}

/// The notice that a number has a new key, for its contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewKey {
    /// The number, as E.164 digits.
    pub number: u64,
    /// When the key was made.
    pub unix_ms: u64,
    /// The account is a new one, too: it may be another person's.
    pub is_new: bool,
    /// The recipient is a contact by the phone books of both, as the store has them: its roster may not have followed yet, or may
    /// be full.
    pub is_by_books: bool,
}

/// What [`SetAccount`] expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Any state.
    Any,
    /// No account.
    Absent,
    /// An account whose key has this generation.
    Generation(u32),
}

/// The account that a command is for, and on what condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whom {
    /// The account.
    pub account: AccountId,
    /// The generation of the key that the asker has proved. If the account has another key by then, the command is refused: there
    /// is [no such account](Refusal::NoSuchAccount).
    pub key: Option<u32>,
}

impl From<AccountId> for Whom {
    fn from(account: AccountId) -> Self {
        Self { account, key: None }
    }
}

/// A request, the account it is for, and what waits for the answer.
pub struct Command {
    /// The account concerned.
    pub whom: Whom,
    /// What is to be done.
    pub action: Action,
}

impl Command {
    /// A request for an account's owner, answered by `reply`.
    pub fn new<R: Request>(whom: impl Into<Whom>, request: R, reply: Reply<R::Answer>) -> Self {
        Self { whom: whom.into(), action: request.with(reply) }
    }

    /// Refuses a command that was given outside the shards.
    pub fn refuse(self, refusal: Refusal) {
        self.action.refused(refusal).done();
    }

    /// This command, with its answer passing through `carrier` if it goes outside the shards.
    #[must_use]
    pub fn carried(self, carrier: &impl Carrier) -> Self {
        Self { action: self.action.carried(carrier), ..self }
    }
}

/// A request for an account of another place. `asker` and `number` say where its answer goes.
pub(crate) struct Asked {
    pub(crate) asker: Place,
    pub(crate) number: u64,
    pub(crate) whom: Whom,
    pub(crate) question: Question,
}

/// The answer to [`ShowAccount`].
#[derive(Debug, Clone)]
pub struct AccountView {
    /// The record.
    pub record: Box<AccountRecord>,
    /// Its sessions.
    pub sessions: Vec<SessionSummary>,
    /// Messages that wait.
    pub waiting_messages: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
}

/// The answer to [`ShowContacts`]: each account once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contacts {
    /// Contacts by the phone books of both.
    pub by_books: Vec<AccountId>,
    /// All others: contacts by subscriptions both ways.
    pub by_subscription: Vec<AccountId>,
}

/// The answer to [`Kick`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kicked {
    /// How many sessions were ended.
    pub sessions: usize,
}

/// What an owner has in memory, as a JSON object. Its fields are for people, and change with the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dumped(pub String);

/// What the owner of an account takes along to another number, in addition to the records in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The roster's document, as it is to be under the new number.
    pub roster: Vec<u8>,
    /// The phone book.
    pub book: Vec<u64>,
    /// Those accounts in its phone book that have it in theirs.
    pub mutual: Vec<u64>,
    /// How many messages wait. None is added while the account is marked.
    pub waiting_messages: u64,
}

/// The result of a request about a phone book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookView {
    /// How many numbers the phone book has.
    pub numbers: usize,
    /// The numbers among them that have accounts, in ascending order.
    pub matches: Vec<u64>,
    /// Changes whenever `matches` changes, and only then.
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

impl Refusal {
    /// There is no answer, or it has not come in time.
    pub fn unanswered() -> Self {
        Self::Unavailable("the account's owner did not answer".to_owned())
    }
}
