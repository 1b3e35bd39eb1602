//! Accounts coming into memory and leaving it.

use super::*;
use crate::realm::Limits;
use crate::testing::Stage;
use crate::wire::Closed;

#[test]
fn what_arrives_while_records_are_loaded_is_parked_in_order() {
    let mut stage = Stage::new(1);
    stage.set_account(ROMEO, 1).unwrap();
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    stage.crash();
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    stage.hold_store(true);
    for body in ["one", "two", "three"] {
        stage.send(juliet, &chat(ROMEO, body));
    }
    assert_eq!(stage.waiting(ROMEO), 0);
    stage.hold_store(false);
    assert_eq!(stage.waiting(ROMEO), 3);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    assert_eq!(heard(&mut stage, romeo), ["one", "two", "three"]);
}

#[test]
fn parking_is_bounded() {
    let mut stage = Stage::with_limits(1, Limits { parked_per_account: 2, ..Default::default() });
    stage.set_account(ROMEO, 1).unwrap();
    stage.crash();
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    stage.hold_store(true);
    for body in ["one", "two", "three"] {
        stage.send(juliet, &chat(ROMEO, body));
    }
    let got = stage.stanzas(juliet);
    assert_eq!(got.len(), 1);
    assert_eq!(condition(&got[0]), "resource-constraint");
    stage.hold_store(false);
    assert_eq!(stage.waiting(ROMEO), 2);
}

#[test]
fn idle_accounts_leave_memory_and_come_back() {
    let mut stage = Stage::with_limits(1, Limits { idle_accounts: 2, ..Default::default() });
    let people: Vec<String> = (0..10).map(|number| format!("+1555123010{number}")).collect();
    for local in &people {
        let client = stage.login(local, "phone");
        stage.lose(client, Closed::Clean);
    }
    assert!(stage.resident(0) <= 3, "{}", stage.resident(0));
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    for local in &people {
        stage.send(juliet, &chat(local, "x"));
        assert_eq!(stage.waiting(local), 1);
    }
    assert_eq!(stage.stanzas(juliet), [""; 0]);
    assert!(stage.resident(0) <= 4, "{}", stage.resident(0));
}

/// Memory is so short that whoever is idle leaves at once, but not before what the end of a session or a load is for is done.
#[test]
fn an_account_stays_until_what_it_came_for_is_done() {
    let mut stage = Stage::with_limits(1, Limits { idle_accounts: 0, ..Default::default() });
    for round in 0..3 {
        let (romeo, _) = stage.arrive(ROMEO, "orchard");
        stage.received(romeo);
        stage.lose(romeo, Closed::Clean);
        assert_eq!(stage.resident(0), 1, "{round}: the last one");
        let (juliet, _) = stage.arrive(JULIET, "balcony");
        stage.send(juliet, &chat(ROMEO, "x"));
        assert_eq!(stage.waiting(ROMEO), round + 1);
        stage.lose(juliet, Closed::Clean);
    }
}

/// What waits on disk for somebody who is not in memory takes no memory in the store either, whoever has asked for the account.
#[test]
fn who_leaves_memory_leaves_the_store() {
    let mut stage = Stage::on_disk(1, Limits { idle_accounts: 0, ..Default::default() }, 1);
    for local in [ROMEO, NURSE, JULIET] {
        stage.set_account(local, 1).unwrap();
    }
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    for to in [ROMEO, NURSE, ROMEO] {
        stage.send(juliet, &chat(to, "x"));
    }
    // Each has pushed out the one before; what is in memory only has moved to disk after a minute.
    for _ in 0..8 {
        stage.pass(10_000);
        let (juliet, _) = stage.arrive(JULIET, "balcony");
        stage.send(juliet, &chat(ROMEO, "x"));
    }
    assert_eq!(stage.disk_metric("chaski_store_mailboxes"), 1);
    assert_eq!((stage.waiting(ROMEO), stage.waiting(NURSE)), (10, 0));
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    assert_eq!(heard(&mut stage, romeo).len(), 10);
    let (nurse, _) = stage.arrive(NURSE, "street");
    assert_eq!(heard(&mut stage, nurse), ["x"]);
}
