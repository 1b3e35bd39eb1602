//! A visit of an account: it and its owner's desk, looked up once for a piece of work that is done for it.
//!
//! Who has begun something for an account finds it in memory: it has a session, or something in its ledger, or was brought there
//! for the work at hand. Were it not, a reply might be owed that nobody gives. So that is not passed over: a debug build
//! panics, a release build counts it (`chaski_rooms_accounts_missed_total`).

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
    /// Visits the account for which something is being done.
    pub(crate) fn visit(&mut self, id: AccountId) -> Option<Visit<'_>> {
        let (desk, account) = (&mut self.desk, self.directory.present(id));
        if account.is_none() {
            desk.metrics.accounts_missed_total.inc();
            debug_assert!(false, "an account left memory with something to be done");
        }
        account.map(|account| Visit { desk, account })
    }

    /// The account alone.
    pub(crate) fn at_work(&mut self, id: AccountId) -> Option<&mut Resident> {
        self.visit(id).map(|visit| visit.account)
    }
}

impl Visit<'_> {
    /// Lends the account to a room. What it wants, and what others have to say to what it has done, is in the outbox then.
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
