//! Reads every copy of every log from its first frame to its last, and compares it with what was acknowledged.
//!
//! Called by: the kills and the power cuts, while the load rests. Promises: a copy passes only if it has every acknowledged frame that was not truncated,
//! in order, with its own content, in a whole chain. A copy that is not up to date yet is asked again for [`PATIENCE`].

use crate::api;
use crate::clock;
use crate::cluster::{Cluster, SERVERS};
use crate::frame::Chain;
use crate::ledger::Ledger;
use anyhow::Result;
use async_nats::Client;
use std::time::Duration;

/// How long a copy may take to come up to date.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was read.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(crate) struct Audit {
    /// Frames, over all copies.
    pub(crate) frames: u64,
    /// What is wrong: empty if nothing is.
    pub(crate) faults: Vec<String>,
}

/// Audits all copies.
pub(crate) async fn all(cluster: &Cluster, ledgers: &[Ledger; SERVERS]) -> Result<Audit> {
    let mut audit = Audit::default();
    for server in 0..SERVERS {
        // A server answers its own clients from its own copy.
        let client = cluster.client(server, false).await?;
        for (log, ledger) in ledgers.iter().enumerate() {
            let start = clock::now();
            loop {
                match copy(&client, log, ledger).await {
                    Ok(frames) => {
                        audit.frames += frames;
                        break;
                    }
                    Err(fault) if start.elapsed() > PATIENCE => {
                        audit.faults.push(format!("log {log} on server {server}: {fault}"));
                        break;
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
                }
            }
        }
    }
    Ok(audit)
}

/// One copy. Returns how many frames it has, or what is wrong.
async fn copy(client: &Client, log: usize, ledger: &Ledger) -> Result<u64, String> {
    let first = ledger.truncated() + 1;
    let mut chain = Chain::from(log as u8, first);
    loop {
        let found = api::read(client, log, chain.next()).await.map_err(|refused| refused.to_string())?;
        if found.is_empty() {
            break;
        }
        for lying in &found {
            let (hash, _) = chain.take(lying.number, &lying.frame).map_err(|broken| broken.to_string())?;
            if ledger.hash(lying.number).is_some_and(|acknowledged| acknowledged != hash) {
                return Err(format!("frame {} has another content than was acknowledged", lying.number));
            }
        }
    }
    if chain.next() <= ledger.last() {
        return Err(format!("ends with frame {}, acknowledged were {}", chain.next() - 1, ledger.last()));
    }
    Ok(chain.next() - first)
}
