//! Sealed stanzas: the key of a message stands apart from it, in a place where it can be destroyed for certain.
//!
//! Owns the choice of rows in `seals` (see [`super::schema`] for why they exist) and the use of the cipher: ChaCha20
//! (RFC 8439) under the directory's secret and the message's key together. A key seals one stanza once, so the nonce
//! can be zero. It hides what was deleted; it is not a protection against somebody who holds the whole data directory,
//! keys and all.
//!
//! Under the same cipher the stanza is followed by four bytes, the CRC-32 of its place (account and number, 8 bytes each,
//! big-endian) and itself, so that one whose bytes or key are not what they were is not taken for a message. Those that
//! earlier versions sealed have no such end, and must at least be text.

use crate::{AccountId, Seq};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use rusqlite::{Connection, ErrorCode, params};

/// A message's key. All zeros: the slot is free.
pub(super) type Key = [u8; 16];

/// Bytes behind a sealed stanza.
const CHECKSUM: usize = 4;

/// Seals the stanza of this place, given in pieces that lie one behind the other.
pub(super) fn seal(secret: &[u8; 16], key: &Key, place: (AccountId, Seq), stanza: [&[u8]; 2]) -> Vec<u8> {
    let size: usize = stanza.iter().map(|piece| piece.len()).sum();
    let mut sealed = Vec::with_capacity(size + CHECKSUM);
    stanza.iter().for_each(|piece| sealed.extend_from_slice(piece));
    let checksum = checksum(place, &sealed);
    sealed.extend_from_slice(&checksum);
    apply(secret, key, &mut sealed);
    sealed
}

/// Opens what was sealed for this place; `None` if it is not what it was. `size`: the stanza's length.
pub(super) fn open(
    secret: &[u8; 16],
    key: &Key,
    place: (AccountId, Seq),
    size: usize,
    mut sealed: Vec<u8>,
) -> Option<Vec<u8>> {
    apply(secret, key, &mut sealed);
    let (stanza, end) = sealed.split_at_checked(size)?;
    let is_intact = match end.is_empty() {
        true => std::str::from_utf8(stanza).is_ok(),
        false => end == checksum(place, stanza),
    };
    sealed.truncate(size);
    is_intact.then_some(sealed)
}

fn checksum((account, seq): (AccountId, Seq), stanza: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&account.to_bits().to_be_bytes());
    hasher.update(&seq.0.to_be_bytes());
    hasher.update(stanza);
    hasher.finalize().to_be_bytes()
}

fn apply(secret: &[u8; 16], key: &Key, bytes: &mut [u8]) {
    let mut whole = [0u8; 32];
    whole[..16].copy_from_slice(secret);
    whole[16..].copy_from_slice(key);
    ChaCha20::new(&whole.into(), &[0u8; 12].into()).apply_keystream(bytes);
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
    /// Random bytes of SQLite's generator that are not used yet.
    random: Vec<u8>,
}

impl Slots {
    /// Reads which slots are free. With no message at all the table starts anew.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let any: bool =
            connection.query_row("SELECT EXISTS (SELECT 1 FROM messages)", [], |row| row.get(0))?;
        if !any {
            match connection.execute("DELETE FROM seals", []) {
                // Free slots take no harm from being kept.
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {}
                done => drop(done?),
            }
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
        let key = self.new_key(connection)?;
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

    fn new_key(&mut self, connection: &Connection) -> rusqlite::Result<Key> {
        if self.random.len() < 16 {
            self.random = connection.query_row("SELECT randomblob(4096)", [], |row| row.get(0))?;
        }
        let mut key = Key::default();
        let rest = self.random.len() - key.len();
        key.copy_from_slice(&self.random[rest..]);
        self.random.truncate(rest);
        Ok(key)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::SystemDisk;
    use crate::embedded::database::{self, Messages, NewMessage};
    use crate::{MessageId, ReadLimit};
    use std::collections::BTreeMap;

    const SECRET: [u8; 16] = [3; 16];

    #[test]
    fn only_what_was_sealed_is_opened() {
        let (key, place, stanza) = ([5; 16], (AccountId::from_bits(7), Seq(9)), b"<message>hello</message>");
        let sealed = seal(&SECRET, &key, place, [stanza, b""]);
        let size = stanza.len();
        assert_eq!(open(&SECRET, &key, place, size, sealed.clone()).as_deref(), Some(&stanza[..]));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 0x20;
            assert_eq!(open(&SECRET, &key, place, size, changed), None, "changed at {at}");
            // Cut off just behind the stanza it looks like an old one, and is whole.
            let cut = open(&SECRET, &key, place, size, sealed[..at].to_vec());
            assert_eq!(cut.is_some(), at == size, "cut at {at}");
        }
        assert_eq!(open(&SECRET, &[0; 16], place, size, sealed.clone()), None, "another key");
        assert_eq!(open(&SECRET, &key, (place.0, Seq(8)), size, sealed.clone()), None, "another's place");
        // As an earlier version sealed it.
        let mut old = stanza.to_vec();
        apply(&SECRET, &key, &mut old);
        assert_eq!(open(&SECRET, &key, place, size, old.clone()).as_deref(), Some(&stanza[..]));
        assert_eq!(open(&SECRET, &[0; 16], place, size, old), None, "another key");
    }

    #[test]
    fn sealing_twice_opens_and_a_key_gives_its_own_stream() {
        let stanza = vec![b'a'; 100];
        let mut sealed = stanza.clone();
        apply(&SECRET, &[1; 16], &mut sealed);
        assert!(sealed.chunks(4).all(|piece| piece != b"aaaa"));
        let mut other = stanza.clone();
        apply(&SECRET, &[2; 16], &mut other);
        assert_ne!(sealed, other);
        apply(&SECRET, &[1; 16], &mut sealed);
        assert_eq!(sealed, stanza);
    }

    #[test]
    fn a_transaction_that_never_was_leaks_no_slot() {
        let dir = tempfile::tempdir().unwrap();
        let connection = database::open_writer(&SystemDisk, &dir.path().join("chaski.sqlite3")).unwrap();
        let mut slots = Slots::load(&connection).unwrap();
        let (first, _) = slots.take(&connection).unwrap();
        slots.destroy(&connection, first).unwrap();
        slots.committed();
        for _ in 0..3 {
            connection.execute_batch("BEGIN").unwrap();
            let taken = [slots.take(&connection).unwrap().0, slots.take(&connection).unwrap().0];
            assert_eq!(taken, [first, first + 1]);
            connection.execute_batch("ROLLBACK").unwrap();
            slots.rolled_back();
        }
    }

    /// A few bits that look random and are the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }
    }

    /// What `secure_delete` alone doesn't do (see `schema.rs`): the same with stanzas in the clear leaves about one in
    /// a thousand.
    #[test]
    fn no_key_of_a_deleted_message_is_left_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chaski.sqlite3");
        let connection = database::open_writer(&SystemDisk, &path).unwrap();
        let mut slots = Slots::load(&connection).unwrap();
        let mut dice = Dice(1);
        let mut live: BTreeMap<(u64, u64), Key> = BTreeMap::new();
        let mut dead: Vec<Key> = Vec::new();
        for round in 0..40u64 {
            connection.execute_batch("BEGIN").unwrap();
            for number in round * 200..round * 200 + 200 {
                let place = (10_000 + dice.below(300), number);
                let stanza = vec![b'x'; 50 + dice.below(500) as usize];
                let mut messages = Messages { connection: &connection, slots: &mut slots, secret: &SECRET };
                let message = NewMessage {
                    account: AccountId::from_bits(place.0),
                    seq: Seq(place.1),
                    id: MessageId(number.into()),
                    accepted_unix_ms: number,
                    stanza: [&stanza, b""],
                    mark: None,
                };
                assert!(messages.insert(&message).unwrap());
                let select =
                    "SELECT key FROM seals JOIN messages ON seal = slot WHERE account = ?1 AND seq = ?2";
                let key: Key =
                    connection.query_row(select, [place.0 as i64, place.1 as i64], |row| row.get(0)).unwrap();
                live.insert(place, key);
            }
            for _ in 0..170 {
                let at = dice.below(live.len() as u64) as usize;
                let (&place, _) = live.iter().nth(at).unwrap();
                let mut messages = Messages { connection: &connection, slots: &mut slots, secret: &SECRET };
                assert!(messages.delete(AccountId::from_bits(place.0), Seq(place.1)).unwrap());
                dead.extend(live.remove(&place));
            }
            // Some rounds never happened.
            if round % 7 == 6 {
                connection.execute_batch("ROLLBACK").unwrap();
                slots.rolled_back();
                return_to(&connection, &mut live, &mut dead);
            } else {
                connection.execute_batch("COMMIT").unwrap();
                slots.committed();
            }
        }
        assert!(database::checkpoint(&connection, &SystemDisk, &path).unwrap());
        let file = std::fs::read(&path).unwrap();
        let found: std::collections::HashSet<&[u8]> = file.windows(16).collect();
        assert!(live.values().all(|key| found.contains(&key[..])), "the test would find a key");
        let left = dead.iter().filter(|key| found.contains(&key[..])).count();
        assert_eq!(left, 0, "of {} deleted messages", dead.len());
        let reader = database::open_reader(&SystemDisk, &path).unwrap();
        let (&(account, _), _) = live.iter().next().unwrap();
        let wide = ReadLimit { messages: 999, bytes: usize::MAX };
        let database::Found { entries, .. } =
            database::read(&reader, &SECRET, AccountId::from_bits(account), Seq(0), wide).unwrap();
        assert!(
            !entries.is_empty()
                && entries.iter().all(|entry| entry
                    .stanza
                    .pieces()
                    .concat()
                    .iter()
                    .all(|&byte| byte == b'x'))
        );
    }

    /// After a rollback: what is in the database is alive again, what was never committed is dead.
    fn return_to(connection: &Connection, live: &mut BTreeMap<(u64, u64), Key>, dead: &mut Vec<Key>) {
        dead.extend(live.values());
        live.clear();
        let mut statement =
            connection.prepare("SELECT account, seq, key FROM messages JOIN seals ON seal = slot").unwrap();
        let rows = statement.query_map([], |row| {
            Ok(((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64), row.get::<_, Key>(2)?))
        });
        live.extend(rows.unwrap().map(Result::unwrap));
        dead.retain(|key| !live.values().any(|alive| alive == key));
    }
}
