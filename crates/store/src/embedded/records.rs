//! Records in SQLite: the statements, and the blocking handle for programs and the HTTP side.
//!
//! Writes go into a frame of the journal and are answered when SQLite has done what it says, reads through the reader threads, which ask the
//! overlay first; the caller waits for the answer.

use super::journal::effects::Effect;
use super::link::{Shared, closed_error};
use super::overlay::Overlay;
use super::readers::Job;
use super::schema;
use super::sqlite_writer::{RecordsReply, Waiter};
use crate::records::{self, Put, Records, Revision, Table, Versioned};
use crate::{AccountId, Seq, StoreError};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// The record, if there is one.
pub(super) fn get(connection: &Connection, table: Table, key: &str) -> rusqlite::Result<Option<Versioned>> {
    let select = format!("SELECT value, revision FROM {} WHERE key = ?1", table.name());
    connection.prepare_cached(&select)?.query_row([key], |row| versioned(row, 0)).optional()
}

fn versioned(row: &Row<'_>, first: usize) -> rusqlite::Result<Versioned> {
    let value = match row.get_ref(first)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    };
    Ok(Versioned { value, revision: Revision(row.get::<_, i64>(first + 1)? as u64) })
}

/// The record, as frames that are not carried out yet are going to make it.
pub(super) fn get_through(
    overlay: &Overlay,
    connection: &Connection,
    table: Table,
    key: &str,
) -> rusqlite::Result<Option<Versioned>> {
    match overlay.get(table, key) {
        Some(decided) => Ok(decided),
        None => get(connection, table, key),
    }
}

/// Up to `limit` records in key order after `after`, as frames that are not carried out yet are going to make them.
pub(super) fn scan_through(
    overlay: &Overlay,
    connection: &Connection,
    table: Table,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<(String, Versioned)>> {
    let decided = overlay.after(table, after);
    // As many more as may be gone.
    let found = scan(connection, table, after, limit.saturating_add(decided.len()))?;
    if decided.is_empty() {
        return Ok(found);
    }
    let mut merged: BTreeMap<String, Option<Versioned>> =
        found.into_iter().map(|(key, record)| (key, Some(record))).collect();
    merged.extend(decided);
    let there = merged.into_iter().filter_map(|(key, record)| Some((key, record?)));
    Ok(there.take(limit).collect())
}

/// Up to `limit` records in key order after `after`.
fn scan(
    connection: &Connection,
    table: Table,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<(String, Versioned)>> {
    let select =
        format!("SELECT key, value, revision FROM {} WHERE key > ?1 ORDER BY key LIMIT ?2", table.name());
    let mut statement = connection.prepare_cached(&select)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement.query_map(params![after, limit], |row| Ok((row.get(0)?, versioned(row, 1)?)))?.collect()
}

/// JSON is kept as text, so that an operator can read it in place.
struct Document<'a>(&'a [u8]);

impl rusqlite::ToSql for Document<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match std::str::from_utf8(self.0) {
            Ok(_) => ValueRef::Text(self.0),
            Err(_) => ValueRef::Blob(self.0),
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// Writes or deletes a record without looking at what is there.
pub(super) fn put(
    connection: &Connection,
    table: Table,
    key: &str,
    value: Option<&[u8]>,
    revision: Revision,
) -> rusqlite::Result<()> {
    let name = table.name();
    match value {
        Some(value) => {
            let upsert = format!(
                "INSERT INTO {name} VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET revision = excluded.revision, value = excluded.value"
            );
            connection.prepare_cached(&upsert)?.execute(params![key, revision.0 as i64, Document(value)])?;
        }
        None => {
            connection.prepare_cached(&format!("DELETE FROM {name} WHERE key = ?1"))?.execute([key])?;
        }
    }
    Ok(())
}

/// Deletes what stands under an account's key in every table whose records are accounts' own.
pub(super) fn purge(connection: &Connection, account: AccountId) -> rusqlite::Result<()> {
    let key = account.record_key();
    for name in schema::own_tables(connection)? {
        connection.prepare_cached(&format!("DELETE FROM {name} WHERE key = ?1"))?.execute([&key])?;
        // '0' follows on '/': all keys that go on behind the account's own.
        let under = format!("DELETE FROM {name} WHERE key > ?1 || '/' AND key < ?1 || '0'");
        connection.prepare_cached(&under)?.execute([&key])?;
    }
    Ok(())
}

/// Whether the account has a record.
pub(super) fn is_account(connection: &Connection, account: AccountId) -> rusqlite::Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM accounts WHERE key = ?1)";
    connection.prepare_cached(select)?.query_row([account.record_key()], |row| row.get(0))
}

/// When the account's present key was made; `None` if it has no record.
pub(super) fn registered_unix_ms(
    connection: &Connection,
    account: AccountId,
) -> rusqlite::Result<Option<u64>> {
    let select = "SELECT value FROM accounts WHERE key = ?1";
    let read = |row: &Row<'_>| Ok(records::registered_unix_ms(row.get_ref(0)?.as_bytes()?));
    connection.prepare_cached(select)?.query_row([account.record_key()], read).optional()
}

/// Blocking access from any thread but a shard's.
pub(super) struct EmbeddedRecords {
    pub(super) shared: Arc<Shared>,
}

impl EmbeddedRecords {
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = sync_channel(1);
        // Whoever asked may have stopped waiting; then nobody misses the answer.
        let job = move |connection: &Connection| drop(reply.send(query(connection)));
        self.shared.to_readers.send(Job::Query(Box::new(job))).map_err(|_| closed_error())?;
        answer.recv().map_err(|_| closed_error())?.map_err(|error| super::sqlite_writer::store_error(&error))
    }

    fn write(&self, effect: Effect) -> Result<Revision, StoreError> {
        let (reply, answer): (RecordsReply, _) = sync_channel(1);
        self.shared.submit(effect, Waiter::Caller(reply))?;
        answer.recv().map_err(|_| closed_error())?
    }
}

impl Records for EmbeddedRecords {
    fn get(&self, table: Table, key: &str) -> Result<Option<Versioned>, StoreError> {
        let (key, shared) = (key.to_owned(), self.shared.clone());
        self.read(move |connection| get_through(&shared.overlay, connection, table, &key))
    }

    fn put_if(
        &self,
        table: Table,
        key: &str,
        value: &[u8],
        expected: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        let put = Put { table, key: key.to_owned(), value: Some(value.to_vec()) };
        self.write(Effect::If { put, expected })
    }

    fn delete_if(&self, table: Table, key: &str, expected: Revision) -> Result<(), StoreError> {
        let put = Put { table, key: key.to_owned(), value: None };
        self.write(Effect::If { put, expected: Some(expected) }).map(drop)
    }

    fn put_all(&self, batch: Vec<Put>) -> Result<(), StoreError> {
        self.write(Effect::Puts(batch)).map(drop)
    }

    fn clear(&self, accounts: &[AccountId]) -> Result<(), StoreError> {
        if !self.shared.links().is_empty() {
            return Err(StoreError::Failed("a shard is attached; the account's owner has to do it".into()));
        }
        // Nothing of this opening: no shard has appended anything yet.
        let upto = Seq(self.shared.first_number());
        self.write(Effect::Purge { accounts: accounts.to_vec(), upto }).map(drop)
    }

    fn scan(&self, table: Table, after: &str, limit: usize) -> Result<Vec<(String, Versioned)>, StoreError> {
        let (after, shared) = (after.to_owned(), self.shared.clone());
        self.read(move |connection| scan_through(&shared.overlay, connection, table, &after, limit))
    }
}
