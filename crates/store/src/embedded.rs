//! The embedded engine: one machine, nothing to install. The default.
//!
//! A directory with
//! - `journal/`: what was accepted, acknowledged or changed in the last half minute (`journal/format.rs` describes every byte),
//! - `chaski.sqlite3`: what the journal made: messages that wait longer, and all else (`schema.rs` describes every table),
//! - `journal.spare`: room for acknowledgements on a full disk (`journal/spare.rs`),
//! - `journal.roll`: which segments there must be in it (`journal/roll.rs`),
//! - `lock`: held while the engine is open,
//! - `journal-damaged/`: only after [`salvage`], for the operator to look at and delete.
//!
//! Owns the threads: one writes the journal, one sees to its segments' room, one writes SQLite, a few read SQLite. Each shard owns a front, the
//! [`ShardStore`], which keeps the newest messages in memory; queues join them (`link.rs`).
//!
//! Everything that a turn decides is durable in one frame of the journal or not at all: messages, acknowledgements, and what SQLite is
//! to do (`journal/effects.rs`). SQLite does that behind, in order and in few transactions; what it has not done yet is read through the
//! `overlay.rs`.
//!
//! Promises, besides those of [`crate::mailbox`]: what was committed survives the process and the machine's power;
//! a torn last write is cut and said so, other damage and missing files are refused with an error and never skipped
//! silently; a disk that fails is said so by [`Engine::troubles`], nothing is confirmed meanwhile that is not durable, and
//! the engine goes on when the disk does (`journal/writer/failure.rs`); no byte of
//! a message is readable from any file a minute after its acknowledgement.

mod arrears;
mod books;
mod database;
mod directory;
mod disk;
mod front;
mod health;
mod journal;
mod leftovers;
mod link;
mod media;
mod metrics;
mod open_error;
mod options;
mod overlay;
mod readers;
mod records;
mod recovery;
mod schema;
mod seal;
mod secrets;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod sqlite_writer;
mod stopped;

pub use disk::{Disk, DiskFile, Open, SystemDisk};
pub use open_error::OpenError;
pub use options::{Clock, Options, SystemClock};
pub use stopped::{SalvageReport, migrate_back, replace_directory_secret, replace_realm_secret, salvage};

use crate::secrets::{Secret, Secrets};
use crate::time::plausible::{Doubt, PlausibleTime, Reading};
use crate::time::{self, Time};
use crate::{Engine, Records, ShardIndex, ShardStore, Waker};
use directory::Lock;
use journal::caretaker::Caretaker;
use journal::format::Seed;
use journal::writer::{Place, ToJournal, Writer};
use link::{Link, Shared};
use metrics::{FrontMetrics, JournalMetrics, SqliteMetrics};
use readers::{Jobs, Taker};
use rusqlite::Connection;
use seal::Slots;
use sqlite_writer::{SqliteWriter, Submitted, ToSqlite, Waiter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the acceptance of a jump waits for the disk.
const KEEP_TIME_WITHIN: Duration = Duration::from_secs(10);

/// An open data directory. Dropping it closes it.
pub struct EmbeddedEngine {
    dir: PathBuf,
    secret: Secret,
    secrets: Secrets,
    shared: Arc<Shared>,
    /// What SQLite holds for accounts whose shard isn't attached yet.
    journal_metrics: Arc<JournalMetrics>,
    sqlite_metrics: Arc<SqliteMetrics>,
    caretaker: Arc<Caretaker>,
    /// `None` before they have started and once closed.
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    journal: JoinHandle<()>,
    caretaker: JoinHandle<()>,
    sqlite: JoinHandle<(Connection, Slots)>,
    readers: Vec<JoinHandle<()>>,
    _lock: Lock,
}

/// Opens a data directory, makes it if it isn't there, and recovers what a crash left behind.
pub fn open(dir: &Path, options: Options) -> Result<EmbeddedEngine, OpenError> {
    let Opened { engine, lock, writer, sqlite_writer, readers, jobs } = prepare(dir, options)?;
    let secret = engine.secret;
    let start_reader = |connection| {
        let jobs = jobs.clone();
        let shared = engine.shared.clone();
        start("chaski-reader", move || readers::run(connection, secret, &shared, &jobs))
    };
    let caretaker = engine.caretaker.clone();
    caretaker.begin();
    let threads = Threads {
        caretaker: start("chaski-segments", move || caretaker.run())?,
        readers: readers.into_iter().map(start_reader).collect::<Result<_, _>>()?,
        journal: start("chaski-journal", move || writer.run())?,
        sqlite: start("chaski-sqlite", move || sqlite_writer.run())?,
        _lock: lock,
    };
    // The readers have theirs.
    drop(jobs);
    *engine.threads.lock().unwrap_or_else(PoisonError::into_inner) = Some(threads);
    Ok(engine)
}

/// An open data directory and what its threads are to run.
struct Opened {
    engine: EmbeddedEngine,
    lock: Lock,
    writer: Writer,
    sqlite_writer: SqliteWriter,
    readers: Vec<Connection>,
    jobs: Taker,
}

fn prepare(dir: &Path, options: Options) -> Result<Opened, OpenError> {
    let disk = options.disk.clone();
    let lock = directory::prepare(&*disk, dir)?;
    let database = database::path(dir);
    let sqlite = |source| OpenError::Sqlite { file: database.clone(), source };
    let mut connection = database::open_writer(&*disk, &database)?;
    schema::declare(&mut connection, options.own_tables).map_err(sqlite)?;
    let meta = database::begin_epoch(&connection).map_err(sqlite)?;
    // The files just made must still have their names after a power cut.
    let unwritable = |source| OpenError::NotWritable { path: dir.to_owned(), source };
    disk.sync_directory(dir).map_err(unwritable)?;
    let kept = database::kept_time(&connection).map_err(sqlite)?;
    let time = Time::begin(options.clock.clone(), kept.as_deref());
    let noted = database::keep_time(&connection, &time.to_text());
    // Where there was no room the writer tries again, and says so.
    let is_kept = noted.is_ok();
    unless_full(noted).map_err(sqlite)?;
    let mut slots = Slots::load(&connection).map_err(sqlite)?;
    let mut target = recovery::Target {
        connection: &connection,
        slots: &mut slots,
        secret: meta.secret,
        options: &options,
        database: database.clone(),
        had_roll: meta.had_roll,
    };
    let absorbed = recovery::absorb(dir, &mut target, &|| false)?;
    let place_applied = database::applied(&connection).map_err(sqlite)?;
    let arrears = Arc::new(absorbed.arrears);
    if !meta.is_noted {
        arrears.wait_for_opening();
    }
    if !meta.had_roll {
        unless_full(database::note_roll(&connection)).map_err(sqlite)?;
    }

    let (to_journal, from_fronts) = channel();
    let (to_sqlite, for_sqlite) = channel();
    let (to_readers, jobs) = Jobs::new();
    let keeper = keeper(to_sqlite.clone());
    if !is_kept {
        keeper(false);
    }
    time.kept_by(keeper);
    let shared = Arc::new(Shared {
        options,
        time,
        epoch: meta.epoch,
        sender_key: u128::from_le_bytes(meta.secrets.root) as u64,
        spill_upto: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
        health: Arc::default(),
        arrears,
        overlay: Arc::default(),
        revisions: AtomicU64::new(meta.epoch << link::COUNTER_BITS),
        links: RwLock::default(),
        to_journal,
        to_sqlite,
        to_readers,
    });
    shared.overlay.applied(place_applied.whole_frame());
    for (frame, effects) in shared.arrears.take_effects() {
        let nobody = |numbered| Submitted { numbered, waiter: Waiter::Nobody };
        let effects: Vec<_> = effects.into_iter().map(nobody).collect();
        shared.overlay.decided(frame, &effects);
        let _ = shared.to_sqlite.send(ToSqlite::Apply { frame, effects });
    }
    let (journal_metrics, sqlite_metrics) = <(Arc<JournalMetrics>, Arc<SqliteMetrics>)>::default();
    let (journal, options) = (journal::directory(dir), &shared.options);
    let pace = (options.preallocate_bytes, Duration::from_millis(options.tick_ms));
    let caretaker = Arc::new(Caretaker::new(disk.clone(), journal.clone(), pace, journal_metrics.clone()));
    let place = Place {
        journal,
        seed: Seed::of(&meta.secret),
        next_segment: absorbed.next_segment,
        next_frame: absorbed.next_frame.unwrap_or(shared.first_number() + 1),
        roll: absorbed.roll,
        kept: absorbed.kept,
        caretaker: caretaker.clone(),
    };
    let writer = Writer::new(shared.clone(), from_fronts, place, journal_metrics.clone());
    let sqlite_writer = SqliteWriter::new(
        shared.clone(),
        connection,
        database.clone(),
        (slots, place_applied),
        meta.secret,
        for_sqlite,
        sqlite_metrics.clone(),
    );
    let open_reader = |_| database::open_reader(&*disk, &database);
    let readers = (0..shared.options.readers.max(1)).map(open_reader).collect::<Result<_, _>>()?;
    let engine = EmbeddedEngine {
        dir: dir.to_owned(),
        secret: meta.secret,
        secrets: meta.secrets,
        shared,
        journal_metrics,
        sqlite_metrics,
        caretaker,
        threads: Mutex::new(None),
    };
    Ok(Opened { engine, lock, writer, sqlite_writer, readers, jobs })
}

/// Has SQLite's writer keep the time.
fn keeper(to_sqlite: Sender<ToSqlite>) -> time::Keeper {
    Box::new(move |durably| {
        let (reply, kept) = sync_channel(1);
        if to_sqlite.send(ToSqlite::KeepTime { reply }).is_ok() && durably {
            // A disk that refuses is logged by the writer, which tries again.
            let _ = kept.recv_timeout(KEEP_TIME_WITHIN);
        }
    })
}

/// Whether a server that started on this data directory now would believe a wall clock that says this, and if not, how
/// far it seems off. Reads only; also while a server has the directory.
pub fn doubt(dir: &Path, wall_unix_ms: u64) -> Result<Option<Doubt>, OpenError> {
    let database = database::path(dir);
    let sqlite = |source| OpenError::Sqlite { file: database.clone(), source };
    let kept =
        database::kept_time(&database::open_reader(&*Options::default().disk, &database)?).map_err(sqlite)?;
    let reading = Reading { now_ms: 0, wall_unix_ms };
    let time = kept.and_then(|kept| PlausibleTime::again(&kept, reading));
    Ok(time.unwrap_or_else(|| PlausibleTime::first(reading)).doubt())
}

/// A note that can wait for the next time if there is no room for it: a full disk does not prevent a start.
fn unless_full(noted: rusqlite::Result<()>) -> rusqlite::Result<()> {
    match noted {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => Ok(()),
        noted => noted,
    }
}

fn start<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, OpenError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|source| OpenError::Thread { source })
}

impl EmbeddedEngine {
    /// Moves what the journal still holds into SQLite, so that a stopped server's disk holds nothing acknowledged.
    fn absorb_journal(&self, connection: &Connection, slots: &mut Slots) {
        let mut target = recovery::Target {
            connection,
            slots,
            secret: self.secret,
            options: &self.shared.options,
            database: database::path(&self.dir),
            had_roll: true,
        };
        match recovery::absorb(&self.dir, &mut target, &recovery::deadline(&self.shared)) {
            Ok(absorbed) if absorbed.kept.is_empty() => {}
            Ok(_) => tracing::warn!(
                "the journal stays for the next start: there was no room or no time to move it"
            ),
            Err(error) => tracing::warn!(%error, "the journal stays as it is for the next start"),
        }
        if let Err(error) =
            database::checkpoint(connection, &*self.shared.options.disk, &database::path(&self.dir))
        {
            tracing::warn!(%error, "the database's write-ahead log stays for the next start");
        }
    }
}

impl Engine for EmbeddedEngine {
    fn attach(&self, shard: ShardIndex, shards: u16, waker: Waker) -> Box<dyn ShardStore> {
        let link = Arc::new(Link::new(shard, shards, waker, Arc::new(FrontMetrics::default())));
        self.shared.links.write().unwrap_or_else(PoisonError::into_inner).push(link.clone());
        let acked = self.shared.arrears.take_acked(|account| account.shard(shards) == shard);
        Box::new(front::Front::new(self.shared.clone(), link, acked))
    }

    fn records(&self) -> Arc<dyn Records> {
        Arc::new(records::EmbeddedRecords { shared: self.shared.clone() })
    }

    fn media(&self) -> Arc<dyn crate::media::Index> {
        Arc::new(media::EmbeddedIndex { shared: self.shared.clone() })
    }

    fn secrets(&self) -> Secrets {
        self.secrets
    }

    fn time(&self) -> Arc<Time> {
        self.shared.time.clone()
    }

    fn metrics(&self) -> Vec<Arc<dyn chaski_telemetry::Source>> {
        let mut sources: Vec<Arc<dyn chaski_telemetry::Source>> =
            vec![self.journal_metrics.clone(), self.sqlite_metrics.clone(), self.shared.time.metrics()];
        sources.extend(self.shared.links().iter().map(|link| link.metrics.clone() as Arc<_>));
        sources
    }

    fn troubles(&self) -> Vec<String> {
        self.shared.health.all()
    }

    /// Fronts that are to hand over their last turn must be flushed and dropped before.
    fn close(&self) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else { return };
        self.shared.stopped.store(true, Ordering::Release);
        // A thread that has ended already has nothing to be told.
        let _ = self.shared.to_journal.send(ToJournal::Stop);
        let journal = threads.journal.join();
        // What he leaves of segments goes with the journal.
        self.caretaker.stop();
        let caretaker = threads.caretaker.join();
        let _ = self.shared.to_sqlite.send(ToSqlite::Stop);
        let sqlite = threads.sqlite.join();
        self.shared.to_readers.close();
        threads.readers.into_iter().for_each(|reader| drop(reader.join()));
        match (journal.and(caretaker), sqlite) {
            (Ok(()), Ok((connection, mut slots))) => {
                if let Err(error) = database::keep_time(&connection, &self.shared.time.to_text()) {
                    tracing::warn!(%error, "the time cannot be kept: the next start goes on with an older one");
                }
                self.absorb_journal(&connection, &mut slots);
            }
            _ => tracing::error!("a storage thread had panicked; the journal stays for the next start"),
        }
    }
}

impl Drop for EmbeddedEngine {
    fn drop(&mut self) {
        self.close();
    }
}
