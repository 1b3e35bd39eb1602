//! The owner's side of errands ([`crate::effects::turn::errand`]): one at a time, what waits behind it, and the gate of the session that has asked for a
//! change.

use crate::budget;
use crate::effects::turn::errand::{Done, ERRANDS_MAX, Errand, Found, Then};
use crate::effects::turn::outbox::Post;
use crate::owner::context::Context;
use crate::owner::ledger::{Errands, Stage};
use crate::owner::state::Owner;
use crate::ticket::Purpose;
use crate::wire::SessionId;
use chaski_store::{AccountId, StoreError, Ticket};

impl Owner {
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
