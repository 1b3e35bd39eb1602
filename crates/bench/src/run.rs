//! A run from its first login to its report: drives the fleet, watches the server, gathers figures.
//!
//! Used by every scenario, which says only what is to happen when. A tick collects what the generator threads have published;
//! once a second a [`Sample`] is taken. Latencies go to the current *phase*, which a scenario begins.

use crate::engine::ledger::Balance;
use crate::engine::{Batch, Command, Counters, Fleet, threads_for};
use crate::error::BenchError;
use crate::load::{Load, LoadServer};
use crate::progress::Progress;
use crate::result::{Figures, Latency, Mark, Options, ProcessUse, Report, Sample, Scenario};
use crate::server::Rig;
use crate::server::process::{self, Usage};
use chaski_promises::fates::Fates;
use hdrhistogram::Histogram;
use std::time::Duration;

/// How often published counts are collected.
const TICK: Duration = Duration::from_millis(100);
const SAMPLE_US: u64 = 1_000_000;
/// Longest latency that is told apart from longer ones.
const LATENCY_US_MAX: u64 = 600_000_000;
/// The server's buffers of the logins are given back by then.
const SETTLE: Duration = Duration::from_secs(2);
/// The same for few sessions.
const SETTLE_FEW: Duration = Duration::from_millis(300);
const FEW: u32 = 1_000;
/// Sessions that are logged in and out before the measurement, so that what is there once is not counted.
const WARM_UP_SESSIONS: u32 = 50;
/// Logins that fail before any has worked: nobody will.
const FAILURES_MAX: u64 = 200;

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are right")
}

fn settle_time(sessions: u32) -> Duration {
    if sessions < FEW { SETTLE_FEW } else { SETTLE }
}

/// Latencies of a phase.
struct Phase {
    login: Histogram<u64>,
    recovery: Histogram<u64>,
    delivery: Histogram<u64>,
    delivery_to_cut: Histogram<u64>,
    acceptance: Histogram<u64>,
}

impl Phase {
    fn new() -> Self {
        Self {
            login: histogram(),
            recovery: histogram(),
            delivery: histogram(),
            delivery_to_cut: histogram(),
            acceptance: histogram(),
        }
    }
}

/// Where things stand at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    pub(crate) at_us: u64,
    pub(crate) counters: Counters,
    pub(crate) server: Option<Usage>,
    pub(crate) generator: Usage,
}

impl Standing {
    pub(crate) fn seconds_since(&self, earlier: &Self) -> f64 {
        self.at_us.saturating_sub(earlier.at_us) as f64 / 1e6
    }

    /// The server's CPU time since then, in microseconds.
    pub(crate) fn server_cpu_us_since(&self, earlier: &Self) -> Option<f64> {
        let (now, then) = (self.server?, earlier.server?);
        Some(now.cpu.saturating_sub(then.cpu).as_micros() as f64)
    }
}

/// See the module.
pub(crate) struct Run {
    pub(crate) fleet: Fleet,
    server: LoadServer,
    load: Load,
    sessions: u32,
    threads: u32,
    counters: Counters,
    phase: Phase,
    second: Histogram<u64>,
    /// Before the first session, and with all.
    pub(crate) empty: Standing,
    pub(crate) loaded: Standing,
    last: Standing,
    series: Vec<Sample>,
    marks: Vec<Mark>,
    mechanism: String,
    /// The first trouble that a generator thread has told.
    pub(crate) trouble: Option<String>,
    progress: Progress,
    progress_total: u64,
}

impl Run {
    /// Starts the server and the generator threads. `accounts` is at least the number of sessions.
    pub(crate) async fn start(load: &Load, sessions: u32) -> Result<Self, BenchError> {
        Self::start_among(load, sessions, 0).await
    }

    /// The same on a server that has so many more accounts, behind those of the sessions.
    pub(crate) async fn start_among(load: &Load, sessions: u32, others: u32) -> Result<Self, BenchError> {
        if sessions == 0 {
            return Err(BenchError::Refused("there must be sessions".into()));
        }
        let server = LoadServer::start(load, sessions + others).await?;
        warm_up(load, &server, WARM_UP_SESSIONS.min(sessions)).await?;
        let threads = load.threads.unwrap_or(threads_for(u64::from(sessions)) as u32).min(sessions);
        let generator = process::usage(std::process::id()).unwrap_or_default();
        let fleet = Fleet::start(server.setup(load)?, sessions, threads)?;
        tokio::time::sleep(settle_time(sessions)).await;
        let mut run = Self {
            fleet,
            server,
            load: load.clone(),
            sessions,
            threads,
            counters: Counters::default(),
            phase: Phase::new(),
            second: histogram(),
            empty: Standing::default(),
            loaded: Standing::default(),
            last: Standing::default(),
            series: Vec::new(),
            marks: Vec::new(),
            mechanism: String::new(),
            trouble: None,
            progress: Progress::new(u64::from(sessions), load.quiet),
            progress_total: u64::from(sessions),
        };
        run.empty = run.standing()?;
        // The sessions' records are made when the threads start.
        run.empty.generator.resident_bytes = generator.resident_bytes;
        run.last = run.empty;
        Ok(run)
    }

    /// Logs everybody in.
    pub(crate) async fn log_in_all(&mut self) -> Result<(), BenchError> {
        let (at_once, per_s) = (self.load.logins_at_once as usize, self.load.logins_per_s);
        self.fleet.tell(|share| Command::LogIn {
            sessions: 0..share.sessions,
            per_s: per_s.map(|per_s| share.rate_of(per_s)),
            at_once: (at_once / share.threads as usize).max(1),
        });
        while self.counters.live < u64::from(self.sessions) {
            self.tick().await?;
            if self.counters.logins == 0
                && self.counters.login_failures > FAILURES_MAX.min(u64::from(self.sessions))
            {
                let why = self.trouble.take().unwrap_or_default();
                return Err(BenchError::Server(format!("nobody can log in: {why}")));
            }
        }
        self.mark("logged_in");
        self.loaded = self.standing()?;
        Ok(())
    }

    /// Lets the server come to rest, and notes its memory with all sessions.
    pub(crate) async fn settle(&mut self) -> Result<(), BenchError> {
        self.hold(settle_time(self.sessions)).await?;
        let rested = self.standing()?;
        self.loaded.server = self
            .loaded
            .server
            .zip(rested.server)
            .map(|(logged_in, rested)| Usage { resident_bytes: rested.resident_bytes, ..logged_in });
        self.loaded.generator.resident_bytes = rested.generator.resident_bytes;
        Ok(())
    }

    /// Goes on for a while.
    pub(crate) async fn hold(&mut self, length: Duration) -> Result<(), BenchError> {
        let end_us = self.fleet.now_us() + length.as_micros() as u64;
        self.progress_over(length.as_secs());
        while self.fleet.now_us() < end_us {
            self.tick().await?;
        }
        Ok(())
    }

    /// Goes on until `done` says so, at most for `longest`. False: it did not.
    pub(crate) async fn until(
        &mut self,
        longest: Duration,
        mut done: impl FnMut(&Counters, &Fleet) -> bool,
    ) -> Result<bool, BenchError> {
        let end_us = self.fleet.now_us() + longest.as_micros() as u64;
        loop {
            if done(&self.counters, &self.fleet) {
                return Ok(true);
            }
            if self.fleet.now_us() >= end_us {
                return Ok(false);
            }
            self.tick().await?;
        }
    }

    /// Counts up to now, as published last.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// After the traffic: waits until all that was sent has arrived or was refused. False: it took too long.
    pub(crate) async fn arrival_of_all(&mut self, longest: Duration) -> Result<bool, BenchError> {
        self.fleet.tell(|_| Command::Traffic(None));
        self.fleet.settle();
        self.until(longest, |_, fleet| {
            let balance = fleet.balance();
            balance.not_delivered == 0 && balance.lost == 0
        })
        .await
    }

    fn progress_over(&mut self, total: u64) {
        self.progress.finish();
        self.progress_total = total.max(1);
        self.progress = Progress::new(self.progress_total, self.load.quiet);
    }

    /// What happened up to now, exactly.
    pub(crate) fn standing(&mut self) -> Result<Standing, BenchError> {
        self.fleet.settle();
        self.collect()?;
        Ok(Standing {
            at_us: self.fleet.now_us(),
            counters: self.counters,
            server: self.server.usage(),
            generator: process::usage(std::process::id()).unwrap_or_default(),
        })
    }

    /// Where the server runs, if it is our own.
    pub(crate) fn rig(&self) -> Option<Rig> {
        self.server.rig().cloned()
    }

    /// The most memory of the server's that was seen since the last moment with a name.
    pub(crate) fn most_resident_bytes(&self) -> u64 {
        let since = self.marks.last().map_or(0.0, |mark| mark.at_s);
        let samples = self.series.iter().filter(|sample| sample.at_s >= since);
        samples.filter_map(|sample| sample.server_resident_bytes).max().unwrap_or(0)
    }

    /// Gives the moment a name.
    pub(crate) fn mark(&mut self, name: &str) {
        self.marks.push(Mark { at_s: self.at_s(self.fleet.now_us()), name: name.to_owned() });
    }

    fn at_s(&self, now_us: u64) -> f64 {
        now_us.saturating_sub(self.empty.at_us) as f64 / 1e6
    }

    /// Latencies from here on are of a new phase; those up to here.
    pub(crate) fn next_phase(&mut self) -> Result<Vec<(&'static str, Latency)>, BenchError> {
        self.fleet.settle();
        self.collect()?;
        let phase = std::mem::replace(&mut self.phase, Phase::new());
        let all = [
            ("login", phase.login),
            ("recovery", phase.recovery),
            ("delivery", phase.delivery),
            ("delivery_to_cut", phase.delivery_to_cut),
            ("acceptance", phase.acceptance),
        ];
        let measured = all.into_iter().filter(|(_, histogram)| !histogram.is_empty());
        Ok(measured.map(|(name, histogram)| (name, Latency::of(&histogram))).collect())
    }

    async fn tick(&mut self) -> Result<(), BenchError> {
        tokio::time::sleep(TICK).await;
        self.collect()?;
        let now_us = self.fleet.now_us();
        if now_us >= self.last.at_us + SAMPLE_US {
            self.sample(now_us);
        }
        Ok(())
    }

    fn collect(&mut self) -> Result<(), BenchError> {
        let Self { fleet, phase, second, mechanism, trouble, .. } = self;
        self.counters = fleet.collect(|batch: Batch| {
            let record = |histogram: &mut Histogram<u64>, values: &[u64]| {
                values.iter().for_each(|&value| histogram.saturating_record(value));
            };
            record(&mut phase.login, &batch.login);
            record(&mut phase.recovery, &batch.recovery);
            record(&mut phase.delivery, &batch.delivery);
            record(&mut phase.delivery_to_cut, &batch.delivery_to_cut);
            record(&mut phase.acceptance, &batch.acceptance);
            record(second, &batch.delivery);
            if let Some(used) = batch.mechanism {
                *mechanism = used.name().to_owned();
            }
            if trouble.is_none() {
                *trouble = batch.complaint;
            }
        })?;
        Ok(())
    }

    fn sample(&mut self, now_us: u64) {
        let now = Standing {
            at_us: now_us,
            counters: self.counters,
            server: self.server.usage(),
            generator: process::usage(std::process::id()).unwrap_or_default(),
        };
        let seconds = now.seconds_since(&self.last);
        let then = self.last.counters;
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        let quantile = |at| (!self.second.is_empty()).then(|| self.second.value_at_quantile(at));
        let cpu = |us: f64| us / seconds / 1e4;
        let sample = Sample {
            at_s: self.at_s(now_us),
            sessions: now.counters.live,
            logins_per_s: rate(now.counters.logins, then.logins),
            sent_per_s: rate(now.counters.sent, then.sent),
            accepted_per_s: rate(now.counters.accepted, then.accepted),
            refused_per_s: rate(now.counters.refused, then.refused),
            delivered_per_s: rate(now.counters.delivered, then.delivered),
            deliveries_per_s: rate(now.counters.deliveries, then.deliveries),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            server_cpu_percent: now.server_cpu_us_since(&self.last).map(cpu),
            server_resident_bytes: now.server.map(|usage| usage.resident_bytes),
            server_disk_bytes: self.server.rig().map(Rig::disk_bytes),
            generator_cpu_percent: cpu(
                now.generator.cpu.saturating_sub(self.last.generator.cpu).as_micros() as f64
            ),
            generator_resident_bytes: now.generator.resident_bytes,
        };
        self.second.reset();
        self.last = now;
        self.show(&sample);
        self.series.push(sample);
    }

    fn show(&mut self, sample: &Sample) {
        let done = if self.counters.live < u64::from(self.sessions) && self.marks.is_empty() {
            self.counters.live
        } else {
            // Seconds of what is going on.
            let since = self.marks.last().map_or(0.0, |mark| mark.at_s);
            (sample.at_s - since).max(0.0) as u64
        };
        self.progress.at(done.min(self.progress_total), || line(sample));
    }

    /// What a report says of every scenario.
    pub(crate) fn options(&self) -> Options {
        Options {
            sessions: self.sessions.into(),
            transport: self.load.security.name().to_owned(),
            stream_management: self.load.stream_management,
            way: self.load.way.name().to_owned(),
            tls_resumption: self.load.tls_resumption,
            mechanism: self.mechanism.clone(),
            threads: self.threads.into(),
            shards: self.load.own.shards.filter(|_| self.load.running.is_none()).map(u64::from),
            logins_per_s: self.load.logins_per_s,
            ..Options::default()
        }
    }

    /// Ends the run: the report, with figures of what lies between two moments.
    pub(crate) async fn report(
        mut self,
        scenario: Scenario,
        (begin, end): (Standing, Standing),
    ) -> Result<Report, BenchError> {
        self.mark("stopped");
        let balance = self.fleet.balance();
        let options = self.options();
        let figures = self.figures(&begin, &end, balance);
        let mut complaints = Vec::new();
        let mut complain = |count: u64, what: &str| {
            if count > 0 {
                complaints.push(format!("{count} {what}"));
            }
        };
        for (rule, count) in balance.fates(self.noticed(&end)).broken() {
            complain(count, &format!("messages break a promise of docs/promises.md: {rule}"));
        }
        complain(figures.sessions_lost, "sessions were cut by the server");
        // In a storm or an overload a server may refuse logins: who is refused comes again.
        if !matches!(scenario, Scenario::Login | Scenario::Overload) {
            complain(figures.login_failures, "logins failed");
        }
        let trouble = self.trouble.take().filter(|_| !complaints.is_empty());
        complaints.extend(trouble.map(|trouble| format!("the first trouble: {trouble}")));
        self.progress.finish();
        let report = Report {
            scenario,
            label: self.load.label.clone(),
            options,
            figures,
            server: self.server_use(&begin, &end),
            generator: self.generator_use(&begin, &end),
            series: std::mem::take(&mut self.series),
            marks: std::mem::take(&mut self.marks),
            complaints,
            ..Report::default()
        };
        drop(self.fleet);
        self.server.stop().await?;
        Ok(report)
    }

    /// What the sessions have noticed of broken promises.
    fn noticed(&self, end: &Standing) -> Fates {
        let now = &end.counters;
        // Where a connection was lost, by us or by the server, copies are due to that.
        let no_fault = now.resumed == 0 && now.sessions_lost == 0 && now.logins == u64::from(self.sessions);
        Fates {
            copies_without_fault: if no_fault { now.duplicates } else { 0 },
            out_of_order: now.out_of_order,
            astray: now.astray,
            ..Fates::default()
        }
    }

    fn figures(&self, begin: &Standing, end: &Standing, balance: Balance) -> Figures {
        let (now, then) = (&end.counters, &begin.counters);
        let seconds = end.seconds_since(begin);
        let managed = self.load.stream_management && now.accepted > 0;
        let delivered = now.delivered - then.delivered;
        let sessions = f64::from(self.sessions);
        let per_s = |count: u64| (count > 0 && seconds > 0.0).then(|| count as f64 / seconds);
        let grown = |after: Option<Usage>, before: Option<Usage>| {
            let (after, before) = (after?.resident_bytes, before?.resident_bytes);
            Some(after.saturating_sub(before) as f64 / sessions)
        };
        Figures {
            measured_s: seconds,
            sessions: then.live,
            logins: now.logins,
            login_failures: self.counters.login_failures,
            sessions_lost: self.counters.sessions_lost,
            logins_per_s: Some(sessions / self.loaded.seconds_since(&self.empty)),
            server_cpu_us_per_login: self.loaded.server_cpu_us_since(&self.empty).map(|us| us / sessions),
            server_cpu_us_per_return: None,
            sent: now.sent - then.sent,
            accepted: managed.then_some(now.accepted - then.accepted),
            unsent: now.unsent - then.unsent,
            refused: now.refused - then.refused,
            delivered,
            duplicates: now.duplicates - then.duplicates,
            lost: balance.lost,
            not_accepted: managed.then_some(balance.not_accepted),
            deliveries: now.deliveries - then.deliveries,
            messages_per_s: per_s(delivered),
            deliveries_per_s: per_s(now.deliveries - then.deliveries),
            server_cpu_us_per_message: end
                .server_cpu_us_since(begin)
                .filter(|_| delivered > 0)
                .map(|us| us / delivered as f64),
            server_resident_bytes_per_session: grown(self.loaded.server, self.empty.server),
            generator_resident_bytes_per_session: grown(
                Some(self.loaded.generator),
                Some(self.empty.generator),
            ),
            presence_sent: (now.presence_sent > 0).then_some(now.presence_sent - then.presence_sent),
            presence_delivered: (now.presence > 0).then_some(now.presence - then.presence),
            presence_per_s: per_s(now.presence - then.presence),
            server_cpu_us_per_presence: end
                .server_cpu_us_since(begin)
                .filter(|_| now.presence > then.presence)
                .map(|us| us / (now.presence - then.presence) as f64),
            recovery_s: None,
            resumed: None,
            tls_resumed: None,
        }
    }

    fn server_use(&self, begin: &Standing, end: &Standing) -> Option<ProcessUse> {
        let most = self.series.iter().filter_map(|sample| sample.server_resident_bytes).max();
        let usages = (self.empty.server?, self.loaded.server?, begin.server?, end.server?);
        Some(process_use(usages, end.seconds_since(begin), most))
    }

    fn generator_use(&self, begin: &Standing, end: &Standing) -> ProcessUse {
        let most = self.series.iter().map(|sample| sample.generator_resident_bytes).max();
        let usages = (self.empty.generator, self.loaded.generator, begin.generator, end.generator);
        process_use(usages, end.seconds_since(begin), most)
    }
}

fn process_use(
    (empty, loaded, begin, end): (Usage, Usage, Usage, Usage),
    seconds: f64,
    most: Option<u64>,
) -> ProcessUse {
    let cpu_s = end.cpu.saturating_sub(begin.cpu).as_secs_f64();
    ProcessUse {
        cpu_s,
        cpu_percent: if seconds > 0.0 { cpu_s / seconds * 100.0 } else { 0.0 },
        resident_bytes_start: empty.resident_bytes,
        resident_bytes_loaded: loaded.resident_bytes,
        resident_bytes_end: end.resident_bytes,
        resident_bytes_max: most.unwrap_or_default().max(end.resident_bytes),
    }
}

fn line(sample: &Sample) -> String {
    let Sample { sessions, logins_per_s, delivered_per_s, .. } = sample;
    let mut line = format!("· {sessions} sessions");
    if *logins_per_s >= 1.0 {
        line.push_str(&format!(", {logins_per_s:.0} logins/s"));
    }
    if *delivered_per_s > 0.0 {
        line.push_str(&format!(", {delivered_per_s:.0} messages/s"));
    }
    if let Some(p99_us) = sample.p99_us {
        line.push_str(&format!(", p99 {:.1} ms", p99_us as f64 / 1e3));
    }
    if let (Some(cpu), Some(bytes)) = (sample.server_cpu_percent, sample.server_resident_bytes) {
        line.push_str(&format!(", server {cpu:.0} % CPU, {} MB", bytes / 1_000_000));
    }
    line
}

/// A few sessions come and go.
async fn warm_up(load: &Load, server: &LoadServer, sessions: u32) -> Result<(), BenchError> {
    let fleet = Fleet::start(server.setup(load)?, sessions, 1)?;
    fleet.tell(|share| Command::LogIn { sessions: 0..share.sessions, per_s: None, at_once: 16 });
    let mut why = None;
    loop {
        tokio::time::sleep(TICK / 2).await;
        let counters = fleet.collect(|batch| why = why.take().or(batch.complaint))?;
        if counters.live >= u64::from(sessions) {
            return Ok(());
        }
        if counters.login_failures >= u64::from(sessions) {
            let why = why.unwrap_or_default();
            return Err(BenchError::Server(format!("nobody can log in: {why}")));
        }
    }
}
