//! One HTTP request with a JSON body on one connection, over TLS or, to this machine only, without.

use crate::target::split_host_port;
use crate::transport::{self, Transport};
use crate::trust::Trust;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// Bytes of an answer; none of ours is nearly as long.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Most time for one request. An SMS gateway may take ten seconds of it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL is none that we can use.
    #[error("{url} can't be used: {why}")]
    BadUrl {
        /// Which.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// Nobody listens there.
    #[error("can't reach {url}: {why}")]
    Unreachable {
        /// Which.
        url: String,
        /// What the system says.
        why: String,
    },
    /// The certificate is not trusted, or TLS failed otherwise.
    #[error("no secure connection to {url}: {why}")]
    Tls {
        /// Which.
        url: String,
        /// What rustls says.
        why: String,
    },
    /// No HTTP, no JSON, too long, or too late.
    #[error("{url} gave no usable answer: {why}")]
    BadAnswer {
        /// Which.
        url: String,
        /// What was wrong.
        why: String,
    },
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) body: Value,
}

/// The address of an HTTP server.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    /// Without a slash at the end.
    url: String,
    host: String,
    port: u16,
    authority: String,
    path: String,
    trust: Option<Trust>,
}

impl Base {
    /// `trust` is used for `https://`.
    pub(crate) fn new(url: &str, trust: &Trust) -> Result<Self, HttpError> {
        let bad = |why| HttpError::BadUrl { url: url.to_owned(), why };
        let (trust, default_port, rest) = if let Some(rest) = url.strip_prefix("https://") {
            (Some(trust.clone()), 443, rest)
        } else if let Some(rest) = url.strip_prefix("http://") {
            (None, 80, rest)
        } else {
            return Err(bad("it must begin with https:// (or http://, on this machine)"));
        };
        let rest = rest.trim_end_matches('/');
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_host_port(authority).ok_or_else(|| bad("it names no host"))?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            host: host.to_owned(),
            port: port.unwrap_or(default_port),
            authority: authority.to_owned(),
            path: path.to_owned(),
            trust,
        })
    }

    /// Sends JSON, reads JSON.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Answer, HttpError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.path))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, application/problem+json")
            .header(header::USER_AGENT, concat!("chaski/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|_| HttpError::BadUrl { url: self.url.clone(), why: "it holds forbidden characters" })?;
        tokio::time::timeout(TIMEOUT, self.exchange(request))
            .await
            .map_err(|_| self.bad_answer("it took too long"))?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
        let stream = self.connect().await?;
        self.talk(stream, request).await
    }

    /// A connection to it, over TLS if that is what the URL says.
    pub(crate) async fn connect(&self) -> Result<Transport, HttpError> {
        let url = || self.url.clone();
        let unreachable =
            |error: std::io::Error| HttpError::Unreachable { url: url(), why: error.to_string() };
        let tcp = transport::tcp(&self.host, self.port).await.map_err(unreachable)?;
        let here = transport::is_loopback(&tcp).map_err(unreachable)?;
        let Some(trust) = &self.trust else {
            let why = "http:// is only safe to this machine; use https://";
            return if here { Ok(Transport::Plain(tcp)) } else { Err(HttpError::BadUrl { url: url(), why }) };
        };
        if trust.is_loopback_only() && !here {
            let why = "unchecked certificates are only accepted from this machine";
            return Err(HttpError::BadUrl { url: url(), why });
        }
        let tls = |why: String| HttpError::Tls { url: url(), why };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| tls(error.to_string()))?;
        let stream = TlsConnector::from(Arc::clone(trust.config())).connect(name, tcp).await;
        Ok(Transport::Tls(Box::new(stream.map_err(|error| tls(error.to_string()))?)))
    }

    /// What a request to the URL itself names: path, and host with port.
    pub(crate) fn parts(&self) -> (&str, &str) {
        (if self.path.is_empty() { "/" } else { &self.path }, &self.authority)
    }

    async fn talk<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<Answer, HttpError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let bad = |error: hyper::Error| self.bad_answer(&error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(bad)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(bad)?;
            let status = response.status().as_u16();
            let retry_after_s = response.headers().get(header::RETRY_AFTER);
            let retry_after_s = retry_after_s.and_then(|value| value.to_str().ok()?.parse().ok());
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.bad_answer(&error.to_string()))?.to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Ok(Answer { status, retry_after_s, body })
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            outcome = &mut answer => outcome,
            // The connection may end just before the answer is looked at.
            _ = connection => answer.await,
        }
    }

    pub(crate) fn bad_answer(&self, why: &str) -> HttpError {
        HttpError::BadAnswer { url: self.url.clone(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let trust = Trust::anybody_on_loopback();
        let base = Base::new("https://chat.example/api/", &trust).unwrap();
        assert_eq!((base.host.as_str(), base.port, base.path.as_str()), ("chat.example", 443, "/api"));
        let base = Base::new("http://[::1]:8080", &trust).unwrap();
        assert_eq!((base.host.as_str(), base.port, base.authority.as_str()), ("::1", 8080, "[::1]:8080"));
        assert!(Base::new("ftp://x", &trust).is_err() && Base::new("https://", &trust).is_err());
    }
}
