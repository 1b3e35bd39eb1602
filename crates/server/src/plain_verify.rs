//! The worker that verifies PLAIN passwords through PBKDF2, which takes milliseconds and so never runs on a shard: passwords
//! that people chose, and whatever is wrong, so that time does not tell a key from a password, or from nobody's number.
//!
//! One thread for all shards with a bounded queue; beyond the bound the login is told to come back later
//! (temporary-auth-failure), so that guessing passwords can't stop the logins of everybody else for long. RFC 4616.

use crate::c2s::connection::Proof;
use crate::event_loop::{Arrival, ShardInbox};
use crate::metrics::EdgeMetrics;
use chaski_services::wire::ConnId;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

struct Job {
    conn: ConnId,
    proof: Proof,
    inbox: Arc<ShardInbox>,
    metrics: Arc<EdgeMetrics>,
}

/// A shard's way to the worker. The worker ends when the last of these is dropped.
#[derive(Clone)]
pub(crate) struct Verifier {
    jobs: SyncSender<Job>,
}

impl Verifier {
    /// Starts the worker.
    pub(crate) fn start(queued: usize) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(queued);
        std::thread::Builder::new().name("verify".into()).spawn(move || work(&queue))?;
        Ok(Self { jobs })
    }

    /// Has a password verified; [`Arrival::Verified`] follows in the shard's inbox. `false`: too many wait.
    pub(crate) fn submit(
        &self,
        conn: ConnId,
        proof: Proof,
        inbox: &Arc<ShardInbox>,
        metrics: &Arc<EdgeMetrics>,
    ) -> bool {
        let job = Job { conn, proof, inbox: inbox.clone(), metrics: metrics.clone() };
        let taken = self.jobs.try_send(job).is_ok();
        if taken {
            metrics.verifications_total.inc();
            metrics.verifications_waiting.add(1);
        } else {
            metrics.verifications_refused_total.inc();
        }
        taken
    }
}

fn work(queue: &Receiver<Job>) {
    while let Ok(Job { conn, proof, inbox, metrics }) = queue.recv() {
        let right = proof.credentials.check_plain_slowly(proof.password.reveal());
        metrics.verifications_waiting.add(-1);
        // Bounded by this queue: one answer for each job.
        inbox.push_answer(Arrival::Verified { conn, right });
    }
}
