//! A stanza sees what the one before it has changed (docs/promises.md, M8; RFC 6120 §10.1), however slow the disk is that has to keep it.

use super::blocking::{command, couple};
use super::*;
use crate::wire::Closed;

/// What a client writes at once, while the disk takes its time; then all is done.
fn write_all(stage: &mut Stage, client: Client, stanzas: &[String]) {
    stage.hold_store(true);
    for stanza in stanzas {
        stage.begin_send(client, stanza);
    }
    stage.settle();
    stage.hold_store(false);
    stage.settle();
}

fn get(payload: &str) -> String {
    format!("<iq type='get' id='g1'>{payload}</iq>")
}

fn set(payload: &str) -> String {
    format!("<iq type='set' id='s1'>{payload}</iq>")
}

#[test]
fn who_is_blocked_gets_nothing_that_was_said_behind_it() {
    let (mut stage, romeo, juliet) = couple();
    let behind = [
        command("block", &[jid(ROMEO)]),
        "<presence><show>dnd</show></presence>".to_owned(),
        format!("<presence to='{}'/>", jid(ROMEO)),
        chat(ROMEO, "for nobody"),
    ];
    write_all(&mut stage, juliet, &behind);
    let seen = stage.stanzas(romeo);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].contains("type='unavailable'"), "{seen:?}");
}

#[test]
fn who_is_unblocked_gets_what_was_said_behind_it() {
    let (mut stage, romeo, juliet) = couple();
    write_all(&mut stage, juliet, &[command("block", &[jid(ROMEO)])]);
    stage.received(romeo);
    write_all(&mut stage, juliet, &[command("unblock", &[jid(ROMEO)]), chat(ROMEO, "again")]);
    assert_eq!(heard(&mut stage, romeo), ["again"]);
}

#[test]
fn changes_stand_in_line_behind_one_another() {
    let (mut stage, romeo, juliet) = couple();
    let mut behind = ["block", "unblock", "block"].map(|name| command(name, &[jid(ROMEO)])).to_vec();
    behind.push(chat(ROMEO, "for nobody"));
    behind.extend([command("unblock", &[jid(ROMEO)]), chat(ROMEO, "at last")]);
    write_all(&mut stage, juliet, &behind);
    assert_eq!(heard(&mut stage, romeo), ["at last"]);
}

#[test]
fn who_ends_the_stream_behind_a_change_is_heard_to_the_end() {
    let (mut stage, romeo, juliet) = couple();
    stage.hold_store(true);
    let behind =
        [command("block", &[jid(ROMEO)]), chat(ROMEO, "for nobody"), command("unblock", &[jid(ROMEO)])];
    for stanza in behind.iter().chain(&[chat(ROMEO, "farewell")]) {
        stage.begin_send(juliet, stanza);
    }
    stage.lose(juliet, Closed::Clean);
    stage.settle();
    stage.hold_store(false);
    stage.settle();
    assert_eq!(heard(&mut stage, romeo), ["farewell"]);
    let session = stage.session(juliet);
    assert_eq!(session, None, "it has ended");
}

#[test]
fn a_change_that_the_disk_refuses_lets_on_what_was_said_behind_it() {
    let (mut stage, romeo, juliet) = couple();
    stage.engine.fail_next(chaski_store::StoreError::Full);
    write_all(&mut stage, juliet, &[command("block", &[jid(ROMEO)]), chat(ROMEO, "not blocked")]);
    assert_eq!(heard(&mut stage, romeo), ["not blocked"]);
}

#[test]
fn who_is_shown_to_nobody_is_not_seen_to_come() {
    let (mut stage, romeo, juliet) = couple();
    stage.send(juliet, "<presence type='unavailable'/>");
    stage.received(romeo);
    let command = |more: &str| {
        set(&format!(
            "<command xmlns='http://jabber.org/protocol/commands' node='urn:chaski:privacy:0'{more}</command>"
        ))
        .replace("<iq ", "<iq to='chaski.example' ")
    };
    stage.send(juliet, &command(" action='execute'>"));
    let form = stage.stanzas(juliet).pop().unwrap();
    let id = form.split_once("sessionid='").unwrap().1.split_once('\'').unwrap().0.to_owned();
    let fields = "<field var='online'><value>nobody</value></field>";
    let privacy = command(&format!(" sessionid='{id}'><x xmlns='jabber:x:data' type='submit'>{fields}</x>"));
    write_all(&mut stage, juliet, &[privacy, "<presence/>".to_owned()]);
    let told = stage.stanzas(juliet);
    assert!(told.iter().any(|stanza| stanza.contains("status='completed'")), "{told:?}");
    assert_eq!(stage.stanzas(romeo), [""; 0]);
}

#[test]
fn what_is_read_behind_a_change_is_what_it_has_made() {
    let (mut stage, _, juliet) = couple();
    let list = get("<blocklist xmlns='urn:xmpp:blocking'/>");
    write_all(&mut stage, juliet, &[command("block", &[jid(ROMEO)]), list]);
    let told = stage.stanzas(juliet).pop().unwrap();
    assert!(told.contains("<blocklist") && told.contains(ROMEO), "{told}");

    let card = set("<vCard xmlns='vcard-temp'><FN>Juliet C.</FN></vCard>");
    write_all(&mut stage, juliet, &[card, get("<vCard xmlns='vcard-temp'/>")]);
    let told = stage.stanzas(juliet).pop().unwrap();
    assert!(told.contains("id='g1'") && told.contains("Juliet C."), "{told}");

    let item = "<item id='x'><mood xmlns='http://jabber.org/protocol/mood'/></item>";
    let node = "http://jabber.org/protocol/mood";
    let publish = set(&format!(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{node}'>{item}</publish></pubsub>"
    ));
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let items = get(items).replace("<iq ", &format!("<iq to='{}' ", jid(JULIET)));
    write_all(&mut stage, juliet, &[publish, items]);
    let told = stage.stanzas(juliet).pop().unwrap();
    assert!(told.contains("id='g1'") && told.contains(node), "{told}");
}

#[test]
fn documents_of_all_kinds_change_in_one_line() {
    let (mut stage, _, juliet) = couple();
    let item = |name: &str| {
        set(&format!("<query xmlns='jabber:iq:roster'><item jid='{}' name='{name}'/></query>", jid(NURSE)))
    };
    let id = |id: &str, stanza: String| stanza.replace("id='s1'", &format!("id='{id}'"));
    let changes = [
        id("a", item("Nurse")),
        id("b", set("<vCard xmlns='vcard-temp'><FN>Juliet C.</FN></vCard>")),
        id("c", item("Angelica")),
        command("block", &[jid("+15551239999")]).replace(" id='b1'", " id='d'"),
        id("e", item("")),
    ];
    write_all(&mut stage, juliet, &changes);
    let told = stage.stanzas(juliet);
    let told: Vec<&str> = told
        .iter()
        .filter(|stanza| stanza.contains("type='result'"))
        .map(|stanza| stanza.split_once("id='").unwrap().1.split('\'').next().unwrap())
        .collect();
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.starts_with(&["a", "b", "c"]) && told.ends_with(&["e"]), "{told:?}");
    stage.crash();
    let juliet = stage.login(JULIET, "balcony");
    stage.send(juliet, &get("<query xmlns='jabber:iq:roster'/>"));
    let roster = stage.stanzas(juliet).pop().unwrap();
    assert!(roster.contains(NURSE) && !roster.contains("Angelica"), "the last of them: {roster}");
    stage.send(juliet, &get("<blocklist xmlns='urn:xmpp:blocking'/>"));
    assert!(stage.stanzas(juliet).pop().unwrap().contains("+15551239999"));
}

#[test]
fn an_item_of_the_phone_book_is_gone_for_what_is_read_behind_its_removal() {
    let (mut stage, _, juliet) = couple();
    let query = |inner: &str| format!("<query xmlns='jabber:iq:roster'>{inner}</query>");
    stage.arrive(NURSE, "hall");
    super::books::sync(&mut stage, juliet, &[NURSE]);
    stage.send(juliet, &get(&query("")));
    assert!(stage.stanzas(juliet).pop().unwrap().contains(NURSE));
    let remove = set(&query(&format!("<item jid='{}' subscription='remove'/>", jid(NURSE))));
    write_all(&mut stage, juliet, &[remove, get(&query(""))]);
    let told = stage.stanzas(juliet).pop().unwrap();
    assert!(told.contains("id='g1'") && !told.contains(NURSE), "{told}");
}
