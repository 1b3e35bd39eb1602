//! HTTP: the public listener (registration, WebSocket, host-meta) and the private one (metrics, health).
//!
//! Runs on the small tokio runtime beside the shards. Owns accepting, TLS and the bounds: how many connections, how
//! long a handshake, a header, a request and a connection may take, how large headers and bodies may be. The routes
//! stand in the modules beside this file; a WebSocket leaves for the shards once it is upgraded.
//!
//! Called by `serve`. Promise: no client holds a connection longer than [`CONNECTION_TIME`], a request longer than
//! [`REQUEST_TIME`], or more than [`HEADER_BYTES`] and [`BODY_BYTES`] of memory; but files ([`Listener::unhurried`]) may take their time while
//! they move (`unhurried.rs`).

pub mod account;
pub mod front_page;
pub mod hostmeta;
mod http2;
pub mod metrics;
mod peers;
pub mod problem;
pub mod quicksy;
pub mod registration;
mod seats;
mod stream;
mod unhurried;
pub mod websocket;

pub use stream::HttpStream;
pub use unhurried::STILL_TIME;

use crate::TlsIdentity;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use chaski_sendfile::Stream;
use chaski_services::account::network::Network;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use unhurried::InProgress;

/// From accept to a finished TLS handshake, and again to a complete header.
pub const HEADER_TIME: Duration = Duration::from_secs(10);
/// From a request's header to its response, the body's arrival included.
pub const REQUEST_TIME: Duration = Duration::from_secs(30);
/// The whole life of a connection that is not upgraded.
pub const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// Bytes of a request's line and headers.
pub const HEADER_BYTES: usize = 16 * 1024;
/// Bytes of a request's body, unless a route allows less.
pub const BODY_BYTES: usize = 64 * 1024;

/// What is spoken over TLS, what is liked best first (ALPN, RFC 7301).
const PROTOCOLS: &[&[u8]] = &[http2::ALPN, b"http/1.1"];

chaski_telemetry::metrics! {
    /// What the HTTP listeners count.
    pub struct HttpMetrics("chaski_http") {
        /// Connections accepted.
        connections_accepted_total: Counter,
        /// Connections closed because others came and they had no request in progress for longest.
        connections_ousted_total: Counter,
        /// Connections turned away because there are too many, of all or of their address.
        connections_refused_total: Counter,
        /// Connections open now, upgraded ones not counted.
        connections: Gauge,
        /// TLS handshakes that failed or took too long.
        handshakes_failed_total: Counter,
        /// Those of them that speak HTTP/2.
        http2_total: Counter,
        /// Requests.
        requests_total: Counter,
        /// Requests that took too long.
        requests_timed_out_total: Counter,
        /// Connections that became WebSockets.
        websockets_total: Counter,
    }
}

/// How a listener's connections are protected.
#[derive(Debug, Clone)]
pub enum Protection {
    /// TLS and plain, told apart by the first byte.
    Either(Arc<TlsSwitch>),
    /// TLS only.
    Tls(Arc<TlsSwitch>),
    /// Plain only; a TLS terminator stands in front, whose `X-Forwarded-For` is believed.
    Terminated,
    /// Plain only, directly (the private listener).
    Plain,
}

/// The certificate that new connections get; changed on reload.
#[derive(Debug)]
pub struct TlsSwitch(RwLock<Arc<rustls::ServerConfig>>);

impl TlsSwitch {
    /// Begins with this certificate.
    pub fn new(identity: &TlsIdentity) -> Result<Arc<Self>, crate::TlsError> {
        Ok(Arc::new(Self(RwLock::new(identity.config_for(PROTOCOLS)?))))
    }

    /// New connections get this certificate from now on.
    pub fn reload(&self, identity: &TlsIdentity) -> Result<(), crate::TlsError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = identity.config_for(PROTOCOLS)?;
        Ok(())
    }

    fn get(&self) -> Arc<rustls::ServerConfig> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How a request came in; an extension of each request, beside [`ConnectInfo`].
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Over TLS that ends here.
    pub tls: bool,
    /// Nobody on the way could read it: TLS here or in front, or it never left the machine.
    pub protected: bool,
}

/// A bound HTTP listener.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// How its connections are protected.
    pub protection: Protection,
    /// Most connections at once.
    pub connections: usize,
    /// Requests below this path may take as long as they like while they move.
    pub unhurried: Option<&'static str>,
    /// Where it counts.
    pub metrics: Arc<HttpMetrics>,
}

impl Listener {
    /// Serves `router` until `stop` becomes true, then lets requests in progress finish for as long as the runtime lives.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let seats = seats::Seats::new(self.connections);
        let peers = peers::Peers::default();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = stop.wait_for(|stopping| *stopping) => return,
            };
            let (tcp, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors or a connection that died in the backlog: a moment later it may be better.
                    tracing::warn!(%error, "can't accept an HTTP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Behind a terminator all connections come from its address.
            let counted = match self.protection {
                Protection::Terminated => Network::UNKNOWN,
                _ => Network::of(peer.ip()),
            };
            // A client with too many connections of its own must not take places from others.
            let place = peers.enter(counted);
            let Some((place, (seat, is_made))) = place.and_then(|place| Some((place, seats.enter()?))) else {
                self.metrics.connections_refused_total.inc();
                continue;
            };
            if is_made {
                self.metrics.connections_ousted_total.inc();
            }
            self.metrics.connections_accepted_total.inc();
            let connection = Connection {
                peer,
                protection: self.protection.clone(),
                metrics: self.metrics.clone(),
                stop: stop.clone(),
                unhurried: self.unhurried,
                moves: Arc::default(),
                seat: Arc::new(seat),
                _place: place,
            };
            tokio::spawn(connection.run(tcp, router.clone()));
        }
    }
}

struct Connection {
    peer: SocketAddr,
    protection: Protection,
    metrics: Arc<HttpMetrics>,
    stop: watch::Receiver<bool>,
    unhurried: Option<&'static str>,
    moves: Arc<unhurried::Moves>,
    seat: Arc<seats::Seat>,
    _place: peers::Place,
}

impl Connection {
    async fn run(self, tcp: TcpStream, router: Router) {
        self.metrics.connections.add(1);
        tokio::select! {
            () = self.begin(tcp, router) => {}
            () = self.seat.ousted() => {}
        }
        self.metrics.connections.add(-1);
    }

    async fn begin(&self, tcp: TcpStream, router: Router) {
        let _ = tcp.set_nodelay(true);
        let stream = timeout(HEADER_TIME, self.protect(tcp)).await;
        match stream {
            Ok(Some(stream)) => self.serve(stream, router).await,
            Ok(None) | Err(_) => self.metrics.handshakes_failed_total.inc(),
        }
    }

    async fn protect(&self, tcp: TcpStream) -> Option<HttpStream> {
        let (switch, plain_too) = match &self.protection {
            Protection::Terminated | Protection::Plain => {
                return Some(HttpStream::Plain(Stream::new(tcp, self.moves.counter())));
            }
            Protection::Either(switch) => (switch, true),
            Protection::Tls(switch) => (switch, false),
        };
        let mut first = [0u8; 1];
        tcp.peek(&mut first).await.ok().filter(|&n| n == 1)?;
        // 22 is the record type of a TLS handshake (RFC 8446 §5.1); a request line begins with a letter.
        if first[0] != 22 {
            if plain_too {
                return Some(HttpStream::Plain(Stream::new(tcp, self.moves.counter())));
            }
            stream::say_use_https(tcp).await;
            return None;
        }
        let acceptor = tokio_rustls::TlsAcceptor::from(switch.get());
        acceptor.accept(tcp).await.ok().map(|tls| HttpStream::Tls(Box::new(tls)))
    }

    async fn serve(&self, stream: HttpStream, router: Router) {
        let is_http2 = stream.speaks(http2::ALPN);
        let service = TowerToHyperService::new(self.app(&stream, router));
        let io = TokioIo::new(stream);
        if is_http2 {
            self.metrics.http2_total.inc();
            let (_open, open) = watch::channel(());
            let streams = http2::Streams { moves: Arc::clone(&self.moves), open };
            let connection = http2::builder(streams).serve_connection(io, service);
            let idle = self.moves.idle();
            return self.run_to_end(connection, idle, |connection| connection.graceful_shutdown()).await;
        }
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_buf_size(HEADER_BYTES)
            .max_headers(64);
        // It waits no longer than [`HEADER_TIME`] for a request by itself.
        let connection = http.serve_connection(io, service).with_upgrades();
        let idle = std::future::pending();
        self.run_to_end(connection, idle, |connection| connection.graceful_shutdown()).await;
    }

    /// The routes, with what is known of this connection, and the bounds of a request.
    fn app(&self, stream: &HttpStream, router: Router) -> Router {
        let tls = matches!(stream, HttpStream::Tls(_));
        let protected =
            tls || matches!(self.protection, Protection::Terminated) || self.peer.ip().is_loopback();
        let arrival = Arrival { tls, protected };
        let believe_forwarded = matches!(self.protection, Protection::Terminated);
        let (peer, metrics, seat) = (self.peer, self.metrics.clone(), Arc::clone(&self.seat));
        let (unhurried, moves) = (self.unhurried, Arc::clone(&self.moves));
        let lane = stream.lane();
        router.layer(middleware::from_fn(move |mut request: Request, next: Next| {
            metrics.requests_total.inc();
            let (metrics, seat) = (metrics.clone(), Arc::clone(&seat));
            let is_unhurried = unhurried.is_some_and(|path| request.uri().path().starts_with(path));
            // A stream has a watch of its own, whatever is asked.
            let watched = http2::stream().or_else(|| is_unhurried.then(|| Arc::clone(&moves)));
            let client = if believe_forwarded { forwarded_for(&request).unwrap_or(peer) } else { peer };
            request.extensions_mut().insert(ConnectInfo(client));
            request.extensions_mut().insert(arrival);
            if let Some(lane) = lane.as_ref().filter(|_| is_unhurried) {
                request.extensions_mut().insert(lane.clone());
            }
            http2::name_host(&mut request);
            async move {
                if !seat.begin() {
                    // Somebody else has its place; it is being closed.
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                let in_progress = match watched.map(|moves| InProgress::begin(&moves, &seat)) {
                    Some(in_progress) if is_unhurried => {
                        return run_unhurried(in_progress, request, next).await;
                    }
                    in_progress => in_progress,
                };
                let response = timeout(REQUEST_TIME, next.run(request)).await.unwrap_or_else(|_| {
                    metrics.requests_timed_out_total.inc();
                    (StatusCode::REQUEST_TIMEOUT, [(header::CONNECTION, "close")]).into_response()
                });
                match in_progress {
                    Some(in_progress) => response.map(|body| in_progress.watch_answer(body)),
                    None => {
                        seat.end();
                        response
                    }
                }
            }
        }))
    }

    /// Until it ends by itself, nothing moves, or its time is over: then what is in progress is the last.
    async fn run_to_end<C: Future>(
        &self,
        connection: C,
        idle: impl Future<Output = ()>,
        shut_down: impl FnOnce(Pin<&mut C>),
    ) {
        let mut connection = std::pin::pin!(connection);
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.moves.stand_still() => return,
            () = idle => {}
            _ = tokio::time::sleep(CONNECTION_TIME) => {}
            _ = stop.wait_for(|stopping| *stopping) => {}
        }
        shut_down(connection.as_mut());
        let last = async {
            // The request in progress, which is the last.
            while timeout(REQUEST_TIME, connection.as_mut()).await.is_err() && self.moves.any() {}
        };
        tokio::select! {
            () = last => {}
            () = self.moves.stand_still() => {}
        }
    }
}

async fn run_unhurried(in_progress: InProgress, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = in_progress.watch_request(body);
    let (parts, body) = next.run(Request::from_parts(parts, body)).await.into_parts();
    Response::from_parts(parts, in_progress.watch_answer(body))
}

/// The last address that the terminator in front has added: the only one that the client can't have made up.
fn forwarded_for(request: &Request) -> Option<SocketAddr> {
    let value = request.headers().get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let address: IpAddr = value.rsplit(',').next()?.trim().parse().ok()?;
    Some(SocketAddr::new(address, 0))
}

/// The public routes: `api` (registration), WebSocket, host-meta, a page that says what this is, and files.
pub fn public_router(
    (api, media): (Router, Router),
    hostmeta: hostmeta::HostMeta,
    websocket: websocket::WebSocket,
    page: Arc<front_page::FrontPage>,
) -> Router {
    let for_browsers = api.merge(hostmeta::routes(hostmeta)).layer(middleware::from_fn(cors));
    for_browsers
        .merge(websocket::routes(websocket))
        .merge(page.routes())
        .merge(media)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

/// Lets web pages of any origin call: nothing here is authorised by cookies, so origin means nothing, but where codes are asked for
/// ([`registration::routes`]).
async fn cors(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after, location, etag"),
    );
    if preflight {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE"),
        );
        let allowed = HeaderValue::from_static("content-type, authorization, accept-language, if-none-match");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
    response
}

#[cfg(test)]
mod tests;
