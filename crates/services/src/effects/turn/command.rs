//! What is asked of an account's owner by whoever is not one: HTTP, the admin socket, registration, the ad-hoc commands of
//! XEP-0133, a room that removes its own account.
//!
//! Each request is a type that names its answer ([`Request`]), and its [`Action`] has the [`Reply`] that takes exactly that
//! answer: the owner can't answer with something else, and whoever asks gets what they asked for or a [`Refusal`]. A
//! [`Command`] goes to [`crate::shard::Shard::command`] of any shard, is carried out by the account's owner and answered
//! exactly once ([`reply`] says what enforces that). From outside the shards everybody asks through [`crate::effects::owners::Owners`].
//!
//! To another place goes the request alone, as data ([`Question`]); who waits for its answer stays with the asker
//! ([`crate::shard`], `asked`), and so does the time limit.

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

/// How long whoever asks waits for an answer, in milliseconds. Most come within a turn and a write to the disk; a phone book
/// of 50,000 numbers and a removal behind it take seconds. Clients of the HTTP side commonly give up at 30 seconds: they
/// are told before.
pub const ANSWER_MS: u64 = 25_000;

/// Something that can be asked of an account's owner.
pub trait Request: Sized + Send + 'static {
    /// What the owner answers, if it does not refuse.
    type Answer: Kept;

    /// The request, and who waits for its answer.
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
/// `not-authorized`. Refused with [`Refusal::Conflict`] unless what is there is as `expected`. Answered once it is durable.
#[derive(Debug, Clone)]
pub struct SetAccount {
    /// The new record.
    pub record: Box<AccountRecord>,
    /// What must be there now.
    pub expected: Expected,
}

/// Removes the account with everything that is kept of it, and ends its sessions. Answered once nothing can come back,
/// whatever crashes. Commands that come for it meanwhile wait for that: a [`SetAccount`] with [`Expected::Absent`] that is
/// given behind it makes the number's account anew.
#[derive(Debug, Clone, Copy)]
pub struct RemoveAccount;

/// What of an account that is [marked](AccountRecord::moving_to) goes with its owner to another number.
/// [`Refusal::Conflict`] if it is not marked.
#[derive(Debug, Clone, Copy)]
pub struct Leave;

/// Makes the account of a number that its owner has changed to, and in the same transaction writes what goes with them.
/// Refused with [`Refusal::Conflict`] if there is an account.
#[derive(Debug, Clone)]
pub struct Arrive {
    /// Its record.
    pub record: Box<AccountRecord>,
    /// Records of its own.
    pub puts: Vec<Put>,
}

/// As [`RemoveAccount`], if it is still [marked](AccountRecord::moving_to); else there is [nothing](Refusal::NoSuchAccount)
/// to remove.
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

/// The account's privacy settings are shown, after this change if there is one.
#[derive(Debug, Clone)]
pub struct SetPrivacy(pub Option<PrivacyChange>);

/// As [`RemoveAccount`], if the account still has this key and nobody has been there since this time; else
/// [`Refusal::Conflict`].
#[derive(Debug, Clone, Copy)]
pub struct RemoveSilent {
    /// The key's generation.
    pub generation: u32,
    /// What its record says.
    pub seen_unix_ms: u64,
}

/// Who the account's contacts are, as far as it is one of theirs, and by its phone book as it is now.
#[derive(Debug, Clone, Copy)]
pub struct ShowContacts;

/// Something was found of an account that has no record: delete it if there is still no such account.
#[derive(Debug, Clone, Copy)]
pub struct ClearLeftovers;

/// What has happened to the account behind the event of this number (0: from now on). It is traced as long as somebody asks.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    /// [`TracePage::next`] of the answer before.
    pub after: u64,
}

/// What the owner has in memory of the account.
#[derive(Debug, Clone, Copy)]
pub struct DumpAccount;

/// What the owner of the account, which need not exist, has in memory of everybody.
#[derive(Debug, Clone, Copy)]
pub struct DumpShard;

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
    pub patch: crate::account::settings::Patch,
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

/// What [`SetAccount`] expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever.
    Any,
    /// No account.
    Absent,
    /// An account whose key has this generation.
    Generation(u32),
}

/// The account concerned, and on what condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whom {
    /// The account.
    pub account: AccountId,
    /// The generation of the key that whoever asks has proved. If the account has another one when it comes to that, there
    /// is [no such account](Refusal::NoSuchAccount).
    pub key: Option<u32>,
}

impl From<AccountId> for Whom {
    fn from(account: AccountId) -> Self {
        Self { account, key: None }
    }
}

/// What is to be done, for whom, and who waits for the answer.
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

    /// Whoever waits outside the shards is refused.
    pub fn refuse(self, refusal: Refusal) {
        self.action.refused(refusal).done();
    }

    /// The same, with its answer going by way of `carrier` if it goes outside the shards.
    #[must_use]
    pub fn carried(self, carrier: &impl Carrier) -> Self {
        Self { action: self.action.carried(carrier), ..self }
    }
}

/// A request for an account of another place, and where its answer goes: the number is the asker's.
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
    /// By the phone books of both.
    pub by_books: Vec<AccountId>,
    /// The others: by subscriptions both ways.
    pub by_subscription: Vec<AccountId>,
}

/// The answer to [`Kick`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kicked {
    /// How many sessions were ended.
    pub sessions: usize,
}

/// What an owner has in memory, as a JSON object. Its fields are for people: they come and go with what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dumped(pub String);

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

impl Refusal {
    /// There is no answer, or none in time.
    pub fn unanswered() -> Self {
        Self::Unavailable("the account's owner did not answer".to_owned())
    }
}
