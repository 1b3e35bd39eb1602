//! WebSocket sessions as HTTP hands them over (RFC 7395).

use crate::over_bounds::answered;
use crate::rig::{KEY, Server, auth_plain};
use chaski_server::UpgradedWebSocket;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

pub(crate) struct WebSocketClient {
    socket: TcpStream,
}

const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ ..126 => frame.push(0x80 | short as u8),
        long @ ..0x10000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(long as u16).to_be_bytes());
        }
        huge => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(huge as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

impl WebSocketClient {
    /// Connects through a listener that stands for HTTP; `first` was read together with the request.
    fn connect(server: &Server, first: &[u8], protected: bool) -> Self {
        Self::connect_with(server, first, protected, None)
    }

    /// As a client of this address.
    pub(crate) fn connect_from(server: &Server, address: &str) -> Self {
        Self::connect_with(server, b"", true, Some(address.parse().unwrap()))
    }

    fn connect_with(server: &Server, first: &[u8], protected: bool, peer: Option<IpAddr>) -> Self {
        let http = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(http.local_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let (stream, _) = http.accept().unwrap();
        let upgraded = UpgradedWebSocket { stream, tls: None, leftover: first.to_vec(), protected, peer };
        server.edge.adopt_websocket(upgraded).unwrap();
        Self { socket }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.socket.write_all(&frame(1, text.as_bytes())).unwrap();
    }

    /// The next frame: opcode and payload. Every one is final and unmasked.
    fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.socket.read_exact(&mut head).unwrap();
        assert_eq!(head[0] & 0xf0, 0x80);
        let length = match head[1] {
            126 => {
                let mut long = [0; 2];
                self.socket.read_exact(&mut long).unwrap();
                usize::from(u16::from_be_bytes(long))
            }
            short @ ..126 => usize::from(short),
            _ => panic!("masked or huge"),
        };
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).unwrap();
        (head[0] & 0x0f, payload)
    }

    pub(crate) fn text(&mut self) -> String {
        let (opcode, payload) = self.next();
        assert_eq!(opcode, 1, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// The next text that does not ask for an acknowledgement.
    fn text_but_requests(&mut self) -> String {
        loop {
            let text = self.text();
            if text != "<r xmlns='urn:xmpp:sm:3'/>" {
                return text;
            }
        }
    }

    fn login(&mut self, local: &str) {
        assert!(self.text().starts_with("<open "));
        assert!(self.text().contains("<mechanism>PLAIN</mechanism>"));
        self.send(&auth_plain(local, KEY));
        assert!(self.text().starts_with("<success "));
        self.send(OPEN);
        assert!(self.text().starts_with("<open "));
        assert!(self.text().contains("xmpp-bind"));
        self.send("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
        assert!(self.text().contains("<jid>"));
    }

    fn ended(&mut self) -> bool {
        matches!(self.socket.read(&mut [0]), Ok(0))
    }
}

#[test]
fn login_ping_and_close() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = WebSocketClient::connect(&server, &frame(1, OPEN.as_bytes()), true);
        client.login(&local);
        client.send(
            "<iq xmlns='jabber:client' type='get' to='localhost' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
        );
        let pong = client.text();
        assert!(pong.starts_with("<iq xmlns='jabber:client'") && pong.contains("result"), "{pong}");
        client.socket.write_all(&frame(9, b"are you there")).unwrap();
        assert_eq!(client.next(), (10, b"are you there".to_vec()));
        client.send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
        assert!(client.text().starts_with("<close "));
        assert_eq!(client.next().0, 8);
        assert!(client.ended());
    }
}

#[test]
fn errors_are_whole_documents() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut client = WebSocketClient::connect(&server, &frame(1, OPEN.as_bytes()), true);
    client.login(&local);
    client.send("<x><body>&nbsp;</body></x>");
    let error = client.text();
    assert!(error.contains("xmlns:stream='http://etherx.jabber.org/streams'"), "{error}");
    assert!(error.contains("restricted-xml"), "{error}");
    assert!(client.text().starts_with("<close "));
    assert_eq!(client.next().0, 8);
    assert!(client.ended());
}

#[test]
fn violations_of_the_frame_protocol_close_it() {
    let server = Server::start();
    let mut client = WebSocketClient::connect(&server, b"", true);
    // Not masked.
    client.socket.write_all(&[0x81, 1, b'x']).unwrap();
    let (opcode, payload) = client.next();
    assert_eq!((opcode, payload.as_slice()), (8, 1002_u16.to_be_bytes().as_slice()));
    assert!(client.ended());
}

#[test]
fn nobody_logs_in_unprotected() {
    let server = Server::start();
    let mut client = WebSocketClient::connect(&server, &frame(1, OPEN.as_bytes()), false);
    assert!(matches!(client.socket.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn silence_is_probed_by_ping() {
    let server = Server::start_with(|config| {
        config.timing.idle_timeout_ms = 50;
        config.timing.tick_ms = 10;
    });
    let [local, _] = server.two_accounts();
    let mut client = WebSocketClient::connect(&server, &frame(1, OPEN.as_bytes()), true);
    client.login(&local);
    assert_eq!(client.next().0, 9);
}

#[test]
fn one_exchange_binds_here_too() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = WebSocketClient::connect(&server, &[], true);
        client.send(OPEN);
        assert!(client.text().starts_with("<open "));
        let features = client.text();
        assert!(features.contains("urn:xmpp:sasl:2") && !features.contains("HT-SHA-256-EXPR"), "{features}");
        let initial = chaski_xmpp::sasl::base64::encode(format!("\0{local}\0{KEY}").as_bytes());
        client.send(&format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>{initial}</initial-response>\
             <bind xmlns='urn:xmpp:bind:0'><tag>Web</tag><enable xmlns='urn:xmpp:sm:3'/></bind></authenticate>"
        ));
        client.send(
            "<iq xmlns='jabber:client' type='get' to='localhost' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
        );
        let success = client.text();
        assert!(
            success.starts_with("<success ") && success.contains(&format!("{local}@localhost/Web/")),
            "{success}"
        );
        assert!(client.text().starts_with("<stream:features "), "on the same stream");
        let pong = client.text();
        assert!(pong.contains("id='p'") && pong.contains("result"), "{pong}");
    }
}

/// One message in fragments of this size, a ping between each two.
fn fragments(payload: &[u8], size: usize) -> Vec<u8> {
    let pieces: Vec<&[u8]> = payload.chunks(size).collect();
    let mut bytes = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let mut piece = frame(if at == 0 { 1 } else { 0 }, piece);
        if at + 1 < pieces.len() {
            piece[0] &= 0x7f;
            piece.extend(frame(9, b"p"));
        }
        bytes.extend(piece);
    }
    bytes
}

#[test]
fn what_is_over_a_bound_is_counted_and_answered() {
    let server = Server::start();
    for (local, size) in server.two_accounts().iter().zip([usize::MAX, 50_000]) {
        let mut client = WebSocketClient::connect(&server, &frame(1, OPEN.as_bytes()), true);
        client.login(local);
        client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        assert!(client.text().starts_with("<enabled "));
        let cases = answered("id-of-a-message");
        // Other than in a TCP stream a text frame that is not UTF-8 is a violation (RFC 6455 §8.1).
        let cases = cases.into_iter().filter(|case| std::str::from_utf8(&case.1).is_ok());
        for (h, (name, bytes, condition)) in cases.enumerate() {
            client.socket.write_all(&fragments(&bytes, size.min(bytes.len()))).unwrap();
            client.send("<r xmlns='urn:xmpp:sm:3'/>");
            let pongs = bytes.len().div_ceil(size) - 1;
            for _ in 0..pongs {
                assert_eq!(client.next().0, 10, "{name}");
            }
            let heard = client.text_but_requests();
            assert!(heard.contains(&format!("<{condition} ")), "{name}: {heard}");
            assert!(
                heard.contains("id='id-of-a-message' type='error'><error type='modify'>"),
                "{name}: {heard}"
            );
            let accepted = client.text_but_requests();
            assert_eq!(accepted, format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", h + 1), "{name}");
        }
    }
    assert_eq!(server.metric("chaski_edge_stanzas_refused_total"), 20);
}

#[test]
fn what_cannot_be_framed_ends_the_session_for_good() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let text = |text: &str| frame(1, text.as_bytes());
    for bytes in [
        text("<message/><message/>"),
        text("<message><body>a</message></body>"),
        text(&format!("<message><body>{}</body></message>", "y".repeat(5 << 20))),
        frame(1, b"<message><body>\xff</body></message>"),
        frame(2, b"<message/>"),
        // Not masked.
        vec![0x81, 1, b'x'],
    ] {
        let mut client = WebSocketClient::connect(&server, &frame(1, OPEN.as_bytes()), true);
        client.login(&local);
        client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        let enabled = client.text();
        let previd = enabled.split("id='").nth(1).unwrap().split('\'').next().unwrap();
        // What is behind the end is not read.
        let _ = client.socket.write_all(&bytes);
        while client.next().0 != 8 {}
        let mut again = server.connect(chaski_server::ListenerTls::Terminated);
        again.plain(&local, KEY);
        again.send(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='0'/>"));
        let said = again.until(">");
        assert!(said.contains("<failed"), "{said}");
    }
}
