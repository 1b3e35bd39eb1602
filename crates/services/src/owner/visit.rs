//! A visit of an account: the account and the desk of its owner, looked up once for a piece of work.
//!
//! Whenever work for an account goes on, the account is in memory: it has a session, or an entry in its ledger, or was loaded for
//! this work. If it were not, a reply might never be given. So its absence is reported: a debug build panics, a release build
//! counts it (`chaski_rooms_accounts_missed_total`).

use super::context::Context;
use super::desk::Desk;
use super::directory::Resident;
use super::dispatch;
use super::state::Owner;
use crate::account::Account;
use crate::effects::turn::{Outbox, Turn};
use crate::realm::Pressure;
use chaski_store::AccountId;

/// See the module.
pub(crate) struct Visit<'o> {
    pub(crate) desk: &'o mut Desk,
    pub(crate) account: &'o mut Resident,
}

impl Owner {
    /// Visits the account for which work is being done.
    pub(crate) fn visit(&mut self, id: AccountId) -> Option<Visit<'_>> {
        let (desk, account) = (&mut self.desk, self.directory.present(id));
        if account.is_none() {
            desk.metrics.accounts_missed_total.inc();
            debug_assert!(false, "an account left memory with something to be done");
        }
        account.map(|account| Visit { desk, account })
    }

    /// Visits the account without the desk.
    pub(crate) fn at_work(&mut self, id: AccountId) -> Option<&mut Resident> {
        self.visit(id).map(|visit| visit.account)
    }
}

impl Visit<'_> {
    /// Lends the account to a room. Afterwards the outbox holds what the room sends, and what other rooms send on its events.
    pub(crate) fn lend(
        self,
        ctx: &mut Context<'_>,
        outbox: &mut Outbox,
        room: impl FnOnce(&mut Turn<'_>, &mut Account),
    ) {
        let Self { desk, account } = self;
        let mut turn = Turn {
            sheds_presence: ctx.pressure >= Pressure::Presence,
            realm: &desk.realm,
            now_ms: ctx.now_ms,
            unix_ms: ctx.unix_ms,
            shown_by_ms: ctx.shown_by_ms,
            rng: ctx.rng,
            presences: &mut desk.presences,
            caps: &mut desk.caps,
            lang: desk.languages.tag(desk.language),
            busy: account.ledger.busy(),
            metrics: &desk.room_metrics,
            outbox,
        };
        room(&mut turn, account);
        dispatch::tell_rooms(&mut turn, account);
    }
}
