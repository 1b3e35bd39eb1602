//! What a login asks of its account's owner, and the verdict: one pair of types, from the stream's negotiation to the owner and back.
//!
//! The edge leads the negotiation and asks one [`Question`] at a time for a connection. Its shard brings that to the account's owner
//! ([`Shard::login`](crate::shard::Shard::login)), and the [`Verdict`] comes out of the same shard, perhaps within the call
//! ([`Wire::verdict`](crate::owner::wire::Wire::verdict)). Both are data: where the verdict goes is a [`ReplyTo`] of numbers that only the
//! place that made them reads. A verdict that is lost is made good by the deadline of every login; one that comes late or
//! twice is for nobody, because each question of a connection has a number of its own ([`Questions`]).
//!
//! Something new that a login asks is a variant of [`Ask`] and of [`Granted`], the owner's arm in `shard/login.rs`, and a step
//! of the edge's negotiation.

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
    /// Where the client is, for the budget of those who have not logged in.
    pub network: Network,
    /// Whose owner is asked.
    pub account: AccountId,
    /// The generation of the account's key that the client has proved, if it has. If there is a newer one, that counts no more.
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
    /// Which of its questions: see [`Questions::ask`].
    pub number: u32,
}

/// What is asked. Sessions are for who has [proved](Question::proved) a key, on a connection that is at the account's owner.
#[derive(Debug, Clone)]
pub enum Ask {
    /// What is to be proved by SCRAM or PLAIN.
    Credentials,
    /// The client claims to have a token (XEP-0484).
    Token(Box<TokenProof>),
    /// A new session (RFC 6120 §7), by this resource, prepared or not; `None` lets the server choose.
    Bind(Option<Box<str>>),
    /// A session of before (XEP-0198 §5).
    Resume(InlineResume),
    /// Everything that a client asked for with its authentication, in one turn.
    Admit(Box<Wishes>),
}

/// What came of a question.
pub type Verdict = Result<Granted, Denied>;

/// What was asked for, by the name of its [`Ask`].
#[derive(Debug, Clone)]
pub enum Granted {
    /// The account's credentials.
    Credentials(Credentials),
    /// The client has the token.
    Token(TokenProved),
    /// A session has been made.
    Bound(Bound),
    /// The session goes on. Nothing is queued yet: what follows comes once the edge has called [`crate::shard::Shard::resumed`].
    Resumed(Resumed),
    /// What came of the wishes.
    Admitted(Admitted),
}

impl Granted {
    /// The session that the connection has now. If it is over by then, the edge says so ([`crate::shard::Shard::closed`]).
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Credentials(_) | Self::Token(_) => None,
            Self::Bound(Bound { session, .. }) | Self::Resumed(Resumed { session, .. }) => Some(*session),
            Self::Admitted(admitted) => admitted.session,
        }
    }
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There is no such account, or what is claimed or was proved is not good for it (any more).
    NotAuthorized,
    /// The owner or the store could not be asked: a temporary failure.
    Unavailable,
    /// The resource is not a valid one (RFC 6120 §7.7.2.1).
    BadResource,
    /// The account has too many sessions.
    TooManySessions,
    /// There is no such session any more. What was handled of it, if that is still known (XEP-0198 §5).
    Gone(Option<u32>),
    /// The session is there, but the client says that it got what it was never sent: the stream ends (§4).
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

/// The questions of one connection: it asks one at a time, and hears the verdict on that alone, once.
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

    /// A verdict has come. Whether it is the one that is waited for, which it is then no more.
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
