//! The journal's one writer thread: group commit, rotation, unlinking.
//!
//! Takes batches from all shards, makes one frame of what has come meanwhile, writes and syncs it, tells the shards,
//! and repeats. Between frames it closes segments that are old or large, asks the shards to move what is still
//! unacknowledged in them to SQLite, and unlinks those that nobody needs. With nothing to do it sleeps without a
//! timeout and the disk is not touched.
//!
//! A full disk refuses the appends of a frame and keeps its acknowledgements for the next. Any other failure to write
//! or sync stops the engine: after a failed `fdatasync` nobody knows what the page cache has dropped.

use super::format::{self, FRAME_HEADER, Seed, SegmentHeader};
#[cfg(test)]
use super::segment;
use super::segment::Segment;
use crate::embedded::link::{Buffers, Event, Link, Shared};
use crate::embedded::metrics::JournalMetrics;
use crate::{Seq, StoreError};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};
use upkeep::{Closed, LastSeqs};

mod upkeep;

/// What the writer is told.
pub(crate) enum ToJournal {
    /// A shard's turn.
    Batch(Batch),
    /// Write what waits and end.
    Stop,
}

/// What a shard has submitted in one or more turns.
pub(crate) struct Batch {
    pub(crate) link: Arc<Link>,
    pub(crate) buffers: Buffers,
    /// Messages in `buffers.appends`.
    pub(crate) messages: u32,
    /// The last one's number.
    pub(crate) last: Seq,
    /// Somebody waits for `buffers.acks` to be durable: an account was purged.
    pub(crate) is_awaited: bool,
}

/// Acknowledgements kept over a full disk; beyond it the oldest are dropped, which can only repeat messages.
const WAITING_ACK_BYTES_MAX: usize = 16 << 20;
/// A frame buffer that one large commit has grown is given back above this.
const FRAME_BUFFER_KEPT: usize = 8 << 20;

/// The thread's state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    receiver: Receiver<ToJournal>,
    journal: PathBuf,
    seed: Seed,
    metrics: Arc<JournalMetrics>,
    active: Option<Segment>,
    active_last_seqs: LastSeqs,
    closed: VecDeque<Closed>,
    next_segment: u64,
    next_frame: u64,
    frame: Vec<u8>,
    batches: Vec<Batch>,
    /// Encoded acknowledgements that wait for a frame, and since when.
    acks: Vec<u8>,
    acks_since_ms: Option<u64>,
    next_upkeep_ms: u64,
    /// When the last commit with messages began.
    last_commit: Option<Instant>,
    stopping: bool,
    failed: bool,
    /// The disk was full at the last frame.
    full: bool,
    #[cfg(test)]
    pub(crate) faults: Arc<segment::Faults>,
}

impl Writer {
    /// A writer that goes on behind what `journal` holds.
    pub(crate) fn new(
        shared: Arc<Shared>,
        receiver: Receiver<ToJournal>,
        journal: PathBuf,
        seed: Seed,
        next_segment: u64,
        metrics: Arc<JournalMetrics>,
    ) -> Self {
        Self {
            next_frame: shared.first_number() + 1,
            shared,
            receiver,
            journal,
            seed,
            metrics,
            active: None,
            active_last_seqs: Vec::new(),
            closed: VecDeque::new(),
            next_segment,
            frame: Vec::new(),
            batches: Vec::new(),
            acks: Vec::new(),
            acks_since_ms: None,
            next_upkeep_ms: 0,
            last_commit: None,
            stopping: false,
            failed: false,
            full: false,
            #[cfg(test)]
            faults: Default::default(),
        }
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        while !self.stopping {
            self.receive();
            self.pace();
            let now_ms = self.shared.options.clock.now_ms();
            self.collect_acks(now_ms);
            let linger_ms = self.shared.options.ack_linger_ms;
            let acks_due =
                self.acks_since_ms.is_some_and(|since| now_ms >= since + linger_ms || self.stopping);
            let awaited = self.batches.iter().any(|batch| batch.messages > 0 || batch.is_awaited);
            let outcome = match awaited || acks_due {
                true => self.commit(now_ms),
                false => Ok(0),
            };
            self.publish(outcome);
            if now_ms >= self.next_upkeep_ms {
                self.next_upkeep_ms = now_ms + self.shared.options.tick_ms;
                self.upkeep(now_ms);
            }
        }
    }

    /// Waits for work as long as nothing else is due, and takes what is there up to one frame.
    fn receive(&mut self) {
        let next = match self.wait() {
            None => self.receiver.recv().map_err(|_| TryRecvError::Disconnected),
            Some(wait) => self.receiver.recv_timeout(wait).map_err(|error| match error {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            }),
        };
        self.take(next);
    }

    /// Takes what is there, beginning with `next`, up to one frame.
    fn take(&mut self, mut next: Result<ToJournal, TryRecvError>) {
        let mut bytes: usize = self.batches.iter().map(|batch| batch.buffers.appends.len()).sum();
        loop {
            match next {
                Ok(ToJournal::Batch(batch)) => {
                    bytes += batch.buffers.appends.len();
                    self.batches.push(batch);
                }
                Ok(ToJournal::Stop) | Err(TryRecvError::Disconnected) => {
                    self.stopping = true;
                    return;
                }
                Err(TryRecvError::Empty) => return,
            }
            if bytes >= self.shared.options.frame_bytes {
                return;
            }
            next = self.receiver.try_recv();
        }
    }

    /// Lets messages gather until the next commit may begin, and uses the time to make room for them.
    fn pace(&mut self) {
        let appends: usize = self.batches.iter().map(|batch| batch.buffers.appends.len()).sum();
        if appends == 0 {
            return;
        }
        if !self.stopping && appends < self.shared.options.frame_bytes && self.until_commit().is_some() {
            self.allocate_ahead();
            if let Some(rest) = self.until_commit() {
                std::thread::sleep(rest);
            }
            let next = self.receiver.try_recv();
            self.take(next);
        }
        self.last_commit = Some(now());
    }

    /// How long until the next commit may begin; `None`: it may.
    fn until_commit(&self) -> Option<Duration> {
        let interval = Duration::from_micros(self.shared.options.commit_interval_us);
        let rest = interval.saturating_sub(now().duration_since(self.last_commit?));
        (!rest.is_zero()).then_some(rest)
    }

    /// Makes room in the segment before a commit has to. A failure shows again when the room is needed.
    fn allocate_ahead(&mut self) {
        let options = &self.shared.options;
        let step = options.preallocate_bytes;
        let has_disk = || {
            self.shared
                .options
                .disk
                .room_left(&self.journal)
                .is_none_or(|left| left >= options.reserve_bytes + 2 * step)
        };
        if let Some(segment) = &mut self.active
            && segment.is_short(step)
            && segment.used() + 2 * step <= options.segment_bytes
            && has_disk()
        {
            let _ = segment.extend(step, step);
        }
    }

    /// How long nothing needs to be done: `None` for ever.
    fn wait(&self) -> Option<Duration> {
        let options = &self.shared.options;
        let segments = !self.closed.is_empty() || self.active.is_some();
        let wait_ms = match (self.acks_since_ms, segments) {
            (Some(_), _) => options.ack_linger_ms.min(options.tick_ms),
            (None, true) => options.tick_ms,
            (None, false) => return None,
        };
        Some(Duration::from_millis(wait_ms.max(1)))
    }

    fn collect_acks(&mut self, now_ms: u64) {
        for batch in &mut self.batches {
            if !batch.buffers.acks.is_empty() {
                self.acks.append(&mut batch.buffers.acks);
                self.acks_since_ms.get_or_insert(now_ms);
            }
        }
    }

    /// Makes one frame of everything at hand durable. Returns its segment.
    fn commit(&mut self, now_ms: u64) -> Result<u64, StoreError> {
        if self.failed {
            return Err(failed("the journal failed earlier"));
        }
        let appends = self.batches.iter().any(|batch| batch.messages > 0);
        self.build_frame(appends);
        match self.write_frame(now_ms, appends) {
            Ok(segment) => {
                self.count_frame();
                self.acks.clear();
                self.acks_since_ms = None;
                if std::mem::take(&mut self.full) {
                    tracing::info!("the disk has room again: messages are accepted");
                }
                self.metrics.waiting_ack_bytes.set(0);
                Ok(segment)
            }
            Err(error) if is_full(&error) => {
                if !std::mem::replace(&mut self.full, true) {
                    tracing::warn!("the disk is full: messages are refused until there is room");
                }
                self.keep_acks(now_ms);
                Err(StoreError::Full)
            }
            Err(error) => {
                self.failed = true;
                self.shared.stopped.store(true, Ordering::Release);
                tracing::error!(%error, "the journal cannot be written: nothing is accepted until a restart");
                Err(failed(&error.to_string()))
            }
        }
    }

    fn build_frame(&mut self, appends: bool) {
        self.frame.clear();
        self.frame.resize(FRAME_HEADER, 0);
        if appends {
            self.batches.iter().for_each(|batch| self.frame.extend_from_slice(&batch.buffers.appends));
        }
        self.frame.extend_from_slice(&self.acks);
        format::finish_frame(&mut self.frame, self.next_frame, self.seed);
    }

    fn write_frame(&mut self, now_ms: u64, appends: bool) -> io::Result<u64> {
        self.prepare_segment(now_ms, appends)?;
        let Self { active: Some(segment), frame, metrics, .. } = self else {
            return Err(io::Error::other("no segment after it was prepared"));
        };
        if let Err(error) = segment.write(frame) {
            // On a file system that copies on write even allocated room can run out.
            segment.cut().map_err(|_| io::Error::other(error.to_string()))?;
            return Err(error);
        }
        let start = now();
        segment.sync(frame.len() as u64).map_err(|error| io::Error::other(format!("fdatasync: {error}")))?;
        metrics.sync_time_total_us.add(start.elapsed().as_micros() as u64);
        segment.first_frame_ms.get_or_insert(now_ms);
        self.next_frame += 1;
        Ok(segment.number)
    }

    /// Sees to it that the active segment has room for the frame.
    fn prepare_segment(&mut self, now_ms: u64, appends: bool) -> io::Result<()> {
        let shared = self.shared.clone();
        let options = &shared.options;
        let (length, step) = (self.frame.len() as u64, options.preallocate_bytes);
        if let Some(segment) = &self.active
            && segment.first_frame_ms.is_some()
            && segment.used() + length > options.segment_bytes
        {
            self.close_active(now_ms);
        }
        if self.active.as_ref().is_some_and(|segment| segment.has_room(length)) {
            return Ok(());
        }
        if appends
            && self
                .shared
                .options
                .disk
                .room_left(&self.journal)
                .is_some_and(|left| left < options.reserve_bytes + step.max(length))
        {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        match &mut self.active {
            Some(segment) => segment.extend(length, step),
            None => self.create_segment(length.max(step)),
        }
    }

    fn create_segment(&mut self, room: u64) -> io::Result<()> {
        let number = self.next_segment;
        let header = SegmentHeader {
            number,
            first_frame: self.next_frame,
            created_unix_ms: self.shared.time.unix_ms(),
        };
        let path = super::segment_path(&self.journal, number);
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests put their faults in"))]
        let mut segment = Segment::create(&*self.shared.options.disk, path, header, self.seed, room)?;
        #[cfg(test)]
        {
            segment.faults = self.faults.clone();
        }
        self.next_segment += 1;
        self.active = Some(segment);
        self.metrics.segments.set(self.closed.len() as i64 + 1);
        Ok(())
    }

    fn count_frame(&mut self) {
        let messages: u64 = self.batches.iter().map(|batch| u64::from(batch.messages)).sum();
        self.metrics.frames_total.inc();
        self.metrics.syncs_total.inc();
        self.metrics.bytes_total.add(self.frame.len() as u64);
        self.metrics.batches_total.add(self.batches.len() as u64);
        self.metrics.messages_total.add(messages);
        if self.frame.capacity() > FRAME_BUFFER_KEPT {
            self.frame = Vec::new();
        }
    }

    fn keep_acks(&mut self, now_ms: u64) {
        if self.acks.len() > WAITING_ACK_BYTES_MAX {
            tracing::warn!(
                bytes = self.acks.len(),
                "acknowledgements dropped: messages may repeat after a crash"
            );
            self.acks.clear();
        }
        self.acks_since_ms = (!self.acks.is_empty()).then_some(now_ms);
        self.metrics.waiting_ack_bytes.set(self.acks.len() as i64);
    }

    /// Tells every shard what became of its batches.
    fn publish(&mut self, outcome: Result<u64, StoreError>) {
        for mut batch in self.batches.drain(..) {
            let outcome = match (&outcome, batch.messages) {
                (Err(error), 0) if batch.is_awaited => Err(error.clone()),
                (_, 0) => Ok(0),
                (Ok(segment), _) => {
                    note_last(&mut self.active_last_seqs, &batch.link, batch.last);
                    Ok(*segment)
                }
                (Err(error), messages) => {
                    let full = matches!(error, StoreError::Full);
                    let refused = if full {
                        &self.metrics.refused_full_total
                    } else {
                        &self.metrics.refused_failed_total
                    };
                    refused.add(u64::from(messages));
                    Err(error.clone())
                }
            };
            batch.buffers.appends.clear();
            batch.buffers.acks.clear();
            batch.link.push(Event::Journal { outcome, buffers: batch.buffers });
        }
    }
}

fn note_last(last_seqs: &mut LastSeqs, link: &Arc<Link>, last: Seq) {
    match last_seqs.iter_mut().find(|(known, _)| Arc::ptr_eq(known, link)) {
        Some((_, known)) => *known = last,
        None => last_seqs.push((link.clone(), last)),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "spaces commits and measures syncs, finer than the engine's clock"
)]
fn now() -> Instant {
    Instant::now()
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn failed(reason: &str) -> StoreError {
    StoreError::Failed(reason.into())
}

#[cfg(test)]
mod tests;
