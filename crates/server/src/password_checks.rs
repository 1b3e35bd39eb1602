//! The worker that checks passwords through PBKDF2, which takes milliseconds and so never runs on a shard.
//!
//! There is one thread for all ways to log in: SASL PLAIN (RFC 4616) and HTTP basic authentication. It rests after each check for
//! as long as the check took, so that all guessing together costs half a processor at most. Networks take turns, and the queue is
//! bounded ([`crate::fair`]): a client that finds no place, or has to give it up, is told to come back later
//! (`temporary-auth-failure`, 503). How many checks a network may ask for is counted before ([`crate::Doors`]).

use crate::event_loop::{Arrival, ShardInbox, now};
use crate::fair::Fair;
use chaski_services::account::credentials::Credentials;
use chaski_services::account::network::Network;
use chaski_services::wire::ConnId;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

chaski_telemetry::metrics! {
    /// What the worker counts.
    pub struct PasswordCheckMetrics("chaski_password_checks") {
        /// Passwords that wait for the slow check.
        waiting: Gauge,
        /// Checked.
        done_total: Counter,
        /// Not checked, because too many waited.
        refused_total: Counter,
    }
}

/// A password, and the credentials to check it against.
pub(crate) struct Check {
    pub(crate) network: Network,
    pub(crate) credentials: Box<Credentials>,
    pub(crate) password: String,
}

/// What waits for a check's result. `None` as the result: the password was not checked.
enum Asker {
    Shard { conn: ConnId, inbox: Arc<ShardInbox> },
    Http(oneshot::Sender<Option<bool>>),
}

/// A handle of the worker, which ends when the last handle is dropped.
pub(crate) struct PasswordChecks {
    shared: Arc<Shared>,
}

struct Shared {
    desk: Mutex<Desk>,
    is_work: Condvar,
    metrics: Arc<PasswordCheckMetrics>,
}

struct Desk {
    queue: Fair<(Check, Asker)>,
    is_over: bool,
}

impl PasswordChecks {
    /// Starts the worker.
    pub(crate) fn start(waiting_max: usize) -> io::Result<Self> {
        let desk = Mutex::new(Desk { queue: Fair::new(waiting_max), is_over: false });
        let shared = Arc::new(Shared { desk, is_work: Condvar::new(), metrics: Arc::default() });
        let of_worker = shared.clone();
        std::thread::Builder::new().name("passwords".into()).spawn(move || of_worker.work())?;
        Ok(Self { shared })
    }

    pub(crate) fn metrics(&self) -> Arc<PasswordCheckMetrics> {
        self.shared.metrics.clone()
    }

    /// Has the password of a SASL login checked; [`Arrival::Verified`] follows in the shard's inbox.
    pub(crate) fn check_for_shard(&self, check: Check, conn: ConnId, inbox: &Arc<ShardInbox>) {
        self.shared.submit(check, Asker::Shard { conn, inbox: inbox.clone() });
    }

    /// Has the password of an HTTP request checked. `None`: too many wait.
    pub(crate) async fn check(&self, check: Check) -> Option<bool> {
        let (asker, answer) = oneshot::channel();
        self.shared.submit(check, Asker::Http(asker));
        answer.await.ok().flatten()
    }
}

impl Drop for PasswordChecks {
    fn drop(&mut self) {
        self.shared.desk().is_over = true;
        self.shared.is_work.notify_one();
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, check: Check, asker: Asker) {
        let turned_away = self.desk().queue.push(check.network, (check, asker));
        match turned_away {
            None => self.metrics.waiting.add(1),
            Some((_, asker)) => {
                self.metrics.refused_total.inc();
                asker.tell(None);
            }
        }
        self.is_work.notify_one();
    }

    fn work(&self) {
        while let Some((check, asker)) = self.next() {
            self.metrics.waiting.add(-1);
            // A request whose client has hung up meanwhile needs no answer.
            if !asker.is_gone() {
                let begun = now();
                let is_right = check.credentials.check_plain_slowly(&check.password);
                self.metrics.done_total.inc();
                asker.tell(Some(is_right));
                std::thread::sleep(now().duration_since(begun));
            }
        }
    }

    fn next(&self) -> Option<(Check, Asker)> {
        let mut desk = self.desk();
        loop {
            if desk.is_over {
                return None;
            }
            match desk.queue.pop() {
                Some(next) => return Some(next),
                None => desk = self.is_work.wait(desk).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Asker {
    fn is_gone(&self) -> bool {
        matches!(self, Self::Http(answer) if answer.is_closed())
    }

    fn tell(self, is_right: Option<bool>) {
        match self {
            // Bounded by the queue: there is one answer for each login that asks, and each login asks one thing at a time.
            Self::Shard { conn, inbox } => inbox.push_answer(Arrival::Verified { conn, is_right }),
            // This fails only if nobody waits any more.
            Self::Http(answer) => drop(answer.send(is_right)),
        }
    }
}
