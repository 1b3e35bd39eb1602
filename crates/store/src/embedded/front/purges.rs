//! Purges: an account is dropped from memory at once, and from both parts of the store as soon as they can.
//!
//! One effect says it to both: recovery takes it for the end of every message before it, and SQLite's writer deletes what it has. Whoever
//! asked hears when that is done: only then can no crash bring anything back.

use super::Front;
use super::effects::Asked;
use crate::embedded::journal::effects::Effect;
use crate::embedded::link::closed_error;
use crate::embedded::sqlite_writer::Waiter;
use crate::mailbox::Seq;
use crate::shard_store::{Completion, Ticket};
use crate::{AccountId, StoreError};

/// The purges of one account that are on their way.
#[derive(Default)]
pub(super) struct Purging {
    count: u32,
    /// They take all up to this.
    upto: Seq,
}

impl Front {
    /// How far a purge that is on its way takes what an account has.
    pub(super) fn purged_upto(&self, account: AccountId) -> Option<Seq> {
        self.purging.get(&account).map(|purging| purging.upto)
    }

    /// Whether a purge that is on its way takes this.
    pub(super) fn is_purged(&self, account: AccountId, seq: Seq) -> bool {
        self.purged_upto(account).is_some_and(|upto| seq <= upto)
    }

    pub(super) fn start_purge(&mut self, account: AccountId, ticket: Ticket) {
        if self.purges.len() >= self.shared.options.queue_requests {
            self.ready.push(Completion::Purged { ticket, result: Err(StoreError::Overloaded) });
            return;
        }
        if self.shared.is_stopped() {
            self.ready.push(Completion::Purged { ticket, result: Err(closed_error()) });
            return;
        }
        let upto = Seq(self.tail.next_seq().0 - 1);
        self.purge_cursors(account);
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
        self.forget_stored(account, upto);
        self.purges.insert(number, ticket);
        let purging = self.purging.entry(account).or_default();
        purging.count += 1;
        purging.upto = upto;
        let waiter = Waiter::Purge { link: self.link.clone(), account, number };
        let effect = Effect::Purge { accounts: vec![account], upto };
        self.submit(effect, waiter, |_| Asked::Purge { account, number });
        self.tail.tidy(account);
    }

    /// Nothing is left of a purged account, or the purge was refused.
    pub(super) fn purged(&mut self, account: AccountId, number: u64, result: Result<(), StoreError>) {
        if let Some(purging) = self.purging.get_mut(&account) {
            purging.count -= 1;
            if purging.count == 0 {
                self.purging.remove(&account);
            }
        }
        if let Some(ticket) = self.purges.remove(&number) {
            self.ready.push(Completion::Purged { ticket, result });
        }
    }
}
