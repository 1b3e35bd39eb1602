//! What the rooms ask of the edge: the one way out of a shard.
//!
//! The edge implements [`Wire`] for its connections; a test or simulator implements it with vectors.

use crate::data::data;
use crate::login::Verdict;
use chaski_store::AccountId;
use chaski_xmpp::sm::TooHigh;

/// A client connection as its shard's edge knows it. Never reused while a room may still hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// A session: one bound resource of one account, alive over several connections if it is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// The edge, as seen from the rooms. Calls never block and never fail: a connection that has just died swallows
/// what is written to it, and [`crate::shard::Shard::closed`] follows.
pub trait Wire {
    /// Sends one top-level element, given in pieces that together are the whole element. It is handed to the
    /// kernel at the end of the turn, together with whatever else the turn wrote to this connection.
    fn write(&mut self, conn: ConnId, element: &[&[u8]]);

    /// Bytes written to the connection that the kernel has not taken yet (slow client).
    fn unsent_bytes(&self, conn: ConnId) -> usize;

    /// Reads nothing more from the connection, and calls [`crate::shard::Shard::writable`] whenever everything written
    /// to it has been handed to the kernel, until [`Self::go_on`]. For clients without stream management.
    fn pause(&mut self, conn: ConnId);

    /// Reads the connection again, if it was paused.
    fn go_on(&mut self, conn: ConnId);

    /// Asks for one call of [`crate::shard::Shard::confirmed`] as soon as everything written has been acknowledged by
    /// the peer's TCP (`SIOCOUTQ` is 0 and no bytes are unsent). Used for clients without 0198.
    fn confirm(&mut self, conn: ConnId);

    /// Ends the stream: sends the stream error if there is one, `</stream:stream>`, then closes the socket.
    /// [`crate::shard::Shard::closed`] is not called for a connection that the rooms closed.
    fn close(&mut self, conn: ConnId, error: Option<StreamEnd>);

    /// The verdict on a [question](crate::login::Question) of this number that the connection has asked. It may come late or twice.
    fn verdict(&mut self, conn: ConnId, number: u32, verdict: Verdict);

    /// Hands an envelope to [whom it is for](crate::router::Envelope::to). Gives it back if that one's queue is full; the rooms
    /// then apply their policy (drop presence, refuse messages with an error).
    fn forward(&mut self, envelope: crate::router::Envelope) -> Result<(), crate::router::Envelope>;
}

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
