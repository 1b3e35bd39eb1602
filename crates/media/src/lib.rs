//! Files: pictures, voice, video, whatever people send each other besides words. Uploads and downloads over HTTP.
//!
//! A client asks for a slot over XMPP (`chaski-services`, `upload`), puts the file here with the ticket that it was given, and sends the
//! URL to whom it likes. This crate owns the HTTP side ([`http`]), the backends ([`objects`]), what has come in part ([`staging`]), small pictures
//! ([`thumbnail`]), the care for what is over ([`caretaker`]), and
//! what an operator asks ([`check`], [`operator`]). Who refers to what is in the store's index ([`chaski_store::media`]), which is all that this has in common
//! with the services: a process that serves files alone needs the index and the data's secret.
//!
//! Called by the binary, which mounts [`Media::routes`] on a listener of `chaski-server`'s. Calls the store and telemetry.
//!
//! # Promises
//! - **Chat never waits for files.** Everything here runs on a runtime of its own ([`runtime`]), whose threads the system puts behind the
//!   others; what a transfer has in memory is bounded ([`http::TRANSFER_BYTES`]), and so is the number of transfers.
//! - A file is served when it is whole and durable, and not before. A kill at any time leaves no file that nobody refers to,
//!   and no reference without its file: the order of steps is in the head of [`objects`].
//! - What has no reference left is gone from the disk soon: at most [`Settings::sweep_every`] later, and after a start at once.

pub mod caretaker;
pub mod check;
pub mod http;
pub mod objects;
pub mod operator;
mod runtime;
pub mod staging;
mod strays;
pub mod thumbnail;

pub use runtime::give_way;

use chaski_store::Secrets;
use chaski_store::Time;
use chaski_store::media::Index;
use chaski_store::media::slot::SlotKeys;
use http::metrics::MediaMetrics;
use http::places::Places;
use http::room::Room;
use http::share::Shares;
use objects::stores::Stores;
use staging::Staging;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thumbnail::Thumbnails;
use tokio::sync::{Notify, watch};

/// Where routes begin.
pub const PATH: &str = "/media";

/// Bounds and intervals.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a file for a message stays.
    pub expire_ms: u64,
    /// What one account may have.
    pub quota_bytes: u64,
    /// References for its profile that an account has without an end.
    pub profiles_kept: usize,
    /// Transfers at once, of everybody; beyond: come again later.
    pub transfers: usize,
    /// The same of one network (IPv4 address, IPv6 /64), and four times as many of a wide one (/24, /48).
    pub transfers_per_network: usize,
    /// Unfinished uploads of one account.
    pub unfinished_per_account: usize,
    /// And of all.
    pub unfinished: usize,
    /// So long after it has begun an unfinished upload is dropped.
    pub unfinished_ms: u64,
    /// Contents that the operator may block.
    pub blocked_max: usize,
    /// Room on the disk that uploads leave.
    pub reserve_bytes: u64,
    /// A transfer that moves less than [`Settings::progress_bytes`] in this time is cut.
    pub progress_time: Duration,
    /// See there.
    pub progress_bytes: u64,
    /// How often it is looked for what has ended.
    pub sweep_every: Duration,
    /// So long after something has ended it is looked for thumbnails that nobody can ask for any more: longer than one takes to be made.
    pub thumbnails_swept_after: Duration,
    /// What files may take of the bandwidth, up and down together; 0: all there is.
    pub bytes_per_second: u64,
    /// Threads.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            expire_ms: 30 * 86_400_000,
            quota_bytes: 4 << 30,
            profiles_kept: 8,
            transfers: 1_024,
            transfers_per_network: 64,
            unfinished_per_account: 32,
            unfinished: 65_536,
            unfinished_ms: 86_400_000,
            blocked_max: 65_536,
            reserve_bytes: 1 << 30,
            progress_time: Duration::from_secs(30),
            progress_bytes: 8 << 10,
            sweep_every: Duration::from_secs(15),
            thumbnails_swept_after: Duration::from_secs(60),
            bytes_per_second: 0,
            threads: 2,
        }
    }
}

/// What all transfers share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) stores: Stores,
    pub(crate) strays: strays::Strays,
    pub(crate) staging: Arc<Staging>,
    pub(crate) keys: SlotKeys,
    pub(crate) time: Arc<Time>,
    pub(crate) places: Places,
    pub(crate) shares: Shares,
    pub(crate) room: Room,
    pub(crate) thumbnails: Option<Arc<Thumbnails>>,
    pub(crate) metrics: Arc<MediaMetrics>,
    /// There is something for the caretaker to do now.
    pub(crate) due: Notify,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Shared {
    /// Counts what is unfinished.
    pub(crate) fn note_unfinished(&self) {
        let (count, bytes) = self.staging.all();
        self.metrics.unfinished.set(count as i64);
        self.metrics.unfinished_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// The service.
pub struct Media {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
    stop: watch::Sender<bool>,
}

impl Media {
    /// Sees to what an earlier run has left half done, and begins. A backend that files lie in and that is not there is an error.
    pub fn start(
        settings: Settings,
        index: Arc<dyn Index>,
        (stores, staging): (impl Into<Stores>, Staging),
        secrets: impl Into<Secrets>,
        time: Arc<Time>,
        thumbnails: Option<Thumbnails>,
    ) -> io::Result<Self> {
        let runtime = runtime::build(settings.threads)?;
        let metrics = Arc::new(MediaMetrics::default());
        let shared = Arc::new(Shared {
            places: Places::new(settings.transfers, settings.transfers_per_network),
            shares: Shares::new(settings.bytes_per_second, runtime.handle(), &metrics),
            room: Room::new(settings.reserve_bytes),
            settings,
            index,
            stores: stores.into(),
            strays: strays::Strays::default(),
            staging: Arc::new(staging),
            keys: SlotKeys::new(secrets),
            time,
            thumbnails: thumbnails.map(Arc::new),
            metrics,
            due: Notify::new(),
            runtime: runtime.handle().clone(),
        });
        caretaker::require_places(&shared)?;
        caretaker::settle_leftovers(&shared);
        operator::note_blocked(&shared);
        let (stop, stopping) = watch::channel(false);
        runtime.spawn(caretaker::run(shared.clone(), stopping));
        Ok(Self { shared, runtime, stop })
    }

    /// The routes, below [`PATH`].
    pub fn routes(&self) -> axum::Router {
        http::routes(self.shared.clone())
    }

    /// Looks whether index and backends agree, step by step, whenever it is called; it blocks its caller, and works on this crate's runtime.
    /// `within`: a step ends with the page after which it has taken so long.
    pub fn checks(
        &self,
        within: Duration,
    ) -> impl Fn(Option<String>) -> io::Result<check::Found> + Send + Sync + use<> {
        let shared = self.shared.clone();
        move |from| {
            let of = shared.clone();
            let (reply, answer) = std::sync::mpsc::sync_channel(1);
            // Whoever asked may have stopped waiting.
            shared
                .runtime
                .spawn_blocking(move || drop(reply.send(check::step(&of, from.as_deref(), within))));
            answer.recv().map_err(io::Error::other)?
        }
    }

    /// The operator's desk.
    pub fn operator(&self) -> operator::Operator {
        operator::Operator::new(self.shared.clone())
    }

    /// Where a listener of its own runs.
    pub fn handle(&self) -> tokio::runtime::Handle {
        self.shared.runtime.clone()
    }

    /// What is counted.
    pub fn metrics(&self) -> Vec<Arc<dyn chaski_telemetry::Source>> {
        let thumbnails =
            self.shared.thumbnails.iter().map(|it| it.metrics() as Arc<dyn chaski_telemetry::Source>);
        thumbnails.chain([self.shared.metrics.clone() as _]).collect()
    }

    /// Ends it. Transfers in progress are cut; what is half written is seen to at the next start.
    pub fn stop(self, within: Duration) {
        // Nobody listens if the caretaker has ended.
        let _ = self.stop.send(true);
        self.runtime.shutdown_timeout(within);
    }
}
