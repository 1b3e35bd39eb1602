//! Privacy: what an account's owner has chosen to show, and to whom.
//!
//! Owns the account's document in [`chaski_store::Table::Settings`], which is in memory with the account.

use serde::{Deserialize, Serialize};

/// What an account's owner has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {}

impl Settings {
    /// Reads what the store holds.
    pub(crate) fn from_document(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}
