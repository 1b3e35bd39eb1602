//! What runs between a shard's front and the engine's threads: batches and requests one way, events the other.
//!
//! One lock per hand-over, never per message. Every queue here is bounded by what a front lets be in flight.

use super::Options;
use super::arrears::Arrears;
use super::database::{Found, Waiting};
use super::health::Health;
use super::journal::effects::{Effect, Numbered};
use super::journal::writer::ToJournal;
use super::metrics::FrontMetrics;
use super::overlay::Overlay;
use super::readers::{Job, Jobs};
use super::sqlite_writer::{Submitted, ToSqlite, Waiter};
use crate::{AccountId, Completion, Gap, Revision, Seq, ShardIndex, StoreError, Time, Waker};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What the engine's threads tell a front.
pub(crate) enum Event {
    /// The fate of a batch: the segment it is in. Its buffers come back for reuse.
    Journal { outcome: Result<u64, StoreError>, buffers: Buffers },
    /// The slice in flight is in SQLite. Positions of entries that were there already under another number.
    Spilled { ignored: Vec<usize> },
    /// The deletions in flight are done: what was asked for, and per account what was there.
    Deleted { seqs: Vec<(AccountId, Seq)> },
    /// Messages are lost; the mailbox has a gap in their place.
    Lost(Loss),
    /// The purge with this number is durable and done.
    Purged { account: AccountId, number: u64 },
    /// A search for leftovers is done.
    Leftovers(Completion),
    /// A mailbox read: what SQLite has, in order.
    Read { number: u64, result: Result<Found, StoreError> },
    /// SQLite has this record of an account's cursors, or never will.
    Cursors { account: AccountId, revision: Revision },
    /// A load of an account is done. Boxed, so that what each message pays for stays small.
    Loaded(Box<Loaded>),
    /// Records are fetched.
    Fetched(Completion),
    /// Something of the phone books is answered or done.
    Book(Completion),
    /// Something of the index of media is answered or done.
    Media(Completion),
    /// A save that only SQLite could decide is done.
    Saved { account: AccountId, completion: Completion },
}

/// What a load has found: the account's records, and what waits for it.
pub(crate) struct Loaded {
    pub(crate) account: AccountId,
    pub(crate) waiting: Result<Waiting, StoreError>,
    pub(crate) completion: Completion,
}

/// Messages of one account that left SQLite although nobody had acknowledged them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) account: AccountId,
    /// Never empty.
    pub(crate) seqs: Vec<Seq>,
    pub(crate) gap: Gap,
}

impl Loss {
    /// One message.
    pub(crate) fn of(account: AccountId, seq: Seq, gap: Gap) -> Self {
        Self { account, seqs: vec![seq], gap }
    }

    /// One more message.
    pub(crate) fn add(&mut self, seq: Seq, gap: Gap) {
        self.seqs.push(seq);
        self.gap = self.gap.join(gap);
    }

    /// The number of one of them, which their gap gets.
    pub(crate) fn seq(&self) -> Seq {
        self.seqs.iter().copied().max().unwrap_or_default()
    }
}

/// The encoded records of a batch. Appends and the rest apart, because a full disk refuses the one and keeps the other.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) appends: Vec<u8>,
    pub(crate) acks: Vec<u8>,
}

/// A front as the engine's threads see it.
pub(crate) struct Link {
    pub(crate) shard: ShardIndex,
    pub(crate) shards: u16,
    events: Mutex<Vec<Event>>,
    pending: AtomicBool,
    waker: Waker,
    /// The front needs nothing with a lower number than this any more: it is acknowledged, refused or in SQLite.
    pub(crate) needed_from: AtomicU64,
    pub(crate) metrics: Arc<FrontMetrics>,
}

impl Link {
    pub(crate) fn new(shard: ShardIndex, shards: u16, waker: Waker, metrics: Arc<FrontMetrics>) -> Self {
        Self {
            shard,
            shards,
            events: Mutex::default(),
            pending: AtomicBool::new(false),
            waker,
            needed_from: AtomicU64::new(0),
            metrics,
        }
    }

    /// Leaves an event for the front and wakes its shard.
    pub(crate) fn push(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        self.wake();
    }

    /// Makes the shard poll soon.
    pub(crate) fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            (self.waker)();
        }
    }

    /// Moves the events into `events`; whether there was a reason to look.
    pub(crate) fn take(&self, events: &mut Vec<Event>) -> bool {
        if !self.pending.swap(false, Ordering::AcqRel) {
            return false;
        }
        events.append(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner));
        true
    }
}

/// What every front and thread of an open engine shares.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) time: Arc<Time>,
    /// This opening's number; the upper bits of its sequence numbers and revisions.
    pub(crate) epoch: u64,
    /// Decides which senders meet in a table ([`crate::shares::hash`]).
    pub(crate) sender_key: u64,
    /// What is unacknowledged in segments up to this one is to move to SQLite.
    pub(crate) spill_upto: AtomicU64,
    /// The engine is closed: nothing is accepted.
    pub(crate) stopped: AtomicBool,
    /// What is wrong now.
    pub(crate) health: Arc<Health>,
    /// What recovery could not put into SQLite yet.
    pub(crate) arrears: Arc<Arrears>,
    /// What frames have SQLite do and it has not done yet.
    pub(crate) overlay: Arc<Overlay>,
    /// The last revision that was given out.
    pub(crate) revisions: AtomicU64,
    pub(crate) links: RwLock<Vec<Arc<Link>>>,
    pub(crate) to_journal: Sender<ToJournal>,
    pub(crate) to_sqlite: Sender<ToSqlite>,
    pub(crate) to_readers: Jobs,
}

/// Bits of a sequence number or revision below the epoch.
pub(crate) const COUNTER_BITS: u32 = 40;

impl Shared {
    /// The links of all fronts.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The front that owns an account, if it is attached.
    pub(crate) fn owner(&self, account: AccountId) -> Option<Arc<Link>> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.iter().find(|link| account.shard(link.shards) == link.shard).cloned()
    }

    /// Whether the engine accepts nothing any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Has something read.
    pub(crate) fn read(&self, job: Job) -> Result<(), StoreError> {
        self.to_readers.send(job).map_err(|_| closed_error())
    }

    /// Has something read that phone books, or which accounts there are, have a part in: behind what frames have SQLite do to these.
    pub(crate) fn read_books(&self, job: Job) -> Result<(), StoreError> {
        match self.overlay.books_wait() {
            true => self.to_sqlite.send(ToSqlite::Then(job)).map_err(|_| closed_error()),
            false => self.read(job),
        }
    }

    /// Why an effect can't be taken in now, if it can't.
    pub(crate) fn refusal(&self, effect: &Effect) -> Option<StoreError> {
        self.health.refusal().or_else(|| self.overlay.refusal(effect, self.options.overlay_bytes))
    }

    /// Has a program's effect written and carried out; the waiter hears.
    pub(crate) fn submit(&self, effect: Effect, waiter: Waiter) -> Result<(), StoreError> {
        if self.is_stopped() {
            return Err(closed_error());
        }
        if let Some(error) = self.refusal(&effect) {
            return Err(error);
        }
        let submitted = Submitted { numbered: self.number(effect), waiter };
        self.to_journal.send(ToJournal::Effect(Box::new(submitted))).map_err(|_| closed_error())
    }

    /// An effect with revisions of its own, which are greater than any before.
    pub(crate) fn number(&self, effect: Effect) -> Numbered {
        let before = self.revisions.fetch_add(effect.revisions(), Ordering::AcqRel);
        Numbered { revision: Revision(before + 1), effect }
    }

    /// Where this opening's sequence numbers and revisions start.
    pub(crate) fn first_number(&self) -> u64 {
        self.epoch << COUNTER_BITS
    }
}

/// What a call after the end gets.
pub(crate) fn closed_error() -> StoreError {
    StoreError::Failed("the storage engine is closed".into())
}
