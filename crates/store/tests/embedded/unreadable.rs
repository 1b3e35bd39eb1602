//! A message in SQLite that can't be read keeps nobody from the others: it is set aside, and its recipient told once.

use crate::support::{hasty, segments};
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, EmbeddedEngine};
use chaski_store::mailbox::ReadStart;
use chaski_store::{AccountId, Completion, Engine, Entry, ReadLimit, Seq};
use rusqlite::{Connection, params};
use std::os::unix::fs::FileExt;
use std::path::Path;

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

/// A closed directory with five messages of this size in SQLite.
fn directory(size: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), hasty()).unwrap();
    let mut rig = Rig::new(&engine);
    for id in 1..=5 {
        let stanza = format!("<message>{id}{}</message>", "x".repeat(size));
        let (_, ticket) = rig.append_stanza(romeo(), id, stanza.as_bytes()).unwrap();
        rig.committed(ticket);
    }
    rig.until("in SQLite", |_| segments(dir.path()).is_empty());
    drop(rig);
    engine.close();
    dir
}

fn ids(entries: &[Entry]) -> Vec<u128> {
    entries.iter().filter(|entry| entry.gap.is_none()).map(|entry| entry.id.0).collect()
}

fn lost(entries: &[Entry]) -> Vec<u32> {
    entries.iter().filter_map(|entry| entry.gap).map(|gap| gap.messages).collect()
}

fn unreadable(engine: &EmbeddedEngine) -> i64 {
    let readings = engine.metrics().into_iter().flat_map(|source| source.metrics());
    readings
        .filter(|metric| metric.name == "chaski_store_unreadable_total")
        .map(|metric| metric.number())
        .sum()
}

/// Messages 3 and perhaps others can't be read; the rest is, in windows of any size, and the loss is told once.
fn is_set_aside(dir: &Path, left: &[u128], what: &str) {
    for window in [1, 2, 7] {
        let copied = tempfile::tempdir().unwrap();
        crate::support::copy_as_crashed(dir, copied.path());
        let engine = embedded::open(copied.path(), hasty()).unwrap();
        let mut rig = Rig::new(&engine);
        assert_eq!(ids(&rig.read_all(romeo(), window)), left, "{what}, windows of {window}");
        rig.wait("the gap", |completion| {
            matches!(completion, Completion::Gap(of) if *of == romeo()).then_some(())
        });
        let entries = rig.read_all(romeo(), window);
        assert_eq!((ids(&entries), lost(&entries)), (left.to_vec(), vec![5 - left.len() as u32]), "{what}");
        assert_eq!(rig.usage(romeo()).messages, left.len() as u64 + 1, "{what}");
        assert_eq!(unreadable(&engine), 5 - left.len() as i64, "{what}");
        // It is acknowledged like the messages, and the mailbox goes on.
        let seqs: Vec<_> = entries.iter().map(|entry| entry.seq).collect();
        rig.store.ack(romeo(), &seqs);
        rig.append_durably(romeo(), 6);
        assert_eq!(rig.ids(romeo()), [6], "{what}");
        rig.until("deleted", |rig| rig.usage(romeo()).messages == 1);
        drop(rig);
        engine.close();
        drop(engine);
        let engine = embedded::open(copied.path(), hasty()).unwrap();
        let mut rig = Rig::new(&engine);
        let entries = rig.read_all(romeo(), window);
        assert_eq!((ids(&entries), lost(&entries)), (vec![6], vec![]), "{what}, after a restart");
    }
}

const THIRD: &str = "(SELECT seq FROM messages ORDER BY seq LIMIT 1 OFFSET 2)";

#[test]
fn whatever_of_a_row_cannot_be_read() {
    for damage in [
        "UPDATE messages SET stanza = 'text' WHERE seq = THIRD",
        "UPDATE messages SET stanza = x'' WHERE seq = THIRD",
        "UPDATE messages SET stanza = substr(stanza, 1, length(stanza) - 1) WHERE seq = THIRD",
        "UPDATE messages SET id = x'00' WHERE seq = THIRD",
        "UPDATE messages SET size = 'many' WHERE seq = THIRD",
        "UPDATE messages SET size = size - 1 WHERE seq = THIRD",
        "UPDATE messages SET size = -1 WHERE seq = THIRD",
        "UPDATE messages SET accepted_unix_ms = 'yesterday' WHERE seq = THIRD",
        "UPDATE messages SET seal = 'none' WHERE seq = THIRD",
        "UPDATE messages SET seal = seal + 1 WHERE seq = THIRD",
        "DELETE FROM seals WHERE slot = (SELECT seal FROM messages WHERE seq = THIRD)",
        "UPDATE seals SET key = zeroblob(16) WHERE slot = (SELECT seal FROM messages WHERE seq = THIRD)",
        "UPDATE seals SET key = 'key' WHERE slot = (SELECT seal FROM messages WHERE seq = THIRD)",
    ] {
        let dir = directory(10);
        let database = Connection::open(dir.path().join("chaski.sqlite3")).unwrap();
        assert_eq!(database.execute(&damage.replace("THIRD", THIRD), []).unwrap(), 1, "{damage}");
        drop(database);
        is_set_aside(dir.path(), &[1, 2, 4, 5], damage);
    }
}

#[test]
fn a_stanza_with_one_changed_bit() {
    let dir = directory(10);
    let database = Connection::open(dir.path().join("chaski.sqlite3")).unwrap();
    let third = format!("SELECT stanza FROM messages WHERE seq = {THIRD}");
    let mut stanza: Vec<u8> = database.query_row(&third, [], |row| row.get(0)).unwrap();
    stanza[12] ^= 1;
    let change = format!("UPDATE messages SET stanza = ?1 WHERE seq = {THIRD}");
    database.execute(&change, params![stanza]).unwrap();
    drop(database);
    is_set_aside(dir.path(), &[1, 2, 4, 5], "a bit");
}

#[test]
fn a_page_that_makes_no_sense_is_said_and_takes_nothing_away() {
    let dir = directory(60_000);
    let path = dir.path().join("chaski.sqlite3");
    let database = Connection::open(&path).unwrap();
    let third = format!("SELECT stanza FROM messages WHERE seq = {THIRD}");
    let stanza: Vec<u8> = database.query_row(&third, [], |row| row.get(0)).unwrap();
    drop(database);
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(64).position(|window| window == &stanza[30_000..30_064]).unwrap();
    // The page's first four bytes are the number of the next one.
    let page = at / 4096 * 4096;
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0x7F, 0xFF, 0xFF, 0xFF], page as u64).unwrap();
    let engine = embedded::open(dir.path(), hasty()).unwrap();
    let mut rig = Rig::new(&engine);
    rig.load(romeo());
    let ticket = rig.ticket();
    let all = ReadLimit { messages: 9, bytes: usize::MAX };
    assert!(matches!(rig.store.read(romeo(), Seq(0), all, ticket), ReadStart::Pending));
    let is_answer = |completion: &Completion| match completion {
        Completion::Read { result, .. } => Some(result.is_err()),
        _ => None,
    };
    assert!(rig.wait("an answer", is_answer));
    assert!(engine.troubles()[0].contains("the database is damaged"), "{:?}", engine.troubles());
    drop(rig);
    engine.close();
    drop(engine);
    file.write_all_at(&bytes[page..page + 4], page as u64).unwrap();
    let engine = embedded::open(dir.path(), hasty()).unwrap();
    assert_eq!(Rig::new(&engine).ids(romeo()), [1, 2, 3, 4, 5]);
}

#[test]
fn several_in_a_row_and_all() {
    for (damage, left) in [
        ("UPDATE seals SET key = zeroblob(16) WHERE slot <= 3", &[4, 5][..]),
        ("UPDATE seals SET key = zeroblob(16) WHERE slot >= 4", &[1, 2, 3]),
        ("UPDATE seals SET key = zeroblob(16)", &[]),
    ] {
        let dir = directory(10);
        let database = Connection::open(dir.path().join("chaski.sqlite3")).unwrap();
        database.execute(damage, []).unwrap();
        drop(database);
        is_set_aside(dir.path(), left, damage);
    }
}
