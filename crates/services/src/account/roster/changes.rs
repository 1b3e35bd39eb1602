//! Which items have changed since a version that a client may still have, so that the client can be sent only those (RFC 6121
//! §2.6.3).
//!
//! Kept while the account is in memory, from the first change on. Bounded by [`CHANGES_MAX`]: beyond, the versions that clients
//! have are too old, and nothing more is noted until a client is sent the whole roster. A roster that does not change pays one
//! pointer. These notes are no part of the document, and two rosters that differ only in them are equal.

use super::{Contact, Roster};

/// Most changes that are noted.
const CHANGES_MAX: usize = 64;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes(Option<Box<Noted>>);

#[derive(Debug, Clone, Default)]
struct Noted {
    /// The version before each change, and whose item it was, oldest first.
    changes: Vec<(String, Contact)>,
    /// There were more than [`CHANGES_MAX`].
    is_over: bool,
}

/// Past changes do not count when two rosters are compared.
impl PartialEq for Changes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Changes {}

impl Roster {
    /// The contact's item is about to change.
    pub(super) fn note_change(&mut self, contact: &Contact) {
        if self.changes.0.as_ref().is_some_and(|noted| noted.is_over) {
            return;
        }
        let version = self.version();
        let noted = self.changes.0.get_or_insert_default();
        if noted.changes.last().is_some_and(|(before, who)| *before == version && who == contact) {
            // The previous change was not visible to clients.
            return;
        }
        if noted.changes.len() == CHANGES_MAX {
            **noted = Noted { changes: Vec::new(), is_over: true };
        } else {
            noted.changes.push((version, contact.clone()));
        }
    }

    /// The contacts whose items may look different from this version, each once. `None`: that is not known any more, or it is
    /// more than half of the roster.
    pub fn changed_since(&self, version: &str) -> Option<Vec<Contact>> {
        let changes = &self.changes.0.as_ref()?.changes;
        let first = changes.iter().position(|(before, _)| before == version)?;
        let mut contacts: Vec<_> = changes[first..].iter().map(|(_, contact)| contact.clone()).collect();
        contacts.sort_unstable();
        contacts.dedup();
        (contacts.len() * 2 <= self.listed().count()).then_some(contacts)
    }

    /// A client is sent the whole roster, so changes from now on are worth noting again.
    pub fn note_sent(&mut self) {
        if self.changes.0.as_ref().is_some_and(|noted| noted.is_over) {
            self.changes.0 = None;
        }
    }
}
