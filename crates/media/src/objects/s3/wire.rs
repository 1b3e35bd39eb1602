//! The requests of `object_store` over connections of our own: HTTP/1.1, with rustls and the system's roots where the endpoint is https.
//!
//! `object_store` brings reqwest for this, and with it a second library of cryptography. A connection carries one request: what is as
//! large as a file pays for it, and none is kept that the other side may have closed. How many there are at once is the caller's bound.

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use rustls::pki_types::ServerName;
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may take to be there, TLS included.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Makes [`Wire`]s.
#[derive(Debug)]
pub(super) struct Connector {
    /// From the request's begin to the answer's head.
    pub(super) answer_time: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Wire { answer_time: self.answer_time, tls: OnceLock::new() }))
    }
}

/// See the module.
struct Wire {
    answer_time: Duration,
    /// Made when the first https request wants it.
    tls: OnceLock<Arc<rustls::ClientConfig>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_https = request.uri().scheme_str() == Some("https");
        let unnamed = || failed(HttpErrorKind::Unknown, "a request names no host");
        let host = request.uri().host().ok_or_else(unnamed)?.trim_matches(['[', ']']).to_owned();
        let port = request.uri().port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let connect = async {
            let tcp = TcpStream::connect((&*host, port))
                .await
                .map_err(|error| failed(HttpErrorKind::Connect, error))?;
            // What is sent is whole when it is written.
            let _ = tcp.set_nodelay(true);
            if !is_https {
                return Ok::<_, HttpError>(Box::new(tcp) as Box<dyn Stream>);
            }
            let name =
                ServerName::try_from(host.clone()).map_err(|error| failed(HttpErrorKind::Connect, error))?;
            let tls = tokio_rustls::TlsConnector::from(self.tls.get_or_init(tls).clone());
            let tls = tls.connect(name, tcp).await.map_err(|error| failed(HttpErrorKind::Connect, error))?;
            Ok(Box::new(tls) as Box<dyn Stream>)
        };
        let late = |_| failed(HttpErrorKind::Connect, "no connection in time");
        let stream = timeout(CONNECT_TIME, connect).await.map_err(late)??;
        let late = |_| failed(HttpErrorKind::Timeout, "no answer in time");
        timeout(self.answer_time, ask(stream, request)).await.map_err(late)?
    }
}

async fn ask(stream: Box<dyn Stream>, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let broken = |error| failed(HttpErrorKind::Request, error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with its one request, whose error says what was wrong.
    tokio::spawn(async move { connection.await.ok() });
    if let Some(authority) = request.uri().authority().cloned()
        && let Ok(host) = authority.as_str().parse()
    {
        request.headers_mut().entry(axum::http::header::HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse();
    *request.uri_mut() = path.map_err(|error| failed(HttpErrorKind::Unknown, error))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    Ok(answer
        .map(|body| HttpResponseBody::new(body.map_err(|error| failed(HttpErrorKind::Interrupted, error)))))
}

fn failed(kind: HttpErrorKind, error: impl Into<Box<dyn Error + Send + Sync>>) -> HttpError {
    HttpError::new_boxed(kind, error.into())
}

fn tls() -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::error!(
            "this machine has no certificates of authorities: no https endpoint of S3 is believed"
        );
    }
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    #[expect(clippy::expect_used, reason = "the provider has what these versions need, whatever the input")]
    let config = config.with_safe_default_protocol_versions().expect("ring knows TLS 1.2 and 1.3");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
