//! The load: a publisher for each log and two followers of each, on a thread for each of the two kinds, so that their cost can be told apart.
//!
//! Called by: the rates, the kills and the power cuts. Calls [`publisher`](crate::publisher) and [`follower`](crate::follower). Promises: the load
//! follows what [`Stage::load`] says; everything ends within seconds of [`Stage::stop`].

use crate::clock;
use crate::cluster::{Cluster, SERVERS};
use crate::follower::Follower;
use crate::ledger::{FOLLOWERS as FOLLOWERS_EACH, Ledger};
use crate::publisher::Publisher;
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The names of the two threads.
pub(crate) const PUBLISHERS: &str = "publishers";
/// See [`PUBLISHERS`].
pub(crate) const FOLLOWERS: &str = "followers";
const LATENCY_US_MAX: u64 = 300_000_000;

/// How followers get what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reading {
    /// The stream publishes what it has stored under another subject, without consumers; gaps are read from the log.
    Republish,
    /// A consumer for each follower, in memory, without acknowledgements.
    Consumer,
}

/// What the publishers have to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Messages a second over all logs.
    pub(crate) rate: u32,
    /// How far a log's frames are apart.
    pub(crate) pace: Duration,
    /// Whether everything has to end.
    pub(crate) ends: bool,
}

/// Latencies since they were last taken, in µs.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// Of a frame, from its publication to its acknowledgement.
    pub(crate) commit: Histogram<u64>,
    /// Of a message, from when it was due to its frame's acknowledgement.
    pub(crate) acceptance: Histogram<u64>,
    /// Of a frame, from its publication to a follower that has verified it.
    pub(crate) followed: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let empty = || {
            #[expect(clippy::expect_used, reason = "constant bounds that are right")]
            Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).expect("right bounds")
        };
        Self { commit: empty(), acceptance: empty(), followed: empty() }
    }
}

/// What all tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// One a log.
    pub(crate) ledgers: [Ledger; SERVERS],
    /// When the stage began.
    pub(crate) start: Instant,
    latencies: Mutex<Latencies>,
    /// When recent frames were published, in ns since the start: by log, and number modulo the length.
    sent: [Vec<std::sync::atomic::AtomicU64>; SERVERS],
}

/// How many frames' times of publication are remembered.
const SENT: usize = 4096;

impl Shared {
    fn new() -> Self {
        let sent = std::array::from_fn(|_| std::iter::repeat_with(Default::default).take(SENT).collect());
        Self { ledgers: Default::default(), start: clock::now(), latencies: Mutex::default(), sent }
    }

    /// Since the stage began.
    pub(crate) fn ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// To note one.
    pub(crate) fn latencies(&self) -> std::sync::MutexGuard<'_, Latencies> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame is published for the first time.
    pub(crate) fn published(&self, log: usize, number: u64) {
        self.sent[log][number as usize % SENT].store(self.ns(), Ordering::Relaxed);
    }

    /// A follower has verified it.
    pub(crate) fn followed(&self, log: usize, number: u64) {
        let span = self.ns().saturating_sub(self.sent[log][number as usize % SENT].load(Ordering::Relaxed));
        self.latencies().followed.saturating_record(span / 1_000);
    }
}

/// See the module.
pub(crate) struct Stage {
    /// What is known of the logs.
    pub(crate) shared: Arc<Shared>,
    load: watch::Sender<Load>,
    threads: Vec<JoinHandle<Result<()>>>,
}

type Task = Pin<Box<dyn Future<Output = Result<()>>>>;

impl Stage {
    /// The logs are there and empty; nothing is published yet.
    pub(crate) fn start(cluster: &Cluster, reading: Reading) -> Result<Self> {
        let (load, loads) = watch::channel(Load { rate: 0, pace: Duration::from_millis(10), ends: false });
        let shared = Arc::new(Shared::new());
        let urls: [Vec<String>; SERVERS] = std::array::from_fn(|node| cluster.urls_from(node));
        let mut stage = Self { shared: shared.clone(), load, threads: Vec::new() };
        let (publishers_urls, publishers_loads, publishers_shared) =
            (urls.clone(), loads.clone(), shared.clone());
        stage.spawn(PUBLISHERS, move || {
            let tasks = publishers_urls.into_iter().enumerate().map(|(log, urls)| -> Task {
                let (shared, loads) = (publishers_shared.clone(), publishers_loads.clone());
                Box::pin(async move { Publisher::connect(log, &urls, shared).await?.run(loads).await })
            });
            tasks.collect()
        })?;
        stage.spawn(FOLLOWERS, move || {
            let each = (0..SERVERS).flat_map(|log| (0..FOLLOWERS_EACH).map(move |which| (log, which)));
            let tasks = each.map(|(log, which)| -> Task {
                // The nodes that follow a log are the two that do not write it, each by its own server.
                let urls = urls[(log + 1 + which) % SERVERS].clone();
                let (shared, loads) = (shared.clone(), loads.clone());
                Box::pin(async move {
                    Follower::connect(log, which, reading, &urls, shared).await?.run(loads).await
                })
            });
            tasks.collect()
        })?;
        Ok(stage)
    }

    fn spawn(&mut self, name: &str, tasks: impl FnOnce() -> Vec<Task> + Send + 'static) -> Result<()> {
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { futures_util::future::try_join_all(tasks()).await.map(|_| ()) })
        };
        let thread =
            std::thread::Builder::new().name(name.into()).spawn(run).context("can't start a thread")?;
        self.threads.push(thread);
        Ok(())
    }

    /// From now on, so many messages a second.
    pub(crate) fn load(&self, rate: u32, pace: Duration) {
        self.load.send_replace(Load { rate, pace, ends: false });
    }

    /// A log's ledger.
    pub(crate) fn ledgers(&self) -> &[Ledger; SERVERS] {
        &self.shared.ledgers
    }

    /// Messages in acknowledged frames, of all logs; and these frames.
    pub(crate) fn acknowledged(&self) -> (u64, u64) {
        let sum = |of: fn(&Ledger) -> u64| self.ledgers().iter().map(of).sum();
        (
            sum(|ledger| ledger.messages.load(Ordering::Relaxed)),
            sum(|ledger| ledger.frames.load(Ordering::Relaxed)),
        )
    }

    /// The latencies since the last call.
    pub(crate) fn take_latencies(&self) -> Latencies {
        std::mem::take(&mut self.shared.latencies())
    }

    /// An error if a task has ended before it was asked to.
    pub(crate) fn check(&mut self) -> Result<()> {
        if self.threads.iter().any(JoinHandle::is_finished) {
            self.join()?;
            anyhow::bail!("a thread of the load ended by itself");
        }
        Ok(())
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.load.send_modify(|load| load.ends = true);
        self.join()
    }

    fn join(&mut self) -> Result<()> {
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of the load panicked"))??;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.load.send_modify(|load| load.ends = true);
        // Whoever drops it without stopping it has an error to tell already.
        let _ = self.join();
    }
}
