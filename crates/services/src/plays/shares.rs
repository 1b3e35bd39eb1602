//! One sender closes nobody's mailbox and fills no disk: shares of a mailbox, a rate for who sends, a last room for contacts.

use super::blocking::block;
use super::*;
use crate::realm::Limits;
use crate::wire::Closed;
use chaski_store::Shares;

/// Romeo, who has Juliet in his roster and is away; his mailbox holds a hundred messages.
fn verona() -> Stage {
    let mut stage = Stage::with_shares(2, 100, Shares::default());
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    list(&mut stage, romeo, &jid(JULIET));
    stage.lose(romeo, Closed::Clean);
    stage
}

/// Puts somebody into the roster.
fn list(stage: &mut Stage, client: Client, contact: &str) {
    let item = format!("<item jid='{contact}'/>");
    stage.send(client, &format!("<iq type='set' id='l'><query xmlns='jabber:iq:roster'>{item}</query></iq>"));
    assert!(stage.received(client).iter().any(|got| got.contains("id='l' type='result'")));
}

/// A session that has read what it was sent until now.
fn there(stage: &mut Stage, local: &str) -> Client {
    let (client, _) = stage.arrive(local, "street");
    stage.received(client);
    client
}

/// Sends so many short messages to Romeo; how many were not refused, and the first refusal.
fn write(stage: &mut Stage, client: Client, count: usize) -> (usize, Option<String>) {
    let mut refusals = Vec::new();
    for _ in 0..count {
        stage.send(client, &chat(ROMEO, "x"));
        refusals.extend(stage.stanzas(client).into_iter().filter(|got| got.contains("type='error'")));
    }
    (count - refusals.len(), refusals.into_iter().next())
}

fn stranger(number: u64) -> String {
    format!("+1555124{number:04}")
}

#[test]
fn a_stranger_does_not_close_a_mailbox() {
    let mut stage = verona();
    let nurse = there(&mut stage, NURSE);
    let (taken, refusal) = write(&mut stage, nurse, 200);
    assert_eq!(taken, 10);
    assert_eq!(stage.waiting(ROMEO), 10);
    // Refused is handled, and nothing else is told: the same as of a mailbox that is full.
    stage.send(nurse, "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(stage.received(nurse), ["<a xmlns='urn:xmpp:sm:3' h='201'/>"]);
    let mut full = Stage::with_mailboxes_of(2, 1);
    let romeo = full.login(ROMEO, "orchard");
    full.lose(romeo, Closed::Clean);
    let other = there(&mut full, NURSE);
    assert_eq!(write(&mut full, other, 2).1, refusal);

    let juliet = there(&mut stage, JULIET);
    assert_eq!(write(&mut stage, juliet, 100).0, 25, "a contact's share is larger, and is one, too");
    let other = there(&mut stage, &stranger(0));
    assert_eq!(write(&mut stage, other, 1).0, 1);
}

#[test]
fn all_strangers_leave_room_for_contacts() {
    let mut stage = verona();
    let taken: usize = (0..20)
        .map(|number| {
            let client = there(&mut stage, &stranger(number));
            write(&mut stage, client, 10).0
        })
        .sum();
    assert_eq!(taken, 50);
    let juliet = there(&mut stage, JULIET);
    assert_eq!(write(&mut stage, juliet, 25).0, 25);
}

#[test]
fn what_is_acknowledged_gives_its_share_back() {
    let mut stage = verona();
    let nurse = there(&mut stage, NURSE);
    assert_eq!(write(&mut stage, nurse, 20).0, 10);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    assert_eq!(heard(&mut stage, romeo).len(), 10);
    assert_eq!(write(&mut stage, nurse, 1).0, 0, "it waits until he has acknowledged it");
    stage.acknowledge(romeo, 3);
    assert_eq!(write(&mut stage, nurse, 20).0, 7);
}

#[test]
fn who_is_a_contact_is_his_owners_to_say() {
    let mut stage = verona();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    list(&mut stage, romeo, &jid("bot"));
    // Who asks to see him is a stranger as before.
    let nurse = there(&mut stage, NURSE);
    stage.send(nurse, &format!("<presence to='{}' type='subscribe'/>", jid(ROMEO)));
    stage.lose(romeo, Closed::Clean);
    assert_eq!(write(&mut stage, nurse, 30).0, 10);
    let bot = there(&mut stage, "bot");
    assert_eq!(write(&mut stage, bot, 30).0, 25, "an account with a name is known by it");
    let other = there(&mut stage, "robot");
    assert_eq!(write(&mut stage, other, 30).0, 10);
}

#[test]
fn who_is_blocked_finds_a_mailbox_as_full_as_a_stranger_does() {
    let mut stage = verona();
    let other = there(&mut stage, &stranger(0));
    let of_stranger = write(&mut stage, other, 15);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    // Even who was a contact.
    let juliet = there(&mut stage, JULIET);
    block(&mut stage, romeo, &[jid(JULIET), jid(NURSE)]);
    stage.lose(romeo, Closed::Clean);
    let before = stage.waiting(ROMEO);
    let nurse = there(&mut stage, NURSE);
    for blocked in [nurse, juliet] {
        let (taken, refusal) = write(&mut stage, blocked, 15);
        assert_eq!((taken, refusal.map(anonymous)), (of_stranger.0, of_stranger.1.clone().map(anonymous)));
    }
    assert_eq!(stage.waiting(ROMEO), before, "nothing of it is kept");
}

/// A stanza without the address of whom it is for.
fn anonymous(stanza: String) -> String {
    let to =
        stanza.split_once(" to='").and_then(|(_, rest)| rest.split_once('\'')).map(|(to, _)| to.to_owned());
    to.map_or(stanza.clone(), |to| stanza.replace(&to, ""))
}

#[test]
fn the_last_room_of_a_disk_is_for_contacts() {
    let mut stage = verona();
    let (nurse, juliet) = (there(&mut stage, NURSE), there(&mut stage, JULIET));
    stage.engine.be_scarce(true);
    let (taken, refusal) = write(&mut stage, nurse, 1);
    assert_eq!(taken, 0);
    assert_eq!(condition(&refusal.unwrap()), "resource-constraint");
    assert_eq!(write(&mut stage, juliet, 1).0, 1);
    stage.engine.be_scarce(false);
    assert_eq!(write(&mut stage, nurse, 1).0, 1);
}

/// Whoever sends has 10,000 bytes and gets 1,000 more each second.
fn rated_and_empty() -> Stage {
    let limits = Limits { stored_burst_bytes: 10_000, stored_bytes_per_s: 1_000, ..Limits::default() };
    Stage::with_limits(2, limits)
}

/// The same, with Romeo, who knows Juliet and is away.
fn rated() -> Stage {
    let mut stage = rated_and_empty();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    list(&mut stage, romeo, &jid(JULIET));
    stage.lose(romeo, Closed::Clean);
    stage
}

/// A message to Romeo that takes about 1,000 bytes.
fn long() -> String {
    chat(ROMEO, &"x".repeat(780))
}

#[test]
fn who_sends_too_much_waits_and_nobody_else() {
    let mut stage = rated();
    let (nurse, juliet) = (there(&mut stage, NURSE), there(&mut stage, JULIET));
    let (other, _) = stage.arrive(NURSE, "other");
    [nurse, other].into_iter().for_each(|client| _ = stage.received(client));
    // Over all sessions of the account.
    (0..20).for_each(|n| stage.send(if n % 2 == 0 { nurse } else { other }, &long()));
    assert_eq!(stage.waiting(ROMEO), 10);
    let refusals = stage.stanzas(nurse);
    assert!(refusals.iter().all(|refusal| condition(refusal) == "resource-constraint"), "{refusals:?}");
    assert!(refusals[0].contains("type='wait'"));
    assert_eq!(refusals.len() + stage.stanzas(other).len(), 10);
    // What is not stored costs nothing of it.
    let headline = format!("<message to='{}' type='headline'><body>x</body></message>", jid(ROMEO));
    stage.send(nurse, &headline);
    assert_eq!(stage.stanzas(nurse), [""; 0]);
    stage.send(juliet, &long());
    assert_eq!(stage.waiting(ROMEO), 11);
    stage.pass(3_000);
    (0..5).for_each(|_| stage.send(nurse, &long()));
    assert_eq!(stage.waiting(ROMEO), 14);
}

#[test]
fn the_rate_tells_nothing_of_whom_one_writes_to() {
    // Whether he is away, there, there and quick, or nobody at all: it refuses the same messages in the same words.
    let seen = ["away", "there", "quick", "nobody"].map(|how| {
        let mut stage = if how == "nobody" { rated_and_empty() } else { rated() };
        let romeo = (how == "there" || how == "quick").then(|| there(&mut stage, ROMEO));
        let nurse = there(&mut stage, NURSE);
        (0..15)
            .map(|_| {
                stage.send(nurse, &long());
                if let Some(romeo) = romeo.filter(|_| how == "quick") {
                    stage.acknowledge(romeo, 0);
                }
                let got = stage.stanzas(nurse);
                got.into_iter().filter(|got| got.contains("resource-constraint")).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    });
    assert!(seen.iter().all(|of| *of == seen[0]), "{seen:?}");
    assert_eq!(seen[0].iter().filter(|refusal| !refusal.is_empty()).count(), 5);
}

/// A contact who has had much stored lately is no better than a stranger where the disk's last room is given out.
#[test]
fn who_has_stored_much_does_not_get_the_last_room() {
    let mut stage = rated();
    let juliet = there(&mut stage, JULIET);
    (0..6).for_each(|_| stage.send(juliet, &long()));
    stage.engine.be_scarce(true);
    stage.send(juliet, &long());
    assert_eq!(stage.waiting(ROMEO), 6);
    stage.pass(3_000);
    stage.send(juliet, &chat(ROMEO, "x"));
    assert_eq!(stage.waiting(ROMEO), 7);
}
