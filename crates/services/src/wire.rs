//! Values that the edge and a shard exchange about connections and sessions: their ids, whose account a connection has proved,
//! why the edge reports that a connection is over, and why a shard ends a stream.
//!
//! Only values. The edge calls in by [`Shard`](crate::shard::Shard); the shard's calls out are
//! [`Wire`](crate::owner::wire::Wire).

use crate::data::data;
use chaski_store::AccountId;
use chaski_xmpp::sm::TooHigh;

/// A client connection as its shard's edge knows it. An id is never used again while a shard may still hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// A session: one bound resource of one account, alive over several connections if it is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Why a shard ends a stream: a stream error (RFC 6120 §4.9.3) with its condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEnd {
    /// The condition, e.g. `conflict`, `not-authorized`, `policy-violation`.
    pub condition: &'static str,
    /// Text for a person, if it helps.
    pub text: Option<String>,
    /// The client has acknowledged stanzas that it was never sent: the stream error has the element of XEP-0198 §4.
    pub too_high: Option<TooHigh>,
}

impl StreamEnd {
    /// A stream error with this condition.
    pub fn new(condition: &'static str, text: impl Into<String>) -> Self {
        Self { condition, text: Some(text.into()), too_high: None }
    }
}

impl From<TooHigh> for StreamEnd {
    fn from(too_high: TooHigh) -> Self {
        Self { too_high: Some(too_high), ..Self::new("undefined-condition", too_high.to_string()) }
    }
}

/// Why the edge reports that a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The client has closed its stream, or has sent something that can't be parsed and that it would send again: the session
    /// ends.
    Clean,
    /// The connection broke or timed out, or its stream was ended through no fault of the client: the session may be resumed.
    Lost,
}

/// The account that a connection's client has authenticated as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    /// The account.
    pub account: AccountId,
    /// The generation of the key that was proved. If the account has a newer key when the client binds, the proved one has been
    /// replaced.
    pub key_generation: u32,
}

// These numbers come back only to the place that has made them.
data!(struct ConnId(number));
data!(struct SessionId(number));
