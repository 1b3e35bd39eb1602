//! The gate of a session: what its client sends waits while answers to it wait for room ([`crate::session`]'s `late`).
//!
//! Called by `shard` for each stanza of a client, and when there may be room again. Promises: stanzas of a client are handled
//! in order, each after all that follows from the one before it in this shard.

use super::Shard;
use crate::context::Context;
use crate::wire::{Closed, ConnId, SessionId};
use chaski_xmpp::Stanza;

impl Shard {
    /// A stanza of a client: handled, or parked behind what waits.
    pub(super) fn at_the_gate(&mut self, ctx: &mut Context<'_>, id: SessionId, stanza: &Stanza<'_>) {
        let Some((desk, account)) = self.account_of(id) else { return };
        let Some(session) = account.session_mut(id) else { return };
        if session.is_gated(&desk.realm.limits) {
            return session.park(desk, ctx, stanza.bytes());
        }
        self.client_stanza(ctx, id, stanza);
    }

    /// There may be room: sends what is late, then handles the next stanza that is parked. The rest follows when what comes
    /// of that is done.
    pub(super) fn let_through(&mut self, ctx: &mut Context<'_>, id: SessionId) {
        let Some((desk, account)) = self.account_of(id) else { return };
        let Some(session) = account.session_mut(id) else { return };
        if session.conn.is_none() {
            return;
        }
        session.send_late(desk, ctx);
        match session.take_parked(desk, false) {
            None => session.gate_opens(desk, ctx),
            Some(stanza) => {
                desk.eased.push(id);
                if let Ok(stanza) = Stanza::parse(&stanza) {
                    self.client_stanza(ctx, id, &stanza);
                }
            }
        }
    }

    /// A connection is over. What its client has sent is handled if the client will not send it again: the session ends.
    pub(super) fn handle_parked(&mut self, ctx: &mut Context<'_>, id: SessionId, conn: ConnId, why: Closed) {
        loop {
            let Some((desk, account)) = self.account_of(id) else { return };
            let Some(session) = account.session_mut(id) else { return };
            if session.conn != Some(conn) || (why == Closed::Lost && session.is_resumable()) {
                return;
            }
            let Some(stanza) = session.take_parked(desk, true) else { return };
            if let Ok(stanza) = Stanza::parse(&stanza) {
                self.client_stanza(ctx, id, &stanza);
                self.settle(ctx);
            }
        }
    }
}
