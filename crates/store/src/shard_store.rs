//! The store as one shard sees it: the contracts of [mailboxes](Mailboxes), [records](AccountRecords), [contacts](Contacts) and
//! [media](ShardMedia), and what concerns all of an account: that it comes, leaves, and is purged.
//!
//! Nothing here blocks: what takes longer completes with a [`Ticket`], which [`ShardStore::poll`] hands over. Called by the account's owner only.

use crate::books::{self, Contacts};
use crate::mailbox::{Entry, Mailboxes};
use crate::media::{self, ShardMedia};
use crate::records::{AccountRecords, Table, Versioned};
use crate::{AccountId, StoreError, leftovers};

/// What the caller wants back when an append or a record operation completes. Opaque to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u128);

/// What [`ShardStore::poll`] yields.
#[derive(Debug)]
pub enum Completion {
    /// The message with this ticket is durable (or has been acknowledged already).
    Committed(Ticket),
    /// The message with this ticket was not kept.
    Refused(Ticket, StoreError),
    /// A gap has come into this mailbox, or has grown: whoever reads it reads again from the start.
    Gap(AccountId),
    /// The answer to a pending read.
    Read {
        /// The reader's ticket.
        ticket: Ticket,
        /// In order of `seq`; an error if the disk could not be read.
        result: Result<(Vec<Entry>, bool), StoreError>,
    },
    /// The answer to [`ShardStore::load`] or [`AccountRecords::fetch`]: one value per record asked for, in that order.
    Loaded {
        /// The asker's ticket.
        ticket: Ticket,
        /// `None` where there is no record.
        result: Result<Vec<Option<Versioned>>, StoreError>,
        /// With `rosters` among the tables of a load: who of the account's phone book is there, as
        /// [`books::Query::Matches`] says. An account is never in memory without it.
        book: Vec<books::Match>,
    },
    /// The answer to [`AccountRecords::save`] or [`AccountRecords::put`]: the (newest) revision once it is durable.
    Saved {
        /// The asker's ticket.
        ticket: Ticket,
        /// The new revision, or why it was not kept.
        result: Result<crate::Revision, StoreError>,
    },
    /// The answer to [`Contacts::ask_book`] or [`Contacts::edit_book`].
    Book {
        /// The asker's ticket.
        ticket: Ticket,
        /// What was found, or is durable now.
        result: Result<books::Answer, StoreError>,
    },
    /// The answer to [`ShardMedia::ask_media`] or [`ShardMedia::edit_media`].
    Media {
        /// The asker's ticket.
        ticket: Ticket,
        /// What was found, or is durable now.
        result: Result<media::Answer, StoreError>,
    },
    /// The answer to [`ShardStore::purge`], once it is durable in all parts of the store. After an error some of it may come back
    /// with a crash: purge again.
    Purged {
        /// The asker's ticket.
        ticket: Ticket,
        /// Why it may come back.
        result: Result<(), StoreError>,
    },
    /// The answer to [`ShardStore::find_leftovers`].
    Leftovers {
        /// The asker's ticket.
        ticket: Ticket,
        /// What was found.
        result: Result<leftovers::Page, StoreError>,
    },
}

/// See the module. Not shared.
pub trait ShardStore: Mailboxes + AccountRecords + Contacts + ShardMedia + Send {
    /// Asks for an account's records in these tables, by [`AccountId::record_key`], and brings the account here.
    fn load(&mut self, account: AccountId, tables: &'static [Table], ticket: Ticket);

    /// The account is here no more: forgets what its mailbox holds on disk. What is in memory only is kept there as for any other. Reads of
    /// it that are under way are not answered.
    fn leave(&mut self, account: AccountId);

    /// The account is gone: drops its whole mailbox, its phone book, its references to media, and what is kept under its key in
    /// every table of accounts' own, in slices. Its record in [`Table::ACCOUNTS`] is the caller's to delete before. May be repeated, and asked
    /// for an account that nothing is kept of.
    fn purge(&mut self, account: AccountId, ticket: Ticket);

    /// Looks for accounts of which something is kept and no record, a page at a time. Of all shards' accounts.
    fn find_leftovers(&mut self, from: leftovers::Place, ticket: Ticket);

    /// Ends a turn: hands everything submitted since the last call to the engine's writer in one batch.
    /// Cheap when there is nothing.
    fn flush(&mut self);

    /// Moves what has completed into `completions`. Tickets of one account complete in the order of submission.
    fn poll(&mut self, completions: &mut Vec<Completion>);
}
