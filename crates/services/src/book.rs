//! Phone books: who is there of the people whose numbers a phone knows.
//!
//! A book is kept as numbers in the store ([`chaski_store::books`]) and nothing else: no names, no spellings. Its owner gets
//! to know which numbers are accounts, and the roster follows ([`following`]). Two forms of one thing: Quicksy's IQ
//! ([`quicksy`]) and HTTPS, which comes as [`crate::command::Action::Book`].
//!
//! **The book is the truth and everything else is told to look again.** A change is committed first; then whoever may be
//! concerned gets a *hint* ([`Letter::Look`](crate::router::Letter)): this account, look how you stand with this number. Who gets
//! it asks the store and follows. So nothing depends on hints being in order, and a lost one costs no more than a
//! delay of a minute: then whoever may have been concerned looks at all of its book, as an account does that is loaded later.
//! Who registers, and who adds a number, commits before asking: whoever is second sees the first, so they can't miss each
//! other.
//!
//! Promises: what is asked of one account's book is done one after the other ([`line`]); nobody learns of more numbers than
//! the [`quota`] allows, across restarts; a huge book holds up neither the shard (slices) nor the store's writer (chunks).
//! An account that has blocked the asker is in the answer like any other: contact sync says who is registered, by design, and a
//! number that vanished for one asker only would tell that it has blocked them.
//! The work itself is in [`crate::shard`] (`books`), since it spans turns. Called by `iq`, `roster` and commands.

pub(crate) mod acquaintances;
pub(crate) mod following;
pub(crate) mod line;
pub(crate) mod quicksy;
pub(crate) mod quota;
pub(crate) mod version;

use crate::command::{BookChange, BookView, Contacts, Leaving, Reply};
use crate::roster::answer::ItemRemoval;
use chaski_store::AccountId;
use chaski_store::books::Match;
use std::collections::HashMap;

chaski_telemetry::metrics! {
    /// What contact sync counts.
    pub struct BookMetrics("chaski_books") {
        /// Syncs asked for, by both forms.
        syncs_total: Counter,
        /// Of those, refused because of the quota.
        quota_reached_total: Counter,
        /// First stanzas to numbers that draw on the same quota.
        first_stanzas_total: Counter,
        /// First stanzas refused because of it.
        first_stanzas_refused_total: Counter,
        /// Of those, refused because too much waits.
        busy_total: Counter,
        /// Numbers added to books.
        numbers_added_total: Counter,
        /// Numbers removed from books.
        numbers_removed_total: Counter,
        /// Accounts of a book that had no room in their owner's roster.
        unlisted_total: Counter,
        /// Accounts told to look at one number again.
        looks_total: Counter,
        /// Numbers whose holders were told that it came or went.
        tellings_total: Counter,
        /// Numbers whose holders were not told because too many waited.
        tellings_lost_total: Counter,
        /// How often accounts of a shard were not told; within a minute all of them look at all of their books.
        hints_lost_total: Counter,
        /// Accounts whose books have something to do.
        lines: Gauge,
    }
}

/// Something to be done with one account's book.
pub(crate) struct Wish {
    pub(crate) account: AccountId,
    pub(crate) want: Want,
    pub(crate) answer: Answer,
}

/// What is to be done.
pub(crate) enum Want {
    /// A sync whose numbers are as people wrote them: the whole book.
    Spelled(Vec<Box<str>>),
    /// A sync.
    Change(BookChange),
    /// A number's account has come or gone or changed its own book: how do we stand with it?
    Look(u64),
    /// The same for all of the book.
    LookAtAll,
    /// The account's owner changes their number: all of it is to be told.
    Leave,
    /// The number is registered again: who has each other is to be told.
    Contacts,
}

impl Want {
    /// Whoever asked has proved the account's key. (Who has changed their number has not: they are one of its contacts.)
    pub(crate) fn is_by_key(&self) -> bool {
        self.is_asked_for() && !matches!(self, Self::Change(BookChange::Adopt(_)))
    }

    /// Somebody waits for it and may be told to come back.
    pub(crate) fn is_asked_for(&self) -> bool {
        matches!(self, Self::Spelled(_) | Self::Change(_))
    }
}

/// Who is told what came of it.
pub(crate) enum Answer {
    /// Nobody.
    None,
    /// A session that sent Quicksy's form.
    Quicksy(Box<quicksy::Asked>),
    /// A session that has removed a roster item which is in the book.
    Roster(Box<ItemRemoval>),
    /// Whoever gave a command.
    Command(Reply<Box<BookView>>),
    /// Whoever moves the account to another number.
    Leaving(Reply<Box<Leaving>>),
    /// Whoever registers the number again.
    Contacts(Reply<Contacts>),
}

/// What a sync found.
pub(crate) struct Synced {
    /// How many numbers the book has.
    pub(crate) numbers: usize,
    /// The numbers themselves, for [`Want::Leave`] only.
    pub(crate) book: Vec<u64>,
    /// Which of them are accounts, in ascending order.
    pub(crate) matches: Vec<Match>,
    /// How a number was spelled, where that was not E.164.
    pub(crate) spelled: HashMap<u64, Box<str>>,
}

/// Why a sync was not done. Nothing is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// More new numbers than the quota has left.
    Quota { retry_after_ms: u64 },
    /// More numbers than a book may have.
    TooMany,
    /// Too much waits.
    Busy,
    /// The store failed.
    Failed,
    /// The account is gone.
    Gone,
}
