//! HTTP/2 on the listener: agreed on by ALPN, with its bounds announced.

use super::*;
use axum::body::{Body, HttpBody};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioExecutor;

/// More than all windows.
const LONG: usize = 5 << 20;

impl Server {
    async fn http2(&self) -> SendRequest<Body> {
        let tls = self.tls_for(&[b"h2", b"http/1.1"]).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (requests, connection) = handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        requests
    }
}

fn get(path: &str) -> Request {
    Request::get(format!("https://localhost{path}")).body(Body::empty()).unwrap()
}

async fn all(body: impl HttpBody<Data: AsRef<[u8]>, Error: std::fmt::Debug>) -> Vec<u8> {
    let (mut body, mut bytes) = (std::pin::pin!(body), Vec::new());
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame.unwrap().into_data() {
            bytes.extend_from_slice(data.as_ref());
        }
    }
    bytes
}

#[tokio::test]
async fn who_asks_for_it_has_many_requests_on_one_connection() {
    let server = start(Protection::Either, 1).await;
    let mut requests = server.http2().await;
    let hostmeta = requests.send_request(get("/.well-known/host-meta.json")).await.unwrap();
    assert_eq!((hostmeta.status(), hostmeta.version()), (StatusCode::OK, axum::http::Version::HTTP_2));
    let text = String::from_utf8(all(hostmeta.into_body()).await).unwrap();
    assert!(text.contains("\"wss://localhost/ws\""), "the name that was asked for: {text}");
    // The listener has one place, and this connection has it with all its requests.
    let mut sent = Vec::new();
    for _ in 0..100 {
        let mut requests = requests.clone();
        requests.ready().await.unwrap();
        sent.push(requests.send_request(get("/v1/peer")));
    }
    for answer in sent {
        assert_eq!(all(answer.await.unwrap().into_body()).await, b"127.0.0.1");
    }
    assert_eq!((server.metrics.http2_total.get(), server.metrics.connections_accepted_total.get()), (1, 1));
    let other = server.tls_for(&[b"http/1.1"]).await;
    assert_eq!(other.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "as browsers ask for WebSockets");
    server.stop.send(true).unwrap();
}

#[tokio::test]
async fn bodies_go_both_ways_beyond_all_windows() {
    let server = start(Protection::Either, 4).await;
    let mut requests = server.http2().await;
    let long: Vec<u8> = (0..LONG).map(|n| (n % 251) as u8).collect();
    let mut request = get("/media/echo");
    *request.method_mut() = Method::PUT;
    *request.body_mut() = Body::from(long.clone());
    let answer = requests.send_request(request).await.unwrap();
    assert!(all(answer.into_body()).await == long);
    let mut large = get("/v1/peer");
    large.headers_mut().insert("x", HeaderValue::from_str(&"x".repeat(HEADER_BYTES)).unwrap());
    let refused = requests.send_request(large).await;
    assert!(refused.is_err() || refused.unwrap().status() == 431, "headers are bounded");
}

/// What the server says first (RFC 9113 §6.5).
#[tokio::test]
async fn its_bounds_are_announced_and_extended_connect_is_not() {
    let server = start(Protection::Either, 4).await;
    let mut tls = server.tls_for(&[b"h2"]).await;
    tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    tls.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS");
    let mut settings = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    tls.read_exact(&mut settings).await.unwrap();
    let said = |id: u8| {
        let found = settings.chunks(6).find(|setting| setting[..2] == [0, id])?;
        Some(u32::from_be_bytes(found[2..].try_into().unwrap()))
    };
    assert_eq!(said(3), Some(crate::http::http2::STREAMS), "streams");
    assert!(said(4).is_none_or(|window| window <= 64 << 10), "a stream's window");
    assert_eq!(said(6), Some(HEADER_BYTES as u32), "headers");
    assert_eq!(said(8), None, "browsers open WebSockets over HTTP/1.1");
}
