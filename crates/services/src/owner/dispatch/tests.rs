//! Plays of questions to the server and to accounts: what each may know, byte by byte where it matters.

use super::rooms::features;
use crate::effects::iq::Scope;
use crate::testing::{Client, DOMAIN, Stage};
use chaski_xmpp::{Stanza, ns};

const ROMEO: &str = "+15551230001";
const JULIET: &str = "+15551230002";

/// Asks, and gives the one answer.
fn ask(stage: &mut Stage, client: Client, kind: &str, to: &str, payload: &str) -> String {
    stage.received(client);
    let to = if to.is_empty() { String::new() } else { format!("to='{to}'") };
    stage.send(client, &format!("<iq type='{kind}' id='q1' {to}>{payload}</iq>"));
    let mut got = stage.stanzas(client);
    got.retain(|stanza| stanza.starts_with("<iq ") && stanza.contains("id='q1'"));
    assert_eq!(got.len(), 1, "one answer to {payload}: {got:?}");
    got.remove(0)
}

fn get(stage: &mut Stage, client: Client, to: &str, payload: &str) -> String {
    ask(stage, client, "get", to, payload)
}

/// The condition of an error, or "result".
fn outcome(answer: &str) -> String {
    let stanza = Stanza::parse(answer.as_bytes()).unwrap();
    match stanza.child("error", ns::CLIENT) {
        Some(error) => error.children().next().unwrap().name().to_owned(),
        None => stanza.type_attr().unwrap().into_owned(),
    }
}

fn jid(local: &str) -> String {
    format!("{local}@{DOMAIN}")
}

const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
const LAST: &str = "<query xmlns='jabber:iq:last'/>";

/// Features and `category/type` of identities.
fn disco(answer: &str) -> (Vec<String>, Vec<String>) {
    let stanza = Stanza::parse(answer.as_bytes()).unwrap();
    let query = stanza.child("query", ns::DISCO_INFO).unwrap();
    let mut features = Vec::new();
    let mut identities = Vec::new();
    for child in query.children() {
        let attr = |name| child.attr(name).unwrap().into_owned();
        match child.name() {
            "feature" => features.push(attr("var")),
            _ => identities.push(format!("{}/{}", attr("category"), attr("type"))),
        }
    }
    (features, identities)
}

#[test]
fn the_domain_is_a_server_and_says_what_it_can() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let answer = get(&mut stage, romeo, DOMAIN, INFO);
    assert!(
        answer.contains(&format!("from='{DOMAIN}'"))
            && answer.contains(&format!("to='{}/orchard'", jid(ROMEO)))
    );
    let (announced, identities) = disco(&answer);
    assert_eq!(identities, ["server/im"]);
    assert_eq!(announced, features(&[Scope::Domain]));
    for feature in [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::PING, ns::VERSION, ns::TIME, ns::LAST, ns::COMMANDS]
    {
        assert!(announced.iter().any(|known| known == feature), "{feature}");
    }
    assert_eq!(outcome(&get(&mut stage, romeo, DOMAIN, ITEMS)), "result");
    let unknown = "<query xmlns='http://jabber.org/protocol/disco#info' node='nothing'/>";
    assert_eq!(outcome(&get(&mut stage, romeo, DOMAIN, unknown)), "item-not-found");
}

#[test]
fn every_feature_of_the_domain_is_answered() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    for payload in [
        "<ping xmlns='urn:xmpp:ping'/>",
        "<query xmlns='jabber:iq:version'/>",
        "<time xmlns='urn:xmpp:time'/>",
        LAST,
    ] {
        assert_eq!(outcome(&get(&mut stage, romeo, DOMAIN, payload)), "result", "{payload}");
        assert_eq!(
            outcome(&ask(&mut stage, romeo, "set", DOMAIN, payload)),
            "service-unavailable",
            "{payload}"
        );
    }
}

#[test]
fn what_the_answers_hold() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let version = get(&mut stage, romeo, DOMAIN, "<query xmlns='jabber:iq:version'/>");
    assert!(version.contains("<name>Chaski</name><version>0.0.0</version>") && !version.contains("<os>"));
    let time = get(&mut stage, romeo, DOMAIN, "<time xmlns='urn:xmpp:time'/>");
    let (_, utc) = time.split_once("<tzo>+00:00</tzo><utc>2023-11-").unwrap();
    assert!(utc.contains("Z</utc>"), "{time}");
    // The stage began at 1,000 s and its wall clock stands 1,700,000,000 s above that.
    let uptime = get(&mut stage, romeo, DOMAIN, LAST);
    assert!(uptime.contains("seconds='1700000000'"), "{uptime}");
}

#[test]
fn the_old_session_request_is_granted() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>";
    for to in ["", DOMAIN] {
        assert_eq!(outcome(&ask(&mut stage, romeo, "set", to, session)), "result");
    }
}

#[test]
fn what_is_not_here_is_service_unavailable() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    for payload in
        ["<prefs xmlns='urn:xmpp:mam:2'/>", "<query xmlns='jabber:iq:auth'/>", "<made-up xmlns='made-up'/>"]
    {
        for to in ["", DOMAIN, &jid(ROMEO)] {
            assert_eq!(
                outcome(&get(&mut stage, romeo, to, payload)),
                "service-unavailable",
                "{payload} to {to:?}"
            );
        }
    }
}

#[test]
fn ones_own_account() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    for to in [String::new(), jid(ROMEO)] {
        let (announced, identities) = disco(&get(&mut stage, romeo, &to, INFO));
        assert_eq!(identities, ["account/registered", "pubsub/pep"]);
        assert!(announced.iter().any(|feature| feature == ns::STANZA_ID), "{announced:?}");
        assert_eq!(outcome(&get(&mut stage, romeo, &to, ITEMS)), "result");
    }
    stage.send(romeo, "<presence/>");
    let idle = get(&mut stage, romeo, &jid(ROMEO), LAST);
    assert!(idle.contains("seconds='0'"), "{idle}");
}

#[test]
fn anothers_account_shows_itself_to_subscribers_only() {
    let mut stage = Stage::new(2);
    let (romeo, juliet) = (stage.login(ROMEO, "orchard"), stage.login(JULIET, "balcony"));
    assert_eq!(outcome(&get(&mut stage, romeo, &jid(JULIET), INFO)), "service-unavailable");
    assert_eq!(outcome(&get(&mut stage, romeo, &jid(JULIET), LAST)), "service-unavailable");
    stage.send(juliet, &format!("<presence type='subscribed' to='{}'/>", jid(ROMEO)));
    stage.send(romeo, &format!("<presence type='subscribe' to='{}'/>", jid(JULIET)));
    let (_, identities) = disco(&get(&mut stage, romeo, &jid(JULIET), INFO));
    assert_eq!(identities, ["account/registered", "pubsub/pep"]);
    stage.send(juliet, "<presence/>");
    assert!(get(&mut stage, romeo, &jid(JULIET), LAST).contains("seconds='0'"));
    assert_eq!(
        outcome(&get(&mut stage, romeo, &jid(JULIET), "<ping xmlns='urn:xmpp:ping'/>")),
        "service-unavailable"
    );
}

#[test]
fn nobody_reads_or_writes_anothers_roster() {
    let mut stage = Stage::new(2);
    let (romeo, _juliet) = (stage.login(ROMEO, "orchard"), stage.login(JULIET, "balcony"));
    let item = format!("<query xmlns='jabber:iq:roster'><item jid='{}'/></query>", jid(ROMEO));
    assert_eq!(outcome(&ask(&mut stage, romeo, "set", &jid(JULIET), &item)), "service-unavailable");
    assert_eq!(
        outcome(&get(&mut stage, romeo, &jid(JULIET), "<query xmlns='jabber:iq:roster'/>")),
        "service-unavailable"
    );
}

#[test]
fn a_roster_is_set_pushed_versioned_and_kept() {
    let mut stage = Stage::new(2);
    let (phone, laptop) = (stage.login(ROMEO, "phone"), stage.login(ROMEO, "laptop"));
    let empty = "<query xmlns='jabber:iq:roster' ver=''/>";
    assert!(get(&mut stage, laptop, "", empty).contains("<query"));
    let set = format!(
        "<query xmlns='jabber:iq:roster'><item jid='{}' name='Juliet'><group>Friends</group></item></query>",
        jid(JULIET)
    );
    assert_eq!(outcome(&ask(&mut stage, phone, "set", "", &set)), "result");
    let push = stage.stanzas(laptop).remove(0);
    assert!(
        push.contains("type='set'")
            && push.contains("name='Juliet'")
            && push.contains("<group>Friends</group>")
    );
    assert!(push.contains(&format!("to='{}/laptop'", jid(ROMEO))) && !push.contains(" from="), "{push}");
    let version = push.split_once("ver='").unwrap().1.split_once('\'').unwrap().0.to_owned();

    stage.crash();
    let phone = stage.login(ROMEO, "phone");
    let known = format!("<query xmlns='jabber:iq:roster' ver='{version}'/>");
    let unchanged = get(&mut stage, phone, "", &known);
    assert!(!unchanged.contains("<query"), "{unchanged}");
    assert!(get(&mut stage, phone, "", empty).contains("name='Juliet'"));
}

#[test]
fn bad_roster_requests_are_refused_and_change_nothing() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    for (inside, condition) in [
        ("", "bad-request"),
        ("<item jid='a@b.example'/><item jid='c@d.example'/>", "bad-request"),
        ("<item jid='@'/>", "jid-malformed"),
        ("<item jid='a@b.example' subscription='remove'/>", "item-not-found"),
        ("<item jid='a@b.example'><group></group></item>", "not-acceptable"),
    ] {
        let payload = format!("<query xmlns='jabber:iq:roster'>{inside}</query>");
        assert_eq!(outcome(&ask(&mut stage, romeo, "set", "", &payload)), condition, "{inside}");
    }
    assert!(!get(&mut stage, romeo, "", "<query xmlns='jabber:iq:roster'/>").contains("<item"));
}
