//! Sealed stanzas: the key of a message stands apart from it, in a place where it can be destroyed for certain.
//!
//! Owns the choice of rows in `seals` (see [`super::schema`] for why they exist) and the cipher. The cipher is SHA-256
//! in counter mode, `SHA-256(secret || key || counter)`, xored onto the stanza; a key seals one stanza once, so that
//! no part of the stream is ever used twice. It hides what was deleted; it is not a protection against somebody who
//! holds the whole data directory, keys and all.

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

/// A message's key. All zeros: the slot is free.
pub(super) type Key = [u8; 16];

/// Seals or opens a stanza in place.
pub(super) fn apply(secret: &[u8; 16], key: &Key, stanza: &mut [u8]) {
    let mut input = [0u8; 40];
    input[..16].copy_from_slice(secret);
    input[16..32].copy_from_slice(key);
    for (counter, block) in (0u64..).zip(stanza.chunks_mut(32)) {
        input[32..].copy_from_slice(&counter.to_le_bytes());
        let stream = Sha256::digest(input);
        block.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// Which slots are free. Owned by SQLite's writer thread; follows its transactions.
#[derive(Default)]
pub(super) struct Slots {
    free: Vec<i64>,
    /// The first slot that has never been used.
    next: i64,
    /// Taken and freed in the open transaction, and `next` before it.
    taken: Vec<i64>,
    freed: Vec<i64>,
    next_before: i64,
}

impl Slots {
    /// Reads which slots are free. With no message at all the table starts anew.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let any: bool =
            connection.query_row("SELECT EXISTS (SELECT 1 FROM messages)", [], |row| row.get(0))?;
        if !any {
            connection.execute("DELETE FROM seals", [])?;
        }
        let next: i64 =
            connection.query_row("SELECT ifnull(max(slot), 0) + 1 FROM seals", [], |row| row.get(0))?;
        let mut statement =
            connection.prepare("SELECT slot FROM seals WHERE key = zeroblob(16) ORDER BY slot DESC")?;
        let free = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(Self { free, next, next_before: next, ..Self::default() })
    }

    /// A new random key in a free slot.
    pub(super) fn take(&mut self, connection: &Connection) -> rusqlite::Result<(i64, Key)> {
        let key: Key = connection.prepare_cached("SELECT randomblob(16)")?.query_row([], |row| row.get(0))?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.taken.push(slot);
        // A row that exists is overwritten in place because the length is the same.
        let put = "INSERT INTO seals VALUES (?1, ?2) ON CONFLICT DO UPDATE SET key = excluded.key";
        connection.prepare_cached(put)?.execute(params![slot, key])?;
        Ok((slot, key))
    }

    /// Destroys the key in a slot.
    pub(super) fn destroy(&mut self, connection: &Connection, slot: i64) -> rusqlite::Result<()> {
        let zero = "UPDATE seals SET key = zeroblob(16) WHERE slot = ?1";
        connection.prepare_cached(zero)?.execute([slot])?;
        self.freed.push(slot);
        Ok(())
    }

    /// The transaction is durable.
    pub(super) fn committed(&mut self) {
        self.taken.clear();
        self.free.append(&mut self.freed);
        self.next_before = self.next;
    }

    /// The transaction never was.
    pub(super) fn rolled_back(&mut self) {
        self.freed.clear();
        // New slots are made anew, at the end of the table: a row in its middle would move others.
        self.next = self.next_before;
        self.free.extend(self.taken.drain(..).filter(|&slot| slot < self.next_before));
    }
}
