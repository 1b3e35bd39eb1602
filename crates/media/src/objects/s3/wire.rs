//! The requests of `object_store` over connections of our own: HTTP/1.1, with rustls and the system's roots where the endpoint is https.
//!
//! `object_store` brings reqwest for this, and with it a second library of cryptography. A connection carries one request: what is as
//! large as a file pays for it, and none is kept that the other side may have closed. How many there are at once is the caller's bound.
//!
//! A request is judged by its progress, not by its total time: as long as its bytes go, it goes on.

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
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may take to be there, TLS included.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// What the system may keep of what is sent: as much must go in each [`Connector::answer_time`], for only what it takes is seen to move.
const SEND_BYTES: usize = 128 << 10;

/// Makes [`Wire`]s.
#[derive(Debug)]
pub(super) struct Connector {
    /// How long nothing may move between the request's begin and the answer's head.
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
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(&tcp, SEND_BYTES);
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
        ask(stream, request, self.answer_time).await
    }
}

async fn ask(
    stream: Box<dyn Stream>,
    request: HttpRequest,
    answer_time: Duration,
) -> Result<HttpResponse, HttpError> {
    let moved = Arc::new(AtomicU64::new(0));
    let answer = try_ask(Watched { stream, moved: moved.clone() }, request);
    tokio::select! {
        answer = answer => answer,
        () = stands_still(&moved, answer_time) => Err(failed(HttpErrorKind::Timeout, "no answer in time")),
    }
}

/// Until nothing has moved for so long.
async fn stands_still(moved: &AtomicU64, answer_time: Duration) {
    let mut before = None;
    loop {
        let now = Some(moved.load(Ordering::Relaxed));
        if now == before {
            return;
        }
        before = now;
        tokio::time::sleep(answer_time).await;
    }
}

async fn try_ask(stream: Watched, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
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

/// A connection of which one sees that bytes go.
struct Watched {
    stream: Box<dyn Stream>,
    moved: Arc<AtomicU64>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.moved.fetch_add(*count as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const SENT: usize = 5 << 20;
    const ANSWER_TIME: Duration = Duration::from_secs(15);

    /// Sends a part of a file to one who reads so much a second, and no more than so much; how that went.
    async fn sent(bytes_per_second: usize, most: usize) -> Result<u16, HttpErrorKind> {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let reads = tokio::spawn(async move {
            let (mut buffer, mut read) = (vec![0; bytes_per_second], 0);
            while read < most.min(SENT) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                read += theirs.read(&mut buffer).await.unwrap();
            }
            if most < SENT {
                std::future::pending::<()>().await;
            }
            theirs.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            theirs
        });
        let request = axum::http::Request::put("http://bucket.example/part");
        let request = request.body(vec![7; SENT].into()).unwrap();
        let answer = ask(Box::new(ours), request, ANSWER_TIME).await;
        reads.abort();
        answer.map(|answer| answer.status().as_u16()).map_err(|error| error.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_may_take_its_time_as_long_as_it_goes() {
        let began = tokio::time::Instant::now();
        assert_eq!(sent(64 << 10, usize::MAX).await, Ok(200));
        assert!(began.elapsed() > ANSWER_TIME * 4, "{:?}", began.elapsed());
        let began = tokio::time::Instant::now();
        assert_eq!(sent(64 << 10, 1 << 20).await, Err(HttpErrorKind::Timeout));
        assert!(
            began.elapsed() < ANSWER_TIME * 4,
            "who stands still is not waited for: {:?}",
            began.elapsed()
        );
    }
}
