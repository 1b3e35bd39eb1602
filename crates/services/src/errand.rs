//! Errands: what a room wants read or written of its account before it goes on.
//!
//! A room answers in one turn; what is not in memory with the account (an item of a node, say) it asks for by an
//! [`Errand`] and goes on in its continuation, which gets the account again. Called by rooms through
//! [`crate::outbox::Outbox::errand`]; carried out by the account's shard.
//!
//! Promises: one errand of an account at a time, in the order in which they were given, each with its write before the
//! next one reads: so reading, changing and writing is one step. Bounded by [`ERRANDS_MAX`]: one more is answered at once
//! with [`StoreError::Overloaded`]. The account stays in memory until its errands are done; if it is removed for good,
//! they are forgotten.

use crate::budget;
use crate::context::Context;
use crate::directory::Account;
use crate::outbox::Turn;
use crate::shard::Shard;
use crate::ticket::Purpose;
use chaski_store::records::Put;
use chaski_store::{AccountId, StoreError, Table, Ticket, Versioned};
use std::collections::VecDeque;

/// Errands of one account that wait for the one under way.
pub const ERRANDS_MAX: usize = 64;

/// What was read: one value for each record asked for, in that order.
pub type Found = Result<Vec<Option<Versioned>>, StoreError>;
/// Goes on with what was read.
pub type Then = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Found) -> Option<Change> + Send>;
/// Goes on once it is written, or not.
pub type Done = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Result<(), StoreError>) + Send>;

/// See the module.
pub struct Errand {
    /// Records of the account, whose keys are its own or begin with its own and `/`, or that of its quota
    /// ([`crate::book::quota`]). None: nothing is read.
    pub reads: Vec<(Table, String)>,
    /// What happens then. What it posts is sent at once.
    pub then: Then,
}

/// What an errand writes.
pub struct Change {
    /// Written in one transaction.
    pub puts: Vec<Put>,
    /// What happens once they are durable, or refused.
    pub done: Done,
}

impl Errand {
    /// An errand that reads.
    pub fn read(
        reads: Vec<(Table, String)>,
        then: impl FnOnce(&mut Turn<'_>, &mut Account, Found) -> Option<Change> + Send + 'static,
    ) -> Self {
        Self { reads, then: Box::new(then) }
    }

    /// An errand that writes what `change` says when its turn comes, without reading anything.
    pub fn write(
        change: impl FnOnce(&mut Turn<'_>, &mut Account) -> Option<Change> + Send + 'static,
    ) -> Self {
        Self::read(Vec::new(), |turn, account, found| match found {
            Ok(_) => change(turn, account),
            Err(error) => {
                tracing::warn!(account = ?account.id, %error, "too much waits to be written for an account");
                None
            }
        })
    }
}

impl Change {
    /// A change, and what happens once it is durable or refused.
    pub fn new(
        puts: Vec<Put>,
        done: impl FnOnce(&mut Turn<'_>, &mut Account, Result<(), StoreError>) + Send + 'static,
    ) -> Self {
        Self { puts, done: Box::new(done) }
    }
}

impl Account {
    /// Errands that wait, or are under way.
    pub(crate) fn errands_waiting(&self) -> usize {
        let errands = self.saving.writes().and_then(|writes| writes.errands.as_ref());
        errands.map_or(0, |errands| errands.waiting.len() + 1)
    }
}

/// An account's errands, the first of which is under way.
#[derive(Default)]
pub(crate) struct Errands {
    stage: Option<Stage>,
    waiting: VecDeque<Errand>,
}

/// What the one under way waits for. `None`: its continuation is running.
enum Stage {
    Reading(Then),
    Writing(Done),
}

impl Shard {
    /// A room has given an errand.
    pub(crate) fn errand(&mut self, ctx: &mut Context<'_>, id: AccountId, errand: Errand) {
        let Some(account) = self.directory.present(id) else { return };
        // One that is being removed is written to no more: what it leaves is already on its way out, and whoever gets the
        // number next would inherit the rest.
        let place = if account.saving.is_leaving() {
            Place::None(errand)
        } else {
            account.saving.change(|writes| stand_in_line(&mut writes.errands, errand))
        };
        match place {
            Place::Waits => {}
            Place::First(errand) => self.begin(ctx, id, errand),
            Place::None(errand) => {
                self.desk.metrics.errands_refused_total.inc();
                // Nothing is written without standing in line.
                self.in_room(ctx, id, |turn, account| {
                    drop((errand.then)(turn, account, Err(StoreError::Overloaded)));
                });
            }
        }
    }

    fn begin(&mut self, ctx: &mut Context<'_>, id: AccountId, errand: Errand) {
        if errand.reads.is_empty() {
            return self.go_on(ctx, id, errand.then, Ok(Vec::new()));
        }
        let ticket = self.wait(id, Stage::Reading(errand.then));
        self.desk.spend(budget::READ);
        ctx.store.fetch(id, errand.reads, ticket);
    }

    /// The one under way waits for the store: the ticket for that.
    fn wait(&mut self, id: AccountId, stage: Stage) -> Ticket {
        let Some(account) = self.directory.present(id) else { return Ticket(0) };
        account.saving.change(|writes| {
            if let Some(errands) = &mut writes.errands {
                errands.stage = Some(stage);
            }
        });
        Purpose::Errand(id, account.stay).ticket()
    }

    fn stage(&mut self, id: AccountId) -> Option<Stage> {
        let account = self.directory.present(id)?;
        account.saving.writes()?;
        account.saving.change(|writes| writes.errands.as_mut()?.stage.take())
    }

    /// The store has read what an errand asked for, or not.
    pub(crate) fn errand_read(&mut self, ctx: &mut Context<'_>, id: AccountId, found: Found) {
        if let Some(Stage::Reading(then)) = self.stage(id) {
            self.go_on(ctx, id, then, found);
        }
    }

    fn go_on(&mut self, ctx: &mut Context<'_>, id: AccountId, then: Then, found: Found) {
        let mut change = None;
        self.in_room(ctx, id, |turn, account| change = then(turn, account, found));
        match change {
            Some(change) if change.puts.is_empty() => self.finish(ctx, id, change.done, Ok(())),
            Some(change) => {
                let ticket = self.wait(id, Stage::Writing(change.done));
                self.desk.spend(budget::SAVED);
                ctx.store.put(id, change.puts, ticket);
            }
            None => self.next_errand(ctx, id),
        }
    }

    /// The store has written what an errand wanted, or not.
    pub(crate) fn errand_written(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        result: Result<(), StoreError>,
    ) {
        if let Err(error) = &result {
            tracing::warn!(account = ?id, %error, "an account's records could not be saved");
            self.desk.metrics.saves_failed_total.inc();
        }
        if let Some(Stage::Writing(done)) = self.stage(id) {
            self.finish(ctx, id, done, result);
        }
    }

    fn finish(&mut self, ctx: &mut Context<'_>, id: AccountId, done: Done, result: Result<(), StoreError>) {
        self.in_room(ctx, id, |turn, account| done(turn, account, result));
        self.next_errand(ctx, id);
    }

    fn next_errand(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        let Some(account) = self.directory.present(id) else { return };
        let next = account.saving.change(|writes| {
            let next = writes.errands.as_mut().and_then(|errands| errands.waiting.pop_front());
            if next.is_none() {
                writes.errands = None;
            }
            next
        });
        match next {
            Some(errand) => self.begin(ctx, id, errand),
            None => self.do_deferred(ctx, id),
        }
    }
}

/// What becomes of a new errand.
enum Place {
    First(Errand),
    Waits,
    None(Errand),
}

fn stand_in_line(errands: &mut Option<Errands>, errand: Errand) -> Place {
    match errands {
        Some(errands) if errands.waiting.len() >= ERRANDS_MAX => Place::None(errand),
        Some(errands) => {
            errands.waiting.push_back(errand);
            Place::Waits
        }
        None => {
            *errands = Some(Errands::default());
            Place::First(errand)
        }
    }
}

#[cfg(test)]
mod tests;
