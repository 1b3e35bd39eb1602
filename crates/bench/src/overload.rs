//! More than the server can do, for a while, in an open loop; then rest; then normal traffic again.
//!
//! What the server accepts it must deliver, sooner or later; what it can't take it may leave unread or refuse. Whether it is well
//! again is told by normal traffic's latency before and after.

use crate::engine::Command;
use crate::engine::traffic::{Body, Plan, Who};
use crate::error::BenchError;
use crate::load::Load;
use crate::result::{Report, Scenario};
use crate::run::Run;
use std::time::Duration;

/// Most time for what is on the way in the end.
const GRACE: Duration = Duration::from_secs(120);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where, and with which accounts.
    pub load: Load,
    /// How many pairs.
    pub pairs: u32,
    /// Messages per second, far too many.
    pub rate: f64,
    /// How long.
    pub seconds: u64,
    /// Normal traffic, before and after: messages per second.
    pub normal_rate: f64,
    /// Seconds of normal traffic, each time.
    pub normal_seconds: u64,
    /// Seconds of rest after the overload.
    pub rest_seconds: u64,
    /// Bytes of each message's text.
    pub body_bytes: usize,
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    if options.pairs == 0 {
        return Err(BenchError::Refused("--pairs must not be 0".into()));
    }
    let mut run = Run::start(&options.load, options.pairs * 2).await?;
    run.log_in_all().await?;
    run.settle().await?;
    run.next_phase()?;
    let mut latencies = Vec::new();
    send_at(&run, options, options.normal_rate);
    run.hold(Duration::from_secs(options.normal_seconds)).await?;
    latencies.extend(run.next_phase()?.into_iter().map(|(name, it)| (format!("{name}_before"), it)));
    run.mark("measured");
    let begin = run.standing()?;
    send_at(&run, options, options.rate);
    run.hold(Duration::from_secs(options.seconds)).await?;
    let end = run.standing()?;
    latencies.extend(run.next_phase()?.into_iter().map(|(name, it)| (format!("{name}_during"), it)));
    run.fleet.tell(|_| Command::Traffic(None));
    run.mark("rest");
    run.hold(Duration::from_secs(options.rest_seconds)).await?;
    run.next_phase()?;
    run.mark("normal");
    send_at(&run, options, options.normal_rate);
    run.hold(Duration::from_secs(options.normal_seconds)).await?;
    latencies.extend(run.next_phase()?.into_iter().map(|(name, it)| (format!("{name}_after"), it)));
    let is_complete = run.arrival_of_all(GRACE).await?;
    let mut report = run.report(Scenario::Overload, (begin, end)).await?;
    if !is_complete && report.figures.lost == 0 {
        report.complaints.push("what was neither accepted nor refused did not all arrive in time".into());
    }
    report.latencies.extend(latencies);
    report.options.seconds = options.seconds;
    report.options.rate_per_s = Some(options.rate);
    report.options.body_bytes = Some(options.body_bytes as u64);
    Ok(report)
}

fn send_at(run: &Run, options: &Options, per_s: f64) {
    run.fleet.tell(|share| {
        let (pairs, body) = (share.pairs_of(options.pairs), Body::Fixed(options.body_bytes));
        let per_s = per_s * f64::from(pairs) / f64::from(options.pairs);
        Command::Traffic(Some(Plan::Open { per_s, who: Who::Pairs { pairs }, body, typing_per_message: 0.0 }))
    });
}
