//! Which web pages may ask for codes.
//!
//! Everything else here may be called by pages of any origin, since nothing is authorised by cookies. A code is different: it costs
//! money, and is counted for the network that asks. A page somewhere could have each of its visitors ask, each from a network of
//! their own. So of requests that a browser makes for a page (they carry `Origin`, RFC 6454 §7, which no page can change) only those of our own
//! pages and of origins that the operator names are taken. Apps send no `Origin`.

use crate::http::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Origins of pages that may ask.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// Where browsers find this server, if that is configured: a proxy in front may change what `Host` says.
    pub own: Option<String>,
    /// Besides our own; e.g. `https://app.example.org`.
    pub others: Arc<[String]>,
}

impl Origins {
    /// As the configuration has it. `public_url` may be empty, or have a path.
    pub fn new(public_url: &str, others: &[String]) -> Self {
        let own = public_url.split_once("://").map(|(scheme, rest)| {
            let at = rest.split('/').next().unwrap_or(rest);
            format!("{scheme}://{at}")
        });
        Self { own, others: others.into() }
    }
}

/// For the routes that have a code sent.
pub(super) async fn own_pages_only(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    if may_ask(request.headers(), &origins) {
        return next.run(request).await;
    }
    let detail = "pages of other origins can't ask for codes here; the server's operator can allow one by http.web_origins";
    Problem::new(StatusCode::FORBIDDEN, "other-origin", detail).into_response()
}

fn may_ask(headers: &HeaderMap, origins: &Origins) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let is_own = match &origins.own {
        Some(own) => own.eq_ignore_ascii_case(origin),
        None => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let at = origin.split_once("://").map(|(_, at)| at);
            at.zip(host).is_some_and(|(at, host)| host.eq_ignore_ascii_case(at))
        }
    };
    is_own || origins.others.iter().any(|named| named.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_pages_those_named_and_apps() {
        let may = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "chat.example.org:8080".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            may_ask(&headers, &Origins::new("", &["https://app.example.org/".to_owned()]))
        };
        for origin in [None, Some("https://chat.example.org:8080"), Some("https://app.example.org")] {
            assert!(may(origin), "{origin:?}");
        }
        for origin in
            ["https://chat.example.org", "https://evil.example", "null", "", "http://app.example.org"]
        {
            assert!(!may(Some(origin)), "{origin:?}");
        }
    }

    /// A proxy that says its own address, and a name that leads here though it is somebody else's.
    #[test]
    fn behind_a_proxy_the_configured_url_counts_and_not_the_host() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "127.0.0.1:8080".parse().unwrap());
        let origins = Origins::new("https://chat.example.org/x", &[]);
        let mut may = |origin: &str| {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            may_ask(&headers, &origins)
        };
        assert!(may("https://chat.example.org") && !may("http://127.0.0.1:8080"));
    }
}
