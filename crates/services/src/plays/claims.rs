//! What only the server may say, and does not say because a client wants it to: delays, ids and notices in its name.

use super::*;

/// Each is to be left out of what Romeo sends to Juliet.
fn forged() -> Vec<String> {
    let mut names: Vec<String> =
        ["chaski.example", "CHASKI.EXAMPLE", "chaski.example.", "chaski.example/x", "rooms.chaski.example"]
            .map(String::from)
            .into();
    names.extend([jid(JULIET), format!("{}/balcony", jid(JULIET)), jid(JULIET).to_uppercase(), jid(NURSE)]);
    names.push(" chaski.example".into());
    let delays = names.iter().flat_map(|name| {
        let stamp = format!("stamp='2001-01-01T00:00:00Z' from='{name}'");
        [
            format!("<delay xmlns='urn:xmpp:delay' {stamp}/>"),
            format!("<d:delay xmlns:d='urn:xmpp:delay' {stamp}>late</d:delay>"),
            format!("<x xmlns='jabber:x:delay' {stamp}/>"),
        ]
    });
    let ids = names.iter().map(|name| format!("<stanza-id xmlns='urn:xmpp:sid:0' id='2001' by='{name}'/>"));
    let notices = [
        "<key-changed xmlns='urn:chaski:registration:0' stamp='2001'/>",
        "<gap xmlns='urn:chaski:mailbox:0' messages='2001'/>",
        "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2001'/></forwarded></sent>",
        "<c:received xmlns:c='urn:xmpp:carbons:2'><a xmlns='2001'/></c:received>",
    ];
    delays.chain(ids).chain(notices.map(String::from)).collect()
}

/// Each is somebody's own to say.
fn honest() -> [String; 5] {
    let delay = |from: &str| format!("<delay xmlns='urn:xmpp:delay' stamp='2001-01-01T00:00:00Z'{from}/>");
    [
        delay(&format!(" from='{}/orchard'", jid(ROMEO))),
        delay(" from='room@elsewhere.example'"),
        delay(""),
        "<stanza-id xmlns='urn:xmpp:sid:0' id='2001' by='room@elsewhere.example'/>".into(),
        "<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2001' from='chaski.example'/></forwarded>".into(),
    ]
}

/// Romeo and Juliet, who see each other.
fn stage() -> (Stage, Client, Client) {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    super::blocking::befriend(&mut stage, (romeo, ROMEO), (juliet, JULIET));
    stage.received(romeo);
    stage.received(juliet);
    (stage, romeo, juliet)
}

#[test]
fn nobody_speaks_in_the_servers_name() {
    let (mut stage, romeo, juliet) = stage();
    let (bare, full) = (jid(JULIET), format!("{}/balcony", jid(JULIET)));
    for (forged, is_honest) in
        forged().into_iter().map(|forged| (forged, false)).chain(honest().map(|honest| (honest, true)))
    {
        for stanza in [
            format!("<message to='{bare}' type='chat'>{forged}<body>x</body></message>"),
            format!("<message to='{full}' type='headline'><body>x</body>{forged}</message>"),
            format!("<presence to='{bare}'>{forged}</presence>"),
            format!("<presence to='{full}' type='unavailable'>{forged}</presence>"),
            format!("<presence>{forged}</presence>"),
            format!("<presence type='unavailable'>{forged}</presence>"),
        ] {
            stage.send(romeo, &stanza);
            let got = stage.stanzas(juliet);
            assert_eq!(got.len(), 1, "{stanza}: {got:?}");
            assert_eq!(got[0].contains("2001"), is_honest, "{stanza}: {got:?}");
            stage.acknowledge(juliet, 0);
        }
    }
}

/// What is kept with a request is shown whenever its recipient comes.
#[test]
fn nor_with_a_request() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    let forged: String = forged().concat();
    stage.send(romeo, &format!("<presence to='{}' type='subscribe'>{forged}</presence>", jid(JULIET)));
    let got = stage.stanzas(juliet);
    assert!(got[0].contains("subscribe") && !got[0].contains("2001"), "{got:?}");
}

/// One's other sessions are told by a copy, and the delay in it is the server's.
#[test]
fn nor_to_the_own_account() {
    let mut stage = Stage::new(1);
    let (orchard, _) = stage.arrive(ROMEO, "orchard");
    let (street, _) = stage.arrive(ROMEO, "street");
    stage.received(street);
    stage.received(orchard);
    let (note, forged) = (&honest()[0], &forged()[0]);
    stage.send(orchard, &format!("<message to='{}'><body>x</body>{note}{forged}</message>", jid(ROMEO)));
    let got = stage.stanzas(street);
    assert_eq!(got[0].matches("2001").count(), 1, "his own delay stays: {got:?}");
}
