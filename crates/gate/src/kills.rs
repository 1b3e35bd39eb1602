//! Two of three servers are killed under load and started again, over and over: does a log ever stay silent, lose or double a frame?
//!
//! Called by: the program. Promises: a kill passes if every log accepts again within the bound and its followers read on; the whole passes if, besides,
//! every copy of every log is whole in the end.

use crate::audit::Audit;
use crate::clock::{self, ms};
use crate::cluster::{SERVERS, Sync};
use crate::ground::{self, Back, Ground, Plan};
use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use std::time::Duration;

/// How long the load is on before a kill.
const UPTIME_MS: std::ops::RangeInclusive<u64> = 2_000..=6_000;
/// How long the servers are away; one kill in three starts them at once.
const AWAY_MS: std::ops::RangeInclusive<u64> = 0..=3_000;

/// One kill.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kill {
    /// Which servers.
    pub(crate) servers: Vec<usize>,
    /// How long they were away, ms.
    pub(crate) away_ms: f64,
    /// From their start to the slowest log's first acknowledgement, ms.
    pub(crate) accepts_after_ms: f64,
    /// From the kill to it, ms.
    pub(crate) standstill_ms: f64,
    /// How it came back.
    pub(crate) back: Back,
}

/// All.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kills {
    /// One by one.
    pub(crate) kills: Vec<Kill>,
    /// Frames acknowledged.
    pub(crate) frames: u64,
    /// Those whose acknowledgement came only after they were published again.
    pub(crate) again: u64,
    /// The copies in the end.
    pub(crate) audit: Audit,
    /// What was broken on the way.
    pub(crate) violations: Vec<String>,
}

impl Kills {
    /// Whether all is well.
    pub(crate) fn passed(&self) -> bool {
        let came_back = self.kills.iter().all(|kill| kill.back == Back::Accepts);
        came_back && self.audit.faults.is_empty() && self.violations.is_empty()
    }
}

/// Does it.
pub(crate) async fn run(plan: &Plan, count: u32) -> Result<Kills> {
    let dir = plan.dir.join("kills");
    let disks = ground::folders(&dir)?;
    let mut ground = Ground::open(plan, &dir, &disks, Sync::Always).await?;
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let mut kills = Vec::new();
    ground.stage.load(plan.rate, plan.pace);
    for number in 1..=count {
        tokio::time::sleep(Duration::from_millis(rng.random_range(UPTIME_MS))).await;
        let kill = once(plan, &mut ground, &mut rng).await?;
        crate::say(&format!(
            "  kill {number}: servers {:?}, away {:.1} s, accepting {:.1} s after their start, standstill {:.1} s: {:?}",
            kill.servers,
            kill.away_ms / 1e3,
            kill.accepts_after_ms / 1e3,
            kill.standstill_ms / 1e3,
            kill.back
        ));
        let is_over = kill.back != Back::Accepts;
        kills.push(kill);
        if is_over {
            break;
        }
    }
    end(plan, ground, kills).await
}

async fn once(plan: &Plan, ground: &mut Ground, rng: &mut StdRng) -> Result<Kill> {
    let spared = rng.random_range(0..SERVERS);
    let servers: Vec<usize> = (0..SERVERS).filter(|server| *server != spared).collect();
    let away = if rng.random_ratio(1, 3) { 0 } else { rng.random_range(AWAY_MS) };
    let killed = clock::now();
    ground.cluster.kill(&servers)?;
    tokio::time::sleep(Duration::from_millis(away)).await;
    let (started, started_ns) = (clock::now(), ground.stage.shared.ns());
    for server in &servers {
        ground.cluster.start(*server)?;
    }
    let (back, after) = ground.back(started_ns, plan.bound).await?;
    let away = started.duration_since(killed);
    Ok(Kill {
        servers,
        away_ms: ms(away),
        accepts_after_ms: ms(after),
        standstill_ms: ms(away + after),
        back,
    })
}

async fn end(plan: &Plan, ground: Ground, kills: Vec<Kill>) -> Result<Kills> {
    let came_back = kills.iter().all(|kill| kill.back == Back::Accepts);
    let mut audit = Audit::default();
    if came_back {
        audit = ground.audit(plan).await?;
    }
    let frames = ground.stage.acknowledged().1;
    let again =
        ground.ledgers().iter().map(|ledger| ledger.again.load(std::sync::atomic::Ordering::Relaxed)).sum();
    let violations = ground.violations().0;
    ground.close()?;
    Ok(Kills { kills, frames, again, audit, violations })
}
