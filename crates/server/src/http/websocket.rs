//! `/ws`: the upgrade to XMPP over WebSocket (RFC 7395, RFC 6455 §4.2), after which the shards have the connection.

use super::{Arrival, HttpMetrics, HttpStream};
use crate::UpgradedWebSocket;
use axum::Router;
use axum::extract::{ConnectInfo, Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// RFC 6455 §1.3.
const ACCEPT_MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Takes over an upgraded connection; the shards' side of it.
pub type Adopt = Arc<dyn Fn(UpgradedWebSocket) -> io::Result<()> + Send + Sync>;

/// What the route needs.
#[derive(Clone)]
pub struct WebSocket {
    /// Takes over.
    pub adopt: Adopt,
    /// Where it counts.
    pub metrics: Arc<HttpMetrics>,
}

/// The route.
pub fn routes(state: WebSocket) -> Router {
    Router::new().route("/ws", get(upgrade)).with_state(state)
}

async fn upgrade(
    State(state): State<WebSocket>,
    Extension(arrival): Extension<Arrival>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let accept = match check(request.headers()) {
        Ok(accept) => accept,
        Err(refusal) => return *refusal,
    };
    let mut request = request;
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        if let Err(error) = hand_over(&state, arrival, peer, upgraded) {
            tracing::debug!(%error, "an upgraded WebSocket was not taken");
        }
    });
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("xmpp")),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn hand_over(
    state: &WebSocket,
    arrival: Arrival,
    peer: SocketAddr,
    upgraded: hyper::upgrade::Upgraded,
) -> io::Result<()> {
    let parts = upgraded
        .downcast::<TokioIo<HttpStream>>()
        .map_err(|_| io::Error::other("the connection is not one of our listeners'"))?;
    let (tcp, tls) = parts.io.into_inner().into_parts();
    state.metrics.websockets_total.inc();
    (state.adopt)(UpgradedWebSocket {
        stream: tcp.into_std()?,
        tls,
        leftover: parts.read_buf.to_vec(),
        protected: arrival.protected,
        peer: Some(peer.ip()),
    })
}

/// `Sec-WebSocket-Accept`, or the refusal.
fn check(headers: &HeaderMap) -> Result<HeaderValue, Box<Response>> {
    let refuse = |refusal: Response| Err(Box::new(refusal));
    if !lists(headers, header::UPGRADE, "websocket") || !lists(headers, header::CONNECTION, "upgrade") {
        let upgrade = [(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")];
        let text = "this is for WebSocket clients (RFC 7395)\n";
        return refuse((StatusCode::UPGRADE_REQUIRED, upgrade, text).into_response());
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return refuse(
            (StatusCode::UPGRADE_REQUIRED, version, "WebSocket version 13 only\n").into_response(),
        );
    }
    if !lists(headers, header::SEC_WEBSOCKET_PROTOCOL, "xmpp") {
        let text = "the WebSocket protocol must be \"xmpp\" (RFC 7395 section 3.1)\n";
        return refuse((StatusCode::BAD_REQUEST, text).into_response());
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        let text = "Sec-WebSocket-Key must be 16 bytes of base64\n";
        return refuse((StatusCode::BAD_REQUEST, text).into_response());
    }
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_MAGIC).finalize();
    let accept = HeaderValue::from_str(&STANDARD.encode(digest));
    accept.or_else(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR.into_response()))
}

/// Whether a header that lists words has this one among them.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}
