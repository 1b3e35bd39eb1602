//! What was purged stays gone from the moment that is said, whatever happens then; and soon no byte of it is in any file.

use crate::support::{copy_as_crashed, holds, lazy, segments};
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, Clock, Options};
use chaski_store::records::Put;
use chaski_store::{AccountId, Engine, Table};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Kinds of records under accounts' keys: those that every directory has, and one that was declared.
const OWN: [Table; 8] = [
    Table::new("rosters"),
    Table::new("settings"),
    Table::new("nodes"),
    Table::new("items"),
    Table::new("reports"),
    Table::new("declared"),
    Table::CURSORS,
    Table::REMOVALS,
];
const DECLARED: &[Table] = &[Table::new("declared")];

const MARKER: &[u8] = b"parting is such sweet sorrow";

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

fn records_of(account: AccountId) -> Vec<(Table, String)> {
    let key = account.record_key();
    let mut all: Vec<_> = OWN.map(|table| (table, key.clone())).into();
    all.extend((0..30).map(|item| (Table::new("items"), format!("{key}/avatar/{item}"))));
    all
}

fn furnish(engine: &dyn Engine, account: AccountId) {
    let text = String::from_utf8(MARKER.repeat(20)).unwrap();
    let value = Some(format!("{{\"text\":\"{text}\"}}").into_bytes());
    let put = |(table, key)| Put { table, key, value: value.clone() };
    engine.records().put_all(records_of(account).into_iter().map(put).collect()).unwrap();
}

fn append_marked(rig: &mut Rig, ids: std::ops::Range<u128>) {
    let text = String::from_utf8_lossy(MARKER).into_owned();
    for id in ids {
        let stanza = format!("<message id='{id}'><body>{text}</body></message>");
        let (_, ticket) = rig.append_stanza(romeo(), id, stanza.as_bytes()).unwrap();
        rig.committed(ticket);
    }
}

fn assert_nothing_after_a_crash(dir: &Path, options: &Options) {
    let copy = tempfile::tempdir().unwrap();
    copy_as_crashed(dir, copy.path());
    let engine = embedded::open(copy.path(), options.clone()).unwrap();
    let records = engine.records();
    for (table, key) in records_of(romeo()) {
        assert!(records.get(table, &key).unwrap().is_none(), "{table:?} {key}");
    }
    assert_eq!(Rig::new(&engine).ids(romeo()), [0u128; 0]);
}

#[test]
fn purged_is_durable_although_nothing_else_is_written() {
    // Nothing but the purge itself makes the journal or SQLite be written.
    let options = Options {
        ack_linger_ms: u64::MAX / 4,
        delete_linger_ms: u64::MAX / 4,
        own_tables: DECLARED,
        ..lazy()
    };
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), options.clone()).unwrap();
    let mut rig = Rig::new(&engine);
    furnish(&engine, romeo());
    append_marked(&mut rig, 0..50);
    rig.purge(romeo());
    assert_nothing_after_a_crash(dir.path(), &options);
}

#[test]
fn purged_is_durable_wherever_the_messages_are() {
    // In memory and the journal, on their way to SQLite, in SQLite; more of them than one transaction deletes.
    let options =
        Options { mailbox_cache_bytes: 20_000, ack_linger_ms: u64::MAX / 4, own_tables: DECLARED, ..lazy() };
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), options.clone()).unwrap();
    let mut rig = Rig::new(&engine);
    furnish(&engine, romeo());
    let tickets: Vec<_> = (0..2_500).map(|id| rig.append(romeo(), id).unwrap().1).collect();
    tickets.into_iter().for_each(|ticket| rig.committed(ticket));
    rig.purge(romeo());
    assert_nothing_after_a_crash(dir.path(), &options);
    rig.append_durably(romeo(), 1);
    assert_eq!(rig.ids(romeo()), [1]);
}

#[test]
fn acknowledged_before_the_purge_does_not_come_back_to_whoever_is_next() {
    let options = Options { ack_linger_ms: u64::MAX / 4, own_tables: DECLARED, ..lazy() };
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), options.clone()).unwrap();
    let mut rig = Rig::new(&engine);
    append_marked(&mut rig, 0..5);
    let seqs: Vec<_> = rig.read_all(romeo(), 9).iter().map(|entry| entry.seq).collect();
    rig.store.ack(romeo(), &seqs);
    rig.turn();
    assert_eq!(rig.usage(romeo()).messages, 0, "nothing seems to be there");
    rig.purge(romeo());
    assert_nothing_after_a_crash(dir.path(), &options);
}

/// A clock that the test advances.
#[derive(Default)]
struct ByHand(AtomicU64);

impl Clock for ByHand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn unix_ms(&self) -> u64 {
        1_700_000_000_000 + self.now_ms()
    }
}

#[test]
fn a_minute_after_a_purge_no_byte_is_in_any_file() {
    let clock = Arc::new(ByHand::default());
    // The intervals of a real server; only how often they are looked at is not.
    let options = Options {
        clock: clock.clone(),
        tick_ms: 2,
        mailbox_cache_bytes: 4_000,
        own_tables: DECLARED,
        ..Options::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), options).unwrap();
    let mut rig = Rig::new(&engine);
    furnish(&engine, romeo());
    append_marked(&mut rig, 0..200);
    assert!(holds(dir.path(), MARKER));
    rig.purge(romeo());
    for _ in 0..60 {
        clock.0.fetch_add(1_000, Ordering::AcqRel);
        rig.turn();
        std::thread::sleep(Duration::from_millis(5));
    }
    // The minute is over and the clock stands: what is to happen later does not.
    rig.until("forgotten", |_| !holds(dir.path(), MARKER) && segments(dir.path()).is_empty());
    let database = rusqlite::Connection::open(dir.path().join("chaski.sqlite3")).unwrap();
    let keys = "SELECT count(*) FROM seals WHERE key <> zeroblob(16)";
    let keys: i64 = database.query_row(keys, [], |row| row.get(0)).unwrap();
    assert_eq!(keys, 0, "no key is left that could open a copy");
}
