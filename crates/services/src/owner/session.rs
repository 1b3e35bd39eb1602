//! A session: one bound resource of an account, from bind until its end, over one connection or several in turn.
//!
//! A session owns what the protocol keeps per client: the connection; stream management (XEP-0198, in [`managed`]); the stanzas
//! that were sent and are not yet acknowledged; the stanzas held back from an inactive client ([`csi`]) or waiting for room
//! ([`late`]); and the position up to which its mailbox has been sent to it. The data are in [`crate::account::session`]. Called
//! by the other files of [`crate::owner`].
//! Promises: a message is acknowledged to the store only when the client has it (its `h`, or its TCP). The queue of
//! unacknowledged stanzas is bounded; beyond the bounds messages stay in the mailbox, other stanzas wait, and what the client
//! sends waits behind these.

mod behind;
pub(crate) mod carbons;
pub(crate) mod csi;
mod late;
mod managed;

use super::context::Context;
use super::desk::Desk;
use crate::account::session::{End, Mail, Sent, Session};
use crate::budget;
use crate::timers::Timer;
use crate::wire::ConnId;
use chaski_xmpp::{Kind, Stored, write};

const REQUEST: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";
/// Stanzas other than messages are not worth an `<r/>` each: only after so many is one sent.
const REQUEST_AFTER_STANZAS: usize = 8;

impl Session {
    /// Notes the language (`xml:lang`) of the session's stream, or that the stream has named none.
    pub(crate) fn speak(&mut self, desk: &mut Desk, tag: Option<&str>) {
        desk.languages.leave(self.language);
        let language = tag.map(|tag| desk.languages.join(tag));
        if language == Some(None) {
            desk.metrics.languages_unsaid_total.inc();
        }
        self.language = language.flatten().unwrap_or_default();
    }

    /// Sends a stanza that is in no mailbox: presence, IQ, a transient message.
    pub(crate) fn send(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, stanza: Stored) {
        let is_iq = stanza.kind() == Kind::Iq;
        desk.iqs_sent += u64::from(is_iq);
        if is_iq && stanza.len() >= budget::LARGE_BYTES {
            // An answer that was read from the store arrives while no connection is being read, so its cost is charged at the end
            // of the turn, to the account that asked.
            desk.owed.push((self.id, budget::of_bytes(stanza.len())));
        }
        self.note_answer(desk, &stanza);
        if self.is_late() {
            self.delay(desk, ctx, stanza);
        } else if !(self.waits() && self.put_off(desk, &stanza, false)) {
            self.release_before(desk, ctx, &stanza);
            self.send_now(desk, ctx, stanza);
        }
    }

    /// Sends a stanza that may be lost, and that must not fill the queue behind which the client's own requests wait: a
    /// stranger's presence, a message that is not stored, a carbon copy. False: there was no room, and it is lost.
    pub(crate) fn send_droppable(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, stanza: &Stored) -> bool {
        if self.is_late() {
            return self.delay_droppable(desk, ctx, stanza);
        }
        if self.waits() && self.put_off(desk, stanza, true) {
            return true;
        }
        self.release_before(desk, ctx, stanza);
        let room = self.has_transient_room(desk, ctx, stanza.len());
        if room {
            self.send_now(desk, ctx, stanza.clone());
        }
        room
    }

    fn send_now(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, stanza: Stored) {
        if self.is_late() || !self.has_room(desk, ctx, stanza.len()) {
            self.delay(desk, ctx, stanza);
        } else {
            self.write_out(desk, ctx, stanza);
        }
    }

    fn write_out(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, stanza: Stored) {
        desk.spend(budget::WRITTEN + budget::of_bytes(stanza.len()));
        if self.managed.is_some() {
            self.enqueue(desk, Sent { stanza: stanza.clone(), mail: None });
        }
        let Some(conn) = self.conn else { return };
        if ctx.wire.unsent_bytes(conn) > desk.realm.limits.unsent_bytes_cut {
            return desk.doom(self.id, End::cut("policy-violation", "too slow"));
        }
        ctx.wire.write(conn, &stanza.pieces());
        if self.queue.len() >= REQUEST_AFTER_STANZAS {
            self.request(desk, ctx);
        } else {
            self.remind(desk, ctx);
        }
    }

    /// Whether a stanza that may be dropped finds room. Such stanzas get half of the queue; the rest is for stanzas that can't be
    /// dropped.
    pub(crate) fn has_transient_room(&self, desk: &Desk, ctx: &Context<'_>, bytes: usize) -> bool {
        let limits = &desk.realm.limits;
        let others = self.queue.len() - self.mail_waiting as usize;
        let fits = others < limits.queue_stanzas.div_ceil(2)
            && (others == 0 || self.other_bytes as usize + bytes <= limits.queue_bytes / 2);
        (self.managed.is_none() || fits)
            && !self.is_late()
            && self.conn.is_none_or(|conn| ctx.wire.unsent_bytes(conn) <= limits.unsent_bytes)
    }

    /// Whether a live message finds room in the queue. If not, the session reads it from the mailbox later.
    pub(crate) fn has_live_room(&self, desk: &Desk, ctx: &Context<'_>, bytes: usize) -> bool {
        let limits = &desk.realm.limits;
        (self.mail_waiting as usize) < limits.live_messages
            && self.mail_bytes as usize + bytes <= limits.live_bytes.max(bytes)
            && self.conn.is_none_or(|conn| ctx.wire.unsent_bytes(conn) <= limits.unsent_bytes)
    }

    /// How much of a backlog may be sent now, as messages and bytes.
    pub(crate) fn window(&self, desk: &Desk, ctx: &Context<'_>) -> Option<(usize, usize)> {
        let limits = &desk.realm.limits;
        let messages = limits.window_messages.saturating_sub(self.mail_waiting as usize);
        let bytes = limits.window_bytes.saturating_sub(self.mail_bytes as usize);
        let conn = self.conn?;
        // Opens only when half of the window is free, so that a backlog is not read message by message.
        let open = messages * 2 >= limits.window_messages && bytes * 2 >= limits.window_bytes;
        (open && ctx.wire.unsent_bytes(conn) <= limits.unsent_bytes).then_some((messages, bytes))
    }

    /// Sends a message of the mailbox. `late`: with a `<delay/>`.
    pub(crate) fn deliver(
        &mut self,
        desk: &mut Desk,
        ctx: &mut Context<'_>,
        stanza: &Stored,
        mail: Mail,
        late: bool,
    ) {
        desk.spend(budget::WRITTEN + budget::of_bytes(stanza.len()));
        self.release_before(desk, ctx, stanza);
        self.enqueue(desk, Sent { stanza: stanza.clone(), mail: Some(mail) });
        let Some(conn) = self.conn else { return };
        desk.metrics.messages_delivered_total.inc();
        if late {
            desk.metrics.messages_delivered_late_total.inc();
            write_late(desk, ctx, conn, stanza, mail.accepted_unix_ms);
        } else {
            ctx.wire.write(conn, &stanza.pieces());
        }
        self.request(desk, ctx);
    }

    /// Asks for an acknowledgement of what was sent, unless that has been asked for already: the client by `<r/>` at the end of
    /// the turn, or, without stream management, the client's TCP.
    pub(crate) fn request(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        if self.managed.is_some() {
            return self.ask(desk);
        }
        if let Some(conn) = self.conn
            && !std::mem::replace(&mut self.confirming, true)
        {
            ctx.wire.confirm(conn);
        }
    }

    /// The client has acknowledged stanzas up to `h`: takes them from the queue, and collects those to be deleted from the
    /// mailbox in `desk.seqs`.
    pub(crate) fn acknowledge(&mut self, desk: &mut Desk, h: u32) -> Result<(), chaski_xmpp::sm::TooHigh> {
        desk.seqs.clear();
        for sent in self.queue.ack(h)? {
            if let Some(mail) = sent.mail {
                self.mail_waiting -= 1;
                self.mail_bytes -= sent.stanza.len() as u32;
                desk.seqs.push(mail.seq);
            } else {
                self.other_bytes -= sent.stanza.len() as u32;
            }
        }
        // An idle session keeps no queue memory: the next session that is sent something takes it over.
        if let Some(room) = self.queue.take_room() {
            desk.keep_room(room);
        }
        self.ease(desk);
        Ok(())
    }

    /// Sets a timer to read on from the mailbox, for a session for which nothing else would. There is one such timer at a time,
    /// however often this is called.
    pub(crate) fn retry_reading(&mut self, desk: &mut Desk, due_ms: u64) {
        if !std::mem::replace(&mut self.retrying, true) {
            desk.timers.set(due_ms, self.id, Timer::ReadOn);
        }
    }

    /// After a resumption: everything unacknowledged again, in order (XEP-0198 §5).
    pub(crate) fn resend(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        let Some(conn) = self.conn else { return };
        self.queue.retain(|sent| !sent.stanza.is_empty());
        for sent in self.queue.iter() {
            match sent.mail {
                Some(mail) => {
                    desk.metrics.messages_resent_total.inc();
                    write_late(desk, ctx, conn, &sent.stanza, mail.accepted_unix_ms);
                }
                None => ctx.wire.write(conn, &sent.stanza.pieces()),
            }
        }
        if !self.queue.is_empty() {
            self.request(desk, ctx);
        }
    }

    /// A message that was written to the client is not kept. It has its place among those that the client counts, as long as the client
    /// may have got it.
    pub(crate) fn take_back(&mut self, stanza: &Stored) {
        let Some(sent) = self.queue.iter_mut().rfind(|sent| sent.stanza.is_same(stanza)) else { return };
        if sent.mail.take().is_some() {
            self.mail_waiting -= 1;
            self.mail_bytes -= stanza.len() as u32;
        } else {
            self.other_bytes -= stanza.len() as u32;
        }
        sent.stanza = Stored::nothing();
    }

    fn enqueue(&mut self, desk: &mut Desk, sent: Sent) {
        if self.queue.needs_room()
            && let Some(room) = desk.rooms.pop()
        {
            self.queue.give_room(room);
        }
        if sent.mail.is_some() {
            self.mail_waiting += 1;
            self.mail_bytes += sent.stanza.len() as u32;
        } else {
            self.other_bytes += sent.stanza.len() as u32;
        }
        // Bounded by the callers: messages by the window, the rest by [`Session::has_room`].
        let queued = self.queue.sent(sent, usize::MAX);
        debug_assert!(queued.is_ok(), "no queue is that long");
    }
}

/// Writes a stored message with the time when it was accepted (XEP-0203).
fn write_late(desk: &mut Desk, ctx: &mut Context<'_>, conn: ConnId, stanza: &Stored, accepted_unix_ms: u64) {
    desk.scratch.clear();
    write::delay(&mut desk.scratch, &desk.realm.domain, ctx.shown(accepted_unix_ms));
    ctx.wire.write(conn, &stanza.pieces_with(&desk.scratch));
}
