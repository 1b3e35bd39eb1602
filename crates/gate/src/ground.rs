//! A cluster with its three logs, and the load on them; what the three parts of the gate stand on.
//!
//! Called by: the rates, the kills and the power cuts. Promises: opened, the logs are there, each led by its own node's server, and the load is idle.

use crate::api;
use crate::audit::{self, Audit};
use crate::clock;
use crate::cluster::{Cluster, SERVERS, Sync};
use crate::ledger::Ledger;
use crate::stage::{Reading, Stage};
use anyhow::{Context, Result, bail};
use async_nats::Client;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the logs may take to be there at first.
const CREATION: Duration = Duration::from_secs(30);
/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
/// A log that has less than was acknowledged for so long has lost it.
const LOST_AFTER: Duration = Duration::from_secs(15);

/// What a part needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The server's program.
    pub(crate) binary: PathBuf,
    /// Where its folders are made.
    pub(crate) dir: PathBuf,
    /// How followers read.
    pub(crate) reading: Reading,
    /// Between two frames of a log.
    pub(crate) pace: Duration,
    /// Messages a second while servers are killed and disks cut.
    pub(crate) rate: u32,
    /// How long a log may take to accept again.
    pub(crate) bound: Duration,
    /// For everything that is random.
    pub(crate) seed: u64,
}

/// See the module.
pub(crate) struct Ground {
    /// The servers.
    pub(crate) cluster: Cluster,
    /// The load. Ends before the servers do, being dropped first.
    pub(crate) stage: Stage,
}

/// How a log came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Back {
    /// It accepts, and its followers read on.
    Accepts,
    /// It does not within the time.
    Wedged,
    /// It has less than was acknowledged.
    Lost,
}

impl Ground {
    /// Starts the servers on `disks` and makes the logs.
    pub(crate) async fn open(plan: &Plan, dir: &Path, disks: &[PathBuf], sync: Sync) -> Result<Self> {
        let mut cluster = Cluster::new(&plan.binary, dir, disks, sync)?;
        cluster.start_all()?;
        cluster.ready().await?;
        let client = cluster.client(0, true).await?;
        for log in 0..SERVERS {
            create(&client, log, plan.reading).await?;
        }
        for log in 0..SERVERS {
            lead(&client, log).await?;
        }
        let stage = Stage::start(&cluster, plan.reading)?;
        Ok(Self { cluster, stage })
    }

    /// What is known of the logs.
    pub(crate) fn ledgers(&self) -> &[Ledger; SERVERS] {
        self.stage.ledgers()
    }

    /// Waits until every log has accepted something that was published after `since_ns`, and its followers have it. Returns how they came back, and
    /// after how long the slowest log accepted.
    pub(crate) async fn back(&mut self, since_ns: u64, bound: Duration) -> Result<(Back, Duration)> {
        let start = clock::now();
        let mut behind_since = None;
        let mut accepted = None;
        loop {
            self.stage.check()?;
            let accepts = |ledger: &Ledger| ledger.last_ack_ns.load(Ordering::Relaxed) > since_ns;
            if accepted.is_none() && self.ledgers().iter().all(accepts) {
                let marks: [u64; SERVERS] = std::array::from_fn(|log| self.ledgers()[log].last());
                accepted = Some((start.elapsed(), marks));
            }
            if let Some((after, marks)) = accepted
                && (0..SERVERS).all(|log| self.ledgers()[log].followed_by_all() >= marks[log])
            {
                return Ok((Back::Accepts, after));
            }
            let is_behind = self.ledgers().iter().any(|ledger| ledger.behind.load(Ordering::Relaxed) > 0);
            behind_since = is_behind.then(|| behind_since.unwrap_or_else(clock::now));
            if behind_since.is_some_and(|since| since.elapsed() > LOST_AFTER) {
                return Ok((Back::Lost, start.elapsed()));
            }
            if start.elapsed() > bound {
                return Ok((if is_behind { Back::Lost } else { Back::Wedged }, start.elapsed()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What each log has lost, in frames, as its leader says.
    pub(crate) fn lost(&self) -> Vec<u64> {
        let lost = self.ledgers().iter().map(|ledger| match ledger.behind.load(Ordering::Relaxed) {
            0 => 0,
            next => (ledger.last() + 1).saturating_sub(next),
        });
        lost.collect()
    }

    /// Lets the load rest until everything on its way is acknowledged and followed.
    pub(crate) async fn rest(&self, plan: &Plan) -> Result<()> {
        self.stage.load(0, plan.pace);
        let start = clock::now();
        let mut before = None;
        loop {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let state: [u64; SERVERS] = std::array::from_fn(|log| self.ledgers()[log].last());
            let followed = self.ledgers().iter().all(|ledger| ledger.followed_by_all() >= ledger.last());
            if followed && before == Some(state) {
                return Ok(());
            }
            before = Some(state);
            if start.elapsed() > plan.bound {
                bail!("the load does not come to rest within {} s", plan.bound.as_secs());
            }
        }
    }

    /// Lets the load rest, then reads every copy of every log.
    pub(crate) async fn audit(&self, plan: &Plan) -> Result<Audit> {
        match self.rest(plan).await {
            Ok(()) => audit::all(&self.cluster, self.ledgers()).await,
            Err(error) => Ok(Audit { frames: 0, faults: vec![error.to_string()] }),
        }
    }

    /// All violations so far, and how many.
    pub(crate) fn violations(&self) -> (Vec<String>, u64) {
        let (mut told, mut total) = (Vec::new(), 0);
        for ledger in self.ledgers() {
            let (some, count) = ledger.violations();
            told.extend(some);
            total += count;
        }
        (told, total)
    }

    /// Ends the load, then the servers.
    pub(crate) fn close(self) -> Result<()> {
        let Self { mut cluster, stage } = self;
        let stopped = stage.stop();
        cluster.stop();
        stopped
    }
}

async fn create(client: &Client, log: usize, reading: Reading) -> Result<()> {
    let start = clock::now();
    loop {
        match api::create(client, log, SERVERS, reading == Reading::Republish).await {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > CREATION => {
                return Err(error)
                    .with_context(|| format!("can't make log {log} within {} s", CREATION.as_secs()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Has a log led by its own node's server.
async fn lead(client: &Client, log: usize) -> Result<()> {
    let (start, wanted) = (clock::now(), format!("n{log}"));
    while start.elapsed() < CREATION {
        match api::state(client, log).await {
            Ok(state) if state.leader == wanted => return Ok(()),
            Ok(state) if state.is_current => {
                // Refused or not: the next look tells.
                let _ = api::lead(client, log, log).await;
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    bail!("log {log} is not led by {wanted} within {} s", CREATION.as_secs())
}

/// Folders for the servers on the machine's own disk, empty.
pub(crate) fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("can't empty {}", dir.display()))?;
    }
    let disks: Vec<PathBuf> = (0..SERVERS).map(|index| folder(dir, index)).collect();
    for disk in &disks {
        std::fs::create_dir_all(disk).with_context(|| format!("can't make the folder {}", disk.display()))?;
    }
    Ok(disks)
}

/// Where a server's folder is.
pub(crate) fn folder(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("disk{index}"))
}
