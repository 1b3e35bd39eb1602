//! Hints that are lost: within a minute, everybody sees what is there.

use super::*;

/// One of the numbers of the play whose account shard `shard` of two owns.
fn of_shard(stage: &Stage, shard: u16, last: u64) -> String {
    let mut locals = (0..).map(|n| format!("+1555124{:04}", last * 100 + n));
    locals.find(|local| stage.owner(local) == shard).unwrap()
}

#[test]
fn what_another_shard_did_not_take_is_made_good() {
    let mut stage = Stage::with_limits(2, Limits { undelivered_envelopes: 0, ..Limits::default() });
    let (near, far) = (of_shard(&stage, 0, 1), of_shard(&stage, 1, 2));
    let watcher = arrive(&mut stage, &far);
    sync(&mut stage, watcher, &[&near]);
    stage.received(watcher);
    stage.deafen(1, true);
    stage.set_account(&near, 1).unwrap();
    assert_eq!(seen(&mut stage, watcher), [""; 0]);
    stage.pass(10_000);
    stage.deafen(1, false);
    stage.pass(60_000);
    assert_eq!(seen(&mut stage, watcher), [format!("items {near} none")]);
}

#[test]
fn a_look_that_the_store_refused_is_made_good() {
    for nth in 0..6 {
        let mut stage = Stage::new(2);
        let (romeo, juliet) = (arrive(&mut stage, ROMEO), arrive(&mut stage, JULIET));
        replace(&mut stage, ROMEO, &[JULIET]).unwrap();
        stage.engine.fail_query(nth);
        let done = replace(&mut stage, JULIET, &[ROMEO]);
        stage.pass(60_000);
        let expected = match done {
            Err(_) if nth == 0 => "none",
            _ => "both",
        };
        assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} {expected}"), "{nth}");
        if expected == "both" {
            assert_eq!(roster(&mut stage, juliet), format!("items {ROMEO} both"), "{nth}");
        }
    }
}

#[test]
fn more_numbers_at_once_than_can_be_told_are_seen_all_the_same() {
    let mut stage = Stage::new(1);
    let watcher = arrive(&mut stage, ROMEO);
    sync(&mut stage, watcher, &[JULIET]);
    stage.received(watcher);
    // So many that the last one, hers, finds no place; the first can't be told before the next tick.
    stage.engine.fail_query(0);
    for last in 0..4_100u64 {
        let number = account(&format!("+1555{:07}", 2_000_000 + last));
        stage.call(0, |room, ctx| room.owner.tell_holders(ctx, number));
    }
    stage.settle();
    stage.set_account(JULIET, 1).unwrap();
    stage.pass(60_000);
    assert_eq!(seen(&mut stage, watcher), [format!("items {JULIET} none")]);
}
