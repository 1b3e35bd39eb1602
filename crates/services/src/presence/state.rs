//! What a session keeps of its presence. Small: 32 bytes, and one stanza while it is available.

use crate::roster::Contact;
use std::sync::Arc;

/// A session's presence. `Default` is a session that has sent none.
#[derive(Default)]
pub struct SessionPresence {
    /// The last broadcast in stored form, with `from`, without `to`. `None` while unavailable.
    last: Option<Arc<[u8]>>,
    /// Who was told otherwise than by broadcast, each once. Rare, so behind a pointer.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in nearly every session")]
    directed: Option<Box<Vec<Directed>>>,
    priority: i8,
    interested: bool,
}

/// Somebody who was sent directed presence (RFC 6121 §4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directed {
    pub(super) contact: Contact,
    pub(super) resource: Option<Box<str>>,
}

impl SessionPresence {
    /// It has sent initial presence and not gone unavailable (RFC 6121 §4.2).
    pub fn is_available(&self) -> bool {
        self.last.is_some()
    }

    /// Its priority; 0 while unavailable.
    pub fn priority(&self) -> i8 {
        self.priority
    }

    /// Whether messages to the bare JID are for it: available with a priority of zero or more (RFC 6121 §8.5.2.1).
    pub fn takes_messages(&self) -> bool {
        self.is_available() && self.priority() >= 0
    }

    /// It has asked for the roster and gets roster pushes (RFC 6121 §2.2).
    pub fn is_interested(&self) -> bool {
        self.interested
    }

    /// It has asked for the roster.
    pub(crate) fn set_interested(&mut self) {
        self.interested = true;
    }

    /// The last broadcast, without `to`.
    pub(super) fn last(&self) -> Option<&Arc<[u8]>> {
        self.last.as_ref()
    }

    pub(super) fn set_available(&mut self, stanza: Arc<[u8]>, priority: i8) {
        self.last = Some(stanza);
        self.priority = priority;
    }

    /// Forgets everything but its interest in the roster; gives back who was told by directed presence.
    pub(super) fn set_unavailable(&mut self) -> Vec<Directed> {
        self.last = None;
        self.priority = 0;
        self.directed.take().map(|list| *list).unwrap_or_default()
    }

    /// Notes directed presence. False if `most` are noted already.
    pub(super) fn note_directed(&mut self, target: Directed, most: usize) -> bool {
        let list = self.directed.get_or_insert_default();
        if list.contains(&target) {
            return true;
        }
        let room = list.len() < most;
        if room {
            list.push(target);
        }
        room
    }

    pub(super) fn forget_directed(&mut self, target: &Directed) {
        if let Some(list) = &mut self.directed {
            list.retain(|known| known != target);
            if list.is_empty() {
                self.directed = None;
            }
        }
    }

    /// Whether the contact was sent directed presence.
    pub(super) fn has_told(&self, contact: &Contact) -> bool {
        self.directed.as_ref().is_some_and(|list| list.iter().any(|target| target.contact == *contact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_pays_little() {
        assert!(size_of::<SessionPresence>() <= 32, "{}", size_of::<SessionPresence>());
    }

    #[test]
    fn directed_presence_is_noted_once_and_bounded() {
        let mut presence = SessionPresence::default();
        let target = |number| Directed { contact: Contact::Phone(number), resource: None };
        assert!(presence.note_directed(target(1), 2));
        assert!(presence.note_directed(target(1), 2));
        assert!(presence.note_directed(target(2), 2));
        assert!(!presence.note_directed(target(3), 2));
        assert!(presence.note_directed(target(1), 2), "known already");
        presence.forget_directed(&target(2));
        assert!(presence.has_told(&Contact::Phone(1)) && !presence.has_told(&Contact::Phone(2)));
        assert_eq!(presence.set_unavailable(), [target(1)]);
        assert_eq!(presence.set_unavailable(), []);
    }
}
