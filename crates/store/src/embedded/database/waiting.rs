//! What is known of the messages in SQLite without reading them: what a front keeps of the mailboxes of those who are here, and what it gives SQLite to keep.

use super::NewMessage;
use crate::{AccountId, Cursors, Entry, Seq};
use rusqlite::{Connection, Row, params};

/// What waits in SQLite for one account.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) messages: Vec<Kept>,
    /// The number of the mailbox's gap.
    pub(crate) gap: Option<Seq>,
    /// How far its readers have come.
    pub(crate) cursors: Cursors,
}

/// A message in SQLite, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    /// Its identity, big-endian: so that this is 32 bytes.
    pub(crate) id: [u8; 16],
    pub(crate) seq: Seq,
    pub(crate) size: u32,
    /// Who has sent it, if that is known (`front/shares.rs`).
    pub(crate) mark: Option<u8>,
}

/// A message on its way into SQLite.
#[derive(Debug, Clone)]
pub(crate) struct Moving {
    pub(crate) account: AccountId,
    pub(crate) entry: Entry,
    /// Who has sent it, if that is known.
    pub(crate) mark: Option<u8>,
}

impl Moving {
    /// What is known of it once it is there.
    pub(in crate::embedded) fn kept(&self) -> Kept {
        let Entry { seq, id, ref stanza, .. } = self.entry;
        Kept {
            id: id.0.to_be_bytes(),
            seq,
            size: u32::try_from(stanza.len()).unwrap_or(u32::MAX),
            mark: self.mark,
        }
    }

    /// As it goes in.
    pub(in crate::embedded) fn new_message(&self) -> NewMessage<'_> {
        let Entry { seq, id, accepted_unix_ms, ref stanza, .. } = self.entry;
        let (account, stanza, mark) = (self.account, stanza.pieces(), self.mark);
        NewMessage { account, seq, id, accepted_unix_ms, stanza, mark }
    }
}

/// What waits for an account, and how far its readers have come. Reads no stanza.
pub(in crate::embedded) fn waiting(connection: &Connection, account: AccountId) -> rusqlite::Result<Waiting> {
    let (number, key) = (account.to_bits() as i64, account.record_key());
    let select = "SELECT id, seq, size, mark FROM messages WHERE account = ?1";
    let mut statement = connection.prepare_cached(select)?;
    // Of one that can't be read the number is enough: it is set aside when the mailbox is read.
    let kept = |row: &Row<'_>| {
        let (id, seq) = (row.get(0).unwrap_or_default(), Seq(row.get::<_, i64>(1)? as u64));
        Ok(Kept { id, seq, size: row.get(2).unwrap_or(0), mark: row.get(3).unwrap_or(None) })
    };
    let messages = statement.query_map([number], kept)?.collect::<Result<_, _>>()?;
    // Most have neither; one statement costs less than two.
    let select =
        "SELECT (SELECT seq FROM gaps WHERE account = ?1), (SELECT value FROM cursors WHERE key = ?2)";
    let mut statement = connection.prepare_cached(select)?;
    let found = |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<String>>(1)?));
    let (gap, cursors) = statement.query_row(params![number, key], found)?;
    let cursors = cursors.map(|json| Cursors::from_json(json.as_bytes())).unwrap_or_default();
    Ok(Waiting { messages, gap: gap.map(|seq| Seq(seq as u64)), cursors })
}
