//! The listener over real loopback sockets.

mod http2;

use super::*;
use crate::UpgradedWebSocket;
use crate::certificate;
use crate::config::Config;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{Read, Write};
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Server {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    adopted: Arc<Mutex<Vec<UpgradedWebSocket>>>,
    dir: tempfile::TempDir,
    metrics: Arc<HttpMetrics>,
}

async fn start(protect: impl FnOnce(Arc<TlsSwitch>) -> Protection, connections: usize) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data: dir.path().into(), ..Config::default() };
    let certificate = certificate::load(&config, unix_seconds(), None).unwrap();
    let protection = protect(TlsSwitch::new(&certificate.identity).unwrap());
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let metrics = Arc::new(HttpMetrics::default());
    let adopted = Arc::new(Mutex::new(Vec::new()));
    let sink = adopted.clone();
    let adopt: websocket::Adopt = Arc::new(move |socket| {
        sink.lock().unwrap().push(socket);
        Ok(())
    });
    let hostmeta = hostmeta::HostMeta::new("localhost", "", &protection);
    let api = Router::new().route("/v1/echo", axum::routing::post(async |body: String| body)).route(
        "/v1/peer",
        axum::routing::get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()),
    );
    let about = front_page::About {
        domain: "localhost".into(),
        public_url: String::new(),
        ca: std::fs::read(dir.path().join("tls/ca.pem")).ok(),
        registration: true,
    };
    let page = front_page::FrontPage::new(about, &protection);
    let websocket = websocket::WebSocket { adopt, metrics: metrics.clone() };
    let router = public_router((api, files()), hostmeta, websocket, page);
    let (stop, stopping) = watch::channel(false);
    let listener =
        Listener { socket, protection, connections, unhurried: Some("/media"), metrics: metrics.clone() };
    tokio::spawn(listener.serve(router, stopping));
    Server { addr, stop, adopted, dir, metrics }
}

#[expect(clippy::disallowed_methods, reason = "certificates are checked against the real clock")]
fn unix_seconds() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

impl Server {
    /// One request on one plain connection; all that comes back.
    async fn plain(&self, request: &str) -> String {
        let mut tcp = TcpStream::connect(self.addr).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn tls(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        self.tls_for(&[]).await
    }

    /// By a client that speaks these.
    async fn tls_for(&self, protocols: &[&[u8]]) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.dir.path().join("tls/ca.pem")).unwrap()).unwrap();
        let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tcp = TcpStream::connect(self.addr).await.unwrap();
        connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap()
    }
}

const CLOSE: &str = "Host: localhost\r\nConnection: close\r\n\r\n";

/// Stands for what serves files.
fn files() -> Router {
    let echo = async |request: Request| Response::new(request.into_body());
    Router::new().route("/media/echo", axum::routing::put(echo))
}

#[tokio::test]
async fn one_port_speaks_http_and_https() {
    let server = start(Protection::Either, 16).await;
    let answer = server.plain(&format!("GET / HTTP/1.1\r\n{CLOSE}")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("phone number"), "{answer}");

    let mut tls = server.tls().await;
    tls.write_all(format!("GET /.well-known/host-meta.json HTTP/1.1\r\n{CLOSE}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = tls.read_to_string(&mut answer).await;
    assert!(
        answer.contains("\"wss://localhost/ws\"") && answer.contains("access-control-allow-origin: *"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_plain_request_on_a_tls_port_is_told_so() {
    let server = start(Protection::Tls, 16).await;
    let answer = server.plain(&format!("GET / HTTP/1.1\r\n{CLOSE}")).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("speaks HTTPS only.\r\n"), "{answer}");
}

#[tokio::test]
async fn bodies_and_headers_are_bounded() {
    let server = start(Protection::Either, 16).await;
    let body = "x".repeat(BODY_BYTES + 1);
    let request = format!("POST /v1/echo HTTP/1.1\r\nContent-Length: {}\r\n{CLOSE}{body}", body.len());
    assert!(server.plain(&request).await.starts_with("HTTP/1.1 413"));
    let request = format!("GET / HTTP/1.1\r\nX: {}\r\n{CLOSE}", "x".repeat(HEADER_BYTES));
    assert!(server.plain(&request).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn browsers_may_ask_first() {
    let server = start(Protection::Either, 16).await;
    let request = format!(
        "OPTIONS /v1/echo HTTP/1.1\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n{CLOSE}"
    );
    let answer = server.plain(&request).await;
    assert!(
        answer.starts_with("HTTP/1.1 204") && answer.contains("access-control-allow-methods:"),
        "{answer}"
    );
}

#[tokio::test]
async fn only_a_terminator_may_say_where_a_client_is() {
    let request = format!("GET /v1/peer HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n{CLOSE}");
    let server = start(|_| Protection::Terminated, 16).await;
    assert!(server.plain(&request).await.ends_with("192.0.2.7"));
    let server = start(Protection::Either, 16).await;
    assert!(server.plain(&request).await.ends_with("127.0.0.1"));
}

#[tokio::test]
async fn too_many_connections_in_the_middle_of_a_request_turn_others_away() {
    let server = start(Protection::Either, 1).await;
    let mut held = TcpStream::connect(server.addr).await.unwrap();
    held.write_all(b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    while server.metrics.requests_total.get() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.plain(&format!("GET / HTTP/1.1\r\n{CLOSE}")).await, "");
    assert_eq!(server.metrics.connections_refused_total.get(), 1);
}

/// Else as many connections as a listener allows, which say nothing, would keep everybody out.
#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let server = start(Protection::Either, 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(server.addr).await.unwrap());
    }
    held[0].write_all(b"GET / HT").await.unwrap();
    while server.metrics.connections.get() < 3 {
        tokio::task::yield_now().await;
    }
    let answer = server.plain(&format!("POST /v1/echo HTTP/1.1\r\nContent-Length: 4\r\n{CLOSE}wish")).await;
    assert!(answer.ends_with("wish"), "{answer}");
    assert_eq!(server.metrics.connections_ousted_total.get(), 1);
    let mut rest = Vec::new();
    let _ = held[0].read_to_end(&mut rest).await;
    assert_eq!(rest, b"", "the one that began a request first and never ended it is gone");
}

#[tokio::test]
async fn stopping_closes_idle_connections() {
    let server = start(Protection::Either, 16).await;
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0u8; 12];
    idle.read_exact(&mut first).await.unwrap();
    server.stop.send(true).unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}

fn websocket_request(extra: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}

#[tokio::test]
async fn a_websocket_needs_the_xmpp_protocol_and_a_key() {
    let server = start(Protection::Either, 16).await;
    let no_upgrade = server.plain(&format!("GET /ws HTTP/1.1\r\n{CLOSE}")).await;
    assert!(no_upgrade.starts_with("HTTP/1.1 426"), "{no_upgrade}");
    for extra in [
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 0\r\nConnection: close\r\n",
        "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: close\r\n",
        "Sec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Key: short\r\nConnection: close\r\n",
    ] {
        let answer = server.plain(&websocket_request(extra)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[tokio::test]
async fn an_upgraded_websocket_goes_to_the_shards_with_what_was_read() {
    let server = start(Protection::Either, 16).await;
    let request = websocket_request(
        "Sec-WebSocket-Protocol: chat, xmpp\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    );
    let mut tls = server.tls().await;
    // The first frame comes with the request, as an eager client sends it.
    tls.write_all(format!("{request}FRAME").as_bytes()).await.unwrap();
    let mut answer = vec![0u8; 4096];
    let n = tls.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]).to_lowercase();
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    assert!(answer.contains("sec-websocket-protocol: xmpp"), "{answer}");
    let mut socket = loop {
        if let Some(socket) = server.adopted.lock().unwrap().pop() {
            break socket;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(socket.leftover, b"FRAME");
    assert!(socket.protected);
    let state = socket.tls.as_mut().expect("came over TLS");
    state.writer().write_all(b"hello").unwrap();
    socket.stream.set_nonblocking(false).unwrap();
    state.write_tls(&mut socket.stream).unwrap();
    let mut hello = [0u8; 5];
    tls.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    let mut nothing = [0u8; 1];
    assert_eq!(state.reader().read(&mut nothing).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// The clock stands still and jumps to the next timer when nothing else happens, so that ten seconds take none.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_half_is_cut() {
    let server = start(Protection::Either, 16).await;
    for half in ["", "GET / HTTP/1.1\r\nHost: loc", "\u{16}\u{3}\u{1}"] {
        let answer = server.plain(half).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{half:?}: {answer}");
    }
    let slow_body = format!("POST /v1/echo HTTP/1.1\r\nContent-Length: 10\r\n{CLOSE}abc");
    assert!(server.plain(&slow_body).await.starts_with("HTTP/1.1 408"));
    assert_eq!(server.metrics.requests_timed_out_total.get(), 1);
}
