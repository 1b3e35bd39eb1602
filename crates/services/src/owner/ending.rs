//! The ends of sessions: closed by the client, lost, replaced, expired, cut by the server, or ended because the key was replaced.
//!
//! Promises: accounts that saw the session's presence get `unavailable`. Messages that it had not acknowledged stay in the
//! mailbox and go to the account's other sessions. Requests that it had not acknowledged are answered with an error (XEP-0198
//! §6).

use crate::account::session::{End, Sent};
use crate::owner::context::Context;
use crate::owner::mailbox;
use crate::owner::router::Refuse;
use crate::owner::state::Owner;
use crate::owner::visit::Visit;
use crate::rooms::presence;
use crate::timers::Timer;
use crate::wire::{Closed, ConnId, SessionId, StreamEnd};
use chaski_store::AccountId;
use chaski_xmpp::Kind;

impl Owner {
    /// A session's connection is over. Handles what its client had sent before, unless the client will send it again.
    pub(crate) fn over(&mut self, ctx: &mut Context<'_>, id: SessionId, conn: ConnId, why: Closed) {
        if !self.handle_parked(ctx, id, conn, why) {
            return;
        }
        if why == Closed::Clean {
            // The client's last `<r/>` is answered now, since the session does not live to the end of the turn.
            self.with_session(id, |session, desk| session.answer_now(desk, ctx));
        }
        self.connection_over(ctx, id, conn, why);
    }

    /// The edge has reported that a session's connection is over.
    fn connection_over(&mut self, ctx: &mut Context<'_>, id: SessionId, conn: ConnId, why: Closed) {
        let Some(account_id) = self.directory.account_of(id) else { return };
        let Some(session) = self.directory.present(account_id).and_then(|a| a.session_mut(id)) else {
            return;
        };
        if session.connection() != Some(conn) {
            return;
        }
        let sleeps = why == Closed::Lost && session.hibernate(&mut self.desk, ctx);
        self.desk.trace(ctx, account_id, || format!("session {} has lost its connection", id.0));
        if !sleeps {
            session.forget_connection();
            self.end(ctx, account_id, id, None, false);
        }
    }

    /// Ends or cuts a session whose account no code borrows.
    pub(crate) fn end_session(
        &mut self,
        ctx: &mut Context<'_>,
        account: AccountId,
        id: SessionId,
        end: &End,
    ) {
        let Some(session) = self.directory.present(account).and_then(|a| a.session_mut(id)) else { return };
        let conn = session.connection();
        match end {
            End::Over(error) => self.end(ctx, account, id, error.clone(), conn.is_none()),
            End::Cut(error) => {
                let Some(conn) = conn else { return };
                self.desk.metrics.sessions_cut_total.inc();
                if session.hibernate(&mut self.desk, ctx) {
                    ctx.wire.close(conn, Some(error.clone()));
                } else {
                    self.end(ctx, account, id, Some(error.clone()), false);
                }
            }
        }
    }

    /// Ends all sessions of an account whose key is void. The error is not `conflict`, on which clients reconnect at once.
    pub(crate) fn end_all(&mut self, ctx: &mut Context<'_>, account: AccountId, text: &str) {
        for id in self.session_ids(account) {
            self.end_session(ctx, account, id, &End::over("not-authorized", text));
        }
    }

    pub(crate) fn session_ids(&mut self, account: AccountId) -> Vec<SessionId> {
        let sessions = self.directory.present(account).map(|account| account.sessions.iter());
        sessions.into_iter().flatten().map(|session| session.id).collect()
    }

    fn end(
        &mut self,
        ctx: &mut Context<'_>,
        account_id: AccountId,
        id: SessionId,
        error: Option<StreamEnd>,
        hibernated: bool,
    ) {
        // The room's posts after this go to others: the session's own client gets nothing more.
        let Some(session) = self.directory.present(account_id).and_then(|a| a.session_mut(id)) else {
            return;
        };
        if let Some(conn) = session.forget_connection() {
            ctx.wire.close(conn, error);
        }
        self.in_room(ctx, account_id, |turn, account| presence::leaving(turn, account, id));
        let Some(Visit { desk, account }) = self.visit(account_id) else { return };
        let Some(mut session) = account.remove_session(id) else { return };
        session.speak(desk, None);
        drop(session.take_held(desk));
        let late = session.take_late(desk);
        mailbox::inherit(desk, ctx, account);
        self.directory.forget_session(id);
        self.desk.trace(ctx, account_id, || format!("session {} ends", id.0));
        self.desk.metrics.sessions.add(-1);
        if hibernated {
            self.desk.metrics.sessions_hibernating.add(-1);
        }
        for Sent { stanza, mail } in session.queue.into_unacked() {
            // Messages that are not stored are lost with the session: an error for them would tell their senders that the account
            // had been online.
            if mail.is_none() && stanza.kind() == Kind::Iq {
                self.bounce(&stanza, &Refuse::Nobody.error());
            }
        }
        for stanza in late.filter(|stanza| stanza.kind() == Kind::Iq) {
            self.bounce(&stanza, &Refuse::Nobody.error());
        }
        self.note_activity(ctx, account_id);
        self.note_left(ctx, account_id);
    }

    /// Ends and cuts the sessions that were doomed while their accounts were borrowed.
    pub(crate) fn end_doomed(&mut self, ctx: &mut Context<'_>) {
        while let Some((id, end)) = self.desk.doomed.pop_front() {
            if let Some(account) = self.directory.account_of(id) {
                self.end_session(ctx, account, id, &end);
            }
        }
    }

    /// A timer of a session is due.
    pub(crate) fn timer(&mut self, ctx: &mut Context<'_>, id: SessionId, timer: Timer) {
        let Some(account_id) = self.directory.account_of(id) else { return };
        let Some(session) = self.directory.present(account_id).and_then(|a| a.session_mut(id)) else {
            return;
        };
        match timer {
            Timer::Hibernation if session.is_expired(ctx.now_ms) => {
                self.end_session(ctx, account_id, id, &End::Over(None));
            }
            Timer::Hibernation => {}
            Timer::Unanswered => session.unanswered(&mut self.desk, ctx),
            Timer::Answers => session.answers_lost(&mut self.desk),
            Timer::Ask => session.ask_late(&mut self.desk, ctx),
            Timer::Remind => session.remind_now(&mut self.desk),
            Timer::Answer => session.answer_late(&mut self.desk, ctx),
            Timer::ReadOn => {
                session.retrying = false;
                self.read_on(ctx, id);
            }
        }
    }
}
