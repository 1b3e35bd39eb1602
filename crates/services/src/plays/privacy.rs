//! Privacy: who sees what of whom, at once after a change, by form, and both ways where people expect it.

use super::blocking::befriend;
use super::*;
use crate::account::settings::{Audience, Patch, What};
use crate::effects::turn::command::{PrivacyChange, Refusal, SetPrivacy};
use crate::wire::Closed;

const LAST: &str = "<query xmlns='jabber:iq:last'/>";
const MARK: &str = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>";

fn couple() -> (Stage, Client, Client) {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    befriend(&mut stage, (romeo, ROMEO), (juliet, JULIET));
    (stage, romeo, juliet)
}

/// Changes settings as over HTTPS.
fn set(stage: &mut Stage, who: &str, json: &str) {
    let patch: Patch = serde_json::from_str(json).unwrap();
    stage.command(who, SetPrivacy(Some(PrivacyChange { patch, whole: false }))).unwrap();
}

fn asks_last(stage: &mut Stage, client: Client, whom: &str) -> String {
    stage.received(client);
    stage.send(client, &format!("<iq type='get' id='l' to='{}'>{LAST}</iq>", jid(whom)));
    stage.stanzas(client).pop().unwrap()
}

#[test]
fn hiding_and_showing_that_one_is_online_is_seen_at_once() {
    let (mut stage, romeo, juliet) = couple();
    set(&mut stage, JULIET, r#"{"online":{"show":"nobody"}}"#);
    let seen = stage.stanzas(romeo);
    assert!(seen.len() == 1 && seen[0].contains("type='unavailable'"), "{seen:?}");
    stage.send(juliet, "<presence><show>away</show></presence>");
    stage.send(romeo, &format!("<presence to='{}' type='probe'/>", jid(JULIET)));
    stage.send(juliet, "<presence type='unavailable'/>");
    assert_eq!(stage.stanzas(romeo), [""; 0]);
    stage.send(juliet, "<presence><show>chat</show></presence>");
    set(&mut stage, JULIET, r#"{"online":{"always":["+15551230001"]}}"#);
    let seen = stage.stanzas(romeo);
    assert!(seen.len() == 1 && seen[0].contains("<show>chat</show>"), "{seen:?}");
    set(&mut stage, JULIET, r#"{"online":{"show":"everyone","never":["+15551230001"]}}"#);
    assert!(stage.stanzas(romeo)[0].contains("type='unavailable'"), "never beats always");
    stage.crash();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    assert!(!stage.stanzas(romeo).iter().any(|s| s.contains(&jid(JULIET))), "it is kept");
    assert!(stage.stanzas(juliet).iter().any(|s| s.contains(&jid(ROMEO))), "she sees him");
}

#[test]
fn who_is_not_shown_presence_does_not_learn_of_a_session_otherwise() {
    let (mut stage, romeo, juliet) = couple();
    set(&mut stage, JULIET, r#"{"online":{"show":"nobody"}}"#);
    stage.received(romeo);
    let full = format!("{}/balcony", jid(JULIET));
    stage.send(romeo, &format!("<iq to='{full}' type='get' id='i'><ping xmlns='urn:xmpp:ping'/></iq>"));
    assert_eq!(condition(&stage.stanzas(romeo)[0]), "service-unavailable");
    let last = asks_last(&mut stage, romeo, JULIET);
    assert!(last.contains("type='result'") && stage.stanzas(juliet).is_empty(), "{last}");
    stage.pass(60_000);
    let last = asks_last(&mut stage, romeo, JULIET);
    assert!(last.contains("type='result'") && !last.contains("seconds='0'"), "not that she is there: {last}");
    stage.send(romeo, &format!("<presence to='{}' type='unsubscribe'/>", jid(JULIET)));
    let seen = stage.stanzas(romeo);
    assert!(!seen.iter().any(|s| s.contains("/balcony")), "{seen:?}");
}

#[test]
fn everyone_means_strangers_too() {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (_juliet, _) = stage.arrive(JULIET, "balcony");
    set(&mut stage, JULIET, r#"{"online":{"show":"everyone"},"last_seen":{"show":"everyone"}}"#);
    stage.send(romeo, &format!("<presence to='{}' type='probe'/>", jid(JULIET)));
    assert!(stage.stanzas(romeo).iter().any(|s| s.contains("/balcony'")));
    assert!(asks_last(&mut stage, romeo, JULIET).contains("seconds='0'"));
}

#[test]
fn last_seen_is_hidden_from_and_for_who_hides_it() {
    let (mut stage, romeo, juliet) = couple();
    assert!(asks_last(&mut stage, romeo, JULIET).contains("seconds='0'"));
    set(&mut stage, JULIET, r#"{"last_seen":{"show":"nobody"}}"#);
    for (who, whom) in [(romeo, JULIET), (juliet, ROMEO)] {
        assert_eq!(condition(&asks_last(&mut stage, who, whom)), "service-unavailable", "{whom}");
    }
    assert!(asks_last(&mut stage, juliet, JULIET).contains("seconds='0'"), "her own");
    stage.received(juliet);
    stage.send(romeo, &format!("<iq type='get' id='l' to='{}/balcony'>{LAST}</iq>", jid(JULIET)));
    assert_eq!(condition(&stage.stanzas(romeo)[0]), "service-unavailable");
    assert_eq!(stage.stanzas(juliet), [""; 0], "nor is her client asked, which would tell");
    set(&mut stage, JULIET, r#"{"last_seen":{"always":["+15551230001"]}}"#);
    for (who, whom) in [(romeo, JULIET), (juliet, ROMEO)] {
        assert!(asks_last(&mut stage, who, whom).contains("seconds='0'"), "{whom}");
    }
}

#[test]
fn idle_times_follow_last_seen() {
    let (mut stage, romeo, juliet) = couple();
    let idle =
        "<presence><show>away</show><idle xmlns='urn:xmpp:idle:1' since='2026-01-01T00:00:00Z'/></presence>";
    stage.send(juliet, idle);
    assert!(stage.stanzas(romeo)[0].contains("urn:xmpp:idle:1"));
    set(&mut stage, JULIET, r#"{"last_seen":{"show":"nobody"}}"#);
    let seen = stage.stanzas(romeo);
    assert!(
        seen.len() == 1 && seen[0].contains("<show>away</show>") && !seen[0].contains("idle"),
        "{seen:?}"
    );
    stage.received(juliet);
    stage.send(juliet, idle);
    assert!(!stage.stanzas(romeo)[0].contains("idle"));
    assert!(stage.stanzas(juliet)[0].contains("idle"), "her own sessions see it");
    stage.send(romeo, idle);
    let seen = stage.stanzas(juliet);
    assert!(seen.len() == 1 && !seen[0].contains("idle"), "nor does she see his: {seen:?}");
}

#[test]
fn read_marks_are_neither_sent_nor_shown_and_receipts_are() {
    let (mut stage, romeo, juliet) = couple();
    set(&mut stage, JULIET, r#"{"read_marks":{"show":"nobody"}}"#);
    let mark = |to: &str, more: &str| format!("<message to='{}' type='chat'>{MARK}{more}</message>", jid(to));
    let receipt = "<received xmlns='urn:xmpp:receipts' id='1'/>";
    for (sender, recipient, to) in [(juliet, romeo, ROMEO), (romeo, juliet, JULIET)] {
        stage.send(sender, &mark(to, ""));
        stage.send(sender, "<r xmlns='urn:xmpp:sm:3'/>");
        let got = stage.received(sender);
        assert!(got.len() == 1 && got[0].starts_with("<a "), "accepted as ever: {got:?}");
        assert_eq!(stage.stanzas(recipient), [""; 0]);
        stage.send(sender, &mark(to, receipt));
        let got = stage.stanzas(recipient);
        assert!(got.len() == 1 && got[0].contains(receipt) && !got[0].contains("displayed"), "{got:?}");
        stage.send(sender, &mark(to, "<body>x</body>"));
        assert_eq!(heard(&mut stage, recipient), ["x"]);
    }
    set(&mut stage, JULIET, r#"{"read_marks":{"show":"everyone"}}"#);
    stage.send(juliet, &mark(ROMEO, ""));
    assert!(stage.stanzas(romeo)[0].contains("displayed"));
}

#[test]
fn a_read_mark_that_is_not_passed_on_still_reaches_the_own_sessions() {
    let (mut stage, _romeo, juliet) = couple();
    let (other, _) = stage.arrive(JULIET, "chamber");
    stage.send(other, "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    stage.received(other);
    set(&mut stage, JULIET, r#"{"read_marks":{"show":"nobody"}}"#);
    stage.send(juliet, &format!("<message to='{}' type='chat'>{MARK}</message>", jid(ROMEO)));
    let got = stage.stanzas(other);
    assert!(
        got.len() == 1 && got[0].contains("urn:xmpp:carbons:2") && got[0].contains("displayed"),
        "{got:?}"
    );
}

#[test]
fn who_knew_a_resource_is_not_told_that_it_is_still_there() {
    let (mut stage, romeo, _juliet) = couple();
    let phone = stage.connect(JULIET);
    let full = stage.bind(phone, JULIET, 1, None).unwrap().full_jid;
    stage.send(phone, "<presence/>");
    stage.received(romeo);
    let ping = format!("<iq to='{full}' type='get' id='i'><ping xmlns='urn:xmpp:ping'/></iq>");
    stage.send(romeo, &ping);
    assert!(stage.stanzas(phone).iter().any(|stanza| stanza.contains("urn:xmpp:ping")));
    set(&mut stage, JULIET, r#"{"online":{"show":"nobody"}}"#);
    stage.received(romeo);
    stage.send(romeo, &ping);
    assert_eq!(condition(&stage.stanzas(romeo)[0]), "service-unavailable");
    assert_eq!(stage.stanzas(phone), [""; 0]);
}

#[test]
fn any_client_can_change_settings_by_a_form() {
    let (mut stage, romeo, juliet) = couple();
    let command = |more: &str| {
        format!(
            "<iq type='set' to='chaski.example' id='c'><command xmlns='http://jabber.org/protocol/commands' \
             node='urn:chaski:privacy:0'{more}</command></iq>"
        )
    };
    stage.send(juliet, &command(" action='execute'>"));
    let form = stage.stanzas(juliet).pop().unwrap();
    assert!(form.contains("status='executing'") && form.contains("var='online'"), "{form}");
    let id = form.split_once("sessionid='").unwrap().1.split_once('\'').unwrap().0.to_owned();
    let submit = |value: &str| {
        command(&format!(
            " sessionid='{id}'><x xmlns='jabber:x:data' type='submit'>\
             <field var='online'><value>{value}</value></field>\
             <field var='photo_never'><value>+15551230001</value></field></x>"
        ))
    };
    stage.send(juliet, &submit("friends"));
    assert_eq!(condition(&stage.stanzas(juliet)[0]), "bad-request");
    stage.send(juliet, &submit("nobody"));
    assert!(stage.stanzas(juliet).last().unwrap().contains("status='completed'"));
    assert!(stage.stanzas(romeo)[0].contains("type='unavailable'"));
    let view = stage.command(JULIET, SetPrivacy(None)).unwrap();
    assert_eq!(view[&What::Online].show, Audience::Nobody);
    assert_eq!(view[&What::Photo].never, ["+15551230001"]);
}

#[test]
fn bad_settings_and_floods_are_refused() {
    let (mut stage, romeo, juliet) = couple();
    let patch: Patch = serde_json::from_str(r#"{"online":{"show":"nobody","never":["12"]}}"#).unwrap();
    let refused = stage.command(JULIET, SetPrivacy(Some(PrivacyChange { patch, whole: true })));
    assert!(matches!(refused, Err(Refusal::NotAcceptable(_))), "{refused:?}");
    assert_eq!(stage.stanzas(romeo), [""; 0]);
    stage.hold_store(true);
    let change = |show: &str| {
        let patch: Patch = serde_json::from_str(&format!(r#"{{"online":{{"show":"{show}"}}}}"#)).unwrap();
        SetPrivacy(Some(PrivacyChange { patch, whole: false }))
    };
    let pending: Vec<_> = (0..100)
        .map(|n| stage.begin(JULIET, change(if n % 2 == 0 { "nobody" } else { "contacts" })))
        .collect();
    assert_eq!(stage.stanzas(romeo), [""; 0], "nothing before it is durable");
    stage.hold_store(false);
    let outcomes: Vec<_> = pending.iter().map(|told| told.lock().unwrap().take().unwrap()).collect();
    let busy = outcomes.iter().filter(|outcome| matches!(outcome, Err(Refusal::Overloaded))).count();
    assert!((30..=40).contains(&busy), "one write at a time, and only so many wait: {busy}");
    assert!(stage.stanzas(romeo).len() <= 100 - busy);
    stage.send(juliet, &chat(ROMEO, "still well"));
    assert_eq!(heard(&mut stage, romeo), ["still well"]);
}

#[test]
fn an_account_that_is_away_can_be_changed_and_its_contacts_hear_nothing() {
    let (mut stage, romeo, juliet) = couple();
    stage.lose(juliet, Closed::Clean);
    stage.received(romeo);
    set(&mut stage, JULIET, r#"{"online":{"show":"nobody"}}"#);
    set(&mut stage, JULIET, r#"{"online":{"show":"contacts"}}"#);
    assert_eq!(stage.stanzas(romeo), [""; 0]);
}

/// As all else: who is not shown that she is there is told what he is told of nobody, and whoever is shown it hears of her.
#[test]
fn what_an_account_can_is_told_to_whom_it_is_shown() {
    let (mut stage, romeo, _) = couple();
    let ask = |stage: &mut Stage| {
        stage.received(romeo);
        let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        stage.send(romeo, &format!("<iq type='get' id='d' to='{}'>{info}</iq>", jid(JULIET)));
        stage.stanzas(romeo).pop().unwrap()
    };
    assert!(ask(&mut stage).contains("type='pep'"));
    set(&mut stage, JULIET, r#"{"online":{"show":"nobody"}}"#);
    assert_eq!(condition(&ask(&mut stage)), "service-unavailable");
    set(&mut stage, JULIET, r#"{"online":{"show":"everyone","never":["+15551230001"]}}"#);
    assert_eq!(condition(&ask(&mut stage)), "service-unavailable");
    set(&mut stage, JULIET, r#"{"online":{"never":[]}}"#);
    assert!(ask(&mut stage).contains("type='pep'"));
    stage.send(romeo, &format!("<presence to='{}' type='unsubscribe'/>", jid(JULIET)));
    assert!(ask(&mut stage).contains("type='pep'"), "to everyone");
}

/// XEP-0012 §4: who is connected and says that he is not there is away since then, however long he stays connected.
#[test]
fn who_is_connected_and_not_available_is_away_since_he_said_so() {
    const MINUTE_MS: u64 = 60_000;
    let (mut stage, romeo, juliet) = couple();
    let second = stage.login(JULIET, "hall");
    let seconds = |stage: &mut Stage| {
        let answer = asks_last(stage, romeo, JULIET);
        answer.split_once("seconds='").unwrap().1.split_once('\'').unwrap().0.parse::<u64>().unwrap()
    };
    stage.now_ms += 300 * MINUTE_MS;
    assert_eq!(seconds(&mut stage), 0, "one is available");
    stage.send(juliet, "<presence type='unavailable'/>");
    stage.now_ms += 2 * MINUTE_MS;
    assert_eq!(seconds(&mut stage), 120);
    stage.now_ms += 600 * MINUTE_MS;
    stage.send(juliet, "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(seconds(&mut stage), 602 * 60, "what it does meanwhile is not told");
    stage.lose(juliet, Closed::Clean);
    stage.login(JULIET, "street");
    assert_eq!(seconds(&mut stage), 602 * 60, "nor that another has come");
    stage.send(second, "<presence/>");
    assert_eq!(seconds(&mut stage), 0);
}
