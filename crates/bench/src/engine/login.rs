//! A client's way to a live session, as a pure state machine: an element in, bytes out (RFC 6120 §5 to §7, RFC 3921 §3 for old
//! servers, XEP-0198 §3 and §5).
//!
//! Owned by a generator's session while it logs in, then dropped. It asks for what phones ask for and in their order, and takes
//! what each server offers: STARTTLS if wanted, the strongest mechanism without channel binding (or the named one), the old
//! session request where it is not optional, stream management where it is offered. If wished, what follows the proof of the key is
//! sent with it, without waiting for the answers, which are known (XEP-0305): four times to the server and back instead of seven.
//! Or all is asked for in one exchange ([`in_one`]).

mod in_one;

use crate::load::Way;
use chaski_xmpp::sasl::client::{Credentials, Exchange, choose};
use chaski_xmpp::sasl::{ChannelBindings, Mechanism, Nonce};
use chaski_xmpp::sm::{Nonza, write_enable, write_resume};
use chaski_xmpp::stream::Framing;
use chaski_xmpp::stream::client::{Features, SaslReply, StreamError};
use chaski_xmpp::stream::client::{write_auth, write_bind, write_response, write_starttls};
use chaski_xmpp::{Stanza, ns};
use std::io::Write;

/// What every session of a run asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wishes {
    pub(crate) domain: String,
    pub(crate) starttls: bool,
    pub(crate) stream_management: bool,
    pub(crate) presence: bool,
    pub(crate) way: Way,
    pub(crate) mechanism: Option<Mechanism>,
}

/// What a session has of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a> {
    /// Which account.
    pub(crate) account: u32,
    /// From an earlier login.
    pub(crate) token: Option<&'a str>,
    pub(crate) previous: Option<Previous<'a>>,
}

/// A session that may be resumed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Previous<'a> {
    pub(crate) id: &'a str,
    /// Stanzas handled.
    pub(crate) h: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// For the features before authentication.
    Features,
    Proceed,
    Authentication,
    /// For what comes of the one exchange.
    Admission,
    /// For the features behind it.
    BindFeatures,
    Resumption,
    Bind,
    Session,
    Enable,
}

/// Waiting for the server's next word.
#[derive(Debug)]
pub(crate) struct Login {
    step: Step,
    is_secure: bool,
    has_stream_management: bool,
    needs_session: bool,
    /// Everything up to the presence has been sent.
    is_ahead: bool,
    mechanism: Option<Mechanism>,
    exchange: Option<Exchange>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More elements.
    More,
    /// A TLS handshake, then [`Login::secured`].
    StartTls,
    /// A new stream header from the server.
    NewStream,
    /// It is live.
    Live(Live),
    /// That element is no business of the login: a stanza.
    NotOurs,
}

/// How it became live.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    /// Stanzas count from here on (XEP-0198).
    pub(crate) is_managed: bool,
    /// For a later resumption.
    pub(crate) id: Option<Box<str>>,
    /// It is the old session, of which the server has handled so many stanzas.
    pub(crate) resumed: Option<u32>,
    /// Stanzas that were sent and count.
    pub(crate) stanzas_sent: u32,
    /// A new one.
    #[expect(clippy::box_collection, reason = "kept as it is, for one word in millions of sessions")]
    pub(crate) token: Option<Box<String>>,
}

/// Why it did not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("the server sends what is no XML or out of turn: {0}")]
    Protocol(&'static str),
    #[error("the server offers no {0}")]
    NotOffered(&'static str),
    #[error("the server refuses the login: {0}")]
    Refused(String),
    #[error("the server ends the stream: {0}")]
    Ended(&'static str),
    #[error(transparent)]
    Sasl(#[from] chaski_xmpp::sasl::client::ClientError),
}

/// Appends a stream header.
pub(crate) fn write_header(domain: &str, out: &mut Vec<u8>) {
    write!(
        out,
        "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xml:lang='en' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    .expect("a vector takes everything");
}

impl Login {
    /// On a connection that is there; TLS has been done if it is direct TLS.
    pub(crate) fn begin(is_secure: bool, wishes: &Wishes, own: &Own<'_>, out: &mut Vec<u8>) -> Self {
        write_header(&wishes.domain, out);
        let mut login = Self {
            step: Step::Features,
            is_secure,
            has_stream_management: false,
            needs_session: false,
            is_ahead: false,
            mechanism: None,
            exchange: None,
        };
        if is_secure || !wishes.starttls {
            login.come_by_token(wishes, own, out);
        }
        login
    }

    /// The handshake after [`Next::StartTls`] is done.
    pub(crate) fn secured(&mut self, wishes: &Wishes, own: &Own<'_>, out: &mut Vec<u8>) {
        self.is_secure = true;
        self.step = Step::Features;
        write_header(&wishes.domain, out);
        self.come_by_token(wishes, own, out);
    }

    /// The mechanism that was used.
    pub(crate) fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    /// Takes an element. `credentials` is asked once.
    pub(crate) fn element(
        &mut self,
        frame: &[u8],
        wishes: &Wishes,
        own: &Own<'_>,
        credentials: impl FnOnce() -> Credentials,
        out: &mut Vec<u8>,
    ) -> Result<Next, LoginError> {
        let previous = own.previous;
        let element = Stanza::parse(frame).map_err(|_| LoginError::Protocol("a malformed element"))?;
        if let Some(error) = StreamError::parse(&element) {
            return Err(LoginError::Ended(error.condition.name()));
        }
        match self.step {
            Step::Features => self.features(&element, wishes, own, credentials, out),
            Step::Proceed if element.is("proceed", ns::TLS) => Ok(Next::StartTls),
            Step::Proceed => Err(LoginError::NotOffered("TLS")),
            Step::Authentication => self.authentication(&element, wishes, previous, out),
            Step::Admission => self.admission(&element, wishes, own, out),
            Step::BindFeatures => self.bind_features(frame, &element, wishes, previous, out),
            Step::Resumption => Ok(self.resumption(&element, previous, out)),
            Step::Bind | Step::Session => self.bound(&element, wishes, out),
            Step::Enable => Ok(enabled(&element, wishes)),
        }
    }

    fn features(
        &mut self,
        element: &Stanza<'_>,
        wishes: &Wishes,
        own: &Own<'_>,
        credentials: impl FnOnce() -> Credentials,
        out: &mut Vec<u8>,
    ) -> Result<Next, LoginError> {
        let features = Features::parse(element).ok_or(LoginError::Protocol("no stream features"))?;
        if self.is_ahead {
            // They were known.
            self.step = Step::Admission;
            return Ok(Next::More);
        }
        if wishes.starttls && !self.is_secure {
            if !features.starttls {
                return Err(LoginError::NotOffered("STARTTLS"));
            }
            write_starttls(out);
            self.step = Step::Proceed;
            return Ok(Next::More);
        }
        let in_one = matches!(wishes.way, Way::Sasl2 | Way::Fast);
        let mut mechanisms = match features.sasl2 {
            Some(offer) if in_one => offer.mechanisms,
            None if in_one => return Err(LoginError::NotOffered("SASL2")),
            _ => features.mechanisms,
        };
        mechanisms.retain(|&mechanism| wishes.mechanism.is_none_or(|wanted| wanted == mechanism));
        // On loopback PLAIN without TLS harms nobody: the accounts are made for the run.
        let (mechanism, binding) = choose(&mechanisms, None, &ChannelBindings::NONE, true)
            .ok_or(LoginError::NotOffered("login mechanism that is wanted"))?;
        let nonce = Nonce::from_entropy(rand::random());
        let (exchange, initial) = Exchange::start(mechanism, &credentials(), binding, nonce)?;
        if in_one {
            in_one::write(mechanism.name(), &initial, wishes, own, out);
        } else {
            write_auth(mechanism, &initial, out);
        }
        if mechanism == Mechanism::Plain {
            self.go_ahead(wishes, own.previous, out);
        }
        self.mechanism = Some(mechanism);
        self.exchange = Some(exchange);
        self.step = if in_one { Step::Admission } else { Step::Authentication };
        Ok(Next::More)
    }

    fn authentication(
        &mut self,
        element: &Stanza<'_>,
        wishes: &Wishes,
        previous: Option<Previous<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<Next, LoginError> {
        let reply = SaslReply::parse(element).ok_or(LoginError::Protocol("no SASL"))?;
        match reply {
            SaslReply::Challenge(data) => {
                let exchange = self.exchange.as_mut().ok_or(LoginError::Protocol("SASL out of turn"))?;
                write_response(&exchange.challenge(&data)?, out);
                self.go_ahead(wishes, previous, out);
                Ok(Next::More)
            }
            SaslReply::Success(data) => {
                let exchange = self.exchange.take().ok_or(LoginError::Protocol("SASL out of turn"))?;
                exchange.success(&data)?;
                self.step = Step::BindFeatures;
                if !self.is_ahead {
                    write_header(&wishes.domain, out);
                }
                Ok(Next::NewStream)
            }
            SaslReply::Failure(condition, text) => Err(LoginError::Refused(
                text.map_or(condition.clone(), |text| format!("{condition}: {text}")),
            )),
        }
    }

    /// The server has all it needs to know: what it will ask for is sent now, if that is wished.
    fn go_ahead(&mut self, wishes: &Wishes, previous: Option<Previous<'_>>, out: &mut Vec<u8>) {
        if wishes.way != Way::Pipelined || self.is_ahead {
            return;
        }
        self.is_ahead = true;
        write_header(&wishes.domain, out);
        if let Some(Previous { id, h }) = previous.filter(|_| wishes.stream_management) {
            return write_resume(out, id, h);
        }
        self.bind(out);
        self.step = Step::Authentication;
        if wishes.stream_management {
            write_enable(out, true);
        }
        if wishes.presence {
            out.extend_from_slice(b"<presence/>");
        }
    }

    fn bind_features(
        &mut self,
        frame: &[u8],
        element: &Stanza<'_>,
        wishes: &Wishes,
        previous: Option<Previous<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<Next, LoginError> {
        let features = Features::parse(element).ok_or(LoginError::Protocol("no stream features"))?;
        self.has_stream_management = features.stream_management && wishes.stream_management;
        if self.is_ahead {
            let resumes = previous.is_some() && wishes.stream_management;
            self.step = if resumes { Step::Resumption } else { Step::Bind };
            return Ok(Next::More);
        }
        self.needs_session = needs_session(frame);
        match previous.filter(|_| self.has_stream_management) {
            Some(Previous { id, h }) => {
                write_resume(out, id, h);
                self.step = Step::Resumption;
            }
            None => self.bind(out),
        }
        Ok(Next::More)
    }

    fn bind(&mut self, out: &mut Vec<u8>) {
        write_bind(Framing::Tcp, "bind", Some("load"), out);
        self.step = Step::Bind;
    }

    fn resumption(
        &mut self,
        element: &Stanza<'_>,
        previous: Option<Previous<'_>>,
        out: &mut Vec<u8>,
    ) -> Next {
        match Nonza::parse(&element.root()) {
            Some(Ok(Nonza::Resumed { h, .. })) => {
                let id = previous.map(|previous| previous.id.into());
                Next::Live(Live { is_managed: true, id, resumed: Some(h), ..Live::default() })
            }
            Some(Ok(Nonza::Failed { .. })) => {
                self.is_ahead = false;
                self.bind(out);
                Next::More
            }
            _ => Next::NotOurs,
        }
    }

    fn bound(
        &mut self,
        element: &Stanza<'_>,
        wishes: &Wishes,
        out: &mut Vec<u8>,
    ) -> Result<Next, LoginError> {
        if element.name() != "iq" || !matches!(element.id().as_deref(), Some("bind" | "session")) {
            return Ok(Next::NotOurs);
        }
        if element.type_attr().as_deref() != Some("result") {
            return Err(LoginError::Refused("no resource is bound".into()));
        }
        if std::mem::take(&mut self.needs_session) {
            write!(out, "<iq type='set' id='session'><session xmlns='{}'/></iq>", ns::SESSION)
                .expect("a vector takes everything");
            self.step = Step::Session;
            return Ok(Next::More);
        }
        if self.has_stream_management {
            self.step = Step::Enable;
        }
        if self.has_stream_management && !self.is_ahead {
            write_enable(out, true);
        }
        if wishes.presence && !self.is_ahead {
            out.extend_from_slice(b"<presence/>");
        }
        let stanzas_sent = u32::from(wishes.presence);
        let live = Live { stanzas_sent, ..Live::default() };
        Ok(if self.has_stream_management { Next::More } else { Next::Live(live) })
    }
}

fn enabled(element: &Stanza<'_>, wishes: &Wishes) -> Next {
    match Nonza::parse(&element.root()) {
        Some(Ok(Nonza::Enabled { id, resume, .. })) => {
            let id = id.filter(|_| resume).map(|id| id.as_ref().into());
            let stanzas_sent = u32::from(wishes.presence);
            Next::Live(Live { is_managed: true, id, stanzas_sent, ..Live::default() })
        }
        Some(Ok(Nonza::Failed { .. })) => Next::Live(Live::default()),
        _ => Next::NotOurs,
    }
}

/// Whether the features demand RFC 3921's session request: they name it and do not say `<optional/>`.
fn needs_session(features: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(features, ns::SESSION.as_bytes()) else { return false };
    let rest = &features[at + ns::SESSION.len() + 1..];
    !rest.starts_with(b"><optional")
}

#[cfg(test)]
mod tests;
