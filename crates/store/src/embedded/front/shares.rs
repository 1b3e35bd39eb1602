//! What waits in one mailbox, by sender: enough to keep the shares ([`crate::shares`]), in little memory.
//!
//! Owned by a mailbox' record in the [`tail`](super::tail). What all strangers have is always counted. Single
//! senders only where enough waits for shares to matter: in a table of fixed size in which senders stand by a keyed
//! hash, so that one may be held to have what another one has, but never less than the truth.
//!
//! Messages that the front knows in SQLite count with the sender that is noted there, as long as one is: those that came out of the
//! journal at a start have none, and are nobody's in particular: they count as strangers', and a little of them against everybody.

use crate::AccountId;
use crate::shares::{Count, Sender, Standing, hash};

/// Places in a table: half a KiB.
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

    /// As it is kept with a message in SQLite.
    pub(super) fn to_bits(self) -> u8 {
        self.0
    }

    /// See [`Self::to_bits`].
    pub(super) fn from_bits(bits: u8) -> Self {
        Self(bits)
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
    /// Of strangers, and of nobody in particular.
    strangers: Count,
    /// Of nobody in particular.
    unknown: Count,
    table: Option<Box<[Count; PLACES]>>,
}

impl Senders {
    pub(super) fn has_table(&self) -> bool {
        self.table.is_some()
    }

    /// Makes the table, from all that waits.
    pub(super) fn begin(&mut self, waiting: impl Iterator<Item = (Option<Mark>, usize)>) {
        let mut table = Box::new([Count::default(); PLACES]);
        for (mark, size) in waiting {
            if let Some(mark) = mark {
                table[mark.place()].add(size);
            }
        }
        self.table = Some(table);
    }

    /// So little waits that nobody's share matters.
    pub(super) fn end(&mut self) {
        self.table = None;
    }

    /// A message of this size has come.
    pub(super) fn add(&mut self, mark: Option<Mark>, size: usize) {
        self.change(mark, |count| count.add(size));
    }

    /// A message of this size has gone.
    pub(super) fn sub(&mut self, mark: Option<Mark>, size: usize) {
        self.change(mark, |count| count.sub(size));
    }

    fn change(&mut self, mark: Option<Mark>, change: impl Fn(&mut Count)) {
        if mark.is_none_or(Mark::is_stranger) {
            change(&mut self.strangers);
        }
        match (mark, &mut self.table) {
            (None, _) => change(&mut self.unknown),
            (Some(mark), Some(table)) => change(&mut table[mark.place()]),
            (Some(_), None) => {}
        }
    }

    /// What waits of all strangers.
    pub(super) fn strangers(&self) -> Count {
        self.strangers
    }

    /// What waits of this sender. Without a table: of everybody, or of all strangers. `unshared`: so much of nobody's counts as everybody's.
    pub(super) fn own(&self, mark: Mark, all: Count, unshared: Count) -> Count {
        match &self.table {
            Some(table) => table[mark.place()].plus(self.unknown.at_most(unshared)),
            None if mark.is_stranger() => self.strangers,
            None => all,
        }
    }
}

#[cfg(test)]
mod tests;
