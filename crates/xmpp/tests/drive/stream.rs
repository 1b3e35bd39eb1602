//! Drives a negotiation with bytes as the edge would, and checks what must hold however they come. The first byte says
//! what kind of connection it is and how the edge answers.

use chaski_xmpp::framer::FrameKind;
use chaski_xmpp::sasl::token;
use chaski_xmpp::sasl::{ChannelBindings, Failure, Salting, ScramSecret};
use chaski_xmpp::stream::{
    Access, Action, Admission, BindRefusal, Framing, InlineEnabled, Input, IssuedToken, Negotiation, Refused,
    Security, Settings, Wishes, client::Features,
};
use chaski_xmpp::{Framer, Stanza, StreamHeader, websocket};
use std::sync::Arc;

/// Bits of the first byte.
const WEBSOCKET: u8 = 1;
const STARTTLS: u8 = 2;
const BINDINGS: u8 = 4;
const REFUSE: u8 = 8;

/// A connection with the edge's part played.
struct Connection {
    negotiation: Negotiation,
    how: u8,
    said: Vec<Vec<u8>>,
    authenticated: bool,
    established: bool,
    failures: usize,
}

/// Runs a whole connection. Returns whether there was a session in the end.
pub(crate) fn drive(input: &[u8]) -> bool {
    let Some((&how, bytes)) = input.split_first() else { return false };
    let framing = if how & WEBSOCKET == 0 { Framing::Tcp } else { Framing::WebSocket };
    let security = match how & STARTTLS {
        0 => Security::Secured(bindings(how)),
        _ => Security::StartTls,
    };
    let settings = Arc::new(Settings::new("localhost"));
    let negotiation = Negotiation::new(settings, framing, security, [3; 32]);
    let mut connection = Connection {
        negotiation,
        how,
        said: Vec::new(),
        authenticated: false,
        established: false,
        failures: 0,
    };
    match framing {
        Framing::Tcp => connection.tcp(bytes),
        Framing::WebSocket => connection.websocket(bytes),
    }
    connection.check_said();
    connection.established
}

fn bindings(how: u8) -> ChannelBindings {
    match how & BINDINGS {
        0 => ChannelBindings::NONE,
        _ => ChannelBindings { tls_exporter: Some([5; 32]), tls_server_end_point: Some(vec![9; 32].into()) },
    }
}

impl Connection {
    fn tcp(&mut self, mut bytes: &[u8]) {
        let mut framer = Framer::new();
        loop {
            let frame = match framer.next(bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(error) => return self.fail(error.condition()),
            };
            let (piece, rest) = bytes.split_at(frame.len);
            bytes = rest;
            let action = match frame.kind {
                FrameKind::Whitespace | FrameKind::Excess(_) => continue,
                FrameKind::StreamClose => self.negotiation.receive(Input::Close, &mut self.said),
                FrameKind::StreamOpen => match StreamHeader::parse(piece) {
                    Ok(header) => self.negotiation.receive(Input::Header(&header), &mut self.said),
                    Err(error) => return self.fail(error.condition()),
                },
                FrameKind::Element => match Stanza::parse(piece) {
                    Ok(element) => self.negotiation.receive(Input::Element(&element), &mut self.said),
                    Err(error) => return self.fail(error.condition()),
                },
            };
            match self.act(action) {
                Next::Read => {}
                Next::Restart => framer.restart(),
                Next::Stop => return,
            }
        }
    }

    /// Messages end with a line feed here.
    fn websocket(&mut self, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        for message in text.split('\n') {
            let action = match websocket::parse_message(message) {
                Ok(websocket::Message::Open(open)) => {
                    self.negotiation.receive(Input::Open(&open), &mut self.said)
                }
                Ok(websocket::Message::Close) => self.negotiation.receive(Input::Close, &mut self.said),
                Ok(websocket::Message::Element(element)) => {
                    self.negotiation.receive(Input::Element(&element), &mut self.said)
                }
                Err(error) => return self.fail(error.condition()),
            };
            if let Next::Stop = self.act(action) {
                return;
            }
        }
    }

    fn fail(&mut self, condition: chaski_xmpp::StreamCondition) {
        let action = self.negotiation.fail(condition, None, &mut self.said);
        assert_eq!(action, Action::Close);
        assert!(self.said.last().is_some_and(|footer| is_footer(footer)));
    }

    /// Plays the edge until it is the client's turn again.
    fn act(&mut self, mut action: Action) -> Next {
        let refuse = self.how & REFUSE != 0;
        loop {
            self.check_said();
            assert!(self.failures <= 3, "so many tries only");
            let (negotiation, said) = (&mut self.negotiation, &mut self.said);
            action = match action {
                Action::Read => {
                    assert!(!negotiation.owes_answer());
                    return Next::Read;
                }
                Action::StartTls => {
                    negotiation.tls_established(bindings(self.how));
                    return Next::Restart;
                }
                Action::LookupCredentials { username, hash } if refuse => negotiation
                    .credentials(Ok(ScramSecret::decoy(&Salting([1; 32]), hash, &username, 4096)), said),
                Action::LookupCredentials { hash, .. } => {
                    negotiation.credentials(Ok(ScramSecret::derive(hash, "pencil", b"salt", 1)), said)
                }
                Action::VerifyPlain { password, .. } => {
                    let right = !refuse && password.reveal() == "pencil";
                    negotiation.plain_verified(right.then_some(()).ok_or(Failure::NotAuthorized), said)
                }
                Action::Authenticated { username } => {
                    assert!(!username.is_empty() && !refuse);
                    self.authenticated = true;
                    return Next::Restart;
                }
                Action::ProveToken { proof, .. } => {
                    let expected = token::initiator("token", &proof.binding);
                    let right = !refuse && token::is_same(&proof.proof, &expected);
                    let answer = right.then(|| token::responder("token", &proof.binding));
                    negotiation.token_proved(answer.ok_or(Failure::NotAuthorized), said)
                }
                Action::Admit { username, wishes } => {
                    assert!(!username.is_empty() && !refuse);
                    let admission = admission(&wishes);
                    self.authenticated |= admission.is_ok();
                    negotiation.admitted(admission.as_ref().map_err(|refused| *refused), said)
                }
                Action::Bind { resource } => {
                    assert!(self.authenticated);
                    let jid = format!("a@localhost/{}", resource.unwrap_or_default());
                    let wanted = !jid.contains('!');
                    negotiation.bound(wanted.then_some(jid.as_str()).ok_or(BindRefusal::BadResource), said)
                }
                Action::Resume { previd, h } => {
                    assert!(self.authenticated);
                    negotiation.resumed((previd == "known").then_some(h).ok_or(Some(h)), said)
                }
                Action::Established => {
                    assert!(self.authenticated);
                    self.established = true;
                    return Next::Stop;
                }
                Action::Close => {
                    assert_eq!(negotiation.receive(Input::Close, said), Action::Close);
                    assert!(said.is_empty(), "silence after the end");
                    return Next::Stop;
                }
            };
        }
    }

    /// Everything that we say is what another parser of ours accepts.
    fn check_said(&mut self) {
        for piece in std::mem::take(&mut self.said) {
            let text = std::str::from_utf8(&piece).expect("we speak UTF-8");
            if is_footer(&piece) {
                continue;
            }
            if piece.starts_with(b"<?xml") {
                StreamHeader::parse(&piece).unwrap_or_else(|error| panic!("{error}: {text}"));
                continue;
            }
            if piece.starts_with(b"<open ") {
                assert!(matches!(websocket::parse_message(text), Ok(websocket::Message::Open(_))), "{text}");
                continue;
            }
            let element = Stanza::parse(&piece).unwrap_or_else(|error| panic!("{error}: {text}"));
            self.failures += usize::from(element.name() == "failure");
            if let Some(features) = Features::parse(&element) {
                assert!(self.authenticated || !features.bind, "{text}");
                assert!(!self.authenticated || features.sasl2.is_none() && features.mechanisms.is_empty());
                assert!(!features.starttls || features.mechanisms.is_empty(), "TLS comes first");
            }
        }
    }
}

/// What an account's owner might answer to a client's wishes.
fn admission(wishes: &Wishes) -> Result<Admission, Refused> {
    let resumed = wishes.resume.as_ref().filter(|resume| resume.previd == "known");
    let lost = wishes.resume.as_ref().filter(|resume| resume.previd != "known").map(|resume| Some(resume.h));
    let access = match (resumed, &wishes.bind) {
        (Some(resume), _) => Access::Resumed { previd: resume.previd.clone(), h: resume.h },
        (None, Some(bind)) => {
            if bind.tag.as_deref() == Some("!") {
                return Err(Refused::Unavailable);
            }
            let enabled = |enable: &chaski_xmpp::stream::InlineEnable| InlineEnabled {
                id: enable.resume.then(|| "id".to_owned()),
                max_s: enable.max_s.unwrap_or(300),
            };
            Access::Bound { enabled: bind.enable.as_ref().map(enabled), carbons: bind.carbons }
        }
        (None, None) => Access::Authenticated,
    };
    let token = wishes.token.map(|_| IssuedToken { token: "token".into(), expires_unix_ms: 1 });
    Ok(Admission { jid: "a@localhost".into(), access, lost, token })
}

fn is_footer(piece: &[u8]) -> bool {
    piece == b"</stream:stream>" || piece.starts_with(b"<close ")
}

/// What the reader does next.
enum Next {
    Read,
    Restart,
    Stop,
}
