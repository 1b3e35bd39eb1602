//! Personal eventing (XEP-0163): the nodes that an account publishes.
//!
//! Owns the index in [`chaski_store::Table::Nodes`], which is in memory with the account; what was published stands in
//! [`chaski_store::Table::Items`].

use serde::{Deserialize, Serialize};

/// The index of an account's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nodes {}

impl Nodes {
    /// Reads what the store holds.
    pub(crate) fn from_document(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The keys of everything that the account's nodes have in [`chaski_store::Table::Items`].
    pub(crate) fn item_keys(&self, _record_key: &str) -> Vec<String> {
        Vec::new()
    }
}
