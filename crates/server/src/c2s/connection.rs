//! The record of one connection: all that an idle client costs in the edge.
//!
//! Owned by the shard's [`super::table::Table`]; the whole record moves to another shard when its account lives
//! there. A live, idle, plain connection has nothing on the heap.

use super::outbound::Outbound;
use super::socket::Socket;
use super::transport::TlsSession;
use crate::timers::Deadline;
use chaski_services::account::network::Network;
use chaski_services::effects::login::Questions;
use chaski_services::wire::{Authenticated, SessionId};
use chaski_store::AccountId;
use chaski_xmpp::framer::Framer;
use chaski_xmpp::sasl::{Hash, Password};
use chaski_xmpp::stream::{Action, Framing, Negotiation, Wishes};
use chaski_xmpp::websocket::Decoder;
use chaski_xmpp::{Husk, Prefixes};

/// See the module.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    /// TLS of ours, if there is any (a terminator's is not).
    pub(crate) tls: Option<Box<TlsSession>>,
    /// RFC 6455 frames around everything. Taken out while its frames are being dealt with.
    pub(crate) websocket: Option<Box<Decoder>>,
    pub(crate) framer: Framer,
    /// Bytes (decrypted) of an element that is not complete, or that wait for the answer that the login needs.
    pub(crate) partial: Vec<u8>,
    /// Of a stanza that is too large and being read to its end: what its answer needs.
    pub(crate) skipped: Option<Box<Husk>>,
    /// What its stream header declares for its elements. `None` for nearly all.
    pub(crate) prefixes: Option<Box<Prefixes>>,
    /// What is written and not yet taken by the kernel. `None` in an idle connection.
    pub(crate) outbound: Option<Box<Outbound>>,
    pub(crate) stage: Stage,
    pub(crate) deadline: Deadline,
    /// The tick in which the client was last heard.
    pub(crate) heard_tick: u32,
    /// Where it comes from, and so where it is counted.
    pub(crate) network: Network,
    pub(crate) flags: Flags,
}

/// Yes and no about a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    /// It is in a list of connections to be read.
    pub(crate) queued: bool,
    /// The peer's FIN has been seen: read until the end.
    pub(crate) read_closed: bool,
    /// There was readiness while an answer was owed: read on afterwards.
    pub(crate) read_pending: bool,
    /// Some of what was read waits for its account's next share.
    pub(crate) held: bool,
    /// The peer has said its last byte, and it is among what waits.
    pub(crate) last_held: bool,
    /// It is in the list of connections to be flushed.
    pub(crate) dirty: bool,
    /// The kernel did not take everything: wait for writability.
    pub(crate) clogged: bool,
    /// The rooms wait for [`chaski_services::shard::Shard::confirmed`].
    pub(crate) confirming: bool,
    /// The rooms want nothing more from its client for now.
    pub(crate) paused: bool,
    /// A probe was sent and nothing has been heard since.
    pub(crate) probed: bool,
    /// It speaks WebSocket (also while the decoder is taken out).
    pub(crate) websocket: bool,
    /// Our last byte is out and FIN sent.
    pub(crate) finished: bool,
    /// Its client has proved who it is: the larger bounds apply.
    pub(crate) authenticated: bool,
    /// `close_notify` is written.
    pub(crate) notified: bool,
    /// Too much waits for it: it will be cut.
    pub(crate) too_slow: bool,
    /// The peer has said its last byte while ours were still to be sent.
    pub(crate) eof: bool,
    /// Its TLS has failed or ended: what is written can't be encrypted.
    pub(crate) tls_dead: bool,
}

/// How far a connection has come.
pub(crate) enum Stage {
    /// Direct TLS handshake: there is no stream yet.
    Handshake,
    /// From the stream's opening to a session.
    Login(Box<Login>),
    /// The rooms have it.
    Live(SessionId),
    /// Our farewell is written or being written; the peer may still have to take it.
    Ending,
}

impl Stage {
    /// The session, if there is one.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self {
            Self::Live(session) => Some(*session),
            Self::Handshake | Self::Login(_) | Self::Ending => None,
        }
    }
}

/// What only a login needs. Dropped when there is a session.
pub(crate) struct Login {
    pub(crate) negotiation: Negotiation,
    pub(crate) asked: Asked,
    /// What of that the rooms were asked.
    pub(crate) questions: Questions,
    /// The account and generation of the credentials that were looked up, and so proved on success.
    pub(crate) candidate: Option<Authenticated>,
    /// Of a SCRAM exchange whose proof comes next.
    pub(crate) proving: Option<Proving>,
    /// The name whose credentials those are.
    pub(crate) username: String,
    /// When a secret was shown, and so when the time begins after which a failure is told.
    pub(crate) tried_at_ms: Option<u64>,
    /// What the client wishes as soon as the connection is at its account's owner.
    pub(crate) wishes: Option<Box<Wishes>>,
    /// What the rooms have written for the session before the client was told that it has one.
    pub(crate) early: Vec<u8>,
}

/// What a login waits for.
pub(crate) enum Asked {
    /// Nothing: the client is to speak.
    Nothing,
    /// STARTTLS: our TLS handshake.
    Tls,
    /// The rooms: credentials for SCRAM, of which the challenge is to be made.
    Scram { account: AccountId, hash: Hash },
    /// The rooms: credentials for SCRAM, by which this element is to be judged.
    Proof { proving: Proving, element: Box<[u8]> },
    /// The rooms: credentials for PLAIN.
    Plain { account: AccountId, password: Password },
    /// The slow check of a password.
    Slow { account: AccountId },
    /// The time at which a failure is to be told, which is in these bytes, and what is to be done then.
    Late { due_ms: u64, told: Box<[u8]>, action: Action },
    /// The account's owner: the connection is about to move there.
    Owner,
    /// The rooms: whether the client has a token.
    Token { account: AccountId },
    /// The rooms: all that the client wished.
    Admission,
    /// The rooms: a new session.
    Bind,
    /// The rooms: a session of before.
    Resume,
}

/// Whose SCRAM secret the client is about to prove.
#[derive(Clone, Copy)]
pub(crate) struct Proving {
    pub(crate) account: AccountId,
    pub(crate) hash: Hash,
    pub(crate) can_be_guessed: bool,
    /// The secret is still to be asked for: the challenge is the same function of the name for all.
    pub(crate) is_blind: bool,
}

impl Connection {
    /// A connection at its beginning.
    pub(crate) fn new(socket: impl Into<Socket>, stage: Stage, network: Network) -> Self {
        Self {
            socket: socket.into(),
            tls: None,
            websocket: None,
            framer: Framer::new(),
            partial: Vec::new(),
            skipped: None,
            prefixes: None,
            outbound: None,
            stage,
            deadline: Deadline::default(),
            heard_tick: 0,
            network,
            flags: Flags::default(),
        }
    }

    /// How elements are put on its wire.
    pub(crate) fn framing(&self) -> Framing {
        if self.flags.websocket { Framing::WebSocket } else { Framing::Tcp }
    }

    /// Whether it is in a TLS handshake of ours.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Whether it has a session.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live(_))
    }

    /// Whether input must wait: for an answer to a login, or until what was sent to a session has been taken.
    pub(crate) fn owes_answer(&self) -> bool {
        match &self.stage {
            Stage::Login(login) => !matches!(login.asked, Asked::Nothing | Asked::Tls),
            Stage::Live(_) => self.flags.paused,
            Stage::Handshake | Stage::Ending => false,
        }
    }

    /// Bytes that the kernel has not taken yet.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.outbound.as_ref().map_or(0, |outbound| outbound.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // Beside it: one entry of the wheel (8 bytes) and of the free list's capacity (4 bytes).
        assert!(size_of::<Connection>() <= 160, "{}", size_of::<Connection>());
    }
}
