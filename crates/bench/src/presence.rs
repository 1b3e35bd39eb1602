//! Presence and its fan-out: every account has so many contacts, all are online, and now and then one changes its status,
//! which the server tells each of its contacts.
//!
//! The contacts are made by the protocol, as between any two people: each asks the other, each agrees (RFC 6121 §3.1), so that it
//! works with any server. They form a ring in which everybody has the nearest on both sides. An update that is delivered is one that
//! a session gets, the sender's own (servers tell it, too) included.

use crate::engine::Command;
use crate::engine::traffic::{Acquaint, Plan};
use crate::error::BenchError;
use crate::load::Load;
use crate::result::{Report, Scenario};
use crate::run::Run;
use std::time::Duration;

/// Before the measurement.
const WARM_UP: Duration = Duration::from_secs(1);
/// After it, and after each step of making contacts: for so long nothing may arrive any more,
const QUIET: Duration = Duration::from_millis(1_500);
/// and this long it may take.
const QUIET_LONGEST: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where, and with which accounts.
    pub load: Load,
    /// How many accounts, with a session each.
    pub accounts: u32,
    /// Contacts of each.
    pub contacts: u32,
    /// Subscriptions asked for, and agreed to, per second.
    pub acquaint_rate: f64,
    /// The contacts are there already, from an earlier run.
    pub are_acquainted: bool,
    /// Presence updates per second, over all.
    pub rate: f64,
    /// How long to measure.
    pub seconds: u64,
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    let Options { accounts, contacts, .. } = *options;
    if contacts == 0 || contacts % 2 == 1 || contacts >= accounts || options.rate <= 0.0 {
        return Err(BenchError::Refused("--contacts must be even and less than --accounts".into()));
    }
    let mut load = options.load.clone();
    load.presence = true;
    let mut run = Run::start(&load, accounts).await?;
    run.log_in_all().await?;
    if !options.are_acquainted {
        for kind in ["subscribe", "subscribed"] {
            acquaint(&mut run, options, kind).await?;
        }
    }
    run.settle().await?;
    let logins = run.next_phase()?;
    run.fleet.tell(|share| Command::Traffic(Some(Plan::Presence { per_s: share.rate_of(options.rate) })));
    run.hold(WARM_UP).await?;
    run.next_phase()?;
    run.mark("measured");
    let begin = run.standing()?;
    run.hold(Duration::from_secs(options.seconds)).await?;
    let end = run.standing()?;
    let latencies = run.next_phase()?;
    run.fleet.tell(|_| Command::Traffic(None));
    let is_quiet = quiet(&mut run).await?;
    let all = run.standing()?.counters;
    let mut report = run.report(Scenario::Presence, (begin, end)).await?;
    let expected = all.presence_sent * u64::from(contacts);
    if !is_quiet || all.presence < expected {
        report.complaints.push(format!(
            "of {} presence updates {} deliveries came, and not at least {expected}",
            all.presence_sent, all.presence
        ));
    }
    report.options.seconds = options.seconds;
    report.options.rate_per_s = Some(options.rate);
    report.options.contacts = Some(contacts.into());
    let renamed =
        latencies.into_iter().map(|(name, it)| (if name == "delivery" { "presence" } else { name }, it));
    let logins = logins.into_iter().filter(|(name, _)| *name == "login");
    report.latencies.extend(renamed.chain(logins).map(|(name, it)| (name.to_owned(), it)));
    Ok(report)
}

/// Everybody asks all of its contacts, or agrees to all.
async fn acquaint(run: &mut Run, options: &Options, kind: &'static str) -> Result<(), BenchError> {
    let Options { accounts, contacts, .. } = *options;
    let expected = run.counters().subscriptions + u64::from(accounts) * u64::from(contacts);
    run.fleet.tell(|share| {
        let per_s = share.rate_of(options.acquaint_rate);
        Command::Traffic(Some(Plan::Acquaint(Acquaint { accounts, contacts, kind }, per_s)))
    });
    let seconds = f64::from(accounts) * f64::from(contacts) / options.acquaint_rate;
    let longest = QUIET_LONGEST + Duration::from_secs_f64(seconds * 2.0);
    let is_told = run.until(longest, |counters, _| counters.subscriptions >= expected).await?;
    if !is_told || !quiet(run).await? {
        return Err(BenchError::Server("the contacts could not be made in time".into()));
    }
    Ok(())
}

/// Waits until nothing arrives any more. False: something always does.
async fn quiet(run: &mut Run) -> Result<bool, BenchError> {
    let end_us = run.fleet.now_us() + QUIET_LONGEST.as_micros() as u64;
    loop {
        let before = run.standing()?.counters.deliveries;
        run.hold(QUIET).await?;
        if run.standing()?.counters.deliveries == before {
            return Ok(true);
        }
        if run.fleet.now_us() > end_us {
            return Ok(false);
        }
    }
}
