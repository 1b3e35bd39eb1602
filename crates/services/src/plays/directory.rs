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
