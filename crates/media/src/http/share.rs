//! A share of the bandwidth for each network, where the operator bounds what files may take altogether.
//!
//! Pieces pass one by one, at the rate that was set. When several wait, the networks (IPv4 address, IPv6 /64) take turns, one piece each, and the
//! transfers of one network among themselves: who fetches many files at once gets no more than who fetches one. Without a bound nothing
//! here is locked or waited for.
//!
//! Bounds: a transfer waits with one piece, so there are never more waiting than transfers ([`super::places`]). Policy: they wait; whoever goes
//! away loses its turn. Both ways count, up and down.

use super::metrics::MediaMetrics;
use super::places::{Network, near};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// What was not used may be used within this time: sleeping is not exact.
const SLACK: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Shares(Option<Arc<State>>);

#[derive(Debug)]
struct State {
    bytes_per_second: u64,
    lines: Mutex<Lines>,
    runtime: Handle,
    metrics: Arc<MediaMetrics>,
}

#[derive(Debug)]
struct Lines {
    /// When the next piece may pass.
    free_at: Instant,
    /// Whose turn it is, and then.
    turns: VecDeque<Option<Network>>,
    waiting: HashMap<Option<Network>, VecDeque<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    pass: oneshot::Sender<()>,
}

/// One client's.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    shares: Shares,
    network: Option<Network>,
}

impl Shares {
    /// 0: there is no bound. Waits run on `runtime`.
    pub(crate) fn new(bytes_per_second: u64, runtime: &Handle, metrics: &Arc<MediaMetrics>) -> Self {
        let state = || State {
            bytes_per_second,
            lines: Mutex::new(Lines {
                free_at: Instant::now(),
                turns: VecDeque::new(),
                waiting: HashMap::new(),
            }),
            runtime: runtime.clone(),
            metrics: metrics.clone(),
        };
        Self((bytes_per_second > 0).then(|| Arc::new(state())))
    }

    /// That of a client.
    pub(crate) fn of(&self, from: Option<IpAddr>) -> Share {
        Share { shares: self.clone(), network: from.and_then(near) }
    }
}

impl Share {
    /// Whether there is anything to wait for.
    pub(crate) fn is_bound(&self) -> bool {
        self.shares.0.is_some()
    }

    /// Waits until so many bytes may pass.
    pub(crate) async fn take(self, bytes: usize) {
        let Some(state) = &self.shares.0 else { return };
        let Some(turn) = state.line_up(self.network, bytes) else { return };
        state.metrics.pace_waiting.add(1);
        let waits = Waits(&state.metrics);
        // Its other end is dropped with the service only.
        let _ = turn.await;
        drop(waits);
    }
}

/// Counted while it is there.
struct Waits<'a>(&'a MediaMetrics);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.pace_waiting.add(-1);
    }
}

impl State {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: it may pass at once.
    fn line_up(self: &Arc<Self>, network: Option<Network>, bytes: usize) -> Option<oneshot::Receiver<()>> {
        let mut lines = self.lines();
        let is_first = lines.turns.is_empty();
        if is_first && lines.free_at <= Instant::now() {
            lines.pass(bytes, self.bytes_per_second);
            return None;
        }
        let (pass, turn) = oneshot::channel();
        let line = lines.waiting.entry(network).or_default();
        line.push_back(Waiter { bytes, pass });
        if line.len() == 1 {
            lines.turns.push_back(network);
        }
        if is_first {
            self.runtime.spawn(self.clone().call());
        }
        Some(turn)
    }

    /// Calls one after the other, until nobody waits.
    async fn call(self: Arc<Self>) {
        loop {
            let free_at = self.lines().free_at;
            sleep_until(free_at).await;
            let mut lines = self.lines();
            while let Some(waiter) = lines.next() {
                // Who has gone away takes nothing.
                let bytes = waiter.bytes;
                if waiter.pass.send(()).is_ok() {
                    lines.pass(bytes, self.bytes_per_second);
                    break;
                }
            }
            if lines.turns.is_empty() {
                return;
            }
        }
    }
}

impl Lines {
    fn pass(&mut self, bytes: usize, bytes_per_second: u64) {
        let begins = Instant::now().checked_sub(SLACK).map_or(self.free_at, |at| at.max(self.free_at));
        let takes = Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
        self.free_at = begins + takes;
    }

    fn next(&mut self) -> Option<Waiter> {
        let network = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&network)?;
        let waiter = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&network);
        } else {
            self.turns.push_back(network);
        }
        waiter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn shares(bytes_per_second: u64) -> Shares {
        Shares::new(bytes_per_second, &Handle::current(), &Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn networks_take_turns_and_not_transfers() {
        let shares = shares(100_000);
        let many = shares.of(Some("192.0.2.1".parse().expect("an address")));
        let one = shares.of(Some("192.0.2.2".parse().expect("an address")));
        let (by_many, by_one) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let transfer = |share: &Share, count: &Arc<AtomicUsize>| {
            let (share, count) = (share.clone(), count.clone());
            tokio::spawn(async move {
                loop {
                    share.clone().take(1_000).await;
                    count.fetch_add(1_000, Ordering::Relaxed);
                }
            })
        };
        let mut transfers: Vec<_> = (0..30).map(|_| transfer(&many, &by_many)).collect();
        transfers.push(transfer(&one, &by_one));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (many, one) = (by_many.load(Ordering::Relaxed), by_one.load(Ordering::Relaxed));
        assert!((990_000..=1_010_000).contains(&(many + one)), "the bound: {many} and {one}");
        assert!(many.abs_diff(one) < 10_000, "{many} and {one}");
        // Who is alone has all of it.
        transfers.iter().take(30).for_each(|transfer| transfer.abort());
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(by_one.load(Ordering::Relaxed) - one > 980_000);
        transfers[30].abort();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let state = shares.0.as_ref().expect("there is a bound");
        assert!(state.lines().turns.is_empty() && state.lines().waiting.is_empty());
        assert_eq!(state.metrics.pace_waiting.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_nobody_waits() {
        let share = shares(0).of(None);
        let began = Instant::now();
        for _ in 0..1_000 {
            share.clone().take(1 << 30).await;
        }
        assert!(!share.is_bound() && began.elapsed().is_zero());
    }
}
