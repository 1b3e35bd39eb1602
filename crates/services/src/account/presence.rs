//! What a session keeps of its presence. Small: 24 bytes, and while the session is available one stanza, which it shares with all
//! sessions that have sent the same.

use crate::account::roster::Contact;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;

/// Distinct presence stanzas that a shard shares. A further one has a copy in each session.
const SHARED_MAX: usize = 1_024;

/// The presences that a shard's sessions share. Most are one of a few: empty, or with an application's capabilities.
#[derive(Debug, Default)]
pub struct Presences(HashSet<Shared>);

/// A presence stanza of which all sessions that have sent it share one copy, behind a pointer of 8 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shared(Arc<Box<[u8]>>);

impl Borrow<[u8]> for Shared {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Shared {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Presences {
    /// The shared copy of a stanza.
    pub(crate) fn share(&mut self, stanza: &[u8]) -> Shared {
        if let Some(known) = self.0.get(stanza) {
            return known.clone();
        }
        let own = Shared(Arc::new(stanza.into()));
        if self.0.len() >= SHARED_MAX {
            self.0.retain(|stanza| Arc::strong_count(&stanza.0) > 1);
        }
        if self.0.len() < SHARED_MAX {
            self.0.insert(own.clone());
        }
        own
    }
}

/// A session's presence. `Default` is a session that has sent none.
#[derive(Default)]
pub struct SessionPresence {
    /// The last broadcast in stored form, without `from`, `to` and `id`. `None` while unavailable.
    last: Option<Shared>,
    /// The accounts to which directed presence was sent, each once. Rare, so behind a pointer.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in nearly every session")]
    directed: Option<Box<Vec<Directed>>>,
    /// When a session of the account was last available, as far as this session knows, in seconds of Unix time. It counts while
    /// none is available.
    left_unix_s: u32,
    priority: i8,
    interested: bool,
    watches_blocks: bool,
}

/// A recipient of directed presence (RFC 6121 §4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directed {
    pub(crate) contact: Contact,
    pub(crate) resource: Option<Box<str>>,
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

    /// When a session of the account was last available, while none is.
    pub(crate) fn left_unix_ms(&self) -> u64 {
        u64::from(self.left_unix_s) * 1_000
    }

    /// From this time on no session of the account is available.
    pub(crate) fn note_left(&mut self, unix_ms: u64) {
        self.left_unix_s = u32::try_from(unix_ms / 1_000).unwrap_or(u32::MAX);
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

    /// It has asked for the block list and is told of its changes (XEP-0191).
    pub(crate) fn watches_blocks(&self) -> bool {
        self.watches_blocks
    }

    /// It has asked for the block list.
    pub(crate) fn set_watches_blocks(&mut self) {
        self.watches_blocks = true;
    }

    /// The last broadcast, without `from` and `to`.
    pub(crate) fn last(&self) -> Option<&Shared> {
        self.last.as_ref()
    }

    pub(crate) fn set_available(&mut self, stanza: Shared, priority: i8) {
        self.last = Some(stanza);
        self.priority = priority;
    }

    /// Forgets everything except whether the session gets roster and block list pushes. Returns the recipients of directed
    /// presence.
    pub(crate) fn set_unavailable(&mut self) -> Vec<Directed> {
        self.last = None;
        self.priority = 0;
        self.directed.take().map(|list| *list).unwrap_or_default()
    }

    /// Remembers a recipient of directed presence. False if `most` are remembered already.
    pub(crate) fn note_directed(&mut self, target: Directed, most: usize) -> bool {
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

    pub(crate) fn forget_directed(&mut self, target: &Directed) {
        if let Some(list) = &mut self.directed {
            list.retain(|known| known != target);
            if list.is_empty() {
                self.directed = None;
            }
        }
    }

    /// Forgets the recipients of directed presence that the closure chooses, and returns them.
    pub(crate) fn take_directed(&mut self, chosen: impl Fn(&Contact) -> bool) -> Vec<Directed> {
        let Some(list) = self.directed.take() else { return Vec::new() };
        let (taken, kept): (Vec<_>, Vec<_>) = list.into_iter().partition(|target| chosen(&target.contact));
        self.directed = (!kept.is_empty()).then(|| Box::new(kept));
        taken
    }

    /// Whether the contact was sent directed presence.
    pub(crate) fn has_told(&self, contact: &Contact) -> bool {
        self.directed.as_ref().is_some_and(|list| list.iter().any(|target| target.contact == *contact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_pays_little() {
        assert!(size_of::<SessionPresence>() <= 24, "{}", size_of::<SessionPresence>());
    }

    #[test]
    fn equal_presences_are_one_and_their_number_is_bounded() {
        let mut presences = Presences::default();
        let (first, second) =
            (presences.share(b"<presence ></presence>"), presences.share(b"<presence ></presence>"));
        assert!(Arc::ptr_eq(&first.0, &second.0));
        let kept: Vec<_> = (0..2 * SHARED_MAX).map(|n| presences.share(n.to_string().as_bytes())).collect();
        assert!(presences.0.len() <= SHARED_MAX);
        drop(kept);
        let fresh = presences.share(b"fresh");
        assert!(Arc::ptr_eq(&fresh.0, &presences.share(b"fresh").0), "what nobody has is forgotten");
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
