//! How often a client waits for the server until it has its session: counted in flights, which don't depend on the clock,
//! and printed as the log that docs/one-round-trip.md shows:
//! `cargo test -p chaski-server --test edge round_trips -- --nocapture --test-threads 1`.
//!
//! A flight is what one side sends before it hears from the other; a round trip is a flight of the client and the
//! server's answer.

use crate::rig::{HEADER, KEY, Server, bind, content};
use chaski_server::ListenerTls::Direct;
use chaski_xmpp::framer::FrameKind;
use chaski_xmpp::sasl::client::{Binding, Credentials, Exchange};
use chaski_xmpp::sasl::token::{self, Claim, TokenMechanism};
use chaski_xmpp::sasl::{Mechanism, Nonce, base64};
use chaski_xmpp::stream::client::{Authenticate, Sasl2Reply, write_authenticate};
use chaski_xmpp::stream::{
    Access, Admission, ClientId, InlineBind, InlineEnable, InlineResume, TokenUse, Wishes,
};
use chaski_xmpp::{Framer, Stanza, sm};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Longer elements are broken before their children.
const LINE_CHARS: usize = 100;
/// Words that long are none.
const NOISE_CHARS: usize = 21;

const EXPORTER: TokenMechanism = TokenMechanism::Exporter;

#[derive(PartialEq, Eq, Clone, Copy)]
enum Side {
    Client,
    Server,
}

struct Flight {
    from: Side,
    /// On the wire, TLS included.
    bytes: usize,
    /// Decrypted.
    says: String,
}

/// A client that writes down what goes over its wire.
struct Watched {
    tls: ClientConnection,
    socket: TcpStream,
    flights: Vec<Flight>,
    heard: String,
    /// What the server's last flight was, encrypted.
    wire: Vec<u8>,
}

impl Watched {
    fn connect(server: &Server) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::clone(&server.leaf)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(server.addr(Direct)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut watched = Self { tls, socket, flights: Vec::new(), heard: String::new(), wire: Vec::new() };
        while watched.tls.is_handshaking() {
            // The end of our handshake waits for what we say first.
            if watched.tls.wants_write() { watched.write_out("") } else { watched.read_in() }
        }
        watched
    }

    fn flight(&mut self, from: Side, bytes: usize, says: &str) {
        if self.flights.last().is_none_or(|last| last.from != from) {
            self.flights.push(Flight { from, bytes: 0, says: String::new() });
        }
        let last = self.flights.last_mut().unwrap();
        last.bytes += bytes;
        last.says.push_str(says);
    }

    fn write_out(&mut self, says: &str) {
        let mut wire = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire).unwrap();
        }
        self.socket.write_all(&wire).unwrap();
        self.wire.clear();
        self.flight(Side::Client, wire.len(), says);
    }

    fn send(&mut self, text: &str) {
        self.tls.writer().write_all(text.as_bytes()).unwrap();
        self.write_out(text);
    }

    fn read_in(&mut self) {
        let mut wire = [0; 1 << 14];
        let bytes = self.socket.read(&mut wire).unwrap();
        assert!(bytes > 0, "closed; heard: {}", self.heard);
        self.wire.extend_from_slice(&wire[..bytes]);
        let mut wire = &wire[..bytes];
        while !wire.is_empty() {
            self.tls.read_tls(&mut wire).unwrap();
            self.tls.process_new_packets().unwrap();
        }
        let mut plain = Vec::new();
        // Nothing more for now is an error here.
        let _ = self.tls.reader().read_to_end(&mut plain);
        let says = String::from_utf8(plain).unwrap();
        self.flight(Side::Server, bytes, &says);
        self.heard.push_str(&says);
    }

    fn until(&mut self, needle: &str) -> String {
        loop {
            if let Some(at) = self.heard.find(needle) {
                let rest = self.heard.split_off(at + needle.len());
                return std::mem::replace(&mut self.heard, rest);
            }
            self.read_in();
        }
    }

    fn binding(&self) -> Vec<u8> {
        self.tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap().to_vec()
    }

    /// How many records (RFC 8446 §5.1) the server's last flight was.
    fn records(&self) -> usize {
        let (mut rest, mut records) = (&self.wire[..], 0);
        while let [_, _, _, high, low, behind @ ..] = rest {
            rest = &behind[usize::from(u16::from_be_bytes([*high, *low]))..];
            records += 1;
        }
        records
    }

    fn round_trips(&self) -> usize {
        self.flights.iter().filter(|flight| flight.from == Side::Server).count()
    }

    #[expect(clippy::print_stdout, reason = "the log is for people")]
    fn print(&self, title: &str) {
        let mut log = format!("\n{title}: {} round trips\n\n", self.round_trips());
        for (index, flight) in self.flights.iter().enumerate() {
            let side = if flight.from == Side::Client { "C -> S" } else { "S -> C" };
            log.push_str(&format!("{:>2}  {side}  {:>5} bytes  ", index / 2 + 1, flight.bytes));
            let mut lines = elements(&flight.says).into_iter();
            log.push_str(&lines.next().unwrap_or_else(|| "(TLS handshake)".to_owned()));
            log.push('\n');
            lines.for_each(|line| log.push_str(&format!("{:25}{line}\n", "")));
        }
        print!("{log}");
    }
}

/// What was said, an element a line (children of long ones too), without what only machines read.
fn elements(says: &str) -> Vec<String> {
    let is_opened = says.starts_with("<?xml");
    let text = if is_opened { says.to_owned() } else { [HEADER, says].concat() };
    let (mut framer, mut rest, mut lines) = (Framer::new(), text.as_bytes(), Vec::new());
    while let Some(frame) = framer.next(rest).unwrap() {
        let (bytes, behind) = rest.split_at(frame.len);
        rest = behind;
        match frame.kind {
            FrameKind::StreamOpen => lines.push("<stream:stream ...>".to_owned()),
            FrameKind::Element => lines.extend(element(std::str::from_utf8(bytes).unwrap())),
            _ => {}
        }
    }
    lines.drain(..usize::from(!is_opened));
    lines
}

fn element(text: &str) -> Vec<String> {
    let stanza = Stanza::parse(text.as_bytes()).unwrap();
    if stanza.name() == "features" {
        let names: Vec<_> = stanza.children().map(|child| child.name().to_owned()).collect();
        return vec![format!("<stream:features> with {}", names.join(", "))];
    }
    let shown = without_noise(text);
    if shown.len() < LINE_CHARS {
        vec![shown]
    } else {
        shown.replace("><", ">\n  <").lines().map(str::to_owned).collect()
    }
}

/// Base64 and the like become three dots.
fn without_noise(text: &str) -> String {
    let is_noise = |word: &str| {
        let is_coded = word.contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase());
        word.len() >= NOISE_CHARS && is_coded && !word.contains(['@', ':', ' '])
    };
    let mut shown = String::new();
    for piece in text.split_inclusive(['<', '>', '\'']) {
        let (word, end) = piece.split_at(piece.len() - usize::from(piece.ends_with(['<', '>', '\''])));
        shown.push_str(if is_noise(word) { "..." } else { word });
        shown.push_str(end);
    }
    shown
}

fn scram(client: &mut Watched, local: &str) {
    client.send(HEADER);
    client.until("</stream:features>");
    let binding = Binding::Bound { name: "tls-exporter", data: client.binding() };
    let user = Credentials { username: local.into(), password: KEY.into(), authzid: None };
    let mechanism = Mechanism::ScramSha256Plus;
    let (mut exchange, initial) =
        Exchange::start(mechanism, &user, binding, Nonce::from_entropy([1; 18])).unwrap();
    client.send(&crate::rig::auth(mechanism.name(), &initial));
    let last = exchange.challenge(&content(&client.until("</challenge>"))).unwrap();
    let response = base64::encode(&last);
    client.send(&format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{response}</response>"));
    exchange.success(&content(&client.until("</success>"))).unwrap();
    client.send(HEADER);
    client.until("</stream:features>");
}

/// Everything that a phone wants, by its key or by a token.
fn wishes() -> Wishes {
    let enable = Some(InlineEnable { resume: true, max_s: None });
    let bind = InlineBind { tag: Some("Phone".into()), enable, carbons: true, inactive: false };
    Wishes { client: Some(ClientId([0xC4; 16])), bind: Some(bind), ..Wishes::default() }
}

fn by_token(client: &mut Watched, local: &str, token: &str, resume: Option<InlineResume>) -> Admission {
    let claim = Claim::write(local, token, &client.binding());
    let wishes = Wishes { resume, ..wishes() };
    let authenticate = Authenticate {
        mechanism: EXPORTER.name(),
        initial: &claim,
        software: None,
        wishes: &wishes,
        token_use: Some(TokenUse::default()),
    };
    let mut flight = HEADER.as_bytes().to_vec();
    write_authenticate(&authenticate, &mut flight);
    client.send(&String::from_utf8(flight).unwrap());
    client.until("</stream:features>");
    let success = client.until("</success>");
    let element = Stanza::parse(success.as_bytes()).unwrap();
    let Some(Sasl2Reply::Success(data, admission)) = Sasl2Reply::parse(&element) else { panic!("{success}") };
    assert!(token::is_same(&data, &token::responder(token, &client.binding())));
    *admission
}

/// A token, got by the key.
fn first_login(server: &Server, local: &str) -> (String, String) {
    let mut client = server.connect(Direct);
    client.open();
    let wishes = Wishes { token: Some(EXPORTER), ..wishes() };
    let initial = format!("\0{local}\0{KEY}");
    let initial = initial.as_bytes();
    let authenticate =
        Authenticate { mechanism: "PLAIN", initial, software: None, wishes: &wishes, token_use: None };
    let mut text = Vec::new();
    write_authenticate(&authenticate, &mut text);
    client.send_bytes(&text);
    let success = client.until("</success>");
    let element = Stanza::parse(success.as_bytes()).unwrap();
    let Some(Sasl2Reply::Success(_, admission)) = Sasl2Reply::parse(&element) else { panic!("{success}") };
    let Access::Bound { enabled: Some(enabled), .. } = admission.access else { panic!("{success}") };
    client.vanish();
    (admission.token.unwrap().token, enabled.id.unwrap())
}

#[test]
fn a_classic_login_takes_seven() {
    let server = Server::start();
    let [_, local] = server.two_accounts();
    let mut client = Watched::connect(&server);
    assert_eq!(client.round_trips(), 1, "TLS");
    scram(&mut client, &local);
    client.send(&bind("phone"));
    client.until("</iq>");
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    client.until("/>");
    assert_eq!(client.round_trips(), 7);
    client.print("Classic login (SCRAM-SHA-256-PLUS, bind, stream management)");
}

#[test]
fn a_classic_resumption_takes_six() {
    let server = Server::start();
    let [_, local] = server.two_accounts();
    let (_, previd) = first_login(&server, &local);
    server.wait_for_metric("chaski_rooms_sessions_hibernating", 1);
    let mut client = Watched::connect(&server);
    scram(&mut client, &local);
    let mut resume = Vec::new();
    sm::write_resume(&mut resume, &previd, 0);
    client.send(&String::from_utf8(resume).unwrap());
    assert!(client.until("/>").contains("<resumed "));
    assert_eq!(client.round_trips(), 6);
    client.print("Classic reconnect (SCRAM-SHA-256-PLUS, resumption)");
}

#[test]
fn coming_back_by_token_takes_one_after_tls() {
    let server = Server::start();
    let [here, there] = server.two_accounts();
    for local in [&here, &there] {
        let (token, previd) = first_login(&server, local);
        server.wait_for_metric("chaski_rooms_sessions_hibernating", 1);
        let mut client = Watched::connect(&server);
        assert_eq!(client.round_trips(), 1, "TLS");
        let admission = by_token(&mut client, local, &token, Some(InlineResume { previd, h: 0 }));
        assert!(matches!(admission.access, Access::Resumed { .. }), "{admission:?}");
        assert_eq!(client.round_trips(), 2);
        if local == &there {
            client.print("Reconnect by token (HT-SHA-256-EXPR, resumption)");
        }
    }
}

/// On whichever shard it arrives, and the account is: what the client is owed goes with what it would have been told anyway.
#[test]
fn coming_back_by_token_is_one_segment() {
    let server = Server::start();
    let (mut moved, mut visits) = (false, 0);
    let [here, there] = server.two_accounts();
    while !moved || visits < 6 {
        for local in [&here, &there] {
            let (token, _) = first_login(&server, local);
            let before = server.metric("chaski_edge_moved_total");
            let mut client = Watched::connect(&server);
            by_token(&mut client, local, &token, None);
            assert_eq!(client.records(), 2, "a ticket, and everything else");
            moved |= server.metric("chaski_edge_moved_total") > before;
            visits += 1;
        }
    }
}

#[test]
fn a_new_session_by_token_takes_one_after_tls() {
    let server = Server::start();
    let [_, local] = server.two_accounts();
    let (token, _) = first_login(&server, &local);
    let mut client = Watched::connect(&server);
    let lost = Some(InlineResume { previd: "forgotten".into(), h: 0 });
    let admission = by_token(&mut client, &local, &token, lost);
    assert!(matches!(admission.access, Access::Bound { enabled: Some(_), carbons: true }), "{admission:?}");
    assert_eq!((client.round_trips(), admission.lost), (2, Some(None)));
    client.print("Login by token (HT-SHA-256-EXPR, bind, stream management, carbons)");
}
