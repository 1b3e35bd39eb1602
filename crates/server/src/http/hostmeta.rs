//! `/.well-known/host-meta` and `host-meta.json`: where the WebSocket is. XEP-0156, RFC 6415.

use super::{Arrival, Protection};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;

/// What the documents are made of.
#[derive(Debug, Clone)]
pub struct HostMeta {
    /// The domain served; stands in for a missing or odd `Host`.
    pub domain: String,
    /// The URL clients use from outside; empty: taken from each request.
    pub public_url: String,
    /// Behind a terminator, what arrives plain was TLS outside.
    pub terminated: bool,
}

impl HostMeta {
    /// For a listener protected in this way.
    pub fn new(domain: &str, public_url: &str, protection: &Protection) -> Self {
        let terminated = matches!(protection, Protection::Terminated);
        Self { domain: domain.into(), public_url: public_url.trim_end_matches('/').into(), terminated }
    }

    fn websocket_url(&self, headers: &HeaderMap, arrival: Arrival) -> String {
        if let Some(rest) = self.public_url.strip_prefix("http") {
            return format!("ws{rest}/ws");
        }
        let host =
            headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_plain(host));
        let scheme = if arrival.tls || self.terminated { "wss" } else { "ws" };
        format!("{scheme}://{}/ws", host.unwrap_or(&self.domain))
    }
}

/// Host name or address with an optional port: nothing that would need escaping in XML or JSON.
pub(super) fn is_plain(host: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    !host.is_empty() && host.len() <= 260 && host.bytes().all(legal)
}

/// The two documents.
pub fn routes(state: HostMeta) -> Router {
    Router::new()
        .route("/.well-known/host-meta", get(xml))
        .route("/.well-known/host-meta.json", get(json))
        .with_state(Arc::new(state))
}

const REL: &str = "urn:xmpp:alt-connections:websocket";

async fn xml(
    State(state): State<Arc<HostMeta>>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let url = state.websocket_url(&headers, arrival);
    let body = format!(
        "<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n  \
         <Link rel='{REL}' href='{url}'/>\n</XRD>\n"
    );
    ([(header::CONTENT_TYPE, "application/xrd+xml")], body)
}

async fn json(
    State(state): State<Arc<HostMeta>>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let url = state.websocket_url(&headers, arrival);
    Json(serde_json::json!({ "links": [{ "rel": REL, "href": url }] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(public_url: &str, host: &str, tls: bool) -> String {
        let state = HostMeta { domain: "d.example".into(), public_url: public_url.into(), terminated: false };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        state.websocket_url(&headers, Arrival { tls, protected: true })
    }

    #[test]
    fn the_url_follows_the_configuration_then_the_request() {
        assert_eq!(url("https://chat.example", "x", true), "wss://chat.example/ws");
        assert_eq!(url("http://chat.example", "x", true), "ws://chat.example/ws");
        assert_eq!(url("", "127.0.0.1:8080", true), "wss://127.0.0.1:8080/ws");
        assert_eq!(url("", "[::1]:8080", false), "ws://[::1]:8080/ws");
        assert_eq!(url("", "a'/><evil>", true), "wss://d.example/ws");
    }
}
