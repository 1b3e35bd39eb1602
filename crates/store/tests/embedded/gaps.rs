//! Messages that grow too old: they go, a gap stands in their place, and their recipient is told once.

use crate::support::{WallClock, copy_as_crashed, hasty, segments};
use chaski_store::conformance::{self, Rig};
use chaski_store::embedded::{self, EmbeddedEngine, Options};
use chaski_store::{AccountId, Completion, Engine, Entry, Gap, Seq};
use std::path::Path;
use std::sync::Arc;

/// The rig's messages are accepted then, and as many milliseconds later as their identity says.
const ACCEPTED: u64 = conformance::ACCEPTED_UNIX_MS;
const HOUR_MS: u64 = 3_600_000;
/// The identity of a message that is accepted two hours later than the first.
const LATER: u128 = 2 * HOUR_MS as u128;

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

/// Messages are old after three hours.
fn options(clock: &Arc<WallClock>) -> Options {
    Options { clock: clock.clone(), expire_after_ms: 3 * HOUR_MS, expire_interval_ms: 5, ..hasty() }
}

/// An engine with these messages in SQLite.
fn engine_with(dir: &Path, clock: &Arc<WallClock>, ids: &[u128]) -> (EmbeddedEngine, Rig, Vec<Seq>) {
    let engine = embedded::open(dir, options(clock)).unwrap();
    let mut rig = Rig::new(&engine);
    let seqs = ids.iter().map(|&id| rig.append_durably(romeo(), id)).collect();
    settled(&mut rig, dir);
    (engine, rig, seqs)
}

fn settled(rig: &mut Rig, dir: &Path) {
    rig.until("in SQLite", |_| segments(dir).is_empty());
}

fn told(rig: &mut Rig) {
    rig.wait("a gap", |completion| matches!(completion, Completion::Gap(of) if *of == romeo()).then_some(()));
}

fn gap_of(entry: &Entry) -> Gap {
    assert!(entry.stanza.is_empty());
    entry.gap.expect("a gap")
}

fn reopen(engine: EmbeddedEngine, rig: Rig, dir: &Path, clock: &Arc<WallClock>) -> (EmbeddedEngine, Rig) {
    drop(rig);
    engine.close();
    drop(engine);
    let engine = embedded::open(dir, options(clock)).unwrap();
    let rig = Rig::new(&engine);
    (engine, rig)
}

#[test]
fn messages_that_nobody_fetched_in_time_are_deleted_and_their_recipient_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::at(ACCEPTED + 2 * HOUR_MS);
    let (engine, mut rig, seqs) = engine_with(dir.path(), &clock, &[0, 1, 2, LATER]);
    assert_eq!(rig.ids(romeo()), [0, 1, 2, LATER]);
    clock.pass(2 * HOUR_MS);
    told(&mut rig);
    let expected = Gap { messages: 3, since_unix_ms: ACCEPTED, until_unix_ms: ACCEPTED + 2 };
    let (engine, mut rig) = {
        let entries = rig.read_all(romeo(), 7);
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [seqs[2], seqs[3]]);
        assert_eq!((gap_of(&entries[0]), entries[1].id.0), (expected, LATER));
        assert_eq!(rig.usage(romeo()).messages, 2);
        reopen(engine, rig, dir.path(), &clock)
    };
    // Not acknowledged: still there after a restart, also in windows of one entry.
    let entries = rig.read_all(romeo(), 1);
    assert_eq!((entries.len(), gap_of(&entries[0]), rig.usage(romeo()).messages), (2, expected, 2));
    rig.store.ack(romeo(), &[entries[0].seq]);
    assert_eq!(rig.ids(romeo()), [LATER]);
    rig.until("the gap is gone", |rig| rig.usage(romeo()).messages == 1);
    let (_engine, mut rig) = reopen(engine, rig, dir.path(), &clock);
    assert_eq!(rig.ids(romeo()), [LATER]);
    assert_eq!(rig.usage(romeo()).messages, 1);
}

#[test]
fn what_is_lost_after_the_gap_was_read_is_not_cleared_by_its_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::at(ACCEPTED + 2 * HOUR_MS);
    let (_engine, mut rig, _) = engine_with(dir.path(), &clock, &[1, 2, LATER]);
    clock.pass(2 * HOUR_MS);
    told(&mut rig);
    let first = rig.read_all(romeo(), 7)[0].seq;
    clock.pass(2 * HOUR_MS);
    told(&mut rig);
    rig.store.ack(romeo(), &[first]);
    rig.turn();
    let entries = rig.read_all(romeo(), 7);
    let expected = Gap { messages: 3, since_unix_ms: ACCEPTED + 1, until_unix_ms: ACCEPTED + LATER as u64 };
    assert_eq!((entries.len(), gap_of(&entries[0])), (1, expected));
    rig.store.ack(romeo(), &[entries[0].seq]);
    rig.until("nothing waits", |rig| rig.usage(romeo()).messages == 0);
}

#[test]
fn a_gap_goes_with_its_mailbox() {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::at(ACCEPTED + 2 * HOUR_MS);
    let (engine, mut rig, _) = engine_with(dir.path(), &clock, &[1]);
    clock.pass(2 * HOUR_MS);
    told(&mut rig);
    let ticket = rig.ticket();
    rig.store.purge(romeo(), ticket);
    rig.turn();
    assert_eq!((rig.ids(romeo()), rig.usage(romeo()).messages), (vec![], 0));
    let (_engine, mut rig) = reopen(engine, rig, dir.path(), &clock);
    assert_eq!((rig.ids(romeo()), rig.usage(romeo()).messages), (vec![], 0));
}

#[test]
fn a_crash_after_a_gaps_acknowledgement_does_not_tell_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::at(ACCEPTED + 2 * HOUR_MS);
    let (engine, mut rig, _) = engine_with(dir.path(), &clock, &[1]);
    clock.pass(2 * HOUR_MS);
    told(&mut rig);
    let (engine, mut rig) = {
        drop(rig);
        engine.close();
        // From here on SQLite's deletions wait for ever, and the journal keeps its segments.
        let slow = Options { delete_linger_ms: u64::MAX / 4, ..crate::support::lazy() };
        let engine = embedded::open(dir.path(), Options { ack_linger_ms: 0, clock: clock.clone(), ..slow });
        let engine = engine.unwrap();
        let rig = Rig::new(&engine);
        (engine, rig)
    };
    let seq = rig.read_all(romeo(), 7)[0].seq;
    rig.store.ack(romeo(), &[seq]);
    rig.append_durably(romeo(), 9_999);
    let crashed = tempfile::tempdir().unwrap();
    copy_as_crashed(dir.path(), crashed.path());
    let after = embedded::open(crashed.path(), options(&clock)).unwrap();
    assert_eq!(Rig::new(&after).ids(romeo()), [9_999]);
    drop(engine);
}
