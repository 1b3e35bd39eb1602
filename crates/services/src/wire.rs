//! What the rooms ask of the edge: the one way out of a shard.
//!
//! The edge implements [`Wire`] for its connections; a test or simulator implements it with vectors.

use crate::data::data;
use chaski_store::AccountId;
use chaski_xmpp::sm::TooHigh;

/// A client connection as its shard's edge knows it. Never reused while a room may still hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// A session: one bound resource of one account, alive over several connections if it is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Why the rooms end a stream: a stream error (RFC 6120 §4.9.3) with its condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEnd {
    /// The condition, e.g. `conflict`, `not-authorized`, `policy-violation`.
    pub condition: &'static str,
    /// Text for a person, if it helps.
    pub text: Option<String>,
    /// The client has acknowledged what it was never sent: told in the words of XEP-0198 §4.
    pub too_high: Option<TooHigh>,
}

impl StreamEnd {
    /// An end for this reason.
    pub fn new(condition: &'static str, text: impl Into<String>) -> Self {
        Self { condition, text: Some(text.into()), too_high: None }
    }
}

impl From<TooHigh> for StreamEnd {
    fn from(too_high: TooHigh) -> Self {
        Self { too_high: Some(too_high), ..Self::new("undefined-condition", too_high.to_string()) }
    }
}

/// Why the edge says a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The client ended its stream properly, or sent what can't be read, and would send it again: the session ends.
    Clean,
    /// The connection broke or timed out, or its stream was ended for no fault of the client: the session may be resumed.
    Lost,
}

/// Who has authenticated on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    /// The account.
    pub account: AccountId,
    /// The key generation that was proved. If the account's is newer at bind, the key has been replaced.
    pub key_generation: u32,
}

// The place that has made them gets them back.
data!(struct ConnId(number));
data!(struct SessionId(number));
