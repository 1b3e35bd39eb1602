//! Commands: keys replaced, accounts made and removed, sessions listed and kicked.

use super::*;
use crate::effects::login::Denied;
use crate::effects::turn::command::{
    Expected, Kick, Kicked, ListSessions, Refusal, RemoveAccount, SetAccount, ShowAccount,
};
use crate::testing::Stage;
use crate::wire::Closed;

#[test]
fn a_new_key_voids_sessions_and_resumptions_at_once() {
    let mut stage = Stage::new(2);
    let (awake, _) = stage.arrive(ROMEO, "awake");
    let (asleep, id) = stage.arrive(ROMEO, "asleep");
    stage.lose(asleep, Closed::Lost);
    stage.set_account(ROMEO, 2).unwrap();
    assert_eq!(stage.closed_with(awake).unwrap().unwrap().condition, "not-authorized");
    assert!(stage.resume(ROMEO, &id, 0).1.is_err());
    let client = stage.connect(ROMEO);
    assert_eq!(stage.bind(client, ROMEO, 1, None).unwrap_err(), Denied::NotAuthorized);
    assert!(stage.bind(client, ROMEO, 2, None).is_ok());
}

#[test]
fn messages_outlive_a_new_key() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.set_account(ROMEO, 1).unwrap();
    stage.send(juliet, &chat(ROMEO, "x"));
    stage.set_account(ROMEO, 2).unwrap();
    let romeo = stage.connect(ROMEO);
    stage.bind(romeo, ROMEO, 2, Some("new")).unwrap();
    stage.send(romeo, "<presence/>");
    assert_eq!(heard(&mut stage, romeo), ["x"]);
}

#[test]
fn expectations_are_checked() {
    let mut stage = Stage::new(2);
    stage.set_account(ROMEO, 5).unwrap();
    let record = stage.command(ROMEO, ShowAccount).unwrap().record;
    for expected in [Expected::Absent, Expected::Generation(4)] {
        let action = SetAccount { record: record.clone(), expected };
        assert_eq!(stage.command(ROMEO, action).unwrap_err(), Refusal::Conflict);
    }
    let action = SetAccount { record: record.clone(), expected: Expected::Generation(5) };
    assert!(stage.command(ROMEO, action).is_ok());
    let action = SetAccount { record, expected: Expected::Generation(5) };
    assert_eq!(stage.command(JULIET, action).unwrap_err(), Refusal::NoSuchAccount);
}

#[test]
fn an_account_that_could_not_be_saved_is_not_there() {
    let mut stage = Stage::new(2);
    stage.engine.fail_next(chaski_store::StoreError::Full);
    assert!(matches!(stage.set_account(ROMEO, 1).unwrap_err(), Refusal::Unavailable(_)));
    assert!(stage.credentials(0, ROMEO).unwrap().is_none());
    stage.set_account(ROMEO, 1).unwrap();
    assert!(stage.credentials(0, ROMEO).unwrap().is_some());
}

#[test]
fn a_removed_account_is_gone_with_its_mailbox() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(juliet);
    stage.send(juliet, &chat(ROMEO, "x"));
    assert!(stage.command(ROMEO, RemoveAccount).is_ok());
    assert_eq!(stage.closed_with(romeo).unwrap().unwrap().condition, "not-authorized");
    assert_eq!(stage.waiting(ROMEO), 0);
    stage.received(juliet);
    stage.send(juliet, &chat(ROMEO, "y"));
    assert_eq!(condition(&stage.stanzas(juliet)[0]), "service-unavailable");
    assert_eq!(stage.command(ROMEO, RemoveAccount).unwrap_err(), Refusal::NoSuchAccount);
    stage.crash();
    assert!(stage.credentials(0, ROMEO).unwrap().is_none());
}

#[test]
fn the_key_of_a_removed_account_does_not_open_its_successor() {
    let mut stage = Stage::new(2);
    stage.set_account(ROMEO, 1).unwrap();
    let in_login = stage.connect(ROMEO);
    for _ in 0..2 {
        stage.command(ROMEO, RemoveAccount).unwrap();
        stage.set_account(ROMEO, 1).unwrap();
        assert_eq!(stage.bind(in_login, ROMEO, 1, None).unwrap_err(), Denied::NotAuthorized);
    }
    assert!(stage.bind(in_login, ROMEO, 3, None).is_ok());
}

#[test]
fn who_stays_for_days_is_seen() {
    let mut stage = Stage::new(2);
    let (romeo, id) = stage.arrive(ROMEO, "orchard");
    let seen = |stage: &mut Stage| stage.command(ROMEO, ShowAccount).unwrap().record.seen_unix_ms;
    const HOURS_7_MS: u64 = 7 * 3_600_000;
    let at_first = seen(&mut stage);
    stage.now_ms += HOURS_7_MS;
    stage.send(romeo, "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
    let by_stanza = seen(&mut stage);
    assert!(by_stanza >= at_first + HOURS_7_MS);
    stage.now_ms += HOURS_7_MS;
    let h = stage.counted(romeo);
    assert!(stage.resume(ROMEO, &id, h).1.is_ok());
    assert!(seen(&mut stage) >= by_stanza + HOURS_7_MS);
}

#[test]
fn sessions_are_listed_and_kicked() {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (asleep, _) = stage.arrive(ROMEO, "asleep");
    stage.lose(asleep, Closed::Lost);
    let sessions = stage.command(ROMEO, ListSessions).unwrap();
    assert_eq!(sessions.len(), 2);
    assert!(sessions[0].available && !sessions[0].hibernating && sessions[1].hibernating);
    let kick = Kick { resource: Some("orchard".into()) };
    assert_eq!(stage.command(ROMEO, kick), Ok(Kicked { sessions: 1 }));
    assert!(stage.closed_with(romeo).unwrap().is_some());
    assert_eq!(stage.command(ROMEO, Kick { resource: None }), Ok(Kicked { sessions: 1 }));
}

#[test]
fn commands_for_one_account_take_their_turns() {
    let mut stage = Stage::new(1);
    stage.set_account(ROMEO, 1).unwrap();
    stage.hold_store(true);
    let outcomes: Vec<_> = (2..5).map(|generation| stage.begin_set_account(ROMEO, generation)).collect();
    stage.hold_store(false);
    assert!(outcomes.iter().all(|outcome| matches!(*outcome.lock().unwrap(), Some(Ok(_)))));
    assert_eq!(stage.credentials(0, ROMEO).unwrap().unwrap().generation, 4);
}
