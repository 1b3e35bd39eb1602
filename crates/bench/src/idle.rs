//! Sessions that do nothing: what each costs the server in memory, and what its login costs.

use crate::error::BenchError;
use crate::load::Load;
use crate::result::{Report, Scenario};
use crate::run::Run;
use std::time::Duration;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where, and with which accounts.
    pub load: Load,
    /// How many sessions.
    pub sessions: u32,
    /// How long they are held.
    pub seconds: u64,
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    let mut run = Run::start(&options.load, options.sessions).await?;
    run.log_in_all().await?;
    let logins = run.next_phase()?;
    run.settle().await?;
    let begin = run.standing()?;
    run.mark("measured");
    run.hold(Duration::from_secs(options.seconds)).await?;
    let end = run.standing()?;
    let mut report = run.report(Scenario::Idle, (begin, end)).await?;
    report.options.seconds = options.seconds;
    report.latencies.extend(logins.into_iter().map(|(name, latency)| (name.to_owned(), latency)));
    Ok(report)
}
