//! Carries out what a call has collected: stanzas to be routed, sessions to be ended, acceptances. Also ends a turn.

use super::context::Context;
use super::desk::Desk;
use super::directory::Resident;
use super::state::Owner;
use crate::account::session::Session;
use crate::owner::mailbox;
use crate::ticket::Stay;
use crate::wire::SessionId;
use chaski_store::AccountId;

impl Owner {
    /// Ends a turn: hands what was collected to the store and to other shards. Returns whether there is more to be done.
    pub(crate) fn turn_ends(&mut self, ctx: &mut Context<'_>) -> bool {
        self.settle(ctx);
        let is_more_told = self.lines_turn(ctx);
        self.settle(ctx);
        if !self.desk.turned.is_empty() {
            let mut turned = std::mem::take(&mut self.desk.turned);
            for session in turned.drain(..) {
                self.with_session(session, |session, desk| session.turn_ends(desk, ctx));
            }
            self.desk.turned = turned;
        }
        self.desk.outgoing.flush(ctx);
        while let Some(id) = self.directory.next_left() {
            ctx.store.leave(id);
        }
        ctx.store.flush();
        let metrics = &self.desk.metrics;
        metrics.envelopes_waiting.set(self.desk.outgoing.waiting() as i64);
        metrics.messages_in_flight.set(self.desk.in_flight.len() as i64);
        let (resident, loading) = self.directory.levels();
        metrics.accounts_resident.set(resident as i64);
        metrics.accounts_loading.set(loading as i64);
        let (parked, parked_bytes) = self.directory.room.level();
        metrics.parked.set(parked as i64);
        metrics.parked_bytes.set(parked_bytes as i64);
        metrics.loads_waiting.set(self.directory.waiting() as i64);
        self.charge_owed();
        self.pep_notifications_turn() || is_more_told
    }

    pub(crate) fn with_session(&mut self, id: SessionId, call: impl FnOnce(&mut Session, &mut Desk)) {
        if let Some((desk, account)) = self.account_of(id)
            && let Some(session) = account.session_mut(id)
        {
            call(session, desk);
        }
    }

    /// Carries out what the present call has collected: stanzas to be routed, sessions to be ended, acceptances.
    pub(crate) fn settle(&mut self, ctx: &mut Context<'_>) {
        if self.desk.has_collected() {
            self.settle_all(ctx);
        }
    }

    #[inline(never)] // Most calls leave nothing, and would pay for the room that this needs.
    pub(crate) fn settle_all(&mut self, ctx: &mut Context<'_>) {
        loop {
            if let Some(routed) = self.desk.routed.pop_front() {
                self.forward(ctx, routed);
            } else if let Some(pep_notification) = self.next_pep_notification() {
                self.send_pep_notification(ctx, pep_notification);
            } else if !self.desk.doomed.is_empty() {
                self.end_doomed(ctx);
            } else if let Some(session) = self.desk.eased.pop() {
                self.let_through(ctx, session);
            } else {
                break;
            }
        }
        let here = usize::from(self.desk.index.0);
        let own = self.desk.outgoing.take_own(here);
        self.release(ctx, &own);
        self.desk.outgoing.return_own(here, own);
    }

    /// Messages of this shard's sessions are accepted or refused.
    pub(crate) fn release(&mut self, ctx: &Context<'_>, origins: &[crate::effects::letter::Origin]) {
        for origin in origins {
            if let Some((desk, account)) = self.account_of(origin.session) {
                desk.trace(ctx, account.id, || {
                    format!("accepted or refused: a message of session {}", origin.session.0)
                });
                if let Some(session) = account.session_mut(origin.session) {
                    session.release(desk, origin.index);
                }
            }
        }
    }

    /// What was written to a session's connection has all been sent, or its timer to read on has fired.
    pub(crate) fn read_on(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        self.with_session(session, |session, desk| session.ease(desk));
        if let Some((desk, account)) = self.account_of(session) {
            mailbox::read_on(desk, ctx, account, session);
            self.settle(ctx);
        }
    }

    /// Whether the account is still in memory since the load `stay`, so that an answer of the store is for it.
    pub(crate) fn is_still(&mut self, id: AccountId, stay: Stay) -> bool {
        self.directory.still(id, stay).is_some()
    }

    /// The account of a session, and the desk.
    pub(crate) fn account_of(&mut self, session: SessionId) -> Option<(&mut Desk, &mut Resident)> {
        let account = self.directory.account_of(session)?;
        Some((&mut self.desk, self.directory.present(account)?))
    }
}
