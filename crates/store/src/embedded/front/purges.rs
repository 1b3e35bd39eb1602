//! Purges: an account is dropped from memory at once, and from both parts of the store as soon as they can.
//!
//! The journal is told by a record that makes everything before it void, SQLite's writer by an operation. Whoever asked hears
//! when both are durable: only then can no crash bring anything back.

use super::Front;
use crate::embedded::journal::format;
use crate::embedded::link::closed_error;
use crate::embedded::sqlite_writer::ToSqlite;
use crate::mailbox::{Completion, Seq, Ticket};
use crate::{AccountId, StoreError};

/// A purge that is not durable yet.
pub(super) struct PendingPurge {
    ticket: Ticket,
    /// What became of its record in the journal.
    journal: Option<Result<(), StoreError>>,
    is_deleted: bool,
}

impl Front {
    pub(super) fn start_purge(&mut self, account: AccountId, ticket: Ticket) {
        if self.purges.len() >= self.shared.options.queue_requests {
            self.ready.push(Completion::Purged { ticket, result: Err(StoreError::Overloaded) });
            return;
        }
        let upto = Seq(self.tail.next_seq().0 - 1);
        for seq in self.tail.seqs(account) {
            // An entry that is acknowledged already, or was just released by the one before, is left alone.
            if let Some(at) = self.tail.find(seq)
                && !self.tail.slot(at).is_held()
            {
                self.ack_in_memory(at);
            }
        }
        self.last_purge += 1;
        let number = self.last_purge;
        self.forget_spilled(account, upto);
        format::encode_purge(&mut self.buffers.acks, account, upto);
        self.batch_purges.push(number);
        self.purges.insert(number, PendingPurge { ticket, journal: None, is_deleted: false });
        let purge = ToSqlite::Purge { link: self.link.clone(), account, upto, number };
        match self.shared.to_sqlite.send(purge) {
            Ok(()) => *self.purging.entry(account).or_default() += 1,
            Err(_) => self.fail_purge(number),
        }
        self.tail.tidy(account);
    }

    fn fail_purge(&mut self, number: u64) {
        if let Some(PendingPurge { ticket, .. }) = self.purges.remove(&number) {
            self.ready.push(Completion::Purged { ticket, result: Err(closed_error()) });
        }
    }

    /// The journal has the records of these purges, or not.
    pub(super) fn purges_written(&mut self, numbers: &[u64], result: &Result<(), StoreError>) {
        for &number in numbers {
            if let Some(purge) = self.purges.get_mut(&number) {
                purge.journal = Some(result.clone());
            }
            self.complete_purge(number);
        }
    }

    /// SQLite has deleted what a purge was for.
    pub(super) fn purge_deleted(&mut self, account: AccountId, number: u64) {
        if let Some(count) = self.purging.get_mut(&account) {
            *count -= 1;
            if *count == 0 {
                self.purging.remove(&account);
            }
        }
        if let Some(purge) = self.purges.get_mut(&number) {
            purge.is_deleted = true;
        }
        self.complete_purge(number);
    }

    fn complete_purge(&mut self, number: u64) {
        let Some(PendingPurge { ticket, journal: Some(result), is_deleted: true }) = self.purges.get(&number)
        else {
            return;
        };
        self.ready.push(Completion::Purged { ticket: *ticket, result: result.clone() });
        self.purges.remove(&number);
    }
}
