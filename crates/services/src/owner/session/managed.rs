//! Stream management of a session (XEP-0198): enabling it, the answers to `<r/>`, hibernation.

use super::REQUEST;
use crate::account::session::managed::Managed;
use crate::account::session::{End, Progress, Session};
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use crate::timers::Timer;
use crate::wire::ConnId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaski_store::Seq;
use chaski_xmpp::StanzaCondition;
use chaski_xmpp::sm::{self, Outbound, StanzaIndex};
use chaski_xmpp::stream::InlineEnabled;

impl Session {
    /// `<enable/>` (XEP-0198 §3).
    pub(crate) fn enable(
        &mut self,
        desk: &mut Desk,
        ctx: &mut Context<'_>,
        resume: bool,
        max_s: Option<u32>,
    ) {
        let Some(conn) = self.conn else { return };
        desk.scratch.clear();
        if self.managed.is_some() {
            sm::write_failed(&mut desk.scratch, StanzaCondition::UnexpectedRequest, None);
            return ctx.wire.write(conn, &[&desk.scratch]);
        }
        let InlineEnabled { id, max_s } = self.manage(desk, ctx.rng, resume, max_s);
        sm::write_enabled(&mut desk.scratch, id.as_deref().map(|id| (id, max_s)));
        ctx.wire.write(conn, &[&desk.scratch]);
        self.ease(desk);
    }

    /// Begins stream management, which was off. Returns what the client is to be told: the resumption id if the session can be
    /// resumed, and for how long.
    pub(crate) fn manage(
        &mut self,
        desk: &Desk,
        rng: &mut dyn rand::CryptoRng,
        resume: bool,
        max_s: Option<u32>,
    ) -> InlineEnabled {
        let mut managed = Managed::default();
        let before: Vec<Seq> = self.queue.iter().filter_map(|sent| sent.mail.map(|mail| mail.seq)).collect();
        if !before.is_empty() {
            managed.rare().before = before;
        }
        (self.queue, self.mail_waiting, self.mail_bytes) = (Outbound::new(), 0, 0);
        if resume {
            let mut random = [0; 16];
            rng.fill_bytes(&mut random);
            managed.resume_id = Some(random);
        }
        let ours_ms = desk.realm.limits.resume_ms;
        let wished_ms = max_s.map(|max_s| u64::from(max_s) * 1000).filter(|wished_ms| *wished_ms < ours_ms);
        if resume && wished_ms.is_some() {
            managed.rare().resume_max_ms = wished_ms;
        }
        let limit_s = (wished_ms.unwrap_or(ours_ms) / 1000) as u32;
        let id = managed.resume_id.map(|id| URL_SAFE_NO_PAD.encode(id));
        self.managed = Some(managed);
        InlineEnabled { id, max_s: limit_s }
    }

    /// Answers an `<r/>` of the client: now, or when what the client has sent before it is durable, but after `answer_ms` at the
    /// latest.
    pub(crate) fn requested(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        // Stanzas before this `<r/>` are parked until the client acknowledges: it is told the present count now, and again when
        // they are handled.
        if self.is_requested_late() {
            return self.answer(desk);
        }
        let Some(managed) = &mut self.managed else { return self.unexpected(desk) };
        match managed.inbound.request() {
            Some(_) => self.answer(desk),
            None if !managed.answer_timed => {
                managed.answer_timed = true;
                desk.timers.set(ctx.now_ms + desk.realm.limits.answer_ms, self.id, Timer::Answer);
            }
            None => {}
        }
    }

    /// The disk is slow: tells the client by an `<a/>` that the server lives, and how much is accepted.
    pub(crate) fn answer_late(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        let Some(managed) = &mut self.managed else { return };
        managed.answer_timed = false;
        if managed.inbound.held() > 0 {
            let h = managed.inbound.h();
            self.write_ack(desk, ctx, h);
        }
    }

    /// `<resume/>` on a session that is bound already (XEP-0198 §5).
    pub(crate) fn resume_refused(&self, desk: &mut Desk, ctx: &mut Context<'_>) {
        if let Some(conn) = self.conn {
            desk.scratch.clear();
            sm::write_failed(&mut desk.scratch, StanzaCondition::UnexpectedRequest, None);
            ctx.wire.write(conn, &[&desk.scratch]);
        }
    }

    /// The stanza with this number is accepted or refused, so that the session's count may advance past it.
    pub(crate) fn release(&mut self, desk: &mut Desk, index: StanzaIndex) {
        let Some(managed) = &mut self.managed else { return };
        if managed.inbound.release(index).is_some() {
            self.answer(desk);
        }
    }

    /// Has the client's `<r/>` answered at the end of the turn, once for all that the turn brings.
    fn answer(&mut self, desk: &mut Desk) {
        if let Some(managed) = &mut self.managed
            && !std::mem::replace(&mut managed.answer_due, true)
        {
            desk.turned.push(self.id);
        }
    }

    /// Asks the client to acknowledge what it was sent, at the end of the turn.
    pub(super) fn ask(&mut self, desk: &mut Desk) {
        if let Some(managed) = &mut self.managed
            && !managed.requested
            && !std::mem::replace(&mut managed.ask_due, true)
        {
            desk.turned.push(self.id);
        }
    }

    /// The turn ends: writes one `<a/>` for the client's `<r/>`s, and one `<r/>` of the server behind all that was sent.
    pub(crate) fn turn_ends(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        self.answer_now(desk, ctx);
        self.request_now(desk, ctx);
    }

    /// Writes the answer to the client's `<r/>`, if one is due.
    pub(crate) fn answer_now(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        let Some(managed) = &mut self.managed else { return };
        if std::mem::take(&mut managed.answer_due) {
            let h = managed.inbound.h();
            self.write_ack(desk, ctx, h);
        }
    }

    /// Writes an `<r/>` if something is unacknowledged and no `<r/>` is unanswered. A client that gets many messages is not asked
    /// after each: only when many are unacknowledged, when reading on from the mailbox waits for it, or together with a message
    /// that is sent a while after the last `<r/>`. An `<r/>` alone costs a TCP segment, and its answer another: so it is sent
    /// alone only where no message has taken one along for a while.
    fn request_now(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        let limits = &desk.realm.limits;
        let many = self.queue.len() >= limits.ask_after_stanzas
            || self.mail_bytes as usize >= limits.ask_after_bytes
            || self.progress != Progress::Live;
        let (Some(conn), Some(managed)) = (self.conn, &mut self.managed) else { return };
        if !std::mem::take(&mut managed.ask_due) || managed.requested || self.queue.is_empty() {
            return;
        }
        let next_ms = managed.requested_ms + limits.ask_every_ms;
        if !many && managed.requested_ms != 0 && ctx.now_ms < next_ms {
            if !std::mem::replace(&mut managed.ask_timed, true) {
                desk.timers.set(managed.requested_ms + limits.ask_alone_ms, self.id, Timer::Ask);
            }
            return;
        }
        managed.requested = true;
        managed.requested_ms = ctx.now_ms.max(1);
        ctx.wire.write(conn, &[REQUEST]);
        if !std::mem::replace(&mut managed.watched, true) {
            desk.timers.set(ctx.now_ms + limits.ack_timeout_ms, self.id, Timer::Unanswered);
        }
    }

    /// Sets a timer to ask for an acknowledgement of stanzas that are no messages, so that they leave the queue some time: an
    /// idle session keeps no queue. The time is short after the login, when little else follows, and longer afterwards, when one
    /// `<r/>` covers more.
    pub(super) fn remind(&mut self, desk: &mut Desk, ctx: &Context<'_>) {
        let Some(managed) = &mut self.managed else { return };
        if !managed.requested && !std::mem::replace(&mut managed.remind_timed, true) {
            let limits = &desk.realm.limits;
            let first = managed.requested_ms == 0;
            let after_ms = if first { limits.remind_first_ms } else { limits.remind_ms };
            desk.timers.set(ctx.now_ms + after_ms, self.id, Timer::Remind);
        }
    }

    /// The timer of [`Self::remind`] has fired: asks the client.
    pub(crate) fn remind_now(&mut self, desk: &mut Desk) {
        if let Some(managed) = &mut self.managed {
            managed.remind_timed = false;
            self.ask(desk);
        }
    }

    /// The timer for an `<r/>` that is sent alone has fired: something was sent and has been unacknowledged for a while.
    pub(crate) fn ask_late(&mut self, desk: &mut Desk, ctx: &Context<'_>) {
        let Some(managed) = &mut self.managed else { return };
        managed.ask_timed = false;
        let due_ms = managed.requested_ms + desk.realm.limits.ask_alone_ms;
        if ctx.now_ms >= due_ms {
            self.ask(desk);
        } else if !self.queue.is_empty() {
            // A message has taken an `<r/>` along since the timer was set, and another message has been sent.
            managed.ask_timed = true;
            desk.timers.set(due_ms, self.id, Timer::Ask);
        }
    }

    /// The timer of an `<r/>` has fired: cuts the connection if the client never answered.
    pub(crate) fn unanswered(&mut self, desk: &mut Desk, ctx: &Context<'_>) {
        let Some(managed) = &mut self.managed else { return };
        managed.watched = false;
        if !managed.requested {
            return;
        }
        let due_ms = managed.requested_ms + desk.realm.limits.ack_timeout_ms;
        if due_ms <= ctx.now_ms {
            desk.doom(self.id, End::cut("connection-timeout", "no acknowledgement"));
        } else {
            managed.watched = true;
            desk.timers.set(due_ms, self.id, Timer::Unanswered);
        }
    }

    fn write_ack(&self, desk: &mut Desk, ctx: &mut Context<'_>, h: u32) {
        if let Some(conn) = self.conn {
            desk.scratch.clear();
            sm::write_ack(&mut desk.scratch, h);
            ctx.wire.write(conn, &[&desk.scratch]);
        }
    }

    /// The client has sent an element of stream management where it has no place: the session ends.
    pub(crate) fn unexpected(&self, desk: &mut Desk) {
        let text = match self.managed {
            Some(_) => "malformed or misplaced element of stream management",
            None => "stream management is not enabled",
        };
        desk.doom(self.id, End::over("unsupported-stanza-type", text));
    }

    /// The client has sent an element that is neither a stanza nor known to the server: the session ends.
    pub(crate) fn foreign(&self, desk: &mut Desk) {
        desk.doom(self.id, End::over("unsupported-stanza-type", "neither a stanza nor known here"));
    }

    /// The client acknowledged what it was never sent (XEP-0198 §4).
    pub(crate) fn too_high(&self, desk: &mut Desk, error: sm::TooHigh) {
        desk.doom(self.id, End::Over(Some(error.into())));
    }

    /// The connection is gone: the session hibernates until it is resumed, if the client has enabled resumption. False: it has to
    /// end.
    pub(crate) fn hibernate(&mut self, desk: &mut Desk, ctx: &Context<'_>) -> bool {
        let Some(managed) = self.managed.as_mut().filter(|managed| managed.resume_id.is_some()) else {
            return false;
        };
        managed.inbound.forget_requests();
        managed.forget_requests();
        self.forget_parked(desk);
        let Some(managed) = &mut self.managed else { return false };
        // What TCP has not confirmed by now it never will: those messages stay in the mailbox, and the session reads them from
        // there.
        let unconfirmed = !managed.take_before().is_empty();
        let rare = managed.rare();
        let until_ms = ctx.now_ms + rare.resume_max_ms.unwrap_or(desk.realm.limits.resume_ms);
        (rare.resuming, rare.hibernates_until_ms) = (None, Some(until_ms));
        if unconfirmed {
            self.rewind();
        }
        self.confirming = false;
        self.conn = None;
        desk.timers.set(until_ms, self.id, Timer::Hibernation);
        desk.metrics.sessions_hibernating.add(1);
        true
    }

    /// Resumes the session on this connection as soon as `<resumed/>` is written there. Returns the connection that the session
    /// leaves.
    pub(crate) fn resume_on(&mut self, desk: &Desk, conn: ConnId) -> Option<ConnId> {
        self.forget_parked(desk);
        let managed = self.managed.as_mut()?;
        let old = self.conn.take().or(managed.resuming());
        managed.forget_requests();
        // As in [`Self::hibernate`]: the old connection's TCP will not be asked any more.
        let unconfirmed = !managed.take_before().is_empty();
        let rare = managed.rare();
        rare.resuming = Some(conn);
        rare.hibernates_until_ms = None;
        if unconfirmed {
            self.confirming = false;
            self.rewind();
        }
        old
    }

    /// Whether the session outlives its connection, because the client has enabled resumption.
    pub(crate) fn is_resumable(&self) -> bool {
        self.managed.as_ref().is_some_and(|managed| managed.resume_id.is_some())
    }

    /// Until when a hibernating session can be resumed. `None`: it does not hibernate.
    pub(crate) fn hibernates_until_ms(&self) -> Option<u64> {
        self.managed.as_ref()?.rare.as_ref()?.hibernates_until_ms
    }

    /// Whether the session is being resumed on this connection and its `<resumed/>` is not written yet.
    pub(crate) fn is_resuming_on(&self, conn: ConnId) -> bool {
        self.managed.as_ref().and_then(Managed::resuming) == Some(conn)
    }

    /// The session's connection, or the one on which it is being resumed.
    pub(crate) fn connection(&self) -> Option<ConnId> {
        self.conn.or_else(|| self.managed.as_ref()?.resuming())
    }

    /// Takes the session's connection away. Returns that connection.
    pub(crate) fn forget_connection(&mut self) -> Option<ConnId> {
        let resuming = self.managed.as_mut().and_then(Managed::take_resuming);
        self.conn.take().or(resuming)
    }

    /// Whether the session hibernates and its time for resumption is over.
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        self.hibernates_until_ms().is_some_and(|until_ms| until_ms <= now_ms)
    }

    /// Whether this is the session's resumption id.
    pub(crate) fn is_resumed_by(&self, previd: &str) -> bool {
        let mut given = [0; 16];
        let is_id =
            URL_SAFE_NO_PAD.decode_slice(previd, &mut given).is_ok_and(|length| length == given.len());
        let id = self.managed.as_ref().and_then(|managed| managed.resume_id);
        is_id && id.is_some_and(|id| subtle::ConstantTimeEq::ct_eq(&id[..], &given[..]).into())
    }
}
