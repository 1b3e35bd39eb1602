//! What the gate says in the end: the verdicts, the tables, and all of it as JSON.
//!
//! Called by: the program. Promises: a point that was not tried has no verdict; of the medians the spread is said.

use crate::cuts::Cuts;
use crate::ground::Back;
use crate::kills::Kills;
use crate::rates::{Rates, Run};
use crate::stats::Spread;
use serde::Serialize;
use std::fmt::Write as _;

/// µs of all servers a message at the higher rate.
pub(crate) const SERVERS_US_MAX: f64 = 180.0;
/// µs of all servers each further message between the rates.
pub(crate) const FURTHER_US_MAX: f64 = 60.0;

/// A point of the gate.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    /// What is asked.
    pub(crate) what: String,
    /// What came out.
    pub(crate) reached: String,
    /// Whether that is enough.
    pub(crate) passed: bool,
}

/// All.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The servers' version.
    pub(crate) nats: String,
    /// Of the machine.
    pub(crate) processors: usize,
    /// The options, as they were.
    pub(crate) options: String,
    /// The two rates.
    pub(crate) rates_per_s: [u32; 2],
    /// The parts that were done.
    pub(crate) rates: Option<Rates>,
    /// See above.
    pub(crate) kills: Option<Kills>,
    /// See above.
    pub(crate) cuts: Option<Cuts>,
    /// With the servers' default.
    pub(crate) bite: Option<Cuts>,
    /// On strict disks, which decide nothing.
    pub(crate) strict: Option<Cuts>,
}

impl Report {
    /// Point by point.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        if let Some(rates) = &self.rates {
            verdicts.extend(self.cost(rates));
        }
        verdicts.extend(self.kills.as_ref().map(killed));
        verdicts.extend(self.cuts.as_ref().map(cut));
        verdicts.extend(self.bite.as_ref().map(bitten));
        verdicts
    }

    fn cost(&self, rates: &Rates) -> Vec<Verdict> {
        let each = rates.spread(self.rates_per_s[1], |run| run.servers_us);
        let further = Spread::of(rates.further_us.iter().copied());
        let verdict = |what: String, spread: Option<Spread>, most: f64| Verdict {
            what,
            reached: spread.map_or_else(|| "nothing".into(), |spread| format!("{spread} µs")),
            passed: spread.is_some_and(|spread| spread.median <= most),
        };
        vec![
            verdict(
                format!("all servers at {}/s, at most {SERVERS_US_MAX} µs a message", self.rates_per_s[1]),
                each,
                SERVERS_US_MAX,
            ),
            verdict(format!("each further message, at most {FURTHER_US_MAX} µs"), further, FURTHER_US_MAX),
            Verdict {
                what: "whole chains at both rates".into(),
                reached: format!("{} violations", rates.violations.len()),
                passed: rates.violations.is_empty(),
            },
        ]
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("NATS {}, {} processors\n", self.nats, self.processors);
        if let Some(rates) = &self.rates {
            text.push_str(&self.table(rates));
        }
        text.push_str("\n| | reached | |\n|---|---|---|\n");
        for verdict in self.verdicts() {
            let word = if verdict.passed { "passed" } else { "FAILED" };
            let _ = writeln!(text, "| {} | {} | {word} |", verdict.what, verdict.reached);
        }
        if let Some(strict) = &self.strict {
            let failed = strict.cuts.iter().filter(|cut| !cut.passed()).count();
            let _ = writeln!(text, "\nOf {} cuts on strict disks, {failed} failed.", strict.cuts.len());
        }
        for fault in self.faults() {
            let _ = writeln!(text, "! {fault}");
        }
        text
    }

    fn table(&self, rates: &Rates) -> String {
        let [slow, fast] = self.rates_per_s;
        let mut text = format!(
            "\n| median (smallest to largest) of {} runs each | {slow}/s | {fast}/s |\n|---|---|---|\n",
            rates.runs.len() / 2
        );
        let mut line = |name: &str, digits: usize, of: fn(&Run) -> f64| {
            let cell = |rate| {
                rates.spread(rate, of).map_or_else(String::new, |spread| {
                    format!("{:.digits$} ({:.digits$} to {:.digits$})", spread.median, spread.min, spread.max)
                })
            };
            let _ = writeln!(text, "| {name} | {} | {} |", cell(slow), cell(fast));
        };
        line("acknowledged a second", 0, |run| run.acknowledged_per_s);
        line("messages a frame", 1, |run| run.messages_per_frame);
        line("all servers, processors", 2, |run| run.servers);
        line("all servers, µs a message", 0, |run| run.servers_us);
        line("publishers, µs a message", 1, |run| run.publishers_us);
        line("followers, µs a message", 1, |run| run.followers_us);
        line("commit of a frame p50, ms", 1, |run| run.commit_p50_ms);
        line("commit of a frame p99, ms", 1, |run| run.commit_p99_ms);
        line("acceptance of a message p50, ms", 1, |run| run.acceptance_p50_ms);
        line("acceptance of a message p99, ms", 1, |run| run.acceptance_p99_ms);
        line("followed p50, ms", 1, |run| run.followed_p50_ms);
        line("followed p99, ms", 1, |run| run.followed_p99_ms);
        line("others, processors", 2, |run| run.others);
        line("load", 1, |run| run.load);
        let _ = writeln!(
            text,
            "\nThe servers without load: {:.2} processors. Others took less than {} processors in {} of {} runs.",
            rates.idle,
            crate::machine::QUIET,
            rates.quiet_runs(),
            rates.runs.len()
        );
        text
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(rates) = &self.rates {
            faults.extend(rates.violations.clone());
        }
        if let Some(kills) = &self.kills {
            faults.extend(kills.violations.iter().chain(&kills.audit.faults).cloned());
        }
        if let Some(cuts) = &self.cuts {
            faults.extend(cuts.violations.clone());
            faults.extend(cuts.cuts.iter().flat_map(|cut| cut.audit.faults.clone()));
        }
        faults
    }
}

fn killed(kills: &Kills) -> Verdict {
    let standstill = Spread::of(kills.kills.iter().map(|kill| kill.standstill_ms));
    let reached = format!(
        "standstill {} ms; {} frames acknowledged, {} read again in all copies, {} faults",
        standstill.map_or_else(String::new, |spread| spread.to_string()),
        kills.frames,
        kills.audit.frames,
        kills.audit.faults.len() + kills.violations.len()
    );
    let what = format!("{} kills of two of three under load", kills.kills.len());
    Verdict { what, reached, passed: kills.passed() }
}

fn cut(cuts: &Cuts) -> Verdict {
    let failed = cuts.cuts.iter().filter(|cut| !cut.passed()).count();
    let accepts = Spread::of(cuts.cuts.iter().map(|cut| cut.accepts_after_ms));
    let reached = format!(
        "{failed} failed; accepting after {} ms; {} frames acknowledged, {} read again in all copies, {} violations",
        accepts.map_or_else(String::new, |spread| spread.to_string()),
        cuts.frames,
        cuts.cuts.iter().map(|cut| cut.audit.frames).sum::<u64>(),
        cuts.violations.len()
    );
    let what = format!("{} power cuts, synced always", cuts.cuts.len());
    Verdict { what, reached, passed: cuts.passed() }
}

/// The disks are no test if nothing is ever lost.
fn bitten(bite: &Cuts) -> Verdict {
    let lost = bite.cuts.iter().filter(|cut| cut.back == Back::Lost || !cut.audit.faults.is_empty()).count();
    let what =
        "acknowledged frames are lost when the servers sync every two minutes, or the disks are no test"
            .into();
    Verdict { what, reached: format!("in {lost} of {} cuts", bite.cuts.len()), passed: lost > 0 }
}
