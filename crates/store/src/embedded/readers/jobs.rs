//! The readers' queue: from everybody who wants to read to whichever reader is free.
//!
//! Owned by the engine; fronts and blocking callers put jobs in, [`super::run`] takes them out, oldest first. Its bound is that of those who
//! ask: a front has so many look-ups under way, a blocking caller one.
//!
//! A job wakes one thread, and none if no reader sleeps: with a lock around a channel's receiver, whoever had waited longest
//! woke the next, only to have it wait in his place.
//!
//! Promises: what was put in before [`Jobs::close`] is taken; nothing is put in after it, nor when no reader is left: then it is
//! refused and dropped, so that nobody waits for an answer.

use super::Job;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Where jobs are put. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Queue>);

/// Where a reader takes them.
pub(crate) struct Taker(Arc<Queue>);

/// There is nobody to read any more.
#[derive(Debug)]
pub(crate) struct Closed;

struct Queue {
    state: Mutex<State>,
    came: Condvar,
}

struct State {
    waiting: VecDeque<Job>,
    takers: usize,
    /// Takers that wait and have not been woken. May be too high for a moment, never too low.
    sleeping: usize,
    is_closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    /// An empty queue with a first taker.
    pub(crate) fn new() -> (Self, Taker) {
        let state = State { waiting: VecDeque::new(), takers: 1, sleeping: 0, is_closed: false };
        let queue = Arc::new(Queue { state: Mutex::new(state), came: Condvar::new() });
        (Self(queue.clone()), Taker(queue))
    }

    /// Puts one in.
    pub(crate) fn send(&self, job: Job) -> Result<(), Closed> {
        let mut state = self.0.state();
        if state.is_closed {
            return Err(Closed);
        }
        state.waiting.push_back(job);
        let has_sleeper = state.sleeping > 0;
        state.sleeping -= usize::from(has_sleeper);
        // He needs the lock as soon as he is awake.
        drop(state);
        if has_sleeper {
            self.0.came.notify_one();
        }
        Ok(())
    }

    /// Takers end when they have taken what is there.
    pub(crate) fn close(&self) {
        self.0.state().is_closed = true;
        self.0.came.notify_all();
    }
}

impl Taker {
    /// The oldest job, when there is one. `None`: there will be none.
    pub(crate) fn take(&self) -> Option<Job> {
        let mut state = self.0.state();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            state.sleeping += 1;
            state = self.0.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The oldest job, if there is one.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn try_take(&self) -> Option<Job> {
        self.0.state().waiting.pop_front()
    }
}

impl Clone for Taker {
    fn clone(&self) -> Self {
        self.0.state().takers += 1;
        Self(self.0.clone())
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.takers -= 1;
        if state.takers == 0 {
            state.is_closed = true;
            let left = std::mem::take(&mut state.waiting);
            // Whoever waits for an answer to one of these may ask again at once.
            drop(state);
            drop(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    /// A job that says its number to whoever takes it.
    fn job(number: u32, to: &Sender<u32>) -> Job {
        let to = to.clone();
        Job::Query(Box::new(move |_| to.send(number).unwrap_or(())))
    }

    fn carry_out(job: Job, connection: &rusqlite::Connection) {
        if let Job::Query(query) = job {
            query(connection);
        }
    }

    /// A thread that takes until there is no more.
    fn taking(taker: Taker) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            let connection = rusqlite::Connection::open_in_memory().unwrap();
            while let Some(job) = taker.take() {
                carry_out(job, &connection);
            }
        })
    }

    fn sorted(said: &Receiver<u32>) -> Vec<u32> {
        let mut all: Vec<_> = said.try_iter().collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn each_job_is_taken_once_and_what_came_before_the_end_is_done() {
        let (jobs, taker) = Jobs::new();
        let (say, said) = channel();
        let readers: Vec<_> = [taker.clone(), taker.clone(), taker].into_iter().map(taking).collect();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (jobs, say) = (jobs.clone(), say.clone());
                thread::spawn(move || {
                    (0..500).for_each(|n| jobs.send(job(sender * 500 + n, &say)).unwrap());
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        jobs.close();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(sorted(&said), (0..2_000).collect::<Vec<_>>());
        assert!(jobs.send(job(0, &say)).is_err(), "nobody would take it");
    }

    #[test]
    fn a_sleeper_is_woken_by_each_job_that_finds_all_asleep() {
        let (jobs, taker) = Jobs::new();
        let (say, said) = channel();
        let readers = [taker.clone(), taker].map(taking);
        for number in 0..200 {
            jobs.send(job(number, &say)).unwrap();
            // A reader that slept through it would be waited for here for ever.
            assert_eq!(said.recv().unwrap(), number);
        }
        jobs.close();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    }

    #[test]
    fn when_no_reader_is_left_nobody_waits_for_an_answer() {
        let (jobs, taker) = Jobs::new();
        let (say, said) = channel();
        let other = taker.clone();
        drop(taker);
        jobs.send(job(1, &say)).unwrap();
        drop(other);
        assert!(jobs.send(job(2, &say)).is_err());
        drop(say);
        assert!(said.recv().is_err(), "the jobs are gone, and with them who would have answered");
    }
}
