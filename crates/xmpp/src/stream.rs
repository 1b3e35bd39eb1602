//! The server's side of a stream, from the connection until a session is bound or resumed (RFC 6120 §4 to §7,
//! RFC 7395, XEP-0440, XEP-0198 §5).
//!
//! Owns what is agreed on the way: TLS, who the client is, which session it gets. The edge feeds it what the framer
//! has cut ([`Input`]) and acts on what comes back ([`Action`]); the session's own life afterwards is the rooms'.
//! After [`Action::Established`] the whole [`Negotiation`] is to be dropped: an idle session keeps nothing of it.
//!
//! What the edge must do:
//! - On [`Action::StartTls`]: send what was written, then give every further byte to TLS, also those that had been
//!   read already (else a man in the middle could smuggle in elements); then [`Negotiation::tls_established`].
//! - On `StartTls` and [`Action::Authenticated`]: begin with a fresh framer, a new stream header follows (TCP; on
//!   WebSocket a new `<open/>`).
//! - While it owes an answer ([`Negotiation::owes_answer`]): keep what arrives in its buffer and feed it afterwards.
//! - On a [`crate::FrameError`] or [`crate::ParseError`]: [`Negotiation::fail`] with its condition.
//! - Deadlines.

use crate::error::StreamCondition;
use crate::sasl::{ChannelBindings, Failure, Hash, Mechanism, Password, ScramSecret};
use crate::{Stanza, StreamHeader, websocket};
use std::sync::Arc;

mod authenticate;
mod bind;
pub mod client;
mod features;
mod framing;
mod header;
mod state;

pub use framing::{Framing, Outlet, end};
use state::State;

/// What all streams of a listener have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The domain that we serve, in normal form.
    pub domain: String,
    /// What is offered, in this order; -PLUS forms only where there is something to bind to. PLAIN is never offered
    /// before TLS, because nothing is.
    pub mechanisms: Vec<Mechanism>,
    /// After this many failed authentications the stream ends with policy-violation (RFC 6120 §6.4.5 wants 2 to 5).
    pub sasl_failures_max: u8,
    /// XML of further features after authentication, e.g. `<c xmlns='http://jabber.org/protocol/caps' …/>`.
    pub session_features: String,
}

impl Settings {
    /// All mechanisms, three failures, no further features.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            mechanisms: Mechanism::ALL.to_vec(),
            sasl_failures_max: 3,
            session_features: String::new(),
        }
    }
}

/// Whether the connection is protected already.
#[derive(Debug, Clone)]
pub enum Security {
    /// Plain TCP: STARTTLS is offered and nothing else works.
    StartTls,
    /// Direct TLS or WebSocket over TLS (after the handshake, with what there is to bind to), or a connection
    /// whose TLS ends in front of us (with [`ChannelBindings::NONE`]).
    Secured(ChannelBindings),
}

/// What the peer has sent.
#[derive(Debug)]
pub enum Input<'i, 'a> {
    /// A stream header (TCP).
    Header(&'i StreamHeader<'a>),
    /// `<open/>` (WebSocket).
    Open(&'i websocket::Open<'a>),
    /// A top-level element.
    Element(&'i Stanza<'a>),
    /// `</stream:stream>` or `<close/>`.
    Close,
}

/// What the edge is to do next.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Go on reading.
    Read,
    /// Do the TLS handshake; [`Negotiation::tls_established`].
    StartTls,
    /// Find the account's secret for this hash; [`Negotiation::credentials`].
    LookupCredentials {
        /// The name given by the client after SASLprep; not yet a normalised local part.
        username: String,
        /// Which secret.
        hash: Hash,
    },
    /// Check the password; [`Negotiation::plain_verified`].
    VerifyPlain {
        /// As above.
        username: String,
        /// What the client claims.
        password: Password,
    },
    /// The client is this user. Move the connection to the account's owner, then go on reading.
    Authenticated {
        /// As above.
        username: String,
    },
    /// Make a session; [`Negotiation::bound`].
    Bind {
        /// The resource that the client wants, as it came; none means that we choose.
        resource: Option<String>,
    },
    /// Resume a session; [`Negotiation::resumed`].
    Resume {
        /// The id of [`crate::sm`]'s `<enabled/>`.
        previd: String,
        /// How many stanzas the client has got in that session.
        h: u32,
    },
    /// There is a session: drop the [`Negotiation`], elements now go to the rooms.
    Established,
    /// Send what was written, then close the connection.
    Close,
}

/// Why no session was made (RFC 6120 §7.6.2, §7.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindRefusal {
    /// The resource is not a valid one: bad-request.
    BadResource,
    /// Too many sessions: resource-constraint.
    TooMany,
    /// Our own trouble: internal-server-error.
    Unavailable,
    /// The account is gone or its key has changed: the stream ends with not-authorized.
    NotAuthorized,
}

/// A stream that is being negotiated.
#[derive(Debug)]
pub struct Negotiation {
    settings: Arc<Settings>,
    framing: Framing,
    bindings: ChannelBindings,
    /// From which stream ids and nonces are made.
    seed: [u8; 32],
    drawn: u32,
    lang: Option<Box<str>>,
    /// Whether our header of the current stream is out: an error before it must bring it along.
    header_sent: bool,
    sasl_failures: u8,
    refusals: u8,
    state: State,
}

impl Negotiation {
    /// A connection has been opened. `seed` is random and secret: stream ids and nonces are made from it.
    pub fn new(settings: Arc<Settings>, framing: Framing, security: Security, seed: [u8; 32]) -> Self {
        let _ = (settings, framing, security, seed);
        todo!()
    }

    /// The `xml:lang` of the client's last stream header: the default for its stanzas.
    pub fn lang(&self) -> Option<&str> {
        self.lang.as_deref()
    }

    /// Whether an answer is awaited; until then nothing may be fed.
    pub fn owes_answer(&self) -> bool {
        todo!()
    }

    /// Takes what the peer has sent. What is to be sent goes to `out`, before the action is acted upon.
    pub fn receive(&mut self, input: Input<'_, '_>, out: &mut dyn Outlet) -> Action {
        let _ = (input, out);
        todo!()
    }

    /// Ends the stream with an error.
    pub fn fail(&mut self, condition: StreamCondition, text: Option<&str>, out: &mut dyn Outlet) -> Action {
        let _ = (condition, text, out);
        todo!()
    }

    /// The answer to [`Action::StartTls`].
    pub fn tls_established(&mut self, bindings: ChannelBindings) {
        let _ = bindings;
        todo!()
    }

    /// The answer to [`Action::LookupCredentials`]. For an account that does not exist, [`ScramSecret::decoy`].
    pub fn credentials(&mut self, secret: Result<ScramSecret, Failure>, out: &mut dyn Outlet) -> Action {
        let _ = (secret, out);
        todo!()
    }

    /// The answer to [`Action::VerifyPlain`]; a wrong password or unknown user is [`Failure::NotAuthorized`].
    pub fn plain_verified(&mut self, result: Result<(), Failure>, out: &mut dyn Outlet) -> Action {
        let _ = (result, out);
        todo!()
    }

    /// The answer to [`Action::Bind`]: the session's full JID.
    pub fn bound(&mut self, result: Result<&str, BindRefusal>, out: &mut dyn Outlet) -> Action {
        let _ = (result, out);
        todo!()
    }

    /// The answer to [`Action::Resume`]: our count of handled stanzas; if the session is gone, the last that is known
    /// of it, and the client may bind instead.
    pub fn resumed(&mut self, result: Result<u32, Option<u32>>, out: &mut dyn Outlet) -> Action {
        let _ = (result, out);
        todo!()
    }
}
