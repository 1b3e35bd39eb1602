//! Errands in order, one at a time, bounded.

use super::*;
use crate::account::nodes::ITEMS;
use crate::testing::Stage;
use chaski_store::AccountId;
use std::sync::{Arc, Mutex};

const JULIET: &str = "+15551230001";

fn key(name: &str) -> (Table, String) {
    (ITEMS, format!("{JULIET}/{name}"))
}

fn put(name: &str, value: &str) -> Put {
    let (table, key) = key(name);
    Put { table, key, value: Some(value.into()) }
}

/// Appends one letter to what is there.
fn append(letter: char, log: &Arc<Mutex<Vec<String>>>) -> Errand {
    let log = Arc::clone(log);
    Errand::read(vec![key("a")], move |_, _, found| {
        let before = found.ok()?.pop()??.value;
        let after = String::from_utf8(before).ok()? + &letter.to_string();
        let written = after.clone();
        Some(Change::new(vec![put("a", &after)], move |_, _, result| {
            assert!(result.is_ok());
            log.lock().unwrap().push(written);
        }))
    })
}

fn give(stage: &mut Stage, errand: Errand) {
    let id = AccountId::from_local(JULIET).unwrap();
    let owner = stage.owner(JULIET);
    stage.call(owner, |room, ctx| room.owner.errand(ctx, id, errand));
}

fn stage() -> Stage {
    let mut stage = Stage::new(1);
    stage.set_account(JULIET, 1).unwrap();
    // Somebody looks at the account, so that it is in memory.
    stage.credentials(0, JULIET).unwrap();
    stage
}

#[test]
fn each_reads_what_the_one_before_has_written() {
    let mut stage = stage();
    let log = Arc::new(Mutex::new(Vec::new()));
    give(&mut stage, Errand::write(|_, _| Some(Change::new(vec![put("a", "x")], |_, _, _| ()))));
    for letter in ['1', '2', '3'] {
        give(&mut stage, append(letter, &log));
    }
    stage.settle();
    assert_eq!(*log.lock().unwrap(), ["x1", "x12", "x123"]);
}

#[test]
fn one_more_than_the_bound_is_refused_at_once() {
    let mut stage = stage();
    stage.hold_store(true);
    let answers = Arc::new(Mutex::new((0, 0)));
    for _ in 0..ERRANDS_MAX + 3 {
        let answers = Arc::clone(&answers);
        give(
            &mut stage,
            Errand::read(vec![key("a")], move |_, _, found| {
                let mut answers = answers.lock().unwrap();
                if found.is_ok() {
                    answers.0 += 1
                } else {
                    answers.1 += 1
                }
                None
            }),
        );
    }
    assert_eq!(*answers.lock().unwrap(), (0, 2), "one is under way, and the rest waits");
    stage.hold_store(false);
    assert_eq!(*answers.lock().unwrap(), (ERRANDS_MAX + 1, 2));
}

#[test]
fn a_removal_waits_for_them() {
    let mut stage = stage();
    let log = Arc::new(Mutex::new(Vec::new()));
    stage.hold_store(true);
    give(&mut stage, Errand::write(|_, _| Some(Change::new(vec![put("a", "x")], |_, _, _| ()))));
    give(&mut stage, append('1', &log));
    let removal = stage.begin_remove_account(JULIET);
    stage.hold_store(false);
    assert!(matches!(*removal.lock().unwrap(), Some(Ok(_))));
    assert_eq!(*log.lock().unwrap(), ["x1"]);
}
