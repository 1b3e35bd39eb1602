//! A day in a messenger, in small: sessions are held, end and come back; accounts write to their contacts; somebody types.
//!
//! The model (shared with every report): messages at a rate from random sessions, 80 % of them to 5 of the sender's 50 contacts, the
//! contacts being random accounts; lengths log-normal with a median of 30 bytes and a mean of 80; each message is delivered
//! once, and a stated number of typing notifications goes with it, so that the deliveries are (1 + typing) times the messages.
//! Sessions end at a rate, the oldest first, and log in again at once, without resumption.

use crate::engine::Command;
use crate::engine::traffic::{Body, Plan, Who};
use crate::error::BenchError;
use crate::load::Load;
use crate::result::{Report, Scenario};
use crate::run::Run;
use std::time::Duration;

/// Before the measurement.
const WARM_UP: Duration = Duration::from_secs(2);
/// After it: what is on the way arrives, those who are coming back are back.
const GRACE: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where, and with which accounts.
    pub load: Load,
    /// How many sessions.
    pub sessions: u32,
    /// Messages per second.
    pub rate: f64,
    /// Typing notifications per message.
    pub typing: f64,
    /// Logins per second.
    pub logins_per_s: f64,
    /// How long to measure.
    pub seconds: u64,
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    if options.sessions < 2 {
        return Err(BenchError::Refused("--sessions must not be below 2".into()));
    }
    let mut run = Run::start(&options.load, options.sessions).await?;
    run.log_in_all().await?;
    run.settle().await?;
    run.next_phase()?;
    run.fleet.tell(|share| {
        let who = Who::Contacts { accounts: options.sessions };
        let per_s = share.rate_of(options.rate);
        Command::Traffic(Some(Plan::Open {
            per_s,
            who,
            body: Body::Messenger,
            typing_per_message: options.typing,
        }))
    });
    run.fleet.tell(|share| Command::Cycle(Some(share.rate_of(options.logins_per_s))));
    run.hold(WARM_UP).await?;
    run.next_phase()?;
    run.mark("measured");
    let begin = run.standing()?;
    run.hold(Duration::from_secs(options.seconds)).await?;
    let end = run.standing()?;
    let latencies = run.next_phase()?;
    run.fleet.tell(|_| Command::Cycle(None));
    let is_complete = run.arrival_of_all(GRACE).await?;
    let mut report = run.report(Scenario::Mixed, (begin, end)).await?;
    if !is_complete {
        report.complaints.push("not everything arrived in time".into());
    }
    report.latencies.extend(latencies.into_iter().map(|(name, it)| (name.to_owned(), it)));
    report.options.seconds = options.seconds;
    report.options.rate_per_s = Some(options.rate);
    report.options.logins_per_s = Some(options.logins_per_s);
    report.options.model = Some(format!(
        "each message goes to one contact (80 % to 5 of 50) and is delivered once, {} typing notifications go with it; lengths \
         log-normal, median 30 bytes, mean 80; the oldest session ends and logs in again at once",
        options.typing
    ));
    report.figures.logins_per_s =
        Some((end.counters.logins - begin.counters.logins) as f64 / end.seconds_since(&begin));
    Ok(report)
}
