//! The journal's one writer thread: group commit, rotation, what is to be removed.
//!
//! Takes batches from all shards, makes one frame of what has come meanwhile, writes and syncs it, tells the shards,
//! and repeats. Between frames it closes segments that are old or large, asks the shards to move what is still
//! unacknowledged in them to SQLite, and takes those that nobody needs off the roll. Room is made and given back by the
//! [`super::caretaker`], so that a commit waits for neither. With nothing to do it sleeps without a timeout and the disk is not touched.
//!
//! A full disk refuses the appends of a frame, and its acknowledgements go into the [`super::spare`]; where that is full, too, they are kept
//! for the next. What any other failure means, and a sync that fails for whatever reason, is the policy in `writer/failure.rs`.

use super::caretaker::Caretaker;
use super::effects::Effect;
use super::format::{self, FRAME_HEADER, Seed};
use super::roll::RollFile;
use super::segment::{Segment, SegmentError};
use super::spare::Spare;
use crate::embedded::health::Part;
use crate::embedded::link::{Buffers, Event, Link, Shared};
use crate::embedded::metrics::JournalMetrics;
use crate::embedded::sqlite_writer::{Submitted, ToSqlite};
use crate::{AccountId, Seq, StoreError};
use failure::Failing;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};
use upkeep::{Closed, LastSeqs};

mod failure;
mod frames;
mod upkeep;

/// What the writer is told.
pub(crate) enum ToJournal {
    /// A shard's turn.
    Batch(Batch),
    /// What a program has SQLite do. Boxed, so that what each message pays for stays small.
    Effect(Box<Submitted>),
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
    /// What SQLite is to do.
    pub(crate) effects: Vec<Submitted>,
    /// Records of cursors. A full disk takes them as it takes acknowledgements.
    pub(crate) cursors: BTreeMap<AccountId, Submitted>,
    /// Somebody waits for the batch although there may be nothing in it: a message was only charged.
    pub(crate) is_awaited: bool,
}

impl Batch {
    /// Whether there is something in it that a full disk refuses.
    fn has_content(&self) -> bool {
        self.messages > 0 || !self.effects.is_empty()
    }

    fn bytes(&self) -> usize {
        let effects = self.effects.iter().map(|effect| effect.numbered.effect.size());
        self.buffers.appends.len() + effects.sum::<usize>()
    }
}

/// Acknowledgements kept over a full disk; beyond it the oldest are dropped, which can only repeat messages.
const WAITING_ACK_BYTES_MAX: usize = 16 << 20;
/// A frame buffer that one large commit has grown is given back above this.
const FRAME_BUFFER_KEPT: usize = 8 << 20;

/// What became of a frame.
enum Outcome {
    /// It is durable in this segment.
    Durable(u64),
    /// Nothing of it is on the disk, nor will be.
    Refused(StoreError),
    /// It may be on the disk or not: its batches wait until it is written anew.
    InDoubt,
}

/// Where a journal goes on.
pub(crate) struct Place {
    pub(crate) journal: PathBuf,
    pub(crate) seed: Seed,
    /// The number of the next segment, and of the next frame.
    pub(crate) next_segment: u64,
    pub(crate) next_frame: u64,
    pub(crate) roll: RollFile,
    /// Segments from before, whose messages are in arrears.
    pub(crate) kept: Vec<(u64, PathBuf)>,
    /// Who sees to the segments' room.
    pub(crate) caretaker: Arc<Caretaker>,
}

/// The thread's state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    receiver: Receiver<ToJournal>,
    journal: PathBuf,
    seed: Seed,
    metrics: Arc<JournalMetrics>,
    active: Option<Segment>,
    active_last_seqs: LastSeqs,
    /// The last frame in it that has effects.
    active_last_effects: u64,
    closed: VecDeque<Closed>,
    roll: RollFile,
    spare: Spare,
    caretaker: Arc<Caretaker>,
    next_segment: u64,
    next_frame: u64,
    frame: Vec<u8>,
    batches: Vec<Batch>,
    /// Effects of programs, behind those of the batches.
    effects: Vec<Submitted>,
    /// Records of cursors that wait for a frame with the acknowledgements, the newest of each account.
    cursors: BTreeMap<AccountId, Submitted>,
    /// Encoded acknowledgements that wait for a frame, and since when.
    acks: Vec<u8>,
    acks_since_ms: Option<u64>,
    next_upkeep_ms: u64,
    /// When the last commit with messages began.
    last_commit: Option<Instant>,
    stopping: bool,
    failing: Failing,
    /// Messages in `batches` have been in a frame that failed.
    in_doubt: bool,
    /// Since when nothing follows the last frame.
    unmarked_since_ms: Option<u64>,
    /// The disk was full at the last frame.
    full: bool,
    /// Taken off the roll, to be unlinked here, and whether the directory is to be synced for some that were.
    off_roll: VecDeque<PathBuf>,
    unlinked_unsynced: bool,
    /// It was said that segments can't be removed.
    removal_ails: bool,
}

impl Writer {
    /// A writer that goes on at `place`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        receiver: Receiver<ToJournal>,
        place: Place,
        metrics: Arc<JournalMetrics>,
    ) -> Self {
        let spare = Spare::find(&*shared.options.disk, &place.journal);
        let kept = place.kept.into_iter().map(|(number, path)| Closed {
            number,
            bytes: shared.options.disk.length(&path).unwrap_or(0),
            path,
            spill_at_ms: 0,
            last_seqs: Vec::new(),
            last_effects: place.next_frame.saturating_sub(1),
            is_void: false,
            arrears: Some(shared.arrears.clone()),
        });
        Self {
            closed: kept.collect(),
            next_frame: place.next_frame,
            shared,
            receiver,
            journal: place.journal,
            seed: place.seed,
            metrics,
            spare,
            active: None,
            active_last_seqs: Vec::new(),
            active_last_effects: 0,
            roll: place.roll,
            caretaker: place.caretaker,
            next_segment: place.next_segment,
            frame: Vec::new(),
            batches: Vec::new(),
            effects: Vec::new(),
            cursors: BTreeMap::new(),
            acks: Vec::new(),
            acks_since_ms: None,
            next_upkeep_ms: 0,
            last_commit: None,
            stopping: false,
            failing: Failing::default(),
            in_doubt: false,
            unmarked_since_ms: None,
            full: false,
            off_roll: VecDeque::new(),
            unlinked_unsynced: false,
            removal_ails: false,
        }
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        while !self.stopping {
            let next = self.receive();
            self.turn(next);
        }
    }

    /// One turn without waiting for work; `false` once it has been told to stop.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn take_turn(&mut self) -> bool {
        let next = self.receiver.try_recv();
        self.turn(next);
        !self.stopping
    }

    /// What has come becomes a frame, and what is due is done.
    fn turn(&mut self, next: Result<ToJournal, TryRecvError>) {
        self.take(next);
        self.pace();
        let now_ms = self.shared.options.clock.now_ms();
        self.collect_room(now_ms);
        self.collect_acks(now_ms);
        let outcome = self.step(now_ms);
        let wrote = matches!(outcome, Outcome::Durable(segment) if segment > 0);
        self.publish(outcome);
        self.mark(now_ms);
        if wrote {
            self.ask_for_room();
        }
        if now_ms >= self.next_upkeep_ms {
            self.next_upkeep_ms = now_ms + self.shared.options.tick_ms;
            self.upkeep(now_ms);
        }
    }

    /// Writes a frame if one is due.
    fn step(&mut self, now_ms: u64) -> Outcome {
        if self.failing.is_resting(now_ms) && !self.stopping {
            return self.undecided("the journal cannot be written for now");
        }
        let linger_ms = self.shared.options.ack_linger_ms;
        let acks_due = self.acks_since_ms.is_some_and(|since| now_ms >= since + linger_ms || self.stopping);
        let content = !self.effects.is_empty() || self.batches.iter().any(Batch::has_content);
        let awaited = content || self.batches.iter().any(|batch| batch.is_awaited);
        // With nothing else to write, an empty frame tells whether the journal is well again.
        match awaited || acks_due || self.failing.is_failing() {
            true => self.commit(now_ms, content),
            false => Outcome::Durable(0),
        }
    }

    /// Waits for work as long as nothing else is due.
    fn receive(&self) -> Result<ToJournal, TryRecvError> {
        match self.wait() {
            None => self.receiver.recv().map_err(|_| TryRecvError::Disconnected),
            Some(wait) => self.receiver.recv_timeout(wait).map_err(|error| match error {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            }),
        }
    }

    /// Takes what is there, beginning with `next`, up to one frame.
    fn take(&mut self, mut next: Result<ToJournal, TryRecvError>) {
        let mut bytes = self.content_bytes();
        loop {
            match next {
                Ok(ToJournal::Batch(mut batch)) => {
                    bytes += batch.bytes();
                    self.take_cursors(&mut batch);
                    self.batches.push(batch);
                }
                Ok(ToJournal::Effect(effect)) => {
                    bytes += effect.numbered.effect.size();
                    self.effects.push(*effect);
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

    /// Bytes of what has come, without acknowledgements.
    fn content_bytes(&self) -> usize {
        let effects = self.effects.iter().map(|effect| effect.numbered.effect.size());
        self.batches.iter().map(Batch::bytes).sum::<usize>() + effects.sum::<usize>()
    }

    /// Lets messages and effects gather until the next commit may begin.
    fn pace(&mut self) {
        let content = self.content_bytes();
        if content == 0 {
            return;
        }
        if !self.stopping
            && content < self.shared.options.frame_bytes
            && let Some(rest) = self.until_commit()
        {
            std::thread::sleep(rest);
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

    /// How long nothing needs to be done: `None` for ever.
    fn wait(&self) -> Option<Duration> {
        let options = &self.shared.options;
        let pending = !self.closed.is_empty()
            || self.active.is_some()
            || self.failing.is_failing()
            || self.full
            || self.shared.health.is_scarce()
            || !self.off_roll.is_empty()
            || self.caretaker.is_removing()
            || self.removal_ails
            || self.unlinked_unsynced;
        let wait_ms = match (self.acks_since_ms, pending) {
            (Some(_), _) if !self.failing.is_failing() => options.ack_linger_ms.min(options.tick_ms),
            (_, true) => options.tick_ms,
            (_, false) => return None,
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
        if !self.cursors.is_empty() {
            self.acks_since_ms.get_or_insert(now_ms);
        }
    }

    /// The newest record of an account's cursors says all; a removal of the account takes those before it.
    fn take_cursors(&mut self, batch: &mut Batch) {
        for effect in &batch.effects {
            if let Effect::Purge { accounts, .. } = &effect.numbered.effect {
                accounts.iter().for_each(|account| _ = self.cursors.remove(account));
            }
        }
        self.cursors.append(&mut batch.cursors);
    }

    /// Makes one frame of everything at hand durable, in another segment if the one at hand fails. `content`: it holds more than
    /// acknowledgements.
    fn commit(&mut self, now_ms: u64, content: bool) -> Outcome {
        self.build_frame(content);
        let mut written = match self.shared.arrears.is_pending() {
            true => Err(SegmentError::Full),
            false => self.write_frame(now_ms, content),
        };
        while let Err(error) = &written
            && self.give_up_segment(now_ms, error)
        {
            written = self.write_frame(now_ms, content);
        }
        match written {
            Ok(segment) => {
                self.in_doubt = false;
                self.hand_over_effects();
                self.is_well();
                self.count_frame();
                self.acks.clear();
                self.acks_since_ms = None;
                // Acknowledgements may have gone where nothing else may.
                if content {
                    self.has_room();
                }
                self.metrics.waiting_ack_bytes.set(0);
                Outcome::Durable(segment)
            }
            Err(SegmentError::Full) if self.in_doubt => {
                self.keep_acks(now_ms);
                self.rest_in_doubt(now_ms);
                Outcome::InDoubt
            }
            Err(SegmentError::Full) => {
                if !std::mem::replace(&mut self.full, true) {
                    self.shared.health.ail(Part::Room, "the disk is full: messages are refused".into());
                    tracing::warn!("the disk is full: messages are refused until there is room");
                }
                self.keep_acks(now_ms);
                Outcome::Refused(StoreError::Full)
            }
            Err(SegmentError::Failed { what, source }) => {
                self.keep_acks(now_ms);
                self.undecided(&format!("{what}: {source}"))
            }
        }
    }

    /// What becomes of the batches at hand while the journal can't be written: refused, unless they may be on the disk.
    fn undecided(&self, why: &str) -> Outcome {
        if self.in_doubt { Outcome::InDoubt } else { Outcome::Refused(StoreError::Failed(why.into())) }
    }

    /// Messages need not be refused for want of room any more.
    fn has_room(&mut self) {
        if std::mem::take(&mut self.full) {
            self.shared.health.mend(Part::Room);
            tracing::info!("the disk has room again: messages are accepted");
        }
    }

    fn build_frame(&mut self, content: bool) {
        self.frame.clear();
        self.frame.resize(FRAME_HEADER, 0);
        if content {
            let Self { frame, batches, effects, .. } = self;
            batches.iter().for_each(|batch| frame.extend_from_slice(&batch.buffers.appends));
            let all = batches.iter().flat_map(|batch| &batch.effects).chain(effects.iter());
            all.for_each(|effect| format::encode_effect(frame, &effect.numbered));
        }
        self.frame.extend_from_slice(&self.acks);
        let Self { frame, cursors, .. } = self;
        cursors.values().for_each(|cursors| format::encode_effect(frame, &cursors.numbered));
        format::finish_frame(&mut self.frame, self.next_frame, self.seed);
    }

    /// The frame is durable: what it has SQLite do can be read from now on, before anybody is told, and is done soon.
    fn hand_over_effects(&mut self) {
        let mut effects: Vec<Submitted> =
            self.batches.iter_mut().flat_map(|batch| batch.effects.drain(..)).collect();
        effects.append(&mut self.effects);
        effects.extend(std::mem::take(&mut self.cursors).into_values());
        if effects.is_empty() {
            return;
        }
        let frame = self.next_frame - 1;
        self.active_last_effects = frame;
        self.metrics.effects_total.add(effects.len() as u64);
        self.shared.overlay.decided(frame, &effects);
        // Where its writer has ended, the next start does it.
        let _ = self.shared.to_sqlite.send(ToSqlite::Apply { frame, effects });
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
            let gone = StoreError::Full;
            std::mem::take(&mut self.cursors).into_values().for_each(|cursors| cursors.refuse(&gone));
        }
        self.acks_since_ms = (!self.acks.is_empty() || !self.cursors.is_empty()).then_some(now_ms);
        self.metrics.waiting_ack_bytes.set(self.acks.len() as i64);
    }

    /// Tells every shard what became of its batches.
    fn publish(&mut self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Durable(segment) => Ok(segment),
            Outcome::Refused(error) => Err(error),
            // Batches complete in order: the later ones wait too.
            Outcome::InDoubt => return,
        };
        if let Err(error) = &outcome {
            self.effects.drain(..).for_each(|effect| effect.refuse(error));
        }
        for mut batch in self.batches.drain(..) {
            let outcome = match (&outcome, batch.messages) {
                (Err(error), 0) if batch.is_awaited || batch.has_content() => Err(error.clone()),
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

#[cfg(test)]
mod tests;
