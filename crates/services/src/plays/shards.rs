//! Shards and their queues: credentials asked across, queues that are full, order.

use super::*;
use crate::testing::Stage;

/// Two people on different shards.
fn two_shards() -> (Stage, Client, Client) {
    let mut stage = Stage::new(2);
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
