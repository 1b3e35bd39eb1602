//! Who have each other see each other; and what people agreed on themselves stays apart from that.

use super::*;

/// Both have each other and are there; what that brought is dropped.
fn acquainted(stage: &mut Stage) -> (Client, Client) {
    let (romeo, juliet) = (arrive(stage, ROMEO), arrive(stage, JULIET));
    sync(stage, romeo, &[JULIET]);
    sync(stage, juliet, &[ROMEO]);
    stage.received(romeo);
    stage.received(juliet);
    (romeo, juliet)
}

#[test]
fn no_ceremony() {
    let mut stage = Stage::new(2);
    let (romeo, juliet) = (arrive(&mut stage, ROMEO), arrive(&mut stage, JULIET));
    sync(&mut stage, romeo, &[JULIET]);
    stage.received(romeo);
    assert_eq!(seen(&mut stage, juliet), [""; 0], "being in a book is not told");
    sync(&mut stage, juliet, &[ROMEO]);
    let (to_romeo, to_juliet) = (seen(&mut stage, romeo), seen(&mut stage, juliet));
    for (told, other) in [(&to_romeo, JULIET), (&to_juliet, ROMEO)] {
        assert!(told.contains(&format!("items {other} both")), "{told:?}");
        assert!(told.contains(&format!("available from {other}/phone")), "{told:?}");
    }
    stage.send(romeo, "<presence><show>away</show></presence>");
    assert_eq!(seen(&mut stage, juliet), [format!("available from {ROMEO}/phone")]);
    stage.crash();
    let juliet = arrive(&mut stage, JULIET);
    let romeo = arrive(&mut stage, ROMEO);
    assert_eq!(
        seen(&mut stage, juliet),
        [format!("available from {ROMEO}/phone")],
        "after a restart as before"
    );
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} both"));
}

#[test]
fn one_who_strikes_the_other_out_is_seen_no_more() {
    let mut stage = Stage::new(2);
    let (romeo, juliet) = acquainted(&mut stage);
    sync(&mut stage, romeo, &[]);
    let told = seen(&mut stage, romeo);
    assert!(told.contains(&format!("items {JULIET} remove")), "{told:?}");
    assert!(told.contains(&format!("unavailable from {JULIET}/phone")), "{told:?}");
    let told = seen(&mut stage, juliet);
    assert!(told.contains(&format!("items {ROMEO} none")), "{told:?}");
    assert!(told.contains(&format!("unavailable from {ROMEO}/phone")), "{told:?}");
    for (client, other) in [(romeo, juliet), (juliet, romeo)] {
        stage.send(client, "<presence/>");
        assert_eq!(seen(&mut stage, other), [""; 0]);
        stage.received(client);
    }
}

#[test]
fn both_at_once_in_any_order_of_the_store() {
    for hold in [true, false] {
        let mut stage = Stage::new(2);
        let (romeo, juliet) = (arrive(&mut stage, ROMEO), arrive(&mut stage, JULIET));
        for (numbers, subscription) in [([JULIET, ROMEO], "both"), ([NURSE, NURSE], "gone")] {
            stage.hold_store(hold);
            sync(&mut stage, romeo, &numbers[..1]);
            sync(&mut stage, juliet, &numbers[1..]);
            stage.hold_store(false);
            let expected = |other| match subscription {
                "gone" => "items ".to_owned(),
                _ => format!("items {other} {subscription}"),
            };
            assert_eq!(roster(&mut stage, romeo), expected(JULIET));
            assert_eq!(roster(&mut stage, juliet), expected(ROMEO));
        }
        stage.send(romeo, "<presence/>");
        stage.received(romeo);
        assert_eq!(seen(&mut stage, juliet), [""; 0]);
    }
}

#[test]
fn a_hint_that_was_lost_costs_a_delay() {
    let mut stage = Stage::with_limits(2, Limits { undelivered_envelopes: 0, ..Limits::default() });
    let others = (0..).map(|last| format!("+1555123{last:04}")).filter(|local| *local != ROMEO);
    let other = others.into_iter().find(|local| stage.owner(local) != stage.owner(ROMEO)).unwrap();
    let (romeo, client) = (arrive(&mut stage, ROMEO), arrive(&mut stage, &other));
    sync(&mut stage, client, &[ROMEO]);
    stage.deafen(stage.owner(&other), true);
    sync(&mut stage, romeo, &[&other]);
    stage.deafen(stage.owner(&other), false);
    assert_eq!(roster(&mut stage, romeo), format!("items {other} both"));
    assert_eq!(roster(&mut stage, client), format!("items {ROMEO} none"), "it was not told");
    stage.crash();
    let client = arrive(&mut stage, &other);
    assert_eq!(roster(&mut stage, client), format!("items {ROMEO} both"));
}

#[test]
fn ordinary_subscriptions_stay() {
    let mut stage = Stage::new(2);
    let (romeo, juliet) = acquainted(&mut stage);
    stage.send(romeo, &format!("<presence type='subscribe' to='{}'/>", jid(JULIET)));
    assert!(seen(&mut stage, juliet).is_empty(), "nobody is asked for what the books allow");
    sync(&mut stage, romeo, &[]);
    sync(&mut stage, juliet, &[]);
    assert_eq!(roster(&mut stage, juliet), "items ");
    for (asker, asked, who) in [(romeo, juliet, JULIET), (juliet, romeo, ROMEO)] {
        stage.send(asker, &format!("<presence type='subscribe' to='{}'/>", jid(who)));
        let other = if who == JULIET { ROMEO } else { JULIET };
        stage.send(asked, &format!("<presence type='subscribed' to='{}'/>", jid(other)));
    }
    sync(&mut stage, romeo, &[JULIET]);
    sync(&mut stage, juliet, &[ROMEO]);
    sync(&mut stage, romeo, &[]);
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} both"));
    assert_eq!(roster(&mut stage, juliet), format!("items {ROMEO} both"));
    stage.crash();
    let romeo = arrive(&mut stage, ROMEO);
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} both"));
}

#[test]
fn a_change_of_the_roster_that_fails_takes_back_nothing_of_the_book() {
    let mut stage = Stage::new(2);
    let (romeo, juliet) = acquainted(&mut stage);
    stage.hold_store(true);
    stage.engine.fail_next(chaski_store::StoreError::Full);
    let item = format!("<item jid='{}' name='Love'/>", jid(JULIET));
    stage.send(romeo, &format!("<iq type='set' id='n'><query xmlns='jabber:iq:roster'>{item}</query></iq>"));
    sync(&mut stage, juliet, &[]);
    stage.hold_store(false);
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} none"));
    stage.send(romeo, "<presence/>");
    stage.received(romeo);
    stage.received(juliet);
    stage.send(romeo, "<presence/>");
    assert_eq!(seen(&mut stage, juliet), [""; 0]);
}

#[test]
fn who_has_blocked_the_asker_is_in_the_answer_like_anybody() {
    let mut stage = Stage::new(2);
    let (romeo, juliet) = acquainted(&mut stage);
    let item = format!("<item jid='{}'/>", jid(ROMEO));
    stage
        .send(juliet, &format!("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>{item}</block></iq>"));
    assert!(seen(&mut stage, romeo).contains(&format!("unavailable from {JULIET}/phone")));
    sync(&mut stage, romeo, &[JULIET]);
    assert_eq!(seen(&mut stage, romeo), [format!("found {JULIET}={JULIET}")]);
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} both"), "offline is all it looks like");
    // Coming into the book anew tells no more than being in it.
    sync(&mut stage, romeo, &[]);
    stage.received(romeo);
    sync(&mut stage, romeo, &[JULIET]);
    let told = seen(&mut stage, romeo);
    assert!(!told.iter().any(|stanza| stanza.starts_with("available")), "{told:?}");
}
