//! `chaski serve`: puts the parts together, says where to connect, and takes them apart again at the end.
//!
//! Order: configuration, log, descriptor limit, store (which locks the data directory), certificate, HTTP and admin
//! sockets, shards; then HTTP serves and the banner is written. Any failure on the way is one line and exit code 1.
//! At the end: no new connections, clients are told, what was accepted is on the disk, exit code 0.

mod banner;
mod files;
mod logging;
mod media;
mod nearby;
mod network;
mod parts;
mod reload;

use crate::cli::Serve;
use crate::failure::Failure;
use chaski_server::admin::AdminSocket;
use chaski_server::admin::desk::Desk;
use chaski_server::config::{Config, DEFAULT_TOML};
use chaski_server::http::HttpMetrics;
use chaski_server::http::metrics::Health;
use chaski_server::{Edge, certificate};
use chaski_store::media::slot::SlotKeys;
use chaski_store::{Engine, embedded};
use chaski_telemetry::Registry;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What is left of the bound of a graceful stop for HTTP after the shards have had theirs.
const HTTP_STOP_TIME: Duration = Duration::from_secs(1);

pub(super) fn run(args: &Serve) -> Result<ExitCode, Failure> {
    if args.print_config {
        std::io::stdout().write_all(DEFAULT_TOML.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = args.source.load()?;
    let log = logging::start(&config.log).map_err(Failure::new)?;
    raise_open_files();
    let server = Server::start(config)?;
    let stop_time = Duration::from_secs(server.config.limits.stop_seconds);
    let announced = nearby::announce(&server);
    banner::write(&server)?;
    let server = server.wait(args, &log)?;
    drop(announced);
    server.stop(stop_time);
    Ok(ExitCode::SUCCESS)
}

/// Everything that runs.
struct Server {
    config: Config,
    runtime: tokio::runtime::Runtime,
    engine: Arc<embedded::EmbeddedEngine>,
    edge: Arc<Edge>,
    network: network::Network,
    media: Option<chaski_media::Media>,
    certificate: certificate::Certificate,
    stop: watch::Sender<bool>,
    signals: Signals,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Server {
    fn start(config: Config) -> Result<Self, Failure> {
        let engine = Arc::new(embedded::open(&config.data, parts::store_options(&config))?);
        let started = Self::start_on(config, engine.clone());
        if started.is_err() {
            engine.close();
        }
        started
    }

    fn start_on(config: Config, engine: Arc<embedded::EmbeddedEngine>) -> Result<Self, Failure> {
        let certificate = parts::certificate(&config, &*engine, unix_ms())?;
        certificate.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(32)
            .thread_name("http")
            // Files pass here where they have no listener of their own, and whoever registers; messages do not.
            .on_thread_start(chaski_media::give_way)
            .enable_all()
            .build()?;
        let inside = runtime.enter();
        // From here on a signal asks for a graceful stop, also during a long recovery of many sockets.
        let signals = Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        let http_metrics = Arc::new(HttpMetrics::default());
        let bound = runtime.block_on(network::Bound::bind(&config, &certificate.identity))?;
        let admin = AdminSocket::bind(&config.data).map_err(|error| {
            Failure::new(format_args!("can't make {}: {error}", config.data.join("admin.sock").display()))
        })?;

        let mut registry = Registry::default();
        registry.register(http_metrics.clone());
        let media = media::start(&config, &*engine, &mut registry)?;
        let uploads = media::uploads(&config, bound.of_media(&config), engine.secrets());
        let realm = parts::realm(&config, engine.secrets(), engine.time().unix_ms(), uploads);
        let edge_config = parts::edge_config(&config, &certificate.identity);
        let edge = Edge::start(edge_config, realm, engine.clone(), &mut registry);
        let edge = Arc::new(edge.map_err(|error| network::edge_failure(&config, error))?);
        // Only now, because each shard has opened its part of the store.
        engine.metrics().into_iter().for_each(|source| registry.register(source));
        media.iter().flat_map(|media| media.metrics()).for_each(|source| registry.register(source));

        let (stop, stopping) = watch::channel(false);
        let salting = chaski_services::account::credentials::Salting::of_server(&engine.secrets().root);
        let desk = Desk::new(engine.records(), Some(edge.owners()), (&config.domain, salting), engine.time())
            .granting(SlotKeys::new(engine.secrets()))
            .with_files(media.as_ref().map(files::of));
        runtime.spawn(admin.serve(Arc::new(desk), stopping.clone()));
        let api = parts::api(&config, &edge, &*engine, &mut registry)?;
        let of_store = engine.clone();
        let health = Health { troubles: Arc::new(move || of_store.troubles()), time: engine.time() };
        let private = (Arc::new(registry), health);
        let ca = certificate.ca_file.as_ref().and_then(|file| std::fs::read(file).ok());
        let routes = (api, media.as_ref(), ca);
        let network = bound.serve(&config, routes, &edge, http_metrics, private, &stopping);
        drop(inside);
        Ok(Self { config, runtime, engine, edge, network, media, certificate, stop, signals })
    }

    /// Until a signal says to stop; SIGHUP reloads.
    fn wait(mut self, args: &Serve, log: &logging::Log) -> Result<Self, Failure> {
        loop {
            let signals = &mut self.signals;
            let hangup = self.runtime.block_on(async {
                tokio::select! {
                    _ = signals.hangup.recv() => true,
                    _ = signals.terminate.recv() => false,
                    _ = signals.interrupt.recv() => false,
                }
            });
            if !hangup {
                return Ok(self);
            }
            reload::reload(&mut self, args, log);
        }
    }

    fn stop(self, within: Duration) {
        tracing::info!("stopping: no new connections, clients are told");
        // No receiver is left only if all listeners have ended already.
        let _ = self.stop.send(true);
        let farewell = self.edge.stop(within);
        if !farewell {
            tracing::warn!(
                "some clients did not take their farewell in time; they will find their messages waiting"
            );
        }
        self.runtime.shutdown_timeout(HTTP_STOP_TIME);
        if let Some(media) = self.media {
            media.stop(HTTP_STOP_TIME);
        }
        self.engine.close();
        let _ = std::fs::remove_file(self.config.data.join(chaski_server::admin::SOCKET_NAME));
        tracing::info!("stopped");
    }
}

/// As many descriptors as the system lets us have: each client is one.
pub(super) fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to our own rlimit.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    if !raised {
        tracing::warn!("can't raise the limit of open files; see chaski doctor");
    }
}

#[expect(clippy::disallowed_methods, reason = "the composition owns the real clock")]
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
