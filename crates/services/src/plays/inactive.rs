//! A client that nobody looks at (XEP-0352): what waits, what does not, and in which order it comes.

use super::*;
use crate::wire::Closed;

const ACTIVE: &str = "<active xmlns='urn:xmpp:csi:0'/>";
const INACTIVE: &str = "<inactive xmlns='urn:xmpp:csi:0'/>";

fn state(to: &str, state: &str) -> String {
    format!(
        "<message to='{}' type='chat'><{state} xmlns='http://jabber.org/protocol/chatstates'/></message>",
        jid(to)
    )
}

fn shown(to: &str, status: &str) -> String {
    format!("<presence to='{}'><status>{status}</status></presence>", jid(to))
}

/// Romeo, whose phone is in his pocket, and Juliet.
fn pocket(stage: &mut Stage) -> (Client, String, Client) {
    let (romeo, id) = stage.arrive(ROMEO, "phone");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.send(romeo, INACTIVE);
    stage.received(romeo);
    (romeo, id, juliet)
}

/// Each stanza in a word: a body, a status, a chat state, or the kind of presence.
fn words(stanzas: &[String]) -> Vec<String> {
    let between = |stanza: &str, start: &str, end: &str| {
        Some(stanza.split_once(start)?.1.split_once(end)?.0.to_owned())
    };
    stanzas
        .iter()
        .map(|stanza| {
            let text = between(stanza, "<body>", "<").or_else(|| between(stanza, "<status>", "<"));
            let state = || between(stanza, "'><", " xmlns='http://jabber.org/protocol/chatstates'");
            let kind = || between(stanza, "type='", "'");
            text.or_else(state).or_else(kind).unwrap_or_default()
        })
        .collect()
}

fn told(stage: &mut Stage, client: Client) -> Vec<String> {
    words(&stage.stanzas(client))
}

#[test]
fn presence_and_typing_wait_folded() {
    let mut stage = Stage::new(2);
    let (romeo, _, juliet) = pocket(&mut stage);
    for status in ["one", "two", "three"] {
        stage.send(juliet, &shown(ROMEO, status));
        stage.send(juliet, &state(ROMEO, "composing"));
        stage.send(juliet, &state(ROMEO, "paused"));
    }
    assert_eq!(stage.received(romeo), [""; 0]);
    stage.send(romeo, ACTIVE);
    assert_eq!(told(&mut stage, romeo), ["three", "paused"]);
    stage.send(juliet, &state(ROMEO, "composing"));
    assert_eq!(told(&mut stage, romeo), ["composing"], "active again");
}

#[test]
fn a_message_takes_along_what_waits_but_what_it_replaces() {
    let mut stage = Stage::new(2);
    let (romeo, _, juliet) = pocket(&mut stage);
    let (nurse, _) = stage.arrive(NURSE, "hall");
    stage.send(juliet, &shown(ROMEO, "here"));
    stage.send(nurse, &state(ROMEO, "composing"));
    stage.send(juliet, &state(ROMEO, "composing"));
    stage.send(juliet, &chat(ROMEO, "Romeo?"));
    assert_eq!(
        told(&mut stage, romeo),
        ["here", "composing", "Romeo?"],
        "the nurse's composing, not Juliet's"
    );
    stage.send(juliet, &state(ROMEO, "composing"));
    assert_eq!(stage.stanzas(romeo), [""; 0], "still inactive");
    stage.send(juliet, &format!("<presence to='{}' type='subscribe'/>", jid(ROMEO)));
    assert_eq!(told(&mut stage, romeo), ["composing", "subscribe"]);
    stage.send(juliet, &shown(ROMEO, "away"));
    stage.send(romeo, "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(told(&mut stage, romeo), ["away", "result"]);
}

#[test]
fn what_does_not_wait() {
    let mut stage = Stage::new(1);
    let (romeo, _, juliet) = pocket(&mut stage);
    let to = jid(ROMEO);
    for at_once in [
        "<message to='{}/phone' type='error'><error type='cancel'/></message>",
        "<message to='{}' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
        "<message to='{}' type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>",
        "<message to='{}' type='headline'><body>x</body></message>",
        "<presence to='{}' type='subscribe'/>",
    ] {
        stage.send(juliet, &at_once.replace("{}", &to));
        assert_eq!(stage.stanzas(romeo).len(), 1, "{at_once}");
    }
}

#[test]
fn events_wait_folded_by_item() {
    let mut stage = Stage::new(1);
    let (romeo, _, juliet) = pocket(&mut stage);
    let event = |node: &str, items: &str| {
        let items = format!("<items node='{node}'>{items}</items>");
        let event = format!("<event xmlns='http://jabber.org/protocol/pubsub#event'>{items}</event>");
        format!("<message to='{}' type='headline'>{event}</message>", jid(ROMEO))
    };
    for (node, id) in [("mood", "current"), ("tune", "a"), ("tune", "b"), ("mood", "current")] {
        stage.send(juliet, &event(node, &format!("<item id='{id}'/>")));
    }
    assert_eq!(stage.received(romeo), [""; 0]);
    stage.send(juliet, &event("tune", "<retract id='a'/>"));
    let got = stage.stanzas(romeo);
    let order: Vec<_> = ["'tune'><item id='a'", "'tune'><item id='b'", "'mood'", "<retract"].into();
    assert_eq!(got.len(), order.len());
    assert!(got.iter().zip(order).all(|(got, expected)| got.contains(expected)), "{got:?}");
}

#[test]
fn who_comes_back_is_active_and_gets_what_waited() {
    let mut stage = Stage::new(2);
    let (romeo, id, juliet) = pocket(&mut stage);
    stage.send(juliet, &shown(ROMEO, "before"));
    let h = stage.counted(romeo);
    stage.lose(romeo, Closed::Lost);
    for number in 0..50 {
        stage.send(juliet, &shown(ROMEO, &number.to_string()));
    }
    let (romeo, resumed) = stage.resume(ROMEO, &id, h);
    assert!(resumed.is_ok());
    assert_eq!(told(&mut stage, romeo), ["49"]);
    stage.send(juliet, &shown(ROMEO, "now"));
    assert_eq!(told(&mut stage, romeo), ["now"]);
    stage.acknowledge(romeo, 0);
    assert_eq!(stage.closed_with(romeo), None);
}

#[test]
fn a_flood_at_an_inactive_phone_is_bounded_and_harms_nobody() {
    let limits = crate::realm::Limits { queue_stanzas: 40, ..Default::default() };
    let mut stage = Stage::with_limits(1, limits);
    stage.turn("csi.stanzas", 8);
    let (romeo, _, _) = pocket(&mut stage);
    stage.acknowledge(romeo, 0);
    stage.received(romeo);
    let mut crowd = Vec::new();
    for resource in 0..14 {
        crowd.push(stage.login(JULIET, &format!("r{resource}")));
    }
    for round in 0..20 {
        for &juliet in &crowd {
            stage.send(juliet, &shown(ROMEO, &round.to_string()));
            stage.send(juliet, &state(ROMEO, "composing"));
        }
    }
    assert_eq!(stage.closed_with(romeo), None);
    assert!(stage.stanzas(romeo).len() <= 20, "half of the queue is the strangers'");
    assert!(stage.held_bytes(0) < 8 * 400, "{}", stage.held_bytes(0));
    stage.send(crowd[0], &chat(ROMEO, "still here"));
    assert!(told(&mut stage, romeo).contains(&"still here".to_owned()));
    assert_eq!(stage.held_bytes(0), 0);
}

#[test]
fn nobody_ends_the_session_of_who_has_lost_the_connection() {
    let mut stage = Stage::new(2);
    let (romeo, id, juliet) = pocket(&mut stage);
    stage.send(romeo, ACTIVE);
    let h = stage.counted(romeo);
    stage.lose(romeo, Closed::Lost);
    let many = crate::realm::Limits::default().queue_stanzas + 10;
    for turn in 0..many {
        stage.send(juliet, &shown(ROMEO, &format!("status {turn}")));
        stage.send(juliet, &state(ROMEO, "composing"));
        if turn % 100 == 0 {
            stage.send(juliet, &chat(ROMEO, &format!("message {turn}")));
        }
    }
    let (romeo, resumed) = stage.resume(ROMEO, &id, h);
    assert!(resumed.is_ok());
    let told = told(&mut stage, romeo);
    assert_eq!(told.iter().filter(|word| word.starts_with("message")).count(), many.div_ceil(100));
    assert!(told.contains(&format!("status {}", many - 1)), "{told:?}");
    assert_eq!(told.iter().filter(|word| word.starts_with("status")).count(), 1);
}

#[test]
fn what_is_held_is_bounded_in_bytes_and_let_go_with_the_session() {
    let mut stage = Stage::turned(1, &[("csi.bytes", 2_000), ("csi.bytes_shard", 3_000)]);
    let (romeo, _, juliet) = pocket(&mut stage);
    let (phone, _) = stage.arrive(NURSE, "phone");
    stage.send(phone, INACTIVE);
    stage.received(phone);
    stage.send(juliet, &shown(ROMEO, &"x".repeat(1_500)));
    assert_eq!(stage.stanzas(romeo).len(), 0);
    stage.send(juliet, &shown(NURSE, &"x".repeat(1_500)));
    assert_eq!(stage.stanzas(phone).len(), 1, "the shard holds no more");
    stage.send(juliet, &shown(ROMEO, &"y".repeat(2_500)));
    assert_eq!(stage.stanzas(romeo).len(), 2, "too long to wait: both are sent, in order");
    stage.send(juliet, &state(ROMEO, "composing"));
    assert!(stage.held_bytes(0) > 0);
    stage.lose(romeo, Closed::Clean);
    assert_eq!(stage.held_bytes(0), 0);
}

#[test]
fn typing_elsewhere_is_not_told_to_who_is_not_looking() {
    let mut stage = Stage::new(1);
    let (romeo, _, juliet) = pocket(&mut stage);
    let (desk, _) = stage.arrive(ROMEO, "desk");
    for client in [romeo, desk] {
        stage.send(client, "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
        stage.received(client);
    }
    let to = format!("{}/desk", jid(ROMEO));
    let composing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    stage.send(juliet, &format!("<message to='{to}' type='chat'>{composing}</message>"));
    stage.send(desk, &state(JULIET, "composing"));
    assert_eq!(stage.received(romeo), [""; 0]);
    stage.send(juliet, &format!("<message to='{to}' type='chat'><body>but this is</body></message>"));
    assert_eq!(told(&mut stage, romeo), ["but this is"]);
    stage.send(romeo, ACTIVE);
    stage.received(romeo);
    stage.send(desk, &state(JULIET, "paused"));
    assert_eq!(stage.stanzas(romeo).len(), 1);
}

#[test]
fn typing_and_idle_times_pass_untouched() {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "phone");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(romeo);
    let idle = "<idle xmlns='urn:xmpp:idle:1' since='1969-07-21T02:56:15Z'/>";
    stage.send(juliet, &format!("<presence to='{}'><show>away</show>{idle}</presence>", jid(ROMEO)));
    assert!(stage.received(romeo)[0].ends_with(&format!("><show>away</show>{idle}</presence>")));
    for name in ["active", "composing", "paused", "inactive", "gone"] {
        let content = format!("<{name} xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>");
        stage.send(juliet, &format!("<message to='{}' type='chat'>{content}</message>", jid(ROMEO)));
        let got = stage.stanzas(romeo);
        assert!(
            got[0].ends_with(&format!(" type='chat' to='{}'>{content}</message>", jid(ROMEO))),
            "{got:?}"
        );
    }
    assert_eq!(stage.waiting(ROMEO), 0);
}

#[test]
fn a_foreign_element_is_told_what_is_wrong_with_it() {
    let mut stage = Stage::new(1);
    for (element, text) in [
        ("<sleepy xmlns='urn:xmpp:csi:0'/>", "neither a stanza nor known here"),
        ("<r xmlns='urn:xmpp:sm:3'/>", "stream management is not enabled"),
    ] {
        let romeo = stage.login(ROMEO, "phone");
        stage.send(romeo, element);
        let end = stage.closed_with(romeo).unwrap().unwrap();
        assert_eq!((end.condition, end.text.as_deref()), ("unsupported-stanza-type", Some(text)));
    }
    let (romeo, _) = stage.arrive(ROMEO, "phone");
    stage.send(romeo, "<a xmlns='urn:xmpp:sm:3'/>");
    let text = stage.closed_with(romeo).unwrap().unwrap().text.unwrap();
    assert!(text.starts_with("malformed"), "{text}");
}

/// What an inactive phone with 50 chatty contacts gets in ten minutes: each contact changes its presence once and types
/// twice a minute, one of them writes every two minutes. Printed for docs/performance.md by `--no-capture`.
#[test]
fn what_fifty_chatty_contacts_cost_a_phone() {
    let (awake, asleep) = (ten_minutes(false), ten_minutes(true));
    println!("stanzas, bytes, wake-ups: active {awake:?}, inactive {asleep:?}");
    assert!(awake.0 > 1_500 && asleep.0 * 3 < awake.0, "{awake:?} {asleep:?}");
    assert!(asleep.2 <= 5, "{asleep:?}");
}

fn ten_minutes(inactive: bool) -> (usize, usize, usize) {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "phone");
    let names: Vec<_> = (0..50).map(|number| format!("+15551240{number:03}")).collect();
    let contacts: Vec<_> = names.iter().map(|name| stage.login(name, "phone")).collect();
    if inactive {
        stage.send(romeo, INACTIVE);
    }
    stage.received(romeo);
    let (mut stanzas, mut bytes, mut wakes) = (0, 0, 0);
    for half_minute in 0..20 {
        for (number, &contact) in contacts.iter().enumerate() {
            // What they do does not come all at once: each is a wake-up of its own.
            match half_minute % 2 {
                0 => stage.send(contact, &shown(ROMEO, &format!("status {half_minute}"))),
                _ => stage.send(contact, &state(ROMEO, "composing")),
            }
            stage.send(contact, &state(ROMEO, if half_minute % 2 == 0 { "composing" } else { "paused" }));
            if half_minute % 4 == 3 && number == half_minute {
                stage.send(contact, &chat(ROMEO, "Are you coming?"));
            }
            let got = stage.received(romeo);
            wakes += usize::from(!got.is_empty());
            stanzas += got.iter().filter(|element| !element.contains("urn:xmpp:sm:3")).count();
            bytes += got.iter().map(String::len).sum::<usize>();
            stage.acknowledge(romeo, 0);
        }
    }
    (stanzas, bytes, wakes)
}
