//! Personal eventing: publish, fetch, be told; nobody sees what is not for him.

use super::interests::{announce, answer, befriend, presence_of, question, subscribe};
use super::*;
use crate::effects::turn::command::{PrivacyChange, Refusal, SetPrivacy};
use crate::effects::turn::errand::ERRANDS_MAX;
use crate::testing::Stage;

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

/// Publishes an item; what the client got.
fn publish(stage: &mut Stage, client: Client, node: &str, id: &str, payload: &str) -> Vec<String> {
    publish_with(stage, client, node, id, payload, &[])
}

fn publish_with(
    stage: &mut Stage,
    client: Client,
    node: &str,
    id: &str,
    payload: &str,
    options: &[(&str, &str)],
) -> Vec<String> {
    let fields: String = options
        .iter()
        .map(|(var, value)| format!("<field var='pubsub#{var}'><value>{value}</value></field>"))
        .collect();
    let options = match options {
        [] => String::new(),
        _ => {
            format!("<publish-options><x xmlns='jabber:x:data' type='submit'>{fields}</x></publish-options>")
        }
    };
    ask(
        stage,
        client,
        "set",
        None,
        &format!(
            "<pubsub xmlns='{PUBSUB}'><publish node='{node}'><item id='{id}'>{payload}</item></publish>{options}</pubsub>"
        ),
    )
}

/// Sends a request and takes what was received.
fn ask(stage: &mut Stage, client: Client, kind: &str, to: Option<&str>, child: &str) -> Vec<String> {
    let to = to.map(|to| format!(" to='{to}'")).unwrap_or_default();
    stage.send(client, &format!("<iq type='{kind}' id='q'{to}>{child}</iq>"));
    stage.stanzas(client)
}

/// Fetches a node's items; the one answer.
fn fetch(stage: &mut Stage, client: Client, of: &str, node: &str) -> String {
    let child = format!("<pubsub xmlns='{PUBSUB}'><items node='{node}'/></pubsub>");
    let mut got = ask(stage, client, "get", Some(&jid(of)), &child);
    assert_eq!(got.len(), 1, "{got:?}");
    got.remove(0)
}

fn owner(stage: &mut Stage, client: Client, kind: &str, inner: &str) -> String {
    let child = format!("<pubsub xmlns='{PUBSUB}#owner'>{inner}</pubsub>");
    ask(stage, client, kind, None, &child).remove(0)
}

/// Only the notifications.
fn events(stanzas: &[String]) -> Vec<&String> {
    stanzas.iter().filter(|stanza| stanza.contains("pubsub#event")).collect()
}

#[test]
fn what_is_published_is_there_after_a_crash() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let long = format!("<b xmlns='urn:x'>{}</b>", "y".repeat(3_000));
    for (node, id, payload) in [("small", "1", "<a xmlns='urn:x'/>"), ("large", "2", &*long)] {
        let got = publish(&mut stage, romeo, node, id, payload);
        assert_eq!(got.len(), 1, "{got:?}");
        assert!(
            got[0].contains("type='result'") && got[0].contains(&format!("<item id='{id}'/>")),
            "{got:?}"
        );
    }
    stage.crash();
    let romeo = stage.login(ROMEO, "orchard");
    assert!(fetch(&mut stage, romeo, ROMEO, "small").contains("<item id='1'><a xmlns='urn:x'/></item>"));
    assert!(fetch(&mut stage, romeo, ROMEO, "large").contains(&long));
    assert_eq!(condition(&fetch(&mut stage, romeo, ROMEO, "nothing")), "item-not-found");
}

#[test]
fn an_item_without_id_gets_one() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let child = format!(
        "<pubsub xmlns='{PUBSUB}'><publish node='n'><item><a xmlns='urn:x'/></item></publish></pubsub>"
    );
    let got = ask(&mut stage, romeo, "set", None, &child);
    let id = got[0].split("<item id='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    assert_eq!(id.len(), 32);
    assert!(fetch(&mut stage, romeo, ROMEO, "n").contains(&id));
}

#[test]
fn contacts_read_what_is_for_contacts_and_strangers_can_not_tell_it_from_nobody() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    let nurse = stage.login(NURSE, "house");
    befriend(&mut stage, romeo, juliet);
    for (node, access) in [("for-friends", "presence"), ("for-all", "open"), ("for-me", "whitelist")] {
        publish_with(&mut stage, romeo, node, "1", "<a xmlns='urn:x'/>", &[("access_model", access)]);
    }
    assert!(fetch(&mut stage, juliet, ROMEO, "for-friends").contains("urn:x"));
    assert!(fetch(&mut stage, juliet, ROMEO, "for-all").contains("urn:x"));
    assert_eq!(condition(&fetch(&mut stage, juliet, ROMEO, "for-me")), "not-allowed");
    assert_eq!(condition(&fetch(&mut stage, juliet, ROMEO, "nothing")), "item-not-found");
    assert!(fetch(&mut stage, nurse, ROMEO, "for-all").contains("urn:x"));
    let nobody = fetch(&mut stage, nurse, "+15559999999", "for-friends");
    for node in ["for-friends", "for-me", "nothing"] {
        let refused = fetch(&mut stage, nurse, ROMEO, node);
        assert_eq!(refused, nobody.replace("+15559999999", ROMEO), "{node}");
    }
    // Nor does anything else that a stranger may try.
    for inner in [
        "<publish node='for-all'><item><a xmlns='urn:x'/></item></publish>",
        "<subscriptions/>",
        "<affiliations/>",
        "<retract node='for-all'><item id='1'/></retract>",
    ] {
        for kind in ["get", "set"] {
            let child = format!("<pubsub xmlns='{PUBSUB}'>{inner}</pubsub>");
            let got = ask(&mut stage, nurse, kind, Some(&jid(ROMEO)), &child);
            assert_eq!(condition(&got[0]), "service-unavailable", "{kind} {inner}");
        }
    }
}

#[test]
fn who_is_interested_is_told_and_nobody_else() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    let deaf = stage.login(JULIET, "deaf");
    let nurse = stage.login(NURSE, "house");
    befriend(&mut stage, romeo, juliet);
    for client in [romeo, juliet, nurse] {
        announce(&mut stage, client, &["urn:x"]);
    }
    announce(&mut stage, deaf, &["urn:other"]);
    for client in [romeo, juliet, deaf, nurse] {
        stage.stanzas(client);
    }
    let own = publish(&mut stage, romeo, "urn:x", "1", "<a xmlns='urn:x'/>");
    assert_eq!((own.len(), events(&own).len()), (2, 1), "the answer and the own notification: {own:?}");
    let told = stage.stanzas(juliet);
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        &format!("from='{}'", jid(ROMEO)),
        &format!("to='{}/balcony'", jid(JULIET)),
        "type='headline'",
        "<items node='urn:x'><item id='1'><a xmlns='urn:x'/></item></items>",
    ] {
        assert!(told[0].contains(part), "{part} in {}", told[0]);
    }
    assert_eq!(stage.stanzas(deaf), [""; 0]);
    assert_eq!(stage.stanzas(nurse), [""; 0]);
    assert_eq!(stage.waiting(JULIET), 0, "no mailbox has it");
    // What is for the owner alone is told to the owner alone.
    publish_with(&mut stage, romeo, "urn:y", "1", "<a xmlns='urn:x'/>", &[("access_model", "whitelist")]);
    assert_eq!(stage.stanzas(juliet), [""; 0]);
}

#[test]
fn removals_are_told() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    befriend(&mut stage, romeo, juliet);
    announce(&mut stage, juliet, &["urn:x"]);
    let options = [("max_items", "max")];
    for id in ["1", "2", "3"] {
        publish_with(&mut stage, romeo, "urn:x", id, "<a xmlns='urn:x'/>", &options);
    }
    stage.stanzas(juliet);
    let retract = format!("<pubsub xmlns='{PUBSUB}'><retract node='urn:x'><item id='2'/></retract></pubsub>");
    assert!(ask(&mut stage, romeo, "set", None, &retract)[0].contains("result"));
    assert!(stage.stanzas(juliet)[0].contains("<retract id='2'/>"));
    assert_eq!(condition(&ask(&mut stage, romeo, "set", None, &retract)[0]), "item-not-found");
    let left = fetch(&mut stage, juliet, ROMEO, "urn:x");
    assert!(left.contains("id='1'") && left.contains("id='3'") && !left.contains("id='2'"), "{left}");
    owner(&mut stage, romeo, "set", "<purge node='urn:x'/>");
    assert!(stage.stanzas(juliet)[0].contains("<purge node='urn:x'/>"));
    owner(&mut stage, romeo, "set", "<delete node='urn:x'/>");
    assert!(stage.stanzas(juliet)[0].contains("<delete node='urn:x'/>"));
    assert_eq!(condition(&fetch(&mut stage, juliet, ROMEO, "urn:x")), "item-not-found");
}

#[test]
fn the_last_item_comes_with_the_login_even_from_who_is_away() {
    let mut stage = Stage::new(3);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    befriend(&mut stage, romeo, juliet);
    let long = format!("<b xmlns='urn:x'>{}</b>", "y".repeat(3_000));
    publish(&mut stage, romeo, "urn:x", "1", "<a xmlns='urn:x'/>");
    publish(&mut stage, romeo, "urn:y", "1", &long);
    publish_with(
        &mut stage,
        romeo,
        "urn:never",
        "1",
        "<n xmlns='urn:x'/>",
        &[("send_last_published_item", "never")],
    );
    stage.crash();
    let juliet = stage.login(JULIET, "balcony");
    let got = announce(&mut stage, juliet, &["urn:x", "urn:y", "urn:never"]);
    let told = events(&got);
    assert_eq!(told.len(), 2, "{got:?}");
    assert!(told.iter().all(|event| event.contains("<delay ")), "{told:?}");
    assert!(told.iter().any(|event| event.contains(&long)));
    // The same client again needs no question: its hash is known.
    stage.lose(juliet, crate::wire::Closed::Clean);
    let juliet = stage.login(JULIET, "balcony");
    stage.send(juliet, &presence_of(&["urn:x", "urn:y", "urn:never"]));
    let got = stage.stanzas(juliet);
    assert!(!got.iter().any(|stanza| stanza.contains("disco#info")), "{got:?}");
    assert_eq!(events(&got).len(), 2);
    // The owner's own session gets its own.
    let romeo = stage.login(ROMEO, "orchard");
    assert_eq!(events(&announce(&mut stage, romeo, &["urn:x"])).len(), 1);
}

#[test]
fn short_of_memory_nobody_is_loaded_for_last_items() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    befriend(&mut stage, romeo, juliet);
    publish(&mut stage, romeo, "urn:x", "1", "<a xmlns='urn:x'/>");
    stage.crash();
    stage.pressure = crate::realm::Pressure::Presence;
    let juliet = stage.login(JULIET, "balcony");
    assert!(events(&announce(&mut stage, juliet, &["urn:x"])).is_empty());
    assert_eq!((0..2).map(|shard| stage.resident(shard)).sum::<usize>(), 1);
}

#[test]
fn a_new_friend_gets_the_last_item() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    publish(&mut stage, romeo, "urn:x", "1", "<a xmlns='urn:x'/>");
    announce(&mut stage, juliet, &["urn:x"]);
    let before = stage.stanzas(juliet);
    assert!(events(&before).is_empty());
    subscribe(&mut stage, juliet, romeo);
    let got = stage.stanzas(juliet);
    assert_eq!(events(&got).len(), 1, "{got:?}");
}

#[test]
fn interests_are_believed_of_who_says_them_and_of_nobody_else() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let tybalt = stage.login(NURSE, "street");
    // Tybalt announces the hash of an ordinary client and answers with something else.
    stage.send(tybalt, &presence_of(&["urn:x"]));
    let asked = question(&mut stage, tybalt).expect("the hash is unknown");
    answer(&mut stage, tybalt, &asked, &["urn:poison"]);
    publish(&mut stage, tybalt, "urn:poison", "1", "<a xmlns='urn:x'/>");
    let got = stage.stanzas(tybalt);
    assert!(got.is_empty(), "it was taken with the answer: {got:?}");
    // Romeo is asked all the same, and has his own.
    stage.send(romeo, &presence_of(&["urn:x"]));
    assert!(question(&mut stage, romeo).is_some(), "nothing false was remembered");
}

#[test]
fn preconditions_and_configuration() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let node = "eu.siacs.conversations.axolotl.bundles:1";
    publish_with(&mut stage, romeo, node, "current", "<bundle xmlns='eu.siacs.conversations.axolotl'/>", &[]);
    let open = [("access_model", "open"), ("persist_items", "true")];
    let refused = publish_with(&mut stage, romeo, node, "current", "<bundle xmlns='e'/>", &open);
    assert_eq!(condition(&refused[0]), "conflict");
    assert!(refused[0].contains("<precondition-not-met xmlns='http://jabber.org/protocol/pubsub#errors'/>"));
    let form = owner(&mut stage, romeo, "get", &format!("<configure node='{node}'/>"));
    assert!(
        form.contains("<field var='pubsub#access_model' type='list-single'><value>presence</value>"),
        "{form}"
    );
    let x = form[form.find("<x ").unwrap()..form.find("</configure>").unwrap()]
        .replace("type='form'", "type='submit'");
    let x = x.replace("<value>presence</value>", "<value>open</value>");
    let set = owner(&mut stage, romeo, "set", &format!("<configure node='{node}'>{x}</configure>"));
    assert!(set.contains("type='result'"), "{set}");
    let done = publish_with(&mut stage, romeo, node, "current", "<bundle xmlns='e'/>", &open);
    assert!(done[0].contains("type='result'"), "{done:?}");
    let nurse = stage.login(NURSE, "house");
    assert!(fetch(&mut stage, nurse, ROMEO, node).contains("<bundle xmlns='e'/>"));
}

#[test]
fn nodes_are_discovered_by_who_may_see_them() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    befriend(&mut stage, romeo, juliet);
    publish(&mut stage, romeo, "urn:x", "1", "<a xmlns='urn:x'/>");
    publish(&mut stage, romeo, "urn:xmpp:bookmarks:1", "a@b", "<conference xmlns='urn:xmpp:bookmarks:1'/>");
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let own = ask(&mut stage, romeo, "get", Some(&jid(ROMEO)), items).remove(0);
    let others = ask(&mut stage, juliet, "get", Some(&jid(ROMEO)), items).remove(0);
    assert!(own.contains("urn:x'") && own.contains("bookmarks"), "{own}");
    assert!(others.contains("urn:x'") && !others.contains("bookmarks"), "{others}");
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let info = ask(&mut stage, romeo, "get", Some(&jid(ROMEO)), info).remove(0);
    assert!(info.contains("<identity category='pubsub' type='pep'/>"), "{info}");
    assert!(info.contains("http://jabber.org/protocol/pubsub#publish-options"));
}

#[test]
fn a_contact_subscribes_by_name() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    befriend(&mut stage, romeo, juliet);
    stage.send(juliet, "<presence/>");
    publish(&mut stage, romeo, "urn:x", "1", "<a xmlns='urn:x'/>");
    stage.stanzas(juliet);
    let request = |name: &str| {
        format!("<pubsub xmlns='{PUBSUB}'><{name} node='urn:x' jid='{}'/></pubsub>", jid(JULIET))
    };
    let got = ask(&mut stage, juliet, "set", Some(&jid(ROMEO)), &request("subscribe"));
    assert!(got[0].contains("subscription='subscribed'"), "{got:?}");
    publish(&mut stage, romeo, "urn:x", "2", "<a xmlns='urn:x'/>");
    assert_eq!(events(&stage.stanzas(juliet)).len(), 1);
    let subscribers = owner(&mut stage, romeo, "get", "<subscriptions node='urn:x'/>");
    assert!(subscribers.contains(&format!("jid='{}'", jid(JULIET))), "{subscribers}");
    ask(&mut stage, juliet, "set", Some(&jid(ROMEO)), &request("unsubscribe"));
    publish(&mut stage, romeo, "urn:x", "3", "<a xmlns='urn:x'/>");
    assert!(events(&stage.stanzas(juliet)).is_empty());
    let again = ask(&mut stage, juliet, "set", Some(&jid(ROMEO)), &request("unsubscribe"));
    assert_eq!(condition(&again[0]), "unexpected-request");
}

/// XEP-0060 §6.1.7, XEP-0163 §4.3.4: of a contact and of one's own, whether the client says what it can or not.
#[test]
fn who_has_subscribed_by_name_gets_the_last_item_at_once_and_whenever_it_comes() {
    for shards in [1, 2] {
        let mut stage = Stage::new(shards);
        let romeo = stage.login(ROMEO, "orchard");
        let juliet = stage.login(JULIET, "balcony");
        befriend(&mut stage, romeo, juliet);
        stage.send(juliet, "<presence/>");
        let long = format!("<b xmlns='urn:x'>{}</b>", "y".repeat(3_000));
        let last = [("send_last_published_item", "on_sub_and_presence")];
        for (node, options) in [("urn:x", &last[..]), ("urn:never", &[("send_last_published_item", "never")])]
        {
            publish_with(&mut stage, romeo, node, "1", "<old xmlns='urn:x'/>", options);
            publish_with(&mut stage, romeo, node, "2", &long, options);
        }
        publish(&mut stage, romeo, "urn:other", "1", "<a xmlns='urn:x'/>");
        publish(&mut stage, juliet, "urn:own", "1", "<own xmlns='urn:x'/>");
        stage.stanzas(juliet);
        for (of, node) in [(ROMEO, "urn:x"), (ROMEO, "urn:never"), (JULIET, "urn:own")] {
            let child =
                format!("<pubsub xmlns='{PUBSUB}'><subscribe node='{node}' jid='{}'/></pubsub>", jid(JULIET));
            let got = ask(&mut stage, juliet, "set", Some(&jid(of)), &child);
            assert!(got[0].contains("subscription='subscribed'"), "the answer comes first: {got:?}");
            assert_eq!(events(&got).len(), usize::from(node != "urn:never"), "{node}: {got:?}");
            assert_eq!(events(&ask(&mut stage, juliet, "set", Some(&jid(of)), &child)).len(), 0, "once");
        }
        // It says nothing of what it can: from whoever is there, and from itself.
        stage.lose(juliet, crate::wire::Closed::Clean);
        let juliet = stage.login(JULIET, "balcony");
        stage.send(juliet, "<presence/>");
        let got = stage.stanzas(juliet);
        assert_eq!(events(&got).len(), 2, "{got:?}");
        assert!(
            got.iter().any(|event| event.contains(&long)) && got.iter().any(|event| event.contains("<own"))
        );
        stage.send(juliet, "<presence><show>away</show></presence>");
        assert_eq!(events(&stage.stanzas(juliet)).len(), 0, "it was there already");
        // It does, and wants nothing, or something else: also from who is away.
        for interests in [&[][..], &["urn:other"]] {
            stage.crash();
            let juliet = stage.login(JULIET, "balcony");
            let got = announce(&mut stage, juliet, interests);
            assert_eq!(events(&got).len(), 2 + interests.len(), "{interests:?}: {got:?}");
            assert_eq!(events(&announce(&mut stage, juliet, interests)).len(), 0, "once");
        }
    }
}

#[test]
fn a_node_that_fails_to_be_saved_is_as_it_was() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    publish(&mut stage, romeo, "urn:x", "1", "<a xmlns='urn:x'/>");
    stage.engine.fail_next(chaski_store::StoreError::Failed("a play".into()));
    let got = publish(&mut stage, romeo, "urn:x", "2", "<b xmlns='urn:x'/>");
    assert_eq!(condition(&got[0]), "internal-server-error", "{got:?}");
    assert!(fetch(&mut stage, romeo, ROMEO, "urn:x").contains("<a "));
}

#[test]
fn too_much_is_refused_by_name() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let large = format!("<a xmlns='urn:x'>{}</a>", "x".repeat(200_000));
    let got = publish(&mut stage, romeo, "urn:x", "1", &large);
    assert_eq!(condition(&got[0]), "not-acceptable");
    assert!(got[0].contains("payload-too-big"));
    let got = ask(
        &mut stage,
        romeo,
        "set",
        None,
        &format!("<pubsub xmlns='{PUBSUB}'><publish node='n'><item id='1'/></publish></pubsub>"),
    );
    assert!(got[0].contains("payload-required"), "{got:?}");
    let got =
        publish_with(&mut stage, romeo, "urn:x", "1", "<a xmlns='x'/>", &[("access_model", "authorize")]);
    assert!(got[0].contains("unsupported-access-model"), "{got:?}");
}

#[test]
fn one_publication_is_at_most_one_stanza_for_each_session_that_has_room() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    befriend(&mut stage, romeo, juliet);
    announce(&mut stage, juliet, &["urn:x"]);
    // She never acknowledges: notifications are dropped, her session goes on.
    for number in 0..2_000 {
        publish(&mut stage, romeo, "urn:x", "1", &format!("<a xmlns='urn:x'>{number}</a>"));
    }
    let got = stage.stanzas(juliet);
    assert!(events(&got).len() < 1_000, "{}", events(&got).len());
    assert_eq!(stage.closed_with(juliet), None);
}

#[test]
fn who_comes_and_goes_all_the_time_does_not_have_everything_sent_each_time() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    befriend(&mut stage, romeo, juliet);
    publish(&mut stage, romeo, "urn:x", "1", &format!("<a xmlns='urn:x'>{}</a>", "x".repeat(10_000)));
    let mut told = events(&announce(&mut stage, juliet, &["urn:x"])).len();
    for _ in 0..100 {
        stage.send(juliet, "<presence type='unavailable'/>");
        told += events(&announce(&mut stage, juliet, &["urn:x"])).len();
    }
    assert_eq!(told, 20);
    stage.pass(60_000);
    stage.send(juliet, "<presence type='unavailable'/>");
    assert_eq!(events(&announce(&mut stage, juliet, &["urn:x"])).len(), 1);
}

#[test]
fn a_malformed_request_has_one_error() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let form = "<x xmlns='jabber:x:data' type='submit'><field var='pubsub#max_items'><value>many</value></field></x>";
    for (name, inner) in [
        ("pubsub", String::new()),
        ("other", "<items node='n'/>".into()),
        ("pubsub", "<items/>".into()),
        ("pubsub", "<items node='n' max_items='x'/>".into()),
        ("pubsub", "<publish/>".into()),
        ("pubsub", "<publish node='n'/>".into()),
        ("pubsub", "<publish node='n'><item><a/><b/></item></publish>".into()),
        ("pubsub", "<publish node='n'><item><a/></item><item><b/></item></publish>".into()),
        ("pubsub", format!("<publish node='{}'><item><a/></item></publish>", "n".repeat(257))),
        ("pubsub", format!("<publish node='n'><item id='{}'><a/></item></publish>", "n".repeat(257))),
        (
            "pubsub",
            format!("<publish node='n'><item><a/></item></publish><publish-options>{form}</publish-options>"),
        ),
        ("pubsub", format!("<create node='n'/><configure>{form}</configure>")),
        ("pubsub", "<retract node='n'/>".into()),
        ("pubsub", "<subscribe node='n'/>".into()),
        ("pubsub", format!("<subscribe node='n' jid='{}'/>", jid(JULIET))),
        ("pubsub", "<made-up/>".into()),
    ] {
        for kind in ["get", "set"] {
            let got =
                ask(&mut stage, romeo, kind, None, &format!("<{name} xmlns='{PUBSUB}'>{inner}</{name}>"));
            assert_eq!(got.len(), 1, "{kind} {inner}: {got:?}");
            assert!(got[0].contains("type='error'"), "{kind} {inner}: {got:?}");
        }
    }
    for inner in [
        "<configure node='n'/>",
        "<configure/>",
        "<delete node='n'/>",
        "<purge/>",
        "<affiliations node='n'/>",
    ] {
        let got = owner(&mut stage, romeo, "set", inner);
        assert!(got.contains("type='error'"), "{inner}: {got}");
    }
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    assert!(!ask(&mut stage, romeo, "get", None, items)[0].contains("<item "), "nothing was made by the way");
}

#[test]
fn who_have_each_other_in_their_phone_books_need_no_ceremony() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    publish(&mut stage, romeo, "urn:x", "1", "<a xmlns='urn:x'/>");
    announce(&mut stage, juliet, &["urn:x"]);
    let sync = |stage: &mut Stage, client, number: &str| {
        let book = format!(
            "<phone-book xmlns='im.quicksy.synchronization:0' ver=''><entry number='{number}'/></phone-book>"
        );
        ask(stage, client, "get", Some("chaski.example"), &book)
    };
    sync(&mut stage, juliet, ROMEO);
    assert!(events(&stage.stanzas(juliet)).is_empty(), "he does not have her number");
    sync(&mut stage, romeo, JULIET);
    let got = stage.stanzas(juliet);
    assert_eq!(events(&got).len(), 1, "{got:?}");
    publish(&mut stage, romeo, "urn:x", "1", "<b xmlns='urn:x'/>");
    assert_eq!(events(&stage.stanzas(juliet)).len(), 1);
}

#[test]
fn an_answer_fits_into_a_stanza_and_the_newest_come_first() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let nurse = stage.login(NURSE, "house");
    let options = [("access_model", "open"), ("max_items", "max")];
    for number in 0..20 {
        let payload = format!("<a xmlns='urn:x'>{}</a>", "x".repeat(50_000));
        let got = publish_with(&mut stage, romeo, "urn:x", &number.to_string(), &payload, &options);
        assert!(got[0].contains("type='result'"), "{}", got[0]);
    }
    let got = fetch(&mut stage, nurse, ROMEO, "urn:x");
    let ids: Vec<_> =
        got.split("<item id='").skip(1).map(|item| item.split('\'').next().unwrap_or_default()).collect();
    assert_eq!(ids, ["19", "18", "17", "16"]);
    assert!(got.len() < 256 << 10);
}

#[test]
fn a_flood_has_its_turn_and_what_others_want_meanwhile_is_refused_by_name() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    publish_with(
        &mut stage,
        romeo,
        "urn:x",
        "first",
        "<a xmlns='urn:x'/>",
        &[("max_items", "max"), ("access_model", "open")],
    );
    let nurse = stage.login(NURSE, "house");
    stage.hold_store(true);
    for number in 0..200 {
        let item = format!("<publish node='urn:x'><item id='{number}'><a xmlns='urn:x'/></item></publish>");
        stage.send(
            romeo,
            &format!("<iq type='set' id='{number}'><pubsub xmlns='{PUBSUB}'>{item}</pubsub></iq>"),
        );
    }
    assert_eq!(stage.stanzas(romeo), [""; 0]);
    // Nor do those who come by other ways get past the bound.
    let change = || {
        let patch = serde_json::from_str(r#"{"online":{"show":"contacts"}}"#).unwrap();
        SetPrivacy(Some(PrivacyChange { patch, whole: false }))
    };
    let others: Vec<_> = (0..ERRANDS_MAX + 1).map(|_| stage.begin(ROMEO, change())).collect();
    let last = others.last().unwrap().lock().unwrap().take();
    assert!(matches!(last, Some(Err(Refusal::Overloaded))), "{last:?}");
    // What a stranger asks for meanwhile does not take the owner's place.
    assert_eq!(condition(&fetch(&mut stage, nurse, ROMEO, "urn:x")), "resource-constraint");
    // What is not shown to her is answered as for nobody: not before the store has looked.
    let hidden = format!("<pubsub xmlns='{PUBSUB}'><items node='hidden'/></pubsub>");
    stage.send(nurse, &format!("<iq type='get' id='h' to='{}'>{hidden}</iq>", jid(ROMEO)));
    assert_eq!(stage.stanzas(nurse), [""; 0]);
    stage.hold_store(false);
    assert_eq!(condition(&stage.stanzas(nurse)[0]), "service-unavailable");
    let accepted = stage.stanzas(romeo);
    assert!(accepted.iter().all(|stanza| stanza.contains("type='result'")), "{accepted:?}");
    assert_eq!(accepted.len(), 200);
    let items = fetch(&mut stage, romeo, ROMEO, "urn:x");
    assert_eq!(items.matches("<item ").count(), 201);
}
