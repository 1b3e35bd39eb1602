//! The states of a negotiation: each holds what belongs to it and nothing else.

use crate::sasl::server::{AwaitingResponse, NeedSecret, VerifyPlain};

/// How far a connection has come. Each phase begins with a stream header of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before TLS.
    Open,
    /// Inside TLS, or what counts as such.
    Secured,
    /// We know who it is.
    Authenticated,
    /// It has a session already, by what came with its authentication.
    Bound,
}

/// What is awaited.
#[derive(Debug)]
pub(super) enum State {
    /// A stream header, with which this phase begins.
    Header(Phase),
    /// `<starttls/>`.
    StartTls,
    /// The edge: the end of the TLS handshake.
    Handshake,
    /// `<auth/>`.
    Auth,
    /// `<response/>` or `<abort/>`.
    Response(AwaitingResponse),
    /// The edge: a SCRAM secret.
    Secret(NeedSecret),
    /// The edge: whether a password is right.
    Password(VerifyPlain),
    /// The edge: whether the client has a token.
    Token {
        /// The name it gave.
        username: Box<str>,
    },
    /// The edge: what comes of a client's wishes.
    Admitting {
        /// What proves us to the client.
        data: Box<[u8]>,
    },
    /// The request to bind or to resume.
    Session,
    /// The edge: a session. The id is the request's.
    Binding {
        /// The iq's id.
        id: Option<Box<str>>,
    },
    /// The edge: whether this session can be resumed.
    Resuming {
        /// The session's id.
        previd: Box<str>,
    },
    /// Nothing: the stream has ended or has been handed over.
    Over,
}

impl State {
    /// Whether the edge is to answer before the peer may speak.
    pub(super) fn awaits_edge(&self) -> bool {
        matches!(
            self,
            Self::Handshake
                | Self::Secret(_)
                | Self::Password(_)
                | Self::Token { .. }
                | Self::Admitting { .. }
                | Self::Binding { .. }
                | Self::Resuming { .. }
        )
    }
}
