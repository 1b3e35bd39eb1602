//! The payloads of items: which are in memory, which have to be read from the store, and both put together.

use super::document::{item_key, read_payload};
use super::{Item, Node};
use crate::account::nodes::ITEMS;
use chaski_store::{AccountId, Table, Versioned};
use chaski_xmpp::ElementRef;

/// Most bytes of payloads in one answer, which has to fit into a stanza. The newest that fit are sent; a client that wants more
/// asks by item id.
pub(crate) const ANSWER_BYTES_MAX: usize = 224 * 1024;

/// A payload, here or in the store.
pub(crate) enum Payload {
    /// In memory.
    Here(Box<str>),
    /// To be read.
    Stored((Table, String)),
}

/// Where an item's payload is.
pub(crate) fn payload(account: AccountId, node: &Node, item: &Item) -> Payload {
    match &node.inline {
        Some(inline) if !item.stored => Payload::Here(inline.clone()),
        _ => Payload::Stored((ITEMS, item_key(&account.record_key(), &node.name, &item.id))),
    }
}

/// Items whose payloads are put together for one answer.
#[derive(Default)]
pub(crate) struct Selection {
    items: Vec<(Box<str>, Place)>,
    /// The payloads that have to be read from the store for them.
    pub(crate) keys: Vec<(Table, String)>,
}

enum Place {
    Here(Box<str>),
    /// Among the keys.
    Read(usize),
}

impl Selection {
    /// Selects as many items of the node as fit, in the order given.
    pub(crate) fn new<'n>(account: AccountId, node: &Node, items: impl Iterator<Item = &'n Item>) -> Self {
        let mut selection = Self { items: Vec::new(), keys: Vec::new() };
        let mut bytes = 0;
        for item in items {
            // Each character of an id may be written as a character reference of six bytes.
            bytes += item.bytes as usize + 6 * item.id.len() + 32;
            if bytes > ANSWER_BYTES_MAX && !selection.items.is_empty() {
                break;
            }
            let place = match payload(account, node, item) {
                Payload::Here(payload) => Place::Here(payload),
                Payload::Stored(key) => {
                    selection.keys.push(key);
                    Place::Read(selection.keys.len() - 1)
                }
            };
            selection.items.push((item.id.clone(), place));
        }
        selection
    }

    /// The items with their payloads, after `read` has come from the store. An item whose payload is gone is left out.
    pub(crate) fn with(self, read: &[Option<String>]) -> Vec<(Box<str>, String)> {
        let whole = |(id, place): (Box<str>, Place)| match place {
            Place::Here(payload) => Some((id, payload.into())),
            Place::Read(at) => Some((id, read.get(at)?.clone()?)),
        };
        self.items.into_iter().filter_map(whole).collect()
    }
}

/// What was read, as payloads. One that is gone or damaged is `None`.
pub(crate) fn payloads(found: &[Option<Versioned>]) -> Vec<Option<String>> {
    found.iter().map(|found| read_payload(&found.as_ref()?.value)).collect()
}

/// The XML of an element with all namespace declarations that it needs, so that it can be put anywhere.
pub(crate) fn standalone(element: &ElementRef<'_>) -> Box<str> {
    let mut out = Vec::with_capacity(element.bytes().len() + 64);
    element.write_standalone(&mut out);
    String::from_utf8(out).expect("what was validated is UTF-8").into()
}
