//! The cursors of those who are here: they come with the account's load, are changed here first, and are on their way to SQLite as a record.
//!
//! The record goes with the acknowledgements, into whatever takes those: it can't be refused. So until SQLite has it, what is here counts and not what a load
//! finds; an account that has left is kept for that long. Bounded by the accounts that are here and by what is on its way.

use super::Front;
use super::tail::MixBuild;
use crate::embedded::journal::effects::Effect;
use crate::embedded::sqlite_writer::{Submitted, Waiter};
use crate::mailbox::Seq;
use crate::records::{Put, Revision, Table};
use crate::{AccountId, Cursors, Mailboxes, Reader};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// See the file's head.
#[derive(Default)]
pub(super) struct Known(HashMap<AccountId, Held, MixBuild>);

/// The readers of one mailbox.
#[derive(Default)]
struct Held {
    cursors: Cursors,
    /// The newest record on its way.
    under_way: Option<Revision>,
    /// The account has left.
    is_away: bool,
}

impl Known {
    fn of(&self, account: AccountId) -> Option<&Cursors> {
        self.0.get(&account).map(|held| &held.cursors)
    }

    /// A load has found these. What is here already is newer.
    fn come(&mut self, account: AccountId, found: Cursors) {
        match self.0.entry(account) {
            Entry::Occupied(mut held) => held.get_mut().is_away = false,
            Entry::Vacant(place) if !found.is_empty() => {
                place.insert(Held { cursors: found, ..Held::default() });
            }
            Entry::Vacant(_) => {}
        }
        self.tidy(account);
    }

    fn leave(&mut self, account: AccountId) {
        if let Some(held) = self.0.get_mut(&account) {
            held.is_away = true;
        }
        self.tidy(account);
    }

    /// SQLite has this record, or never will.
    fn settled(&mut self, account: AccountId, revision: Revision) {
        if let Some(held) = self.0.get_mut(&account)
            && held.under_way == Some(revision)
        {
            held.under_way = None;
        }
        self.tidy(account);
    }

    fn tidy(&mut self, account: AccountId) {
        let is_needed = |held: &Held| held.under_way.is_some() || !(held.is_away || held.cursors.is_empty());
        if self.0.get(&account).is_some_and(|held| !is_needed(held)) {
            self.0.remove(&account);
        }
    }
}

impl Front {
    /// How far the readers of an account's mailbox have come.
    pub(super) fn known_cursors(&self, account: AccountId) -> Cursors {
        self.cursors.of(account).cloned().unwrap_or_default()
    }

    /// A reader has everything up to here.
    ///
    /// No cursor is ahead of what has come: nobody has what has not.
    pub(super) fn advance_cursor(&mut self, account: AccountId, reader: Reader, upto: Seq) {
        let newest = Seq(self.tail.next_seq().0 - 1);
        self.change_cursors(account, |cursors| cursors.advance(reader, upto.min(newest)));
    }

    /// Changes the cursors of a mailbox; if that changes them, the record is on its way, and what all have goes.
    pub(super) fn change_cursors(&mut self, account: AccountId, change: impl FnOnce(&mut Cursors) -> bool) {
        let held = self.cursors.0.entry(account).or_default();
        let before = held.cursors.all_have();
        if !change(&mut held.cursors) {
            return self.cursors.tidy(account);
        }
        let value = (!held.cursors.is_empty()).then(|| held.cursors.to_json());
        let put = Put { table: Table::CURSORS, key: account.record_key(), value };
        let numbered = self.shared.number(Effect::Puts(vec![put]));
        held.under_way = Some(numbered.revision);
        let waiter = Waiter::Cursors { link: self.link.clone(), account, revision: numbered.revision };
        let is_released = held.cursors.all_have() > before;
        // Of what is in one batch the newest says all.
        self.batch_cursors.insert(account, Submitted { numbered, waiter });
        // What an absent device has not read is not looked through whenever another reads on.
        if is_released {
            self.release_read(account);
        }
    }

    /// A load has found how far an account's readers have come.
    pub(super) fn cursors_loaded(&mut self, account: AccountId, found: Cursors) {
        self.cursors.come(account, found);
        // Where a crash came between the two, the cursors are durable and the acknowledgement is not.
        self.release_read(account);
    }

    /// The account is here no more.
    pub(super) fn forget_cursors(&mut self, account: AccountId) {
        self.cursors.leave(account);
    }

    /// The account is dropped, cursors and all.
    pub(super) fn purge_cursors(&mut self, account: AccountId) {
        self.cursors.0.remove(&account);
        self.batch_cursors.remove(&account);
    }

    /// SQLite has this record, or never will.
    pub(super) fn cursors_settled(&mut self, account: AccountId, revision: Revision) {
        self.cursors.settled(account, revision);
    }

    /// What all readers have is acknowledged.
    fn release_read(&mut self, account: AccountId) {
        let Some(upto) = self.cursors.of(account).and_then(Cursors::all_have) else { return };
        let mut seqs: Vec<Seq> = self.tail.seqs(account);
        seqs.retain(|seq| *seq <= upto);
        if let Some(mailbox) = self.tail.mailbox(account) {
            seqs.extend(mailbox.stored_upto(upto));
        }
        if !seqs.is_empty() {
            self.ack(account, &seqs);
        }
    }
}
