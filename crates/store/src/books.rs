//! The phone book contract: which numbers an account has in its phone book, and which accounts have a number.
//!
//! A book is the least that works: pairs of two integers, owner and number, without names. Whether a number is an account
//! is looked up in [`crate::Table::ACCOUNTS`] when asked, so there is nothing to keep in step.
//! Called through [`crate::Contacts::ask_book`] and [`crate::Contacts::edit_book`]; the answer is a
//! [`crate::Completion::Book`].
//!
//! # Promises
//! - A change is one transaction, together with the records that go with it (the quota it was taken from).
//! - What was committed before a query was submitted is in its answer, whichever shard committed it. So "A adds N" and
//!   "N registers" can't miss each other: whoever commits second and asks afterwards finds the other.
//! - Everything is bounded: whoever wants more than one page of it asks again from where the answer ends.

use crate::AccountId;
use crate::records::{Put, Versioned};

/// What a shard wants to know of the phone books. Answered by a reader thread.
#[derive(Debug, Clone)]
pub enum Query {
    /// All numbers of a book, and with them the record of `limits` with this key (what the owner's quota has left).
    Book {
        /// Whose book.
        owner: AccountId,
        /// The record's key.
        quota: String,
    },
    /// Which numbers of a book are accounts. Looks at the next `limit` numbers of the book.
    Matches {
        /// Whose book.
        owner: AccountId,
        /// Numbers greater than this; 0 for the start.
        after: u64,
        /// How many numbers of the book are looked at.
        limit: usize,
    },
    /// How one account and one number stand with each other.
    Look {
        /// The account.
        owner: AccountId,
        /// The number.
        number: u64,
    },
    /// Who has a number, in order of [`AccountId::to_bits`] as a signed integer.
    Holders {
        /// The number.
        number: u64,
        /// Owners after this one.
        after: Option<AccountId>,
        /// Most owners.
        limit: usize,
    },
}

/// What a shard changes in a phone book. Carried out by the store's writer, each in one transaction.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Adds and removes numbers; what is there already, or not, is no error. Keep it to [`CHANGE_MAX`] numbers.
    Change {
        /// Whose book.
        owner: AccountId,
        /// Numbers to be there.
        add: Vec<u64>,
        /// Numbers to be gone.
        remove: Vec<u64>,
        /// Records written in the same transaction, without a look at their revisions.
        puts: Vec<Put>,
    },
}

/// Numbers in one [`Edit::Change`], so that one huge book does not hold up everybody's writes.
pub const CHANGE_MAX: usize = 2_048;

/// The answer to a [`Query`] or an [`Edit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Book`].
    Book {
        /// In ascending order.
        numbers: Vec<u64>,
        /// The record asked for.
        quota: Option<Versioned>,
    },
    /// To [`Edit::Change`]: which of the numbers that were added or removed are accounts.
    Changed {
        /// In no order.
        accounts: Vec<u64>,
    },
    /// To [`Query::Matches`].
    Matches {
        /// In ascending order of number.
        matches: Vec<Match>,
        /// The last number looked at, if there may be more.
        next: Option<u64>,
    },
    /// To [`Query::Look`].
    Look(Standing),
    /// To [`Query::Holders`].
    Holders {
        /// In order.
        owners: Vec<AccountId>,
        /// Whether there may be more.
        more: bool,
    },
}

/// A number in somebody's book that is an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// The number.
    pub number: u64,
    /// Whether that account has the owner in its own book.
    pub mutual: bool,
}

/// How an account and a number stand with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The number is in the account's book.
    pub holds: bool,
    /// The number is an account.
    pub registered: bool,
    /// The number's account has this account in its book. Never without `registered`.
    pub held: bool,
}

/// The contract of contacts, as one shard sees it: never blocks.
pub trait Contacts {
    /// Asks something of the phone books. Of any account, also another shard's.
    fn ask_book(&mut self, query: Query, ticket: crate::Ticket);

    /// Changes the phone book of an account. Edits of one account become durable in order.
    fn edit_book(&mut self, edit: Edit, ticket: crate::Ticket);
}
