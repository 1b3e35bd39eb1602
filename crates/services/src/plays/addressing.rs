//! To whom a stanza goes by its type and its address (RFC 6121 §8.5), and what is answered on the way.

use super::*;
use crate::wire::Closed;

/// Romeo and Juliet, each at one place, who have read what they were sent so far.
fn two(shards: u16) -> (Stage, Client, Client) {
    let mut stage = Stage::new(shards);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(romeo);
    stage.received(juliet);
    (stage, romeo, juliet)
}

fn message(to: &str, kind: &str, content: &str) -> String {
    format!("<message to='{to}' type='{kind}' id='m'>{content}</message>")
}

const ERROR: &str = "<body>x</body><error type='cancel'/>";

/// §8.5.2.1.1, §8.5.3.1: only the session that has caused it is told.
#[test]
fn an_error_reaches_the_session_it_is_for_and_no_other() {
    for shards in [1, 2] {
        let (mut stage, romeo, juliet) = two(shards);
        let (nurse, _) = stage.arrive(JULIET, "hall");
        stage.received(nurse);
        stage.received(juliet);
        stage.send(romeo, &message(&jid(JULIET), "error", ERROR));
        stage.send(romeo, &message(&format!("{}/gone", jid(JULIET)), "error", ERROR));
        assert_eq!(bodies(&stage.stanzas(juliet)), [""; 0], "not by the bare JID, and not for another");
        assert_eq!(bodies(&stage.stanzas(nurse)), [""; 0]);
        stage.send(romeo, &message(&format!("{}/balcony", jid(JULIET)), "error", ERROR));
        assert_eq!(heard(&mut stage, juliet), ["x"]);
        assert_eq!(heard(&mut stage, nurse), [""; 0]);
        assert_eq!(stage.stanzas(romeo), [""; 0]);
        stage.send(juliet, &format!("<message type='error'>{ERROR}</message>"));
        assert_eq!(heard(&mut stage, nurse), [""; 0], "nor one's own others");
    }
}

/// §8.5.2.1.1: refused for the bare JID. §8.5.3.1: a session gets what is for it. §8.5.3.2.1: one that is gone nobody is told of,
/// which would tell a stranger whether it is there.
#[test]
fn groupchat_is_for_a_session_alone() {
    for shards in [1, 2] {
        let (mut stage, romeo, juliet) = two(shards);
        stage.send(romeo, &message(&jid(JULIET), "groupchat", "<body>x</body>"));
        assert_eq!(condition(&stage.stanzas(romeo)[0]), "service-unavailable");
        stage.send(romeo, &message(&format!("{}/gone", jid(JULIET)), "groupchat", "<body>x</body>"));
        assert_eq!(stage.stanzas(juliet), [""; 0]);
        stage.send(romeo, &message(&format!("{}/balcony", jid(JULIET)), "groupchat", "<body>there</body>"));
        assert_eq!(stage.stanzas(romeo), [""; 0]);
        let got = stage.stanzas(juliet);
        assert_eq!(bodies(&got), ["there"]);
        assert!(got[0].contains("type='groupchat'") && !got[0].contains("stanza-id"), "not stored: {got:?}");
        stage.lose(juliet, Closed::Clean);
        assert_eq!(stage.waiting(JULIET), 0);
    }
}

/// Not as §8.5.3.2.1 allows: lost. To whoever is there, as `chat` does: a message is for a person.
#[test]
fn a_normal_message_to_a_session_that_has_gone_is_for_the_others() {
    let (mut stage, romeo, juliet) = two(1);
    stage.send(romeo, &message(&format!("{}/gone", jid(JULIET)), "normal", "<body>x</body>"));
    assert_eq!(heard(&mut stage, juliet), ["x"]);
}

/// RFC 6120 §8.1.5: a stanza is in the language of its sender's stream, unless it says otherwise.
#[test]
fn the_streams_language_reaches_the_others() {
    let (mut stage, romeo, juliet) = two(2);
    super::blocking::befriend(&mut stage, (romeo, ROMEO), (juliet, JULIET));
    let (bare, full) = (jid(JULIET), format!("{}/balcony", jid(JULIET)));
    let stanzas = |lang: &str| {
        [
            format!("<message to='{bare}' type='chat'{lang}><body>x</body></message>"),
            format!("<message to='{full}' type='headline'{lang}><body>x</body></message>"),
            format!("<presence{lang}><status>x</status></presence>"),
            format!("<presence to='{full}'{lang}/>"),
            format!("<iq to='{full}' type='get' id='q'{lang}><x xmlns='urn:x'/></iq>"),
            format!("<presence type='unavailable'{lang}/>"),
            format!("<presence{lang}/>"),
        ]
    };
    for (stream, own, heard) in [
        (None, "", None),
        (Some("de"), "", Some("de")),
        (Some("de"), " xml:lang='es'", Some("es")),
        (Some("fr"), "", Some("fr")),
        (None, "", None),
    ] {
        stage.speak(romeo, stream);
        for stanza in stanzas(own) {
            stage.send(romeo, &stanza);
            let got = stage.stanzas(juliet);
            assert_eq!(got.len(), 1, "{stanza}: {got:?}");
            let lang = chaski_xmpp::Stanza::parse(got[0].as_bytes()).unwrap().lang().map(String::from);
            assert_eq!(lang.as_deref(), heard, "{stanza}: {got:?}");
        }
        stage.acknowledge(juliet, 0);
        stage.received(romeo);
    }
}

/// RFC 6120 §8.3.1: an error comes from whom the stanza was for.
#[test]
fn an_error_for_a_presence_comes_from_whom_it_was_for() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(romeo);
    for to in [format!("{}/x", jid(JULIET)), "juliet@elsewhere.example".into()] {
        stage.send(romeo, &format!("<presence to='{to}' type='unheard-of' id='p'/>"));
        let got = stage.stanzas(romeo);
        assert!(got[0].starts_with(&format!("<presence from='{to}' ")), "{got:?}");
    }
    stage.send(romeo, &format!("<presence to='{}' type='subscribe' id='p'/>", jid(ROMEO)));
    assert!(stage.stanzas(romeo)[0].starts_with(&format!("<presence from='{}' ", jid(ROMEO))));
    stage.send(romeo, "<presence to='room@elsewhere.example/nick' id='p'/>");
    let got = stage.stanzas(romeo);
    assert!(got[0].starts_with("<presence from='room@elsewhere.example/nick' "), "{got:?}");
}

/// XEP-0030 §8: whoever asks an account for its items that is not there, or does not show itself to him, is told that there are
/// none; for all else, and of a session, there is an error.
#[test]
fn nobody_has_no_items_and_a_stranger_neither() {
    let (mut stage, romeo, juliet) = two(1);
    let ask = |stage: &mut Stage, to: &str, what: &str, node: &str| {
        let query = format!("<query xmlns='http://jabber.org/protocol/disco#{what}'{node}/>");
        stage.send(romeo, &format!("<iq to='{to}' type='get' id='q'>{query}</iq>"));
        stage.stanzas(romeo).pop().unwrap()
    };
    for to in [jid(JULIET), jid(NURSE), "no-number@chaski.example".into(), "+0@chaski.example".into()] {
        for node in ["", " node='urn:x'"] {
            let query = format!("<query xmlns='http://jabber.org/protocol/disco#items'{node}/>");
            let expected =
                format!("<iq from='{to}' to='{}/orchard' id='q' type='result'>{query}</iq>", jid(ROMEO));
            assert_eq!(ask(&mut stage, &to, "items", node), expected);
        }
        assert_eq!(condition(&ask(&mut stage, &to, "info", "")), "service-unavailable");
        let full = format!("{to}/gone");
        assert_eq!(condition(&ask(&mut stage, &full, "items", "")), "service-unavailable");
    }
    assert_eq!(condition(&ask(&mut stage, "chaski.example/x", "items", "")), "service-unavailable");
    assert_eq!(condition(&ask(&mut stage, "a@elsewhere.example", "items", "")), "remote-server-not-found");
    super::blocking::befriend(&mut stage, (romeo, ROMEO), (juliet, JULIET));
    assert!(ask(&mut stage, &jid(JULIET), "info", "").contains("type='result'"));
}
