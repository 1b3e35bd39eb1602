//! The SQLite file: how it is opened, what it knows of itself, and the statements on messages.
//!
//! The statements on records are in [`super::records`]. Everything here runs on a thread that may block.

use super::disk::{Disk, Open};
use super::link::Loss;
use super::schema::{self, SchemaError};
use super::seal::{self, Key, Slots};
use super::sqlite_writer::apply::Place;
use super::{OpenError, Options, secrets};
use crate::secrets::{Secret, Secrets};
use crate::{AccountId, Gap, MessageId, Seq};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod reading;
mod waiting;

pub(crate) use reading::Found;
pub(super) use reading::read;
pub(super) use waiting::waiting;
pub(crate) use waiting::{Kept, Moving, Waiting};

/// Prepared statements that a connection keeps: more than there are texts.
const STATEMENTS_MAX: usize = 64;

/// Where the database of a data directory is.
pub(super) fn path(data: &Path) -> PathBuf {
    data.join("chaski.sqlite3")
}

/// What `meta` says.
pub(super) struct Meta {
    /// The directory's own.
    pub(super) secret: Secret,
    /// The realm's.
    pub(super) secrets: Secrets,
    pub(super) epoch: u64,
    /// The epoch is durable.
    pub(super) is_noted: bool,
    /// There is a roll of the journal's segments, or there was one.
    pub(super) had_roll: bool,
}

/// Opens the writer's connection and brings the schema up to date.
pub(super) fn open_writer(disk: &dyn Disk, path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { file: path.to_owned(), source };
    make_private(disk, path)?;
    let mut connection = connect(disk, path, OpenFlags::default()).map_err(sqlite)?;
    configure(&connection).map_err(sqlite)?;
    schema::migrate(&mut connection).map_err(|error| match error {
        SchemaError::Newer(found) => {
            OpenError::NewerSchema { file: path.to_owned(), found, known: schema::MIGRATIONS.len() as i64 }
        }
        SchemaError::Sqlite(source) => sqlite(source),
    })?;
    Ok(connection)
}

/// Makes the file readable for its owner only, also in a directory that others may enter: it holds keys and rosters.
/// The files that SQLite makes beside it get the same permissions; those of an earlier run are seen to here.
fn make_private(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    disk.open(path, Open::Any).map_err(|source| OpenError::NotWritable { path: path.to_owned(), source })?;
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match disk.make_private(Path::new(&file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %file.display(), %error, "others can read this file; chmod 600 it");
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn connect(disk: &dyn Disk, path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    match disk.vfs() {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        None => Connection::open_with_flags(path, flags),
    }
}

/// Statements are made once. SQLite would make one anew whenever a `LIMIT` is bound (it looks at the value for its plan), which is
/// dearer than most of what is asked here; and a small cache would forget those that are asked between them.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // A reader holds up a checkpoint only for the length of one statement.
    connection.busy_timeout(Duration::from_millis(200))?;
    keep_plans(connection)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA foreign_keys = OFF;",
    )
}

/// Opens a connection that only reads.
pub(super) fn open_reader(disk: &dyn Disk, path: &Path) -> Result<Connection, OpenError> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(disk, path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        keep_plans(&connection)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;")?;
        Ok(connection)
    };
    open().map_err(|source| OpenError::Sqlite { file: path.to_owned(), source })
}

/// Reads the secrets and begins the next epoch. On a full disk it begins without being noted, see `arrears.rs`.
pub(super) fn begin_epoch(connection: &Connection) -> rusqlite::Result<Meta> {
    let before: i64 =
        connection.query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| row.get(0))?;
    let epoch = before as u64 + 1;
    let is_noted = match note_epoch(connection, epoch) {
        Ok(()) => true,
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => false,
        Err(error) => return Err(error),
    };
    let roll = "SELECT EXISTS (SELECT 1 FROM meta WHERE name = 'journal_roll')";
    let had_roll = connection.query_row(roll, [], |row| row.get(0))?;
    let (secret, secrets) = (secrets::of_directory(connection)?, secrets::of_realm(connection)?);
    Ok(Meta { secret, secrets, epoch, is_noted, had_roll })
}

/// Notes this opening.
pub(super) fn note_epoch(connection: &Connection, epoch: u64) -> rusqlite::Result<()> {
    let note = "UPDATE meta SET value = ?1 WHERE name = 'epoch'";
    connection.prepare_cached(note)?.execute([epoch as i64]).map(drop)
}

/// Notes that the journal has a roll from now on.
pub(super) fn note_roll(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('journal_roll', 1)", []).map(drop)
}

/// The next opening doesn't miss a roll of the journal's segments.
pub(super) fn forget_roll(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM meta WHERE name = 'journal_roll'", []).map(drop)
}

/// How far the frames of the journal have been carried out.
pub(super) fn applied(connection: &Connection) -> rusqlite::Result<Place> {
    let select = "SELECT value FROM meta WHERE name = ?1";
    let read = |name: &str| connection.query_row(select, [name], |row| row.get::<_, i64>(0)).optional();
    let (frame, effects) = (read("applied_frame")?, read("applied_effects")?);
    Ok(Place { frame: frame.unwrap_or(0) as u64, effects: effects.unwrap_or(-1) as u64 })
}

/// Notes it, in the transaction that has carried them out.
pub(super) fn note_applied(connection: &Connection, place: Place) -> rusqlite::Result<()> {
    let note = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
    let mut note = connection.prepare_cached(note)?;
    note.execute(params!["applied_frame", place.frame as i64])?;
    note.execute(params!["applied_effects", place.effects as i64]).map(drop)
}

/// The time of the last run, if it was kept.
pub(super) fn kept_time(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE name = 'time'", [], |row| row.get(0)).optional()
}

/// Keeps it.
pub(super) fn keep_time(connection: &Connection, time: &str) -> rusqlite::Result<()> {
    let keep = "INSERT INTO meta VALUES ('time', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.execute(keep, [time]).map(drop)
}

fn account(row: &Row<'_>, column: usize) -> rusqlite::Result<AccountId> {
    Ok(AccountId::from_bits(row.get::<_, i64>(column)? as u64))
}

/// A message as it goes into SQLite.
pub(super) struct NewMessage<'a> {
    pub(super) account: AccountId,
    pub(super) seq: Seq,
    pub(super) id: MessageId,
    pub(super) accepted_unix_ms: u64,
    /// In pieces that lie one behind the other.
    pub(super) stanza: [&'a [u8]; 2],
    /// Who has sent it, if that is known.
    pub(super) mark: Option<u8>,
}

/// Statements on messages inside a transaction of the writer.
pub(super) struct Messages<'a> {
    pub(super) connection: &'a Connection,
    pub(super) slots: &'a mut Slots,
    pub(super) secret: &'a [u8; 16],
}

impl Messages<'_> {
    /// Puts a message in. `false` if it is there already, by number or by identity.
    pub(super) fn insert(&mut self, message: &NewMessage<'_>) -> rusqlite::Result<bool> {
        let (slot, key) = self.slots.take(self.connection)?;
        let sealed = seal::seal(self.secret, &key, (message.account, message.seq), message.stanza);
        let insert = "INSERT OR IGNORE INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let inserted = self.connection.prepare_cached(insert)?.execute(params![
            message.account.to_bits() as i64,
            message.seq.0 as i64,
            message.id.0.to_be_bytes(),
            message.accepted_unix_ms as i64,
            message.stanza.iter().map(|piece| piece.len() as i64).sum::<i64>(),
            slot,
            sealed,
            message.mark,
        ])?;
        if inserted == 0 {
            self.slots.destroy(self.connection, slot)?;
        }
        Ok(inserted > 0)
    }

    /// Deletes one message, or the gap of this number; whether it was there.
    pub(super) fn delete(&mut self, account: AccountId, seq: Seq) -> rusqlite::Result<bool> {
        if self.delete_message(account, seq)? {
            return Ok(true);
        }
        let delete = "DELETE FROM gaps WHERE account = ?1 AND seq = ?2";
        let parameters = params![account.to_bits() as i64, seq.0 as i64];
        Ok(self.connection.prepare_cached(delete)?.execute(parameters)? > 0)
    }

    pub(super) fn delete_message(&mut self, account: AccountId, seq: Seq) -> rusqlite::Result<bool> {
        let delete = "DELETE FROM messages WHERE account = ?1 AND seq = ?2 RETURNING seal";
        Ok(self.delete_rows(delete, params![account.to_bits() as i64, seq.0 as i64])? > 0)
    }

    /// Leaves a gap in the place of messages that this transaction takes away, or lets the mailbox's gap grow. The number
    /// is the new loss' own: the acknowledgement of what was told before is not one of this.
    pub(super) fn leave_gap(&mut self, loss: &Loss) -> rusqlite::Result<()> {
        let account = loss.account.to_bits() as i64;
        let select = "SELECT messages, since_unix_ms, until_unix_ms FROM gaps WHERE account = ?1";
        let mut statement = self.connection.prepare_cached(select)?;
        let known = statement.query_row([account], |row| reading::gap(row, 0)).optional()?;
        let gap = known.map_or(loss.gap, |known| known.join(loss.gap));
        let put = "INSERT OR REPLACE INTO gaps VALUES (?1, ?2, ?3, ?4, ?5)";
        self.connection.prepare_cached(put)?.execute(params![
            account,
            loss.seq().0 as i64,
            gap.messages,
            gap.since_unix_ms as i64,
            gap.until_unix_ms as i64,
        ])?;
        Ok(())
    }

    /// Deletes a mailbox up to `upto`, and no more than `limit` messages of it; how many they were.
    pub(super) fn purge(&mut self, account: AccountId, upto: Seq, limit: usize) -> rusqlite::Result<usize> {
        let (account, upto) = (account.to_bits() as i64, upto.0 as i64);
        let delete = "DELETE FROM gaps WHERE account = ?1 AND seq <= ?2";
        self.connection.prepare_cached(delete)?.execute([account, upto])?;
        let delete = "DELETE FROM messages WHERE account = ?1 AND seq IN
                      (SELECT seq FROM messages WHERE account = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)
                      RETURNING seal";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.delete_rows(delete, params![account, upto, limit])
    }

    /// Deletes up to `limit` messages accepted before `before_unix_ms` and leaves gaps in their place. For each account
    /// what it lost.
    pub(super) fn expire(&mut self, before_unix_ms: u64, limit: usize) -> rusqlite::Result<Vec<Loss>> {
        let select = "SELECT account, seq, accepted_unix_ms FROM messages INDEXED BY messages_by_age
                      WHERE accepted_unix_ms < ?1 LIMIT ?2";
        let mut statement = self.connection.prepare_cached(select)?;
        let old = statement
            .query_map(params![before_unix_ms as i64, limit as i64], |row| {
                Ok((account(row, 0)?, Seq(row.get::<_, i64>(1)? as u64), row.get::<_, i64>(2)? as u64))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let mut losses: HashMap<AccountId, Loss> = HashMap::new();
        for (account, seq, accepted_unix_ms) in old {
            if self.delete_message(account, seq)? {
                let gap = Gap::of(accepted_unix_ms);
                let loss = losses.entry(account);
                loss.and_modify(|loss| loss.add(seq, gap)).or_insert_with(|| Loss::of(account, seq, gap));
            }
        }
        let losses: Vec<Loss> = losses.into_values().collect();
        losses.iter().try_for_each(|loss| self.leave_gap(loss))?;
        Ok(losses)
    }

    /// Takes away messages that can't be read and leaves a gap in their place. What that is, if any was still there.
    /// `now_unix_ms`: for those of which not even the time can be read.
    pub(super) fn lose(
        &mut self,
        account: AccountId,
        seqs: &[Seq],
        now_unix_ms: u64,
    ) -> rusqlite::Result<Option<Loss>> {
        let select = "SELECT accepted_unix_ms FROM messages WHERE account = ?1 AND seq = ?2";
        let mut lost: Option<Loss> = None;
        for &seq in seqs {
            let place = params![account.to_bits() as i64, seq.0 as i64];
            let accepted =
                self.connection.prepare_cached(select)?.query_row(place, |row| row.get::<_, i64>(0));
            let gap = Gap::of(accepted.map_or(now_unix_ms, |at| at as u64));
            if !self.delete_unreadable(account, seq)? {
                continue;
            }
            match &mut lost {
                Some(loss) => loss.add(seq, gap),
                None => lost = Some(Loss::of(account, seq, gap)),
            }
        }
        lost.iter().try_for_each(|loss| self.leave_gap(loss))?;
        Ok(lost)
    }

    /// Deletes a message whose columns can't be trusted: its key is destroyed only if no other message has the same.
    fn delete_unreadable(&mut self, account: AccountId, seq: Seq) -> rusqlite::Result<bool> {
        let place = params![account.to_bits() as i64, seq.0 as i64];
        let delete = "DELETE FROM messages WHERE account = ?1 AND seq = ?2 RETURNING seal";
        let row = |row: &Row<'_>| Ok(row.get::<_, i64>(0).ok());
        let found = self.connection.prepare_cached(delete)?.query_row(place, row).optional()?;
        let Some(slot) = found else { return Ok(false) };
        let shared = "SELECT EXISTS (SELECT 1 FROM messages WHERE seal = ?1)";
        if let Some(slot) = slot
            // Looks at all messages: this is rare. If they can't be looked at, the key stays.
            && self.connection.query_row(shared, [slot], |row| row.get(0)).is_ok_and(|shared: bool| !shared)
        {
            self.slots.destroy(self.connection, slot)?;
        }
        Ok(true)
    }

    /// Runs a deletion that returns seals, and destroys their keys; how many rows went.
    fn delete_rows(&mut self, delete: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<usize> {
        let mut statement = self.connection.prepare_cached(delete)?;
        // What can't be read there goes all the same.
        let seals = statement
            .query_map(parameters, |row| Ok(row.get::<_, i64>(0).ok()))?
            .collect::<Result<Vec<_>, _>>()?;
        for &slot in seals.iter().flatten() {
            self.slots.destroy(self.connection, slot)?;
        }
        Ok(seals.len())
    }
}

/// Writes the write-ahead log back and cuts it to nothing, durably: SQLite does not sync what it has cut, and a power cut
/// would bring deleted messages back with their keys. `false` if a reader was in the way.
pub(super) fn checkpoint(connection: &Connection, disk: &dyn Disk, path: &Path) -> rusqlite::Result<bool> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Ok(false);
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match disk.open(Path::new(&log), Open::Existing).and_then(|log| log.sync_all()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
            Err(rusqlite::Error::SqliteFailure(code, Some(format!("the write-ahead log: {error}"))))
        }
        _ => Ok(true),
    }
}

/// The bounds of one slice of a move to SQLite.
pub(super) fn slice_is_full(options: &Options, messages: usize, bytes: usize) -> bool {
    messages >= options.slice_messages || bytes >= options.slice_bytes
}
