//! Memory is bounded: what doesn't fit moves to SQLite early, and what comes too fast is refused.

use crate::support::lazy;
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, Options};
use chaski_store::{AccountId, Appended, Engine, StoreError};

fn account(last: u64) -> AccountId {
    AccountId::phone(15_550_000 + last).unwrap()
}

fn reading(engine: &dyn Engine, name: &str) -> i64 {
    let readings = engine.metrics().into_iter().flat_map(|source| source.metrics());
    readings.filter(|metric| metric.name == name).map(|metric| metric.number()).sum()
}

#[test]
fn many_mailboxes_beyond_the_cache_move_to_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { cache_bytes: 20_000, slice_messages: 20, ..lazy() };
    let engine = embedded::open(dir.path(), options.clone()).unwrap();
    let mut rig = Rig::new(&engine);
    for id in 0..1000 {
        rig.append_durably(account(id as u64 % 50), id);
    }
    rig.until("room in memory", |_| reading(&engine, "chaski_store_message_bytes") <= 20_000);
    assert!(reading(&engine, "chaski_store_spilled_total") > 500);
    for last in 0..50 {
        let expected: Vec<u128> = (0..1000).filter(|id| *id as u64 % 50 == last).collect();
        assert_eq!(rig.ids(account(last)), expected);
        assert_eq!(rig.usage(account(last)).messages, 20);
    }
    // Both copies of what was moved, in the journal and in SQLite, are one message after a restart.
    drop(rig);
    engine.close();
    drop(engine);
    let engine = embedded::open(dir.path(), options).unwrap();
    let mut rig = Rig::new(&engine);
    assert!((0..50).all(|last| rig.ids(account(last)).len() == 20));
}

#[test]
fn a_shard_that_is_ahead_of_the_disk_is_refused_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), Options { queue_bytes: 10_000, ..lazy() }).unwrap();
    let mut rig = Rig::new(&engine);
    let mut tickets = Vec::new();
    // Nothing is flushed: the turn is too long.
    let refused = loop {
        match rig.append(account(1), tickets.len() as u128) {
            Ok((_, ticket)) => tickets.push(ticket),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Overloaded), "{refused}");
    assert!(tickets.len() > 50);
    assert_eq!(rig.usage(account(1)).messages, tickets.len() as u64);
    let count = tickets.len() as u128;
    tickets.into_iter().for_each(|ticket| rig.committed(ticket));
    rig.append_durably(account(1), count);
    assert_eq!(rig.ids(account(1)), (0..=count).collect::<Vec<_>>());
}

#[test]
fn more_requests_than_the_bound_fail_and_do_not_queue() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), Options { queue_requests: 0, ..lazy() }).unwrap();
    let mut rig = Rig::new(&engine);
    let ticket = rig.ticket();
    rig.store.load(account(1), &[chaski_store::Table::ACCOUNTS], ticket);
    rig.store.save(account(1), chaski_store::Table::ACCOUNTS, None, None, ticket);
    let overloaded = |completion: &chaski_store::Completion| match completion {
        chaski_store::Completion::Loaded { result: Err(StoreError::Overloaded), .. } => Some(()),
        chaski_store::Completion::Saved { result: Err(StoreError::Overloaded), .. } => Some(()),
        _ => None,
    };
    rig.wait("the load's answer", overloaded);
    rig.wait("the save's answer", overloaded);
}

#[test]
fn an_account_with_nothing_waiting_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), lazy()).unwrap();
    let mut rig = Rig::new(&engine);
    for id in 0..2000 {
        let Appended::Queued(seq) = rig.append(account(id as u64), id).unwrap().0 else { panic!("new") };
        rig.store.ack(account(id as u64), &[seq]);
    }
    let (_, last) = rig.append(account(1), 9999).unwrap();
    rig.committed(last);
    rig.until("gauges follow", |_| reading(&engine, "chaski_store_messages") == 1);
    assert!(reading(&engine, "chaski_store_message_bytes") < 100);
}
