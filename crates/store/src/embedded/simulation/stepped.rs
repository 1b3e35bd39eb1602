//! The real engine without its threads: each turn of the journal's writer, its caretaker, SQLite's writer and a reader is taken when the
//! caller says so, so that a seed repeats a run and a power cut falls between any two operations.

use crate::Secrets;
use crate::embedded::database;
use crate::embedded::directory::Lock;
use crate::embedded::journal::writer::{ToJournal, Writer};
use crate::embedded::link::{Event, Link};
use crate::embedded::readers::{self, Taker};
use crate::embedded::records;
use crate::embedded::sqlite_writer::{SqliteWriter, ToSqlite};
use crate::embedded::{Clock, EmbeddedEngine, OpenError, Opened, Options, prepare};
use crate::{Engine, ShardIndex, ShardStore, Table, Waker};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct SimulatedClock(AtomicU64);

impl SimulatedClock {
    /// Time passes.
    pub fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// Unix time at its beginning.
pub(super) const BEGINNING_UNIX_MS: u64 = 1_800_000_000_000;

impl Clock for SimulatedClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn unix_ms(&self) -> u64 {
        BEGINNING_UNIX_MS + self.now_ms()
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The journal's writer.
    Journal,
    /// SQLite's writer.
    Sqlite,
    /// The caretaker of the journal's segments; one turn is one operation.
    Caretaker,
    /// The reader thread; one turn reads, the next hands over what was read.
    Reader,
}

/// See the file's head.
pub struct Stepped {
    writer: Writer,
    sqlite_writer: SqliteWriter,
    reader: Connection,
    jobs: Taker,
    /// Read and not handed over.
    found: Option<(Arc<Link>, Event)>,
    engine: EmbeddedEngine,
    _lock: Lock,
}

impl Stepped {
    /// Opens a data directory as [`crate::embedded::open`] does.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let Opened { engine, lock, writer, sqlite_writer, mut readers, jobs } = prepare(dir, options)?;
        let reader = readers.remove(0);
        engine.caretaker.drive_by_hand();
        Ok(Self { writer, sqlite_writer, reader, jobs, found: None, engine, _lock: lock })
    }

    /// See [`Engine::attach`].
    pub fn attach(&self, shard: ShardIndex, shards: u16, waker: Waker) -> Box<dyn ShardStore> {
        self.engine.attach(shard, shards, waker)
    }

    /// See [`Engine::secrets`].
    pub fn secrets(&self) -> Secrets {
        self.engine.secrets()
    }

    /// A metric, of all shards together.
    pub fn metric(&self, name: &str) -> i64 {
        let sources = Engine::metrics(&self.engine);
        let metrics = sources.iter().flat_map(|source| source.metrics());
        metrics.filter(|metric| metric.name == name).map(|metric| metric.number()).sum()
    }

    /// A record, as a reader sees it now.
    pub fn record(&self, table: Table, key: &str) -> Option<Vec<u8>> {
        let found = records::get_through(&self.engine.shared.overlay, &self.reader, table, key);
        found.ok().flatten().map(|found| found.value)
    }

    /// All records of a table, as a reader sees them now.
    pub fn records(&self, table: Table) -> Vec<Vec<u8>> {
        let found =
            records::scan_through(&self.engine.shared.overlay, &self.reader, table, "", usize::MAX >> 1);
        found.into_iter().flatten().map(|(_, found)| found.value).collect()
    }

    /// Whether segments that are off the roll wait to be removed.
    pub fn is_removing(&self) -> bool {
        self.engine.caretaker.is_removing()
    }

    /// Whether one of them has been cut off in part.
    pub fn is_shrinking(&self) -> bool {
        self.engine.caretaker.is_shrinking()
    }

    /// Whether the engine has given up and accepts nothing.
    pub fn is_stopped(&self) -> bool {
        self.engine.shared.is_stopped()
    }

    /// Whether no message is taken for now, because the journal rests after a failure.
    pub fn is_refusing(&self) -> bool {
        self.engine.shared.health.refusal().is_some()
    }

    /// One turn.
    pub fn step(&mut self, who: Who) {
        match who {
            Who::Journal => drop(self.writer.take_turn()),
            Who::Sqlite => drop(self.sqlite_writer.take_turn()),
            Who::Caretaker => self.engine.caretaker.turn(),
            Who::Reader => match self.found.take() {
                Some((link, event)) => link.push(event),
                None => {
                    let (secret, shared) = (self.engine.secret, self.engine.shared.clone());
                    self.found = self
                        .jobs
                        .try_take()
                        .and_then(|job| readers::carry_out(job, &self.reader, &secret, &shared));
                }
            },
        }
    }

    /// As [`Engine::close`]: everything submitted becomes durable, the journal is absorbed.
    pub fn close(self) {
        let Self { mut writer, mut sqlite_writer, reader, engine, _lock, .. } = self;
        engine.shared.stopped.store(true, Ordering::Release);
        let _ = engine.shared.to_journal.send(ToJournal::Stop);
        while writer.take_turn() {}
        drop(writer);
        let _ = engine.shared.to_sqlite.send(ToSqlite::Stop);
        while sqlite_writer.take_turn() {}
        let (connection, mut slots) = sqlite_writer.end();
        drop(reader);
        // As `close` does; a disk without power is the caller's to notice.
        let _ = database::keep_time(&connection, &engine.shared.time.to_text());
        engine.absorb_journal(&connection, &mut slots);
    }
}
