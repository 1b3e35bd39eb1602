//! The power of the servers' disks is cut under load: is every acknowledged frame there afterwards?
//!
//! Called by: the program. Servers work on disks that lose what was not synced ([`disk`](crate::disk)). At a cut they are killed at the same moment, then
//! their disks lose it, and they are started again. Promises: a cut passes if every log accepts again within the bound, its followers read on, and
//! every copy has every acknowledged frame. With the servers' default, which syncs every two minutes, acknowledged frames *must* be lost: else the disks
//! are no test.

use crate::audit::Audit;
use crate::clock::ms;
use crate::cluster::{SERVERS, Sync};
use crate::disk::fuse::{self, Mounted};
use crate::disk::{Cut, Disk, Names, Taken};
use crate::ground::{self, Back, Ground, Plan};
use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the load is on before a cut: into and beyond Raft's snapshots, which come with 8 MB of log at the latest.
const UPTIME_MS: std::ops::RangeInclusive<u64> = 4_000..=20_000;
/// One cut in so many takes only one server.
const ONE_SERVER_IN: u32 = 4;

/// One cut.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outcome {
    /// Whose disks.
    pub(crate) servers: Vec<usize>,
    /// What makes names safe.
    pub(crate) names: Names,
    /// Whether all that was not synced is lost, or a part.
    pub(crate) lost: &'static str,
    /// Files that lost something, over all disks.
    pub(crate) files: u64,
    /// From the servers' start to the slowest log's first acknowledgement, ms.
    pub(crate) accepts_after_ms: f64,
    /// How it came back.
    pub(crate) back: Back,
    /// Acknowledged frames that each log lacks, as its leader says.
    pub(crate) lacks: Vec<u64>,
    /// The copies afterwards.
    pub(crate) audit: Audit,
}

/// All.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cuts {
    /// One by one.
    pub(crate) cuts: Vec<Outcome>,
    /// Frames acknowledged.
    pub(crate) frames: u64,
    /// What was broken on the way.
    pub(crate) violations: Vec<String>,
}

impl Outcome {
    /// Whether nothing is lost, and it accepts.
    pub(crate) fn passed(&self) -> bool {
        self.back == Back::Accepts && self.audit.faults.is_empty()
    }
}

impl Cuts {
    /// These, too.
    pub(crate) fn add(&mut self, more: Self) {
        self.cuts.extend(more.cuts);
        self.frames += more.frames;
        self.violations.extend(more.violations);
    }

    /// Whether all is well.
    pub(crate) fn passed(&self) -> bool {
        self.violations.is_empty() && self.cuts.iter().all(Outcome::passed)
    }
}

/// The servers' disks, mounted while they run.
struct Disks {
    names: Names,
    disks: Vec<Arc<Mutex<Disk>>>,
    at: Vec<PathBuf>,
    mounted: Vec<Option<Mounted>>,
}

impl Disks {
    fn new(names: Names, dir: &Path) -> Result<Self> {
        (0..SERVERS).for_each(|index| fuse::forget(&ground::folder(dir, index)));
        let at = ground::folders(dir)?;
        let disks: Vec<_> = (0..SERVERS).map(|_| Arc::new(Mutex::new(Disk::new(names)))).collect();
        let mounted = disks
            .iter()
            .zip(&at)
            .map(|(disk, at)| Mounted::new(disk, at).map(Some))
            .collect::<Result<_>>()?;
        Ok(Self { names, disks, at, mounted })
    }

    fn settle(&self) {
        self.disks.iter().for_each(|disk| disk.lock().unwrap_or_else(PoisonError::into_inner).settle());
    }

    /// Cuts the power of one, which nobody uses any more, and mounts what is left.
    fn cut(&mut self, index: usize, cut: Cut, rng: &mut StdRng) -> Result<Taken> {
        if let Some(mounted) = self.mounted[index].take() {
            mounted.unmount()?;
        }
        let taken = self.disks[index].lock().unwrap_or_else(PoisonError::into_inner).cut(cut, rng);
        self.mounted[index] = Some(Mounted::new(&self.disks[index], &self.at[index])?);
        Ok(taken)
    }
}

/// Cuts, one after the other on the same cluster. A cut that fails ends it.
pub(crate) async fn run(plan: &Plan, names: Names, count: u32) -> Result<Cuts> {
    let dir = plan.dir.join("cuts");
    let mut disks = Disks::new(names, &dir)?;
    let mut ground = Ground::open(plan, &dir, &disks.at, Sync::Always).await?;
    // The servers' folders were made a while ago.
    disks.settle();
    let (mut all, mut rng) = (Cuts::default(), StdRng::seed_from_u64(plan.seed ^ names as u64));
    for number in 1..=count {
        let cut = if rng.random_ratio(1, 2) { Cut::All } else { Cut::Some };
        let mut servers: Vec<usize> = (0..SERVERS).collect();
        if number.is_multiple_of(ONE_SERVER_IN) {
            servers = vec![rng.random_range(0..SERVERS)];
        }
        let uptime = Duration::from_millis(rng.random_range(UPTIME_MS));
        let outcome = once(plan, &mut ground, &mut disks, (&servers, cut, uptime), &mut rng).await?;
        tell(&outcome);
        let is_over = !outcome.passed();
        all.cuts.push(outcome);
        if is_over {
            break;
        }
    }
    all.frames = ground.stage.acknowledged().1;
    all.violations = ground.violations().0;
    ground.close()?;
    Ok(all)
}

/// Cuts, each on a cluster of its own, where the next could not go on from what the last one left.
pub(crate) async fn apart(plan: &Plan, sync: Sync, names: Names, count: u32) -> Result<Cuts> {
    let mut all = Cuts::default();
    let mut rng = StdRng::seed_from_u64(plan.seed);
    for _ in 0..count {
        let dir = plan.dir.join("cuts");
        let mut disks = Disks::new(names, &dir)?;
        let mut ground = Ground::open(plan, &dir, &disks.at, sync).await?;
        disks.settle();
        let servers: Vec<usize> = (0..SERVERS).collect();
        let uptime = Duration::from_millis(rng.random_range(UPTIME_MS));
        let outcome = once(plan, &mut ground, &mut disks, (&servers, Cut::All, uptime), &mut rng).await?;
        tell(&outcome);
        all.cuts.push(outcome);
        all.frames += ground.stage.acknowledged().1;
        all.violations.extend(ground.violations().0);
        ground.close()?;
    }
    Ok(all)
}

async fn once(
    plan: &Plan,
    ground: &mut Ground,
    disks: &mut Disks,
    (servers, cut, uptime): (&[usize], Cut, Duration),
    rng: &mut StdRng,
) -> Result<Outcome> {
    ground.stage.load(plan.rate, plan.pace);
    tokio::time::sleep(uptime).await;
    ground.cluster.kill(servers)?;
    let mut files = 0;
    for server in servers {
        files += disks.cut(*server, cut, rng)?.files;
    }
    let started_ns = ground.stage.shared.ns();
    for server in servers {
        ground.cluster.start(*server)?;
    }
    let (back, after) = ground.back(started_ns, plan.bound).await?;
    let mut audit = Audit::default();
    if back == Back::Accepts {
        audit = ground.audit(plan).await?;
    }
    Ok(Outcome {
        servers: servers.to_vec(),
        names: disks.names,
        lost: if cut == Cut::All { "all" } else { "some" },
        files,
        accepts_after_ms: ms(after),
        back,
        lacks: ground.lost(),
        audit,
    })
}

fn tell(outcome: &Outcome) {
    crate::say(&format!(
        "  cut of servers {:?}, names {:?}, lost {} of what was not synced ({} files), accepting after {:.1} s: {:?}{}{}",
        outcome.servers,
        outcome.names,
        outcome.lost,
        outcome.files,
        outcome.accepts_after_ms / 1e3,
        outcome.back,
        if outcome.lacks.iter().any(|lacks| *lacks > 0) {
            format!(", frames lacking {:?}", outcome.lacks)
        } else {
            String::new()
        },
        outcome.audit.faults.first().map(|fault| format!(", {fault}")).unwrap_or_default(),
    ));
}
