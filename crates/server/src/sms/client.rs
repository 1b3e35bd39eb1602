//! The HTTP client of the gateways: one POST on one connection, over TLS with the system's certificates or plain.
//!
//! No pool, redirects or proxies: a code is sent rarely enough for a handshake each, and a redirect that carries
//! a code elsewhere is a mistake. The caller bounds the time; dropping the future closes the connection.

use super::GatewayError;
use axum::body::{Body, to_bytes};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes of an answer that are read; the rest is left.
const ANSWER_BYTES: usize = 8 * 1024;

/// What a body is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    Json,
    Form,
}

/// Posts to one URL.
pub(super) struct HttpClient {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl HttpClient {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("sms.url '{url}' {why}");
        let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        let host = uri.host().ok_or_else(|| bad("names no host"))?;
        // IPv6 addresses stand in brackets in URLs only.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let name = ServerName::try_from(host.clone()).map_err(|_| bad("has no valid host name"))?;
                Some((connector()?, name))
            }
            _ => return Err(bad("must begin with https:// (or http://)")),
        };
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok(Self { uri, host, port, tls })
    }

    pub(super) async fn post(
        &self,
        content: Content,
        body: Vec<u8>,
        authorization: Option<&str>,
    ) -> Result<(), GatewayError> {
        let request = self.request(content, body, authorization)?;
        let unreachable = |error: std::io::Error| GatewayError::Unreachable(error.to_string());
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        match &self.tls {
            None => exchange(tcp, request).await,
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await.map_err(unreachable)?;
                exchange(tls, request).await
            }
        }
    }

    fn request(
        &self,
        content: Content,
        body: Vec<u8>,
        authorization: Option<&str>,
    ) -> Result<Request<Body>, GatewayError> {
        let content_type = match content {
            Content::Json => "application/json",
            Content::Form => "application/x-www-form-urlencoded",
        };
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or(self.host.as_str(), |authority| authority.as_str());
        // Credentials in the URL are no part of the Host header (RFC 9110 §7.2).
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let mut request = Request::post(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::USER_AGENT, concat!("chaski/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.body(Body::from(body)).map_err(|error| GatewayError::Failed(error.to_string()))
    }
}

async fn exchange<S>(stream: S, request: Request<Body>) -> Result<(), GatewayError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| GatewayError::Failed(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        // Read so that the peer is not reset while it writes; what it says may hold the number and is not logged.
        let _ = to_bytes(Body::new(response.into_body()), ANSWER_BYTES).await;
        verdict(status)
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        outcome = &mut answer => outcome,
        // The connection ends when the peer closes it, which may be just before the answer is looked at.
        _ = connection => answer.await,
    }
}

fn verdict(status: StatusCode) -> Result<(), GatewayError> {
    if status.is_success() { Ok(()) } else { Err(GatewayError::Refused(format!("HTTP status {status}"))) }
}

/// TLS by the certificates that the system trusts.
fn connector() -> Result<TlsConnector, String> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            "no certificates of authorities are installed, without which no SMS gateway can be trusted; \
                    install the package ca-certificates"
                .to_owned(),
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
