//! Short of memory: what is given up, in which order, and that what was accepted is delivered.

use super::*;
use crate::realm::Pressure;
use crate::wire::Closed;

fn befriended(stage: &mut Stage, romeo: Client, juliet: Client) {
    for (who, kind, to) in [
        (romeo, "subscribe", JULIET),
        (juliet, "subscribed", ROMEO),
        (juliet, "subscribe", ROMEO),
        (romeo, "subscribed", JULIET),
    ] {
        stage.send(who, &format!("<presence type='{kind}' to='{}'/>", jid(to)));
    }
    stage.received(romeo);
    stage.received(juliet);
}

#[test]
fn presence_is_given_up_first_and_messages_go_on() {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    befriended(&mut stage, romeo, juliet);
    stage.send(romeo, "<presence><show>away</show></presence>");
    assert!(stage.stanzas(juliet).iter().any(|stanza| stanza.contains("<show>away</show>")));
    stage.pressure = Pressure::Presence;
    stage.send(romeo, "<presence><show>dnd</show></presence>");
    stage.send(romeo, &chat(JULIET, "still here"));
    let got = stage.stanzas(juliet);
    assert!(!got.iter().any(|stanza| stanza.starts_with("<presence")), "{got:?}");
    assert_eq!(bodies(&got), ["still here"]);
    // Whoever goes does not stay for ever in others' eyes.
    stage.lose(romeo, Closed::Clean);
    assert!(stage.stanzas(juliet).iter().any(|stanza| stanza.contains("type='unavailable'")));
}

#[test]
fn backlogs_wait_and_come_when_there_is_room_again() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.send(juliet, &chat(ROMEO, "one"));
    stage.pressure = Pressure::Backlog;
    stage.send(juliet, &chat(ROMEO, "two"));
    let (romeo, _) = stage.arrive(ROMEO, "street");
    assert_eq!(heard(&mut stage, romeo), [""; 0]);
    stage.pass(60_000);
    assert_eq!(heard(&mut stage, romeo), [""; 0]);
    stage.pressure = Pressure::None;
    stage.pass(5_000);
    assert_eq!(heard(&mut stage, romeo), ["one", "two"]);
}

#[test]
fn new_messages_are_refused_last_and_the_accepted_ones_are_kept() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    stage.send(juliet, &chat(ROMEO, "accepted"));
    stage.pressure = Pressure::Messages;
    stage.send(juliet, &chat(ROMEO, "refused"));
    let answers = stage.stanzas(juliet);
    assert_eq!(answers.iter().map(|stanza| condition(stanza)).collect::<Vec<_>>(), ["resource-constraint"]);
    assert!(answers[0].contains("type='wait'"));
    assert_eq!(heard(&mut stage, romeo), ["accepted"]);
    assert_eq!(stage.waiting(ROMEO), 1, "until he has acknowledged it");
}
