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

use super::behind::Behind;
use super::late::Late;
use super::{Session, Wishes};
use crate::context::Context;
use crate::desk::Desk;
use crate::iq::Xep;
use chaski_xmpp::stanza::{MessageType, PresenceType};
use chaski_xmpp::stored::Has;
use chaski_xmpp::{ElementRef, Kind, Stored, ns};

/// What this file implements. Chat states and idle times are only passed on.
pub(crate) const SPEC: &[Xep] = &[
    Xep::new(85, "2.1", "Chat State Notifications", &[]),
    Xep::new(319, "1.0.2", "Last User Interaction in Presence", &[]),
    Xep::new(352, "1.0.0", "Client State Indication", &[]),
];

/// Presence, chat states and events that wait for an inactive client, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Held {
    waiting: Vec<Waiting>,
    bytes: usize,
    /// What has found no room at all, and what waits for that.
    pub(super) late: Option<Box<Late>>,
    /// Answers that wait until the client has been sent what waits in the mailbox.
    pub(super) behind: Vec<Behind>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Waiting {
    what: What,
    stanza: Stored,
    /// A stranger's, or otherwise not worth waiting for if the session's queue is full.
    droppable: bool,
}

/// What can wait. The later of two that are equal replaces the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// The presence of a full JID.
    Presence(Box<str>),
    /// What a full JID is doing in the chat.
    ChatState(Box<str>),
    /// An event of a node (XEP-0060): its owner, its name, and the item.
    Event(Box<str>, Box<str>, Box<str>),
}

impl What {
    /// What a stanza is, if it can wait.
    pub(super) fn of(stanza: &Stored) -> Option<Self> {
        let from = || stanza.from().map(|from| Box::from(&*from));
        match stanza.kind() {
            Kind::Presence => {
                let kind = stanza.presence_type()?;
                let can_wait = matches!(kind, PresenceType::Available | PresenceType::Unavailable);
                can_wait.then(from)?.map(Self::Presence)
            }
            Kind::Message if stanza.facts().is_bare_chat_state() => from().map(Self::ChatState),
            Kind::Message if stanza.message_type() == MessageType::Headline && stanza.has(Has::EVENT) => {
                let (node, item) = item_of(&stanza.look_into().ok()?.child("event", ns::PUBSUB_EVENT)?)?;
                from().map(|owner| Self::Event(owner, node, item))
            }
            Kind::Message | Kind::Iq | Kind::Nonza => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Presence(from) | Self::ChatState(from) => from.len(),
            Self::Event(owner, node, item) => owner.len() + node.len() + item.len(),
        }
    }
}

/// Node and id of an event that announces one item. Others do not wait: a retraction is not made up for by what comes
/// later, and what is told of the node itself is not told again.
fn item_of(event: &ElementRef<'_>) -> Option<(Box<str>, Box<str>)> {
    let items = only_child(event)?;
    let item = only_child(&items)?;
    if !items.is("items", ns::PUBSUB_EVENT) || !item.is("item", ns::PUBSUB_EVENT) {
        return None;
    }
    Some((Box::from(&*items.attr("node")?), Box::from(&*item.attr("id")?)))
}

fn only_child<'a>(element: &ElementRef<'a>) -> Option<ElementRef<'a>> {
    let mut children = element.children();
    children.next().filter(|_| children.next().is_none())
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.stanza.len() + self.what.bytes() + size_of::<Self>()
    }
}

impl Held {
    /// Adds one behind the others; what it replaces goes. False: there is no room, and it is as before.
    fn put(&mut self, new: Waiting, most: usize, most_bytes: usize) -> Option<Folded> {
        let old = self.waiting.iter().position(|old| old.what == new.what);
        let old_bytes = old.map_or(0, |place| self.waiting[place].bytes());
        let (count, bytes) =
            (self.waiting.len() + usize::from(old.is_none()), self.bytes - old_bytes + new.bytes());
        if count > most || bytes > most_bytes {
            return None;
        }
        if let Some(place) = old {
            self.waiting.remove(place);
        }
        self.bytes = bytes;
        self.waiting.push(new);
        Some(Folded(old.is_some()))
    }

    /// Whether it can be given up.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.late.is_none() && self.behind.is_empty()
    }

    /// Something was said in the chat by this full JID: what it was doing before is of no interest.
    fn forget_chat_state(&mut self, from: &str) {
        let state = |waiting: &Waiting| matches!(&waiting.what, What::ChatState(by) if **by == *from);
        self.waiting.retain(|waiting| !state(waiting));
        self.bytes = self.waiting.iter().map(Waiting::bytes).sum();
    }
}

/// Whether something was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Folded(bool);

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
        let limits = &desk.realm.limits;
        let left = limits.put_off_bytes_shard.saturating_sub(desk.metrics.held_bytes.get() as usize);
        let Some(what) = What::of(stanza) else { return false };
        let held = self.held.get_or_insert_default();
        let (before, most_bytes) = (held.bytes, limits.put_off_bytes.min(held.bytes + left));
        let new = Waiting { what, stanza: stanza.clone(), droppable };
        let Some(Folded(folded)) = held.put(new, limits.put_off_stanzas, most_bytes) else {
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

#[cfg(test)]
mod tests;
