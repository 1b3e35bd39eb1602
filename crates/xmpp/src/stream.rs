//! The server's side of a stream, from the connection until a session is bound or resumed (RFC 6120 §4 to §7,
//! RFC 7395, XEP-0198 §5 and §9, XEP-0386, XEP-0388, XEP-0440, XEP-0484).
//!
//! Owns what is agreed on the way: TLS, who the client is, which session it gets. The edge feeds it what the framer
//! has cut ([`Input`]) and acts on what comes back ([`Action`]); the session afterwards is the account's owner's.
//! After [`Action::Established`] the whole [`Negotiation`] is to be dropped: an idle session keeps nothing of it.
//!
//! What the edge must do:
//! - On [`Action::StartTls`]: send what was written, then give every further byte to TLS, also those that had been
//!   read already (else a man in the middle could smuggle in elements); then [`Negotiation::tls_established`].
//! - On `StartTls` and [`Action::Authenticated`]: begin with a fresh framer, a new stream header follows (TCP; on
//!   WebSocket a new `<open/>`).
//! - On [`Action::Admit`] no new stream follows: the framer stays.
//! - While it owes an answer ([`Negotiation::owes_answer`]): keep what arrives in its buffer and feed it afterwards.
//! - On a [`crate::FrameError`] or [`crate::ParseError`]: [`Negotiation::fail`] with its condition.
//! - Deadlines.

use crate::error::StreamCondition;
use crate::sasl::server::{Step, Tries};
use crate::sasl::token::PROOF_BYTES;
use crate::sasl::{ChannelBindings, Failure, Hash, Mechanism, Password, ScramSecret};
use crate::sm::TooHigh;
use crate::{Stanza, StreamHeader, ns, websocket};
use std::sync::Arc;

mod authenticate;
mod bind;
pub mod client;
mod features;
mod framing;
mod header;
mod inline;
mod sasl2;
mod state;

pub use features::{CLIENT_STATES, PRE_APPROVAL, ROSTER_VERSIONING};
pub use framing::{Attributes, Framing, Outlet, end, end_too_high};
use header::Opening;
pub use inline::{
    Access, Admission, ClientId, InlineBind, InlineEnable, InlineEnabled, InlineResume, IssuedToken,
    TokenProof, TokenUse, Wishes,
};
use state::{Phase, State};

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
    /// XML of further features after authentication, e.g. [`ROSTER_VERSIONING`] or a `<c/>` of XEP-0115.
    pub session_features: String,
    /// What a client may switch on while it binds (XEP-0386 §3.1), by namespace, in order.
    pub bind_features: Vec<&'static str>,
}

impl Settings {
    /// All mechanisms, three failures, no further features.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            mechanisms: Mechanism::ALL.to_vec(),
            sasl_failures_max: 3,
            session_features: String::new(),
            bind_features: vec![ns::SM],
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
    /// See whether the client has a token; [`Negotiation::token_proved`].
    ProveToken {
        /// As above.
        username: String,
        /// What it says.
        proof: Box<TokenProof>,
    },
    /// The client is this user. Move the connection to the account's owner and do there what it wishes;
    /// [`Negotiation::admitted`].
    Admit {
        /// As above.
        username: String,
        /// All at once.
        wishes: Box<Wishes>,
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
    /// There is a session: drop the [`Negotiation`], elements now go to the account's owner.
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

/// Why a client that has proved who it is gets nothing all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The account is gone or its key has changed meanwhile.
    NotAuthorized,
    /// Our own trouble.
    Unavailable,
}

/// The language of the texts in our errors.
const OUR_LANG: &str = "en";

/// A stream that is being negotiated.
pub struct Negotiation {
    settings: Arc<Settings>,
    framing: Framing,
    bindings: ChannelBindings,
    /// From which stream ids and nonces are made.
    seed: [u8; 32],
    drawn: u32,
    lang: Option<Box<str>>,
    /// The bare JID that the client's last header names as its own.
    from: Option<Box<str>>,
    /// What the client has asked for together with the authentication under way, if that is one of XEP-0388.
    wishes: Option<Box<Wishes>>,
    /// Whether our header of the current stream is out: an error before it must bring it along.
    header_sent: bool,
    sasl_failures: u8,
    tries: Tries,
    refusals: u8,
    state: State,
}

impl Negotiation {
    /// A connection has been opened. `seed` is random and secret: stream ids and nonces are made from it.
    pub fn new(settings: Arc<Settings>, framing: Framing, security: Security, seed: [u8; 32]) -> Self {
        let phase = match &security {
            Security::StartTls => Phase::Open,
            Security::Secured(_) => Phase::Secured,
        };
        let mut negotiation = Self {
            settings,
            framing,
            bindings: ChannelBindings::NONE,
            seed,
            drawn: 0,
            lang: None,
            from: None,
            wishes: None,
            header_sent: false,
            sasl_failures: 0,
            tries: Tries::Left,
            refusals: 0,
            state: State::Header(phase),
        };
        if let Security::Secured(bindings) = security {
            negotiation.bind_to(bindings);
        }
        negotiation
    }

    /// The `xml:lang` of the client's last stream header: the default for its stanzas. A language tag.
    pub fn lang(&self) -> Option<&str> {
        self.lang.as_deref()
    }

    /// Whether an answer is awaited; until then nothing may be fed.
    pub fn owes_answer(&self) -> bool {
        self.state.awaits_edge()
    }

    /// Whether the client's next word of an authentication is awaited.
    pub fn is_amid_exchange(&self) -> bool {
        matches!(self.state, State::Response(_))
    }

    /// Whether this is the response that the exchange waits for. Anything else proves nothing, whatever it is called.
    pub fn is_response(&self, element: &Stanza<'_>) -> bool {
        let namespace = if self.wishes.is_some() { ns::SASL2 } else { ns::SASL };
        self.is_amid_exchange() && element.is("response", namespace)
    }

    /// What a proof can lead to, if one comes next. Until it is said otherwise.
    pub fn set_tries(&mut self, tries: Tries) {
        self.tries = tries;
    }

    /// Takes what the peer has sent. What is to be sent goes to `out`, before the action is acted upon.
    pub fn receive(&mut self, input: Input<'_, '_>, out: &mut dyn Outlet) -> Action {
        match (self.take_state(), input) {
            (State::Over, _) => Action::Close,
            (_, Input::Close) => self.close(out),
            (State::Header(phase), Input::Header(header)) if self.framing == Framing::Tcp => {
                self.open(phase, &Opening::of_stream(header), out)
            }
            (State::Header(phase), Input::Open(open)) if self.framing == Framing::WebSocket => {
                self.open(phase, &Opening::of_open(open), out)
            }
            (state @ (State::StartTls | State::Auth | State::Response(_)), Input::Element(element))
                if bind::asks_for_stream_management(element) =>
            {
                self.too_early(state, out)
            }
            (State::StartTls, Input::Element(element)) => self.before_tls(element, out),
            (State::Auth, Input::Element(element)) => self.before_auth(element, out),
            (State::Response(waiting), Input::Element(element)) => self.during_auth(waiting, element, out),
            (State::Session, Input::Element(element)) => self.before_session(element, out),
            // A header amid a stream, or an element before one.
            (state, _) if !state.awaits_edge() => self.fail(StreamCondition::BadFormat, None, out),
            // The edge did not wait for itself.
            _ => self.fail(StreamCondition::InternalServerError, None, out),
        }
    }

    /// Ends the stream with an error. If our header is not out yet, it goes before (RFC 6120 §4.9.1.2).
    pub fn fail(&mut self, condition: StreamCondition, text: Option<&str>, out: &mut dyn Outlet) -> Action {
        if !self.header_sent {
            self.put_header(None, out);
        }
        self.state = State::Over;
        framing::end(self.framing, Some((condition, text)), out);
        Action::Close
    }

    /// The answer to [`Action::StartTls`].
    pub fn tls_established(&mut self, bindings: ChannelBindings) {
        if matches!(self.state, State::Handshake) {
            self.bind_to(bindings);
            self.begin(Phase::Secured);
        }
    }

    /// The answer to [`Action::LookupCredentials`]. For an account that does not exist, [`ScramSecret::decoy`].
    pub fn credentials(&mut self, secret: Result<ScramSecret, Failure>, out: &mut dyn Outlet) -> Action {
        match self.take_state() {
            State::Secret(need) => {
                let step = secret.map_or_else(Step::Failure, |secret| need.provide(secret));
                self.take_step(step, out)
            }
            state => self.unasked(state, out),
        }
    }

    /// The secret, if [`Self::credentials`] was given a decoy only to have the client challenged: to be told before the client's
    /// proof is received. False: it is not the one that the client was challenged with.
    pub fn learn_secret(&mut self, secret: ScramSecret) -> bool {
        match &mut self.state {
            State::Response(waiting) => waiting.learn(secret),
            _ => false,
        }
    }

    /// The answer to [`Action::VerifyPlain`]; a wrong password or unknown user is [`Failure::NotAuthorized`].
    pub fn plain_verified(&mut self, result: Result<(), Failure>, out: &mut dyn Outlet) -> Action {
        match self.take_state() {
            State::Password(verify) => {
                let step = result.map_or_else(Step::Failure, |()| verify.verified(true));
                self.take_step(step, out)
            }
            state => self.unasked(state, out),
        }
    }

    /// The answer to [`Action::ProveToken`]: what proves us in turn ([`crate::sasl::token::responder`]). Whatever is wrong with a
    /// token or an account is [`Failure::NotAuthorized`].
    pub fn token_proved(
        &mut self,
        result: Result<[u8; PROOF_BYTES], Failure>,
        out: &mut dyn Outlet,
    ) -> Action {
        match self.take_state() {
            State::Token { username } => {
                let success = |proof: [u8; PROOF_BYTES]| Step::Success {
                    username: username.into(),
                    data: proof.to_vec(),
                };
                self.take_step(result.map_or_else(Step::Failure, success), out)
            }
            state => self.unasked(state, out),
        }
    }

    /// The answer to [`Action::Admit`].
    pub fn admitted(&mut self, result: Result<&Admission, Refused>, out: &mut dyn Outlet) -> Action {
        match self.take_state() {
            State::Admitting { data } => self.answer_admission(&data, result, out),
            state => self.unasked(state, out),
        }
    }

    /// The answer to [`Action::Bind`]: the session's full JID.
    pub fn bound(&mut self, result: Result<&str, BindRefusal>, out: &mut dyn Outlet) -> Action {
        match self.take_state() {
            State::Binding { id } => self.answer_bind(id.as_deref(), result, out),
            state => self.unasked(state, out),
        }
    }

    /// The answer to [`Action::Resume`]: our count of handled stanzas; if the session is gone, the last that is known
    /// of it, and the client may bind instead.
    pub fn resumed(&mut self, result: Result<u32, Option<u32>>, out: &mut dyn Outlet) -> Action {
        match self.take_state() {
            State::Resuming { previd } => self.answer_resume(&previd, result, out),
            state => self.unasked(state, out),
        }
    }

    /// The same if the session is there and the client says that it got more than was sent: the stream ends, the session stays
    /// as it is.
    pub fn too_high(&mut self, error: TooHigh, out: &mut dyn Outlet) -> Action {
        match self.take_state() {
            State::Resuming { .. } => {
                framing::end_too_high(self.framing, error, out);
                Action::Close
            }
            state => self.unasked(state, out),
        }
    }

    fn open(&mut self, phase: Phase, opening: &Opening<'_>, out: &mut dyn Outlet) -> Action {
        self.lang = opening.lang().map(Into::into);
        self.from = opening.answer_to().map(Into::into);
        self.put_header(self.from.clone().as_deref(), out);
        if let Err(condition) = opening.check(&self.settings) {
            return self.fail(condition, None, out);
        }
        self.framing.write_features(&features::of(phase, &self.settings, &self.bindings), out);
        self.state = match phase {
            Phase::Open => State::StartTls,
            Phase::Secured => State::Auth,
            Phase::Authenticated | Phase::Bound => State::Session,
        };
        Action::Read
    }

    fn put_header(&mut self, to: Option<&str>, out: &mut dyn Outlet) {
        let id: String = self.draw(b"stream")[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let attributes =
            Attributes { from: Some(&self.settings.domain), to, id: Some(&id), lang: Some(OUR_LANG) };
        self.framing.write_header(&attributes, out);
        self.header_sent = true;
    }

    /// A new stream begins: what was sent on the last one does not count.
    fn begin(&mut self, phase: Phase) {
        self.header_sent = false;
        self.state = State::Header(phase);
    }

    /// Bindings that no mechanism uses are as good as none: then a client's `y` is the truth (RFC 5802 §6).
    fn bind_to(&mut self, bindings: ChannelBindings) {
        if self.settings.mechanisms.iter().any(|mechanism| mechanism.is_plus()) {
            self.bindings = bindings;
        }
    }

    /// The peer has ended the stream.
    fn close(&mut self, out: &mut dyn Outlet) -> Action {
        if self.header_sent {
            framing::end(self.framing, None, out);
        }
        Action::Close
    }

    /// An answer to a question that was not asked. After the end that is a late one, else the edge's error.
    fn unasked(&mut self, state: State, out: &mut dyn Outlet) -> Action {
        match state {
            State::Over => Action::Close,
            _ => self.fail(StreamCondition::InternalServerError, None, out),
        }
    }

    /// The state is taken out to be replaced; whoever forgets that has ended the stream.
    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Over)
    }

    /// 32 fresh secret bytes for a purpose.
    fn draw(&mut self, purpose: &[u8]) -> Vec<u8> {
        self.drawn = self.drawn.wrapping_add(1);
        Hash::Sha256.hmac(&self.seed, &[&self.drawn.to_be_bytes(), purpose].concat())
    }
}

/// Shows no secrets.
impl std::fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Negotiation")
            .field("framing", &self.framing)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
