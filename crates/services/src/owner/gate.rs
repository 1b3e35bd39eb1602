//! The gate of a session: what its client sends waits while stanzas for the client wait for room in its queue
//! ([`crate::owner::session`]'s `late`).
//!
//! Called by [`crate::shard::Shard`] for each stanza of a client, and by [`super::settle`] when there may be room again.
//! Promises: stanzas of a client are handled in order, and each sees all that this shard has done for the one before it.

use crate::owner::context::Context;
use crate::owner::state::Owner;
use crate::wire::{Closed, ConnId, SessionId};
use chaski_xmpp::{Husk, ParseError, Stanza};

impl Owner {
    /// Handles a stanza of a client, or parks it behind what waits.
    pub(crate) fn at_the_gate(&mut self, ctx: &mut Context<'_>, id: SessionId, stanza: &Stanza<'_>) {
        let Some((desk, account)) = self.account_of(id) else { return };
        let owner = account.id;
        let Some(session) = account.session_mut(id) else { return };
        if session.is_gated(&desk.realm.limits) {
            desk.trace(ctx, owner, || format!("session {}: a stanza waits for what stands before it", id.0));
            return session.park(desk, ctx, stanza.bytes());
        }
        self.client_stanza(ctx, id, stanza);
    }

    /// Counts and answers a stanza that was refused by the parser or the policy, or parks it: it keeps its place among the
    /// client's stanzas.
    pub(crate) fn husk_at_the_gate(
        &mut self,
        ctx: &mut Context<'_>,
        id: SessionId,
        husk: &Husk,
        why: ParseError,
    ) {
        let Some((desk, account)) = self.account_of(id) else { return };
        let Some(session) = account.session_mut(id) else { return };
        let marked: Vec<u8> = mark_of(why).into_iter().chain(husk.bytes().iter().copied()).collect();
        if session.is_gated(&desk.realm.limits) {
            return session.park(desk, ctx, &marked);
        }
        self.handle(ctx, id, &marked);
    }

    /// There may be room in the session's queue: sends the stanzas that are late, then handles the next parked stanza of the
    /// client. The parked stanzas behind that one follow when the present call has been carried out.
    pub(crate) fn let_through(&mut self, ctx: &mut Context<'_>, id: SessionId) {
        let Some((desk, account)) = self.account_of(id) else { return };
        let Some(session) = account.session_mut(id) else { return };
        if let Some((conn, why)) = session.take_over() {
            return self.over(ctx, id, conn, why);
        }
        if session.conn.is_none() {
            return;
        }
        session.send_late(desk, ctx);
        match session.take_parked(desk, false) {
            None => session.gate_opens(desk, ctx),
            Some(stanza) => {
                desk.eased.push(id);
                self.handle(ctx, id, &stanza);
            }
        }
    }

    /// The connection of a session is over. If the session ends with it, so that the client will not send its parked stanzas
    /// again, handles them now. Returns false if some of them still wait for a change that the client has asked for before.
    pub(crate) fn handle_parked(
        &mut self,
        ctx: &mut Context<'_>,
        id: SessionId,
        conn: ConnId,
        why: Closed,
    ) -> bool {
        loop {
            let Some((desk, account)) = self.account_of(id) else { return true };
            let Some(session) = account.session_mut(id) else { return true };
            if session.conn != Some(conn) || (why == Closed::Lost && session.is_resumable()) {
                return true;
            }
            if session.ends_later(conn, why) {
                return false;
            }
            let Some(stanza) = session.take_parked(desk, true) else { return true };
            self.handle(ctx, id, &stanza);
            self.settle(ctx);
        }
    }

    /// Handles a parked stanza of the client.
    fn handle(&mut self, ctx: &mut Context<'_>, id: SessionId, parked: &[u8]) {
        let (why, stanza) = match parked {
            [mark, husk @ ..] if *mark != b'<' => (why_of(*mark), husk),
            _ => (None, parked),
        };
        match (Stanza::parse(stanza), why) {
            (Ok(husk), Some(why)) => self.client_refused(ctx, id, &husk, &why.stanza_error()),
            (Ok(stanza), None) => self.client_stanza(ctx, id, &stanza),
            (Err(_), _) => {}
        }
    }
}

/// A parked stanza that was refused has one of these bytes in front, which says why, and tells it from a parked stanza that was
/// accepted.
const MARKS: [(u8, ParseError); 4] = [
    (b'w', ParseError::NotWellFormed),
    (b'p', ParseError::BadNamespacePrefix),
    (b'r', ParseError::Restricted),
    (b'l', ParseError::TooLarge),
];

fn why_of(mark: u8) -> Option<ParseError> {
    MARKS.iter().find(|(known, _)| *known == mark).map(|(_, why)| *why)
}

fn mark_of(why: ParseError) -> Option<u8> {
    MARKS.iter().find(|(_, known)| *known == why).map(|(mark, _)| *mark)
}
