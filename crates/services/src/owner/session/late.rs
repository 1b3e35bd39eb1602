//! Stanzas that find no room in a session's queue, and what its client sends behind them.
//!
//! A client that asks faster than it acknowledges is not disconnected. Stanzas for it that find no room are *late*: unsent, in
//! order. Until they are sent the *gate* is shut: what the client sends is *parked*: unhandled, uncounted, in order. `<a/>` and
//! `<r/>` pass the gate, so that acknowledgements can make the room for which everything waits. Without stream management there
//! is room while the client's TCP takes what is written, and the server stops reading the connection rather than park much.
//! Called by [`super::Session::send`], [`crate::owner::gate`] and [`crate::owner::errands`]. Promises: nothing overtakes late
//! stanzas except messages from the mailbox. A stanza of the client sees what its previous one has changed, also where that
//! change has to be durable first. A presence replaces an earlier one of the same sender that is still late. Bounds, each per
//! session and for all sessions of a shard: beyond them presence is dropped, and for anything else the connection is cut, so that
//! a resumable session can be resumed and the client sends the parked stanzas again. A session for which nothing waits pays
//! nothing: all of this is behind the pointer of [`Held`].

use crate::account::session::csi::{Held, What};
use crate::account::session::late::{Late, OVERHEAD_BYTES};
use crate::account::session::{End, Session};
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use crate::realm::Limits;
use crate::timers::Timer;
use crate::wire::{Closed, ConnId};
use chaski_xmpp::{Kind, Stored};
use std::collections::VecDeque;

/// After this long the server no longer waits for the answer to a client's request.
const ANSWER_LOST_MS: u64 = 2_000;
/// Beyond the bound the connection is cut; up to so many times the bound, late stanzas are still kept for the next connection.
const HARD: usize = 2;

impl Session {
    fn late(&self) -> Option<&Late> {
        self.held.as_ref()?.late.as_deref()
    }

    fn late_mut(&mut self) -> Option<&mut Late> {
        self.held.as_mut()?.late.as_deref_mut()
    }

    fn make_late(&mut self) -> &mut Late {
        self.held.get_or_insert_default().late.get_or_insert_default()
    }

    /// Whether stanzas for the client are late.
    pub(super) fn is_late(&self) -> bool {
        self.late().is_some_and(|late| !late.out.is_empty())
    }

    /// Whether what the client sends now has to be parked.
    pub(crate) fn is_gated(&self, limits: &Limits) -> bool {
        self.is_shut(limits) || self.late().is_some_and(|late| !late.parked.is_empty())
    }

    fn is_shut(&self, limits: &Limits) -> bool {
        let others = self.queue.len() - self.mail_waiting as usize;
        // Without stream management the queue holds nothing but messages.
        others >= limits.queue_stanzas
            || self.other_bytes as usize >= limits.queue_bytes
            || self.late().is_some_and(Late::is_shut)
    }

    /// Whether a stanza that is no message of the mailbox finds room. One stanza always does, however long it is.
    pub(super) fn has_room(&self, desk: &Desk, ctx: &Context<'_>, bytes: usize) -> bool {
        let limits = &desk.realm.limits;
        if self.managed.is_none() {
            return self.conn.is_none_or(|conn| ctx.wire.unsent_bytes(conn) <= limits.unsent_bytes);
        }
        let others = self.queue.len() - self.mail_waiting as usize;
        others < limits.queue_stanzas
            && (others == 0 || self.other_bytes as usize + bytes <= limits.queue_bytes)
    }

    /// Keeps a stanza for the client until there is room, behind others that wait for it.
    pub(super) fn delay(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, stanza: Stored) {
        let what = What::of(&stanza);
        if !self.has_late_room(desk, stanza.len(), what.as_ref(), 1) {
            if what.is_some() {
                return desk.metrics.presence_dropped_total.inc();
            }
            desk.doom(self.id, End::cut("policy-violation", "too many unacknowledged stanzas"));
            if !self.has_late_room(desk, stanza.len(), None, HARD) {
                return desk.metrics.stanzas_lost_total.inc();
            }
        }
        self.make_late().put(what, stanza.clone());
        desk.metrics.stanzas_late_total.inc();
        desk.metrics.late_bytes.add((stanza.len() + OVERHEAD_BYTES) as i64);
        self.pause(ctx);
    }

    /// Keeps a stanza that may be lost: presence waits, so that a newer one never comes before an older; others are dropped.
    /// False: it is dropped.
    pub(super) fn delay_droppable(
        &mut self,
        desk: &mut Desk,
        ctx: &mut Context<'_>,
        stanza: &Stored,
    ) -> bool {
        let what = What::of(stanza).filter(|what| matches!(what, What::Presence(_)));
        let has_room = what.is_some_and(|what| self.has_late_room(desk, 2 * stanza.len(), Some(&what), 1));
        if has_room {
            self.delay(desk, ctx, stanza.clone());
        }
        has_room
    }

    /// Whether one more stanza can be late. A late presence that the new one replaces is dropped first.
    fn has_late_room(&mut self, desk: &Desk, bytes: usize, what: Option<&What>, times: usize) -> bool {
        let limits = &desk.realm.limits;
        let late = self.make_late();
        let before = late.out_bytes;
        if let Some(what) = what
            && late.replace(what)
        {
            desk.metrics.stanzas_folded_total.inc();
            desk.metrics.late_bytes.add(late.out_bytes as i64 - before as i64);
        }
        let more = bytes + OVERHEAD_BYTES;
        late.out.len() < times * limits.late_stanzas
            && late.out_bytes + more <= times * limits.late_bytes
            && desk.metrics.late_bytes.get() as usize + more <= limits.late_bytes_shard
    }

    /// Sends late stanzas as long as there is room.
    pub(crate) fn send_late(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        while let Some(bytes) = self.late_mut().and_then(Late::next_bytes) {
            if !self.has_room(desk, ctx, bytes) {
                return;
            }
            let Some(stanza) = self.late_mut().and_then(Late::take_next) else { return };
            desk.metrics.late_bytes.add(-((stanza.len() + OVERHEAD_BYTES) as i64));
            self.write_out(desk, ctx, stanza);
        }
    }

    /// Parks a stanza of the client until the gate is open. A stanza that finds no room is not counted as received: the
    /// connection is cut, and the client sends it again.
    pub(crate) fn park(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, stanza: &[u8]) {
        let limits = &desk.realm.limits;
        let more = stanza.len() + OVERHEAD_BYTES;
        let total = desk.metrics.late_bytes.get() as usize + more;
        let late = self.make_late();
        let has_room = late.parked.len() < limits.parked_stanzas
            && (late.parked.is_empty() || late.parked_bytes + more <= limits.parked_bytes)
            && total <= limits.late_bytes_shard;
        if !has_room {
            return desk.doom(self.id, End::cut("policy-violation", "too many stanzas ahead of the answers"));
        }
        late.parked.push_back(stanza.into());
        late.parked_bytes += more;
        let waits_for_answers = late.out.is_empty() && late.asked > 0;
        let set_timer = waits_for_answers && !std::mem::replace(&mut late.is_timed, true);
        if set_timer {
            desk.timers.set(ctx.now_ms + ANSWER_LOST_MS, self.id, Timer::Answers);
        }
        desk.metrics.stanzas_parked_total.inc();
        desk.metrics.late_bytes.add(more as i64);
        self.pause(ctx);
    }

    /// Takes the next parked stanza if the gate is open, or with `anyway` in any case.
    pub(crate) fn take_parked(&mut self, desk: &Desk, anyway: bool) -> Option<Box<[u8]>> {
        if !anyway && self.is_shut(&desk.realm.limits) {
            return None;
        }
        let late = self.late_mut()?;
        let stanza = late.parked.pop_front()?;
        late.parked_bytes -= stanza.len() + OVERHEAD_BYTES;
        desk.metrics.late_bytes.add(-((stanza.len() + OVERHEAD_BYTES) as i64));
        Some(stanza)
    }

    /// An `<r/>` has come. Returns whether stanzas are parked before it: then it is to be answered once more when those have been
    /// handled.
    pub(super) fn is_requested_late(&mut self) -> bool {
        let Some(late) = self.late_mut().filter(|late| !late.parked.is_empty()) else { return false };
        late.is_requested = true;
        true
    }

    /// No stanza is parked any more: reads the connection again, and answers the `<r/>` that came behind the parked stanzas.
    pub(crate) fn gate_opens(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        if self.is_gated(&desk.realm.limits) {
            return;
        }
        let Some(late) = self.late_mut() else { return };
        let was_requested = std::mem::take(&mut late.is_requested);
        let was_paused = std::mem::take(&mut late.is_paused);
        self.tidy_late();
        if let (true, Some(conn)) = (was_paused, self.conn) {
            ctx.wire.go_on(conn);
        }
        if was_requested {
            self.requested(desk, ctx);
        }
    }

    /// The client has sent a request that the server will answer later.
    pub(crate) fn asks(&mut self) {
        let late = self.make_late();
        late.asked = late.asked.saturating_add(1);
    }

    /// A change that the client has asked for is under way: what the client sends next waits until the change is in force.
    pub(crate) fn begins_change(&mut self) {
        let late = self.make_late();
        late.changes = late.changes.saturating_add(1);
    }

    /// A change that the client has asked for is durable and in force, or was refused.
    pub(crate) fn change_is_over(&mut self, desk: &mut Desk) {
        let Some(late) = self.late_mut() else { return };
        late.changes = late.changes.saturating_sub(1);
        self.ease(desk);
        self.tidy_late();
    }

    /// The connection is over, and the session ends with it. Returns whether the end has to wait for changes that the client has
    /// asked for, because stanzas parked behind these must see them.
    pub(crate) fn ends_later(&mut self, conn: ConnId, why: Closed) -> bool {
        let Some(late) = self.late_mut().filter(|late| late.changes > 0 && !late.parked.is_empty()) else {
            return false;
        };
        late.over = Some((conn, why));
        true
    }

    /// Takes the end that [`Self::ends_later`] has put off, once no change is under way any more.
    pub(crate) fn take_over(&mut self) -> Option<(ConnId, Closed)> {
        self.late_mut().filter(|late| late.changes == 0)?.over.take()
    }

    /// An IQ is sent to the client: it counts as an answer, if the client has a request under way.
    pub(super) fn note_answer(&mut self, desk: &mut Desk, stanza: &Stored) {
        let Some(late) = self.late_mut().filter(|late| late.asked > 0) else { return };
        if stanza.kind() == Kind::Iq {
            late.asked -= 1;
            self.ease(desk);
            self.tidy_late();
        }
    }

    /// Stops waiting for answers: one was lost, or the disk is slow.
    pub(crate) fn answers_lost(&mut self, desk: &mut Desk) {
        if let Some(late) = self.late_mut() {
            (late.asked, late.is_timed) = (0, false);
        }
        self.ease(desk);
        self.tidy_late();
    }

    /// There may be room: what waits goes on when the present call ends.
    pub(crate) fn ease(&self, desk: &mut Desk) {
        if self.late().is_some_and(|late| !late.out.is_empty() || late.is_waited_for()) {
            desk.eased.push(self.id);
        }
    }

    /// The session has lost its connection or gets another one: forgets the parked stanzas, since the client sends them again,
    /// and does not wait for answers that are under way.
    pub(crate) fn forget_parked(&mut self, desk: &Desk) {
        let Some(late) = self.late_mut() else { return };
        let bytes = std::mem::take(&mut late.parked_bytes);
        late.parked = VecDeque::new();
        (late.asked, late.is_requested, late.is_paused) = (0, false, false);
        desk.metrics.late_bytes.add(-(bytes as i64));
        self.tidy_late();
    }

    /// The session ends: takes out the late stanzas, which will not be sent.
    pub(crate) fn take_late(&mut self, desk: &Desk) -> impl Iterator<Item = Stored> + use<> {
        let late = self.held.as_mut().and_then(|held| held.late.take());
        desk.metrics.late_bytes.add(-(late.as_ref().map_or(0, |late| late.bytes()) as i64));
        late.map(|late| late.out).unwrap_or_default().into_iter().flatten()
    }

    /// Stops reading the connection of a client without stream management, for which nothing is lost by that. With stream
    /// management the acknowledgements that make room would not be read either.
    fn pause(&mut self, ctx: &mut Context<'_>) {
        if let (None, Some(conn)) = (&self.managed, self.conn) {
            self.make_late().is_paused = true;
            ctx.wire.pause(conn);
        }
    }

    fn tidy_late(&mut self) {
        let Some(held) = &mut self.held else { return };
        // Timers that still run find nothing, and do no harm.
        held.late.take_if(|late| late.is_empty());
        self.held.take_if(|held: &mut Box<Held>| held.is_empty());
    }
}
