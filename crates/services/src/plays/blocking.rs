//! Blocking (XEP-0191): the commands, and what the two sides see.

use super::*;
use crate::rooms::blocking::REPORTS;
use chaski_store::StoreError;

const BLOCKING: &str = "urn:xmpp:blocking";

pub(super) fn command(name: &str, jids: &[String]) -> String {
    let items: String = jids.iter().map(|jid| format!("<item jid='{jid}'/>")).collect();
    format!("<iq type='set' id='b1'><{name} xmlns='{BLOCKING}'>{items}</{name}></iq>")
}

/// Blocks by the client and expects that it is done.
pub(super) fn block(stage: &mut Stage, client: Client, jids: &[String]) {
    give(stage, client, &command("block", jids));
}

fn unblock(stage: &mut Stage, client: Client, jids: &[String]) {
    give(stage, client, &command("unblock", jids));
}

fn give(stage: &mut Stage, client: Client, command: &str) {
    let before = stage.received(client);
    stage.send(client, command);
    let got = stage.stanzas(client);
    assert!(got.iter().any(|s| s.contains("id='b1' type='result'")), "{command}: {got:?} after {before:?}");
}

/// The list as the client is told.
fn list(stage: &mut Stage, client: Client) -> Vec<String> {
    stage.received(client);
    stage.send(client, &format!("<iq type='get' id='l'><blocklist xmlns='{BLOCKING}'/></iq>"));
    let got = stage.stanzas(client).pop().unwrap();
    assert!(got.contains("type='result'"), "{got}");
    got.split("jid='").skip(1).filter_map(|rest| Some(rest.split_once('\'')?.0.to_owned())).collect()
}

/// Two people who see each other.
pub(super) fn befriend(stage: &mut Stage, a: (Client, &str), b: (Client, &str)) {
    for ((asker, asker_name), (asked, asked_name)) in [(a, b), (b, a)] {
        stage.send(asker, &format!("<presence to='{}' type='subscribe'/>", jid(asked_name)));
        stage.send(asked, &format!("<presence to='{}' type='subscribed'/>", jid(asker_name)));
    }
    for client in [a.0, b.0] {
        stage.received(client);
    }
}

pub(super) fn couple() -> (Stage, Client, Client) {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    befriend(&mut stage, (romeo, ROMEO), (juliet, JULIET));
    (stage, romeo, juliet)
}

#[test]
fn the_list_is_kept_and_shown_to_who_has_asked_for_it() {
    let mut stage = Stage::new(1);
    let juliet = stage.login(JULIET, "balcony");
    let other = stage.login(JULIET, "chamber");
    let third = stage.login(JULIET, "garden");
    assert_eq!(list(&mut stage, juliet), [""; 0]);
    assert_eq!(list(&mut stage, other), [""; 0]);
    block(&mut stage, juliet, &[jid(ROMEO), "spam.example".into(), "a@b.example/c".into()]);
    let pushed = stage.received(other);
    assert_eq!(pushed.len(), 1, "{pushed:?}");
    assert!(pushed[0].contains("<block ") && pushed[0].contains("a@b.example/c"), "{pushed:?}");
    assert_eq!(stage.received(third), [""; 0], "it has not asked");
    stage.crash();
    let juliet = stage.login(JULIET, "balcony");
    assert_eq!(list(&mut stage, juliet), [jid(ROMEO), "a@b.example/c".into(), "spam.example".into()]);
    unblock(&mut stage, juliet, &[jid(ROMEO)]);
    assert_eq!(list(&mut stage, juliet), ["a@b.example/c", "spam.example"]);
    unblock(&mut stage, juliet, &[]);
    stage.crash();
    let juliet = stage.login(JULIET, "balcony");
    assert_eq!(list(&mut stage, juliet), [""; 0]);
}

#[test]
fn a_change_that_the_disk_does_not_keep_is_none() {
    let (mut stage, romeo, juliet) = couple();
    list(&mut stage, juliet);
    stage.engine.fail_next(StoreError::Full);
    stage.send(juliet, &command("block", &[jid(ROMEO)]));
    let got = stage.stanzas(juliet);
    assert_eq!((got.len(), condition(&got[0])), (1, "internal-server-error"), "{got:?}");
    assert_eq!(list(&mut stage, juliet), [""; 0]);
    stage.send(romeo, &chat(JULIET, "still there?"));
    assert_eq!(heard(&mut stage, juliet), ["still there?"]);
    assert_eq!(stage.stanzas(romeo), [""; 0], "he saw nothing of it");
}

#[test]
fn nothing_is_seen_before_it_is_durable() {
    let (mut stage, romeo, juliet) = couple();
    stage.hold_store(true);
    stage.send(juliet, &command("block", &[jid(ROMEO)]));
    assert_eq!((stage.stanzas(juliet), stage.stanzas(romeo)), (vec![], vec![]));
    stage.hold_store(false);
    assert!(stage.stanzas(romeo)[0].contains("type='unavailable'"));
    assert!(stage.stanzas(juliet)[0].contains("type='result'"));
}

#[test]
fn the_blocked_one_sees_somebody_who_is_away_and_gets_nothing_through() {
    let (mut stage, romeo, juliet) = couple();
    block(&mut stage, juliet, &[jid(ROMEO)]);
    let seen = stage.stanzas(romeo);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].contains("type='unavailable'") && seen[0].contains("/balcony'"), "{seen:?}");
    stage.send(juliet, "<presence><show>dnd</show></presence>");
    stage.received(juliet);
    assert_eq!(stage.stanzas(romeo), [""; 0], "no updates");
    let full = format!("{}/balcony", jid(JULIET));
    for (stanza, refused) in [
        (chat(JULIET, "x"), false),
        (format!("<message to='{full}' type='headline'><body>x</body></message>"), false),
        (format!("<iq to='{full}' type='get' id='i'><ping xmlns='urn:xmpp:ping'/></iq>"), true),
        (format!("<iq to='{full}' type='result' id='i'/>"), false),
        (format!("<presence to='{full}'/>"), false),
        ("<presence><show>away</show></presence>".into(), false),
        (format!("<presence to='{}' type='subscribe'/>", jid(JULIET)), false),
    ] {
        stage.send(romeo, &stanza);
        let got: Vec<_> = stage.stanzas(romeo).into_iter().filter(|s| s.contains("type='error'")).collect();
        assert_eq!(got.len(), usize::from(refused), "{stanza}: {got:?}");
        assert!(got.iter().all(|error| condition(error) == "service-unavailable"), "{got:?}");
        assert_eq!(stage.stanzas(juliet), [""; 0], "{stanza}");
    }
    assert_eq!(stage.waiting(JULIET), 0, "nothing is stored");
    stage.send(romeo, "<r xmlns='urn:xmpp:sm:3'/>");
    let sent = "<a xmlns='urn:xmpp:sm:3' h='";
    assert!(stage.received(romeo).iter().any(|answer| answer.starts_with(sent)), "accepted, like any");
    unblock(&mut stage, juliet, &[]);
    stage.lose(juliet, crate::wire::Closed::Clean);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    assert_eq!(heard(&mut stage, juliet), [""; 0], "nor delivered later");
}

#[test]
fn a_probe_of_who_has_blocked_is_not_answered() {
    let (mut stage, romeo, juliet) = couple();
    block(&mut stage, juliet, &[jid(ROMEO)]);
    stage.lose(romeo, crate::wire::Closed::Clean);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let seen = stage.stanzas(romeo);
    assert!(!seen.iter().any(|s| s.contains(&jid(JULIET))), "{seen:?}");
    stage.send(romeo, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    assert!(stage.stanzas(romeo)[0].contains("subscription='both'"), "polite: his roster stays as it was");
}

#[test]
fn who_blocks_can_not_write_either() {
    let (mut stage, romeo, juliet) = couple();
    block(&mut stage, juliet, &[jid(ROMEO)]);
    stage.received(romeo);
    for stanza in [
        chat(ROMEO, "x"),
        format!("<iq to='{}/orchard' type='get' id='i'><ping xmlns='urn:xmpp:ping'/></iq>", jid(ROMEO)),
        format!("<presence to='{}'/>", jid(ROMEO)),
        format!("<presence to='{}' type='subscribe'/>", jid(ROMEO)),
    ] {
        stage.send(juliet, &stanza);
        let got = stage.stanzas(juliet);
        assert_eq!((got.len(), condition(&got[0])), (1, "not-acceptable"), "{stanza}: {got:?}");
        assert!(got[0].contains("<blocked xmlns='urn:xmpp:blocking:errors'/>"), "{got:?}");
    }
    assert_eq!(stage.stanzas(romeo), [""; 0]);
}

#[test]
fn after_unblocking_both_see_each_other_again() {
    let (mut stage, romeo, juliet) = couple();
    block(&mut stage, juliet, &[jid(ROMEO)]);
    stage.send(romeo, "<presence><show>away</show></presence>");
    stage.received(romeo);
    unblock(&mut stage, juliet, &[]);
    let seen = stage.stanzas(romeo);
    assert!(seen.iter().any(|s| s.starts_with("<presence") && s.contains("/balcony'")), "{seen:?}");
    stage.send(romeo, &chat(JULIET, "again"));
    let got = stage.stanzas(juliet);
    assert_eq!(bodies(&got), ["again"]);
}

#[test]
fn unblocking_asks_for_the_presence_that_was_dropped() {
    let (mut stage, romeo, juliet) = couple();
    block(&mut stage, juliet, &[jid(ROMEO)]);
    stage.send(romeo, "<presence><show>away</show></presence>");
    stage.send(juliet, &command("unblock", &[jid(ROMEO)]));
    let got = stage.stanzas(juliet);
    assert!(got.iter().any(|s| s.contains("<show>away</show>")), "{got:?}");
}

#[test]
fn directed_presence_ends_with_the_block() {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.send(juliet, &format!("<presence to='{}/orchard'/>", jid(ROMEO)));
    stage.received(romeo);
    block(&mut stage, juliet, &["chaski.example".into()]);
    let seen = stage.stanzas(romeo);
    assert!(seen.len() == 1 && seen[0].contains("type='unavailable'"), "{seen:?}");
    stage.send(juliet, "<presence type='unavailable'/>");
    assert_eq!(stage.stanzas(romeo), [""; 0], "and is not told twice");
    stage.send(juliet, &chat(JULIET, "to myself"));
    stage.send(juliet, "<presence/>");
    assert!(bodies(&stage.stanzas(juliet)).contains(&"to myself"), "the own account is never blocked");
}

#[test]
fn a_blocked_resource_is_that_one_alone() {
    let (mut stage, romeo, juliet) = couple();
    let (other, _) = stage.arrive(ROMEO, "street");
    block(&mut stage, juliet, &[format!("{}/street", jid(ROMEO))]);
    stage.send(romeo, &chat(JULIET, "from the orchard"));
    stage.send(other, &chat(JULIET, "from the street"));
    assert_eq!(heard(&mut stage, juliet), ["from the orchard"]);
    assert!(stage.stanzas(other).iter().all(|stanza| !stanza.starts_with("<message")), "not told");
}

#[test]
fn a_message_accepted_before_the_block_arrives() {
    let (mut stage, romeo, juliet) = couple();
    stage.lose(juliet, crate::wire::Closed::Clean);
    stage.send(romeo, &chat(JULIET, "before"));
    let juliet = stage.login(JULIET, "balcony");
    block(&mut stage, juliet, &[jid(ROMEO)]);
    stage.send(juliet, "<presence/>");
    assert_eq!(heard(&mut stage, juliet), ["before"]);
}

#[test]
fn floods_and_nonsense_are_refused_and_harm_nobody() {
    let mut stage = Stage::new(1);
    let juliet = stage.login(JULIET, "balcony");
    let many: Vec<String> = (0..2_001_u64).map(|n| jid(&format!("+{}", 15_559_000_000 + n))).collect();
    for (request, expected) in [
        (command("block", &[]), "bad-request"),
        (command("block", &["@".into()]), "jid-malformed"),
        (command("block", &[jid(JULIET)]), "not-allowed"),
        (command("block", &many), "policy-violation"),
        (format!("<iq type='get' id='b1'><block xmlns='{BLOCKING}'/></iq>"), "bad-request"),
    ] {
        stage.send(juliet, &request);
        let got = stage.received(juliet);
        assert_eq!((got.len(), condition(&got[0])), (1, expected), "{got:?}");
    }
    block(&mut stage, juliet, &many[..2_000]);
    stage.send(juliet, &command("block", &many[2_000..]));
    assert_eq!(condition(&stage.received(juliet)[0]), "policy-violation");
    stage.hold_store(true);
    for n in 0..200 {
        let name = if n % 2 == 0 { "unblock" } else { "block" };
        stage.send(juliet, &command(name, &many[..1]));
    }
    assert_eq!(stage.received(juliet), [""; 0]);
    stage.hold_store(false);
    let answers = stage.received(juliet);
    assert!(answers.iter().all(|answer| answer.contains("type='result'")), "{answers:?}");
    assert_eq!(answers.len(), 200, "each has its turn");
    assert_eq!(list(&mut stage, juliet).len(), 2_000, "the last was to block");
    unblock(&mut stage, juliet, &many[..1]);
    assert_eq!(list(&mut stage, juliet).len(), 1_999, "it goes on as before");
}

#[test]
fn reports_are_kept_for_the_operator() {
    let mut stage = Stage::new(1);
    let juliet = stage.login(JULIET, "balcony");
    let file = "https://chaski.example/media/0123456789abcdef0123456789abcdef/a.jpg";
    let report = format!(
        "<iq type='set' id='b1'><block xmlns='{BLOCKING}'><item jid='{}'>\
         <report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='{}' id='28482'/><text xml:lang='en'>Buy &lt;now&gt;</text>\
         <content xmlns='urn:chaski:media:0' url='{file}#a-key'/></report></item></block></iq>",
        jid(ROMEO),
        jid(JULIET)
    );
    give(&mut stage, juliet, &report);
    let key = crate::testing::account(JULIET).record_key();
    let kept = chaski_store::Engine::records(&stage.engine).get(REPORTS, &key).unwrap().expect("it is kept");
    let reports = crate::rooms::blocking::Reports::from_document(Some(&kept.value)).reports;
    assert_eq!(reports.len(), 1);
    let expected = (JULIET, ROMEO, "urn:xmpp:reporting:spam", "Buy <now>");
    let report = &reports[0];
    assert_eq!((&*report.reporter, &*report.about, &*report.reason, &*report.text), expected);
    assert_eq!(report.messages, ["28482"]);
    assert_eq!(report.files, [file], "whether there is such a file or not");
    assert_eq!(list(&mut stage, juliet), [jid(ROMEO)]);
    stage.command(JULIET, crate::effects::turn::command::RemoveAccount).unwrap();
    let gone = chaski_store::Engine::records(&stage.engine).get(REPORTS, &key).unwrap();
    assert!(gone.is_none(), "it goes with the account");
}

fn ping(who: &str) -> String {
    format!("<iq type='get' id='p' to='{}/x'><ping xmlns='urn:xmpp:ping'/></iq>", jid(who))
}

#[test]
fn a_refusal_takes_as_long_as_for_nobody_within_a_bound() {
    let (mut stage, romeo, juliet) = couple();
    const PARIS: &str = "+15551230008";
    block(&mut stage, juliet, &[jid(ROMEO), jid(PARIS)]);
    stage.received(romeo);
    for who in [JULIET, "+15559999999"] {
        stage.hold_store(true);
        stage.send(romeo, &ping(who));
        stage.send(romeo, "<r xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(stage.stanzas(romeo), [""; 0], "{who}: the store has not looked");
        stage.hold_store(false);
        let got = stage.stanzas(romeo);
        assert_eq!((got.len(), condition(&got[0])), (1, "service-unavailable"), "{who}: {got:?}");
    }
    // Who was told that before is told at once: another one who is blocked asks.
    let (romeo, _) = stage.arrive(PARIS, "garden");
    stage.received(romeo);
    for who in [JULIET, "+15559999999"] {
        stage.hold_store(true);
        (0..300).for_each(|_| stage.send(romeo, &ping(who)));
        let at_once = stage.stanzas(romeo);
        assert_eq!(at_once.len(), 300 - 256, "{who}: no more wait");
        assert!(at_once.iter().all(|error| condition(error) == "resource-constraint"), "{who}: {at_once:?}");
        stage.hold_store(false);
        let got = stage.stanzas(romeo);
        assert_eq!(got.len(), 256, "{who}: each is refused once");
        assert!(got.iter().all(|error| condition(error) == "service-unavailable"), "{who}");
    }
}

#[test]
fn a_strangers_question_takes_as_long_as_for_nobody() {
    for shards in [1, 2] {
        let mut stage = Stage::new(shards);
        let (_juliet, _) = stage.arrive(JULIET, "balcony");
        let (nurse, _) = stage.arrive(NURSE, "hall");
        stage.lose(nurse, crate::wire::Closed::Clean);
        // What was told before is told at once, to whom it was told: a new one asks each question.
        let mut askers = 0;
        for who in [JULIET, NURSE, "+15559999999"] {
            for payload in [
                "<query xmlns='http://jabber.org/protocol/disco#info'/>",
                "<vCard xmlns='vcard-temp'/>",
                "<query xmlns='jabber:iq:last'/>",
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='x'/></pubsub>",
            ] {
                askers += 1;
                let (paris, _) = stage.arrive(&format!("+15551231{askers:03}"), "garden");
                stage.received(paris);
                stage.hold_store(true);
                stage.send(paris, &format!("<iq type='get' id='q' to='{}'>{payload}</iq>", jid(who)));
                assert_eq!(stage.stanzas(paris), [""; 0], "{who}: the store has not looked: {payload}");
                stage.hold_store(false);
                let got = stage.stanzas(paris);
                assert_eq!((got.len(), condition(&got[0])), (1, "service-unavailable"), "{who}: {got:?}");
            }
        }
    }
}
