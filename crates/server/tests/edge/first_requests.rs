//! What real clients send right after their login, in the order and the form in which they send it, all of it before any answer.
//!
//! Read from the clients' sources (Conversations 2.19, Monal 6); docs/interop.md says what follows from it. Each request must have its one
//! answer, and of the right kind: a client that waits for one that never comes shows an empty list, or logs in again.

use crate::rig::{Client, Server};
use crate::sasl2::bound_by_one_exchange;
use chaski_server::ListenerTls::Direct;

/// A request, and what its answer must say. Ids are the test's.
type Asked = (&'static str, &'static str);

/// Conversations: after binding it asks what server, account and component can, then the lists, then its own nodes; presence with
/// capabilities, and a ping without `to` behind it, by whose answer it knows that all that waited has come.
const CONVERSATIONS: [Asked; 15] = [
    (
        "<iq type='get' to='localhost' id='{}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        "urn:xmpp:carbons:2",
    ),
    (
        "<iq type='get' to='{own}' id='{}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        "urn:xmpp:sid:0",
    ),
    (
        "<iq type='get' to='localhost' id='{}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
        "disco#items",
    ),
    ("<iq type='get' id='{}'><query xmlns='jabber:iq:roster' ver=''/></iq>", "jabber:iq:roster"),
    ("<iq type='get' id='{}'><blocklist xmlns='urn:xmpp:blocking'/></iq>", "<blocklist"),
    ("<iq type='set' id='{}'><enable xmlns='urn:xmpp:carbons:2'/></iq>", "type='result'"),
    ("<iq type='get' id='{}'><prefs xmlns='urn:xmpp:mam:2'/></iq>", "type='error'"),
    (
        "<iq type='get' to='{own}' id='{}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub></iq>",
        "id=",
    ),
    ("<iq type='get' to='localhost' id='{}'><services xmlns='urn:xmpp:extdisco:2'/></iq>", "id="),
    (
        "<iq type='get' to='{own}' id='{}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='eu.siacs.conversations.axolotl.devicelist'/></pubsub></iq>",
        "id=",
    ),
    (
        "<iq type='set' id='{}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='eu.siacs.conversations.axolotl.devicelist'><item id='current'>\
         <list xmlns='eu.siacs.conversations.axolotl'><device id='7'/></list></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
         <field var='pubsub#access_model'><value>open</value></field><field var='pubsub#persist_items'><value>true</value></field></x></publish-options></pubsub></iq>",
        "type='result'",
    ),
    ("<iq type='get' to='{own}' id='{}'><vCard xmlns='vcard-temp'/></iq>", "id="),
    (
        "<iq type='get' id='{}'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query></iq>",
        "storage",
    ),
    (
        "<presence id='{}'><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://conversations.im' ver='x'/></presence>",
        "",
    ),
    ("<iq type='get' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>", "type='result'"),
];

/// Monal: the same by another order, the ping to the domain, and notifications on.
const MONAL: [Asked; 10] = [
    ("<iq type='get' id='{}'><query xmlns='jabber:iq:roster'/></iq>", "jabber:iq:roster"),
    (
        "<iq type='get' to='localhost' id='{}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        "urn:xmpp:blocking",
    ),
    (
        "<iq type='get' to='localhost' id='{}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
        "disco#items",
    ),
    (
        "<iq type='get' to='{own}' id='{}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        "pubsub#publish-options",
    ),
    ("<presence id='{}'><show>away</show></presence>", ""),
    ("<iq type='get' id='{}'><blocklist xmlns='urn:xmpp:blocking'/></iq>", "<blocklist"),
    ("<iq type='get' to='localhost' id='{}'><services xmlns='urn:xmpp:extdisco:2'/></iq>", "id="),
    (
        "<iq type='get' id='{}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:metadata' max_items='1'/></pubsub></iq>",
        "id=",
    ),
    (
        "<iq type='set' id='{}'><enable xmlns='urn:xmpp:push:0' jid='ios13push.monal-im.org' node='n'/></iq>",
        "id=",
    ),
    ("<iq type='get' to='localhost' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>", "type='result'"),
];

fn all_are_answered(client: &mut Client, own: &str, script: &[Asked]) {
    let id = |at: usize| format!("ask-{at:02}");
    let requests: String = script
        .iter()
        .enumerate()
        .map(|(at, (request, _))| request.replace("{}", &id(at)).replace("{own}", own))
        .collect();
    client.send(&requests);
    let is_asked =
        |(at, (_, expected)): (usize, &Asked)| (!expected.is_empty()).then(|| format!("id='{}'", id(at)));
    let ids: Vec<String> = script.iter().enumerate().filter_map(is_asked).collect();
    let mut heard = String::new();
    // What has to be written first is answered later than what has not.
    while !ids.iter().all(|id| heard.contains(id)) {
        heard.push_str(&client.until(">"));
    }
    // The rest of the last of them.
    client.send("<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>");
    heard.push_str(&client.until("id='end'"));
    client.until("</iq>");
    for (at, (request, expected)) in
        script.iter().enumerate().filter(|(_, (_, expected))| !expected.is_empty())
    {
        let id = format!("id='{}'", id(at));
        let answers: Vec<&str> = heard.split("<iq ").filter(|answer| answer.contains(&id)).collect();
        assert_eq!(answers.len(), 1, "one answer to {request}: {answers:?}");
        assert!(answers[0].contains(expected), "{request}: {}", answers[0]);
        let is_answer = answers[0].contains("type='result'") || answers[0].contains("type='error'");
        assert!(is_answer, "{request}: {}", answers[0]);
    }
}

#[test]
fn conversations_has_all_its_answers() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.connect(Direct);
        bound_by_one_exchange(&mut client, &local);
        all_are_answered(&mut client, &format!("{local}@localhost"), &CONVERSATIONS);
    }
}

#[test]
fn monal_has_all_its_answers() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.connect(Direct);
        bound_by_one_exchange(&mut client, &local);
        all_are_answered(&mut client, &format!("{local}@localhost"), &MONAL);
        client.send("<active xmlns='urn:xmpp:csi:0'/>");
        client.ping("later");
    }
}
