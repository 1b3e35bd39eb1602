//! Numbers that come and go: who has them is told, and what goes leaves nothing.

use super::*;

#[test]
fn a_number_that_registers_later_appears() {
    let mut stage = Stage::new(2);
    let romeo = arrive(&mut stage, ROMEO);
    sync(&mut stage, romeo, &[JULIET, NURSE]);
    stage.received(romeo);
    stage.set_account(JULIET, 1).unwrap();
    assert_eq!(seen(&mut stage, romeo), [format!("items {JULIET} none")]);
    stage.set_account(JULIET, 2).unwrap();
    assert_eq!(seen(&mut stage, romeo), [""; 0], "a new key is no news");
}

#[test]
fn whoever_is_second_sees_the_first() {
    for hold in [true, false] {
        let mut stage = Stage::new(2);
        let romeo = arrive(&mut stage, ROMEO);
        stage.hold_store(hold);
        let making = stage.begin_set_account(JULIET, 1);
        sync(&mut stage, romeo, &[JULIET]);
        stage.hold_store(false);
        assert!(making.lock().unwrap().take().unwrap().is_ok());
        assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} none"));
    }
}

#[test]
fn a_number_that_leaves_disappears() {
    let mut stage = Stage::new(2);
    let romeo = arrive(&mut stage, ROMEO);
    let juliet = arrive(&mut stage, JULIET);
    sync(&mut stage, romeo, &[JULIET]);
    sync(&mut stage, juliet, &[ROMEO]);
    stage.received(romeo);
    assert_eq!(stage.command(JULIET, RemoveAccount).map(drop), Ok(()));
    let told = seen(&mut stage, romeo);
    assert!(told.contains(&format!("unavailable from {JULIET}/phone")), "{told:?}");
    assert!(told.contains(&format!("items {JULIET} remove")), "{told:?}");
    assert!(!told.iter().any(|stanza| stanza.starts_with("unsubscribe")), "{told:?}");
    // Whoever gets the number next has nobody, and sees nobody.
    stage.set_account(JULIET, 1).unwrap();
    assert_eq!(seen(&mut stage, romeo), [format!("items {JULIET} none")]);
    let heir = stage.connect(JULIET);
    stage.bind(heir, JULIET, 2, None).unwrap();
    stage.send(heir, "<presence/>");
    assert_eq!(roster(&mut stage, heir), "items ");
    assert_eq!(change(&mut stage, JULIET, BookChange::Show).unwrap().numbers, 0);
    stage.received(heir);
    stage.send(romeo, "<presence/>");
    assert_eq!(seen(&mut stage, heir), [""; 0]);
}

#[test]
fn a_removal_waits_for_the_sync_before_it_and_the_one_after_it_is_refused() {
    let mut stage = Stage::new(2);
    stage.set_account(ROMEO, 1).unwrap();
    stage.hold_store(true);
    let number = account(JULIET).to_bits();
    let first = stage.begin(ROMEO, BookChange::Replace(vec![number]));
    let removal = stage.begin(ROMEO, RemoveAccount);
    let second = stage.begin(ROMEO, BookChange::Replace(vec![number]));
    stage.hold_store(false);
    stage.pass(1_000);
    assert!(first.lock().unwrap().take().expect("answered").is_ok());
    assert!(removal.lock().unwrap().take().expect("answered").is_ok());
    // It may have been before the removal or after it, but it left nothing.
    assert!(second.lock().unwrap().take().is_some());
    stage.set_account(ROMEO, 1).unwrap();
    assert_eq!(change(&mut stage, ROMEO, BookChange::Show).unwrap().numbers, 0);
}

#[test]
fn nothing_is_written_into_the_book_of_an_account_that_is_being_removed() {
    let mut stage = Stage::new(2);
    stage.set_account(ROMEO, 1).unwrap();
    stage.hold_store(true);
    let removal = stage.begin(ROMEO, RemoveAccount);
    let number = account(JULIET).to_bits();
    let late = stage.begin(ROMEO, BookChange::Replace(vec![number]));
    stage.hold_store(false);
    assert!(removal.lock().unwrap().take().expect("answered").is_ok());
    assert!(matches!(late.lock().unwrap().take(), Some(Err(Refusal::NoSuchAccount))));
    stage.set_account(ROMEO, 1).unwrap();
    assert_eq!(change(&mut stage, ROMEO, BookChange::Show).unwrap().numbers, 0);
}

#[test]
fn a_removal_that_fails_leaves_an_account_that_works() {
    let mut stage = Stage::new(1);
    let romeo = arrive(&mut stage, ROMEO);
    stage.engine.fail_next(chaski_store::StoreError::Full);
    assert!(matches!(stage.command(ROMEO, RemoveAccount), Err(Refusal::Unavailable(_))));
    sync(&mut stage, romeo, &[JULIET]);
    assert_eq!(seen(&mut stage, romeo), ["found "]);
    assert!(stage.credentials(0, ROMEO).unwrap().is_some());
    assert!(stage.command(ROMEO, RemoveAccount).is_ok());
}

#[test]
fn everybody_who_has_the_number_is_told_page_by_page() {
    let mut stage = Stage::new(3);
    let crowd: Vec<String> = (0..1_300).map(|last| format!("+1555124{last:04}")).collect();
    for local in &crowd {
        stage.set_account(local, 1).unwrap();
        replace(&mut stage, local, &[JULIET]).unwrap();
    }
    let there: Vec<Client> = crowd.iter().step_by(100).map(|local| arrive(&mut stage, local)).collect();
    stage.set_account(JULIET, 1).unwrap();
    for &client in &there {
        assert_eq!(seen(&mut stage, client), [format!("items {JULIET} none")]);
    }
    stage.command(JULIET, RemoveAccount).unwrap();
    for &client in &there {
        assert_eq!(seen(&mut stage, client), [format!("items {JULIET} remove")]);
    }
}

#[test]
fn a_full_roster_lists_no_more_and_fails_nothing() {
    let mut stage = Stage::turned(1, &[("roster.items", 2)]);
    let romeo = arrive(&mut stage, ROMEO);
    let others = ["+15551240001", "+15551240002", "+15551240003"];
    for local in others {
        stage.set_account(local, 1).unwrap();
    }
    sync(&mut stage, romeo, &others);
    let told = seen(&mut stage, romeo);
    assert_eq!(told[0].matches('=').count(), 3, "all are found");
    assert_eq!(told.len(), 3, "two are listed");
    stage.command("+15551240001", RemoveAccount).unwrap();
    assert_eq!(roster(&mut stage, romeo), "items +15551240002 none");
    stage.crash();
    let romeo = arrive(&mut stage, ROMEO);
    assert_eq!(roster(&mut stage, romeo), "items +15551240002 none, +15551240003 none");
}

#[test]
fn who_cancels_the_account_in_band_is_told_and_then_gone() {
    let mut stage = Stage::new(2);
    let (romeo, juliet) = (arrive(&mut stage, ROMEO), arrive(&mut stage, JULIET));
    sync(&mut stage, juliet, &[ROMEO]);
    stage.received(juliet);
    let register = |kind: &str, inside: &str| {
        format!("<iq type='{kind}' id='u'><query xmlns='jabber:iq:register'>{inside}</query></iq>")
    };
    stage.send(romeo, &register("get", ""));
    assert!(stage.stanzas(romeo)[0].contains("<registered/>"));
    stage.send(romeo, &register("set", "<remove/><username>x</username>"));
    assert_eq!(seen(&mut stage, romeo), ["error bad-request"]);
    stage.send(romeo, &register("set", "<username>x</username><password>y</password>"));
    assert_eq!(seen(&mut stage, romeo), ["error not-allowed"]);
    stage.send(romeo, &register("set", "<remove/>"));
    assert!(stage.stanzas(romeo).pop().is_some_and(|answer| answer.contains("type='result'")));
    assert_eq!(stage.closed_with(romeo).flatten().map(|end| end.condition), Some("not-authorized"));
    assert_eq!(seen(&mut stage, juliet), [format!("items {ROMEO} remove")]);
    assert!(stage.credentials(0, ROMEO).unwrap().is_none());
}

#[test]
fn nothing_is_kept_for_a_session_whose_account_is_being_removed() {
    let mut stage = Stage::new(2);
    let romeo = arrive(&mut stage, ROMEO);
    stage.received(romeo);
    stage.hold_store(true);
    let removal = stage.begin(ROMEO, RemoveAccount);
    let item = format!("<item jid='{JULIET}@x.example'/>");
    stage.send(romeo, &format!("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>{item}</block></iq>"));
    let answer = stage.received(romeo).concat();
    assert!(answer.contains("type='error'") || answer.contains("type=\"error\""), "{answer}");
    stage.hold_store(false);
    stage.pass(1_000);
    assert!(removal.lock().unwrap().take().expect("answered").is_ok());
}
