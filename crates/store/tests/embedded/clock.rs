//! Clocks that jump, at a start and while the engine runs: what waits is deleted by its true age and by nothing else.

use crate::support::{WallClock, hasty, segments};
use chaski_store::conformance::{self, Rig};
use chaski_store::embedded::{self, EmbeddedEngine, Options};
use chaski_store::time::plausible::{DAY_MS, UNSET_BEFORE_MS};
use chaski_store::{AccountId, Append, Completion, Engine, MessageId, Sender, Ticket};
use std::path::Path;
use std::sync::Arc;

const BEGIN: u64 = conformance::ACCEPTED_UNIX_MS;
const DAYS_31: u64 = 31 * DAY_MS;

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

/// As in production but for its haste: old after thirty days.
fn open(dir: &Path, clock: &Arc<WallClock>) -> (EmbeddedEngine, Rig) {
    let options = Options { clock: clock.clone(), expire_interval_ms: 5, ..hasty() };
    let engine = embedded::open(dir, options).unwrap();
    let rig = Rig::new(&engine);
    (engine, rig)
}

fn close((engine, rig): (EmbeddedEngine, Rig)) {
    drop(rig);
    engine.close();
}

/// A message that is accepted now, as the engine's time says.
fn accept_now(engine: &EmbeddedEngine, rig: &mut Rig, id: u128) {
    let ticket = Ticket(id << 64);
    let accepted_unix_ms = engine.time().unix_ms();
    let stanza = b"<message></message>".as_slice().into();
    let (account, id, sender) = (romeo(), MessageId(id), Sender::contact(romeo()));
    rig.store.append(Append { account, id, accepted_unix_ms, stanza, sender, ticket }).unwrap();
    rig.committed(ticket);
}

fn wait_in_sqlite(rig: &mut Rig, dir: &Path) {
    rig.until("in SQLite", |_| segments(dir).is_empty());
}

/// Gives the engine every chance to delete what it must not.
fn look_for_old(rig: &mut Rig) {
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        rig.turn();
    }
}

fn wait_for_gap(rig: &mut Rig) {
    rig.wait("a gap", |completion| matches!(completion, Completion::Gap(_)).then_some(()));
}

fn messages_lost(rig: &mut Rig) -> u32 {
    rig.read_all(romeo(), 7).iter().filter_map(|entry| entry.gap).map(|gap| gap.messages).sum()
}

#[test]
fn a_start_31_days_ahead_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut rig) = open(dir.path(), &WallClock::at(BEGIN));
    for id in 1..=20 {
        accept_now(&engine, &mut rig, id);
    }
    wait_in_sqlite(&mut rig, dir.path());
    close((engine, rig));
    let ahead = WallClock::at(BEGIN + DAYS_31);
    let (engine, mut rig) = open(dir.path(), &ahead);
    ahead.pass(70_000);
    look_for_old(&mut rig);
    assert_eq!(rig.ids(romeo()), (1..=20).collect::<Vec<_>>());
    assert!(engine.time().standing().doubt.is_some_and(|doubt| doubt.stopped));
    close((engine, rig));
    // Nor does the next start, with the clock set right.
    let (engine, mut rig) = open(dir.path(), &WallClock::at(BEGIN + 100_000));
    look_for_old(&mut rig);
    assert_eq!(rig.ids(romeo()).len(), 20);
    assert_eq!(engine.time().standing().doubt, None);
}

#[test]
fn a_jump_while_the_engine_runs_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::at(BEGIN);
    let (engine, mut rig) = open(dir.path(), &clock);
    accept_now(&engine, &mut rig, 1);
    wait_in_sqlite(&mut rig, dir.path());
    for wall_unix_ms in [BEGIN + DAYS_31, BEGIN + 40 * DAYS_31, 0, BEGIN + DAYS_31] {
        clock.set(wall_unix_ms);
        look_for_old(&mut rig);
        assert_eq!(rig.ids(romeo()), [1], "{wall_unix_ms}");
    }
    // Not even when it is believed: the monotonic clock knows what has passed.
    engine.time().accept().unwrap();
    look_for_old(&mut rig);
    assert_eq!(rig.ids(romeo()), [1]);
}

#[test]
fn accepted_under_a_clock_of_1970_and_still_there_when_it_is_set() {
    for restarts in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let unset = WallClock::at(1_000);
        let (engine, mut rig) = open(dir.path(), &unset);
        assert!(engine.time().unix_ms() >= UNSET_BEFORE_MS);
        accept_now(&engine, &mut rig, 1);
        wait_in_sqlite(&mut rig, dir.path());
        let (engine, mut rig) = match restarts {
            true => {
                close((engine, rig));
                open(dir.path(), &WallClock::at(BEGIN))
            }
            false => {
                unset.set(BEGIN);
                (engine, rig)
            }
        };
        look_for_old(&mut rig);
        assert_eq!(rig.ids(romeo()), [1]);
        let standing = engine.time().standing();
        assert_eq!((standing.doubt, standing.shown_unix_ms.abs_diff(BEGIN) < DAY_MS), (None, true));
        // Its age is what has passed since it was accepted.
        assert!(engine.time().unix_ms() - rig.read_all(romeo(), 7)[0].accepted_unix_ms < DAY_MS);
    }
}

#[test]
fn true_age_deletes_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::at(BEGIN);
    let (engine, mut rig) = open(dir.path(), &clock);
    accept_now(&engine, &mut rig, 1);
    wait_in_sqlite(&mut rig, dir.path());
    // The wall clock was wrong all the time.
    clock.set(BEGIN - DAYS_31);
    clock.pass(DAYS_31);
    wait_for_gap(&mut rig);
    assert_eq!(messages_lost(&mut rig), 1);
}

#[test]
fn a_long_stop_that_is_accepted_deletes_and_is_told_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut rig) = open(dir.path(), &WallClock::at(BEGIN));
    accept_now(&engine, &mut rig, 1);
    accept_now(&engine, &mut rig, 2);
    wait_in_sqlite(&mut rig, dir.path());
    close((engine, rig));
    let later = WallClock::at(BEGIN + DAYS_31);
    let (engine, mut rig) = open(dir.path(), &later);
    look_for_old(&mut rig);
    assert_eq!(rig.ids(romeo()), [1, 2]);
    assert_eq!(
        engine.time().accept().unwrap() / DAY_MS as i64,
        30,
        "31 days less some milliseconds of running"
    );
    wait_for_gap(&mut rig);
    assert_eq!(messages_lost(&mut rig), 2);
    close((engine, rig));
    let (engine, mut rig) = open(dir.path(), &later);
    assert_eq!((messages_lost(&mut rig), engine.time().standing().doubt), (2, None));
}

#[test]
fn what_was_accepted_of_a_clock_is_durable_before_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    close(open(dir.path(), &WallClock::at(BEGIN)));
    let later = BEGIN + DAYS_31;
    let (engine, rig) = open(dir.path(), &WallClock::at(later));
    assert!(embedded::doubt(dir.path(), later).unwrap().is_some());
    engine.time().accept().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    crate::support::copy_as_crashed(dir.path(), crashed.path());
    assert_eq!(embedded::doubt(crashed.path(), later).unwrap(), None);
    drop(rig);
}

#[test]
fn the_time_is_kept_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::at(BEGIN);
    let options = Options { clock: clock.clone(), keep_time_ms: u64::MAX / 4, ..hasty() };
    let engine = embedded::open(dir.path(), options).unwrap();
    let rig = Rig::new(&engine);
    clock.pass(3 * DAY_MS);
    close((engine, rig));
    assert_eq!(embedded::doubt(dir.path(), BEGIN + 3 * DAY_MS).unwrap(), None);
}

#[test]
fn a_crash_costs_no_more_than_the_hour_since_the_time_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::at(BEGIN);
    let (engine, mut rig) = open(dir.path(), &clock);
    let crashed = tempfile::tempdir().unwrap();
    for _ in 0..40 {
        clock.pass(DAY_MS);
        // Kept at the writer's next look.
        let kept = |rig: &mut Rig| {
            rig.turn();
            embedded::doubt(dir.path(), clock_of(&clock)).unwrap().is_none()
        };
        rig.until("the time is kept", kept);
    }
    crate::support::copy_as_crashed(dir.path(), crashed.path());
    assert_eq!(embedded::doubt(crashed.path(), BEGIN + 40 * DAY_MS).unwrap(), None);
    drop(engine);
}

fn clock_of(clock: &Arc<WallClock>) -> u64 {
    chaski_store::embedded::Clock::unix_ms(&**clock)
}
