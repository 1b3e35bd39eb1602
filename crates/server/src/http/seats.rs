//! The places of a listener's connections, and which of them is given up when there is none left.
//!
//! A connection without a request in progress has no claim to its place. When all places are taken, the connection that has been
//! without a request for longest is closed, whether it sends nothing, sends slowly, or is kept open for later. So a new client
//! always gets in, however many connections others hold from however many networks; only connections with requests in progress,
//! whose time is bounded, can cause a refusal.
//!
//! Bound: the places of the listener. Used by [`super::Listener`]. One short lock for each request's beginning and end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Seats(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// Numbers of periods without a request, in order.
    next: u64,
    /// Connections without a request in progress, the longest idle first.
    idle: BTreeMap<u64, Arc<Notify>>,
}

/// One connection's place. It counts as idle until its first request.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    /// The number of its present idle period, or [`BUSY`]. Changed only while the seats are locked, as is `requests`.
    since: AtomicU64,
    /// Requests in progress.
    requests: AtomicUsize,
    ousted: Arc<Notify>,
}

/// Stands for no idle period.
const BUSY: u64 = 0;

impl Seats {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: count.max(1), next: BUSY + 1, idle: BTreeMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; says whether another connection has to be closed for it. `None`: all connections have requests in progress.
    pub(super) fn enter(&self) -> Option<(Seat, bool)> {
        let mut state = self.lock();
        let is_made = state.free == 0;
        if is_made {
            let (_, oldest) = state.idle.pop_first()?;
            oldest.notify_one();
        } else {
            state.free -= 1;
        }
        let ousted = Arc::new(Notify::new());
        let since = AtomicU64::new(state.rest(Arc::clone(&ousted)));
        let requests = AtomicUsize::new(0);
        Some((Seat { seats: self.clone(), since, requests, ousted }, is_made))
    }
}

impl State {
    fn rest(&mut self, ousted: Arc<Notify>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.idle.insert(number, ousted);
        number
    }
}

impl Seat {
    /// A request begins, perhaps beside others. False: the place has been given to another connection.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.seats.lock();
        let since = self.since.load(Relaxed);
        let is_ours = since == BUSY || state.idle.remove(&since).is_some();
        if is_ours {
            self.since.store(BUSY, Relaxed);
            self.requests.fetch_add(1, Relaxed);
        }
        is_ours
    }

    /// A request is over.
    pub(super) fn end(&self) {
        let mut state = self.seats.lock();
        if self.since.load(Relaxed) == BUSY && self.requests.fetch_sub(1, Relaxed) == 1 {
            self.since.store(state.rest(Arc::clone(&self.ousted)), Relaxed);
        }
    }

    /// Completes when the place has been given to another connection.
    pub(super) async fn ousted(&self) {
        self.ousted.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.lock();
        let since = self.since.load(Relaxed);
        if since == BUSY || state.idle.remove(&since).is_some() {
            state.free += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_makes_room_and_nobody_in_the_middle_of_a_request() {
        let seats = Seats::new(3);
        let [first, second, third] = [(); 3].map(|()| seats.enter().expect("there is room").0);
        assert!(first.begin() && second.begin());
        first.end();
        let (fourth, is_made) = seats.enter().expect("the third makes room");
        assert!(is_made && !third.begin(), "its place is not its own any more");
        drop(third);
        assert!(fourth.begin());
        let (fifth, _) = seats.enter().expect("the first, whose request is over, makes room");
        assert!(!first.begin() && fifth.begin());
        assert!(seats.enter().is_none(), "all are in the middle of something");
        drop((first, second));
        let (_sixth, is_made) = seats.enter().expect("the second has gone by itself");
        assert!(!is_made);
        assert_eq!(seats.lock().idle.len(), 1);
    }
}
