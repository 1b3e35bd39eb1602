//! No byte of a message is found in any file once it is acknowledged and the (here shortened) intervals have passed.

use crate::support::{hasty, holds, lazy, segments};
use chaski_store::conformance::Rig;
use chaski_store::embedded::Options;
use chaski_store::{AccountId, Appended, Engine, Seq, embedded};

const MARKER: &[u8] = b"wherefore art thou";

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

fn marked(id: u128) -> Vec<u8> {
    let text = "wherefore art thou ".repeat(1 + id as usize % 40);
    format!("<message id='{id}'><body>{text}</body></message>").into_bytes()
}

#[test]
fn acknowledged_before_it_reached_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), hasty()).unwrap();
    let mut rig = Rig::new(&engine);
    let (_, ticket) = rig.append_stanza(romeo(), 1, &marked(1)).unwrap();
    rig.committed(ticket);
    assert!(holds(dir.path(), MARKER), "it was durable, so it was somewhere");
    let seqs: Vec<_> = rig.read_all(romeo(), 10).iter().map(|entry| entry.seq).collect();
    rig.store.ack(romeo(), &seqs);
    rig.until("forgotten", |_| !holds(dir.path(), MARKER));
    rig.until("no segment is left", |_| segments(dir.path()).is_empty());
    assert!(rig.ids(romeo()).is_empty());
}

#[test]
fn acknowledged_after_it_moved_to_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), hasty()).unwrap();
    let mut rig = Rig::new(&engine);
    let tickets: Vec<_> = (0..200).map(|id| rig.append_stanza(romeo(), id, &marked(id)).unwrap().1).collect();
    tickets.into_iter().for_each(|ticket| rig.committed(ticket));
    rig.until("moved to SQLite", |_| segments(dir.path()).is_empty());
    let entries = rig.read_all(romeo(), 10);
    assert_eq!(entries.len(), 200);
    assert!(entries.iter().all(|entry| entry.stanza == marked(entry.id.0)[..]), "unsealed as they were");
    // Sealed, it isn't found even before; that its key goes is a test beside `seal.rs`.
    assert!(!holds(dir.path(), MARKER));
    let seqs: Vec<_> = entries.iter().map(|entry| entry.seq).collect();
    rig.store.ack(romeo(), &seqs);
    rig.until("deleted", |rig| rig.usage(romeo()).messages == 0);
    rig.until("checkpointed", |_| {
        std::fs::metadata(dir.path().join("chaski.sqlite3-wal")).map_or(0, |wal| wal.len()) == 0
    });
    assert!(!holds(dir.path(), MARKER));
}

#[test]
fn a_stopped_server_keeps_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), crate::support::lazy()).unwrap();
    let mut rig = Rig::new(&engine);
    let (_, ticket) = rig.append_stanza(romeo(), 1, &marked(1)).unwrap();
    rig.committed(ticket);
    let seqs: Vec<_> = rig.read_all(romeo(), 10).iter().map(|entry| entry.seq).collect();
    rig.store.ack(romeo(), &seqs);
    rig.append_durably(romeo(), 2);
    assert!(holds(dir.path(), MARKER));
    drop(rig);
    engine.close();
    assert!(!holds(dir.path(), MARKER));
    assert!(segments(dir.path()).is_empty());
    drop(engine);
    let engine = embedded::open(dir.path(), hasty()).unwrap();
    assert_eq!(Rig::new(&engine).ids(romeo()), [2]);
}

#[test]
fn a_reader_in_the_way_only_delays_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), hasty()).unwrap();
    let mut rig = Rig::new(&engine);
    let wal = || std::fs::metadata(dir.path().join("chaski.sqlite3-wal")).map_or(0, |wal| wal.len());
    let seq = rig.append_durably(romeo(), 1);
    rig.until("moved to SQLite", |_| segments(dir.path()).is_empty());
    let reader = rusqlite::Connection::open(dir.path().join("chaski.sqlite3")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let waiting: i64 = reader.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
    assert_eq!(waiting, 1);
    rig.store.ack(romeo(), &[seq]);
    rig.until("deleted", |rig| rig.usage(romeo()).messages == 0);
    let busy = || {
        let readings = engine.metrics().into_iter().flat_map(|source| source.metrics());
        readings
            .filter(|metric| metric.name == "chaski_sqlite_checkpoints_busy_total")
            .map(|metric| metric.number())
            .sum::<i64>()
    };
    rig.until("held up", |_| busy() > 0);
    assert!(wal() > 0);
    reader.execute_batch("COMMIT").unwrap();
    rig.until("done", |_| wal() == 0);
}

/// Sends the message again until the store takes it for a new one, because it has left memory; its new number.
fn sent_again(rig: &mut Rig, id: u128) -> Seq {
    let mut taken = None;
    rig.until("moved to SQLite", |rig| {
        // Others, so that the mailbox is too large for memory.
        let filler = 1_000 + u128::from(rig.ticket().0 as u64);
        rig.append_durably(romeo(), filler);
        let (appended, ticket) = rig.append(romeo(), id).unwrap();
        rig.committed(ticket);
        taken = match appended {
            Appended::Queued(seq) => Some(seq),
            Appended::Duplicate => None,
        };
        taken.is_some()
    });
    taken.unwrap()
}

#[test]
fn a_repetition_that_sqlite_knew_does_not_come_back_once_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    // Moved for want of room alone: the journal keeps its segments.
    let options = Options { mailbox_cache_bytes: 300, slice_messages: 4, ..lazy() };
    let engine = embedded::open(dir.path(), options.clone()).unwrap();
    let mut rig = Rig::new(&engine);
    let first = rig.append_durably(romeo(), 1);
    drop(rig);
    engine.close();
    drop(engine);
    let engine = embedded::open(dir.path(), options.clone()).unwrap();
    // Its owner has not loaded the account: so the front does not know what waits for it.
    let mut rig = Rig::new(&engine);
    let second = sent_again(&mut rig, 1);
    // Taken once more: the second one was passed over by SQLite, which has the first.
    let third = sent_again(&mut rig, 1);
    let mut seqs: Vec<Seq> = rig.read_all(romeo(), 10).iter().map(|entry| entry.seq).collect();
    assert!(!seqs.contains(&second));
    seqs.extend([first, second, third]);
    rig.store.ack(romeo(), &seqs);
    rig.until("deleted", |rig| rig.usage(romeo()).messages == 0);
    drop(rig);
    engine.close();
    drop(engine);
    let engine = embedded::open(dir.path(), options).unwrap();
    assert_eq!(Rig::new(&engine).ids(romeo()), [0u128; 0]);
}
