//! What the rooms ask of the edge: the one way out of a shard.
//!
//! The edge implements [`Wire`] for its connections; a test or simulator implements it with vectors.

use chaski_store::AccountId;
use chaski_xmpp::sasl::token::PROOF_BYTES;
use chaski_xmpp::sm::TooHigh;
use chaski_xmpp::stream::{Admission, Refused};

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

    /// The answer to [`crate::shard::Shard::lookup_credentials`]. `None`: no such account.
    fn credentials(
        &mut self,
        conn: ConnId,
        credentials: Result<Option<crate::accounts::Credentials>, Unavailable>,
    );

    /// The answer to [`crate::shard::Shard::bind`]. If the connection is over by now, the edge calls
    /// [`crate::shard::Shard::closed`] for the session in its next turn.
    fn bound(&mut self, conn: ConnId, result: Result<Bound, BindRefused>);

    /// The answer to [`crate::shard::Shard::resume`]. On success the rooms have already queued nothing yet: the
    /// edge writes `<resumed/>` from the value and then calls [`crate::shard::Shard::resumed`], which retransmits. If
    /// the connection is over by now, the edge calls [`crate::shard::Shard::closed`] for both instead.
    fn resumed(&mut self, conn: ConnId, result: Result<Resumed, ResumeRefused>);

    /// The answer to [`crate::shard::Shard::prove_token`]. `None`: no such account, or no such token.
    fn token_proved(&mut self, conn: ConnId, result: Result<Option<TokenProved>, Unavailable>);

    /// The answer to [`crate::shard::Shard::admit`]. A session that was resumed waits until the edge has written this and
    /// calls [`crate::shard::Shard::resumed`]. If the connection is over by now, the edge calls
    /// [`crate::shard::Shard::closed`] for the session, if there is one.
    fn admitted(&mut self, conn: ConnId, result: Result<Admitted, Refused>);

    /// Hands an envelope to [whom it is for](crate::router::Envelope::to). Gives it back if that one's queue is full; the rooms
    /// then apply their policy (drop presence, refuse messages with an error).
    fn forward(&mut self, envelope: crate::router::Envelope) -> Result<(), crate::router::Envelope>;
}

/// A session has been made.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The session.
    pub session: SessionId,
    /// Its full JID, for `<jid/>`.
    pub full_jid: String,
}

/// A session goes on over a new connection.
#[derive(Debug, Clone)]
pub struct Resumed {
    /// The session.
    pub session: SessionId,
    /// Its full JID.
    pub full_jid: String,
    /// The id the client gave, to be echoed.
    pub previd: String,
    /// Our count of stanzas from the client that are handled (for messages: durable), for `<resumed h=''/>`.
    pub h: u32,
}

/// A client has proved that it has a token (XEP-0484).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenProved {
    /// The generation of the account's key.
    pub key_generation: u32,
    /// What proves us to the client.
    pub responder: [u8; PROOF_BYTES],
}

/// What came of a client's wishes.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Its session, bound or resumed, if it has one now.
    pub session: Option<SessionId>,
    /// What it is told.
    pub admission: Admission,
}

/// Why a session was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindRefused {
    /// The resource is not a valid one (RFC 6120 §7.7.2.1 bad-request).
    BadResource,
    /// The account has too many sessions (resource-constraint).
    TooMany,
    /// The key was changed between authentication and bind, or the account is gone: not-authorized, close.
    KeyChanged,
    /// The store did not answer (internal-server-error).
    Unavailable,
}

/// Why a session was not resumed: `<failed/>` with item-not-found, and our `h` if it is still known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResumeRefused {
    /// What was handled of the lost session, if that is still known (XEP-0198 §5).
    pub h: Option<u32>,
    /// The session is there, but the client says that it got what it was never sent: the stream ends (§4).
    pub too_high: Option<TooHigh>,
}

/// The store could not be asked: temporary failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

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
