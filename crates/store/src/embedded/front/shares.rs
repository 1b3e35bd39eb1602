//! What waits in one mailbox, by sender: enough to keep the shares ([`crate::shares`]), in little memory.
//!
//! Owned by a mailbox' record in the [`tail`](super::tail). What all strangers have is always counted. Single
//! senders only where enough waits for shares to matter: in a table of fixed size in which senders stand by a keyed
//! hash, so that one may be held to have what another one has, but never less than the truth.
//!
//! What is in memory is counted exactly. What has moved to SQLite leaves it by account and number, and nobody keeps
//! there who had sent it: so what a sender has there counts as all that was moved there of him, but never as more than
//! what is there in all, and as nothing once the mailbox has been read to its end. What was there before
//! the table was made (little, or from before a restart) is nobody's in particular.

use crate::AccountId;
use crate::shares::{Bounds, Count, Sender, Standing, hash};

/// Places in a table: 1 KiB with both halves.
const PLACES: usize = 64;
const STRANGER: u8 = 0x80;

/// Who has sent a message, as far as shares need it: a place in the table, and whether a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u8);

impl Mark {
    pub(super) fn of(key: u64, mailbox: AccountId, sender: Sender) -> Self {
        let place = (hash(key, mailbox, sender.account) % PLACES as u64) as u8;
        Self(if sender.standing == Standing::Stranger { place | STRANGER } else { place })
    }

    fn is_stranger(self) -> bool {
        self.0 & STRANGER != 0
    }

    fn place(self) -> usize {
        usize::from(self.0) % PLACES
    }
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Senders {
    /// Of strangers: in memory, and at most in SQLite.
    strangers: Count,
    spilled_strangers: Count,
    table: Option<Box<Table>>,
    /// There are messages in SQLite from before this opening.
    is_inherited: bool,
}

#[derive(Debug)]
struct Table {
    waiting: [Count; PLACES],
    spilled: [Count; PLACES],
    /// In SQLite, and of nobody in particular: counts against everybody.
    unknown: Count,
}

impl Senders {
    /// Of a mailbox that the last opening has left with so much in SQLite.
    pub(super) fn inherited(spilled: Count) -> Self {
        Self { spilled_strangers: spilled, is_inherited: spilled.messages > 0, ..Self::default() }
    }

    pub(super) fn has_table(&self) -> bool {
        self.table.is_some()
    }

    /// Whether a table made now would not count too little: not where more has moved to SQLite without one.
    pub(super) fn can_begin(&self, spilled: Count, bounds: &Bounds) -> bool {
        self.table.is_none() && (self.is_inherited || spilled.is_within(bounds.unshared))
    }

    /// Makes the table from what is in memory.
    pub(super) fn begin(
        &mut self,
        in_memory: impl Iterator<Item = (Mark, usize)>,
        spilled: Count,
        bounds: &Bounds,
    ) {
        let unknown = spilled.at_most(bounds.unshared);
        let mut table = Box::new(Table {
            waiting: [Count::default(); PLACES],
            spilled: [Count::default(); PLACES],
            unknown,
        });
        in_memory.for_each(|(mark, size)| table.waiting[mark.place()].add(size));
        self.table = Some(table);
    }

    /// So little waits that nobody's share matters.
    pub(super) fn end(&mut self) {
        self.table = None;
    }

    /// A message has come into memory.
    pub(super) fn add(&mut self, mark: Mark, size: usize) {
        if mark.is_stranger() {
            self.strangers.add(size);
        }
        if let Some(table) = &mut self.table {
            table.waiting[mark.place()].add(size);
        }
    }

    /// A message has left memory.
    pub(super) fn sub(&mut self, mark: Mark, size: usize) {
        if mark.is_stranger() {
            self.strangers.sub(size);
        }
        if let Some(table) = &mut self.table {
            table.waiting[mark.place()].sub(size);
        }
    }

    /// A message has come into SQLite.
    pub(super) fn spill(&mut self, mark: Mark, size: usize) {
        if mark.is_stranger() {
            self.spilled_strangers.add(size);
        }
        if let Some(table) = &mut self.table {
            table.spilled[mark.place()].add(size);
        }
    }

    /// Messages have left SQLite: so much is left.
    pub(super) fn spilled_is(&mut self, left: Count) {
        self.spilled_strangers = self.spilled_strangers.at_most(left);
        self.is_inherited &= left.messages > 0;
        if let Some(table) = &mut self.table {
            table.unknown = table.unknown.at_most(left);
            table.spilled.iter_mut().for_each(|spilled| *spilled = spilled.at_most(left));
        }
    }

    /// What waits of all strangers.
    pub(super) fn strangers(&self) -> Count {
        self.strangers.plus(self.spilled_strangers)
    }

    /// What waits of this sender. Without a table: of everybody, or of all strangers.
    pub(super) fn own(&self, mark: Mark, all: Count) -> Count {
        match &self.table {
            Some(table) => {
                let place = mark.place();
                table.waiting[place].plus(table.spilled[place]).plus(table.unknown).at_most(all)
            }
            None if mark.is_stranger() => self.strangers(),
            None => all,
        }
    }
}

#[cfg(test)]
mod tests;
