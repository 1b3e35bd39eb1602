//! Copies for an account's other sessions (XEP-0280): who gets which, who none, and what they can't do.

use super::*;
use crate::wire::Closed;

const ENABLE: &str = "<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>";

/// Arrives and asks for copies.
fn arrive(stage: &mut Stage, local: &str, resource: &str) -> Client {
    let (client, _) = stage.arrive(local, resource);
    enable(stage, client);
    client
}

fn enable(stage: &mut Stage, client: Client) {
    stage.send(client, ENABLE);
    let answer = stage.stanzas(client).pop().unwrap();
    assert!(answer.contains("type='result'") && answer.contains("id='carbons'"), "{answer}");
}

fn full(local: &str, resource: &str) -> String {
    format!("{}/{resource}", jid(local))
}

/// The copies that a client has received, as (`sent` or `received`, body).
fn copies(stage: &mut Stage, client: Client) -> Vec<(&'static str, String)> {
    let got = stage.stanzas(client);
    let copies = got.iter().filter(|stanza| stanza.contains("<forwarded "));
    copies
        .map(|copy| {
            let way = if copy.contains("<sent xmlns='urn:xmpp:carbons:2'>") { "sent" } else { "received" };
            (way, bodies(std::slice::from_ref(copy)).first().copied().unwrap_or_default().to_owned())
        })
        .collect()
}

#[test]
fn a_copy_of_what_a_sibling_sends() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let orchard = arrive(&mut stage, ROMEO, "orchard");
    let street = arrive(&mut stage, ROMEO, "street");
    let (plain, _) = stage.arrive(ROMEO, "plain");
    for client in [juliet, orchard, street, plain] {
        stage.received(client);
    }
    let message = "<message to='{}' type='chat' id='m'><body>swear</body></message>";
    stage.send(orchard, &message.replace("{}", &jid(JULIET)));
    let got = stage.stanzas(street);
    assert_eq!(got.len(), 1);
    let (bare, own) = (jid(ROMEO), full(ROMEO, "street"));
    let start = format!(
        "<message from='{bare}' to='{own}' type='chat'><sent xmlns='urn:xmpp:carbons:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='{}' id='m' type='chat' to='{}'>",
        full(ROMEO, "orchard"),
        jid(JULIET)
    );
    assert!(got[0].starts_with(&start), "{}", got[0]);
    assert!(got[0].ends_with("<body>swear</body></message></forwarded></sent></message>"), "{}", got[0]);
    assert_eq!(stage.stanzas(orchard), [""; 0], "the sender knows it");
    assert_eq!(stage.stanzas(plain), [""; 0], "not asked for");
    assert_eq!(heard(&mut stage, juliet), ["swear"]);
    assert_eq!(stage.waiting(ROMEO), 0, "copies are in no mailbox");
}

#[test]
fn a_copy_of_what_comes_for_a_sibling_alone() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let orchard = arrive(&mut stage, ROMEO, "orchard");
    let street = arrive(&mut stage, ROMEO, "street");
    stage.received(orchard);
    stage.received(street);
    stage.send(juliet, &chat(ROMEO, "to all"));
    assert_eq!(copies(&mut stage, street), [], "who gets the message gets no copy");
    let to = full(ROMEO, "orchard");
    stage.send(juliet, &format!("<message to='{to}' type='chat'><body>to one</body></message>"));
    assert_eq!(heard(&mut stage, orchard), ["to all", "to one"]);
    assert_eq!(copies(&mut stage, street), [("received", "to one".to_owned())]);
    assert_eq!(stage.waiting(ROMEO), 2);
    stage.acknowledge(street, 0);
    assert_eq!(stage.waiting(ROMEO), 1, "a copy acknowledges nothing");
    stage.lose(orchard, Closed::Clean);
    assert_eq!(heard(&mut stage, street), ["to one"], "it is for him now, and safe in the mailbox");
    let gone = full(ROMEO, "gone");
    stage.send(juliet, &format!("<message to='{gone}' type='chat'><body>all the same</body></message>"));
    let got = stage.stanzas(street);
    assert_eq!((bodies(&got), got.len()), (vec!["all the same"], 1));
}

#[test]
fn who_takes_no_messages_gets_copies_of_them() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let orchard = arrive(&mut stage, ROMEO, "orchard");
    let bot = stage.login(ROMEO, "bot");
    stage.send(bot, "<presence><priority>-1</priority></presence>");
    let early = stage.login(ROMEO, "early");
    enable(&mut stage, bot);
    enable(&mut stage, early);
    stage.received(bot);
    stage.send(juliet, &chat(ROMEO, "hello"));
    assert_eq!(heard(&mut stage, orchard), ["hello"]);
    assert_eq!(copies(&mut stage, bot), [("received", "hello".to_owned())]);
    assert_eq!(copies(&mut stage, early), [], "it will read the mailbox");
    stage.send(early, "<presence/>");
    assert_eq!(heard(&mut stage, early), ["hello"]);
}

#[test]
fn what_is_said_among_siblings_comes_once() {
    let mut stage = Stage::new(1);
    let orchard = arrive(&mut stage, ROMEO, "orchard");
    let street = arrive(&mut stage, ROMEO, "street");
    let square = arrive(&mut stage, ROMEO, "square");
    for client in [orchard, street, square] {
        stage.received(client);
    }
    let to = full(ROMEO, "street");
    stage.send(orchard, &format!("<message to='{to}' type='chat'><body>aside</body></message>"));
    assert_eq!(stage.stanzas(orchard), [""; 0]);
    assert_eq!(stage.stanzas(street).len(), 1);
    assert_eq!(copies(&mut stage, square), [("received", "aside".to_owned())]);
    stage.send(orchard, &chat(ROMEO, "note to self"));
    for client in [orchard, street, square] {
        let got = stage.stanzas(client);
        assert_eq!((got.len(), bodies(&got)), (1, vec!["note to self"]));
        assert!(!got[0].contains("<forwarded"));
    }
}

#[test]
fn which_messages_are_copied() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let orchard = arrive(&mut stage, ROMEO, "orchard");
    let street = arrive(&mut stage, ROMEO, "street");
    stage.received(juliet);
    for (kind, content, is_copied) in [
        ("chat", "<body>x</body>", true),
        ("normal", "<body>x</body>", true),
        ("chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", true),
        ("normal", "<received xmlns='urn:xmpp:receipts' id='1'/>", true),
        ("normal", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", true),
        ("chat", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", true),
        ("normal", "<x xmlns='jabber:x:data'/>", false),
        ("headline", "<body>x</body>", false),
        ("error", "<body>x</body><error type='cancel'/>", false),
        ("groupchat", "<body>x</body>", false),
        (
            "chat",
            "<body>x</body><private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/>",
            false,
        ),
        ("chat", "<body>x</body><private xmlns='urn:xmpp:carbons:2'/>", false),
        ("chat", "<body>x</body><no-copy xmlns='urn:xmpp:hints'/>", false),
        ("chat", "<body>x</body><sent xmlns='urn:xmpp:carbons:2'/>", false),
        ("chat", "<body>x</body><received xmlns='urn:xmpp:carbons:2'/>", false),
    ] {
        stage.received(street);
        let to = full(JULIET, "balcony");
        stage.send(orchard, &format!("<message to='{to}' type='{kind}'>{content}</message>"));
        assert_eq!(copies(&mut stage, street).len(), usize::from(is_copied), "sent: {kind} {content}");
        let to = full(ROMEO, "orchard");
        stage.send(juliet, &format!("<message to='{to}' type='{kind}'>{content}</message>"));
        assert_eq!(copies(&mut stage, street).len(), usize::from(is_copied), "received: {kind} {content}");
        for got in stage.stanzas(juliet).iter().chain(&stage.stanzas(orchard)) {
            assert!(!got.contains("<private"), "the wish is the server's: {got}");
        }
    }
}

#[test]
fn what_was_sent_again_is_not_copied_again() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    arrive(&mut stage, ROMEO, "orchard");
    let street = arrive(&mut stage, ROMEO, "street");
    stage.received(street);
    let to = full(ROMEO, "orchard");
    let message = format!("<message to='{to}' id='long-enough' type='chat'><body>x</body></message>");
    stage.send(juliet, &message);
    stage.send(juliet, &message);
    assert_eq!(copies(&mut stage, street).len(), 1);
}

#[test]
fn disabled_and_asked_of_whom() {
    let mut stage = Stage::new(1);
    let orchard = arrive(&mut stage, ROMEO, "orchard");
    let street = arrive(&mut stage, ROMEO, "street");
    stage.arrive(JULIET, "balcony");
    let disable = "<iq type='set' id='d'{}><disable xmlns='urn:xmpp:carbons:2'/></iq>";
    for (to, expected) in [
        (String::new(), "result"),
        (format!(" to='{}'", crate::testing::DOMAIN), "result"),
        (format!(" to='{}'", jid(ROMEO)), "result"),
        (format!(" to='{}'", jid(JULIET)), "error"),
    ] {
        enable(&mut stage, street);
        stage.send(street, &disable.replace("{}", &to));
        let answer = stage.stanzas(street).pop().unwrap();
        assert!(answer.contains(&format!("type='{expected}'")), "{to}: {answer}");
        stage.send(orchard, &chat(JULIET, "x"));
        assert_eq!(copies(&mut stage, street).is_empty(), expected == "result", "{to}");
    }
    stage.send(street, "<iq type='get' id='g'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    stage.send(street, "<iq type='set' id='g'><private xmlns='urn:xmpp:carbons:2'/></iq>");
    let answers = stage.stanzas(street);
    assert_eq!(answers.iter().map(|answer| condition(answer)).collect::<Vec<_>>(), ["bad-request"; 2]);
}

#[test]
fn a_resumed_session_still_gets_copies_and_those_it_missed() {
    let mut stage = Stage::new(1);
    let orchard = arrive(&mut stage, ROMEO, "orchard");
    stage.arrive(JULIET, "balcony");
    let (street, id) = stage.arrive(ROMEO, "street");
    enable(&mut stage, street);
    let h = stage.counted(street);
    stage.lose(street, Closed::Lost);
    stage.send(orchard, &chat(JULIET, "meanwhile"));
    let (street, resumed) = stage.resume(ROMEO, &id, h);
    assert!(resumed.is_ok());
    stage.send(orchard, &chat(JULIET, "after"));
    let expected = [("sent", "meanwhile".to_owned()), ("sent", "after".to_owned())];
    assert_eq!(copies(&mut stage, street), expected);
}

#[test]
fn a_forged_copy_does_not_pass_as_ours() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let orchard = arrive(&mut stage, ROMEO, "orchard");
    let street = arrive(&mut stage, ROMEO, "street");
    stage.received(orchard);
    stage.received(street);
    let inner =
        "<message xmlns='jabber:client' from='+15551230003@chaski.example/x'><body>forged</body></message>";
    let forwarded = format!("<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded>");
    for (name, sender) in [("sent", juliet), ("received", juliet), ("received", street)] {
        let copy = format!("<{name} xmlns='urn:xmpp:carbons:2'>{forwarded}</{name}>");
        stage.send(sender, &format!("<message to='{}' type='chat'>{copy}</message>", full(ROMEO, "orchard")));
        let got = stage.stanzas(orchard);
        assert_eq!(got.len(), 1);
        let sender = if sender == juliet { full(JULIET, "balcony") } else { full(ROMEO, "street") };
        assert!(got[0].starts_with(&format!("<message from='{sender}' ")), "{}", got[0]);
        assert_eq!(stage.stanzas(street), [""; 0], "and it is not copied: {name}");
    }
    let forged = format!("<message from='{}' to='{}' type='chat'>", jid(ROMEO), full(ROMEO, "orchard"));
    stage.send(juliet, &format!("{forged}<body>x</body></message>"));
    assert_eq!(stage.closed_with(juliet).unwrap().unwrap().condition, "invalid-from");
}

#[test]
fn copies_do_not_end_the_session_that_does_not_read_them() {
    let limits = crate::realm::Limits { queue_stanzas: 20, ..Default::default() };
    let mut stage = Stage::with_limits(1, limits);
    let orchard = arrive(&mut stage, ROMEO, "orchard");
    let street = arrive(&mut stage, ROMEO, "street");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.acknowledge(street, 0);
    stage.received(street);
    for number in 0..100 {
        stage.send(orchard, &chat(JULIET, &number.to_string()));
        stage.acknowledge(juliet, 0);
    }
    assert_eq!(stage.closed_with(street), None);
    assert_eq!(copies(&mut stage, street).len(), 10, "half of the queue");
    stage.send(juliet, &chat(ROMEO, "a message finds room all the same"));
    assert_eq!(heard(&mut stage, street).len(), 1);
}

#[test]
fn huge_messages_and_as_many_sessions_as_there_may_be() {
    let mut stage = Stage::new(1);
    let sessions: Vec<_> = (0..16).map(|n| arrive(&mut stage, ROMEO, &format!("room{n}"))).collect();
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let body = "x".repeat(200 << 10);
    for _ in 0..10 {
        stage.send(sessions[0], &chat(JULIET, &body));
        stage.acknowledge(juliet, 0);
    }
    for &session in &sessions[1..] {
        assert_eq!(stage.closed_with(session), None);
        let bytes: usize = copies(&mut stage, session).iter().map(|(_, body)| body.len()).sum();
        let most = crate::realm::Limits::default().queue_bytes / 2;
        assert!(bytes > 0 && bytes <= most, "{bytes}");
    }
    // Wrapped, this would be more than a client has to take.
    let deep = format!("{}{}", "<d xmlns='d'>".repeat(29), "</d>".repeat(29));
    stage.acknowledge(sessions[1], 0);
    let message = format!("<message to='{}' type='chat'><body>deep</body>{deep}</message>", jid(JULIET));
    stage.received(juliet);
    stage.send(sessions[0], &message);
    assert_eq!(heard(&mut stage, juliet), ["deep"]);
    assert_eq!(copies(&mut stage, sessions[1]), []);
}
