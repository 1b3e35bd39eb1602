//! Errands: what a room wants read or written of its account before it goes on.
//!
//! A room answers in one turn; what is not in memory with the account (an item of a node, say) it asks for by an
//! [`Errand`] and goes on in its continuation, which gets the account again. Called by rooms through
//! [`crate::outbox::Outbox::errand`]; carried out by the account's shard.
//!
//! Promises: one errand of an account at a time, in the order in which they were given, each with its write before the
//! next one reads: so reading, changing and writing is one step. What a client says behind a request that changes something is
//! handled when the change is durable and in force, or refused ([`Errand::change`]; docs/promises.md, M8; RFC 6120 §10.1). Bounded by [`ERRANDS_MAX`]: one more is answered at once
//! with [`StoreError::Overloaded`]. The account stays in memory until its errands are done; if it is removed for good,
//! they are forgotten.

use crate::budget;
use crate::context::Context;
use crate::directory::Account;
use crate::outbox::{Post, Turn};
use crate::shard::Shard;
use crate::ticket::Purpose;
use crate::wire::SessionId;
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
    /// It changes what the account's requests are answered by.
    is_change: bool,
    /// The session that waits for the change.
    by: Option<SessionId>,
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
        Self { reads, then: Box::new(then), is_change: false, by: None }
    }

    /// The same for what changes something: the gate of the session whose request it is ([`crate::shard`]) is shut until it is done.
    pub fn change(
        reads: Vec<(Table, String)>,
        then: impl FnOnce(&mut Turn<'_>, &mut Account, Found) -> Option<Change> + Send + 'static,
    ) -> Self {
        Self { is_change: true, ..Self::read(reads, then) }
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
    /// The session that waits for the one under way.
    by: Option<SessionId>,
    waiting: VecDeque<Errand>,
}

/// What the one under way waits for. `None`: its continuation is running.
enum Stage {
    Reading(Then),
    Writing(Done),
}

impl Shard {
    /// A room has answered the stanza at hand by these: if changes are among them, what its client says next waits for them.
    pub(crate) fn shut_gate_behind(&mut self, id: AccountId, posts: &mut [Post]) {
        let Some(session) = self.desk.at_hand else { return };
        for post in posts {
            if let Post::Errand(errand) = post
                && errand.is_change
                && let Some(session) =
                    self.directory.present(id).and_then(|account| account.session_mut(session))
            {
                session.begins_change();
                errand.by = Some(session.id);
            }
        }
    }

    fn change_is_over(&mut self, by: Option<SessionId>) {
        if let Some(session) = by
            && let Some((desk, account)) = self.account_of(session)
            && let Some(session) = account.session_mut(session)
        {
            session.change_is_over(desk);
        }
    }

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
                self.change_is_over(errand.by);
            }
        }
    }

    fn begin(&mut self, ctx: &mut Context<'_>, id: AccountId, errand: Errand) {
        if let Some(account) = self.directory.present(id) {
            account.saving.change(|writes| {
                if let Some(errands) = &mut writes.errands {
                    errands.by = errand.by;
                }
            });
        }
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
        match &result {
            Ok(()) => self.desk.trace(ctx, id, || "a change is durable".to_owned()),
            Err(error) => {
                tracing::warn!(account = ?id, %error, "an account's records could not be saved");
                self.desk.metrics.saves_failed_total.inc();
                self.desk.trace(ctx, id, || format!("a change could not be saved: {error}"));
            }
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
        let (by, next) = account.saving.change(|writes| {
            let by = writes.errands.as_mut().and_then(|errands| errands.by.take());
            let next = writes.errands.as_mut().and_then(|errands| errands.waiting.pop_front());
            if next.is_none() {
                writes.errands = None;
            }
            (by, next)
        });
        self.change_is_over(by);
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
