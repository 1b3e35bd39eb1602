//! Errands ([`crate::effects::turn::errand`]) at the owner of their account, and the gate of the session that has asked for a change.

use super::context::Context;
use super::ledger::UnderWay;
use super::state::Owner;
use super::transactions::Progress;
use crate::budget;
use crate::effects::turn::Post;
use crate::effects::turn::errand::{Done, Errand, Found, Then};
use crate::wire::SessionId;
use chaski_store::{AccountId, StoreError};

impl Owner {
    /// A room has answered the stanza at hand by these: if changes are among them, what its client says next waits for them.
    pub(crate) fn shut_gate_behind(&mut self, id: AccountId, posts: &mut [Post]) {
        // What goes on with a change may ask for another.
        let going_on = || self.directory.present(id).and_then(|account| account.ledger.waited_for_by());
        let Some(session) = self.desk.at_hand.or_else(going_on) else { return };
        for by in posts.iter_mut().filter_map(Post::waiter) {
            if let Some(session) = self.directory.present(id).and_then(|account| account.session_mut(session))
            {
                session.begins_change();
                *by = Some(session.id);
            }
        }
    }

    /// A change that a session has asked for is over.
    pub(crate) fn change_is_over(&mut self, by: Option<SessionId>) {
        if let Some(session) = by
            && let Some((desk, account)) = self.account_of(session)
            && let Some(session) = account.session_mut(session)
        {
            session.change_is_over(desk);
        }
    }

    /// A room has given an errand.
    pub(crate) fn errand(&mut self, ctx: &mut Context<'_>, id: AccountId, errand: Errand) {
        let Some(account) = self.at_work(id) else { return };
        // One that is being removed is written to no more: what it leaves is already on its way out, and whoever gets the
        // number next would inherit the rest.
        let added = if account.ledger.is_leaving() { Err(errand) } else { account.ledger.add_errand(errand) };
        match added {
            Ok(()) => self.advance(ctx, id),
            Err(errand) => {
                self.desk.metrics.errands_refused_total.inc();
                // Nothing is written without standing in line.
                self.in_room(ctx, id, |turn, account| {
                    drop((errand.then)(turn, account, Err(StoreError::Overloaded)));
                });
                self.change_is_over(errand.by);
            }
        }
    }

    /// An errand's turn has come.
    pub(crate) fn begin_errand(&mut self, ctx: &mut Context<'_>, id: AccountId, errand: Errand) -> Progress {
        if errand.reads.is_empty() {
            return self.go_on(ctx, id, errand.then, Ok(Vec::new()));
        }
        let ticket = self.wait(id, UnderWay::Reading(errand.then));
        self.desk.spend(budget::READ);
        ctx.store.fetch(id, errand.reads, ticket);
        Progress::Waits
    }

    /// What an errand wanted to read is there, or could not be read.
    pub(crate) fn go_on(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        then: Then,
        found: Found,
    ) -> Progress {
        let mut change = None;
        self.in_room(ctx, id, |turn, account| change = then(turn, account, found));
        match change {
            Some(change) if change.puts.is_empty() => self.finish(ctx, id, change.done, Ok(())),
            Some(change) => {
                let ticket = self.wait(id, UnderWay::Writing(change.done));
                self.desk.spend(budget::SAVED);
                ctx.store.put(id, change.puts, ticket);
                return Progress::Waits;
            }
            None => {}
        }
        Progress::Over
    }

    /// The store has written what an errand wanted, or not.
    pub(crate) fn errand_written(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        done: Done,
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
        self.finish(ctx, id, done, result);
    }

    fn finish(&mut self, ctx: &mut Context<'_>, id: AccountId, done: Done, result: Result<(), StoreError>) {
        self.in_room(ctx, id, |turn, account| done(turn, account, result));
    }
}
