//! Messages between two people on one shard: who gets what, what waits, what is refused.

use super::*;
use crate::wire::Closed;

#[test]
fn a_message_arrives_at_once_stamped_and_identified() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(romeo);
    stage.received(juliet);
    stage.send(
        juliet,
        &format!("<message to='{}' id='m1' type='chat'><body>Wherefore?</body></message>", jid(ROMEO)),
    );
    let got = stage.received(romeo);
    assert!(
        got[0].starts_with(&format!(
            "<message from='{}/balcony' id='m1' type='chat' to='{}'>",
            jid(JULIET),
            jid(ROMEO)
        )),
        "{got:?}"
    );
    assert!(got[0].contains(&format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{}' id='", jid(ROMEO))));
    assert!(!got[0].contains("<delay"), "it is live");
    assert_eq!(got[1], "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(stage.waiting(ROMEO), 1, "until he has acknowledged it");
    stage.acknowledge(romeo, 0);
    assert_eq!(stage.waiting(ROMEO), 0);
    assert_eq!(stage.stanzas(juliet), [""; 0]);
}

#[test]
fn a_message_waits_for_who_is_away() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    for body in ["one", "two", "three"] {
        stage.send(juliet, &chat(ROMEO, body));
    }
    let (romeo, _) = stage.arrive(ROMEO, "street");
    let got = stage.stanzas(romeo);
    assert_eq!(bodies(&got), ["one", "two", "three"]);
    let mut messages = got.iter().filter(|stanza| stanza.starts_with("<message"));
    assert!(messages.all(|m| m.contains("<delay xmlns='urn:xmpp:delay' from='chaski.example' stamp='2023-")));
    stage.acknowledge(romeo, 1);
    assert_eq!(stage.waiting(ROMEO), 1);
}

/// A message lies in its mailbox as it was written: whole, by a program of before; or by one that is not known yet.
#[test]
fn what_another_program_has_stored_is_delivered_if_it_can_be_read() {
    let mut stage = Stage::new(1);
    stage.leave_unjudged("nobody has sent what is put into the mailbox");
    // No account is made over leftovers: it is there before.
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let to = jid(ROMEO);
    let old = |body: &str, resource: &str| {
        format!("<message from='{}' to='{to}{resource}' id='old'><body>{body}</body></message>", jid(JULIET))
    };
    stage.put_into_mailbox(ROMEO, 1, old("one", "").as_bytes());
    stage.put_into_mailbox(ROMEO, 2, b"\xFFof another age");
    stage.put_into_mailbox(ROMEO, 3, old("three", "/gone").as_bytes());
    let (orchard, _) = stage.arrive(ROMEO, "orchard");
    let got = stage.stanzas(orchard);
    assert_eq!(bodies(&got), ["one", "three"]);
    let late =
        "</body><delay xmlns='urn:xmpp:delay' from='chaski.example' stamp='2023-11-14T22:13:20Z'/></message>";
    assert!(got.iter().any(|stanza| stanza.contains("<body>one<") && stanza.ends_with(late)), "{got:?}");
    stage.acknowledge(orchard, 0);
    assert_eq!(stage.waiting(ROMEO), 1, "for a program that can read it");
}

#[test]
fn a_message_survives_a_crash_and_is_gone_after_its_acknowledgement() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Lost);
    stage.send(juliet, &chat(ROMEO, "stay"));
    stage.crash();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    assert_eq!(heard(&mut stage, romeo), ["stay"]);
    stage.acknowledge(romeo, 0);
    stage.crash();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    assert_eq!(heard(&mut stage, romeo), [""; 0]);
}

#[test]
fn without_stream_management_tcp_confirms() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    stage.send(romeo, "<presence/>");
    let juliet = stage.login(JULIET, "balcony");
    stage.send(juliet, &chat(ROMEO, "one"));
    assert_eq!(heard(&mut stage, romeo), ["one"]);
    assert_eq!(stage.waiting(ROMEO), 1);
    assert!(stage.confirm(romeo));
    assert_eq!(stage.waiting(ROMEO), 0);
    assert!(!stage.confirm(romeo), "nothing more is asked");
}

#[test]
fn without_stream_management_a_receipt_confirms() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    stage.send(romeo, "<presence/>");
    let juliet = stage.login(JULIET, "balcony");
    let message = format!("<message to='{}' id='wanted-1'><body>x</body></message>", jid(ROMEO));
    stage.send(juliet, &message);
    stage.send(juliet, &chat(ROMEO, "other"));
    let receipt = "<received xmlns='urn:xmpp:receipts' id='wanted-1'/>";
    stage.send(romeo, &format!("<message to='{}'>{receipt}</message>", jid(JULIET)));
    assert_eq!(stage.waiting(ROMEO), 1, "the other one is still not confirmed");
    assert_eq!(stage.waiting(JULIET), 1, "a receipt is stored for who is not there");
    stage.confirm(romeo);
    assert_eq!(stage.waiting(ROMEO), 0);
}

#[test]
fn a_forged_sender_ends_the_stream() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(romeo);
    let message = format!("<message from='{}' to='{}'><body>x</body></message>", jid(NURSE), jid(ROMEO));
    stage.send(juliet, &message);
    let end = stage.closed_with(juliet).unwrap().unwrap();
    assert_eq!(end.condition, "invalid-from");
    assert_eq!(heard(&mut stage, romeo), [""; 0]);
}

#[test]
fn ones_own_address_is_no_forgery() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    for from in [jid(JULIET), format!("{}/balcony", jid(JULIET))] {
        stage.send(juliet, &format!("<message from='{from}' to='{}'><body>x</body></message>", jid(JULIET)));
    }
    assert_eq!(stage.closed_with(juliet), None);
    assert_eq!(heard(&mut stage, juliet), ["x", "x"], "a note to oneself");
}

#[test]
fn forged_stanza_ids_are_stripped() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(romeo);
    let forged = |by: &str| format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='forged'/>");
    let (own, upper, foreign) =
        (forged(&jid(ROMEO)), forged(&jid(ROMEO).to_uppercase()), forged("room@elsewhere.example"));
    stage
        .send(juliet, &format!("<message to='{}'><body>x</body>{own}{upper}{foreign}</message>", jid(ROMEO)));
    let got = stage.received(romeo).remove(0);
    assert_eq!(got.matches("forged").count(), 1, "only the foreign one is left: {got}");
    assert!(got.contains("elsewhere.example"));
}

#[test]
fn a_message_sent_again_has_the_same_stanza_id() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(romeo);
    let message = format!("<message to='{}' id='long-enough'><body>x</body></message>", jid(ROMEO));
    stage.send(juliet, &message);
    let first = stage.stanzas(romeo);
    stage.send(juliet, &message);
    assert_eq!(stage.stanzas(romeo), [""; 0], "it still waits: there is nothing to add");
    stage.acknowledge(romeo, 0);
    stage.send(juliet, &message);
    assert_eq!(stage.stanzas(romeo), first);
}

/// Its client sends it again because the server stopped before it had answered: the restart must not be what makes it another message.
#[test]
fn a_message_sent_again_after_the_secret_was_replaced_has_the_same_stanza_id() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let message = format!("<message to='{}' id='long-enough'><body>again</body></message>", jid(ROMEO));
    let say_twice = |stage: &mut Stage, replace: &dyn Fn(&mut Stage)| {
        let (juliet, _) = stage.arrive(JULIET, "balcony");
        stage.send(juliet, &message);
        replace(stage);
        let (juliet, _) = stage.arrive(JULIET, "balcony");
        stage.send(juliet, &message);
        let (romeo, _) = stage.arrive(ROMEO, "street");
        let got = stage.stanzas(romeo);
        stage.acknowledge(romeo, 0);
        stage.lose(romeo, Closed::Clean);
        stanza_ids(&got).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let until_unix_ms = 1_700_000_000_000 + stage.now_ms + 60_000;
    let first = say_twice(&mut stage, &|stage| {
        stage.engine.replace_secret(Some(until_unix_ms));
        stage.crash();
    });
    assert_eq!(first.len(), 1, "the second is the first: {first:?}");
    stage.leave_unjudged("who says it once more when the former secret's time is over says another message");
    stage.now_ms += 60_000;
    let later = say_twice(&mut stage, &|_| ());
    assert!(later.len() == 1 && later != first, "by the new secret");
}

/// The ids that the server gave these stanzas.
fn stanza_ids(stanzas: &[String]) -> Vec<&str> {
    let after = stanzas.iter().filter_map(|stanza| stanza.split_once("<stanza-id ")?.1.split_once(" id='"));
    after.filter_map(|(_, id)| Some(id.split_once('\'')?.0)).collect()
}

#[test]
fn what_is_sent_again_in_other_bytes_is_kept_beside_the_first_with_its_stanza_id() {
    let origin = "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>";
    let delay = "<delay xmlns='urn:xmpp:delay' stamp='2023-01-01T00:00:00Z'/>";
    let by_id = |content: &str| format!("<message to='{}' id='long-enough'>{content}</message>", jid(ROMEO));
    for again in [
        [by_id("<body>x</body>"), by_id(&format!("<body>x</body>{delay}"))],
        [by_id("<a xmlns='urn:a'/><b xmlns='urn:b'/>"), by_id("<b xmlns='urn:b'/><a xmlns='urn:a'/>")],
        [by_id("<body>one ciphertext</body>"), by_id("<body>and another</body>")],
        // The origin-id counts, however short, and the id not.
        ["first", "other"].map(|id| format!("<message to='{}' id='{id}-id'>{origin}</message>", jid(ROMEO))),
        // Of one account, whichever resource it is for and from.
        ["", "/orchard"].map(|resource| format!("<message to='{}{resource}' id='long-enough'/>", jid(ROMEO))),
    ] {
        let mut stage = Stage::new(1);
        let (romeo, _) = stage.arrive(ROMEO, "orchard");
        stage.received(romeo);
        for (message, resource) in again.iter().zip(["balcony", "garden"]) {
            let (juliet, _) = stage.arrive(JULIET, resource);
            stage.send(juliet, message);
        }
        let got: Vec<_> =
            stage.stanzas(romeo).into_iter().filter(|got| got.starts_with("<message")).collect();
        assert_eq!(got.len(), 2, "both are delivered: {got:?}");
        let ids = stanza_ids(&got);
        assert_eq!(ids[0], ids[1], "{again:?}");
        assert_eq!(stage.waiting(ROMEO), 2);
        // What is waiting with all its bytes is dropped, whichever of them it is; also after a crash.
        let (juliet, _) = stage.arrive(JULIET, "balcony");
        again.iter().for_each(|message| stage.send(juliet, message));
        assert_eq!(stage.waiting(ROMEO), 2);
        stage.crash();
        let (juliet, _) = stage.arrive(JULIET, "balcony");
        again.iter().for_each(|message| stage.send(juliet, message));
        assert_eq!(stage.waiting(ROMEO), 2);
    }
}

#[test]
fn what_has_another_identity_has_another_stanza_id() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (nurse, _) = stage.arrive(NURSE, "street");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(romeo);
    stage.received(nurse);
    let to = |to: &str, id: &str| format!("<message to='{}' id='{id}'><body>x</body></message>", jid(to));
    stage.send(juliet, &to(ROMEO, "long-enough"));
    stage.send(nurse, &to(ROMEO, "long-enough"));
    stage.send(juliet, &to(ROMEO, "long-enough-2"));
    stage.send(juliet, &to(NURSE, "long-enough"));
    // Too short to be one: each is a message of its own. Characters count, not bytes.
    stage.send(juliet, &to(ROMEO, "ñññññññ"));
    stage.send(juliet, &to(ROMEO, "ñññññññ"));
    let mut got = stage.stanzas(romeo);
    got.extend(stage.stanzas(nurse));
    got.retain(|got| got.starts_with("<message"));
    assert_eq!(got.len(), 6, "nobody can suppress another's message: {got:?}");
    let mut ids = stanza_ids(&got);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

#[test]
fn chat_states_and_headlines_do_not_wait() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    let composing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    stage.send(juliet, &format!("<message to='{}' type='chat'>{composing}</message>", jid(ROMEO)));
    stage.send(juliet, &format!("<message to='{}' type='headline'><body>x</body></message>", jid(ROMEO)));
    assert_eq!(stage.waiting(ROMEO), 0);
    assert_eq!(stage.stanzas(juliet), [""; 0]);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(romeo);
    stage.send(juliet, &format!("<message to='{}' type='chat'>{composing}</message>", jid(ROMEO)));
    assert!(stage.received(romeo)[0].contains("composing"));
    assert_eq!(stage.waiting(ROMEO), 0);
}

#[test]
fn who_can_not_be_reached_is_refused_with_one_error() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    for (to, expected) in [
        ("+15559999999@chaski.example", "service-unavailable"),
        ("+0@chaski.example", "service-unavailable"),
        ("nobody@chaski.example", "service-unavailable"),
        ("chaski.example", "service-unavailable"),
        ("someone@elsewhere.example", "remote-server-not-found"),
        ("@chaski.example", "jid-malformed"),
    ] {
        stage.send(juliet, &format!("<message to='{to}' id='x' type='chat'><body>x</body></message>"));
        let got = stage.stanzas(juliet);
        assert_eq!(got.len(), 1, "{to}: {got:?}");
        assert_eq!(condition(&got[0]), expected, "{to}: {}", got[0]);
        assert!(got[0].contains("type='error'") && got[0].contains("id='x'"), "{}", got[0]);
    }
    stage.send(juliet, "<message to='+15559999999@chaski.example' type='error'><body>x</body></message>");
    assert_eq!(stage.stanzas(juliet), [""; 0], "never an error for an error");
    stage.send(juliet, &format!("<message to='{}' type='groupchat'><body>x</body></message>", jid(JULIET)));
    assert_eq!(condition(&stage.stanzas(juliet)[0]), "service-unavailable");
}

#[test]
fn a_full_mailbox_is_said_to_the_sender() {
    let mut stage = Stage::with_mailboxes_of(2, 2);
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    for body in ["one", "two", "three"] {
        stage.send(juliet, &chat(ROMEO, body));
    }
    let got = stage.stanzas(juliet);
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(condition(&got[0]), "resource-constraint");
    assert!(got[0].contains("type='wait'"));
    stage.send(juliet, "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(stage.received(juliet), ["<a xmlns='urn:xmpp:sm:3' h='4'/>"], "refused is handled, too");
}

#[test]
fn what_is_sent_again_to_a_full_mailbox_is_accepted_again() {
    let mut stage = Stage::with_mailboxes_of(2, 1);
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    let message = format!("<message to='{}' id='long-enough'><body>once</body></message>", jid(ROMEO));
    stage.send(juliet, &message);
    stage.send(juliet, &message);
    assert_eq!(stage.stanzas(juliet), [""; 0], "no error for what will be delivered");
    assert_eq!(stage.waiting(ROMEO), 1);
}

#[test]
fn a_full_disk_is_said_to_the_sender_once() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    stage.lose(romeo, Closed::Clean);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    stage.engine.fail_next(chaski_store::StoreError::Full);
    stage.send(juliet, &chat(ROMEO, "lost"));
    let got = stage.stanzas(juliet);
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(condition(&got[0]), "resource-constraint");
    stage.send(juliet, &chat(ROMEO, "kept"));
    assert_eq!(stage.waiting(ROMEO), 1);
    assert_eq!(stage.stanzas(juliet), [""; 0]);
}

/// A message is written to a recipient at once, before it is durable. His connection is lost before he has got it, and the disk refuses it.
#[test]
fn what_was_refused_after_it_was_written_is_not_written_again() {
    for is_there in [false, true] {
        let mut stage = Stage::new(2);
        let (romeo, id) = stage.arrive(ROMEO, "orchard");
        let (juliet, _) = stage.arrive(JULIET, "balcony");
        stage.send(juliet, &chat(ROMEO, "kept"));
        stage.received(romeo);
        stage.received(juliet);
        let h = stage.counted(romeo);
        stage.engine.fail_next(chaski_store::StoreError::Full);
        stage.send(juliet, &chat(ROMEO, "refused"));
        assert_eq!(condition(&stage.stanzas(juliet)[0]), "resource-constraint");
        stage.send(juliet, &chat(ROMEO, "kept too"));
        if is_there {
            // He has got it all, and says so: it is counted as it was written.
            stage.send(romeo, &format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", h + 2));
            assert_eq!(stage.waiting(ROMEO), 0);
        }
        stage.lose_unread(romeo, Closed::Lost, if is_there { 0 } else { 2 });
        let (romeo, resumed) = stage.resume(ROMEO, &id, if is_there { h + 2 } else { h });
        resumed.expect("it is resumed");
        let bodies: Vec<_> = stage.stanzas(romeo);
        let refused = bodies.iter().filter(|stanza| stanza.contains("refused")).count();
        let kept = bodies.iter().filter(|stanza| stanza.contains("kept too")).count();
        assert_eq!((refused, kept), (0, usize::from(!is_there)), "{bodies:?}");
        // Both count alike from here on.
        stage.send(juliet, &chat(ROMEO, "and then"));
        stage.acknowledge_at_most(romeo, 0);
        assert_eq!(stage.waiting(ROMEO), 0);
    }
}

/// What clients say of files (XEP-0066, 0264, 0446, 0447, 0428) is theirs: nothing of it is read, reordered or escaped anew.
const SHARED: &str = "<body>https://x/1/a%20b.jpg</body><x xmlns='jabber:x:oob'><url>https://x/1/a%20b.jpg</url></x>\
    <file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline' id='f'><file xmlns='urn:xmpp:file:metadata:0'>\
    <media-type>image/jpeg</media-type><name>a &amp; b.jpg</name><desc xml:lang='de'>Grüße &lt;3</desc><size>3032449</size>\
    <dimensions>4096x2160</dimensions><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>2XarmwTlNxDAMkvymloX3S5+VbylNrJt/l5QyPa+YoU=</hash>\
    <thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:sha1+ffd7c8d28e9c5e82afea41f97108c6b4@bob.xmpp.org' media-type='image/png' \
    width='128' height='96'/><thumbnail xmlns=\"urn:xmpp:thumbs:1\" uri=\"https://x/1/a?w=256&amp;x='\"/></file>\
    <sources><url-data xmlns='http://jabber.org/protocol/url-data' target='https://x/1/a%20b.jpg'/></sources></file-sharing>\
    <fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'><body/></fallback>";

#[test]
fn what_is_said_of_a_file_passes_through_unchanged() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(romeo);
    let shared = format!("<message to='{}' type='chat'>{SHARED}</message>", jid(ROMEO));
    stage.send(juliet, &shared);
    let live = stage.stanzas(romeo).concat();
    assert!(live.contains(SHARED), "live: {live}");
    stage.acknowledge(romeo, 1);
    stage.lose(romeo, Closed::Clean);
    stage.send(juliet, &shared);
    stage.crash();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let stored = stage.stanzas(romeo).concat();
    assert!(stored.contains(SHARED) && stored.contains("<delay "), "stored: {stored}");
}
