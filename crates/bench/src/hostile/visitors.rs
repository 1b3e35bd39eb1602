//! People who log in, one after the other, each with an account that is not in the server's memory: whether they get in, and how fast.
//!
//! Called by [`super::run`].

use super::Options;
use crate::accounts;
use crate::error::BenchError;
use crate::result::Latency;
use crate::server::{Listener, Rig};
use chaski_client::{Client, Settings, Target};
use hdrhistogram::Histogram;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Who is not in by then counts as refused.
const PATIENCE: Duration = Duration::from_secs(10);
const LATENCY_US_MAX: u64 = 60_000_000;

/// See the module.
pub(super) struct Visitors {
    target: Target,
    seed: u64,
    every: Duration,
    accounts: Range<u32>,
    next: Arc<Mutex<u32>>,
}

/// How they fared.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) done: u64,
    pub(super) refused: u64,
    /// From the connection to the session.
    pub(super) latency: Latency,
}

/// Visitors who come until [`Self::end`].
pub(super) struct Visiting(JoinHandle<()>, Arc<Mutex<Tally>>);

struct Tally {
    done: u64,
    refused: u64,
    latency: Histogram<u64>,
}

impl Visitors {
    pub(super) fn new(rig: &Rig, options: &Options, accounts: Range<u32>) -> Result<Self, BenchError> {
        let every = Duration::from_secs_f64(1.0 / options.visits_per_s.max(0.1));
        let target = rig.target(Listener::Plain)?;
        let next = Arc::new(Mutex::new(accounts.start));
        Ok(Self { target, seed: options.load.seed, every, accounts, next })
    }

    /// They begin to come.
    pub(super) fn begin(&self) -> Visiting {
        let latency = Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are right");
        let tally = Arc::new(Mutex::new(Tally { done: 0, refused: 0, latency }));
        let (target, seed, every, told) = (self.target.clone(), self.seed, self.every, tally.clone());
        let (accounts, next) = (self.accounts.clone(), self.next.clone());
        let coming = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            loop {
                ticks.tick().await;
                let account = next_of(&next, &accounts) as usize;
                let key = accounts::key(seed, account);
                let settings = Settings::new(target.clone(), accounts::number(account), key);
                tokio::spawn(visit(settings, told.clone()));
            }
        });
        Visiting(coming, tally)
    }
}

fn next_of(next: &Mutex<u32>, accounts: &Range<u32>) -> u32 {
    let mut next = next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let account = *next;
    *next = if account + 1 >= accounts.end { accounts.start } else { account + 1 };
    account
}

async fn visit(mut settings: Settings, tally: Arc<Mutex<Tally>>) {
    settings.login_timeout = PATIENCE;
    let (mut client, begun) = (Client::new(settings), Instant::now());
    let connected = client.connect().await;
    let took_us = begun.elapsed().as_micros() as u64;
    {
        let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match connected {
            Ok(_) => {
                tally.done += 1;
                tally.latency.saturating_record(took_us);
            }
            Err(_) => tally.refused += 1,
        }
    }
    client.close().await;
}

impl Visiting {
    /// Nobody comes any more; how those fared who have been there.
    pub(super) async fn end(self) -> Counts {
        self.0.abort();
        // Whoever is at the door has this long.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let tally = self.1.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Counts { done: tally.done, refused: tally.refused, latency: Latency::of(&tally.latency) }
    }
}
