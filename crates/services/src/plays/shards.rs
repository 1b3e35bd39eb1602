//! Shards and their queues: credentials asked across, queues that are full, order.

use super::*;
use crate::effects::letter::{Envelope, Letter};
use crate::effects::login::{Ask, Denied, Granted, Verdict};
use crate::testing::Stage;

/// Two people on different shards.
fn two_shards() -> (Stage, Client, Client) {
    two_shards_on(Stage::new(2))
}

fn two_shards_on(mut stage: Stage) -> (Stage, Client, Client) {
    assert_ne!(stage.owner(ROMEO), stage.owner(FAR), "the play needs people apart");
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (far, _) = stage.arrive(FAR, "mantua");
    stage.received(romeo);
    stage.received(far);
    (stage, romeo, far)
}

/// Owned by another shard than Romeo, of two.
const FAR: &str = "+15551230003";

#[test]
fn credentials_are_found_from_any_shard() {
    let mut stage = Stage::new(2);
    stage.set_account(ROMEO, 3).unwrap();
    for asker in [0, 1] {
        assert_eq!(stage.credentials(asker, ROMEO).unwrap().unwrap().generation, 3);
        assert!(stage.credentials(asker, JULIET).unwrap().is_none());
    }
}

/// The owner's verdict on a login's question of this number has come to the shard that asked.
fn judged(stage: &mut Stage, asker: u16, client: Client, number: u32, verdict: Verdict) {
    let (conn, verdict) = (client.0, Box::new(verdict));
    stage.call(asker, |room, ctx| {
        let letter = Letter::Verdict { conn, number, verdict };
        room.envelope(ctx, Envelope::new(room.owner.desk.here, letter));
    });
}

#[test]
fn a_verdict_is_for_one_question_of_one_connection_and_heard_once() {
    let mut stage = Stage::new(2);
    stage.set_account(ROMEO, 3).unwrap();
    stage.set_account(FAR, 5).unwrap();
    let asker = stage.owner(ROMEO);
    let client = stage.begin_credentials(asker, ROMEO);
    let of_romeo = stage.verdict(client).unwrap();
    judged(&mut stage, asker, client, 1, of_romeo.clone());
    assert!(stage.verdict(client).is_none(), "it has come twice");
    // Whoever has the secret of one account must not get into another by it.
    stage.hold_envelopes(true);
    stage.ask(client, (FAR, None), Ask::Credentials);
    judged(&mut stage, asker, client, 1, of_romeo.clone());
    assert!(stage.verdict(client).is_none(), "something newer was asked");
    stage.hold_envelopes(false);
    stage.settle();
    let Some(Ok(Granted::Credentials(found))) = stage.verdict(client) else { panic!("it is answered") };
    assert_eq!(found.generation, 5);
    judged(&mut stage, asker, Client(crate::wire::ConnId(99)), 1, of_romeo);
    assert!(stage.verdict(Client(crate::wire::ConnId(99))).is_none(), "nobody is there");
}

/// A session is on a connection of its owner's shard, and for who has proved the key.
#[test]
fn a_session_is_not_made_from_elsewhere_nor_for_who_has_proved_nothing() {
    let mut stage = Stage::new(2);
    stage.set_account(ROMEO, 1).unwrap();
    let romeo = stage.connect(ROMEO);
    stage.ask(romeo, (ROMEO, None), Ask::Bind(None));
    assert_eq!(stage.verdict(romeo).unwrap().unwrap_err(), Denied::NotAuthorized);
    let elsewhere = stage.connect(FAR);
    stage.ask(elsewhere, (ROMEO, Some(1)), Ask::Bind(None));
    assert_eq!(stage.verdict(elsewhere).unwrap().unwrap_err(), Denied::NotAuthorized);
}

#[test]
fn a_full_queue_refuses_messages_and_keeps_acceptances() {
    let (mut stage, romeo, far) = two_shards();
    let shard_of_far = stage.owner(FAR);
    stage.deafen(shard_of_far, true);
    stage.send(romeo, &chat(FAR, "refused"));
    let got = stage.stanzas(romeo);
    assert_eq!(got.len(), 1);
    assert_eq!(condition(&got[0]), "resource-constraint");
    stage.send(romeo, "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(stage.received(romeo), ["<a xmlns='urn:xmpp:sm:3' h='2'/>"]);
    // Their messages reach us, and the acceptances wait until their shard takes them.
    stage.send(far, &chat(ROMEO, "accepted"));
    stage.send(far, "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(heard(&mut stage, romeo), ["accepted"]);
    assert_eq!(stage.received(far), [""; 0]);
    stage.deafen(shard_of_far, false);
    stage.settle();
    assert_eq!(stage.received(far), ["<a xmlns='urn:xmpp:sm:3' h='2'/>"]);
}

/// The same with room for so many envelopes that wait for a shard.
fn two_shards_with_room_for(envelopes: usize) -> (Stage, Client, Client) {
    let limits = crate::realm::Limits { undelivered_envelopes: envelopes, ..Default::default() };
    two_shards_on(Stage::with_limits(2, limits))
}

/// A message to nobody, whom Romeo's shard would own.
fn to_nobody(stage: &Stage, id: &str) -> String {
    let nobody =
        (100..).map(|n| format!("+15551230{n}")).find(|local| stage.owner(local) == stage.owner(ROMEO));
    format!("<message to='{}' id='{id}'><body>x</body></message>", jid(&nobody.unwrap()))
}

#[test]
fn a_refusal_is_not_lost_while_the_acceptance_arrives() {
    let (mut stage, romeo, far) = two_shards_with_room_for(1);
    let (ours, theirs) = (stage.owner(ROMEO), stage.owner(FAR));
    stage.hold_store(true);
    let message = to_nobody(&stage, "refused");
    stage.send(far, &message);
    stage.deafen(theirs, true);
    // What takes the room.
    stage.send(romeo, &format!("<presence to='{}/mantua' type='unavailable'/>", jid(FAR)));
    // The error is made, and only then the way is free.
    assert!(stage.complete(ours));
    stage.deafen(theirs, false);
    stage.hold_store(false);
    stage.send(far, "<r xmlns='urn:xmpp:sm:3'/>");
    let got = stage.received(far);
    let [presence, error, acceptance] = &got[..] else { panic!("{got:?}") };
    assert!(presence.contains("unavailable"), "in order: {got:?}");
    assert!(error.contains("id='refused'") && condition(error) == "service-unavailable", "{got:?}");
    assert_eq!(acceptance, "<a xmlns='urn:xmpp:sm:3' h='2'/>");
}

#[test]
fn a_refusal_that_settles_a_message_always_finds_room() {
    let (mut stage, _, far) = two_shards_with_room_for(0);
    let theirs = stage.owner(FAR);
    stage.hold_store(true);
    for id in ["one", "two", "three"] {
        let message = to_nobody(&stage, id);
        stage.send(far, &message);
    }
    stage.deafen(theirs, true);
    stage.hold_store(false);
    stage.deafen(theirs, false);
    stage.settle();
    stage.send(far, "<r xmlns='urn:xmpp:sm:3'/>");
    let got = stage.received(far);
    assert_eq!(got.iter().filter(|got| condition(got) == "service-unavailable").count(), 3, "{got:?}");
    assert_eq!(got.last().map(String::as_str), Some("<a xmlns='urn:xmpp:sm:3' h='4'/>"));
}

#[test]
fn acceptances_always_find_room() {
    let (mut stage, romeo, far) = two_shards_with_room_for(0);
    let theirs = stage.owner(FAR);
    stage.deafen(theirs, true);
    for body in ["one", "two", "three"] {
        stage.send(far, &chat(ROMEO, body));
    }
    assert_eq!(heard(&mut stage, romeo), ["one", "two", "three"]);
    stage.deafen(theirs, false);
    stage.settle();
    stage.send(far, "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(stage.received(far), ["<a xmlns='urn:xmpp:sm:3' h='4'/>"]);
}

/// Addresses of another run mean nothing in this one: its sessions have the same numbers.
#[test]
fn what_was_for_another_run_is_dropped() {
    let (mut stage, romeo, _) = two_shards();
    stage.leave_unjudged("the message was not accepted: its sender comes back and sends it again");
    stage.hold_envelopes(true);
    stage.send(romeo, &chat(FAR, "of before"));
    stage.hold_envelopes(false);
    stage.crash_with_envelopes_under_way();
    stage.settle();
    assert_eq!(stage.envelopes_astray(), 1, "the message");
    let (far_again, _) = stage.arrive(FAR, "mantua");
    assert!(!stage.received(far_again).iter().any(|got| got.contains("of before")));
}

#[test]
fn order_is_kept_across_shards() {
    let (mut stage, romeo, far) = two_shards();
    let sent: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for (number, body) in sent.iter().enumerate() {
        stage.send(romeo, &chat(FAR, body));
        stage.send(far, &chat(ROMEO, body));
        if number == 20 {
            stage.hold_store(true);
        }
        if number == 40 {
            stage.hold_store(false);
        }
    }
    assert_eq!(heard(&mut stage, far), sent);
    assert_eq!(heard(&mut stage, romeo), sent);
}

#[test]
fn a_full_queue_drops_presence_but_no_farewell() {
    let (mut stage, romeo, far) = two_shards();
    let shard_of_far = stage.owner(FAR);
    stage.deafen(shard_of_far, true);
    let to = format!("{}/mantua", jid(FAR));
    stage.send(romeo, &format!("<presence to='{to}'><show>away</show></presence>"));
    stage.send(romeo, &format!("<presence to='{to}' type='unavailable'/>"));
    stage.deafen(shard_of_far, false);
    stage.settle();
    let got = stage.stanzas(far);
    assert_eq!(got.len(), 1, "{got:?}");
    assert!(got[0].contains("unavailable"));
}
