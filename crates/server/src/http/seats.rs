//! The places of a listener's connections, and which of them is given up when there is none left.
//!
//! A connection without a request in progress has no claim to its place: when all are taken, the one that has been so for longest goes,
//! whether it says nothing, says it slowly, or keeps itself for later. So whoever comes gets in, however many connections others hold
//! from however many networks; only connections with requests in progress, whose time is bounded, can turn somebody away.
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
    /// Numbers of idle times, in order.
    next: u64,
    /// Who has no request in progress, the longest first.
    idle: BTreeMap<u64, Arc<Notify>>,
}

/// One connection's place. Idle until its first request.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    /// The number of its idle time, or [`BUSY`]. Changed with the seats locked, and so is the next.
    since: AtomicU64,
    /// Requests in progress.
    requests: AtomicUsize,
    ousted: Arc<Notify>,
}

/// No number of an idle time.
const BUSY: u64 = 0;

impl Seats {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: count.max(1), next: BUSY + 1, idle: BTreeMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place; and whether somebody had to go for it. `None`: all are in the middle of a request.
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
    /// A request is in progress, one of several perhaps. False: the place has been given to somebody else.
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

    /// It is over.
    pub(super) fn end(&self) {
        let mut state = self.seats.lock();
        if self.since.load(Relaxed) == BUSY && self.requests.fetch_sub(1, Relaxed) == 1 {
            self.since.store(state.rest(Arc::clone(&self.ousted)), Relaxed);
        }
    }

    /// When the place is somebody else's.
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
