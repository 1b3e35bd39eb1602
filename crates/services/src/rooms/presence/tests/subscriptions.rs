//! RFC 6121 §3: asking, approving, cancelling, and what each side's clients are shown.

use super::*;
use crate::wire::Closed;

#[test]
fn juliet_subscribes_to_romeo_and_he_approves() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));

    tell(&mut stage, juliet, "subscribe", ROMEO);
    assert_eq!(seen(&mut stage, juliet), ["item +15551230001 none asked"]);
    assert_eq!(seen(&mut stage, romeo), ["subscribe from +15551230002"]);

    tell(&mut stage, romeo, "subscribed", JULIET);
    assert_eq!(seen(&mut stage, romeo), ["item +15551230002 from"]);
    assert_eq!(
        seen(&mut stage, juliet),
        ["subscribed from +15551230001", "item +15551230001 to", "available from +15551230001/orchard"]
    );
}

#[test]
fn what_romeo_wrote_into_his_request_reaches_juliet() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    let request = "<status>It is my lady</status><nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick>";
    stage.send(
        romeo,
        &format!("<presence type='subscribe' id='s1' to='{}/x'>{request}</presence>", jid(JULIET)),
    );
    let got = stage.stanzas(juliet).remove(0);
    assert!(got.contains(request) && got.contains("id='s1'"), "{got}");
    assert!(got.contains(&format!("to='{}'", jid(JULIET))), "the resource is taken off: {got}");
    assert!(got.contains(&format!("from='{}'", jid(ROMEO))), "{got}");
}

#[test]
fn a_request_waits_for_who_is_away_and_is_shown_at_each_arrival() {
    let mut stage = Stage::new(2);
    stage.set_account(JULIET, 1).unwrap();
    let romeo = arrive(&mut stage, ROMEO, "orchard");
    tell(&mut stage, romeo, "subscribe", JULIET);
    stage.crash();
    for resource in ["balcony", "chamber"] {
        let juliet = stage.login(JULIET, resource);
        stage.send(juliet, "<presence/>");
        assert!(seen(&mut stage, juliet).contains(&"subscribe from +15551230001".to_owned()), "{resource}");
    }
    let juliet = stage.login(JULIET, "hall");
    tell(&mut stage, juliet, "unsubscribed", ROMEO);
    stage.send(juliet, "<presence/>");
    assert!(!seen(&mut stage, juliet).iter().any(|said| said.starts_with("subscribe")), "answered");
}

#[test]
fn a_denied_request_leaves_nothing() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    tell(&mut stage, romeo, "subscribe", JULIET);
    seen(&mut stage, juliet);
    tell(&mut stage, juliet, "unsubscribed", ROMEO);
    assert_eq!(seen(&mut stage, juliet), [""; 0], "she never had him in her roster");
    assert_eq!(
        seen(&mut stage, romeo),
        ["item +15551230002 none asked", "unsubscribed from +15551230002", "item +15551230002 none"]
    );
}

#[test]
fn asking_again_changes_nothing_and_is_not_shown_again() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    tell(&mut stage, romeo, "subscribe", JULIET);
    seen(&mut stage, romeo);
    tell(&mut stage, romeo, "subscribe", JULIET);
    assert_eq!(seen(&mut stage, romeo), [""; 0]);
    assert_eq!(seen(&mut stage, juliet), ["subscribe from +15551230001"]);
}

#[test]
fn who_may_see_already_is_approved_without_the_user() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    befriend(&mut stage, (juliet, JULIET), (romeo, ROMEO));
    tell(&mut stage, romeo, "subscribe", JULIET);
    assert_eq!(seen(&mut stage, juliet), [""; 0]);
}

#[test]
fn a_request_that_was_approved_beforehand() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    tell(&mut stage, juliet, "subscribed", ROMEO);
    assert_eq!(seen(&mut stage, juliet), ["item +15551230001 none approved"]);
    assert_eq!(seen(&mut stage, romeo), [""; 0], "he is not told");
    tell(&mut stage, romeo, "subscribe", JULIET);
    assert_eq!(seen(&mut stage, juliet), ["item +15551230001 from"]);
    assert_eq!(
        seen(&mut stage, romeo),
        [
            "item +15551230002 none asked",
            "subscribed from +15551230002",
            "item +15551230002 to",
            "available from +15551230002/balcony"
        ]
    );
}

#[test]
fn juliet_takes_her_approval_back() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    befriend(&mut stage, (juliet, JULIET), (romeo, ROMEO));
    tell(&mut stage, juliet, "unsubscribed", ROMEO);
    assert_eq!(seen(&mut stage, juliet), ["item +15551230001 to"]);
    assert_eq!(
        seen(&mut stage, romeo),
        ["unavailable from +15551230002/balcony", "unsubscribed from +15551230002", "item +15551230002 from"]
    );
    stage.send(juliet, "<presence><show>away</show></presence>");
    assert_eq!(seen(&mut stage, romeo), [""; 0]);
}

#[test]
fn romeo_no_longer_wants_to_see_juliet() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    befriend(&mut stage, (juliet, JULIET), (romeo, ROMEO));
    tell(&mut stage, romeo, "unsubscribe", JULIET);
    assert_eq!(seen(&mut stage, romeo), ["item +15551230002 from", "unavailable from +15551230002/balcony"]);
    assert_eq!(seen(&mut stage, juliet), ["unsubscribe from +15551230001", "item +15551230001 to"]);
}

#[test]
fn removing_an_item_cancels_both_ways() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    befriend(&mut stage, (juliet, JULIET), (romeo, ROMEO));
    let item = format!("<item jid='{}' subscription='remove'/>", jid(ROMEO));
    stage.send(juliet, &format!("<iq type='set' id='x'><query xmlns='jabber:iq:roster'>{item}</query></iq>"));
    let got = seen(&mut stage, juliet);
    assert_eq!(got[..2], ["item +15551230001 remove", "result from "]);
    assert_eq!(
        seen(&mut stage, romeo),
        [
            "unavailable from +15551230002/balcony",
            "unsubscribe from +15551230002",
            "item +15551230002 to",
            "unsubscribed from +15551230002",
            "item +15551230002 none",
        ]
    );
    assert_eq!(roster(&mut stage, juliet), "");
}

#[test]
fn a_number_without_account_looks_like_one_who_does_not_answer() {
    let mut stage = Stage::new(2);
    let romeo = arrive(&mut stage, ROMEO, "orchard");
    tell(&mut stage, romeo, "subscribe", "+15559999999");
    assert_eq!(seen(&mut stage, romeo), ["item +15559999999 none asked"]);
}

#[test]
fn refused_requests_leave_no_trace() {
    let mut stage = Stage::turned(2, &[("roster.items", 1)]);
    let romeo = arrive(&mut stage, ROMEO, "orchard");
    let subscribe = |to: &str| format!("<presence type='subscribe' to='{to}'/>");
    for (stanza, error) in [
        (subscribe("a@elsewhere.example"), "error remote-server-not-found"),
        (subscribe(&jid(ROMEO)), "error not-allowed"),
        (subscribe("@"), "error jid-malformed"),
        ("<presence type='subscribe'/>".to_owned(), "error bad-request"),
        ("<presence type='strange'/>".to_owned(), "error bad-request"),
    ] {
        stage.send(romeo, &stanza);
        assert_eq!(seen(&mut stage, romeo), [error], "{stanza}");
    }
    assert_eq!(roster(&mut stage, romeo), "");
    tell(&mut stage, romeo, "subscribe", JULIET);
    seen(&mut stage, romeo);
    tell(&mut stage, romeo, "subscribe", NURSE);
    assert_eq!(seen(&mut stage, romeo), ["error resource-constraint"]);
}

#[test]
fn too_many_requests_drop_the_newest() {
    let mut stage = Stage::turned(2, &[("roster.pending_requests", 1)]);
    let juliet = arrive(&mut stage, JULIET, "balcony");
    let (romeo, nurse) = (arrive(&mut stage, ROMEO, "orchard"), arrive(&mut stage, NURSE, "kitchen"));
    tell(&mut stage, romeo, "subscribe", JULIET);
    tell(&mut stage, nurse, "subscribe", JULIET);
    assert_eq!(seen(&mut stage, juliet), ["subscribe from +15551230001"]);
    tell(&mut stage, juliet, "subscribed", ROMEO);
    seen(&mut stage, juliet);
    tell(&mut stage, nurse, "subscribe", JULIET);
    assert_eq!(seen(&mut stage, juliet), ["subscribe from +15551230003"], "it can be made again");
}

#[test]
fn subscriptions_survive_a_crash() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    befriend(&mut stage, (juliet, JULIET), (romeo, ROMEO));
    stage.crash();
    let romeo = arrive(&mut stage, ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    stage.send(juliet, "<presence/>");
    assert_eq!(seen(&mut stage, romeo), ["available from +15551230002/balcony"]);
    assert_eq!(
        seen(&mut stage, juliet),
        ["available from +15551230002/balcony", "available from +15551230001/orchard"]
    );
    assert_eq!(roster(&mut stage, juliet), "item +15551230001 both");
}

#[test]
fn a_removed_account_takes_its_subscriptions_along() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    befriend(&mut stage, (juliet, JULIET), (romeo, ROMEO));
    stage.command(JULIET, crate::effects::turn::command::RemoveAccount).unwrap();
    let got = seen(&mut stage, romeo);
    assert_eq!(got[0], "unavailable from +15551230002/balcony", "{got:?}");
    assert_eq!(roster(&mut stage, romeo), "item +15551230002 none");
}

#[test]
fn every_session_that_watches_the_roster_sees_the_change() {
    let mut stage = Stage::new(2);
    let (phone, laptop) = (arrive(&mut stage, ROMEO, "phone"), arrive(&mut stage, ROMEO, "laptop"));
    let silent = stage.login(ROMEO, "silent");
    stage.received(phone);
    stage.received(laptop);
    tell(&mut stage, phone, "subscribe", JULIET);
    assert_eq!(seen(&mut stage, phone), ["item +15551230002 none asked"]);
    assert_eq!(seen(&mut stage, laptop), ["item +15551230002 none asked"]);
    assert_eq!(seen(&mut stage, silent), [""; 0], "it has not asked for the roster");
    stage.lose(laptop, Closed::Clean);
    stage.lose(silent, Closed::Clean);
}

#[test]
fn nothing_is_told_before_it_is_durable() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    tell(&mut stage, romeo, "subscribe", JULIET);
    stage.received(romeo);
    stage.received(juliet);
    stage.hold_store(true);
    tell(&mut stage, juliet, "subscribed", ROMEO);
    tell(&mut stage, juliet, "subscribe", ROMEO);
    assert_eq!(seen(&mut stage, juliet), [""; 0]);
    assert_eq!(seen(&mut stage, romeo), [""; 0]);
    stage.hold_store(false);
    assert_eq!(seen(&mut stage, juliet), ["item +15551230001 from", "item +15551230001 from asked"]);
    assert_eq!(
        seen(&mut stage, romeo),
        [
            "subscribed from +15551230002",
            "item +15551230002 to",
            "available from +15551230002/balcony",
            "subscribe from +15551230002",
        ]
    );
}

#[test]
fn what_could_not_be_saved_is_taken_back_and_said() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    // The first stanza to her is paid for before, so that the roster is what is written next.
    stage.send(romeo, &format!("<message to='{}'><body>a rose</body></message>", jid(JULIET)));
    stage.received(romeo);
    stage.received(juliet);
    stage.hold_store(true);
    stage.engine.fail_next(chaski_store::StoreError::Full);
    tell(&mut stage, romeo, "subscribe", JULIET);
    let item = format!("<item jid='{}' name='Nurse'/>", jid(NURSE));
    stage.send(romeo, &format!("<iq type='set' id='x'><query xmlns='jabber:iq:roster'>{item}</query></iq>"));
    stage.hold_store(false);
    assert_eq!(seen(&mut stage, romeo), ["error internal-server-error", "error internal-server-error"]);
    assert_eq!(seen(&mut stage, juliet), [""; 0]);
    assert_eq!(roster(&mut stage, romeo), "");
    tell(&mut stage, romeo, "subscribe", JULIET);
    assert_eq!(seen(&mut stage, romeo), ["item +15551230002 none asked"], "it works again");
    assert_eq!(seen(&mut stage, juliet), ["subscribe from +15551230001"]);
}

#[test]
fn changes_that_wait_for_the_disk_are_bounded() {
    let mut stage = Stage::new(1);
    let romeo = arrive(&mut stage, ROMEO, "orchard");
    stage.hold_store(true);
    for number in 0..66 {
        tell(&mut stage, romeo, "subscribe", &format!("+155512399{number:02}"));
    }
    assert_eq!(seen(&mut stage, romeo), [""; 0]);
    stage.hold_store(false);
    let got = seen(&mut stage, romeo);
    assert_eq!((got.len(), &*got[65]), (66, "error resource-constraint"));
}
