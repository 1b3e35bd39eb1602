//! The list of stanzas held back from an inactive client (XEP-0352), and which of them a new one replaces.
//!
//! Pure. In each session it is behind one pointer, together with other state that few sessions have. When a stanza is held back
//! and when it is sent is decided by the owner (`owner/session/csi`).

use super::behind::Behind;
use super::late::Late;
use chaski_xmpp::stanza::{MessageType, PresenceType};
use chaski_xmpp::stored::Has;
use chaski_xmpp::{ElementRef, Kind, Stored, ns};

/// Presence, chat states and events that wait for an inactive client, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) bytes: usize,
    /// The stanzas that found no room in the queue, and what waits for them.
    pub(crate) late: Option<Box<Late>>,
    /// Answers that wait until the client has been sent what waits in the mailbox.
    pub(crate) behind: Vec<Behind>,
}

/// A stanza that is held back.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) what: What,
    pub(crate) stanza: Stored,
    /// The stanza is a stranger's, or is dropped for another reason if the session's queue is full.
    pub(crate) droppable: bool,
}

/// The kinds of stanzas that can be held back. Of two that are equal here, the later replaces the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// The presence of a full JID.
    Presence(Box<str>),
    /// The chat state of a full JID.
    ChatState(Box<str>),
    /// An event of a PEP node (XEP-0060): the node's owner, its name, and the item.
    Event(Box<str>, Box<str>, Box<str>),
}

impl What {
    /// The kind of a stanza. `None`: it can't be held back.
    pub(crate) fn of(stanza: &Stored) -> Option<Self> {
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

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Presence(from) | Self::ChatState(from) => from.len(),
            Self::Event(owner, node, item) => owner.len() + node.len() + item.len(),
        }
    }
}

/// Node and item id of an event that announces one item. Other events can't be held back: a later event does not make up for a
/// retraction, and what is announced of the node itself is not announced again.
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
    pub(crate) fn bytes(&self) -> usize {
        self.stanza.len() + self.what.bytes() + size_of::<Self>()
    }
}

impl Held {
    /// Adds a stanza behind the others, and drops the one that it replaces. `None`: there is no room, and nothing was changed.
    pub(crate) fn put(&mut self, new: Waiting, most: usize, most_bytes: usize) -> Option<Folded> {
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

    /// Whether nothing is held, so that the memory can be freed.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.late.is_none() && self.behind.is_empty()
    }

    /// This full JID has sent a message: its earlier chat state is of no interest any more.
    pub(crate) fn forget_chat_state(&mut self, from: &str) {
        let state = |waiting: &Waiting| matches!(&waiting.what, What::ChatState(by) if **by == *from);
        self.waiting.retain(|waiting| !state(waiting));
        self.bytes = self.waiting.iter().map(Waiting::bytes).sum();
    }
}

/// Whether the new stanza has replaced another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Folded(pub(crate) bool);

#[cfg(test)]
mod tests;
