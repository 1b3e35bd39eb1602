//! IQs: to the server, to accounts, to sessions; one answer each and nothing given away.

use super::*;
use crate::testing::Stage;
use crate::wire::Closed;

const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

fn ping(to: &str, id: &str) -> String {
    format!("<iq to='{to}' id='{id}' type='get'>{PING}</iq>")
}

#[test]
fn the_server_and_the_own_account_answer() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    for request in
        [format!("<iq id='1' type='get'>{PING}</iq>"), ping("chaski.example", "2"), ping(&jid(ROMEO), "3")]
    {
        stage.send(romeo, &request);
        let got = stage.received(romeo);
        assert_eq!(got.len(), 1, "{request}: {got:?}");
        assert!(got[0].contains("type='result'"), "{request}: {}", got[0]);
    }
}

#[test]
fn malformed_requests_are_bad_requests() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    for request in [
        "<iq type='get' id='1'/>",
        "<iq type='get' id='1'><a xmlns='x'/><b xmlns='x'/></iq>",
        "<iq type='strange' id='1'><a xmlns='x'/></iq>",
        "<iq id='1'><a xmlns='x'/></iq>",
        "<iq type='set'><a xmlns='x'/></iq>",
    ] {
        stage.send(romeo, request);
        let got = stage.received(romeo);
        assert_eq!(got.len(), 1, "{request}: {got:?}");
        assert_eq!(condition(&got[0]), "bad-request", "{request}");
    }
    stage.send(romeo, "<iq type='result' id='nobody-asked'/>");
    stage.send(romeo, "<iq type='error' id='nobody-asked'/>");
    assert_eq!(stage.received(romeo), [""; 0]);
}

#[test]
fn a_stranger_can_not_tell_a_session_from_none() {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    stage.received(romeo);
    let mut answers = Vec::new();
    for resource in ["orchard", "nowhere"] {
        stage.send(juliet, &ping(&format!("{}/{resource}", jid(ROMEO)), "p"));
        let got = stage.received(juliet);
        assert_eq!(got.len(), 1);
        answers.push(got[0].replace(resource, "*"));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(stage.stanzas(romeo), [""; 0]);
}

#[test]
fn who_was_shown_a_session_can_ask_it() {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    stage.send(romeo, &format!("<presence to='{}/balcony'/>", jid(JULIET)));
    stage.received(romeo);
    stage.received(juliet);
    stage.send(juliet, &ping(&format!("{}/orchard", jid(ROMEO)), "p"));
    let asked = stage.stanzas(romeo);
    assert!(
        asked[0].contains("urn:xmpp:ping") && asked[0].contains(&format!("from='{}/balcony'", jid(JULIET)))
    );
    stage.send(romeo, &format!("<iq to='{}/balcony' id='p' type='result'/>", jid(JULIET)));
    assert!(stage.received(juliet)[0].contains("type='result'"));
}

#[test]
fn who_knows_a_resource_that_nobody_can_guess_was_told_it() {
    let mut stage = Stage::new(1);
    stage.login(ROMEO, "orchard");
    let romeo = stage.connect(ROMEO);
    let full_jid = stage.bind(romeo, ROMEO, 1, None).unwrap().full_jid;
    let juliet = stage.login(JULIET, "balcony");
    stage.send(juliet, &ping(&full_jid, "p"));
    assert!(stage.received(romeo)[0].contains("urn:xmpp:ping"));
}

#[test]
fn a_request_that_a_lost_session_had_not_acknowledged_is_answered() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    stage.send(romeo, &format!("<presence to='{}/balcony'/>", jid(JULIET)));
    stage.received(juliet);
    stage.send(juliet, &ping(&format!("{}/orchard", jid(ROMEO)), "p"));
    stage.lose(romeo, Closed::Lost);
    stage.pass(601_000);
    let got = stage.stanzas(juliet);
    let errors: Vec<_> = got.iter().filter(|stanza| stanza.starts_with("<iq")).collect();
    assert_eq!(errors.len(), 1, "{got:?}");
    assert_eq!(condition(errors[0]), "service-unavailable");
}

#[test]
fn unknown_accounts_and_other_servers() {
    let mut stage = Stage::new(2);
    let juliet = stage.login(JULIET, "balcony");
    for (to, expected) in [
        ("+15559999999@chaski.example", "service-unavailable"),
        ("+15559999999@chaski.example/x", "service-unavailable"),
        ("chaski.example/x", "service-unavailable"),
        ("a@elsewhere.example", "remote-server-not-found"),
    ] {
        stage.send(juliet, &ping(to, "p"));
        let got = stage.received(juliet);
        assert_eq!(got.len(), 1, "{to}: {got:?}");
        assert_eq!(condition(&got[0]), expected, "{to}");
    }
}
