//! Changes of an account's records and phone book, and removals: into the batch, and what is told of them.
//!
//! A change goes into the same frame as the messages of its turn. Whoever asked hears when that is durable, or when SQLite has
//! done what it says if only SQLite knows what comes of it; and that it was refused if the frame was. What waits here is
//! bounded by the number of requests and by their bytes.

use super::Front;
use crate::embedded::journal::effects::Effect;
use crate::embedded::link::closed_error;
use crate::embedded::sqlite_writer::{ForMedia, Submitted, Waiter};
use crate::media::Edit;
use crate::records::Revision;
use crate::shard_store::{Completion, Ticket};
use crate::{AccountId, StoreError};

/// Who waits for an effect of a batch.
pub(super) enum Asked {
    /// Durable is done; the newest revision.
    Put { account: AccountId, ticket: Ticket, revision: Revision },
    /// SQLite decides.
    Save { account: AccountId, ticket: Ticket },
    /// SQLite knows the answer.
    Book { ticket: Ticket },
    /// SQLite knows the answer.
    Media { ticket: Ticket },
    /// Done when nothing is left in SQLite.
    Purge { account: AccountId, number: u64 },
}

impl Front {
    /// Puts a write of an account's records into the batch.
    pub(super) fn start_save(&mut self, account: AccountId, effect: Effect, ticket: Ticket) {
        let admitted = match self.saves >= self.shared.options.queue_requests {
            true => Err(StoreError::Overloaded),
            false => self.admit_effect(&effect),
        };
        if let Err(error) = admitted {
            self.ready.push(Completion::Saved { ticket, result: Err(error) });
            return;
        }
        self.saves += 1;
        *self.saving.entry(account).or_default() += 1;
        if matches!(effect, Effect::If { .. }) {
            let waiter = Waiter::Save { link: self.link.clone(), account, ticket };
            self.submit(effect, waiter, |_| Asked::Save { account, ticket });
        } else {
            self.submit(effect, Waiter::Nobody, |revision| Asked::Put { account, ticket, revision });
        }
    }

    /// Puts a change of a phone book into the batch.
    pub(super) fn start_edit(&mut self, effect: Effect, ticket: Ticket) {
        let admitted = self.admit_book().and_then(|()| self.admit_effect(&effect));
        let is_admitted = admitted.is_ok();
        self.book_sent(admitted, ticket);
        if is_admitted {
            let waiter = Waiter::Book { link: self.link.clone(), ticket };
            self.submit(effect, waiter, |_| Asked::Book { ticket });
        }
    }

    /// Puts a change of the index of media into the batch.
    pub(super) fn start_media_edit(&mut self, edit: Edit, ticket: Ticket) {
        let effect = Effect::Media(edit);
        let admitted = self.admit_media().and_then(|()| self.admit_effect(&effect));
        let is_admitted = admitted.is_ok();
        self.media_sent(admitted, ticket);
        if is_admitted {
            let waiter = Waiter::Media(ForMedia::Front(self.link.clone(), ticket));
            self.submit(effect, waiter, |_| Asked::Media { ticket });
        }
    }

    fn admit_effect(&self, effect: &Effect) -> Result<(), StoreError> {
        if self.shared.is_stopped() {
            return Err(closed_error());
        }
        if self.batch_effect_bytes + effect.size() > self.shared.options.queue_bytes {
            return Err(StoreError::Overloaded);
        }
        self.shared.refusal(effect).map_or(Ok(()), Err)
    }

    /// Puts an effect into the batch. Who asked for it is told by what its last revision makes.
    pub(super) fn submit(&mut self, effect: Effect, waiter: Waiter, asked: impl FnOnce(Revision) -> Asked) {
        self.batch_effect_bytes += effect.size();
        let numbered = self.shared.number(effect);
        let last = numbered.revision.0 + numbered.effect.revisions().saturating_sub(1);
        self.batch_asked.push(asked(Revision(last)));
        self.batch_effects.push(Submitted { numbered, waiter });
    }

    /// The frame with these is durable, or not kept.
    pub(super) fn effects_written(&mut self, asked: Vec<Asked>, outcome: Result<(), &StoreError>) {
        for asked in asked {
            match (asked, outcome) {
                (Asked::Put { account, ticket, revision }, outcome) => {
                    let result = outcome.map(|()| revision).map_err(Clone::clone);
                    self.saved(account, Completion::Saved { ticket, result });
                }
                // SQLite's answer follows.
                (_, Ok(())) => {}
                (Asked::Save { account, ticket }, Err(error)) => {
                    self.saved(account, Completion::Saved { ticket, result: Err(error.clone()) });
                }
                (Asked::Book { ticket }, Err(error)) => {
                    self.books = self.books.saturating_sub(1);
                    self.ready.push(Completion::Book { ticket, result: Err(error.clone()) });
                }
                (Asked::Media { ticket }, Err(error)) => {
                    self.media = self.media.saturating_sub(1);
                    self.ready.push(Completion::Media { ticket, result: Err(error.clone()) });
                }
                (Asked::Purge { account, number }, Err(error)) => {
                    self.purged(account, number, Err(error.clone()));
                }
            }
        }
    }

    /// A write of an account's records is durable and decided, or not kept.
    pub(super) fn saved(&mut self, account: AccountId, completion: Completion) {
        self.saves = self.saves.saturating_sub(1);
        self.ready.push(completion);
        if let Some(count) = self.saving.get_mut(&account) {
            *count -= 1;
            if *count > 0 {
                return;
            }
            self.saving.remove(&account);
        }
        if self.deferred_loads.is_empty() {
            return;
        }
        let (now, later): (Vec<_>, _) =
            std::mem::take(&mut self.deferred_loads).into_iter().partition(|load| load.0 == account);
        self.deferred_loads = later;
        now.into_iter().for_each(|(account, wanted, ticket)| self.send_load(account, wanted, ticket));
    }
}
