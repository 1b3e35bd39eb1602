//! RFC 6121 §4: coming, changing, going; directed presence; probes; and nothing for strangers.

use super::*;
use crate::account::roster::document::ROSTERS;
use crate::wire::Closed;

/// Romeo and Juliet, who see each other.
fn lovers() -> (Stage, Client, Client) {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    befriend(&mut stage, (juliet, JULIET), (romeo, ROMEO));
    (stage, juliet, romeo)
}

#[test]
fn coming_is_told_to_subscribers_and_own_sessions() {
    let (mut stage, juliet, romeo) = lovers();
    let chamber = stage.login(JULIET, "chamber");
    stage.send(chamber, "<presence><priority>5</priority></presence>");
    assert_eq!(seen(&mut stage, romeo), ["available from +15551230002/chamber"]);
    assert_eq!(seen(&mut stage, juliet), ["available from +15551230002/chamber"]);
    let mut got = seen(&mut stage, chamber);
    got.sort();
    assert_eq!(
        got,
        [
            "available from +15551230001/orchard",
            "available from +15551230002/balcony",
            "available from +15551230002/chamber",
        ]
    );
}

#[test]
fn an_update_is_relayed_as_it_is() {
    let (mut stage, juliet, romeo) = lovers();
    let update = "<show>away</show><status>zu Bett &amp; träumen</status><priority>-1</priority>\
                  <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v='/>";
    stage.send(juliet, &format!("<presence id='u1' xml:lang='de'>{update}</presence>"));
    let got = stage.stanzas(romeo).remove(0);
    assert!(got.contains(update) && got.contains("xml:lang='de'"), "{got}");
    assert!(got.contains(&format!("from='{}/balcony'", jid(JULIET))), "{got}");
    assert!(got.contains(&format!("to='{}'", jid(ROMEO))), "{got}");
    let own = ["available from +15551230002/balcony", "get from +15551230002"];
    assert_eq!(seen(&mut stage, juliet), own, "her own copy, and what is behind that hash");
}

#[test]
fn an_update_brings_no_second_round_of_probes() {
    let (mut stage, juliet, romeo) = lovers();
    stage.send(juliet, "<presence><show>dnd</show></presence>");
    stage.received(juliet);
    stage.received(romeo);
    stage.send(juliet, "<presence/>");
    assert_eq!(seen(&mut stage, juliet), ["available from +15551230002/balcony"]);
}

#[test]
fn going_is_told_whether_said_or_not() {
    let (mut stage, juliet, romeo) = lovers();
    stage.send(juliet, "<presence type='unavailable'><status>good night</status></presence>");
    assert!(stage.stanzas(romeo)[0].contains("good night"));
    stage.send(juliet, "<presence type='unavailable'/>");
    assert_eq!(seen(&mut stage, romeo), [""; 0], "once");
    stage.lose(juliet, Closed::Clean);
    assert_eq!(seen(&mut stage, romeo), [""; 0], "still once");

    let juliet = arrive(&mut stage, JULIET, "balcony");
    stage.received(romeo);
    stage.lose(juliet, Closed::Lost);
    assert_eq!(seen(&mut stage, romeo), ["unavailable from +15551230002/balcony"]);
}

#[test]
fn who_is_not_available_hears_of_nobody() {
    let (mut stage, juliet, romeo) = lovers();
    stage.send(romeo, "<presence type='unavailable'/>");
    stage.received(romeo);
    stage.send(juliet, "<presence><show>away</show></presence>");
    assert_eq!(seen(&mut stage, romeo), [""; 0]);
}

#[test]
fn strangers_learn_nothing() {
    let (mut stage, juliet, romeo) = lovers();
    let nurse = arrive(&mut stage, NURSE, "kitchen");
    tell(&mut stage, nurse, "probe", JULIET);
    tell(&mut stage, nurse, "probe", "+15559999999");
    stage.send(juliet, "<presence><show>away</show></presence>");
    assert_eq!(seen(&mut stage, nurse), [""; 0]);
    assert_eq!(seen(&mut stage, romeo), ["available from +15551230002/balcony"]);
}

#[test]
fn a_probe_shows_a_subscriber_every_session() {
    let (mut stage, juliet, romeo) = lovers();
    let chamber = arrive(&mut stage, JULIET, "chamber");
    stage.received(romeo);
    stage.received(juliet);
    stage.received(chamber);
    tell(&mut stage, romeo, "probe", JULIET);
    assert_eq!(
        seen(&mut stage, romeo),
        ["available from +15551230002/balcony", "available from +15551230002/chamber"]
    );
    assert_eq!(seen(&mut stage, juliet), [""; 0], "she does not notice");
}

#[test]
fn a_subscription_that_the_other_side_has_forgotten_is_corrected_by_the_probe() {
    let mut stage = Stage::new(2);
    let (juliet, romeo) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, ROMEO, "orchard"));
    befriend(&mut stage, (juliet, JULIET), (romeo, ROMEO));
    // Her roster is lost: she knows nobody any more.
    let records = chaski_store::Engine::records(&stage.engine);
    let key = crate::testing::account(JULIET).record_key();
    let found = records.get(ROSTERS, &key).unwrap().unwrap();
    records.delete_if(ROSTERS, &key, found.revision).unwrap();
    stage.crash();
    arrive(&mut stage, JULIET, "balcony");
    let romeo = arrive(&mut stage, ROMEO, "orchard");
    assert_eq!(roster(&mut stage, romeo), "item +15551230002 from");
}

#[test]
fn telling_contacts_who_are_away_does_not_wake_their_accounts() {
    let (mut stage, _, _) = lovers();
    stage.crash();
    let romeo = arrive(&mut stage, ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let resident: usize = (0..2).map(|shard| stage.resident(shard)).sum();
    assert_eq!(resident, 1, "only his own");
}

#[test]
fn directed_presence_shows_one_session_and_its_end() {
    let mut stage = Stage::new(2);
    let (juliet, nurse) = (arrive(&mut stage, JULIET, "balcony"), arrive(&mut stage, NURSE, "kitchen"));
    stage.send(juliet, &format!("<presence to='{}'/>", jid(NURSE)));
    assert_eq!(seen(&mut stage, nurse), ["available from +15551230002/balcony"]);
    stage.send(juliet, "<presence><show>away</show></presence>");
    assert_eq!(seen(&mut stage, nurse), [""; 0], "updates are for subscribers");
    stage.lose(juliet, Closed::Clean);
    assert_eq!(seen(&mut stage, nurse), ["unavailable from +15551230002/balcony"]);
}

#[test]
fn directed_presence_works_without_having_come() {
    let mut stage = Stage::new(2);
    let (juliet, nurse) = (stage.login(JULIET, "balcony"), arrive(&mut stage, NURSE, "kitchen"));
    stage.send(juliet, &format!("<presence to='{}/kitchen'/>", jid(NURSE)));
    stage.send(juliet, &format!("<presence to='{}/kitchen' type='unavailable'/>", jid(NURSE)));
    let got = seen(&mut stage, nurse);
    assert_eq!(got, ["available from +15551230002/balcony", "unavailable from +15551230002/balcony"]);
    stage.lose(juliet, Closed::Clean);
    assert_eq!(seen(&mut stage, nurse), [""; 0], "told already");
}

#[test]
fn a_subscriber_who_was_also_told_in_person_hears_the_end_once() {
    let (mut stage, juliet, romeo) = lovers();
    stage.send(juliet, &format!("<presence to='{}'><show>chat</show></presence>", jid(ROMEO)));
    stage.received(romeo);
    stage.lose(juliet, Closed::Clean);
    assert_eq!(seen(&mut stage, romeo), ["unavailable from +15551230002/balcony"]);
}

#[test]
fn directed_presence_is_bounded() {
    let mut stage = Stage::turned(1, &[("presence.directed", 1)]);
    let juliet = stage.login(JULIET, "balcony");
    stage.send(juliet, &format!("<presence to='{}'/>", jid(NURSE)));
    stage.send(juliet, &format!("<presence to='{}'/>", jid(ROMEO)));
    assert_eq!(seen(&mut stage, juliet), ["error resource-constraint"]);
    stage.send(juliet, &format!("<presence to='{}'/>", jid(NURSE)));
    assert_eq!(seen(&mut stage, juliet), [""; 0]);
}

#[test]
fn priorities_are_small_integers() {
    let mut stage = Stage::new(1);
    let juliet = stage.login(JULIET, "balcony");
    for bad in ["128", "-129", "high", ""] {
        stage.send(juliet, &format!("<presence><priority>{bad}</priority></presence>"));
        assert_eq!(seen(&mut stage, juliet), ["error bad-request"], "{bad:?}");
    }
    for good in ["127", "-128", " 0 "] {
        stage.send(juliet, &format!("<presence><priority>{good}</priority></presence>"));
        assert_eq!(seen(&mut stage, juliet), ["available from +15551230002/balcony"], "{good:?}");
    }
}

#[test]
fn a_huge_presence_is_not_broadcast() {
    let (mut stage, juliet, romeo) = lovers();
    let status = "x".repeat(super::super::BROADCAST_BYTES_MAX);
    stage.send(juliet, &format!("<presence><status>{status}</status></presence>"));
    assert_eq!(seen(&mut stage, juliet), ["error policy-violation"]);
    assert_eq!(seen(&mut stage, romeo), [""; 0]);
}

#[test]
fn presence_to_the_server_or_another_one() {
    let mut stage = Stage::new(1);
    let juliet = stage.login(JULIET, "balcony");
    stage.send(juliet, &format!("<presence to='{DOMAIN}'/>"));
    assert_eq!(seen(&mut stage, juliet), [""; 0]);
    stage.send(juliet, "<presence to='a@elsewhere.example'/>");
    assert_eq!(seen(&mut stage, juliet), ["error remote-server-not-found"]);
    stage.send(juliet, "<presence to='a@elsewhere.example' type='error'/>");
    assert_eq!(seen(&mut stage, juliet), [""; 0], "no error for an error");
}

#[test]
fn an_error_reaches_the_session_it_is_for() {
    let (mut stage, juliet, romeo) = lovers();
    let error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    stage.send(juliet, &format!("<presence type='error' to='{}/orchard'>{error}</presence>", jid(ROMEO)));
    assert_eq!(seen(&mut stage, romeo), ["error gone"]);
    stage.send(juliet, &format!("<presence type='error' to='{}'>{error}</presence>", jid(ROMEO)));
    assert_eq!(seen(&mut stage, romeo), [""; 0]);
}
