//! Everybody reconnects: sessions are cut at once and come back, while others stay and go on writing to each other and to those
//! who are away.
//!
//! Told are the latency of those who stay, before, during and after; how long it takes until all are back; and whether anything
//! that was sent to those away is missing.

use crate::engine::traffic::{Body, Plan, Who};
use crate::engine::{Command, Share};
use crate::error::BenchError;
use crate::load::Load;
use crate::result::{Latency, Report, Scenario};
use crate::run::Run;
use std::time::Duration;

/// Most time until all are back.
const RECOVERY_MAX: Duration = Duration::from_secs(900);
/// Most time for what is on the way in the end.
const GRACE: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where, and with which accounts.
    pub load: Load,
    /// How many sessions are cut.
    pub cut: u32,
    /// How many stay; an even number.
    pub stay: u32,
    /// Messages per second that those who stay send, half of them to sessions that are cut.
    pub rate: f64,
    /// Logins per second allowed on coming back.
    pub return_per_s: Option<f64>,
    /// Whether those who were cut ask for resumption (XEP-0198).
    pub resume: bool,
    /// Length of the phases before and after.
    pub seconds: u64,
}

/// The sessions of a share that stay.
fn staying(share: &Share, stay: u32) -> u32 {
    share.pairs_of(stay / 2) * 2
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    if options.cut == 0 || options.stay < 2 {
        return Err(BenchError::Refused("--sessions must not be 0 and --stay not below 2".into()));
    }
    let stay = options.stay & !1;
    let mut run = Run::start(&options.load, options.cut + stay).await?;
    run.log_in_all().await?;
    run.settle().await?;
    let mut latencies = Vec::new();
    let mut keep = |phase: &str, measured: Vec<(&'static str, Latency)>| {
        for (name, latency) in measured {
            latencies.push(match (name, phase) {
                ("login", "during") => ("login_back".to_owned(), latency),
                ("delivery", phase) => (format!("delivery_{phase}"), latency),
                ("login", "before") | ("recovery" | "delivery_to_cut", "during") => {
                    (name.to_owned(), latency)
                }
                _ => continue,
            });
        }
    };
    let begin = run.standing()?;
    run.mark("measured");
    let per_s = options.rate * 2.0 / f64::from(stay);
    run.fleet.tell(|share| {
        let first = staying(share, stay);
        let who = Who::PairsAndOthers { pairs: first / 2, first, end: share.sessions };
        let per_s = per_s * f64::from(first / 2);
        Command::Traffic(Some(Plan::Open { per_s, who, body: Body::Messenger, typing_per_message: 0.0 }))
    });
    run.hold(Duration::from_secs(options.seconds)).await?;
    keep("before", run.next_phase()?);
    let back = cut_and_wait(&mut run, options, stay).await?;
    keep("during", run.next_phase()?);
    run.hold(Duration::from_secs(options.seconds)).await?;
    keep("after", run.next_phase()?);
    let end = run.standing()?;
    let is_complete = run.arrival_of_all(GRACE).await?;
    let mut report = run.report(Scenario::Login, (begin, end)).await?;
    if !is_complete {
        report.complaints.push("not everything arrived in time".into());
    }
    report.latencies.extend(latencies);
    report.options.seconds = options.seconds;
    report.options.cut_sessions = Some(options.cut.into());
    report.options.resume = Some(options.resume && options.load.stream_management);
    report.options.rate_per_s = Some(options.rate);
    report.options.logins_per_s = options.return_per_s;
    report.figures.recovery_s = back.recovery_s;
    report.figures.resumed = Some(back.resumed);
    report.figures.tls_resumed = options.load.tls_resumption.then_some(back.tls_resumed);
    report.figures.logins_per_s = back.recovery_s.map(|s| f64::from(options.cut) / s);
    report.figures.server_cpu_us_per_return = back.server_cpu_us.map(|us| us / f64::from(options.cut));
    if back.recovery_s.is_none() {
        report.complaints.push("not everybody was back in time".into());
    }
    Ok(report)
}

/// How the return went.
struct Back {
    /// How long it took, if all came in time.
    recovery_s: Option<f64>,
    resumed: u64,
    tls_resumed: u64,
    server_cpu_us: Option<f64>,
}

/// Cuts, and waits until all are back.
async fn cut_and_wait(run: &mut Run, options: &Options, stay: u32) -> Result<Back, BenchError> {
    let begin = run.standing()?;
    let before = run.counters();
    run.mark("cut");
    let cut_us = run.fleet.now_us();
    let at_once = options.load.logins_at_once;
    run.fleet.tell(|share| Command::LogIn {
        sessions: 0..0,
        per_s: options.return_per_s.map(|per_s| share.rate_of(per_s)),
        at_once: (at_once / share.threads).max(1) as usize,
    });
    run.fleet.tell(|share| Command::Cut {
        sessions: staying(share, stay)..share.sessions,
        resume: options.resume,
    });
    run.fleet.settle();
    let all = u64::from(options.cut + stay);
    let returned = before.logins + u64::from(options.cut);
    let is_back = run.until(RECOVERY_MAX, |now, _| now.live >= all && now.logins >= returned).await?;
    let recovery_s = (run.fleet.now_us() - cut_us) as f64 / 1e6;
    run.mark("back");
    let server_cpu_us = run.standing()?.server_cpu_us_since(&begin);
    let now = run.counters();
    let (resumed, tls_resumed) = (now.resumed - before.resumed, now.tls_resumed - before.tls_resumed);
    Ok(Back { recovery_s: is_back.then_some(recovery_s), resumed, tls_resumed, server_cpu_us })
}
