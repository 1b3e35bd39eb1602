//! Messages that grow too old: their recipient is told once, whoever is there.

use super::*;
use crate::wire::Closed;

/// Everything accepted until now is lost.
fn grow_old(stage: &mut Stage) {
    stage.engine.expire(u64::MAX);
    stage.settle();
}

fn gaps(stanzas: &[String]) -> Vec<&str> {
    stanzas.iter().filter_map(|stanza| stanza.split_once("<gap ")?.1.split_once("/>")).map(|g| g.0).collect()
}

/// Messages for somebody who is not there, sent at these seconds.
fn send_two(stage: &mut Stage) {
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.set_account(ROMEO, 1).unwrap();
    stage.send(juliet, &chat(ROMEO, "one"));
    stage.pass(60_000);
    stage.send(juliet, &chat(ROMEO, "two"));
}

#[test]
fn who_comes_back_too_late_is_told_once() {
    let mut stage = Stage::new(1);
    send_two(&mut stage);
    grow_old(&mut stage);
    let juliet = stage.login(JULIET, "window");
    stage.send(juliet, &chat(ROMEO, "three"));
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let got = stage.stanzas(romeo);
    let expected =
        "xmlns='urn:chaski:mailbox:0' messages='2' since='2023-11-14T22:30:00Z' until='2023-11-14T22:31:00Z'";
    assert_eq!(gaps(&got), [expected]);
    let notice = got.iter().find(|stanza| stanza.contains("<gap ")).unwrap();
    let start = format!(
        "<message from='{}' to='{}' type='headline'><body>2 messages to you are lost",
        crate::testing::DOMAIN,
        jid(ROMEO)
    );
    assert!(notice.starts_with(&start), "{notice}");
    assert!(notice.contains("<stanza-id ") && notice.contains("stamp='2023-11-14T22:31:00Z'"), "{notice}");
    assert_eq!(bodies(&got).last(), Some(&"three"), "in the order of the mailbox");
    // Not acknowledged: told again, as the same; acknowledged: never again.
    stage.lose(romeo, Closed::Clean);
    stage.crash();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    assert!(stage.stanzas(romeo).contains(notice));
    stage.acknowledge(romeo, 0);
    assert_eq!(stage.waiting(ROMEO), 0);
    stage.crash();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    assert_eq!(gaps(&stage.stanzas(romeo)), [""; 0]);
}

#[test]
fn who_is_there_is_told_at_once() {
    for delay_reads in [false, true] {
        let mut stage = Stage::new(2);
        stage.engine.delay_reads(delay_reads);
        send_two(&mut stage);
        // There, and taking no messages: they wait.
        let (romeo, _) = stage.arrive(ROMEO, "orchard");
        stage.received(romeo);
        grow_old(&mut stage);
        let told = stage.stanzas(romeo);
        assert!(told.is_empty(), "sent already and not acknowledged: {told:?}");
        let other = stage.login(ROMEO, "tomb");
        stage.send(other, "<presence/>");
        assert_eq!(gaps(&stage.stanzas(other)).len(), 1);
    }
}

#[test]
fn a_session_that_has_kept_up_hears_of_a_gap() {
    let mut stage = Stage::new(1);
    send_two(&mut stage);
    let romeo = stage.login(ROMEO, "orchard");
    stage.send(romeo, "<presence><priority>-1</priority></presence>");
    grow_old(&mut stage);
    assert_eq!(gaps(&stage.stanzas(romeo)), [""; 0], "it takes no messages");
    let (attentive, _) = stage.arrive(ROMEO, "tomb");
    assert_eq!(gaps(&stage.stanzas(attentive)).len(), 1);
    stage.acknowledge(attentive, 0);
    // Another loss while it is there: addressed to the other session alone.
    let juliet = stage.login(JULIET, "window");
    let to_orchard = chat(ROMEO, "three").replace(&jid(ROMEO), &format!("{}/orchard", jid(ROMEO)));
    stage.send(juliet, &to_orchard);
    assert_eq!(heard(&mut stage, attentive), [""; 0]);
    grow_old(&mut stage);
    let told = stage.stanzas(attentive);
    assert_eq!(gaps(&told).len(), 1, "{told:?}");
    stage.acknowledge(attentive, 0);
    assert_eq!(stage.waiting(ROMEO), 0);
}
