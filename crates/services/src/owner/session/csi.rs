//! What a client that is not being looked at need not have at once (XEP-0352).
//!
//! While a session is inactive, presence, chat states and events of contacts' nodes are held back and folded together:
//! of each full JID its last presence and its last chat state, of each item of a node its last event. They are sent when
//! the client becomes active, and before anything else that is sent to it: then its radio is awake anyway.
//! Called by [`super::Session::send`] and [`super::Session::deliver`]. Promises: what is sent is what came, less what
//! something later of the same kind and sender has replaced, in the order in which it came; nothing else is ever
//! held; what is held is bounded per session and per shard (full: it is sent). A session that has lost its connection is as
//! inactive, and what finds no room is dropped there: it is presence. An active session, and an inactive one
//! that nothing waits for, pay one pointer.

use crate::account::session::csi::{Folded, Waiting, What};
use crate::account::session::{Session, Wishes};
use crate::effects::iq::Xep;
use crate::knobs::knobs;
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use chaski_xmpp::Stored;
use chaski_xmpp::stored::Has;

/// What this file implements. Chat states and idle times are only passed on.
pub(crate) const SPEC: &[Xep] = &[
    Xep::new(85, "2.1", "Chat State Notifications", &[]),
    Xep::new(319, "1.0.2", "Last User Interaction in Presence", &[]),
    Xep::new(352, "1.0.0", "Client State Indication", &[]),
];

knobs! {
    /// How much is held back from clients that nobody looks at; beyond: it is sent.
    pub(crate) struct CsiKnobs("csi") {
        /// Presence, chat states and events held back for one inactive client.
        stanzas: 200 in 0..=100_000,
        /// Bytes of presence, chat states and events held back for one inactive client.
        bytes: 32_768 in 0..=16_777_216,
        /// Bytes held back for all inactive clients of a shard.
        bytes_shard: 268_435_456 in 0..=17_179_869_184,
    }
}

impl Session {
    /// The client says whether somebody looks at it. When it becomes active, it gets what was held back.
    pub(crate) fn set_inactive(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, inactive: bool) {
        self.wishes.set(Wishes::INACTIVE, inactive);
        if !inactive {
            self.release_held(desk, ctx);
        }
    }

    /// Whether nobody looks at the client.
    pub(crate) fn is_inactive(&self) -> bool {
        self.wishes.has(Wishes::INACTIVE)
    }

    /// Whether what can wait does: nobody looks, or nobody is there. A contact must not be able to fill the queue of somebody
    /// who has lost the connection, and so end the session that is to be resumed.
    pub(super) fn waits(&self) -> bool {
        self.is_inactive() || self.conn.is_none()
    }

    /// Holds a stanza back that can wait and finds room. If there is none, it is sent to who is there, and lost for others.
    pub(super) fn put_off(&mut self, desk: &mut Desk, stanza: &Stored, droppable: bool) -> bool {
        let knobs = desk.realm.knobs.of::<CsiKnobs>();
        let left = knobs.bytes_shard.size().saturating_sub(desk.metrics.held_bytes.get() as usize);
        let Some(what) = What::of(stanza) else { return false };
        let held = self.held.get_or_insert_default();
        let (before, most_bytes) = (held.bytes, knobs.bytes.size().min(held.bytes + left));
        let new = Waiting { what, stanza: stanza.clone(), droppable };
        let Some(Folded(folded)) = held.put(new, knobs.stanzas.size(), most_bytes) else {
            if self.conn.is_none() {
                desk.metrics.presence_dropped_total.inc();
            }
            return self.conn.is_none();
        };
        desk.metrics.held_bytes.add(held.bytes as i64 - before as i64);
        desk.metrics.stanzas_held_total.inc();
        desk.metrics.stanzas_folded_total.add(u64::from(folded));
        true
    }

    /// A message is about to be sent: what its sender was doing before goes, the rest that was held back is sent first.
    pub(super) fn release_before(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, stanza: &Stored) {
        let Some(held) = &mut self.held else { return };
        if let (true, Some(from)) = (stanza.has(Has::BODY), stanza.from()) {
            let before = held.bytes;
            held.forget_chat_state(&from);
            desk.metrics.held_bytes.add(held.bytes as i64 - before as i64);
        }
        if self.conn.is_some() {
            self.release_held(desk, ctx);
        }
    }

    /// Sends what was held back.
    pub(super) fn release_held(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        for Waiting { stanza, droppable, .. } in self.take_held(desk) {
            if droppable && !self.has_transient_room(desk, ctx, stanza.len()) {
                desk.metrics.messages_dropped_total.inc();
            } else {
                self.send_now(desk, ctx, stanza);
            }
        }
    }

    /// Takes what is held back: nobody will want it, or its time has come.
    pub(crate) fn take_held(&mut self, desk: &Desk) -> Vec<Waiting> {
        let Some(held) = &mut self.held else { return Vec::new() };
        desk.metrics.held_bytes.add(-(std::mem::take(&mut held.bytes) as i64));
        let waiting = std::mem::take(&mut held.waiting);
        self.held.take_if(|held| held.is_empty());
        waiting
    }
}
