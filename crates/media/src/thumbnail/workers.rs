//! The threads that have pictures made small, one worker process each, and the queue before them.
//!
//! Called by [`super`]. The queue is bounded: who finds no place is told that all are busy. A worker is started when there is work, and
//! replaced when it has failed, when it has made its number of pictures (whatever one of them may have done to it does not last), and
//! before it has used up its processor time; it ends when there has been nothing to do for a while. The threads stay for as
//! long as this does: the kernel ends a worker together with the *thread* that has started it.

use super::ThumbnailMetrics;
use super::process::{Lost, Outcome, Process, Program, now};
use super::wire::Hello;
use super::{Settings, picture::Unfit};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After a worker that could not be started: nobody tries again for so long.
const REST: Duration = Duration::from_secs(5);
/// How many times the time for one picture a worker may compute in its life.
const PICTURE_TIMES: u32 = 6;

/// A picture that waits, and who waits for it.
pub(super) struct Job<T> {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) width: u32,
    pub(super) ticket: T,
}

/// Who waits for a picture.
pub(super) trait Ticket: Send + 'static {
    /// Whether anybody does still.
    fn is_wanted(&self) -> bool;
    /// `None`: no worker could be had.
    fn finish(self, outcome: Option<Outcome>);
}

/// The way to the workers, who end with it.
pub(super) struct Workers<T: Ticket> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    program: Program,
    settings: Settings,
    metrics: Arc<ThumbnailMetrics>,
    desk: Mutex<Desk<T>>,
    is_work: Condvar,
}

struct Desk<T> {
    queue: VecDeque<Job<T>>,
    is_over: bool,
}

/// What a thread is to do next.
enum Next<T> {
    Work(Job<T>),
    /// There was nothing for long.
    Rest,
    End,
}

impl<T: Ticket> Workers<T> {
    pub(super) fn start(
        program: Program,
        settings: Settings,
        metrics: Arc<ThumbnailMetrics>,
    ) -> io::Result<Self> {
        let desk = Mutex::new(Desk { queue: VecDeque::new(), is_over: false });
        let shared = Arc::new(Shared { program, settings, metrics, desk, is_work: Condvar::new() });
        let workers = Self { shared };
        for _ in 0..settings.workers.max(1) {
            let of_thread = workers.shared.clone();
            std::thread::Builder::new().name("thumbnails".into()).spawn(move || of_thread.work())?;
        }
        Ok(workers)
    }

    /// Gives it back if too many wait.
    pub(super) fn submit(&self, job: Job<T>) -> Result<(), Job<T>> {
        let mut desk = self.shared.desk();
        if desk.queue.len() >= self.shared.settings.waiting_max {
            return Err(job);
        }
        desk.queue.push_back(job);
        self.shared.metrics.waiting.add(1);
        drop(desk);
        self.shared.is_work.notify_one();
        Ok(())
    }
}

impl<T: Ticket> Drop for Workers<T> {
    fn drop(&mut self) {
        self.shared.desk().is_over = true;
        self.shared.is_work.notify_all();
    }
}

impl<T: Ticket> Shared<T> {
    fn desk(&self) -> MutexGuard<'_, Desk<T>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut seat = Seat { shared: self, worker: None, rests_until: None };
        loop {
            match self.next(seat.worker.is_some()) {
                Next::Work(job) => {
                    self.metrics.waiting.add(-1);
                    // Whoever asks and hangs up costs nothing.
                    if job.ticket.is_wanted() {
                        let outcome = seat.make(&job);
                        job.ticket.finish(outcome);
                    }
                }
                Next::Rest => seat.dismiss(),
                Next::End => return seat.dismiss(),
            }
        }
    }

    fn next(&self, has_worker: bool) -> Next<T> {
        let mut desk = self.desk();
        loop {
            if desk.is_over {
                return Next::End;
            }
            if let Some(job) = desk.queue.pop_front() {
                return Next::Work(job);
            }
            if !has_worker {
                desk = self.is_work.wait(desk).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.is_work.wait_timeout(desk, self.settings.idle_time);
            let (back, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            desk = back;
            if timeout.timed_out() && desk.queue.is_empty() && !desk.is_over {
                return Next::Rest;
            }
        }
    }
}

/// A thread's place: the worker that it has, if any.
struct Seat<'a, T> {
    shared: &'a Shared<T>,
    worker: Option<Worker>,
    rests_until: Option<Instant>,
}

struct Worker {
    process: Process,
    pictures: u32,
    busy: Duration,
}

impl<T: Ticket> Seat<'_, T> {
    /// `None`: no worker could be had, or the machine has taken it away.
    fn make(&mut self, job: &Job<T>) -> Option<Outcome> {
        let Settings { picture_time, pictures_per_worker, .. } = self.shared.settings;
        let metrics = &self.shared.metrics;
        let begun = now();
        let worker = self.worker(begun)?;
        let begun = now();
        let made = worker.process.make(&job.file, job.length, job.width, picture_time);
        let took = now().saturating_duration_since(begun);
        metrics.making_total_ms.add(took.as_millis() as u64);
        worker.pictures += 1;
        worker.busy += took;
        let is_worn = worker.pictures >= pictures_per_worker
            || worker.busy + picture_time > picture_time * (PICTURE_TIMES - 1);
        if made.is_err() || is_worn {
            self.dismiss();
        }
        let lost = match made {
            Ok(outcome) => return Some(outcome),
            Err(lost) => lost,
        };
        metrics.workers_lost_total.inc();
        tracing::info!(
            ?lost,
            took_ms = took.as_millis() as u64,
            "a worker that makes thumbnails was lost and is replaced"
        );
        (lost == Lost::ByPicture).then_some(Outcome::Unfit(Unfit::NotAPicture))
    }

    fn worker(&mut self, at: Instant) -> Option<&mut Worker> {
        if self.worker.is_none() && self.rests_until.is_none_or(|until| at >= until) {
            match self.start() {
                Ok(process) => {
                    self.shared.metrics.workers.add(1);
                    self.worker = Some(Worker { process, pictures: 0, busy: Duration::ZERO });
                }
                Err(error) => {
                    self.shared.metrics.workers_failed_total.inc();
                    tracing::warn!(%error, "no thumbnails for now: a worker can't be started or confined");
                    self.rests_until = Some(at + REST);
                }
            }
        }
        self.worker.as_mut()
    }

    fn start(&self) -> io::Result<Process> {
        let Settings { limits, picture_time, .. } = self.shared.settings;
        let hello = Hello { limits, cpu_seconds: (picture_time * PICTURE_TIMES).as_secs().max(1) };
        let process = Process::start(&self.shared.program, &hello, picture_time)?;
        self.shared.metrics.workers_started_total.inc();
        if !process.is_filtered() {
            self.shared.metrics.workers_unfiltered_total.inc();
            tracing::debug!("this system can't filter the system calls of what decodes pictures");
        }
        Ok(process)
    }

    fn dismiss(&mut self) {
        if self.worker.take().is_some() {
            self.shared.metrics.workers.add(-1);
        }
    }
}
