//! One account's phone in the crash test and the soak: sends, receives, and gets into trouble in its own way ([`Manner`]).
//!
//! Called by [`crate::crash`] and [`crate::soak`], which tell it when to stop ([`Phase`]). What it sees, it tells the
//! [`witness`], whose checker judges. Promises: it acts on its own account alone, and in the end is there and silent.

use crate::accounts;
use crate::server::Rig;
use crate::witness::{self, Witness};
use chaski_client::message::Received;
use chaski_client::{Client, ClientError, Connected, Event, Settings, UNMARKED, message};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

mod renewal;
mod requests;

/// Messages are sent in small bursts.
const BURST_INTERVAL: Duration = Duration::from_millis(20);
/// Most unaccepted messages of one peer.
const UNACCEPTED_MAX: usize = 200;
/// Most messages under way in one flow: all flows to one mailbox stay below its bound.
const UNDER_WAY_MAX: u64 = 120;
/// How long a peer waits before it connects again.
const RETRY_MS: Range<u64> = 10..60;

/// What the peers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Send and receive, each in its way.
    Load,
    /// Stay connected, send nothing new.
    Drain,
    /// Log out.
    End,
}

/// What a peer does besides sending and receiving, and besides what the server's death does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Nothing.
    Steady,
    /// Loses its connection often and for a moment; resumes.
    Flapping,
    /// Now and then, for seconds; comes back with a new session, after a farewell or without one.
    Absent,
    /// For more than a minute, so that its messages move to the database.
    Sleeping,
    /// Asks for much at once, and takes its time with the answers.
    Asking,
    /// Has its account removed, or its key replaced, and begins anew.
    Renewing,
}

impl Manner {
    /// How many milliseconds it stays connected and then away.
    fn times(self, rng: &mut StdRng) -> Option<(u64, u64)> {
        match self {
            Self::Steady | Self::Asking => None,
            Self::Flapping => Some((rng.random_range(50..1_500), rng.random_range(0..200))),
            Self::Absent => Some((rng.random_range(500..3_000), rng.random_range(500..5_000))),
            Self::Sleeping => Some((rng.random_range(3_000..8_000), rng.random_range(70_000..90_000))),
            // The time away is that of its account.
            Self::Renewing => Some((rng.random_range(10_000..40_000), rng.random_range(1_500..4_000))),
        }
    }
}

/// What all peers of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Conduct {
    /// How many they are.
    pub(crate) peers: usize,
    /// Messages per second and peer.
    pub(crate) rate: u32,
    /// Decides about everything that is random.
    pub(crate) seed: u64,
    /// Two peers of each, one with TLS and one without, again and again.
    pub(crate) manners: &'static [Manner],
}

pub(crate) struct Peer {
    index: usize,
    conduct: Conduct,
    manner: Manner,
    burst: u32,
    client: Client,
    rig: Rig,
    witness: Arc<Mutex<Witness>>,
    phase: watch::Receiver<Phase>,
    rng: StdRng,
}

impl Peer {
    pub(crate) fn new(
        index: usize,
        conduct: &Conduct,
        settings: Settings,
        rig: &Rig,
        witness: Arc<Mutex<Witness>>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let bursts_per_s = 1_000 / BURST_INTERVAL.as_millis() as u32;
        Self {
            index,
            // Each manner with TLS and without.
            manner: conduct.manners[index / 2 % conduct.manners.len()],
            burst: conduct.rate.div_ceil(bursts_per_s).max(1),
            client: Client::new(settings),
            rig: rig.clone(),
            witness,
            phase,
            rng: StdRng::seed_from_u64(conduct.seed ^ (index as u64 + 1).rotate_left(32)),
            conduct: conduct.clone(),
        }
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    fn witness(&self) -> std::sync::MutexGuard<'_, Witness> {
        witness::lock(&self.witness)
    }

    pub(crate) async fn run(mut self) {
        while self.phase() != Phase::End {
            if let Err(error) = self.connect().await {
                if error.is_final() {
                    self.witness().note(format!("peer {}: {error}", self.index));
                    sleep(Duration::from_secs(1)).await;
                }
                sleep(Duration::from_millis(self.rng.random_range(RETRY_MS))).await;
                continue;
            }
            let times = self.manner.times(&mut self.rng).filter(|_| self.phase() == Phase::Load);
            let until =
                Instant::now() + Duration::from_millis(times.map_or(86_400_000, |(stay_ms, _)| stay_ms));
            let lived = self.live(until).await;
            match times {
                Some((_, away_ms)) if lived.is_ok() => self.leave(Duration::from_millis(away_ms)).await,
                _ => self.witness().lost(self.index),
            }
        }
        self.client.close().await;
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let connected = self.client.connect().await?;
        self.witness().connected(self.index, connected == Connected::Resumed);
        if connected == Connected::Bound {
            self.client.send(UNMARKED, message::presence())?;
        }
        Ok(())
    }

    /// Sends and receives until then, or until there is nothing more to do. An error: the connection is lost.
    async fn live(&mut self, until: Instant) -> Result<(), ClientError> {
        let mut bursts = tokio::time::interval(BURST_INTERVAL);
        bursts.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next_request = Instant::now() + requests::pause(&mut self.rng);
        while self.phase() != Phase::End {
            let is_loading = self.phase() == Phase::Load;
            tokio::select! {
                heard = hear(self.index, &mut self.client, &self.witness) => heard?,
                _ = bursts.tick(), if is_loading => self.burst()?,
                () = sleep_until(next_request), if is_loading && self.manner == Manner::Asking => {
                    self.ask().await?;
                    next_request = Instant::now() + requests::pause(&mut self.rng);
                }
                () = sleep_until(until) => return Ok(()),
                changed = self.phase.changed() => if changed.is_err() { return Ok(()) },
            }
        }
        Ok(())
    }

    fn burst(&mut self) -> Result<(), ClientError> {
        for _ in 0..self.burst {
            let to = (self.index + self.rng.random_range(1..self.conduct.peers)) % self.conduct.peers;
            let mut witness = witness::lock(&self.witness);
            let is_enough = self.client.unaccepted() >= UNACCEPTED_MAX
                || witness.under_way(self.index, to) >= UNDER_WAY_MAX
                || !witness.is_there(to);
            if is_enough {
                continue;
            }
            let (mark, id, body) = witness.send(self.index, to);
            drop(witness);
            self.client.send(mark, message::chat(&address(to), &id, &body))?;
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<(), ClientError> {
        hear(self.index, &mut self.client, &self.witness).await
    }

    /// Goes away in its manner, and stays away, unless the run comes to its end.
    async fn leave(&mut self, away: Duration) {
        match self.manner {
            Manner::Renewing => return self.renew(away).await,
            Manner::Flapping => {
                self.client.disconnect();
                self.witness().lost(self.index);
            }
            _ => self.end_session().await,
        }
        tokio::select! {
            () = sleep(away) => {}
            _ = self.phase.wait_for(|phase| *phase != Phase::Load) => {}
        }
    }

    /// With a farewell or without one; the next session has another resource, or the same.
    async fn end_session(&mut self) {
        if self.rng.random_bool(0.5) {
            self.client.close().await;
        } else {
            self.client.disconnect();
            self.client.forget_session();
        }
        let mut witness = witness::lock(&self.witness);
        witness.lost(self.index);
        witness.left(self.index);
        let resource = ["one", "two"][self.rng.random_range(0..2usize)];
        self.client.settings_mut().resource = Some(resource.into());
    }
}

/// Waits for the next event and tells the witness. Can be dropped half way.
async fn hear(index: usize, client: &mut Client, witness: &Mutex<Witness>) -> Result<(), ClientError> {
    let (answered, shown) = (client.answered(), witness::lock(witness).shown(index));
    let event = client.next().await;
    let mut witness = witness::lock(witness);
    witness.answered(index, client.answered() - answered, shown);
    match event? {
        Event::Accepted(marks) => witness.accepted(index, &marks),
        Event::Stanza(element) => {
            if let Some(received) = Received::read(&element.stanza()) {
                witness.received(index, &received);
            }
        }
    }
    Ok(())
}

fn address(index: usize) -> String {
    format!("{}@localhost", accounts::number(index))
}
