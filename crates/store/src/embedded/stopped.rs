//! What is done to a data directory while no server has it: what a damaged journal still holds is taken out, the directory is given back to an older
//! program, its secrets are replaced.
//!
//! Called by `chaski ctl`. All of it is refused while a server has the directory, leaves it as it was if it fails or is killed, and can be done again.

use super::directory::Lock;
use super::disk::Disk;
use super::seal::Slots;
use super::{OpenError, Options, database, directory, journal, open, recovery, schema, secrets};
use crate::Engine;
use crate::secrets::{OVERLAP_MS, Secret, Secrets};
use rusqlite::Connection;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What [`salvage`] found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Segments read.
    pub segments: u64,
    /// Segments that should have been there and were not.
    pub missing_segments: u64,
    /// Segments that were damaged and have been moved to `journal-damaged/`, which the operator deletes.
    pub damaged_segments: u64,
    /// Intact frames read.
    pub frames: u64,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
    /// Messages recovered into the database.
    pub messages: u64,
}

/// A data directory whose journal is empty: all there is lies in the database.
struct Stopped {
    connection: Connection,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    journal: PathBuf,
    database: PathBuf,
    /// The time that the directory believes in, Unix time in milliseconds.
    now_unix_ms: u64,
    _lock: Lock,
}

impl Stopped {
    fn open(dir: &Path) -> Result<Self, OpenError> {
        let options = Options::default();
        let disk = options.disk.clone();
        let database = existing(&*disk, dir)?;
        // What the journal has goes into the database.
        let engine = open(dir, options)?;
        let now_unix_ms = engine.time().unix_ms();
        engine.close();
        drop(engine);
        let lock = directory::prepare(&*disk, dir)?;
        let journal = journal::directory(dir);
        let left =
            disk.list(&journal).map_err(|source| OpenError::NotReadable { path: journal.clone(), source })?;
        if !left.is_empty() {
            return Err(OpenError::JournalLeft { journal });
        }
        let connection = database::open_writer(&*disk, &database)?;
        Ok(Self { connection, disk, dir: dir.to_owned(), journal, database, now_unix_ms, _lock: lock })
    }

    fn sqlite<T>(&mut self, work: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> Result<T, OpenError> {
        work(self).map_err(|source| OpenError::Sqlite { file: self.database.clone(), source })
    }

    /// Makes this the directory's own secret. How many messages were sealed anew; `progress` is told the same on the way.
    fn reseal(&mut self, new: Secret, progress: &mut dyn FnMut(u64)) -> Result<u64, OpenError> {
        if self.sqlite(|stopped| secrets::of_directory(&stopped.connection))? == new {
            return Ok(0);
        }
        self.without_roll()?;
        self.sqlite(|stopped| secrets::reseal(&mut stopped.connection, new, progress))
    }

    /// The roll of the journal is keyed with the secret that goes, and there is nothing on it. First it is not missed, then it is unlinked: the next
    /// opening makes another, whether the rest of this is done or not.
    fn without_roll(&mut self) -> Result<(), OpenError> {
        self.sqlite(|stopped| database::forget_roll(&stopped.connection))?;
        let roll = journal::roll::path(&self.journal);
        let unwritable = |source| OpenError::NotWritable { path: roll.clone(), source };
        match self.disk.unlink(&roll) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritable(error)),
            _ => {}
        }
        self.disk.sync_directory(&self.dir).map_err(unwritable)
    }

    /// Nothing of what was there before is in the write-ahead log any more.
    fn settle(&self) -> rusqlite::Result<()> {
        database::checkpoint(&self.connection, &*self.disk, &self.database).map(drop)
    }
}

/// The database of a directory that is there: a mistyped path must not make a new one.
fn existing(disk: &dyn Disk, dir: &Path) -> Result<PathBuf, OpenError> {
    let database = database::path(dir);
    disk.length(&database).map_err(|source| OpenError::NotReadable { path: database.clone(), source })?;
    Ok(database)
}

/// Recovers every intact frame of a damaged journal into the database and moves damaged segments to
/// `journal-damaged/`. They may hold messages: the operator deletes them.
pub fn salvage(dir: &Path) -> Result<SalvageReport, OpenError> {
    let options = Options::default();
    let disk = &*options.disk;
    let database = existing(disk, dir)?;
    let _lock = directory::prepare(disk, dir)?;
    let sqlite = |source| OpenError::Sqlite { file: database.clone(), source };
    let connection = database::open_writer(disk, &database)?;
    let secret = secrets::of_directory(&connection).map_err(sqlite)?;
    let mut slots = Slots::load(&connection).map_err(sqlite)?;
    let database = database.clone();
    let mut target = recovery::Target {
        connection: &connection,
        slots: &mut slots,
        secret,
        options: &options,
        database,
        had_roll: false,
    };
    // The write-ahead log goes with the last connection.
    recovery::salvage(dir, &mut target)
}

/// Brings a data directory back to what the release before this one can open, as far as there is a way: the schema's version before, and after.
/// Nothing is lost but what that one does not know: it has one secret for everything, which is the realm's root.
pub fn migrate_back(dir: &Path) -> Result<(i64, i64), OpenError> {
    let mut stopped = Stopped::open(dir)?;
    let root = stopped.sqlite(|stopped| secrets::of_realm(&stopped.connection))?.root;
    stopped.reseal(root, &mut |_| ())?;
    stopped.sqlite(|stopped| {
        let gone = schema::migrate_back(&mut stopped.connection)?;
        stopped.settle()?;
        Ok(gone)
    })
}

/// Replaces the realm's current secret ([`crate::secrets`]) from the next start on. `keeps_former`: what clients hold is good for [`OVERLAP_MS`] more; else it is void at
/// once, for when the secret is known to somebody.
///
/// While the one before it is good, another one is refused, unless it is not kept: there is one former secret.
pub fn replace_realm_secret(dir: &Path, keeps_former: bool) -> Result<Secrets, OpenError> {
    let mut stopped = Stopped::open(dir)?;
    let now_unix_ms = stopped.now_unix_ms;
    let before = stopped.sqlite(|stopped| secrets::of_realm(&stopped.connection))?;
    if let (true, Some(former)) = (keeps_former, before.former)
        && before.still_good(now_unix_ms).is_some()
    {
        let days = (former.until_unix_ms - now_unix_ms).div_ceil(24 * 60 * 60 * 1000);
        return Err(OpenError::SecretStillGood { days });
    }
    stopped.sqlite(|stopped| {
        let former_until_unix_ms = keeps_former.then_some(now_unix_ms + OVERLAP_MS);
        secrets::replace(&mut stopped.connection, former_until_unix_ms)?;
        stopped.settle()?;
        secrets::of_realm(&stopped.connection)
    })
}

/// Replaces the directory's own secret: every message that waits is sealed anew, and `progress` told how many are. All or none, in one transaction:
/// the disk needs room for a second copy of what waits.
pub fn replace_directory_secret(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<u64, OpenError> {
    let mut stopped = Stopped::open(dir)?;
    let new = stopped.sqlite(|stopped| secrets::random(&stopped.connection))?;
    let sealed = stopped.reseal(new, progress)?;
    stopped.sqlite(|stopped| stopped.settle())?;
    Ok(sealed)
}
