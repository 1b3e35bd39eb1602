//! The HTTP listeners of `serve`, and what to say when an address can't be had.

use crate::failure::Failure;
use axum::Router;
use chaski_media::Media;
use chaski_server::config::{Config, HttpTls};
use chaski_server::http::front_page::{About, FrontPage};
use chaski_server::http::metrics::Health;
use chaski_server::http::{self, HttpMetrics, Listener, Protection, TlsSwitch, hostmeta, websocket};
use chaski_server::{Edge, StartError, TlsIdentity};
use chaski_telemetry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// Connections of the private listener: scrapers and supervisors.
const PRIVATE_CONNECTIONS: usize = 64;
const BACKLOG: u32 = 1_024;

/// Listeners that are bound and don't serve yet.
pub(super) struct Bound {
    public: TcpListener,
    private: Option<TcpListener>,
    /// It waits for connections where files are served, which is not here.
    media: Option<std::net::TcpListener>,
    protection: Protection,
    switch: Arc<TlsSwitch>,
}

/// Listeners that serve.
pub(super) struct Network {
    /// The public listener's address.
    pub(super) public: SocketAddr,
    /// The private listener's.
    pub(super) private: Option<SocketAddr>,
    /// For reloads of the certificate.
    pub(super) switch: Arc<TlsSwitch>,
}

impl Bound {
    pub(super) async fn bind(config: &Config, identity: &TlsIdentity) -> Result<Self, Failure> {
        let switch = TlsSwitch::new(identity)?;
        let protection = protection(config, config.http.listen, &switch);
        let public = bind(config.http.listen, "listen in [http]")?;
        let private =
            config.http.private_listen.map(|addr| bind(addr, "private_listen in [http]")).transpose()?;
        let media = config.media.listen.filter(|_| config.media.enabled);
        let media = match media {
            Some(addr) => Some(bind(addr, "listen in [media]")?.into_std()?),
            None => None,
        };
        Ok(Self { public, private, media, protection, switch })
    }

    /// Where files are served.
    pub(super) fn of_media(&self, config: &Config) -> SocketAddr {
        let own = self.media.as_ref().map(std::net::TcpListener::local_addr);
        own.unwrap_or_else(|| self.public.local_addr())
            .unwrap_or(config.media.listen.unwrap_or(config.http.listen))
    }

    /// Begins to serve. Within the runtime. `ca`: the development authority's certificate, for whoever wants to believe it.
    pub(super) fn serve(
        self,
        config: &Config,
        (api, media, ca): (Router, Option<&Media>, Option<Vec<u8>>),
        edge: &Arc<Edge>,
        metrics: Arc<HttpMetrics>,
        (registry, health): (Arc<Registry>, Health),
        stop: &watch::Receiver<bool>,
    ) -> Network {
        let public = self.public.local_addr().unwrap_or(config.http.listen);
        let private = self.private.as_ref().and_then(|private| private.local_addr().ok());
        let hostmeta = hostmeta::HostMeta::new(&config.domain, &config.http.public_url, &self.protection);
        let edge = edge.clone();
        let adopt: websocket::Adopt = Arc::new(move |socket| edge.adopt_websocket(socket));
        let websocket = websocket::WebSocket { adopt, metrics: metrics.clone() };
        let about = About {
            domain: config.domain.clone(),
            public_url: config.http.public_url.clone(),
            ca,
            registration: config.registration.enabled,
        };
        let page = FrontPage::new(about, &self.protection);
        let files = media.map_or_else(Router::new, Media::routes);
        let files = match self.media.zip(media) {
            None => files,
            Some((socket, media)) => {
                let protection = protection(config, config.media.listen.unwrap_or(public), &self.switch);
                let (connections, metrics) = (config.http.connections, metrics.clone());
                let (unhurried, stop) = (Some(chaski_media::PATH), stop.clone());
                // With its sockets and TLS among what makes room for chat.
                media.handle().spawn(async move {
                    match TcpListener::from_std(socket) {
                        Ok(socket) => {
                            let listener = Listener { socket, protection, connections, unhurried, metrics };
                            listener.serve(files, stop).await;
                        }
                        Err(error) => tracing::error!(%error, "the listener of [media] can't be used"),
                    }
                });
                Router::new()
            }
        };
        let router = http::public_router((api, files), hostmeta, websocket, page);
        let listener = Listener {
            socket: self.public,
            protection: self.protection,
            connections: config.http.connections,
            unhurried: Some(chaski_media::PATH),
            metrics: metrics.clone(),
        };
        tokio::spawn(listener.serve(router, stop.clone()));
        if let Some(socket) = self.private {
            let protection = Protection::Plain;
            let listener =
                Listener { socket, protection, connections: PRIVATE_CONNECTIONS, unhurried: None, metrics };
            tokio::spawn(listener.serve(http::metrics::routes(registry, health), stop.clone()));
        }
        Network { public, private, switch: self.switch }
    }
}

fn protection(config: &Config, listen: SocketAddr, switch: &Arc<TlsSwitch>) -> Protection {
    match config.http.tls {
        HttpTls::Terminated => Protection::Terminated,
        HttpTls::Auto if listen.ip().is_loopback() => Protection::Either(switch.clone()),
        HttpTls::Auto | HttpTls::Direct => Protection::Tls(switch.clone()),
    }
}

fn bind(addr: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    let socket = || -> std::io::Result<TcpListener> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart must not wait for the last connections' TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    socket().map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => in_use(addr, key),
        _ => cannot(addr, key, &error),
    })
}

fn in_use(addr: SocketAddr, key: &str) -> Failure {
    Failure::new(format_args!(
        "{addr} is in use by another program; stop that one (ss -ltnp shows it), or set {key} in the configuration \
         file to another port (chaski serve --print-config writes one)"
    ))
}

fn cannot(addr: SocketAddr, key: &str, error: &std::io::Error) -> Failure {
    let mend = match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; grant it or"
        }
        std::io::ErrorKind::AddrNotAvailable => "the address is none of this machine's;",
        _ => "",
    };
    Failure::new(format_args!(
        "can't listen on {addr}: {error}; {mend} set {key} in the configuration file to another one"
    ))
}

/// The same for the shards' listeners.
pub(super) fn edge_failure(config: &Config, error: StartError) -> Failure {
    let key = |addr: SocketAddr| match config.c2s.iter().position(|c2s| c2s.listen == addr) {
        Some(index) => format!("listen in [[c2s]] number {}", index + 1),
        None => "listen in [[c2s]]".to_string(),
    };
    match error {
        StartError::AddressInUse(addr) => in_use(addr, &key(addr)),
        StartError::Bind { addr, source } => cannot(addr, &key(addr), &source),
        other => other.into(),
    }
}
