//! What a login requests of its account's owner, and the answer: one pair of types, from the negotiation of the stream to the
//! owner and back.
//!
//! The edge leads the negotiation and sends one [`Question`] at a time for a connection. Its shard sends that to the account's
//! owner ([`Shard::login`](crate::shard::Shard::login)), and the [`Verdict`] comes back from the same shard, perhaps within the
//! call ([`Wire::verdict`](crate::owner::wire::Wire::verdict)). Both are data: the way back is a [`ReplyTo`] of numbers that only
//! the place that made them reads. If a verdict is lost, the deadline of the login ends the wait. A verdict that comes late or
//! twice is ignored, because each question of a connection has a number of its own ([`Questions`]).
//!
//! A new request of logins needs a variant of [`Ask`] and of [`Granted`], an arm in `owner/login.rs`, and a step of the edge's
//! negotiation.

use crate::account::credentials::Credentials;
use crate::account::network::Network;
use crate::data::data;
use crate::places::Place;
use crate::wire::{ConnId, SessionId};
use chaski_store::AccountId;
use chaski_xmpp::sasl::token::PROOF_BYTES;
use chaski_xmpp::sm::TooHigh;
use chaski_xmpp::stream::{Admission, InlineResume, TokenProof, Wishes};

/// See the module.
#[derive(Debug, Clone)]
pub struct Question {
    /// Where its verdict goes.
    pub reply_to: ReplyTo,
    /// The network of the client's address, for the budget of clients that have not authenticated.
    pub network: Network,
    /// The account that is asked.
    pub account: AccountId,
    /// The generation of the key that the client has proved, if it has. It does not count if the account has a newer key by then.
    pub proved: Option<u32>,
    /// What is asked.
    pub ask: Ask,
}

/// Where a verdict goes: to a connection, as the answer to its question of this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyTo {
    /// The shard that was asked.
    pub place: Place,
    /// A connection of that shard.
    pub conn: ConnId,
    /// The number of the connection's question: see [`Questions::ask`].
    pub number: u32,
}

/// The requests of a login. Only a client that has [proved](Question::proved) a key can get a session, on a connection at the
/// account's owner.
#[derive(Debug, Clone)]
pub enum Ask {
    /// The credentials against which SCRAM or PLAIN is checked.
    Credentials,
    /// The client claims to have a FAST token (XEP-0484).
    Token(Box<TokenProof>),
    /// Bind a new session (RFC 6120 §7) with this resource, normalised or not; `None` lets the server choose.
    Bind(Option<Box<str>>),
    /// Resume a session (XEP-0198 §5).
    Resume(InlineResume),
    /// Everything that the client has requested with its SASL2 authentication, in one turn.
    Admit(Box<Wishes>),
}

/// What came of a question.
pub type Verdict = Result<Granted, Denied>;

/// What was granted: each variant belongs to the one of [`Ask`] with the same content.
#[derive(Debug, Clone)]
pub enum Granted {
    /// The account's credentials.
    Credentials(Credentials),
    /// The client has proved its token.
    Token(TokenProved),
    /// A session has been made.
    Bound(Bound),
    /// The session is resumed. Nothing is written yet: unacknowledged stanzas follow once the edge has called
    /// [`crate::shard::Shard::resumed`].
    Resumed(Resumed),
    /// What came of the client's inline requests.
    Admitted(Admitted),
}

impl Granted {
    /// The session that the connection has now. If the connection is over by then, the edge reports that
    /// ([`crate::shard::Shard::closed`]).
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Credentials(_) | Self::Token(_) => None,
            Self::Bound(Bound { session, .. }) | Self::Resumed(Resumed { session, .. }) => Some(*session),
            Self::Admitted(admitted) => admitted.session,
        }
    }
}

/// Why a request was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There is no such account, or the claimed or proved secret is not, or no longer, good for it.
    NotAuthorized,
    /// The owner or the store could not be asked: a temporary failure.
    Unavailable,
    /// The resource is not a valid one (RFC 6120 §7.7.2.1).
    BadResource,
    /// The account has too many sessions.
    TooManySessions,
    /// There is no such session any more. Holds the count of its handled stanzas, if that is still known (XEP-0198 §5).
    Gone(Option<u32>),
    /// The session exists, but the client has acknowledged stanzas that it was never sent: the stream ends (§4).
    TooHigh(TooHigh),
}

/// A session has been made.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The session.
    pub session: SessionId,
    /// Its full JID, for `<jid/>`.
    pub full_jid: String,
}

/// A session was resumed on a new connection.
#[derive(Debug, Clone)]
pub struct Resumed {
    /// The session.
    pub session: SessionId,
    /// Its full JID.
    pub full_jid: String,
    /// The id the client gave, to be echoed.
    pub previd: String,
    /// The count of the client's stanzas that are handled (for messages: durable), for `<resumed h=''/>`.
    pub h: u32,
}

/// A client has proved that it has a token (XEP-0484).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenProved {
    /// The generation of the account's key.
    pub key_generation: u32,
    /// The server's proof to the client that it knows the token, too.
    pub responder: [u8; PROOF_BYTES],
}

/// What came of a client's inline requests (SASL2).
#[derive(Debug, Clone)]
pub struct Admitted {
    /// The session that was bound or resumed, if there is one.
    pub session: Option<SessionId>,
    /// The elements that the client is sent.
    pub admission: Admission,
}

/// The numbers of one connection's questions: it asks one at a time, and accepts the verdict on that one alone, once.
#[derive(Debug, Default)]
pub struct Questions {
    last: u32,
    is_open: bool,
}

impl Questions {
    /// The number of the question that is asked now.
    pub fn ask(&mut self) -> u32 {
        *self = Self { last: self.last.wrapping_add(1), is_open: true };
        self.last
    }

    /// A verdict with this number has come. Returns whether it is the awaited one, which is then no longer awaited.
    pub fn hear(&mut self, number: u32) -> bool {
        self.last == number && std::mem::take(&mut self.is_open)
    }
}

data!(struct Question { reply_to, network, account, proved, ask });
data!(struct ReplyTo { place, conn, number });
data!(enum Ask { 0 = Credentials, 1 = Token(proof), 2 = Bind(resource), 3 = Resume(session), 4 = Admit(wishes) });
data!(enum Granted { 0 = Credentials(found), 1 = Token(proved), 2 = Bound(bound), 3 = Resumed(resumed), 4 = Admitted(admitted) });
data!(enum Denied {
    0 = NotAuthorized, 1 = Unavailable, 2 = BadResource, 3 = TooManySessions, 4 = Gone(handled), 5 = TooHigh(too_high),
});
data!(struct Bound { session, full_jid });
data!(struct Resumed { session, full_jid, previd, h });
data!(struct TokenProved { key_generation, responder });
data!(struct Admitted { session, admission });
