//! What finds no room in a session's queue, and what its client has sent behind that.
//!
//! A client that asks faster than it acknowledges is not ended: stanzas for it that find no room are *late*, unsent, in
//! order; and until they are out the *gate* is shut: what the client sends is *parked*, unhandled, uncounted, in order.
//! `<a/>` and `<r/>` pass the gate, so that acknowledgements make the room that everything waits for. Without stream
//! management the room is what the client's TCP takes, and instead of parking much the connection is not read.
//! Called by [`super::Session::send`], `router` and `shard`. Promises: nothing overtakes what is late but messages of the
//! mailbox; a stanza sees what the one before it has changed, also where that has to be durable first; a presence replaces an earlier one of the same sender that is
//! still late. Bounds, each per session and together per shard: beyond, presence is dropped, and for anything else the
//! connection is cut, so that a resumable session can be resumed and what was parked is sent again. A session that nothing
//! waits for pays nothing: all of this is behind the pointer of [`super::Held`].

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

/// An answer that has not come after this long is waited for no more.
const ANSWER_LOST_MS: u64 = 2_000;
/// Of both bounds, what beyond the first cut of the connection is still kept for its next.
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

    /// Whether something for its client is late.
    pub(super) fn is_late(&self) -> bool {
        self.late().is_some_and(|late| !late.out.is_empty())
    }

    /// Whether what the client sends now has to wait.
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

    /// Whether a stanza that is no message of the mailbox finds room. One always does, however long it is.
    pub(super) fn has_room(&self, desk: &Desk, ctx: &Context<'_>, bytes: usize) -> bool {
        let limits = &desk.realm.limits;
        if self.managed.is_none() {
            return self.conn.is_none_or(|conn| ctx.wire.unsent_bytes(conn) <= limits.unsent_bytes);
        }
        let others = self.queue.len() - self.mail_waiting as usize;
        others < limits.queue_stanzas
            && (others == 0 || self.other_bytes as usize + bytes <= limits.queue_bytes)
    }

    /// Has a stanza wait until there is room, behind others that do.
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

    /// The same for what may be lost: presence waits its turn, so that a newer one never comes before an older. False: lost.
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

    /// Whether one more can be late. What it replaces goes first.
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

    /// Sends what is late, as far as there is room.
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

    /// Keeps a stanza of the client until the gate is open. What finds no room is not counted: the connection is cut, and
    /// the client sends it again.
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

    /// Takes the next that is parked, if the gate is open, or `anyway`.
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

    /// An `<r/>` has come: whether it stands behind what is parked, and is to be answered once more when that is handled.
    pub(super) fn is_requested_late(&mut self) -> bool {
        let Some(late) = self.late_mut().filter(|late| !late.parked.is_empty()) else { return false };
        late.is_requested = true;
        true
    }

    /// Nothing is parked any more: reads on, and answers what was asked meanwhile.
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

    /// A request of the client is under way, and the server will answer it.
    pub(crate) fn asks(&mut self) {
        let late = self.make_late();
        late.asked = late.asked.saturating_add(1);
    }

    /// A change that the client has asked for is under way: what it says next waits for that, and sees it.
    pub(crate) fn begins_change(&mut self) {
        let late = self.make_late();
        late.changes = late.changes.saturating_add(1);
    }

    /// One is durable and in force, or refused.
    pub(crate) fn change_is_over(&mut self, desk: &mut Desk) {
        let Some(late) = self.late_mut() else { return };
        late.changes = late.changes.saturating_sub(1);
        self.ease(desk);
        self.tidy_late();
    }

    /// Its connection is over, and the session with it: whether that has to wait for its last changes, so that what was said behind them
    /// sees them.
    pub(crate) fn ends_later(&mut self, conn: ConnId, why: Closed) -> bool {
        let Some(late) = self.late_mut().filter(|late| late.changes > 0 && !late.parked.is_empty()) else {
            return false;
        };
        late.over = Some((conn, why));
        true
    }

    /// Takes that, if nothing has to be waited for any more.
    pub(crate) fn take_over(&mut self) -> Option<(ConnId, Closed)> {
        self.late_mut().filter(|late| late.changes == 0)?.over.take()
    }

    /// An IQ is sent to the client: an answer, if any is under way.
    pub(super) fn note_answer(&mut self, desk: &mut Desk, stanza: &Stored) {
        let Some(late) = self.late_mut().filter(|late| late.asked > 0) else { return };
        if stanza.kind() == Kind::Iq {
            late.asked -= 1;
            self.ease(desk);
            self.tidy_late();
        }
    }

    /// Answers are waited for no longer: one was lost, or its disk is slow.
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

    /// The connection is another one, or none: what was parked is sent again, and what was under way comes when it comes.
    pub(crate) fn forget_parked(&mut self, desk: &Desk) {
        let Some(late) = self.late_mut() else { return };
        let bytes = std::mem::take(&mut late.parked_bytes);
        late.parked = VecDeque::new();
        (late.asked, late.is_requested, late.is_paused) = (0, false, false);
        desk.metrics.late_bytes.add(-(bytes as i64));
        self.tidy_late();
    }

    /// The session ends: what was late will not be sent.
    pub(crate) fn take_late(&mut self, desk: &Desk) -> impl Iterator<Item = Stored> + use<> {
        let late = self.held.as_mut().and_then(|held| held.late.take());
        desk.metrics.late_bytes.add(-(late.as_ref().map_or(0, |late| late.bytes()) as i64));
        late.map(|late| late.out).unwrap_or_default().into_iter().flatten()
    }

    /// Without stream management nothing is lost by not reading on; with it, what makes room would not be read.
    fn pause(&mut self, ctx: &mut Context<'_>) {
        if let (None, Some(conn)) = (&self.managed, self.conn) {
            self.make_late().is_paused = true;
            ctx.wire.pause(conn);
        }
    }

    fn tidy_late(&mut self) {
        let Some(held) = &mut self.held else { return };
        // A timer that still runs finds nothing: no harm.
        held.late.take_if(|late| late.is_empty());
        self.held.take_if(|held: &mut Box<Held>| held.is_empty());
    }
}
