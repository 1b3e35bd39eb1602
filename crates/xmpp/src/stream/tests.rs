//! Plays: a client speaks, the edge answers, and what goes over the wire is read back.

use super::client::{Features, SaslReply, StreamError, bound_jid};
use super::*;
use crate::sasl::Nonce;
use crate::sasl::client::{Binding, Credentials, Exchange};
use proptest::prelude::*;

mod negotiate;
mod refuse;
mod sasl2;

pub(super) const DOMAIN: &str = "example.org";
pub(super) const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='es' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
pub(super) const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0' xml:lang='es'/>";
pub(super) const BIND: &str = "<iq type='set' id='b&lt;1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>phone</resource></bind></iq>";

/// A negotiation with a stage hand who parses what the client says.
pub(super) struct Play {
    pub(super) negotiation: Negotiation,
    framing: Framing,
    /// What the server has said since the last look, piece by piece.
    said: Vec<Vec<u8>>,
}

pub(super) fn bindings() -> ChannelBindings {
    ChannelBindings { tls_exporter: Some([5; 32]), tls_server_end_point: Some(vec![9; 32].into()) }
}

impl Play {
    pub(super) fn new(framing: Framing, security: Security) -> Self {
        Self::with(Settings::new(DOMAIN), framing, security)
    }

    pub(super) fn with(settings: Settings, framing: Framing, security: Security) -> Self {
        let negotiation = Negotiation::new(Arc::new(settings), framing, security, [3; 32]);
        Self { negotiation, framing, said: Vec::new() }
    }

    /// A TCP client that is about to authenticate inside TLS with channel bindings.
    pub(super) fn secured() -> Self {
        let mut play = Self::new(Framing::Tcp, Security::Secured(bindings()));
        assert_eq!(play.header(), Action::Read);
        play.said();
        play
    }

    /// A TCP client that has authenticated and may bind.
    pub(super) fn authenticated() -> Self {
        let mut play = Self::secured();
        let authenticated = Action::Authenticated { username: "+15551230001".into() };
        assert_eq!(play.plain("+15551230001", Ok(())), authenticated);
        assert_eq!(play.header(), Action::Read);
        play.said();
        play
    }

    pub(super) fn header(&mut self) -> Action {
        match self.framing {
            Framing::Tcp => self.stream(HEADER),
            Framing::WebSocket => self.open(OPEN),
        }
    }

    pub(super) fn stream(&mut self, text: &str) -> Action {
        let header = StreamHeader::parse(text.as_bytes()).unwrap();
        self.negotiation.receive(Input::Header(&header), &mut self.said)
    }

    pub(super) fn open(&mut self, text: &str) -> Action {
        match websocket::parse_message(text).unwrap() {
            websocket::Message::Open(open) => self.negotiation.receive(Input::Open(&open), &mut self.said),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn says(&mut self, text: &str) -> Action {
        let element = Stanza::parse(text.as_bytes()).unwrap();
        self.negotiation.receive(Input::Element(&element), &mut self.said)
    }

    pub(super) fn closes(&mut self) -> Action {
        self.negotiation.receive(Input::Close, &mut self.said)
    }

    pub(super) fn auth(&mut self, mechanism: Mechanism, initial: &[u8]) -> Action {
        let mut text = Vec::new();
        client::write_auth(mechanism, initial, &mut text);
        self.says(&String::from_utf8(text).unwrap())
    }

    pub(super) fn response(&mut self, data: &[u8]) -> Action {
        let mut text = Vec::new();
        client::write_response(data, &mut text);
        self.says(&String::from_utf8(text).unwrap())
    }

    pub(super) fn plain(&mut self, username: &str, answer: Result<(), Failure>) -> Action {
        match self.auth(Mechanism::Plain, format!("\0{username}\0key").as_bytes()) {
            Action::VerifyPlain { username: asked, password } => {
                assert_eq!((asked.as_str(), password.reveal()), (username, "key"));
                assert!(self.negotiation.owes_answer());
                self.negotiation.plain_verified(answer, &mut self.said)
            }
            action => action,
        }
    }

    pub(super) fn credentials(&mut self, secret: Result<ScramSecret, Failure>) -> Action {
        self.negotiation.credentials(secret, &mut self.said)
    }

    pub(super) fn bound(&mut self, result: Result<&str, BindRefusal>) -> Action {
        self.negotiation.bound(result, &mut self.said)
    }

    pub(super) fn resumed(&mut self, result: Result<u32, Option<u32>>) -> Action {
        self.negotiation.resumed(result, &mut self.said)
    }

    /// What the server has said since the last look.
    pub(super) fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said).into_iter().map(|piece| String::from_utf8(piece).unwrap()).collect()
    }

    /// The one element that the server has said.
    pub(super) fn one(&mut self) -> String {
        let said = self.said();
        assert_eq!(said.len(), 1, "{said:?}");
        said.into_iter().next().unwrap()
    }

    /// Reads a header and the features that follow.
    pub(super) fn features(&mut self) -> Features {
        let said = self.said();
        let [header, features] = said.as_slice() else { panic!("{said:?}") };
        self.check_header(header);
        Features::parse(&Stanza::parse(features.as_bytes()).unwrap()).unwrap()
    }

    pub(super) fn check_header(&self, text: &str) -> String {
        let (id, from) = match self.framing {
            Framing::Tcp => {
                let header = StreamHeader::parse(text.as_bytes()).unwrap();
                (header.id.unwrap().into_owned(), header.from.unwrap().into_owned())
            }
            Framing::WebSocket => match websocket::parse_message(text).unwrap() {
                websocket::Message::Open(open) => {
                    (open.id.unwrap().into_owned(), open.from.unwrap().into_owned())
                }
                other => panic!("{other:?}"),
            },
        };
        assert_eq!(from, DOMAIN);
        id
    }

    /// Expects the stream to have ended with this error, whose header was out or not.
    pub(super) fn ended_with(&mut self, condition: StreamCondition, with_header: bool) {
        let said = self.said();
        let (footer, rest) = said.split_last().unwrap();
        let end = if self.framing == Framing::Tcp { "</stream:stream>" } else { "<close " };
        assert!(footer.starts_with(end), "{said:?}");
        let (error, before) = rest.split_last().unwrap();
        let error = StreamError::parse(&Stanza::parse(error.as_bytes()).unwrap()).unwrap();
        assert_eq!(error.condition, condition);
        assert_eq!(before.iter().any(|piece| piece.contains("example.org")), with_header, "{said:?}");
    }
}

/// Plays SCRAM from the auth to the end; `secret` is the server's.
pub(super) fn scram(play: &mut Play, mechanism: Mechanism, password: &str, secret: ScramSecret) -> Action {
    let bound = || Binding::Bound { name: "tls-exporter", data: vec![5; 32] };
    let binding = if mechanism.is_plus() { bound() } else { Binding::Unsupported };
    let user = Credentials { username: "+15551230001".into(), password: password.into(), authzid: None };
    let nonce = Nonce::from_entropy([1; 18]);
    let (mut exchange, initial) = Exchange::start(mechanism, &user, binding, nonce).unwrap();
    let lookup = Action::LookupCredentials { username: "+15551230001".into(), hash: secret.hash };
    assert_eq!(play.auth(mechanism, &initial), lookup);
    assert!(play.negotiation.owes_answer());
    assert_eq!(play.credentials(Ok(secret)), Action::Read);
    let challenge = play.one();
    let reply = SaslReply::parse(&Stanza::parse(challenge.as_bytes()).unwrap()).unwrap();
    let SaslReply::Challenge(data) = reply else { panic!("{reply:?}") };
    let action = play.response(&exchange.challenge(&data).unwrap());
    if matches!(action, Action::Authenticated { .. }) {
        let success = play.one();
        let reply = SaslReply::parse(&Stanza::parse(success.as_bytes()).unwrap()).unwrap();
        let SaslReply::Success(data) = reply else { panic!("{reply:?}") };
        exchange.success(&data).unwrap();
    }
    action
}
