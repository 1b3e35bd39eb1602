//! The gate of a session: what its client sends waits while answers to it wait for room ([`crate::owner::session`]'s `late`).
//!
//! Called by `shard` for each stanza of a client, and when there may be room again. Promises: stanzas of a client are handled
//! in order, each after all that follows from the one before it in this shard.

use crate::owner::context::Context;
use crate::owner::state::Owner;
use crate::wire::{Closed, ConnId, SessionId};
use chaski_xmpp::{Husk, ParseError, Stanza};

impl Owner {
    /// A stanza of a client: handled, or parked behind what waits.
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

    /// The same for a stanza that is not accepted: it is counted and answered where it stands among the others.
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

    /// There may be room: sends what is late, then handles the next stanza that is parked. The rest follows when what comes
    /// of that is done.
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

    /// A connection is over. What its client has sent is handled if the client will not send it again: the session ends. False: some of it
    /// waits for a change that the client has asked for before it.
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

    /// What was parked has its turn.
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

/// What stands before a husk that is parked, so that it is known from a stanza.
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
