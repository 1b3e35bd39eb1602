//! The roster of one account: its contacts, their names and groups, and the subscriptions between them.
//!
//! Pure state without a clock, a store or a connection; RFC 6121 §2 and §3. It promises that its bounds hold and that no
//! impossible subscription state is reachable. [`subscription`] is the state machine, [`document`] the form that is saved; the
//! stanzas are read and written by [`crate::rooms::roster`]. Called by rooms on behalf of the account's owner, which saves the
//! document before it tells anybody of a change.

mod changes;
pub mod contact;
pub mod document;
mod following;
pub mod subscription;

pub use contact::Contact;
pub use subscription::{Kind, PresenceDue, Subscription};

use crate::knobs::knobs;
use changes::Changes;
use siphasher::sip::SipHasher13;
use std::hash::{Hash, Hasher};

knobs! {
    /// How large a roster can be.
    pub struct RosterKnobs("roster") {
        /// Items of one account's roster; beyond: `resource-constraint` (RFC 6121 §2.3.3).
        items: 2_000 in 1..=100_000,
        /// Subscription requests that wait for an account's answer; beyond: the newest is dropped.
        pending_requests: 200 in 1..=10_000,
    }
}

/// Longest name of an item in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest name of a group in bytes.
pub const GROUP_BYTES_MAX: usize = 128;
/// Most groups of one item.
pub const GROUPS_MAX: usize = 20;
/// Names and groups of the whole roster in bytes.
pub const DETAILS_BYTES_MAX: usize = 256 * 1024;
/// A longer request is kept without its children.
pub const REQUEST_BYTES_MAX: usize = 1_024;

/// The roster of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    /// In order of contact, each once. Entries in the state of a stranger are not kept.
    items: Vec<Item>,
    /// The latest changes, of which clients may not know yet.
    changes: Changes,
}

/// One contact. Kept small: a million rosters are in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    contact: Contact,
    state: Subscription,
    details: Option<Box<Details>>,
}

/// What most items do not have.
#[derive(Clone, PartialEq, Eq, Default)]
struct Details {
    name: Box<str>,
    groups: Box<[Box<str>]>,
    /// The request that waits for an answer: the stanza as it was delivered.
    request: Box<str>,
}

/// One contact's entry before a change: see [`Roster::undo_point`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    contact: Contact,
    item: Option<Item>,
}

/// The roster is full in one of its bounds (`resource-constraint`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the roster has reached one of its bounds")]
pub struct Full;

/// What a change of the roster requires of the caller. Nobody may see anything of it before the roster is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The roster's document has changed: save it.
    pub changed: bool,
    /// Interested sessions get the item ([`Roster::push`]).
    pub push: bool,
    /// The stanza is passed on: an outbound one to the contact, an inbound one to the account's available sessions.
    pub pass_on: bool,
    /// The server answers the contact with `subscribed` in the account's name.
    pub approve: bool,
    /// The presence that the contact has to be sent in addition.
    pub presence: PresenceDue,
}

/// What the removal of an item asks of the caller (RFC 6121 §2.5.2), besides the push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Send `unsubscribe` to the contact.
    pub unsubscribe: bool,
    /// Send `unsubscribed` to the contact.
    pub unsubscribed: bool,
    /// The presence that the contact has to be sent in addition.
    pub presence: PresenceDue,
}

impl Roster {
    /// All entries, including those of contacts that have only sent a request.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The items as clients see them.
    pub fn listed(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.state.is_listed())
    }

    /// The contact's entry. `None`: the contact is a stranger.
    pub fn get(&self, contact: &Contact) -> Option<&Item> {
        self.find(contact).ok().map(|at| &self.items[at])
    }

    /// The state of the subscriptions between the account and the contact.
    pub fn state(&self, contact: &Contact) -> Subscription {
        self.get(contact).map_or(Subscription::STRANGER, |item| item.state)
    }

    /// Who receives the account's presence.
    pub fn subscribers(&self) -> impl Iterator<Item = &Contact> {
        self.items.iter().filter(|item| item.state.from()).map(|item| &item.contact)
    }

    /// Whose presence the account receives.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Contact> {
        self.items.iter().filter(|item| item.state.to()).map(|item| &item.contact)
    }

    /// The requests that wait for an answer, as stanzas: to be delivered to a session that becomes available
    /// (RFC 6121 §3.1.3, §4.2).
    pub fn requests(&self) -> impl Iterator<Item = (&Contact, &str)> {
        self.items
            .iter()
            .filter(|item| item.state.pending_in() && !item.state.from())
            .map(|item| (&item.contact, item.details.as_deref().map_or("", |details| &details.request)))
    }

    /// The roster version: a hash of everything that clients see (RFC 6121 §2.6), so that no counter can be lost.
    pub fn version(&self) -> String {
        let mut hasher = SipHasher13::new();
        for item in self.listed() {
            item.hash_visible(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }

    /// A roster set: makes or changes an item (§2.3, §2.4). A client can't set the subscription.
    pub fn set(
        &mut self,
        contact: &Contact,
        name: &str,
        groups: Vec<Box<str>>,
        knobs: &RosterKnobs,
    ) -> Result<(), Full> {
        let new_bytes = name.len() + groups.iter().map(|group| group.len()).sum::<usize>();
        let other_bytes: usize =
            self.items.iter().filter(|item| item.contact != *contact).map(Item::details_bytes).sum();
        if new_bytes + other_bytes > DETAILS_BYTES_MAX {
            return Err(Full);
        }
        self.note_change(contact);
        let item = self.entry(contact, knobs)?;
        item.state = item.state.listed();
        let request = item.details.take().map(|details| details.request).unwrap_or_default();
        item.details = Details { name: name.into(), groups: groups.into(), request }.boxed();
        Ok(())
    }

    /// Roster remove: the item and the subscriptions with it (§2.5). `None` if there is no such item.
    pub fn remove(&mut self, contact: &Contact) -> Option<Removed> {
        let at = self.find(contact).ok()?;
        let state = self.items[at].state;
        if !state.is_listed() {
            return None;
        }
        self.note_change(contact);
        self.items.remove(at);
        let presence = if state.from() { PresenceDue::Unavailable } else { PresenceDue::Nothing };
        Some(Removed {
            unsubscribe: state.subscribed_to() || state.pending_out(),
            unsubscribed: state.subscribed_from() || state.pending_in(),
            presence,
        })
    }

    /// The account's client sends a subscription stanza to the contact (§3, Appendix A.2).
    pub fn outbound(&mut self, contact: &Contact, kind: Kind, knobs: &RosterKnobs) -> Result<Step, Full> {
        let before = self.state(contact);
        let outbound = before.outbound(kind);
        self.put_state(contact, outbound.next, knobs)?;
        Ok(Step {
            changed: outbound.next != before,
            push: outbound.next.looks_different(before),
            pass_on: outbound.route,
            approve: false,
            presence: outbound.presence,
        })
    }

    /// A subscription stanza arrives from the contact (§3, Appendix A.3). `stanza` is what a client gets to see
    /// of a request, also later; pass the bare start tag if it is longer than [`REQUEST_BYTES_MAX`].
    pub fn inbound(
        &mut self,
        contact: &Contact,
        kind: Kind,
        stanza: &str,
        knobs: &RosterKnobs,
    ) -> Result<Step, Full> {
        let before = self.state(contact);
        let inbound = before.inbound(kind);
        let asks_now = inbound.next.pending_in() && !before.pending_in();
        if asks_now && before.is_stranger() && self.strangers() >= knobs.pending_requests.size() {
            return Err(Full);
        }
        self.put_state(contact, inbound.next, knobs)?;
        if asks_now && stanza.len() <= REQUEST_BYTES_MAX {
            self.entry(contact, knobs)?.set_request(stanza);
        }
        Ok(Step {
            changed: inbound.next != before,
            push: inbound.next.looks_different(before),
            pass_on: inbound.deliver,
            approve: inbound.approve,
            presence: inbound.presence,
        })
    }

    /// The contact's entry as it is now, to be put back if a change can't be saved.
    pub fn undo_point(&self, contact: &Contact) -> Undo {
        Undo { contact: contact.clone(), item: self.get(contact).cloned() }
    }

    /// Puts an entry back as it was. Several changes have to be taken back in reverse order.
    pub fn take_back(&mut self, undo: Undo) {
        self.note_change(&undo.contact);
        // What the phone book says of the contact is kept as it is: it may have changed since.
        let book = self.state(&undo.contact).book();
        let before = undo.item.map_or((Subscription::STRANGER, None), |item| (item.state, item.details));
        let state = before.0.booked(book);
        let item = Item { contact: undo.contact.clone(), state, details: before.1 };
        let item = Some(item).filter(|item| !item.state.is_stranger());
        match (self.find(&undo.contact), item) {
            (Ok(at), Some(item)) => self.items[at] = item,
            (Ok(at), None) => _ = self.items.remove(at),
            (Err(at), Some(item)) => self.items.insert(at, item),
            (Err(_), None) => {}
        }
    }

    fn strangers(&self) -> usize {
        self.items.iter().filter(|item| !item.state.is_listed()).count()
    }

    fn find(&self, contact: &Contact) -> Result<usize, usize> {
        self.items.binary_search_by(|item| item.contact.cmp(contact))
    }

    /// The contact's item, made if there is none.
    fn entry(&mut self, contact: &Contact, knobs: &RosterKnobs) -> Result<&mut Item, Full> {
        let at = match self.find(contact) {
            Ok(at) => at,
            Err(_) if self.items.len() >= knobs.items.size() => return Err(Full),
            Err(at) => {
                let item = Item { contact: contact.clone(), state: Subscription::STRANGER, details: None };
                self.items.insert(at, item);
                at
            }
        };
        Ok(&mut self.items[at])
    }

    fn put_state(&mut self, contact: &Contact, next: Subscription, knobs: &RosterKnobs) -> Result<(), Full> {
        if next.looks_different(self.state(contact)) {
            self.note_change(contact);
        }
        if next.is_stranger() {
            if let Ok(at) = self.find(contact) {
                self.items.remove(at);
            }
            return Ok(());
        }
        let item = self.entry(contact, knobs)?;
        item.state = next;
        if !next.pending_in() {
            item.set_request("");
        }
        Ok(())
    }
}

impl Item {
    /// Who it is.
    pub fn contact(&self) -> &Contact {
        &self.contact
    }

    /// How the account stands with it.
    pub fn state(&self) -> Subscription {
        self.state
    }

    /// The name the user has given it, or "".
    pub fn name(&self) -> &str {
        self.details.as_deref().map_or("", |details| &details.name)
    }

    /// The groups the user has put it into.
    pub fn groups(&self) -> &[Box<str>] {
        self.details.as_deref().map_or(&[], |details| &details.groups)
    }

    fn details_bytes(&self) -> usize {
        self.name().len() + self.groups().iter().map(|group| group.len()).sum::<usize>()
    }

    fn set_request(&mut self, stanza: &str) {
        if self.details.is_none() && stanza.is_empty() {
            return;
        }
        let mut details = self.details.take().map(|boxed| *boxed).unwrap_or_default();
        details.request = stanza.into();
        self.details = details.boxed();
    }

    fn hash_visible(&self, hasher: &mut SipHasher13) {
        self.contact.hash(hasher);
        self.state.as_str().hash(hasher);
        (self.state.asks(), self.state.approved()).hash(hasher);
        (self.name(), self.groups()).hash(hasher);
    }
}

impl Details {
    /// Nothing if there is nothing in it.
    fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// For logs: what the user wrote is not shown.
impl std::fmt::Debug for Details {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Details({} groups)", self.groups.len())
    }
}

#[cfg(test)]
mod tests;
