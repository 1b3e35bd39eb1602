//! One account's phone in the crash test: sends, receives, and loses its connection in its own way.

use super::Options;
use super::ledger::{self, Ledger};
use crate::accounts;
use chaski_client::message::Received;
use chaski_client::{Client, ClientError, Connected, Event, Settings, UNMARKED, message};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

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
pub(super) enum Phase {
    /// Send and receive, each in its way.
    Load,
    /// Stay connected, send nothing new.
    Drain,
    /// Log out.
    End,
}

/// How a peer loses its connection, besides what the server's death does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Not at all.
    Steady,
    /// Often and for a moment; resumes.
    Flapping,
    /// Now and then, for seconds; comes back with a new session, after a farewell or without one.
    Absent,
    /// For more than a minute, so that its messages move to the database.
    Sleeping,
}

impl Manner {
    const ALL: [Self; 4] = [Self::Flapping, Self::Absent, Self::Steady, Self::Sleeping];

    /// How many milliseconds it stays connected and then away.
    fn times(self, rng: &mut StdRng) -> Option<(u64, u64)> {
        match self {
            Self::Steady => None,
            Self::Flapping => Some((rng.random_range(50..1_500), rng.random_range(0..200))),
            Self::Absent => Some((rng.random_range(500..3_000), rng.random_range(500..5_000))),
            Self::Sleeping => Some((rng.random_range(3_000..8_000), rng.random_range(70_000..90_000))),
        }
    }
}

pub(super) struct Peer {
    index: usize,
    peers: usize,
    manner: Manner,
    burst: u32,
    client: Client,
    ledger: Arc<Mutex<Ledger>>,
    phase: watch::Receiver<Phase>,
    rng: StdRng,
}

impl Peer {
    pub(super) fn new(
        index: usize,
        options: &Options,
        settings: Settings,
        ledger: Arc<Mutex<Ledger>>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let bursts_per_s = 1_000 / BURST_INTERVAL.as_millis() as u32;
        Self {
            index,
            peers: options.peers,
            // Each manner with TLS and without.
            manner: Manner::ALL[index / 2 % Manner::ALL.len()],
            burst: options.rate.div_ceil(bursts_per_s).max(1),
            client: Client::new(settings),
            ledger,
            phase,
            rng: StdRng::seed_from_u64(options.seed ^ (index as u64 + 1).rotate_left(32)),
        }
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(super) async fn run(mut self) {
        while self.phase() != Phase::End {
            if let Err(error) = self.connect().await {
                if error.is_final() {
                    ledger::lock(&self.ledger).violation(format!("peer {}: {error}", self.index));
                    sleep(Duration::from_secs(1)).await;
                }
                sleep(Duration::from_millis(self.rng.random_range(RETRY_MS))).await;
                continue;
            }
            let times = self.manner.times(&mut self.rng).filter(|_| self.phase() == Phase::Load);
            let until =
                Instant::now() + Duration::from_millis(times.map_or(86_400_000, |(stay_ms, _)| stay_ms));
            let lived = self.live(until).await;
            ledger::lock(&self.ledger).disconnected(self.index);
            if lived.is_ok()
                && let Some((_, away_ms)) = times
            {
                self.leave(Duration::from_millis(away_ms)).await;
            }
        }
        self.client.close().await;
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let connected = self.client.connect().await?;
        ledger::lock(&self.ledger).connected(self.index, connected == Connected::Resumed);
        if connected == Connected::Bound {
            self.client.send(UNMARKED, message::presence())?;
        }
        Ok(())
    }

    /// Sends and receives until then, or until there is nothing more to do. An error: the connection is lost.
    async fn live(&mut self, until: Instant) -> Result<(), ClientError> {
        let mut bursts = tokio::time::interval(BURST_INTERVAL);
        bursts.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.client.next() => self.take(event?),
                _ = bursts.tick(), if *self.phase.borrow() == Phase::Load => self.burst()?,
                () = sleep_until(until) => return Ok(()),
                changed = self.phase.changed() => {
                    if changed.is_err() || self.phase() == Phase::End {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn burst(&mut self) -> Result<(), ClientError> {
        for _ in 0..self.burst {
            let to = (self.index + self.rng.random_range(1..self.peers)) % self.peers;
            let mut ledger = ledger::lock(&self.ledger);
            if self.client.unaccepted() >= UNACCEPTED_MAX || ledger.under_way(self.index, to) >= UNDER_WAY_MAX
            {
                continue;
            }
            let (mark, id, body) = ledger.send(self.index, to);
            drop(ledger);
            let address = format!("{}@localhost", accounts::number(to));
            self.client.send(mark, message::chat(&address, &id, &body))?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event) {
        let mut ledger = ledger::lock(&self.ledger);
        match event {
            Event::Accepted(marks) => marks.into_iter().for_each(|mark| ledger.accepted(self.index, mark)),
            Event::Stanza(element) => {
                let Some(received) = Received::read(&element.stanza()) else { return };
                if let Some((condition, _)) = &received.error {
                    return ledger
                        .violation(format!("peer {}: a message came back: {condition}", self.index));
                }
                let from = (0..self.peers).find(|&from| received.from.starts_with(&accounts::number(from)));
                match (from, &received.body) {
                    (Some(from), Some(body)) => {
                        ledger.received(from, self.index, body, received.stanza_id.as_deref());
                    }
                    _ => ledger.violation(format!("peer {}: a message from nobody", self.index)),
                }
            }
        }
    }

    /// Loses the connection and stays away, unless the run comes to its end.
    async fn leave(&mut self, away: Duration) {
        if self.manner != Manner::Flapping {
            if self.rng.random_bool(0.5) {
                self.client.close().await;
            } else {
                self.client.disconnect();
                self.client.forget_session();
            }
            let resource = ["one", "two"][self.rng.random_range(0..2usize)];
            self.client.settings_mut().resource = Some(resource.into());
        } else {
            self.client.disconnect();
        }
        tokio::select! {
            () = sleep(away) => {}
            _ = self.phase.wait_for(|phase| *phase != Phase::Load) => {}
        }
    }
}
