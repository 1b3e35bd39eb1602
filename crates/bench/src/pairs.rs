//! Messages between pairs of sessions as fast as the server goes: throughput, CPU per message, latency.
//!
//! Each pair keeps a number of messages in flight: sent, and not yet both accepted and delivered. Sender and receiver of a pair
//! live in one task. What is counted is what was delivered within the measured time.

use crate::error::BenchError;
use crate::load::{self, Load, LoadServer};
use crate::progress::Progress;
use chaski_client::message::{self, Received};
use chaski_client::{Client, ClientError, Event, Target};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longest latency that is told apart from longer ones.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Before the measurement: the server's caches fill, connections reach their pace.
const WARM_UP: Duration = Duration::from_secs(1);
/// How often the progress line changes.
const TICK: Duration = Duration::from_millis(500);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where, and with which accounts.
    pub load: Load,
    /// How many pairs.
    pub pairs: usize,
    /// Messages in flight per pair.
    pub in_flight: usize,
    /// How long to measure.
    pub seconds: u64,
    /// Bytes of each message's text.
    pub body_bytes: usize,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half are quicker.
    pub p50_us: u64,
    /// One in a hundred is slower.
    pub p99_us: u64,
    /// One in a thousand is slower.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How many pairs.
    pub pairs: usize,
    /// Messages in flight per pair.
    pub in_flight: usize,
    /// Whether over TLS.
    pub tls: bool,
    /// The measured time.
    pub seconds: f64,
    /// Messages delivered in it.
    pub delivered: u64,
    /// Per second.
    pub messages_per_s: f64,
    /// The server's CPU time per message, if its process is known.
    pub server_cpu_us_per_message: Option<f64>,
    /// The server's memory in the end.
    pub server_resident_bytes: Option<u64>,
    /// From sending to arrival.
    pub delivery: Latency,
    /// From sending to the server's acceptance.
    pub acceptance: Latency,
}

struct Shared {
    /// The time that all latencies are counted from.
    start: Instant,
    delivered: AtomicU64,
    measuring: AtomicBool,
    stop: AtomicBool,
}

struct Latencies {
    delivery: Histogram<u64>,
    acceptance: Histogram<u64>,
}

impl Latencies {
    fn new() -> Self {
        let histogram = || Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are right");
        Self { delivery: histogram(), acceptance: histogram() }
    }

    fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.delivery.add(&other.delivery);
        let _ = self.acceptance.add(&other.acceptance);
    }
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    if options.pairs == 0 || options.in_flight == 0 || options.in_flight > 5_000 {
        return Err(BenchError::Refused("--pairs and --in-flight (at most 5000) must not be 0".into()));
    }
    load::check_open_files(options.pairs as u64 * 2)?;
    let server = LoadServer::start(&options.load, options.pairs * 2).await?;
    let mut sessions = load::log_in(&options.load, &server.target, options.pairs * 2).await?;
    let shared = Arc::new(Shared {
        start: Instant::now(),
        delivered: AtomicU64::new(0),
        measuring: AtomicBool::new(false),
        stop: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    for index in 0..options.pairs {
        let (Some(receiver), Some(sender)) = (sessions.pop(), sessions.pop()) else { break };
        let pair = Pair::new(index, options, &server.target, sender, receiver, shared.clone());
        tasks.spawn(pair.run());
    }
    tokio::time::sleep(WARM_UP).await;
    let before = server.usage();
    let started = Instant::now();
    shared.measuring.store(true, Ordering::Relaxed);
    let first = shared.delivered.load(Ordering::Relaxed);
    watch(options, &shared, started).await;
    let delivered = shared.delivered.load(Ordering::Relaxed) - first;
    let seconds = started.elapsed().as_secs_f64();
    shared.measuring.store(false, Ordering::Relaxed);
    let after = server.usage();
    shared.stop.store(true, Ordering::Relaxed);
    let mut all = Latencies::new();
    while let Some(pair) = tasks.join_next().await {
        let latencies = pair.map_err(|error| BenchError::Server(error.to_string()))?;
        all.add(&latencies.map_err(BenchError::client("a pair"))?);
    }
    server.stop().await?;
    let cpu = before.zip(after).map(|(before, after)| after.cpu.saturating_sub(before.cpu).as_secs_f64());
    Ok(Report {
        pairs: options.pairs,
        in_flight: options.in_flight,
        tls: options.load.tls,
        seconds,
        delivered,
        messages_per_s: delivered as f64 / seconds,
        server_cpu_us_per_message: cpu.filter(|_| delivered > 0).map(|cpu| cpu * 1e6 / delivered as f64),
        server_resident_bytes: after.map(|usage| usage.resident_bytes),
        delivery: latency(&all.delivery),
        acceptance: latency(&all.acceptance),
    })
}

async fn watch(options: &Options, shared: &Shared, started: Instant) {
    let mut progress = Progress::new(options.seconds, options.load.quiet);
    let length = Duration::from_secs(options.seconds);
    let mut last = shared.delivered.load(Ordering::Relaxed);
    while started.elapsed() < length {
        tokio::time::sleep(TICK.min(length.saturating_sub(started.elapsed()))).await;
        let now = shared.delivered.load(Ordering::Relaxed);
        let per_s = (now - last) as f64 / TICK.as_secs_f64();
        progress.at(started.elapsed().as_secs(), || format!("s, {per_s:.0} messages/s"));
        last = now;
    }
    progress.finish();
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    Latency {
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    }
}

struct Pair {
    index: usize,
    in_flight: u64,
    filler: String,
    address: String,
    sender: Client,
    receiver: Client,
    shared: Arc<Shared>,
    sent: u64,
    delivered: u64,
    accepted: u64,
    latencies: Latencies,
}

impl Pair {
    fn new(
        index: usize,
        options: &Options,
        target: &Target,
        sender: Client,
        receiver: Client,
        shared: Arc<Shared>,
    ) -> Self {
        let receiving = receiver.jid().unwrap_or_default().split('@').next().unwrap_or_default();
        let address = format!("{receiving}@{}", target.domain);
        let filler = "x".repeat(options.body_bytes);
        let (sent, delivered, accepted) = (0, 0, 0);
        let in_flight = options.in_flight as u64;
        let latencies = Latencies::new();
        Self {
            index,
            in_flight,
            filler,
            address,
            sender,
            receiver,
            shared,
            sent,
            delivered,
            accepted,
            latencies,
        }
    }

    async fn run(mut self) -> Result<Latencies, ClientError> {
        let mut look = tokio::time::interval(TICK);
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.fill()?;
            tokio::select! {
                event = self.sender.next() => self.sender_event(event?),
                event = self.receiver.next() => self.receiver_event(event?),
                _ = look.tick() => {}
            }
        }
        Ok(self.latencies)
    }

    fn now_us(&self) -> u64 {
        self.shared.start.elapsed().as_micros() as u64
    }

    /// The mark is the time of sending; a message's text begins with it.
    fn fill(&mut self) -> Result<(), ClientError> {
        while self.sent - self.accepted.min(self.delivered) < self.in_flight {
            let now_us = self.now_us();
            let id = format!("p{}-{}", self.index, self.sent);
            let body = format!("{now_us} {}", self.filler);
            self.sender.send(now_us, message::chat(&self.address, &id, &body))?;
            self.sent += 1;
        }
        Ok(())
    }

    fn sender_event(&mut self, event: Event) {
        let Event::Accepted(marks) = event else { return };
        let now_us = self.now_us();
        self.accepted += marks.len() as u64;
        if self.shared.measuring.load(Ordering::Relaxed) {
            marks.iter().for_each(|&sent_us| self.latencies.acceptance.saturating_record(now_us - sent_us));
        }
    }

    fn receiver_event(&mut self, event: Event) {
        let Event::Stanza(element) = event else { return };
        let Some(received) = Received::read(&element.stanza()) else { return };
        let sent_us = received.body.as_deref().and_then(|body| body.split(' ').next()?.parse::<u64>().ok());
        let Some(sent_us) = sent_us else { return };
        self.delivered += 1;
        self.shared.delivered.fetch_add(1, Ordering::Relaxed);
        if self.shared.measuring.load(Ordering::Relaxed) {
            self.latencies.delivery.saturating_record(self.now_us().saturating_sub(sent_us));
        }
    }
}
