//! Accounts coming here and leaving: their records, and what SQLite holds of their mailboxes.

use super::Front;
use crate::embedded::database::Waiting;
use crate::embedded::link::closed_error;
use crate::embedded::readers::Job;
use crate::records::Wanted;
use crate::shard_store::{Completion, Ticket};
use crate::{AccountId, StoreError};

impl Front {
    /// Reads records of an account behind the saves that are under way.
    pub(super) fn start_load(&mut self, account: AccountId, wanted: Wanted, ticket: Ticket) {
        if self.loading + self.deferred_loads.len() >= self.shared.options.queue_requests {
            self.ready.push(loaded_nothing(ticket, StoreError::Overloaded));
        } else if self.saving.contains_key(&account) {
            self.deferred_loads.push((account, wanted, ticket));
        } else {
            self.send_load(account, wanted, ticket);
        }
    }

    pub(super) fn send_load(&mut self, account: AccountId, wanted: Wanted, ticket: Ticket) {
        self.loading += 1;
        let is_account = matches!(wanted, Wanted::Tables(_));
        if is_account {
            self.loads.begin(account, self.purged_upto(account));
            self.tail.begin_come(account);
        }
        let has_book = wanted.has_book();
        let job = Job::Load { link: self.link.clone(), account, wanted, ticket };
        let sent = if has_book { self.shared.read_books(job) } else { self.shared.read(job) };
        if sent.is_err() {
            self.loading -= 1;
            if is_account {
                self.loads.end(account, Waiting::default());
            }
            self.ready.push(loaded_nothing(ticket, closed_error()));
        }
    }

    /// SQLite has said what waits there for an account, or could not.
    pub(super) fn mailbox_loaded(&mut self, account: AccountId, waiting: Option<Waiting>) {
        let is_unknown = waiting.is_none();
        let Some(mut waiting) = self.loads.end(account, waiting.unwrap_or_default()) else { return };
        let waits = |seq| !self.is_purged(account, seq) && !self.deleting.contains(&(account, seq));
        waiting.messages.retain(|kept| waits(kept.seq));
        waiting.gap = waiting.gap.filter(|&seq| waits(seq));
        let cursors = std::mem::take(&mut waiting.cursors);
        self.tail.come(account, (!is_unknown).then_some(waiting));
        self.cursors_loaded(account, cursors);
    }

    /// The account is here no more.
    pub(super) fn forget_mailbox(&mut self, account: AccountId) {
        self.loads.leave(account);
        // What moves while it is away could not be told from what has not.
        self.reads.retain(|_, read| read.account != account);
        self.tail.leave(account);
        self.forget_cursors(account);
    }
}

fn loaded_nothing(ticket: Ticket, error: StoreError) -> Completion {
    Completion::Loaded { ticket, result: Err(error), book: Vec::new() }
}
