//! The index as a JSON document of `NODES`, and the keys and documents of payloads in `ITEMS`.
//!
//! ```json
//! {"format":1,"nodes":[{"name":"urn:xmpp:avatar:metadata","config":{…},"items":[{"id":"…","bytes":120,"at":…}],"last":"<metadata…"}]}
//! ```
//! The key of a payload is `{account}/{node}/{item}`. Node and item are escaped, so that these two slashes are the only ones.

use super::config::Config;
use super::{Item, Node, Nodes};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

const FORMAT: u32 = 1;

/// Why a stored index could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not the JSON that we write.
    #[error("the index of published nodes is damaged: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer version.
    #[error("the index of published nodes has format {0}, this version knows {FORMAT}")]
    Format(u32),
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    nodes: Vec<NodeDocument>,
}

#[derive(Serialize, Deserialize)]
struct NodeDocument {
    name: Box<str>,
    #[serde(default)]
    config: Config,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    items: Vec<ItemDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscribers: Vec<Box<str>>,
}

#[derive(Serialize, Deserialize)]
struct ItemDocument {
    id: Box<str>,
    bytes: u32,
    at: u64,
}

#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    xml: std::borrow::Cow<'a, str>,
}

impl Nodes {
    /// The document to be saved; `None` if there is nothing to save.
    pub(crate) fn to_document(&self) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let nodes = self.list.iter().map(NodeDocument::from).collect();
        let json = serde_json::to_vec(&Document { format: FORMAT, nodes });
        Some(json.expect("a document of strings, flags and numbers is always JSON"))
    }

    /// The index of a saved document.
    pub fn from_document(json: &[u8]) -> Result<Self, DocumentError> {
        let document: Document = serde_json::from_slice(json)?;
        if document.format != FORMAT {
            return Err(DocumentError::Format(document.format));
        }
        let mut list: Vec<_> = document.nodes.into_iter().map(Node::from).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list.dedup_by(|a, b| a.name == b.name);
        list.shrink_to_fit();
        Ok(Self { list })
    }
}

impl From<&Node> for NodeDocument {
    fn from(node: &Node) -> Self {
        let item =
            |item: &Item| ItemDocument { id: item.id.clone(), bytes: item.bytes, at: item.published_unix_ms };
        Self {
            name: node.name.clone(),
            config: node.config.clone(),
            items: node.items.iter().map(item).collect(),
            last: node.inline.clone(),
            subscribers: node.subscribers.clone(),
        }
    }
}

impl From<NodeDocument> for Node {
    fn from(document: NodeDocument) -> Self {
        let count = document.items.len();
        let items = document.items.into_iter().enumerate().map(|(at, item)| Item {
            id: item.id,
            bytes: item.bytes,
            published_unix_ms: item.at,
            stored: document.last.is_none() || at + 1 < count,
        });
        Self {
            items: items.collect(),
            inline: document.last.filter(|_| count > 0),
            name: document.name,
            config: document.config,
            subscribers: document.subscribers,
        }
    }
}

/// The key of an item's payload.
pub(crate) fn item_key(record_key: &str, node: &str, item: &str) -> String {
    let mut key = String::from(record_key);
    for part in [node, item] {
        key.push('/');
        escape(part, &mut key);
    }
    key
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            // A client can't send control characters, but hidden nodes have one in their names.
            '/' | '%' | '\0'..='\x1f' | '\x7f' => _ = write!(out, "%{:02x}", c as u32),
            other => out.push(other),
        }
    }
}

/// A payload's document.
pub(crate) fn payload_document(xml: &str) -> Vec<u8> {
    serde_json::to_vec(&Payload { xml: xml.into() }).expect("a string is always JSON")
}

/// The payload of a document; `None` if that is damaged.
pub(crate) fn read_payload(document: &[u8]) -> Option<String> {
    serde_json::from_slice::<Payload<'_>>(document).ok().map(|payload| payload.xml.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::nodes::NewItem;

    #[test]
    fn nothing_is_lost_in_the_document() {
        let mut nodes = Nodes::default();
        let config = Config { items_max: 3, title: Some("t".into()), ..Config::default() };
        for (node, id, payload) in [("b", "1", "<a/>"), ("b", "2", "<b/>"), ("a", "x", &*"y".repeat(2_000))] {
            let item = NewItem { id, payload, now_unix_ms: 5 };
            nodes.publish(node, item, None, config.clone()).unwrap();
        }
        nodes.subscribe("a", "juliet@example").unwrap();
        let document = nodes.to_document().unwrap();
        assert_eq!(Nodes::from_document(&document).unwrap(), nodes);
        assert!(Nodes::default().to_document().is_none());
        assert!(matches!(Nodes::from_document(br#"{"format":9,"nodes":[]}"#), Err(DocumentError::Format(9))));
        assert!(matches!(Nodes::from_document(b"{"), Err(DocumentError::Json(_))));
    }

    #[test]
    fn no_two_items_have_one_key() {
        let key = |node: &str, item: &str| item_key("+15551230001", node, item);
        assert_eq!(key("http://a#b", "c/d%"), "+15551230001/http:%2f%2fa#b/c%2fd%25");
        assert_ne!(key("a/b", "c"), key("a", "b/c"));
        assert_ne!(key("a%2fb", "c"), key("a/b", "c"));
    }

    #[test]
    fn payloads_come_back() {
        let xml = "<a x='\"'>\n\u{1F600}</a>";
        assert_eq!(read_payload(&payload_document(xml)).as_deref(), Some(xml));
        assert_eq!(read_payload(b"nothing"), None);
    }
}
