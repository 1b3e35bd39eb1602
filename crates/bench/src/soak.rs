//! Wears a server out: for long, with logins, resumptions, bursts of requests, removals, accounts made anew and keys replaced, all at once.
//!
//! The server is not killed, so no session may end for good but those of accounts that were removed or have another key; and
//! its memory must stay what it was. The peers are those of the crash test ([`crate::peer`]), with more manners; the witness'
//! checker judges what they see. The report has a sample each second, for `chaski bench report` to draw.

use crate::crash::settings;
use crate::error::BenchError;
use crate::peer::{Conduct, Manner, Peer, Phase};
use crate::progress::Progress;
use crate::result::{Figures, Mark, Options as Asked, Report, Sample, Scenario};
use crate::server::Rig;
use crate::server::process::{self, Usage};
use crate::witness::{self, Totals, Witness};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the peers do.
const MANNERS: [Manner; 6] =
    [Manner::Flapping, Manner::Renewing, Manner::Asking, Manner::Absent, Manner::Steady, Manner::Sleeping];
/// Memory counts as flat if the median of the last quarter is at most this many times that of the second.
const GROWTH_MAX: f64 = 1.10;
/// A run this short says nothing of memory.
const SECONDS_FOR_MEMORY: u64 = 600;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `chaski` binary.
    pub binary: PathBuf,
    /// An empty directory, or one of an earlier run.
    pub dir: PathBuf,
    /// For how long.
    pub seconds: u64,
    /// How many peers.
    pub peers: usize,
    /// Messages per second and peer.
    pub rate: u32,
    /// Decides about everything that is random here.
    pub seed: u64,
    /// Whether to show no progress.
    pub quiet: bool,
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    if options.peers < 2 || options.peers > witness::PEERS_MAX {
        return Err(BenchError::Refused(format!("--peers must be between 2 and {}", witness::PEERS_MAX)));
    }
    let rig = Rig::prepare(options.binary.clone(), &options.dir, "shards = 2")?;
    rig.import(options.seed, options.peers).await?;
    let mut server = rig.spawn()?;
    server.ready().await?;
    let pid = server.pid().unwrap_or_default();

    let witness = Arc::new(Mutex::new(Witness::new(options.seed, options.peers)));
    let (phase, phases) = watch::channel(Phase::Load);
    let mut peers = JoinSet::new();
    let Options { peers: count, rate, seed, .. } = *options;
    let conduct = Conduct { peers: count, rate, seed, manners: &MANNERS };
    for index in 0..options.peers {
        let settings = settings(&rig, options.seed, index)?;
        peers.spawn(Peer::new(index, &conduct, settings, &rig, witness.clone(), phases.clone()).run());
    }
    let mut record = Record::new(pid);
    record.watch(&witness, options).await;
    phase.send_replace(Phase::Drain);
    witness::drained(&witness).await;
    phase.send_replace(Phase::End);
    while peers.join_next().await.is_some() {}
    if !server.stop().await? {
        witness::lock(&witness).note("the server did not stop in order after SIGTERM".into());
    }
    let witness = witness::lock(&witness);
    Ok(record.report(options, &witness))
}

/// What is written down each second.
struct Record {
    pid: u32,
    series: Vec<Sample>,
    last: (Totals, Option<Usage>, Usage),
}

impl Record {
    fn new(pid: u32) -> Self {
        let last = (Totals::default(), process::usage(pid), own_usage());
        Self { pid, series: Vec::new(), last }
    }

    async fn watch(&mut self, witness: &Mutex<Witness>, options: &Options) {
        let mut progress = Progress::new(options.seconds, options.quiet);
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        for second in 1..=options.seconds {
            seconds.tick().await;
            let (here, totals) = {
                let witness = witness::lock(witness);
                (witness.here(), witness.totals())
            };
            self.sample(second, here, totals);
            progress.at(second, || totals.to_string());
        }
        progress.finish();
    }

    fn sample(&mut self, second: u64, here: usize, totals: Totals) {
        let (server, own) = (process::usage(self.pid), own_usage());
        let (before, server_before, own_before) = std::mem::replace(&mut self.last, (totals, server, own));
        let percent = |now: Usage, then: Usage| now.cpu.saturating_sub(then.cpu).as_secs_f64() * 100.0;
        self.series.push(Sample {
            at_s: second as f64,
            sessions: here as u64,
            logins_per_s: (totals.bound + totals.resumed - before.bound - before.resumed) as f64,
            sent_per_s: (totals.sent - before.sent) as f64,
            accepted_per_s: (totals.accepted - before.accepted) as f64,
            refused_per_s: (totals.refused - before.refused) as f64,
            delivered_per_s: (totals.delivered - before.delivered) as f64,
            deliveries_per_s: (totals.delivered + totals.duplicates - before.delivered - before.duplicates)
                as f64,
            server_cpu_percent: server.zip(server_before).map(|(now, then)| percent(now, then)),
            server_resident_bytes: server.map(|usage| usage.resident_bytes),
            generator_cpu_percent: percent(own, own_before),
            generator_resident_bytes: own.resident_bytes,
            ..Sample::default()
        });
    }

    fn report(self, options: &Options, witness: &Witness) -> Report {
        let totals = witness.totals();
        let (mut complaints, count) = witness.violations();
        if count > complaints.len() as u64 {
            complaints.push(format!("{count} violations in all"));
        }
        complaints.extend(self.growth(options.seconds));
        Report {
            scenario: Scenario::Soak,
            label: "chaski".into(),
            options: Asked {
                sessions: options.peers as u64,
                transport: "plain and tls".into(),
                stream_management: true,
                seconds: options.seconds,
                rate_per_s: Some(f64::from(options.rate) * options.peers as f64),
                model: Some(format!("{totals}")),
                ..Asked::default()
            },
            figures: Figures {
                measured_s: options.seconds as f64,
                sessions: options.peers as u64,
                logins: totals.bound + totals.resumed,
                sent: totals.sent,
                accepted: Some(totals.accepted),
                refused: totals.refused,
                delivered: totals.delivered,
                duplicates: totals.duplicates,
                resumed: Some(totals.resumed),
                ..Figures::default()
            },
            marks: vec![Mark { at_s: options.seconds as f64, name: "stopped".into() }],
            series: self.series,
            complaints,
            ..Report::default()
        }
    }

    /// What is to be said of the server's memory.
    fn growth(&self, seconds: u64) -> Option<String> {
        if seconds < SECONDS_FOR_MEMORY {
            return None;
        }
        let quarter = self.series.len() / 4;
        let before = median(self.series.get(quarter..2 * quarter)?)?;
        let after = median(self.series.get(3 * quarter..)?)?;
        (after > before * GROWTH_MAX).then(|| {
            let mib = |bytes: f64| bytes / f64::from(1 << 20);
            format!("the server's memory grew from {:.1} to {:.1} MiB", mib(before), mib(after))
        })
    }
}

fn own_usage() -> Usage {
    process::usage(std::process::id()).unwrap_or_default()
}

fn median(samples: &[Sample]) -> Option<f64> {
    let mut bytes: Vec<u64> = samples.iter().filter_map(|sample| sample.server_resident_bytes).collect();
    bytes.sort_unstable();
    bytes.get(bytes.len() / 2).map(|&bytes| bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(resident_bytes: impl Fn(u64) -> u64) -> Record {
        let mut record = Record::new(0);
        record.series = (0..800)
            .map(|second| Sample { server_resident_bytes: Some(resident_bytes(second)), ..Sample::default() })
            .collect();
        record
    }

    #[test]
    fn memory_that_grows_is_a_complaint_and_a_peak_is_none() {
        assert_eq!(record(|second| 30_000_000 + second % 7 * 100_000).growth(800), None);
        assert_eq!(record(|second| if second == 700 { 90_000_000 } else { 30_000_000 }).growth(800), None);
        let said = record(|second| 30_000_000 + second * 10_000).growth(800).unwrap();
        assert!(said.contains("grew from 31.5 to 35.3 MiB"), "{said}");
        assert_eq!(record(|second| 30_000_000 + second * 10_000).growth(60), None, "too short to say");
    }
}
