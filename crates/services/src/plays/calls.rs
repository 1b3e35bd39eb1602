//! Calls: proposals that waited, the sign that all has come, and the relays that a server names.

use super::*;
use crate::realm::relays::{Relay, Relays, Secret};
use crate::realm::{Limits, Pressure};
use crate::wire::Closed;
use chaski_xmpp::Stanza;

const PING: &str = "<iq type='get' id='first'><ping xmlns='urn:xmpp:ping'/></iq>";

fn said(to: &str, name: &str, id: &str) -> String {
    format!(
        "<message to='{}' type='chat' id='{name}-{id}-0000'><{name} xmlns='urn:xmpp:jingle-message:0' id='{id}'/></message>",
        jid(to)
    )
}

/// What waits for Romeo, who was away and comes with a window of four messages, and his client.
fn back_with(stanzas: &[String]) -> (Stage, Client) {
    let mut stage = Stage::with_limits(1, Limits { window_messages: 4, ..Limits::default() });
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    for stanza in stanzas {
        stage.send(juliet, stanza);
    }
    // Two minutes later.
    stage.pass(120_000);
    let romeo = stage.login(ROMEO, "street");
    stage.send(romeo, "<enable xmlns='urn:xmpp:sm:3'/>");
    stage.received(romeo);
    stage.send(romeo, "<presence/>");
    (stage, romeo)
}

/// The bodies, names of proposals' fates and ids of answers in what a client was sent, in order.
fn told(stage: &mut Stage, client: Client) -> Vec<String> {
    let word = |text: &String| {
        let stanza = Stanza::parse(text.as_bytes()).unwrap();
        let body =
            stanza.children().find(|child| child.name() == "body").map(|body| body.text().into_owned());
        let call = stanza.children().find(|child| child.ns() == "urn:xmpp:jingle-message:0");
        let answer = || stanza.id().filter(|_| text.starts_with("<iq")).map(|id| id.into_owned());
        body.or_else(|| call.map(|call| call.name().to_owned())).or_else(answer)
    };
    stage.stanzas(client).iter().filter_map(word).collect()
}

#[test]
fn a_proposal_that_waited_comes_with_what_became_of_it_and_its_true_time() {
    let chats = ["a", "b", "c"].map(|body| chat(ROMEO, body));
    let call = [said(ROMEO, "propose", "call-1"), said(ROMEO, "retract", "call-1")];
    let (mut stage, romeo) = back_with(&[&chats[..], &call[..]].concat());
    let got = told(&mut stage, romeo);
    assert_eq!(got, ["a", "b", "c"], "the proposal would ring until the next window");
    stage.acknowledge(romeo, 0);
    let got = stage.stanzas(romeo);
    assert!(got[0].contains("<propose ") && got[1].contains("<retract "), "{got:?}");
    assert!(got[..2].iter().all(|stanza| {
        stanza.contains("<delay xmlns='urn:xmpp:delay' from='chaski.example' stamp='2023-11-14T22:30:")
    }));
    stage.acknowledge(romeo, 0);
    assert_eq!(stage.waiting(ROMEO), 0);
}

#[test]
fn a_call_that_still_rings_does_not_wait() {
    let (mut stage, romeo) = back_with(&[chat(ROMEO, "a"), said(ROMEO, "propose", "call-1")]);
    assert_eq!(told(&mut stage, romeo), ["a", "propose"]);
}

#[test]
fn a_ping_to_nobody_is_answered_behind_what_waited_when_it_came() {
    let chats = ["a", "b", "c", "d", "e", "f"].map(|body| chat(ROMEO, body));
    let (mut stage, romeo) = back_with(&chats);
    stage.send(romeo, PING);
    stage.send(romeo, &PING.replace("'get'", "'get' to='chaski.example'").replace("first", "domain"));
    assert_eq!(told(&mut stage, romeo), ["a", "b", "c", "d", "domain"]);
    // What comes from now on is not waited for.
    let (juliet, _) = stage.arrive(JULIET, "window");
    for body in ["g", "h", "i", "j", "k", "l"] {
        stage.send(juliet, &chat(ROMEO, body));
    }
    assert_eq!(told(&mut stage, romeo), [""; 0]);
    stage.acknowledge(romeo, 0);
    let got = told(&mut stage, romeo);
    assert_eq!(got, ["e", "f", "g", "h", "first"]);
    stage.send(romeo, &PING.replace("first", "second"));
    stage.acknowledge(romeo, 0);
    assert_eq!(told(&mut stage, romeo), ["i", "j", "k", "l", "second"]);
    stage.send(romeo, &PING.replace("first", "third"));
    assert_eq!(told(&mut stage, romeo), ["third"], "nothing waits");
}

#[test]
fn more_pings_than_are_kept_waiting_are_answered_at_once() {
    let chats = ["a", "b", "c", "d", "e"].map(|body| chat(ROMEO, body));
    let (mut stage, romeo) = back_with(&chats);
    for number in 1..=5 {
        stage.send(romeo, &PING.replace("first", &format!("ping-{number}")));
    }
    assert_eq!(told(&mut stage, romeo), ["a", "b", "c", "d", "ping-5"]);
    stage.acknowledge(romeo, 0);
    assert_eq!(told(&mut stage, romeo), ["e", "ping-1", "ping-2", "ping-3", "ping-4"]);
}

#[test]
fn a_ping_is_answered_while_backlogs_are_not_read() {
    let chats = ["a", "b", "c", "d", "e"].map(|body| chat(ROMEO, body));
    let (mut stage, romeo) = back_with(&chats);
    stage.send(romeo, PING);
    assert_eq!(told(&mut stage, romeo), ["a", "b", "c", "d"]);
    stage.pressure = Pressure::Backlog;
    stage.acknowledge(romeo, 0);
    assert_eq!(told(&mut stage, romeo), ["first"]);
    stage.send(romeo, &PING.replace("first", "second"));
    assert_eq!(told(&mut stage, romeo), ["second"]);
    stage.pressure = Pressure::None;
    stage.pass(5_000);
    assert_eq!(told(&mut stage, romeo), ["e"]);
}

fn with_relays() -> (Stage, Client) {
    let uris = ["stun:relay.example", "turn:relay.example?transport=udp", "turns:relay.example:443"];
    let relays = uris.iter().map(|uri| Relay::parse(uri).unwrap()).collect();
    let relays = Relays { relays, secret: Secret("sixteen letters!".into()), login_ms: 3_600_000 };
    let mut stage = Stage::with_relays(1, relays);
    let romeo = stage.login(ROMEO, "orchard");
    (stage, romeo)
}

fn asks(stage: &mut Stage, client: Client, child: &str) -> String {
    stage.send(client, &format!("<iq type='get' id='q' to='chaski.example'>{child}</iq>"));
    stage.stanzas(client).remove(0)
}

const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";

#[test]
fn relays_have_a_login_that_tells_nothing() {
    let (mut stage, romeo) = with_relays();
    assert!(asks(&mut stage, romeo, INFO).contains("<feature var='urn:xmpp:extdisco:2'/>"));
    let all = asks(&mut stage, romeo, "<services xmlns='urn:xmpp:extdisco:2'/>");
    assert!(all.contains("<service type='stun' host='relay.example' port='3478' transport='udp'/>"), "{all}");
    let turns = asks(&mut stage, romeo, "<services xmlns='urn:xmpp:extdisco:2' type='turns'/>");
    assert!(turns.contains("<services xmlns='urn:xmpp:extdisco:2' type='turns'><service type='turns' host='relay.example' port='443'"));
    assert_eq!(turns.matches("<service ").count(), 1);
    let stanza = Stanza::parse(turns.as_bytes()).unwrap();
    let services = stanza.children().next().unwrap();
    let service = services.children().next().unwrap();
    let username = service.attr("username").unwrap();
    let (expiry, name) = username.split_once(':').unwrap();
    assert_eq!(name.len(), 16);
    assert!(!turns.replace(&jid(ROMEO), "").contains("15551230001"), "{turns}");
    let expires = chaski_xmpp::datetime::format(expiry.parse::<u64>().unwrap() * 1000);
    assert_eq!(service.attr("expires").unwrap()[..19], expires[..19]);
    // As coturn makes it.
    let mac = chaski_xmpp::sasl::Hash::Sha1.hmac(b"sixteen letters!", username.as_bytes());
    assert_eq!(*service.attr("password").unwrap(), chaski_xmpp::sasl::base64::encode(&mac));
    // Within a day it is the same name, the next day another; another account has another.
    let again = asks(&mut stage, romeo, "<services xmlns='urn:xmpp:extdisco:2'/>");
    assert!(again.contains(name));
    let juliet = stage.login(JULIET, "balcony");
    assert!(!asks(&mut stage, juliet, "<services xmlns='urn:xmpp:extdisco:2'/>").contains(name));
    stage.pass(24 * 3_600_000);
    assert!(!asks(&mut stage, romeo, "<services xmlns='urn:xmpp:extdisco:2'/>").contains(name));
}

#[test]
fn credentials_for_one_of_them() {
    let (mut stage, romeo) = with_relays();
    let mut credentials = |service: &str| {
        asks(&mut stage, romeo, &format!("<credentials xmlns='urn:xmpp:extdisco:2'>{service}</credentials>"))
    };
    let turn = credentials("<service host='Relay.example' type='turn'/>");
    assert!(turn.contains("<credentials xmlns='urn:xmpp:extdisco:2'><service type='turn'"), "{turn}");
    assert!(turn.contains(" password='") && turn.matches("<service ").count() == 1);
    assert_eq!(
        condition(&credentials("<service host='relay.example' type='turn' port='1'/>")),
        "item-not-found"
    );
    assert_eq!(condition(&credentials("<service host='other.example' type='turn'/>")), "item-not-found");
    assert_eq!(condition(&credentials("")), "bad-request");
}

#[test]
fn without_relays_there_is_nothing() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    assert!(!asks(&mut stage, romeo, INFO).contains("extdisco"));
    assert_eq!(
        condition(&asks(&mut stage, romeo, "<services xmlns='urn:xmpp:extdisco:2'/>")),
        "service-unavailable"
    );
}

#[test]
fn settings_of_a_conversation_stay_with_its_bookmark() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let notify =
        "<extensions><notify xmlns='urn:xmpp:notification-settings:1'><never/></notify></extensions>";
    let publish = format!(
        "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'>\
         <item id='band@rooms.example'><conference xmlns='urn:xmpp:bookmarks:1' name='Band'>{notify}</conference></item>\
         </publish></pubsub></iq>"
    );
    stage.send(romeo, &publish);
    assert!(stage.stanzas(romeo)[0].contains("type='result'"));
    // A client of the old kind knows nothing of them, and renames the conversation.
    stage.send(
        romeo,
        "<iq type='set' id='o'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>\
         <conference jid='band@rooms.example' name='The band'/></storage></query></iq>",
    );
    assert!(stage.stanzas(romeo).iter().any(|stanza| stanza.contains("id='o' type='result'")));
    stage.crash();
    let romeo = stage.login(ROMEO, "street");
    stage.send(
        romeo,
        "<iq type='get' id='g'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub></iq>",
    );
    let got = stage.stanzas(romeo).remove(0);
    assert!(
        got.contains("The band")
            && got.contains("<notify xmlns='urn:xmpp:notification-settings:1'><never/></notify>"),
        "{got}"
    );
}
