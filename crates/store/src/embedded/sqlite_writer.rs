//! SQLite's one writer thread: everything that changes the database while the engine runs.
//!
//! Takes what has come, carries it out in one transaction, tells whoever asked, repeats. What frames of the journal have it do ([`apply`]) is
//! done in their order, after it is durable there, so most of it waits for nobody and nobody for it. Effects, moves and deletions of
//! messages that fail (a full disk) are kept, in order, and tried again. Effects for which nobody waits, and deletions, wait a moment for
//! company. A while after a transaction the write-ahead log is written back and cut to
//! nothing, so that no deleted byte stays in it; and now and then messages that are too old are deleted. With nothing
//! to do it sleeps until the next look for old messages, which reads and doesn't write.
//!
//! To try again is safe here although it is not for the journal's frames: a transaction whose sync failed is rolled back,
//! and the next one writes its pages into the write-ahead log anew, behind the last that was synced, before it syncs again;
//! a checkpoint that failed leaves the log as it is and copies all of it anew. Nothing is believed that was not written
//! again since the failure. A transaction that failed may still be found done after a crash: moves and deletions can be
//! repeated, and how far the frames are carried out is found with it.

use super::database::{self, Messages, Moving};
use super::health::Part;
use super::link::{Event, Link, Shared, closed_error};
use super::metrics::SqliteMetrics;
use super::readers::Job;
use super::seal::Slots;
use crate::records::Revision;
use crate::{AccountId, Completion, StoreError, Ticket, books, media};
use apply::Place;
use rusqlite::{Connection, ErrorCode};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;
use transaction::Transaction;

pub(super) mod apply;
mod operations;
mod transaction;
mod upkeep;

pub(crate) use operations::{ForMedia, RecordsReply, Submitted, ToSqlite, Waiter};

/// Most operations in one transaction.
const OPERATIONS_MAX: usize = 256;
/// Old messages deleted in one transaction.
const EXPIRE_SLICE: usize = 500;
/// Messages of one purge deleted in one transaction; the rest goes in the next, with what has come meanwhile.
const PURGE_SLICE: usize = 1_000;
/// A reader that holds up the checkpoint this long is worth a warning.
const BUSY_WARN_MS: u64 = 20_000;
/// How long a failed transaction rests.
const RETRY_MS: u64 = 1_000;

/// The answer to an operation, given once its transaction is durable.
enum Answer {
    Front(Arc<Link>, Event),
    Caller(RecordsReply, Result<Revision, StoreError>),
    Save { link: Arc<Link>, account: AccountId, ticket: Ticket, result: Result<Revision, StoreError> },
    Media(ForMedia, media::Answer),
}

/// What became of an operation in the open transaction.
enum Carried {
    /// It is done.
    Out,
    /// It is to be carried out again in the next, before what stands behind it.
    InPart,
}

/// A transaction that is durable.
struct Transacted {
    answers: Vec<Answer>,
    place: Place,
    /// Positions in the queue of what stays for the next.
    unfinished: Vec<usize>,
}

/// The thread's state.
pub(super) struct SqliteWriter {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Connection,
    path: PathBuf,
    pub(super) slots: Slots,
    pub(super) secret: [u8; 16],
    pub(super) metrics: Arc<SqliteMetrics>,
    receiver: Receiver<ToSqlite>,
    queue: VecDeque<ToSqlite>,
    /// How far frames are carried out, durably.
    place: Place,
    retry_at_ms: Option<u64>,
    last_error: StoreError,
    /// Since when only things wait that can wait for company.
    lingering_since_ms: Option<u64>,
    checkpoint_at_ms: Option<u64>,
    /// Since when a reader holds the checkpoint up.
    busy_since_ms: Option<u64>,
    expire_at_ms: u64,
    /// When the time is kept next, and who waits for that.
    keep_time_at_ms: u64,
    keepers: Vec<SyncSender<()>>,
    /// The time could not be kept, which has been said.
    time_is_late: bool,
    stopping: bool,
}

impl SqliteWriter {
    pub(super) fn new(
        shared: Arc<Shared>,
        connection: Connection,
        path: PathBuf,
        (slots, place): (Slots, Place),
        secret: [u8; 16],
        receiver: Receiver<ToSqlite>,
        metrics: Arc<SqliteMetrics>,
    ) -> Self {
        let now_ms = shared.options.clock.now_ms();
        // Soon after the start, so that a server that restarts often looks too.
        let expire_at_ms = now_ms + shared.options.expire_interval_ms.min(60_000);
        let keep_time_at_ms = now_ms + shared.options.keep_time_ms;
        // What recovery wrote is forgotten from the write-ahead log like the rest.
        let checkpoint_at_ms = Some(now_ms + shared.options.checkpoint_after_ms);
        Self {
            place,
            shared,
            connection,
            path,
            slots,
            secret,
            metrics,
            receiver,
            queue: VecDeque::new(),
            retry_at_ms: None,
            last_error: closed_error(),
            lingering_since_ms: None,
            checkpoint_at_ms,
            busy_since_ms: None,
            expire_at_ms,
            keep_time_at_ms,
            keepers: Vec::new(),
            time_is_late: false,
            stopping: false,
        }
    }

    /// Runs until it is told to stop; gives the connection and the free slots back.
    pub(super) fn run(mut self) -> (Connection, Slots) {
        loop {
            let first = self.receive();
            if !self.turn(first) {
                return self.end();
            }
        }
    }

    /// One turn without waiting for work; `false` once it has been told to stop and has nothing left to do.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn take_turn(&mut self) -> bool {
        let first = self.receiver.try_recv().ok();
        self.turn(first)
    }

    /// Gives the connection and the free slots back.
    pub(super) fn end(self) -> (Connection, Slots) {
        (self.connection, self.slots)
    }

    /// Carries out what has come, if it is due, and what else is due; `false` at the end.
    fn turn(&mut self, first: Option<ToSqlite>) -> bool {
        self.take(first);
        let now_ms = self.shared.options.clock.now_ms();
        self.metrics.waiting.set(self.queue.len() as i64);
        if self.is_due(now_ms) && self.settle_arrears(now_ms) {
            self.transact(now_ms);
        }
        if self.stopping && (self.queue.is_empty() || self.retry_at_ms.is_some()) {
            return false;
        }
        self.upkeep(now_ms);
        true
    }

    /// Waits for work as long as nothing else is due.
    fn receive(&self) -> Option<ToSqlite> {
        let waiting =
            !self.queue.is_empty() && self.retry_at_ms.is_none() && self.lingering_since_ms.is_none();
        match waiting || self.stopping {
            true => self.receiver.try_recv().ok(),
            false => match self.receiver.recv_timeout(self.wait()) {
                Ok(operation) => Some(operation),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(ToSqlite::Stop),
            },
        }
    }

    /// Takes what is there, beginning with `next`.
    fn take(&mut self, mut next: Option<ToSqlite>) {
        while let Some(operation) = next {
            match operation {
                ToSqlite::Stop => self.stopping = true,
                ToSqlite::KeepTime { reply } => {
                    self.keepers.push(reply);
                    (self.keep_time_at_ms, self.expire_at_ms) = (0, 0);
                }
                operation => self.queue.push_back(operation),
            }
            // While nothing can be written, whoever can be told so is.
            let takes = self.queue.len() < OPERATIONS_MAX || self.retry_at_ms.is_some();
            next = takes.then(|| self.receiver.try_recv().ok()).flatten();
        }
    }

    fn wait(&self) -> Duration {
        let options = &self.shared.options;
        let soon =
            self.retry_at_ms.is_some() || self.checkpoint_at_ms.is_some() || self.shared.arrears.is_pending();
        let wait_ms = match (self.lingering_since_ms.is_some(), soon) {
            (true, _) => self.linger_ms().min(options.tick_ms),
            (false, true) => options.tick_ms,
            (false, false) => {
                let due_ms = self.expire_at_ms.min(self.keep_time_at_ms);
                due_ms.saturating_sub(options.clock.now_ms()).min(options.expire_interval_ms)
            }
        };
        Duration::from_millis(wait_ms.max(1))
    }

    /// Whether what waits should be carried out now.
    fn is_due(&mut self, now_ms: u64) -> bool {
        let in_arrears = self.shared.arrears.is_pending();
        if self.queue.is_empty() && !in_arrears {
            return false;
        }
        if self.retry_at_ms.is_some_and(|at| now_ms < at) && !self.stopping {
            self.fail_saves();
            return false;
        }
        let is_full = self.queue.len() >= OPERATIONS_MAX;
        if self.stopping || self.retry_at_ms.is_some() || in_arrears || is_full {
            return true;
        }
        if self.queue.iter().any(ToSqlite::is_urgent) {
            return true;
        }
        let since = *self.lingering_since_ms.get_or_insert(now_ms);
        now_ms >= since + self.linger_ms()
    }

    /// How long what is here waits for company if none of it is urgent.
    fn linger_ms(&self) -> u64 {
        let options = &self.shared.options;
        match self.queue.iter().any(|operation| matches!(operation, ToSqlite::Apply { .. })) {
            true => options.apply_linger_ms.min(options.delete_linger_ms),
            false => options.delete_linger_ms,
        }
    }

    fn transact(&mut self, now_ms: u64) {
        self.lingering_since_ms = None;
        if self.queue.is_empty() {
            return;
        }
        match self.try_transact() {
            Ok(Transacted { answers, place, unfinished }) => {
                self.committed(now_ms);
                self.applied(place);
                let mut thens = Vec::new();
                for (position, operation) in std::mem::take(&mut self.queue).into_iter().enumerate() {
                    match operation {
                        operation if unfinished.contains(&position) => self.queue.push_back(operation),
                        ToSqlite::Then(job) => thens.push(job),
                        _ => self.metrics.operations_total.inc(),
                    }
                }
                answers.into_iter().for_each(give);
                // Where there are no readers any more nobody waits.
                thens.into_iter().for_each(|job| drop(self.shared.to_readers.send(job)));
            }
            Err(error) => self.not_committed(now_ms, &error),
        }
    }

    /// Frames are durably carried out up to here: they need not be looked at any more.
    fn applied(&mut self, place: Place) {
        if place != self.place {
            self.place = place;
            self.shared.overlay.applied(place.whole_frame());
        }
        self.metrics.unapplied_bytes.set(self.shared.overlay.bytes() as i64);
    }

    fn committed(&mut self, now_ms: u64) {
        self.slots.committed();
        self.retry_at_ms = None;
        self.shared.overlay.note_failure(None);
        if self.shared.health.mend(Part::Database) {
            tracing::info!("the database can be written again");
        }
        self.metrics.transactions_total.inc();
        self.checkpoint_at_ms.get_or_insert(now_ms + self.shared.options.checkpoint_after_ms);
    }

    fn not_committed(&mut self, now_ms: u64, error: &rusqlite::Error) {
        // Where SQLite has rolled back by itself this fails and changes nothing.
        let _ = self.connection.execute_batch("ROLLBACK");
        self.slots.rolled_back();
        self.metrics.failed_total.inc();
        let trouble =
            format!("the database cannot be written ({error}): some changes of accounts are refused");
        if self.shared.health.ail(Part::Database, trouble) {
            tracing::error!(
                %error, waiting = self.queue.len(),
                "the database cannot be written: some changes of accounts are refused, the others and messages stay in memory and in \
                 the journal, and it is tried again by itself; look at the disk (df, dmesg)"
            );
        }
        self.retry_at_ms = Some(now_ms + RETRY_MS);
        self.last_error = store_error(error);
        self.shared.overlay.note_failure(Some(self.last_error.clone()));
        self.fail_saves();
    }

    /// Moves what recovery could not, before anything else is written. Whether that is done.
    fn settle_arrears(&mut self, now_ms: u64) -> bool {
        let arrears = self.shared.arrears.clone();
        while arrears.is_pending() {
            let slice = arrears.slice(&self.shared.options);
            match self.move_arrears(&slice) {
                Ok(()) => {
                    self.committed(now_ms);
                    arrears.moved(&slice);
                }
                Err(error) => {
                    self.not_committed(now_ms, &error);
                    return false;
                }
            }
            if slice.is_empty() {
                arrears.settle();
                tracing::info!("the disk has room again: what was in the journal is in the database");
            }
        }
        true
    }

    fn move_arrears(&mut self, slice: &[Moving]) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        database::note_epoch(&self.connection, self.shared.epoch)?;
        let mut messages =
            Messages { connection: &self.connection, slots: &mut self.slots, secret: &self.secret };
        for message in slice {
            messages.insert(&message.new_message())?;
        }
        self.connection.execute_batch("COMMIT")
    }

    fn try_transact(&mut self) -> rusqlite::Result<Transacted> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let Self { connection, slots, secret, queue, metrics, place, .. } = self;
        let messages = Messages { connection, slots, secret };
        let mut transaction = Transaction { messages, metrics, place: *place, answers: Vec::new() };
        let mut unfinished = Vec::new();
        for (position, operation) in queue.iter().enumerate() {
            // What stands behind a frame that is done in part is done after the rest of it.
            if !unfinished.is_empty() && operation.is_ordered() {
                unfinished.push(position);
            } else if let Carried::InPart = transaction.carry_out(operation)? {
                unfinished.push(position);
            }
        }
        let Transaction { answers, place, .. } = transaction;
        connection.execute_batch("COMMIT")?;
        Ok(Transacted { answers, place, unfinished })
    }

    /// While the database can't be written, whoever asks something of it that is in no frame hears so at once. Logins don't depend on it:
    /// a record is as the frames say, and a phone book as it was.
    fn fail_saves(&mut self) {
        let error = self.last_error.clone();
        let mut kept = VecDeque::with_capacity(self.queue.len());
        for operation in self.queue.drain(..) {
            match operation {
                ToSqlite::Then(Job::Book { link, ticket, .. }) => {
                    give(Answer::Front(link, book_event(ticket, Err(error.clone()))));
                }
                ToSqlite::Then(Job::Leftovers { link, ticket, .. }) => {
                    let completion = Completion::Leftovers { ticket, result: Err(error.clone()) };
                    give(Answer::Front(link, Event::Leftovers(completion)));
                }
                ToSqlite::Then(job) => drop(self.shared.to_readers.send(job)),
                operation => kept.push_back(operation),
            }
        }
        self.queue = kept;
    }
}

fn give(answer: Answer) {
    match answer {
        Answer::Front(link, event) => link.push(event),
        // Whoever asked may have stopped waiting.
        Answer::Caller(reply, result) => drop(reply.send(result)),
        Answer::Media(to, answer) => to.answer(Ok(answer)),
        Answer::Save { link, account, ticket, result } => {
            link.push(Event::Saved { account, completion: Completion::Saved { ticket, result } });
        }
    }
}

/// The answer to an edit of a phone book.
fn book_event(ticket: Ticket, result: Result<books::Answer, StoreError>) -> Event {
    Event::Book(Completion::Book { ticket, result })
}

/// What an error of SQLite means to the store's callers.
pub(super) fn store_error(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Failed(error.to_string().into()),
    }
}
