//! Reading a mailbox: in order, in windows, past messages that can't be read.
//!
//! Called on the reader threads. A message can be unreadable by any column, by its key or by its checksum. It is named, so
//! that it can be set aside, and the others are read. A file whose pages make no sense is an error like a disk that fails:
//! there SQLite can't tell which message it is that can't be read, and taking away the wrong one would lose it.

use super::Key;
use crate::embedded::seal;
use crate::{AccountId, Entry, Gap, MessageId, ReadLimit, Seq};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// What a mailbox holds after some place.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) entries: Vec<Entry>,
    /// There are more behind the last entry, or the last that can't be read.
    pub(crate) more: bool,
    /// Messages that are there and can't be read.
    pub(crate) unreadable: Vec<Seq>,
}

impl Found {
    fn is_full(&self, limit: ReadLimit, bytes: usize) -> bool {
        !self.entries.is_empty() && (self.entries.len() >= limit.messages || bytes > limit.bytes)
    }
}

/// Reads a mailbox after `after`. One message that can't be read doesn't keep the others away.
pub(in crate::embedded) fn read(
    connection: &Connection,
    secret: &[u8; 16],
    mailbox: AccountId,
    after: Seq,
    limit: ReadLimit,
) -> rusqlite::Result<Found> {
    let select =
        "SELECT seq, id, accepted_unix_ms, size, stanza, key FROM messages LEFT JOIN seals ON slot = seal
                  WHERE account = ?1 AND seq > ?2 ORDER BY seq";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![mailbox.to_bits() as i64, after.0 as i64])?;
    let (mut found, mut bytes) = (Found::default(), 0usize);
    // Read first: what is lost between the two reads is told when the mailbox is read again.
    let mut gap = read_gap(connection, mailbox, after)?;
    while let Some(row) = rows.next()? {
        let seq = Seq(row.get::<_, i64>(0)? as u64);
        if let Some(gap) = gap.take_if(|gap| gap.seq < seq) {
            if found.is_full(limit, bytes) {
                return Ok(Found { more: true, ..found });
            }
            found.entries.push(gap);
        }
        bytes += row.get::<_, u32>(3).unwrap_or(0) as usize;
        if found.is_full(limit, bytes) {
            return Ok(Found { more: true, ..found });
        }
        match entry(row, secret, (mailbox, seq))? {
            Some(entry) => found.entries.push(entry),
            None => found.unreadable.push(seq),
        }
    }
    found.more = gap.is_some() && found.is_full(limit, bytes);
    if !found.more {
        found.entries.extend(gap);
    }
    Ok(found)
}

/// The mailbox's gap, if it has one after `after`.
fn read_gap(connection: &Connection, mailbox: AccountId, after: Seq) -> rusqlite::Result<Option<Entry>> {
    let select =
        "SELECT messages, since_unix_ms, until_unix_ms, seq FROM gaps WHERE account = ?1 AND seq > ?2";
    let mut statement = connection.prepare_cached(select)?;
    let parameters = params![mailbox.to_bits() as i64, after.0 as i64];
    let read = |row: &Row<'_>| Ok(gap(row, 0)?.entry(Seq(row.get::<_, i64>(3)? as u64)));
    statement.query_row(parameters, read).optional()
}

pub(super) fn gap(row: &Row<'_>, column: usize) -> rusqlite::Result<Gap> {
    Ok(Gap {
        messages: row.get(column)?,
        since_unix_ms: row.get::<_, i64>(column + 1)? as u64,
        until_unix_ms: row.get::<_, i64>(column + 2)? as u64,
    })
}

/// A row as an entry; `None` if it can't be read.
fn entry(row: &Row<'_>, secret: &[u8; 16], place: (AccountId, Seq)) -> rusqlite::Result<Option<Entry>> {
    let fields = || -> rusqlite::Result<_> {
        let (id, accepted): ([u8; 16], i64) = (row.get(1)?, row.get(2)?);
        let (size, sealed, key): (u32, Vec<u8>, Key) = (row.get(3)?, row.get(4)?, row.get(5)?);
        Ok((id, accepted, seal::open(secret, &key, place, size as usize, sealed)))
    };
    match fields() {
        Ok((id, accepted, Some(stanza))) => Ok(Some(Entry {
            seq: place.1,
            id: MessageId(u128::from_be_bytes(id)),
            accepted_unix_ms: accepted as u64,
            stanza: stanza.into(),
            gap: None,
        })),
        // Another type or length than it was written with, or no key.
        Ok((_, _, None))
        | Err(
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..),
        ) => Ok(None),
        Err(error) => Err(error),
    }
}
