//! Messages between pairs of sessions: in a closed loop (each pair keeps a number of messages on the way) as fast as the server goes,
//! or in an open loop at a rate, with latencies counted from the intended times.
//!
//! A message is on the way until it is both accepted (with stream management) and delivered. Throughput is what was delivered
//! within the measured time.

use crate::engine::Command;
use crate::engine::traffic::{Body, Plan, Who};
use crate::error::BenchError;
use crate::load::Load;
use crate::result::{Report, Scenario};
use crate::run::Run;
use std::time::Duration;

/// Before the measurement: the server's caches fill, connections reach their pace.
const WARM_UP: Duration = Duration::from_secs(1);
/// After it: what is on the way arrives.
const GRACE: Duration = Duration::from_secs(20);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where, and with which accounts.
    pub load: Load,
    /// How many pairs.
    pub pairs: u32,
    /// Closed or open.
    pub pace: Pace,
    /// How long to measure.
    pub seconds: u64,
    /// Bytes of each message's text.
    pub body_bytes: usize,
}

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Closed loop: so many on the way per pair.
    InFlight(u32),
    /// Open loop: so many per second, over all pairs.
    PerSecond(f64),
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    let in_order = match options.pace {
        Pace::InFlight(count) => (1..=5_000).contains(&count),
        Pace::PerSecond(rate) => rate > 0.0,
    };
    if options.pairs == 0 || !in_order {
        return Err(BenchError::Refused(
            "--pairs, --rate and --in-flight (at most 5000) must not be 0".into(),
        ));
    }
    let mut run = Run::start(&options.load, options.pairs * 2).await?;
    run.log_in_all().await?;
    run.settle().await?;
    let logins = run.next_phase()?;
    run.fleet.tell(|share| {
        let (pairs, body) = (share.pairs_of(options.pairs), Body::Fixed(options.body_bytes));
        Command::Traffic(Some(match options.pace {
            Pace::InFlight(in_flight) => Plan::Closed { pairs, in_flight, body },
            Pace::PerSecond(rate) => {
                let per_s = rate * f64::from(pairs) / f64::from(options.pairs);
                Plan::Open { per_s, who: Who::Pairs { pairs }, body, typing_per_message: 0.0 }
            }
        }))
    });
    run.hold(WARM_UP).await?;
    run.next_phase()?;
    run.mark("measured");
    let begin = run.standing()?;
    run.hold(Duration::from_secs(options.seconds)).await?;
    let end = run.standing()?;
    let latencies = run.next_phase()?;
    let is_complete = run.arrival_of_all(GRACE).await?;
    let mut report = run.report(Scenario::Pairs, (begin, end)).await?;
    if !is_complete {
        report.complaints.push("not everything arrived in time".into());
    }
    report.options.seconds = options.seconds;
    report.options.body_bytes = Some(options.body_bytes as u64);
    match options.pace {
        Pace::InFlight(count) => report.options.in_flight = Some(count.into()),
        Pace::PerSecond(rate) => report.options.rate_per_s = Some(rate),
    }
    let logins = logins.into_iter().filter(|(name, _)| *name == "login");
    report.latencies.extend(latencies.into_iter().chain(logins).map(|(name, it)| (name.to_owned(), it)));
    Ok(report)
}
