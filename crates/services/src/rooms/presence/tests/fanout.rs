//! A broadcast on its short way: the same to everybody, once, in order, whatever shard and state they are in.

use super::*;
use crate::realm::Limits;
use crate::wire::Closed;

/// Juliet, and so many people who see her and whom she sees, over three shards.
fn crowd(people: usize) -> (Stage, Client, Vec<(String, Client)>) {
    let mut stage = Stage::new(3);
    let juliet = arrive(&mut stage, JULIET, "balcony");
    let mut crowd = Vec::new();
    for number in 0..people {
        let name = format!("+15551240{number:03}");
        let client = arrive(&mut stage, &name, "phone");
        befriend(&mut stage, (juliet, JULIET), (client, &name));
        crowd.push((name, client));
    }
    for (_, client) in &crowd {
        stage.received(*client);
    }
    (stage, juliet, crowd)
}

#[test]
fn everybody_is_told_once_by_his_own_address() {
    let (mut stage, juliet, crowd) = crowd(20);
    let shards: std::collections::HashSet<_> = crowd.iter().map(|(name, _)| stage.owner(name)).collect();
    assert_eq!(shards.len(), 3, "the play needs people everywhere");
    stage.send(juliet, "<presence><status>a &amp; b</status></presence>");
    for (name, client) in &crowd {
        let from = format!("{}/balcony", jid(JULIET));
        let got = stage.stanzas(*client);
        assert_eq!(got.len(), 1, "{got:?}");
        let stanza = Stanza::parse(got[0].as_bytes()).unwrap();
        assert_eq!((stanza.from().as_deref(), stanza.to()), (Some(&*from), Some(jid(name).into())));
        assert!(got[0].ends_with("<status>a &amp; b</status></presence>"), "{}", got[0]);
    }
    stage.lose(juliet, Closed::Clean);
    for (_, client) in &crowd {
        assert_eq!(seen(&mut stage, *client), ["unavailable from +15551230002/balcony"]);
    }
}

#[test]
fn presence_and_messages_stay_in_order() {
    let (mut stage, juliet, crowd) = crowd(6);
    for number in 0..20 {
        stage.send(juliet, &format!("<presence><status>{number}</status></presence>"));
        for (name, _) in &crowd {
            let to = jid(name);
            stage.send(juliet, &format!("<message to='{to}' type='chat'><body>{number}</body></message>"));
        }
    }
    for (_, client) in &crowd {
        let got = stage.stanzas(*client);
        let expected = (0..20).flat_map(|n| [format!("<status>{n}</status>"), format!("<body>{n}</body>")]);
        assert_eq!(got.len(), 40);
        assert!(got.iter().zip(expected).all(|(got, part)| got.contains(&part)), "{got:?}");
    }
}

#[test]
fn only_available_sessions_are_told() {
    let (mut stage, juliet, crowd) = crowd(1);
    let (name, phone) = &crowd[0];
    let silent = stage.login(name, "silent");
    let tablet = arrive(&mut stage, name, "tablet");
    stage.received(*phone);
    stage.send(juliet, "<presence/>");
    for (client, count) in [(*phone, 1), (tablet, 1), (silent, 0)] {
        assert_eq!(stage.stanzas(client).len(), count);
    }
}

#[test]
fn a_shard_that_is_overloaded_misses_updates_and_no_end() {
    let (mut stage, juliet, crowd) = crowd(6);
    let deaf = (0..3).find(|shard| *shard != stage.owner(JULIET)).unwrap();
    stage.deafen(deaf, true);
    stage.send(juliet, "<presence><status>missed</status></presence>");
    stage.lose(juliet, Closed::Clean);
    stage.deafen(deaf, false);
    stage.settle();
    let mut missed = 0;
    for (name, client) in &crowd {
        let (got, is_deaf) = (seen(&mut stage, *client), stage.owner(name) == deaf);
        let end = "unavailable from +15551230002/balcony".to_owned();
        let update = "available from +15551230002/balcony".to_owned();
        assert_eq!(got, if is_deaf { vec![end] } else { vec![update, end] });
        missed += usize::from(is_deaf);
    }
    assert!(missed > 0, "the play needs somebody there");
}

#[test]
fn who_comes_back_is_not_passed_by_her_own_end() {
    let (mut stage, juliet, crowd) = crowd(6);
    // Not the first either, which asks for her key.
    let deaf = (1..3).find(|shard| *shard != stage.owner(JULIET)).unwrap();
    assert!(crowd.iter().any(|(name, _)| stage.owner(name) == deaf), "the play needs somebody there");
    stage.deafen(deaf, true);
    stage.lose(juliet, Closed::Clean);
    let juliet = stage.login(JULIET, "balcony");
    stage.deafen(deaf, false);
    stage.send(juliet, "<presence/>");
    stage.settle();
    for (_, client) in &crowd {
        let got = seen(&mut stage, *client);
        assert_eq!(got.last().map(String::as_str), Some("available from +15551230002/balcony"), "{got:?}");
    }
}

#[test]
fn who_does_not_read_is_ended_by_nobody_and_gets_the_last_of_his_contacts() {
    let limits = Limits { queue_stanzas: 10, ..Limits::default() };
    for is_mutual in [true, false] {
        let mut stage = Stage::with_limits(2, limits.clone());
        let juliet = arrive(&mut stage, JULIET, "balcony");
        let (romeo, _) = stage.arrive(ROMEO, "orchard");
        befriend(&mut stage, (juliet, JULIET), (romeo, ROMEO));
        if !is_mutual {
            // He does not see her any more by his own will, and she has not noticed.
            stage.send(romeo, &format!("<presence to='{}' type='unsubscribe'/>", jid(JULIET)));
            stage.send(juliet, &format!("<presence to='{}' type='subscribed'/>", jid(ROMEO)));
        }
        stage.acknowledge(romeo, 0);
        stage.received(romeo);
        for number in 0..30 {
            stage.send(juliet, &format!("<presence><status>{number}</status></presence>"));
        }
        assert_eq!(stage.closed_with(romeo), None);
        let told = stage.stanzas(romeo).len();
        assert!(told <= 10, "{told}");
        stage.acknowledge(romeo, 0);
        let last: Vec<String> = stage.stanzas(romeo);
        assert_eq!(last.len(), usize::from(is_mutual), "all that was late is folded: {last:?}");
        assert!(!is_mutual || last[0].contains("<status>29</status>"), "{last:?}");
    }
}

#[test]
fn an_inactive_phone_gets_the_last_of_a_storm() {
    let (mut stage, juliet, crowd) = crowd(1);
    let (_, phone) = crowd[0];
    stage.send(phone, "<inactive xmlns='urn:xmpp:csi:0'/>");
    for number in 0..50 {
        stage.send(juliet, &format!("<presence><status>{number}</status></presence>"));
    }
    assert_eq!(stage.stanzas(phone), [""; 0]);
    stage.send(phone, "<active xmlns='urn:xmpp:csi:0'/>");
    let got = stage.stanzas(phone);
    assert_eq!(got.len(), 1);
    assert!(got[0].contains("<status>49</status>"), "{got:?}");
}

/// Who logs in asks all contacts of a place by one letter, and those who are away are asked by nobody.
#[test]
fn a_login_asks_the_contacts_of_a_place_by_one_letter() {
    let (mut stage, juliet, crowd) = crowd(30);
    let elsewhere = crowd.iter().filter(|(name, _)| stage.owner(name) != stage.owner(JULIET)).count();
    assert!(elsewhere > 15, "the play needs people elsewhere");
    stage.lose(juliet, Closed::Clean);
    for number in [30, 1] {
        for (_, client) in &crowd[number..] {
            stage.lose(*client, Closed::Clean);
        }
        stage.pass(1_000);
        let juliet = stage.login(JULIET, "balcony");
        let before = stage.letters();
        stage.send(juliet, "<presence/>");
        let letters = stage.letters() - before;
        let there = stage.stanzas(juliet).iter().filter(|got| got.contains("/phone")).count();
        stage.lose(juliet, Closed::Clean);
        // To each of two places a presence, the probes and who is there; from there what they answer, and how far they are.
        let answers =
            crowd[..number].iter().filter(|(name, _)| stage.owner(name) != stage.owner(JULIET)).count();
        assert_eq!(there, number, "everybody who is there has answered");
        assert!(letters <= 4 + answers as u64 + 2, "{letters} letters, {answers} of them answers");
    }
}
