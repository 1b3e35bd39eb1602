//! The roster as a JSON document of `ROSTERS`: one per account, readable by hand.
//!
//! ```json
//! {"format":1,"items":[{"contact":"+15551230001","subscription":"both","name":"Juliet","groups":["Friends"]}]}
//! ```
//! Phone numbers of our own domain are written without the domain, so that a renamed service keeps its rosters. What the phone
//! book says of a contact is not in the document: it is read from the phone book when the account is loaded
//! ([`Roster::follow_all`]), so the two can't differ.

use super::contact::Contact;
use super::subscription::{Flags, Subscription};
use super::{Details, Item, Roster};
use chaski_store::Table;
use serde::{Deserialize, Serialize};

/// Rosters: one document by the account's key.
pub const ROSTERS: Table = Table::new("rosters");

const FORMAT: u32 = 1;

/// Why a stored roster could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not the JSON that we write.
    #[error("the roster's document is damaged: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer version.
    #[error("the roster's document has format {0}, this version knows {FORMAT}")]
    Format(u32),
    /// An item that can't be: its contact or its combination of flags.
    #[error("the roster's document holds an impossible item")]
    Item,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    items: Vec<ItemDocument>,
}

#[derive(Serialize, Deserialize)]
struct ItemDocument {
    contact: String,
    #[serde(default, skip_serializing_if = "Between::is_none")]
    subscription: Between,
    #[serde(default, skip_serializing_if = "is_false")]
    ask: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pending_in: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    approved: bool,
    /// The contact is an item only because of the phone book; it is in the document for the name that the user has given it.
    #[serde(default, skip_serializing_if = "is_false")]
    book: bool,
    /// The contact has only sent a subscription request, and is no item of the roster.
    #[serde(default, skip_serializing_if = "is_false")]
    unlisted: bool,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    name: Box<str>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    groups: Box<[Box<str>]>,
    /// The children of the contact's subscription request, as XML.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    request: Box<str>,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
enum Between {
    #[default]
    None,
    To,
    From,
    Both,
}

impl Between {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Roster {
    /// The document to be saved.
    pub fn to_document(&self) -> Vec<u8> {
        let kept = |item: &&Item| !item.state.is_only_booked() || item.details.is_some();
        let items = self.items.iter().filter(kept).map(ItemDocument::from).collect();
        serde_json::to_vec(&Document { format: FORMAT, items })
            .expect("a document of strings, flags and numbers is always JSON")
    }

    /// The document for the number that the roster's owner changes to: the same contacts, names and groups. A subscription is
    /// between two numbers and can't move without the other side. So a contact that was subscribed to the old number is approved
    /// in advance (RFC 6121 §3.4). A contact that had only sent a request is told that the old number is gone.
    pub(crate) fn to_moved_document(&self) -> Vec<u8> {
        let moved = |item: &Item| {
            let mut item = ItemDocument::from(item);
            item.approved |= !item.unlisted && matches!(item.subscription, Between::From | Between::Both);
            // The phone book is moved after the roster: a contact that is an item only because of the phone book would lose its
            // name until then.
            item.book = false;
            (item.subscription, item.ask, item.pending_in) = (Between::None, false, false);
            item.request = Box::default();
            item
        };
        let kept = |item: &&Item| !item.state.is_only_booked() || item.details.is_some();
        let items = self.items.iter().filter(kept).map(moved).filter(|item| !item.unlisted).collect();
        serde_json::to_vec(&Document { format: FORMAT, items })
            .expect("a document of strings, flags and numbers is always JSON")
    }

    /// The roster of a saved document.
    pub fn from_document(json: &[u8]) -> Result<Self, DocumentError> {
        let document: Document = serde_json::from_slice(json)?;
        if document.format != FORMAT {
            return Err(DocumentError::Format(document.format));
        }
        let mut items = document.items.into_iter().map(Item::try_from).collect::<Result<Vec<_>, _>>()?;
        items.sort_by(|a, b| a.contact.cmp(&b.contact));
        if items.windows(2).any(|pair| pair[0].contact == pair[1].contact) {
            return Err(DocumentError::Item);
        }
        items.shrink_to_fit();
        Ok(Self { items, ..Roster::default() })
    }
}

impl From<&Item> for ItemDocument {
    fn from(item: &Item) -> Self {
        let state = item.state;
        let subscription = match (state.subscribed_to(), state.subscribed_from()) {
            (false, false) => Between::None,
            (true, false) => Between::To,
            (false, true) => Between::From,
            (true, true) => Between::Both,
        };
        let details = item.details.as_deref().cloned().unwrap_or_default();
        Self {
            contact: item.contact.to_document(),
            subscription,
            ask: state.pending_out(),
            pending_in: state.pending_in(),
            approved: state.approved(),
            book: state.is_only_booked(),
            unlisted: !state.is_only_booked() && !state.is_listed_by_owner(),
            name: details.name,
            groups: details.groups,
            request: details.request,
        }
    }
}

impl TryFrom<ItemDocument> for Item {
    type Error = DocumentError;

    fn try_from(item: ItemDocument) -> Result<Self, DocumentError> {
        let flags = Flags {
            to: matches!(item.subscription, Between::To | Between::Both),
            from: matches!(item.subscription, Between::From | Between::Both),
            pending_out: item.ask,
            pending_in: item.pending_in,
            approved: item.approved,
            listed: !item.unlisted && !item.book,
        };
        let state = Subscription::from_flags(flags)
            .map(|state| if item.book { state.booked(Some(false)) } else { state })
            .filter(|state| !state.is_stranger())
            .ok_or(DocumentError::Item)?;
        let contact = Contact::from_document(&item.contact).ok_or(DocumentError::Item)?;
        let details = Details { name: item.name, groups: item.groups, request: item.request };
        Ok(Self { contact, state, details: details.boxed() })
    }
}
