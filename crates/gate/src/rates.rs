//! What the replicated journal costs: processor time of all servers a message at two rates, of the clients beside it, and latencies.
//!
//! Called by: the program. The rates alternate over rounds, so that a machine whose speed changes changes both. Promises: a run's figures are of its
//! measured seconds only, after a warm-up; what others took of the processors meanwhile is with them.

use crate::cluster::Sync;
use crate::ground::{self, Ground, Plan};
use crate::machine::{self, QUIET};
use crate::stats::{self, Spread};
use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

const WARM_UP: Duration = Duration::from_secs(3);

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The two rates, messages a second over all logs.
    pub(crate) rates: [u32; 2],
    /// How often both.
    pub(crate) rounds: u32,
    /// How long each.
    pub(crate) seconds: u64,
    /// How long to wait, in all, for a quiet machine.
    pub(crate) patience: Duration,
}

/// One measured time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    /// Messages a second that were asked for.
    pub(crate) rate: u32,
    /// And that were acknowledged.
    pub(crate) acknowledged_per_s: f64,
    /// Messages in a frame.
    pub(crate) messages_per_frame: f64,
    /// Of a processor, all servers.
    pub(crate) servers: f64,
    /// All servers, µs a message.
    pub(crate) servers_us: f64,
    /// The publishers, µs a message.
    pub(crate) publishers_us: f64,
    /// The followers, µs a message.
    pub(crate) followers_us: f64,
    /// From publication to acknowledgement of a frame, ms.
    pub(crate) commit_p50_ms: f64,
    /// See above.
    pub(crate) commit_p99_ms: f64,
    /// From when a message was due to its frame's acknowledgement, ms.
    pub(crate) acceptance_p50_ms: f64,
    /// See above.
    pub(crate) acceptance_p99_ms: f64,
    /// From a frame's publication to a follower that has verified it, ms.
    pub(crate) followed_p50_ms: f64,
    /// See above.
    pub(crate) followed_p99_ms: f64,
    /// Processors that others had meanwhile.
    pub(crate) others: f64,
    /// The system's load.
    pub(crate) load: f64,
}

/// All.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Rates {
    /// One by one.
    pub(crate) runs: Vec<Run>,
    /// Of a processor, the servers without load.
    pub(crate) idle: f64,
    /// µs of the servers a further message, round by round.
    pub(crate) further_us: Vec<f64>,
    /// What was broken.
    pub(crate) violations: Vec<String>,
}

impl Rates {
    /// Of the runs at a rate.
    pub(crate) fn spread(&self, rate: u32, of: impl Fn(&Run) -> f64) -> Option<Spread> {
        Spread::of(self.runs.iter().filter(|run| run.rate == rate).map(of))
    }

    /// Whether others took less than [`QUIET`] in so many runs.
    pub(crate) fn quiet_runs(&self) -> usize {
        self.runs.iter().filter(|run| run.others < QUIET).count()
    }
}

/// Measures.
pub(crate) async fn run(plan: &Plan, options: &Options) -> Result<Rates> {
    let dir = plan.dir.join("rates");
    let disks = ground::folders(&dir)?;
    let mut ground = Ground::open(plan, &dir, &disks, Sync::Always).await?;
    let mut rates = Rates { runs: Vec::new(), idle: 0.0, further_us: Vec::new(), violations: Vec::new() };
    let mut patience = options.patience;
    rates.idle = idle(&ground).await;
    for round in 0..options.rounds {
        let mut order = options.rates;
        if round % 2 == 1 {
            order.reverse();
        }
        for rate in order {
            let waited = crate::clock::now();
            machine::quiet(&ground.cluster.pids(), patience).await;
            patience = patience.saturating_sub(waited.elapsed());
            let run = measure(plan, options, &mut ground, rate).await?;
            tell(&run);
            rates.runs.push(run);
        }
        rates.further_us.extend(further(&rates.runs[rates.runs.len() - 2..]));
    }
    ground.rest(plan).await?;
    rates.violations = ground.violations().0;
    ground.close()?;
    Ok(rates)
}

async fn idle(ground: &Ground) -> f64 {
    let pids = ground.cluster.pids();
    let before = machine::Reading::now(&pids);
    tokio::time::sleep(WARM_UP).await;
    let used = before.until(&machine::Reading::now(&pids));
    used.servers_s / used.seconds
}

fn further(pair: &[Run]) -> Option<f64> {
    let mut sorted: Vec<(f64, f64)> = pair.iter().map(|run| (run.servers, run.acknowledged_per_s)).collect();
    sorted.sort_by(|one, other| one.1.total_cmp(&other.1));
    stats::us_further(*sorted.first()?, *sorted.last()?)
}

async fn measure(plan: &Plan, options: &Options, ground: &mut Ground, rate: u32) -> Result<Run> {
    ground.stage.load(rate, plan.pace);
    tokio::time::sleep(WARM_UP).await;
    let pids = ground.cluster.pids();
    ground.stage.take_latencies();
    let (before, acknowledged) = (machine::Reading::now(&pids), ground.stage.acknowledged());
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let used = before.until(&machine::Reading::now(&pids));
    let (messages, frames) = ground.stage.acknowledged();
    let latencies = ground.stage.take_latencies();
    ground.stage.load(0, plan.pace);
    ground.stage.check()?;
    let (messages, frames) = ((messages - acknowledged.0) as f64, (frames - acknowledged.1) as f64);
    let us = |cpu_s: f64| stats::us_each(cpu_s, messages).unwrap_or(f64::NAN);
    Ok(Run {
        rate,
        acknowledged_per_s: messages / used.seconds,
        messages_per_frame: messages / frames,
        servers: used.servers_s / used.seconds,
        servers_us: us(used.servers_s),
        publishers_us: us(used.publishers_s),
        followers_us: us(used.followers_s),
        commit_p50_ms: at(&latencies.commit, 0.5),
        commit_p99_ms: at(&latencies.commit, 0.99),
        acceptance_p50_ms: at(&latencies.acceptance, 0.5),
        acceptance_p99_ms: at(&latencies.acceptance, 0.99),
        followed_p50_ms: at(&latencies.followed, 0.5),
        followed_p99_ms: at(&latencies.followed, 0.99),
        others: used.others,
        load: machine::load(),
    })
}

fn at(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

fn tell(run: &Run) {
    crate::say(&format!(
        "  {:>5}/s: {:>6.0}/s acknowledged, {:.1} a frame, servers {:.0} µs a message ({:.2} processors), publishers {:.1}, followers {:.1} µs; commit \
         p50 {:.1}, p99 {:.1} ms; others {:.2} processors",
        run.rate,
        run.acknowledged_per_s,
        run.messages_per_frame,
        run.servers_us,
        run.servers,
        run.publishers_us,
        run.followers_us,
        run.commit_p50_ms,
        run.commit_p99_ms,
        run.others
    ));
}
