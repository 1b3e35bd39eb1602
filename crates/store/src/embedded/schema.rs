//! `chaski.sqlite3`: every table and column, and how older files are brought forward.
//!
//! # Tables
//! `meta` (name, value): what the data directory knows of itself.
//! - `schema_version`: number of the last migration that ran. A newer one than the program knows is refused.
//! - `secret`: 16 random bytes, the directory's own: the journal's checksums and the seals are keyed with it.
//! - `realm_root`, `realm_secret`, and `realm_former` with `realm_former_until` if there is one: the realm's ([`crate::secrets`]).
//! - `epoch`: how often the directory was opened. Upper bits of the sequence numbers and revisions, so that both only
//!   grow across restarts without a write for each.
//! - `applied_frame`, `applied_effects`: how far the journal's frames have been carried out: so many effects of this frame (-1: all), and
//!   all of every frame before it. Written in the transactions that carry them out (`sqlite_writer/apply.rs`).
//! - `time`: the time of the last run ([`crate::time::plausible`]), kept hourly, at every change of belief, and at the end.
//! - `journal_roll`: there if the journal has a roll (`journal/roll.rs`), so that it is missed when it is gone.
//!
//! `messages`: what waits for its recipient and has left the journal.
//! - `account`, `seq`: the primary key and the order of reading. The account is [`AccountId`]'s 64 bits as a signed
//!   integer; the sequence number is [`Seq`].
//! - `id`: the message's identity, 16 bytes, big-endian. Unique in its mailbox.
//! - `accepted_unix_ms`: when it was accepted; messages older than 30 days are deleted unread, and leave a gap.
//! - `size`: length of the stanza.
//! - `seal`: the row of `seals` that holds its key.
//! - `stanza`: the stanza and a checksum under its key; see `seals` and `seal.rs`. A message that can't be read, by whatever
//!   column, is taken away and leaves a gap.
//! - `mark`: who has sent it, as far as shares of the mailbox need it (`front/shares.rs`): one of 64 places, by a hash under the realm's root, and whether a
//!   stranger. NULL: not known any more. Says no more to who has the file than the stanza beside it does.
//!
//! `seals` (slot, key): a random key of 16 bytes for each message; all zeros if the slot is free. **Why:** a message
//! must be gone when it has been acknowledged, and `secure_delete` alone doesn't do that: when SQLite rebalances a
//! B-tree it moves cells between pages and leaves their old bytes in the unused gap of a page, where a later deletion
//! doesn't find them (about one message in a thousand, measured). Rows of `seals` are of equal length, appended at the
//! end and only ever overwritten in place, so that they are never moved; zeroing a key makes every forgotten copy of
//! its stanza unreadable. See `seal.rs`.
//!
//! `gaps` (account, seq, messages, since_unix_ms, until_unix_ms): what left a mailbox although nobody had acknowledged
//! it, at most one row an account, until its recipient has been told. The number is that of a message that is lost, in whose
//! place it is read; `since` and `until` are when the first and the last of the lost were accepted.
//!
//! `accounts`, `rosters`, `registrations`, `limits`, `settings`, `nodes`, `items`, `reports`, `cursors`, `removals` (key, revision, value), and one for each other kind that was
//! declared: the records of a [`Table`]. `kinds` (name) says which of them are under accounts' keys and go with these. The value is
//! JSON text; the revision is unique for all writes of the directory's life, so that a record that was deleted and
//! made again can't be mistaken for the old one.
//!
//! `books` (owner, number): the phone books ([`crate::books`]). The owner is an account's 64 bits like `messages.account`,
//! the number E.164 digits. Read by owner for the book, and by number (`books_by_number`) for whoever has it.
//!
//! `media_references` (name, owner, sha256, size, object, media_type, file_name, purpose, created_unix_ms, expires_unix_ms): the names under
//! which files can be fetched ([`crate::media`]). Names and objects are 16 bytes, big-endian; the owner is as above; no `expires` means that
//! time does not end it. `media_objects` (object, sha256, size, uses, is_new, place): what lies in a backend, how many references it has,
//! whether its equals are still to be looked for, and in which backend it is. `media_doomed` (object, place): whose files are to be deleted. `media_owners` (owner, bytes): the sum of
//! an account's files, as [`crate::media::charge`] counts them; no row: none. `media_blocked` (sha256, since_unix_ms, reason, is_new): contents that
//! the operator does not want here, and whether there may still be references to them. `media_removed` (name, until_unix_ms): names that are not
//! given again until then.
//!
//! # Settings
//! WAL, so that readers and the writer don't wait for each other; `synchronous=FULL`, so that a commit is durable;
//! `secure_delete=ON`, so that freed pages are zeroed; `temp_store=MEMORY`, so that no sorter writes a file.
//!
//! [`AccountId`]: crate::AccountId
//! [`Seq`]: crate::Seq
//! [`Table`]: crate::Table

use crate::Table;
use rusqlite::{Connection, OptionalExtension, Transaction};

/// The migrations, oldest first. The number of the last one that ran is the schema's version. Each runs in one
/// transaction. Never change one that was released: add another.
pub(super) const MIGRATIONS: &[&str] = &[
    // 1: the beginning.
    "CREATE TABLE messages (
        account INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        id BLOB NOT NULL,
        accepted_unix_ms INTEGER NOT NULL,
        size INTEGER NOT NULL,
        seal INTEGER NOT NULL,
        stanza BLOB NOT NULL,
        PRIMARY KEY (account, seq)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX messages_by_id ON messages (account, id);
    CREATE INDEX messages_by_age ON messages (accepted_unix_ms, size);
    CREATE TABLE seals (slot INTEGER PRIMARY KEY, key BLOB NOT NULL);
    CREATE TABLE accounts (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE rosters (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE registrations (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE limits (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('secret', randomblob(16)), ('epoch', 0);",
    // Phone books.
    "CREATE TABLE books (owner INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (owner, number)) WITHOUT ROWID;
    CREATE INDEX books_by_number ON books (number, owner);",
    // 2: what an account's owner has chosen and published.
    "CREATE TABLE settings (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE nodes (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE items (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;",
    // 4: reports to the operator.
    "CREATE TABLE reports (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;",
    // 5: what was lost.
    "CREATE TABLE gaps (
        account INTEGER PRIMARY KEY,
        seq INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        since_unix_ms INTEGER NOT NULL,
        until_unix_ms INTEGER NOT NULL
    );",
    // 6: accounts that are being removed.
    "CREATE TABLE removals (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;",
    // 7: sealed stanzas end in a checksum from here on. Nothing to be done, but a program that doesn't know must not read them.
    "",
    // 8: the index of media.
    "CREATE TABLE media_references (
        name BLOB PRIMARY KEY,
        owner INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        size INTEGER NOT NULL,
        object BLOB NOT NULL,
        media_type TEXT NOT NULL,
        file_name TEXT NOT NULL,
        purpose INTEGER NOT NULL,
        created_unix_ms INTEGER NOT NULL,
        expires_unix_ms INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX media_by_owner ON media_references (owner, sha256, size);
    CREATE INDEX media_by_owner_and_end ON media_references (owner, expires_unix_ms);
    CREATE INDEX media_by_object ON media_references (object);
    CREATE INDEX media_by_end ON media_references (expires_unix_ms) WHERE expires_unix_ms IS NOT NULL;
    CREATE TABLE media_objects (
        object BLOB PRIMARY KEY,
        sha256 BLOB NOT NULL,
        size INTEGER NOT NULL,
        uses INTEGER NOT NULL,
        is_new INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX media_by_content ON media_objects (sha256, size);
    CREATE INDEX media_new ON media_objects (object) WHERE is_new;
    CREATE TABLE media_doomed (object BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE media_owners (owner INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);",
    // 9: where objects lie.
    "ALTER TABLE media_objects ADD COLUMN place TEXT NOT NULL DEFAULT '';
    ALTER TABLE media_doomed ADD COLUMN place TEXT NOT NULL DEFAULT '';
    CREATE INDEX media_by_place ON media_objects (place);",
    // 10: contents that are blocked, and names that were removed.
    "CREATE TABLE media_blocked (
        sha256 BLOB PRIMARY KEY,
        since_unix_ms INTEGER NOT NULL,
        reason TEXT NOT NULL,
        is_new INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX media_blocked_new ON media_blocked (sha256) WHERE is_new;
    CREATE TABLE media_removed (name BLOB PRIMARY KEY, until_unix_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX media_removed_by_end ON media_removed (until_unix_ms);",
    // 11: what is to be deleted from a backend is found without looking at what is to be deleted from others.
    "CREATE INDEX media_doomed_by_place ON media_doomed (place, object);",
    // 12: messages are kept with what is known of them in front. Nothing to be done, as those of before tell themselves apart, but
    // a program that doesn't know would send them so.
    "",
    // 13: who has sent a message.
    "ALTER TABLE messages ADD COLUMN mark INTEGER;",
    // 14: the realm's secrets and the directory's apart. One that was never open is new, and has one for each; others go on with the one they had.
    "INSERT INTO meta SELECT realm.name, CASE opened.value WHEN 0 THEN randomblob(16) ELSE secret.value END
        FROM (SELECT 'realm_root' AS name UNION ALL SELECT 'realm_secret') realm, meta opened, meta secret
        WHERE opened.name = 'epoch' AND secret.name = 'secret';",
    // 15: how far the readers of a mailbox have come.
    "CREATE TABLE cursors (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;",
    // 16: which tables of records are accounts' own. From here on whoever keeps records declares their kinds, see `declare`.
    "CREATE TABLE kinds (name TEXT PRIMARY KEY) WITHOUT ROWID;
    INSERT INTO kinds VALUES ('rosters'), ('settings'), ('nodes'), ('items'), ('reports'), ('cursors'), ('removals');",
];

/// Makes the tables of these kinds of records, which are under accounts' keys, if there are none.
pub(super) fn declare(connection: &mut Connection, kinds: &[Table]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let known = own_tables(&transaction)?;
    for name in kinds.iter().map(|kind| kind.name()).filter(|name| !known.iter().any(|known| known == name)) {
        transaction.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {name} (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;"
        ))?;
        transaction.execute("INSERT INTO kinds VALUES (?1)", [name])?;
    }
    transaction.commit()
}

/// The tables whose records are under accounts' keys, those of removals' marks last.
pub(super) fn own_tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let select = "SELECT name FROM kinds ORDER BY name = 'removals', name";
    connection.prepare_cached(select)?.query_map([], |row| row.get(0))?.collect()
}

/// The way back from each migration of a release that can be undone, newest first: its number, and what undoes it. What was written since stays,
/// as far as the older program knows of it.
const BACK: &[(i64, &str)] = &[
    // All that waits for any reader is there: whoever acknowledges does so for all again.
    // A kind that the older program does not know stays, and is what a removal there leaves.
    (16, "DROP TABLE kinds;"),
    (15, "DROP TABLE cursors;"),
    // The messages have been sealed under the realm's root, see `stopped.rs`.
    (
        14,
        "DELETE FROM meta WHERE name IN ('realm_root', 'realm_secret', 'realm_former', 'realm_former_until');",
    ),
    (13, "ALTER TABLE messages DROP COLUMN mark;"),
];

/// Why a database can't be brought to this program's schema.
#[derive(Debug)]
pub(super) enum SchemaError {
    /// It has a migration that this program doesn't know.
    Newer(i64),
    /// SQLite refused.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for SchemaError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Brings a database to the newest schema. An empty file is one at version 0.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), SchemaError> {
    migrate_with(connection, MIGRATIONS)
}

/// Brings a database only so far, as an older program has.
#[cfg(any(test, feature = "simulation"))]
pub(super) fn migrate_to(connection: &mut Connection, migrations: usize) -> Result<(), SchemaError> {
    migrate_with(connection, &MIGRATIONS[..migrations])
}

/// Brings a database back as far as there is a way, for an older program. From which version to which.
pub(super) fn migrate_back(connection: &mut Connection) -> rusqlite::Result<(i64, i64)> {
    let from = version(connection)?;
    let transaction = connection.transaction()?;
    let mut to = from;
    for &(number, back) in BACK {
        if number == to {
            transaction.execute_batch(back)?;
            to = number - 1;
            set_version(&transaction, to)?;
        }
    }
    transaction.commit()?;
    Ok((from, to))
}

fn migrate_with(connection: &mut Connection, migrations: &[&str]) -> Result<(), SchemaError> {
    let found = version(connection)?;
    let known = migrations.len() as i64;
    if found > known {
        return Err(SchemaError::Newer(found));
    }
    for (number, migration) in (1..).zip(migrations).skip(usize::try_from(found).unwrap_or(0)) {
        let transaction = connection.transaction()?;
        transaction
            .execute_batch("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID")?;
        transaction.execute_batch(migration)?;
        set_version(&transaction, number)?;
        transaction.commit()?;
        if found > 0 {
            tracing::info!(from = number - 1, to = number, "database schema migrated");
        }
    }
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meta'";
    if connection.query_row(tables, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(0);
    }
    let version = "SELECT value FROM meta WHERE name = 'schema_version'";
    Ok(connection.query_row(version, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn set_version(transaction: &Transaction<'_>, version: i64) -> rusqlite::Result<()> {
    let set =
        "INSERT INTO meta VALUES ('schema_version', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
    transaction.execute(set, [version]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Connection {
        Connection::open_in_memory().expect("opens")
    }

    #[test]
    fn an_empty_file_gets_every_migration_and_a_second_run_changes_nothing() {
        let mut connection = memory();
        migrate(&mut connection).expect("migrates");
        let secret = |connection: &Connection| -> Vec<u8> {
            connection
                .query_row("SELECT value FROM meta WHERE name = 'secret'", [], |row| row.get(0))
                .expect("there")
        };
        let before = secret(&connection);
        migrate(&mut connection).expect("migrates");
        assert_eq!(secret(&connection), before);
        assert_eq!(version(&connection).expect("version"), MIGRATIONS.len() as i64);
    }

    #[test]
    fn an_older_file_is_brought_forward_with_its_data() {
        let mut connection = memory();
        migrate(&mut connection).expect("migrates");
        connection.execute("INSERT INTO accounts VALUES ('+15550001', 1, '{}')", []).expect("inserts");
        let mut newer = MIGRATIONS.to_vec();
        newer.push("ALTER TABLE accounts ADD COLUMN standing TEXT NOT NULL DEFAULT 'good'");
        migrate_with(&mut connection, &newer).expect("migrates");
        let standing: String =
            connection.query_row("SELECT standing FROM accounts", [], |row| row.get(0)).expect("there");
        assert_eq!(standing, "good");
        assert_eq!(version(&connection).expect("version"), newer.len() as i64);
    }

    /// Tables, and their columns.
    fn shape(connection: &Connection) -> Vec<(String, String)> {
        let columns = "SELECT t.name, group_concat(c.name || ' ' || c.type || ' ' || c.pk) FROM sqlite_schema t, pragma_table_info(t.name) c
                       WHERE t.type = 'table' GROUP BY t.name ORDER BY t.name";
        let mut statement = connection.prepare(columns).expect("a statement");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.collect::<Result<_, _>>().expect("columns")
    }

    #[test]
    fn a_file_that_is_brought_back_is_as_the_older_program_made_it_and_can_come_again() {
        let oldest = BACK.last().expect("a way back").0 - 1;
        let mut older = memory();
        migrate_to(&mut older, oldest as usize).expect("migrates");
        let mut connection = memory();
        migrate(&mut connection).expect("migrates");
        let newest = shape(&connection);
        assert_eq!(migrate_back(&mut connection).expect("goes back"), (MIGRATIONS.len() as i64, oldest));
        assert_eq!(shape(&connection), shape(&older));
        assert_eq!(migrate_back(&mut connection).expect("goes nowhere"), (oldest, oldest));
        migrate(&mut connection).expect("migrates");
        assert_eq!(shape(&connection), newest);
    }

    #[test]
    fn a_kind_that_is_declared_has_a_table_also_after_an_older_program() {
        let kinds = [Table::new("rosters"), Table::new("of_a_room")];
        let mut connection = memory();
        for _ in 0..2 {
            migrate(&mut connection).expect("migrates");
            declare(&mut connection, &kinds).expect("declares");
            declare(&mut connection, &kinds).expect("declares nothing");
            let own = own_tables(&connection).expect("reads");
            assert!(own.contains(&"of_a_room".to_owned()) && own.len() == 8, "{own:?}");
            assert_eq!(
                own.last().map(String::as_str),
                Some("removals"),
                "what says that a removal is not over"
            );
            connection.execute_batch("SELECT key, revision, value FROM of_a_room").expect("a table");
            migrate_back(&mut connection).expect("goes back");
        }
    }

    #[test]
    fn a_failing_migration_leaves_the_file_as_it_was() {
        let mut connection = memory();
        migrate(&mut connection).expect("migrates");
        let mut newer = MIGRATIONS.to_vec();
        newer.push("CREATE TABLE half (x); CREATE TABLE accounts (x)");
        assert!(migrate_with(&mut connection, &newer).is_err());
        let half = "SELECT count(*) FROM sqlite_schema WHERE name = 'half'";
        assert_eq!(connection.query_row(half, [], |row| row.get::<_, i64>(0)).expect("counts"), 0);
        assert_eq!(version(&connection).expect("version"), MIGRATIONS.len() as i64);
    }

    #[test]
    fn a_newer_file_is_refused() {
        let mut connection = memory();
        migrate(&mut connection).expect("migrates");
        connection.execute("UPDATE meta SET value = 99 WHERE name = 'schema_version'", []).expect("updates");
        assert!(matches!(migrate(&mut connection), Err(SchemaError::Newer(99))));
    }
}
