//! What an inactive client need not have at once (client state indication, XEP-0352).
//!
//! While a session is inactive, presence, chat states and PEP events of contacts are held back. Of each full JID only the last
//! presence and the last chat state are kept, of each item of a PEP node the last event. They are sent when the client becomes
//! active, and before anything else that is sent to the client, since its radio is awake then anyway.
//! Called by [`super::Session::send`] and [`super::Session::deliver`]. Promises: what is sent is what came, in the order in which
//! it came, without the stanzas that a later one of the same kind and sender has replaced. No other stanza is ever held back.
//! What is held back is bounded per session and per shard; beyond, a stanza is sent at once. A session that has lost its
//! connection counts as inactive, and what finds no room there is dropped, since it is presence or the like. An active session,
//! and an inactive one for which nothing waits, pay one pointer.

use crate::account::session::csi::{Folded, Waiting, What};
use crate::account::session::{Session, Wishes};
use crate::effects::iq::Xep;
use crate::knobs::knobs;
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use chaski_xmpp::Stored;
use chaski_xmpp::stored::Has;

/// What this file implements. Chat states and idle times are only passed on to clients.
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
    /// The client says whether it is active (XEP-0352). A client that becomes active gets what was held back.
    pub(crate) fn set_inactive(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, inactive: bool) {
        self.wishes.set(Wishes::INACTIVE, inactive);
        if !inactive {
            self.release_held(desk, ctx);
        }
    }

    /// Whether the client has said that it is inactive.
    pub(crate) fn is_inactive(&self) -> bool {
        self.wishes.has(Wishes::INACTIVE)
    }

    /// Whether stanzas that can wait are held back: the client is inactive, or the session has no connection. In the second case
    /// a contact's presence must not fill the queue: that would end a session that is to be resumed.
    pub(super) fn waits(&self) -> bool {
        self.is_inactive() || self.conn.is_none()
    }

    /// Holds a stanza back if it can wait and finds room. Without room, it is sent if the session has a connection; else it is
    /// dropped.
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

    /// A message is about to be sent: drops the chat state of its sender that was held back, and sends the rest of what was held
    /// back first.
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

    /// Takes out what is held back, to be sent or to be forgotten with the session.
    pub(crate) fn take_held(&mut self, desk: &Desk) -> Vec<Waiting> {
        let Some(held) = &mut self.held else { return Vec::new() };
        desk.metrics.held_bytes.add(-(std::mem::take(&mut held.bytes) as i64));
        let waiting = std::mem::take(&mut held.waiting);
        self.held.take_if(|held| held.is_empty());
        waiting
    }
}
