//! The record of one connection: all that an idle client costs in the edge.
//!
//! Owned by the shard's [`super::table::Table`]. The whole record moves to another shard if that shard owns the account. A live,
//! idle connection without TLS has nothing on the heap.

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
    /// TLS, if this server terminates it for the connection (another terminator's is not here).
    pub(crate) tls: Option<Box<TlsSession>>,
    /// The WebSocket decoder (RFC 6455). Taken out while its frames are being handled.
    pub(crate) websocket: Option<Box<Decoder>>,
    pub(crate) framer: Framer,
    /// Decrypted bytes of an element that is not complete, or that wait for the answer to a login's question.
    pub(crate) partial: Vec<u8>,
    /// For a stanza that is too large and being skipped: what its error answer needs.
    pub(crate) skipped: Option<Box<Husk>>,
    /// The namespace prefixes that the stream header declares for its elements. `None` for nearly all streams.
    pub(crate) prefixes: Option<Box<Prefixes>>,
    /// Output that the kernel has not taken. `None` in an idle connection.
    pub(crate) outbound: Option<Box<Outbound>>,
    pub(crate) stage: Stage,
    pub(crate) deadline: Deadline,
    /// The tick in which something was last received from the client.
    pub(crate) heard_tick: u32,
    /// The network of the client's address, by which it is counted.
    pub(crate) network: Network,
    pub(crate) flags: Flags,
}

/// Boolean state of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    /// It is in a list of connections to be read.
    pub(crate) queued: bool,
    /// The peer's FIN was announced: read until the end of the stream.
    pub(crate) read_closed: bool,
    /// The socket became readable while an answer was owed: read it afterwards.
    pub(crate) read_pending: bool,
    /// Some of the input that was read waits for the next share of its account.
    pub(crate) held: bool,
    /// The peer has sent its last byte, which is among the input that waits.
    pub(crate) last_held: bool,
    /// It is in the list of connections to be flushed.
    pub(crate) dirty: bool,
    /// The kernel did not take all output: wait until the socket is writable.
    pub(crate) clogged: bool,
    /// The owner waits for [`chaski_services::shard::Shard::confirmed`].
    pub(crate) confirming: bool,
    /// The owner has paused the connection: it is not read.
    pub(crate) paused: bool,
    /// A probe was sent, and nothing has been received since.
    pub(crate) probed: bool,
    /// It speaks WebSocket (also while the decoder is taken out).
    pub(crate) websocket: bool,
    /// All output is sent, and FIN after it.
    pub(crate) finished: bool,
    /// The client has authenticated, so the larger bounds apply.
    pub(crate) authenticated: bool,
    /// `close_notify` is written.
    pub(crate) notified: bool,
    /// Too much output waits, so the connection will be cut.
    pub(crate) too_slow: bool,
    /// The peer has closed its side while our output was still to be sent.
    pub(crate) eof: bool,
    /// TLS has failed or ended: output can't be encrypted any more.
    pub(crate) tls_dead: bool,
}

/// How far a connection has come.
pub(crate) enum Stage {
    /// Direct TLS handshake: there is no stream yet.
    Handshake,
    /// A login: from the opening of the stream until there is a session.
    Login(Box<Login>),
    /// The connection has this session.
    Live(SessionId),
    /// The stream has ended on our side; output may still have to be sent.
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

/// State that only a login needs. Dropped when there is a session.
pub(crate) struct Login {
    pub(crate) negotiation: Negotiation,
    pub(crate) asked: Asked,
    /// The numbers of the questions that were put to the account's owner.
    pub(crate) questions: Questions,
    /// The account and generation of the credentials that were looked up; proved if the authentication succeeds.
    pub(crate) candidate: Option<Authenticated>,
    /// The SCRAM exchange whose proof the client has to send next.
    pub(crate) proving: Option<Proving>,
    /// The user name for which credentials were looked up.
    pub(crate) username: String,
    /// When the client has sent a secret or a proof: a failure is reported a certain time after this.
    pub(crate) tried_at_ms: Option<u64>,
    /// The client's inline requests (SASL2), kept until the connection is at its account's owner.
    pub(crate) wishes: Option<Box<Wishes>>,
    /// What the owner has written for the session before the client was told that it has one.
    pub(crate) early: Vec<u8>,
}

/// What a login waits for before the client may go on.
pub(crate) enum Asked {
    /// Nothing: it is the client's turn.
    Nothing,
    /// The TLS handshake after STARTTLS.
    Tls,
    /// The owner: credentials for SCRAM, to make the challenge from.
    Scram { account: AccountId, hash: Hash },
    /// The owner: credentials for SCRAM, to judge this element by.
    Proof { proving: Proving, element: Box<[u8]> },
    /// The owner: credentials for PLAIN.
    Plain { account: AccountId, password: Password },
    /// The worker: the slow check of a password.
    Slow { account: AccountId },
    /// The time at which a failure is reported: these bytes are written then, and this action is taken.
    Late { due_ms: u64, told: Box<[u8]>, action: Action },
    /// The account's owner: the connection is about to move there.
    Owner,
    /// The owner: whether the client has its FAST token.
    Token { account: AccountId },
    /// The owner: the outcome of the client's inline requests.
    Admission,
    /// The owner: a new session.
    Bind,
    /// The owner: the resumption of a session.
    Resume,
}

/// The SCRAM exchange in which the client is about to send its proof.
#[derive(Clone, Copy)]
pub(crate) struct Proving {
    pub(crate) account: AccountId,
    pub(crate) hash: Hash,
    pub(crate) can_be_guessed: bool,
    /// The credentials have still to be looked up: the challenge is the same function of the name for all names.
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

    /// Whether input has to wait: for an answer to a login, or because the owner has paused the connection.
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
