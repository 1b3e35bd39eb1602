//! One hostile account, then one hostile address without an account, doing all they may: what everybody else notices of it (N3).
//!
//! Neighbours write to each other at a steady rate, and visitors log in whose accounts are not in memory. Meanwhile a process of its
//! own spins idly, then is hostile by one account ([`account`]), then by one address ([`network`]), each time held to the same
//! share of a processor ([`leash`]): so what differs is what it does, and not that somebody else computes. Others' p99 is to
//! stay within twice that of the idle part, no login may be refused, memory and disk are bounded.

pub mod account;
mod leash;
pub mod network;
mod visitors;

use crate::engine::Command;
use crate::engine::traffic::{Body, Plan, Who};
use crate::error::BenchError;
use crate::load::Load;
use crate::result::{Latency, Report, Scenario};
use crate::run::Run;
use crate::server::{Listener, Rig};
use account::Act;
use leash::Leash;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use visitors::Visitors;

/// Before the first part.
const WARM_UP: Duration = Duration::from_secs(2);
/// Between two parts, and at the end: what is on the way arrives.
const REST: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(60);
/// Others' p99 is at most so many times that of the idle part.
const P99_RATIO_MAX: f64 = 2.0;
/// A part this short says nothing of latencies.
const SECONDS_FOR_LATENCY: u64 = 60;
/// The server may grow by so much in a part.
const GROWTH_BYTES_MAX: u64 = 256 << 20;
/// The disk may grow by so much in a part: the shares of one account, and what neighbours write till it is swept.
const DISK_BYTES_MAX: u64 = 512 << 20;
/// Accounts of those who write to each other come first; then the hostile one and whom it picks on; then the visitors'.
const PICKED_ON: u32 = 64;
const VISITORS: u32 = 3_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where; a server of its own.
    pub load: Load,
    /// The binary of the hostile process.
    pub attacker: PathBuf,
    /// Pairs of neighbours.
    pub pairs: u32,
    /// Messages per second, over all of them.
    pub rate: f64,
    /// Visitors per second.
    pub visits_per_s: f64,
    /// How much of a processor the hostile process has, as of 1.
    pub processor_share: f64,
    /// How long each part takes.
    pub seconds: u64,
    /// Besides idling, which others are compared with.
    pub parts: Vec<Part>,
    /// What the hostile account does.
    pub acts: Vec<Act>,
    /// Each of these is a part of its own.
    pub acts_alone: bool,
    /// The hostile address. A server knows no networks on 127.0.0.0/8, where a terminator stands for everybody: budgets by
    /// network show only with another address of this machine.
    pub from: Ipv4Addr,
}

/// What the process of its own does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Nothing, busily.
    Idle,
    /// Everything that an account may.
    Account,
    /// Everything that an address may.
    Network,
}

impl Part {
    /// In the order in which they happen.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Account, Self::Network];

    /// As the command line and the report have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Account => "account",
            Self::Network => "network",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}

/// What the hostile process is told.
#[derive(Debug, Clone)]
pub struct Attack {
    /// What it does.
    pub part: Part,
    /// The server's listeners on 127.0.0.1: without TLS, with TLS, HTTP.
    pub ports: (u16, u16, u16),
    /// Whence keys follow.
    pub seed: u64,
    /// The hostile account; behind it those that it picks on.
    pub account: u32,
    /// What it does; its sessions are dealt out among these.
    pub acts: Vec<Act>,
    /// Where strangers' connections come from.
    pub from: Ipv4Addr,
}

/// Is hostile, until it is killed.
pub async fn attack(attack: Attack) -> Result<(), BenchError> {
    match attack.part {
        Part::Idle => loop {
            std::hint::spin_loop();
        },
        Part::Account => account::run(&attack).await,
        Part::Network => network::run(&attack).await,
    }
}

/// One part as it is to be.
#[derive(Debug, Clone)]
struct Planned {
    /// As the report has it.
    name: String,
    part: Part,
    acts: Vec<Act>,
}

/// What was seen of one part.
#[derive(Debug, Clone, Default)]
struct Seen {
    name: String,
    delivery: Latency,
    visits: visitors::Counts,
    grown_bytes: u64,
    disk_bytes: u64,
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    if options.pairs == 0 || !(0.01..=1.0).contains(&options.processor_share) {
        return Err(BenchError::Refused(
            "--pairs must not be 0, and --processor-share must be between 0.01 and 1".into(),
        ));
    }
    let neighbours = options.pairs * 2;
    let mut run = Run::start_among(&options.load, neighbours, PICKED_ON + VISITORS).await?;
    let rig = run.rig().ok_or_else(|| {
        BenchError::Refused("a server that runs already is nobody's to attack: leave --server out".into())
    })?;
    run.log_in_all().await?;
    run.settle().await?;
    let visitors = Visitors::new(&rig, options, neighbours + PICKED_ON..neighbours + PICKED_ON + VISITORS)?;
    run.fleet.tell(|share| {
        let (pairs, body) = (share.pairs_of(options.pairs), Body::Messenger);
        let per_s = options.rate * f64::from(pairs) / f64::from(options.pairs);
        Command::Traffic(Some(Plan::Open { per_s, who: Who::Pairs { pairs }, body, typing_per_message: 0.0 }))
    });
    run.hold(WARM_UP).await?;
    run.mark("measured");
    let begin = run.standing()?;
    let mut seen = Vec::new();
    let mut latencies = Vec::new();
    for planned in plan(&options.parts, &options.acts, options.acts_alone) {
        let (one, measured) = take_part(&mut run, &rig, &visitors, options, &planned).await?;
        let name = &planned.name;
        latencies.extend(measured.into_iter().map(|(kind, it)| (format!("{kind}_{name}"), it)));
        latencies.push((format!("visit_{name}"), one.visits.latency));
        seen.push(one);
        run.hold(REST).await?;
    }
    let end = run.standing()?;
    let is_complete = run.arrival_of_all(GRACE).await?;
    let mut report = run.report(Scenario::Hostile, (begin, end)).await?;
    if !is_complete {
        report.complaints.push("not everything of the neighbours arrived in time".into());
    }
    report.complaints.extend(complaints(&seen, options.seconds));
    report.latencies.extend(latencies);
    report.options.seconds = options.seconds;
    report.options.rate_per_s = Some(options.rate);
    report.options.logins_per_s = Some(options.visits_per_s);
    report.options.model = Some(model(&seen, options));
    Ok(report)
}

/// The parts in their order. It idles first.
fn plan(parts: &[Part], acts: &[Act], is_each_alone: bool) -> Vec<Planned> {
    let of = |name: String, part, acts: &[Act]| Planned { name, part, acts: acts.to_vec() };
    let of_part = |part: Part| match part {
        Part::Account if is_each_alone => acts.iter().map(|act| of(act.name(), part, &[*act])).collect(),
        _ => vec![of(part.name().into(), part, acts)],
    };
    let is_asked = |part: &Part| *part == Part::Idle || parts.contains(part);
    Part::ALL.into_iter().filter(is_asked).flat_map(of_part).collect()
}

/// One part, and the latencies in it.
async fn take_part(
    run: &mut Run,
    rig: &Rig,
    visitors: &Visitors,
    options: &Options,
    planned: &Planned,
) -> Result<(Seen, Vec<(&'static str, Latency)>), BenchError> {
    run.next_phase()?;
    run.mark(&planned.name);
    let disk_before = rig.disk_bytes();
    let memory_before = run.standing()?.server.map_or(0, |usage| usage.resident_bytes);
    let attack = Attack {
        part: planned.part,
        ports: (rig.port(Listener::Plain), rig.port(Listener::Tls), rig.http_port()),
        seed: options.load.seed,
        account: options.pairs * 2,
        acts: planned.acts.clone(),
        from: options.from,
    };
    let leash = Leash::spawn(&options.attacker, &attack, options.processor_share)?;
    let visiting = visitors.begin();
    run.hold(Duration::from_secs(options.seconds)).await?;
    leash.end().await?;
    let visits = visiting.end().await;
    let measured = run.next_phase()?;
    let delivery = measured.iter().find(|(name, _)| *name == "delivery").map(|(_, it)| *it);
    let seen = Seen {
        name: planned.name.clone(),
        delivery: delivery.unwrap_or_default(),
        visits,
        grown_bytes: run.most_resident_bytes().saturating_sub(memory_before),
        disk_bytes: rig.disk_bytes().saturating_sub(disk_before),
    };
    Ok((seen, measured))
}

fn complaints(seen: &[Seen], seconds: u64) -> Vec<String> {
    let mut complaints = Vec::new();
    let idle = seen.first().map_or(0, |idle| idle.delivery.p99_us);
    for seen in seen {
        let name = &seen.name;
        if seen.visits.refused > 0 {
            complaints.push(format!(
                "{name}: {} of {} logins failed",
                seen.visits.refused,
                seen.visits.done + seen.visits.refused
            ));
        }
        let p99_us = seen.delivery.p99_us;
        if seconds >= SECONDS_FOR_LATENCY && p99_us as f64 > idle as f64 * P99_RATIO_MAX {
            complaints
                .push(format!("{name}: neighbours' p99 is {p99_us} µs, with an idle neighbour {idle} µs"));
        }
        if seen.grown_bytes > GROWTH_BYTES_MAX {
            complaints.push(format!("{name}: the server grew by {} MiB", seen.grown_bytes >> 20));
        }
        if seen.disk_bytes > DISK_BYTES_MAX {
            complaints.push(format!("{name}: {} MiB more are on the disk", seen.disk_bytes >> 20));
        }
    }
    complaints
}

fn model(seen: &[Seen], options: &Options) -> String {
    let parts = seen.iter().map(|seen| {
        format!(
            "{}: p99 {} µs, {} visitors, {} refused, {} MiB of memory and {} MiB of disk more",
            seen.name,
            seen.delivery.p99_us,
            seen.visits.done,
            seen.visits.refused,
            seen.grown_bytes >> 20,
            seen.disk_bytes >> 20,
        )
    });
    let parts: Vec<String> = parts.collect();
    format!("hostile with {} of a processor. {}", options.processor_share, parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(p99_us: u64, refused: u64, grown_bytes: u64, disk_bytes: u64) -> Seen {
        let delivery = Latency { p99_us, ..Latency::default() };
        let visits = visitors::Counts { done: 10, refused, ..visitors::Counts::default() };
        Seen { name: "account".into(), delivery, visits, grown_bytes, disk_bytes }
    }

    #[test]
    fn parts_are_idle_first_and_then_what_is_asked_for() {
        let acts = [Act::Ping, Act::FillTheDisk];
        let names = |parts: &[Part], is_each_alone| {
            plan(parts, &acts, is_each_alone).into_iter().map(|it| it.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&Part::ALL, false), ["idle", "account", "network"]);
        assert_eq!(names(&[Part::Account], false), ["idle", "account"]);
        assert_eq!(names(&[Part::Account], true), ["idle", "ping", "fill-the-disk"]);
        assert_eq!(plan(&Part::ALL, &acts, true)[2].acts, [Act::FillTheDisk]);
    }

    #[test]
    fn what_neighbours_notice_is_a_complaint() {
        let well = seen(1_000, 0, 1 << 20, 1 << 20);
        assert_eq!(complaints(&[well.clone(), seen(1_999, 0, 0, 0), well.clone()], 300), [""; 0]);
        for (bad, word) in [
            (seen(2_001, 0, 0, 0), "p99"),
            (seen(1_000, 1, 0, 0), "1 of 11 logins failed"),
            (seen(1_000, 0, 1 << 30, 0), "grew by 1024 MiB"),
            (seen(1_000, 0, 0, 1 << 30), "on the disk"),
        ] {
            let said = complaints(&[well.clone(), bad, well.clone()], 300);
            assert!(
                said.len() == 1 && said[0].starts_with("account: ") && said[0].contains(word),
                "{said:?}"
            );
        }
        assert_eq!(complaints(&[well.clone(), seen(9_000, 0, 0, 0)], 5), [""; 0], "too short to say");
    }
}
