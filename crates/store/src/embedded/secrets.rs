//! The secrets in `meta`: the realm's ([`crate::secrets`]) and the directory's own, and how each is replaced.
//!
//! Read at every opening; replaced by [`super::stopped`] alone, with an empty journal (its checksums are keyed with the directory's). `secure_delete` and a
//! checkpoint afterwards see to it that a replaced secret is in no file.

use super::seal::{self, Key};
use crate::secrets::{Former, Secret, Secrets};
use crate::{AccountId, Seq};
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Messages that are read and sealed at once.
const SLICE: i64 = 256;

/// The directory's own: the journal's checksums and the seals are keyed with it.
pub(super) fn of_directory(connection: &Connection) -> rusqlite::Result<Secret> {
    required(connection, "secret")
}

/// The realm's.
pub(super) fn of_realm(connection: &Connection) -> rusqlite::Result<Secrets> {
    let until = found::<i64>(connection, "realm_former_until")?.unwrap_or(0) as u64;
    let former = found(connection, "realm_former")?;
    Ok(Secrets {
        root: required(connection, "realm_root")?,
        current: required(connection, "realm_secret")?,
        former: former.map(|secret| Former { secret, until_unix_ms: until }),
    })
}

/// A new one, from the generator that all of the directory's secrets are from.
pub(super) fn random(connection: &Connection) -> rusqlite::Result<Secret> {
    connection.query_row("SELECT randomblob(16)", [], |row| row.get(0))
}

/// Replaces the realm's current secret. It is the former until then; `None`: it is forgotten, and the former, too.
pub(super) fn replace(
    connection: &mut Connection,
    former_until_unix_ms: Option<u64>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM meta WHERE name IN ('realm_former', 'realm_former_until')", [])?;
    if let Some(until) = former_until_unix_ms {
        let keep = "INSERT INTO meta SELECT 'realm_former', value FROM meta WHERE name = 'realm_secret'";
        transaction.execute(keep, [])?;
        transaction.execute("INSERT INTO meta VALUES ('realm_former_until', ?1)", [until as i64])?;
    }
    transaction.execute("UPDATE meta SET value = randomblob(16) WHERE name = 'realm_secret'", [])?;
    transaction.commit()
}

/// Seals all messages under another secret, which is the directory's from then on. How many there were; `progress` is told the same on the way.
pub(super) fn reseal(
    connection: &mut Connection,
    new: Secret,
    progress: &mut dyn FnMut(u64),
) -> rusqlite::Result<u64> {
    let old = of_directory(connection)?;
    let transaction = connection.transaction()?;
    let (mut sealed, mut after) = (0, (i64::MIN, i64::MIN));
    loop {
        let slice = slice(&transaction, after)?;
        let Some(last) = slice.last() else { break };
        after = (last.account, last.seq);
        for message in &slice {
            // One that is damaged stays so: whoever reads it finds a gap, as before.
            let Some(stanza) = message.opened(&old) else { continue };
            let bytes = seal::seal(&new, &message.key, message.place(), [&stanza, &[]]);
            let write = "UPDATE messages SET stanza = ?3 WHERE account = ?1 AND seq = ?2";
            transaction.prepare_cached(write)?.execute(params![message.account, message.seq, bytes])?;
        }
        sealed += slice.len() as u64;
        progress(sealed);
    }
    transaction.execute("UPDATE meta SET value = ?1 WHERE name = 'secret'", [new])?;
    transaction.commit()?;
    Ok(sealed)
}

/// A message as it lies in the database.
struct Sealed {
    account: i64,
    seq: i64,
    size: usize,
    stanza: Vec<u8>,
    key: Key,
}

impl Sealed {
    fn place(&self) -> (AccountId, Seq) {
        (AccountId::from_bits(self.account as u64), Seq(self.seq as u64))
    }

    fn opened(&self, secret: &Secret) -> Option<Vec<u8>> {
        seal::open(secret, &self.key, self.place(), self.size, self.stanza.clone())
    }
}

/// The next messages behind this one. Those whose columns or seals are not what they were are left out.
fn slice(connection: &Connection, after: (i64, i64)) -> rusqlite::Result<Vec<Sealed>> {
    let text =
        "SELECT m.account, m.seq, m.size, m.stanza, s.key FROM messages m JOIN seals s ON s.slot = m.seal
        WHERE (m.account, m.seq) > (?1, ?2) AND typeof(m.size) = 'integer' AND typeof(m.stanza) = 'blob'
            AND typeof(s.key) = 'blob' AND length(s.key) = 16
        ORDER BY m.account, m.seq LIMIT ?3";
    let mut statement = connection.prepare_cached(text)?;
    let read = |row: &Row<'_>| {
        Ok(Sealed {
            account: row.get(0)?,
            seq: row.get(1)?,
            size: row.get::<_, i64>(2)? as usize,
            stanza: row.get(3)?,
            key: row.get(4)?,
        })
    };
    statement.query_map(params![after.0, after.1, SLICE], read)?.collect()
}

fn found<T: FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn required<T: FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<T> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::schema;

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().expect("opens");
        schema::migrate(&mut connection).expect("migrates");
        connection
    }

    #[test]
    fn a_new_directory_has_three_secrets() {
        let connection = database();
        let (own, realm) = (of_directory(&connection).expect("reads"), of_realm(&connection).expect("reads"));
        assert!(own != realm.root && own != realm.current && realm.root != realm.current);
        assert_eq!(realm.former, None);
    }

    #[test]
    fn a_directory_that_had_one_secret_goes_on_with_it() {
        let mut connection = Connection::open_in_memory().expect("opens");
        schema::migrate_to(&mut connection, 13).expect("migrates");
        connection.execute("UPDATE meta SET value = 1 WHERE name = 'epoch'", []).expect("opened once");
        schema::migrate(&mut connection).expect("migrates");
        let own = of_directory(&connection).expect("reads");
        assert_eq!(of_realm(&connection).expect("reads"), Secrets::from(own));
    }

    #[test]
    fn the_replaced_one_is_kept_or_forgotten_and_the_root_stays() {
        let mut connection = database();
        let before = of_realm(&connection).expect("reads");
        replace(&mut connection, Some(5)).expect("replaces");
        let after = of_realm(&connection).expect("reads");
        assert_eq!(after.former, Some(Former { secret: before.current, until_unix_ms: 5 }));
        assert!(after.current != before.current && after.root == before.root);
        replace(&mut connection, None).expect("replaces");
        let last = of_realm(&connection).expect("reads");
        assert!(last.former.is_none() && last.current != after.current && last.root == before.root);
    }
}
