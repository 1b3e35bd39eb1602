//! What is held back from a client that nobody looks at (XEP-0352): the list, and what in it takes the place of what.
//!
//! Pure. Behind one pointer in each session, together with what else hardly any session has. When something is held and when it
//! is sent is the owner's (`owner/session/csi`).

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
    /// What has found no room at all, and what waits for that.
    pub(crate) late: Option<Box<Late>>,
    /// Answers that wait until the client has been sent what waits in the mailbox.
    pub(crate) behind: Vec<Behind>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) what: What,
    pub(crate) stanza: Stored,
    /// A stranger's, or otherwise not worth waiting for if the session's queue is full.
    pub(crate) droppable: bool,
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
    pub(crate) fn bytes(&self) -> usize {
        self.stanza.len() + self.what.bytes() + size_of::<Self>()
    }
}

impl Held {
    /// Adds one behind the others; what it replaces goes. False: there is no room, and it is as before.
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

    /// Whether it can be given up.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.late.is_none() && self.behind.is_empty()
    }

    /// Something was said in the chat by this full JID: what it was doing before is of no interest.
    pub(crate) fn forget_chat_state(&mut self, from: &str) {
        let state = |waiting: &Waiting| matches!(&waiting.what, What::ChatState(by) if **by == *from);
        self.waiting.retain(|waiting| !state(waiting));
        self.bytes = self.waiting.iter().map(Waiting::bytes).sum();
    }
}

/// Whether something was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Folded(pub(crate) bool);

#[cfg(test)]
mod tests;
