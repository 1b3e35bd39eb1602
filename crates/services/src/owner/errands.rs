//! Carries out errands ([`crate::effects::turn::errand`]), and shuts the gate of the session that has asked for a change.

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
    /// A room has answered the stanza at hand by these posts. If changes are among them, the session's next stanzas wait for
    /// them.
    pub(crate) fn shut_gate_behind(&mut self, id: AccountId, posts: &mut [Post]) {
        // The continuation of a change may ask for another change.
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

    /// A change that this session has asked for is over: its next stanzas go on.
    pub(crate) fn change_is_over(&mut self, by: Option<SessionId>) {
        if let Some(session) = by
            && let Some((desk, account)) = self.account_of(session)
            && let Some(session) = account.session_mut(session)
        {
            session.change_is_over(desk);
        }
    }

    /// Adds an errand of a room to the account's ledger.
    pub(crate) fn errand(&mut self, ctx: &mut Context<'_>, id: AccountId, errand: Errand) {
        let Some(account) = self.at_work(id) else { return };
        // An account that is being removed is not written to: its records are being deleted, and what was written now would be
        // inherited by the next owner of the number.
        let added = if account.ledger.is_leaving() { Err(errand) } else { account.ledger.add_errand(errand) };
        match added {
            Ok(()) => self.advance(ctx, id),
            Err(errand) => {
                self.desk.metrics.errands_refused_total.inc();
                // This continuation runs out of turn, so what it wants to write is dropped.
                self.in_room(ctx, id, |turn, account| {
                    drop((errand.then)(turn, account, Err(StoreError::Overloaded)));
                });
                self.change_is_over(errand.by);
            }
        }
    }

    /// The turn of an errand in the ledger has come: reads what it needs.
    pub(crate) fn begin_errand(&mut self, ctx: &mut Context<'_>, id: AccountId, errand: Errand) -> Progress {
        if errand.reads.is_empty() {
            return self.go_on(ctx, id, errand.then, Ok(Vec::new()));
        }
        let ticket = self.wait(id, UnderWay::Reading(errand.then));
        self.desk.spend(budget::READ);
        ctx.store.fetch(id, errand.reads, ticket);
        Progress::Waits
    }

    /// Continues an errand with what was read, or with the error.
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

    /// Continues an errand whose change the store has written, or failed to write.
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
