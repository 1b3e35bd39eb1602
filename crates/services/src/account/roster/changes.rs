//! Which items have changed since a version that a client may still have, so that it need not be sent all of them (RFC 6121 §2.6.3).
//!
//! Kept while the account is in memory, from the first change on. Bounded by [`CHANGES_MAX`]: with more, what clients have is too old,
//! and nothing more is noted until one of them is sent the whole roster. A roster that does not change pays one pointer. No part of
//! the document, and none of what makes two rosters equal.

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
    /// There were too many.
    is_over: bool,
}

/// What was is no part of what is.
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
            // It has changed nothing that clients see.
            return;
        }
        if noted.changes.len() == CHANGES_MAX {
            **noted = Noted { changes: Vec::new(), is_over: true };
        } else {
            noted.changes.push((version, contact.clone()));
        }
    }

    /// Whose items may look different from what they were in this version, each once; `None` if that is not known any more, or more than
    /// half of the roster.
    pub fn changed_since(&self, version: &str) -> Option<Vec<Contact>> {
        let changes = &self.changes.0.as_ref()?.changes;
        let first = changes.iter().position(|(before, _)| before == version)?;
        let mut contacts: Vec<_> = changes[first..].iter().map(|(_, contact)| contact.clone()).collect();
        contacts.sort_unstable();
        contacts.dedup();
        (contacts.len() * 2 <= self.listed().count()).then_some(contacts)
    }

    /// A client is sent the whole roster: what changes from now on is worth noting again.
    pub fn note_sent(&mut self) {
        if self.changes.0.as_ref().is_some_and(|noted| noted.is_over) {
            self.changes.0 = None;
        }
    }
}
