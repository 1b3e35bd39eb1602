//! Stream management of a session (XEP-0198): enabling it, the answers to `<r/>`, hibernation.

use super::{End, Session};
use crate::context::Context;
use crate::desk::Desk;
use crate::timers::Timer;
use crate::wire::{ConnId, StreamEnd};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaski_store::Seq;
use chaski_xmpp::StanzaCondition;
use chaski_xmpp::sm::{self, Inbound, Outbound, StanzaIndex};

/// What a session with stream management keeps besides its queue.
#[derive(Debug, Default)]
pub(crate) struct Managed {
    /// What the client has sent, and how much of it is handled.
    pub(crate) inbound: Inbound,
    /// The id for resumption, if the client asked for it. 128 random bits: who knows it was told.
    pub(crate) resume_id: Option<Box<str>>,
    /// When the outstanding `<r/>` was sent.
    pub(crate) requested_ms: Option<u64>,
    /// A timer watches over the `<r/>`.
    pub(crate) watched: bool,
    /// A timer watches over the client's `<r/>`.
    answer_timed: bool,
    /// It is being resumed on this connection, which waits for its `<resumed/>`: nothing is written before that.
    pub(crate) resuming: Option<ConnId>,
    /// Until when it can be resumed, while it hibernates.
    pub(crate) hibernates_until_ms: Option<u64>,
    /// Messages sent before stream management was enabled: TCP's confirmation acknowledges them.
    pub(crate) before: Vec<Seq>,
}

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
        let mut managed = Box::<Managed>::default();
        managed.before = self.queue.iter().filter_map(|sent| sent.mail.map(|mail| mail.seq)).collect();
        (self.queue, self.mail_waiting, self.mail_bytes) = (Outbound::new(), 0, 0);
        if resume {
            let mut random = [0; 16];
            ctx.rng.fill_bytes(&mut random);
            managed.resume_id = Some(URL_SAFE_NO_PAD.encode(random).into());
        }
        // A client may wish for less time than we give; it gets ours, which is short enough.
        let _ = max_s;
        let limit_s = (desk.realm.limits.resume_ms / 1000) as u32;
        sm::write_enabled(&mut desk.scratch, managed.resume_id.as_deref().map(|id| (id, limit_s)));
        ctx.wire.write(conn, &[&desk.scratch]);
        self.managed = Some(managed);
    }

    /// `<r/>`: answered now, or when what came before it is durable, but not later than `answer_ms`.
    pub(crate) fn requested(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        let Some(managed) = &mut self.managed else { return self.unexpected(desk) };
        match managed.inbound.request() {
            Some(h) => self.write_ack(desk, ctx, h),
            None if !managed.answer_timed => {
                managed.answer_timed = true;
                desk.timers.set(ctx.now_ms + desk.realm.limits.answer_ms, self.id, Timer::Answer);
            }
            None => {}
        }
    }

    /// The disk is slow: tells the client at least that we live, and how far we are.
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

    /// A stanza that was held is handled.
    pub(crate) fn release(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, index: StanzaIndex) {
        let Some(managed) = &mut self.managed else { return };
        if let Some(h) = managed.inbound.release(index) {
            self.write_ack(desk, ctx, h);
        }
    }

    fn write_ack(&self, desk: &mut Desk, ctx: &mut Context<'_>, h: u32) {
        if let Some(conn) = self.conn {
            desk.scratch.clear();
            sm::write_ack(&mut desk.scratch, h);
            ctx.wire.write(conn, &[&desk.scratch]);
        }
    }

    /// An element of stream management where there is none.
    pub(crate) fn unexpected(&self, desk: &mut Desk) {
        desk.doom(self.id, End::over("unsupported-stanza-type", "stream management is not enabled"));
    }

    /// The client acknowledged what it was never sent (XEP-0198 §4).
    pub(crate) fn too_high(&self, desk: &mut Desk, error: sm::TooHigh) {
        let end = StreamEnd { condition: "undefined-condition", text: Some(error.to_string()) };
        desk.doom(self.id, End::Over(Some(end)));
    }

    /// The connection is gone: waits for its resumption, if that was agreed. False: it has to end.
    pub(crate) fn hibernate(&mut self, desk: &mut Desk, ctx: &Context<'_>) -> bool {
        let Some(managed) = self.managed.as_mut().filter(|managed| managed.resume_id.is_some()) else {
            return false;
        };
        managed.inbound.forget_requests();
        managed.requested_ms = None;
        managed.resuming = None;
        let until_ms = ctx.now_ms + desk.realm.limits.resume_ms;
        managed.hibernates_until_ms = Some(until_ms);
        // What TCP has not confirmed by now it never will: it stays in the mailbox, to be read from there.
        let unconfirmed = !std::mem::take(&mut managed.before).is_empty();
        if unconfirmed {
            self.rewind();
        }
        self.confirming = false;
        self.conn = None;
        desk.timers.set(until_ms, self.id, Timer::Hibernation);
        desk.metrics.sessions_hibernating.add(1);
        true
    }

    /// Goes on over this connection, as soon as `<resumed/>` is written there. Returns the one that it leaves.
    pub(crate) fn resume_on(&mut self, conn: ConnId) -> Option<ConnId> {
        let managed = self.managed.as_mut()?;
        let old = self.conn.take().or(managed.resuming);
        managed.resuming = Some(conn);
        managed.requested_ms = None;
        managed.hibernates_until_ms = None;
        old
    }

    /// The connection it has, or is about to have.
    pub(crate) fn connection(&self) -> Option<ConnId> {
        self.conn.or_else(|| self.managed.as_ref()?.resuming)
    }

    /// Has no connection from now on. Returns the one it had.
    pub(crate) fn forget_connection(&mut self) -> Option<ConnId> {
        let resuming = self.managed.as_mut().and_then(|managed| managed.resuming.take());
        self.conn.take().or(resuming)
    }

    /// Whether it hibernates and its time is over.
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        let until_ms = self.managed.as_ref().and_then(|managed| managed.hibernates_until_ms);
        until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }

    /// Whether this is the id of its resumption.
    pub(crate) fn is_resumed_by(&self, previd: &str) -> bool {
        let id = self.managed.as_ref().and_then(|managed| managed.resume_id.as_deref());
        id.is_some_and(|id| subtle::ConstantTimeEq::ct_eq(id.as_bytes(), previd.as_bytes()).into())
    }
}
