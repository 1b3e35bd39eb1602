//! The queues into a shard: everything that another thread gives it comes through its [`Inbox`].
//!
//! Two bounded lanes: envelopes from other shards, and arrivals (connections that move, WebSockets, commands, checked passwords).
//! Senders push whole batches under one short lock, and only a push to a shard that is not signalled yet pays for the wake-up.
//! The shard takes everything at once. Policy beyond the bound: the sender keeps what it has and decides (a shard drops presence
//! or refuses the message; commands and connections are refused).

use crate::descriptors::Wake;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The inbox of one shard.
#[derive(Debug)]
pub(crate) struct Inbox<E, A> {
    lanes: Mutex<Lanes<E, A>>,
    /// Envelopes pushed and not yet [`done`](Self::envelopes_done).
    envelopes: AtomicUsize,
    envelopes_max: usize,
    arrivals: AtomicUsize,
    arrivals_max: usize,
    signalled: AtomicBool,
    waker: Wake,
}

#[derive(Debug)]
struct Lanes<E, A> {
    envelopes: Vec<E>,
    arrivals: Vec<A>,
}

impl<E, A> Inbox<E, A> {
    /// Empty, with these bounds.
    pub(crate) fn new(envelopes_max: usize, arrivals_max: usize) -> io::Result<Self> {
        Ok(Self {
            lanes: Mutex::new(Lanes { envelopes: Vec::new(), arrivals: Vec::new() }),
            envelopes: AtomicUsize::new(0),
            envelopes_max,
            arrivals: AtomicUsize::new(0),
            arrivals_max,
            signalled: AtomicBool::new(false),
            waker: Wake::new()?,
        })
    }

    /// The descriptor that the shard's event queue watches (edge-triggered). What was pushed before that is found by the shard's
    /// first turn.
    pub(crate) fn wake_fd(&self) -> RawFd {
        self.waker.as_raw_fd()
    }

    /// Wakes the owner, unless that has been done since its last [`take`](Self::take).
    pub(crate) fn wake(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Whether `more` envelopes fit. Several senders may each pass this and together exceed the bound by one
    /// turn's batch each.
    pub(crate) fn has_room_for(&self, more: usize) -> bool {
        self.envelopes.load(Ordering::Relaxed) + more <= self.envelopes_max
    }

    /// Envelopes that wait.
    pub(crate) fn envelopes_waiting(&self) -> usize {
        self.envelopes.load(Ordering::Relaxed)
    }

    /// Moves a batch in, in order, and wakes the owner.
    pub(crate) fn push_envelopes(&self, batch: &mut Vec<E>) {
        if batch.is_empty() {
            return;
        }
        self.envelopes.fetch_add(batch.len(), Ordering::Relaxed);
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).envelopes.append(batch);
        self.wake();
    }

    /// Puts an arrival in and wakes the owner; gives it back if too many wait.
    pub(crate) fn push_arrival(&self, arrival: A) -> Result<(), A> {
        if !self.reserve() {
            return Err(arrival);
        }
        self.push_reserved(arrival);
        Ok(())
    }

    /// Reserves room for one arrival, which is then [pushed](Self::push_reserved) or [given up](Self::give_up). `false`: too many
    /// wait.
    pub(crate) fn reserve(&self) -> bool {
        let has_room = self.arrivals.fetch_add(1, Ordering::Relaxed) < self.arrivals_max;
        if !has_room {
            self.give_up();
        }
        has_room
    }

    /// The reserved room is not needed.
    pub(crate) fn give_up(&self) {
        self.arrivals.fetch_sub(1, Ordering::Relaxed);
    }

    /// Puts in an arrival that must not be lost (an answer that a connection waits for, the order to stop). Whoever asks for the
    /// answer bounds their number.
    pub(crate) fn push_answer(&self, arrival: A) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        self.push_reserved(arrival);
    }

    /// Puts an arrival into reserved room and wakes the owner.
    pub(crate) fn push_reserved(&self, arrival: A) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).arrivals.push(arrival);
        self.wake();
    }

    /// Takes everything. The shard says with [`envelopes_done`](Self::envelopes_done) when envelopes no longer count.
    pub(crate) fn take(&self, envelopes: &mut Vec<E>, arrivals: &mut Vec<A>) {
        // This is done before the lock is taken: what is pushed from here on signals again.
        if !self.signalled.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        envelopes.append(&mut lanes.envelopes);
        let before = arrivals.len();
        arrivals.append(&mut lanes.arrivals);
        self.arrivals.fetch_sub(arrivals.len() - before, Ordering::Relaxed);
    }

    /// So many envelopes have been handled.
    pub(crate) fn envelopes_done(&self, count: usize) {
        self.envelopes.fetch_sub(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_out_whole_and_in_order() {
        let inbox = Inbox::<u32, &str>::new(10, 10).unwrap();
        inbox.push_envelopes(&mut vec![1, 2]);
        inbox.push_envelopes(&mut vec![3]);
        inbox.push_arrival("a").unwrap();
        let (mut envelopes, mut arrivals) = (Vec::new(), Vec::new());
        inbox.take(&mut envelopes, &mut arrivals);
        assert_eq!((envelopes, arrivals), (vec![1, 2, 3], vec!["a"]));
    }

    #[test]
    fn the_bound_counts_until_done() {
        let inbox = Inbox::<u32, ()>::new(3, 1).unwrap();
        inbox.push_envelopes(&mut vec![1, 2]);
        assert!(inbox.has_room_for(1));
        assert!(!inbox.has_room_for(2));
        let mut envelopes = Vec::new();
        inbox.take(&mut envelopes, &mut Vec::new());
        assert!(!inbox.has_room_for(2));
        inbox.envelopes_done(2);
        assert!(inbox.has_room_for(3));
    }

    #[test]
    fn arrivals_beyond_the_bound_come_back() {
        let inbox = Inbox::<(), u32>::new(1, 1).unwrap();
        inbox.push_arrival(1).unwrap();
        assert_eq!(inbox.push_arrival(2), Err(2));
        inbox.push_answer(3);
        let mut arrivals = Vec::new();
        inbox.take(&mut Vec::new(), &mut arrivals);
        assert_eq!(arrivals, [1, 3]);
        inbox.push_arrival(4).unwrap();
    }
}
