//! Ways between shards that are cut, slow, or bring letters twice: nothing is lost, doubled or out of order, and whoever is at
//! the end of a dead one costs the others nothing.

use super::*;
use crate::realm::Limits;
use crate::testing::{Link, Stage};

const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// Somebody on each of so many shards, with stream management, and Romeo first.
fn people(shards: u16) -> (Stage, Vec<(String, Client)>) {
    people_on(Stage::new(shards), shards)
}

fn people_on(mut stage: Stage, shards: u16) -> (Stage, Vec<(String, Client)>) {
    let romeo = stage.owner(ROMEO);
    let others = (0..shards).filter(|shard| *shard != romeo).collect::<Vec<_>>();
    let mut locals = vec![ROMEO.to_owned()];
    for shard in others {
        locals.extend((100..).map(|n| format!("+15551230{n}")).find(|local| stage.owner(local) == shard));
    }
    let people: Vec<_> = locals.into_iter().map(|local| (stage.arrive(&local, "phone").0, local)).collect();
    people.iter().for_each(|(client, _)| drop(stage.received(*client)));
    (stage, people.into_iter().map(|(client, local)| (local, client)).collect())
}

/// How far the server says that it has handled what a client sent.
fn handled(stage: &mut Stage, client: Client) -> Option<u32> {
    stage.send(client, REQUEST);
    let received = stage.received(client);
    let answer = received.iter().rfind(|element| element.starts_with("<a "))?;
    answer.split("h='").nth(1)?.split('\'').next()?.parse().ok()
}

#[test]
fn what_was_lost_on_the_way_is_sent_again_in_order() {
    let (mut stage, people) = people(2);
    let [(_, romeo), (far, client)] = &people[..] else { panic!("two") };
    let (here, there) = (stage.owner(ROMEO), stage.owner(far));
    stage.send(*romeo, &chat(far, "arrives"));
    stage.set_link(here, there, Link::Down);
    stage.send(*romeo, &chat(far, "lost"));
    stage.send(*romeo, &chat(far, "lost, too"));
    stage.set_link(here, there, Link::Well);
    stage.send(*romeo, &chat(far, "follows"));
    assert_eq!(
        heard(&mut stage, *client),
        ["arrives", "lost", "lost, too", "follows"],
        "what follows asks for it"
    );
    assert_eq!(handled(&mut stage, *romeo), Some(5));
}

#[test]
fn what_was_lost_at_the_end_is_asked_for() {
    let (mut stage, people) = people(2);
    let [(_, romeo), (far, client)] = &people[..] else { panic!("two") };
    let (here, there) = (stage.owner(ROMEO), stage.owner(far));
    stage.set_link(here, there, Link::Down);
    stage.send(*romeo, &chat(far, "lost"));
    stage.pass(1_000);
    stage.set_link(here, there, Link::Well);
    assert_eq!(heard(&mut stage, *client), [""; 0]);
    stage.pass(2_000);
    assert_eq!(heard(&mut stage, *client), ["lost"]);
    assert_eq!(handled(&mut stage, *romeo), Some(2));
    stage.pass(1_000);
    assert_eq!(stage.letters_kept(), 0);
}

/// An acceptance that is lost freezes nobody, and the message is not shown again although its recipient has acknowledged it and
/// it is gone.
#[test]
fn a_lost_acceptance_is_sent_again_and_the_message_is_not() {
    let (mut stage, people) = people(2);
    let [(_, romeo), (far, client)] = &people[..] else { panic!("two") };
    let (here, there) = (stage.owner(ROMEO), stage.owner(far));
    stage.set_link(there, here, Link::Down);
    stage.send(*romeo, &chat(far, "once"));
    assert_eq!(heard(&mut stage, *client), ["once"]);
    stage.acknowledge(*client, 0);
    assert_eq!(handled(&mut stage, *romeo), None);
    stage.pass(4_000);
    stage.set_link(there, here, Link::Well);
    stage.pass(20_000);
    assert_eq!(handled(&mut stage, *romeo), Some(2));
    assert_eq!(heard(&mut stage, *client), [""; 0]);
}

#[test]
fn a_lost_error_is_sent_again_with_what_it_settles() {
    let (mut stage, people) = people(2);
    let [(_, romeo), (far, _)] = &people[..] else { panic!("two") };
    let (here, there) = (stage.owner(ROMEO), stage.owner(far));
    let nobody = (200..).map(|n| format!("+15551230{n}")).find(|local| stage.owner(local) == there).unwrap();
    stage.set_link(there, here, Link::Down);
    stage.send(*romeo, &chat(&nobody, "to nobody"));
    assert_eq!(handled(&mut stage, *romeo), None);
    stage.set_link(there, here, Link::Well);
    stage.pass(2_000);
    let got = stage.stanzas(*romeo);
    assert_eq!(got.iter().map(|got| condition(got)).collect::<Vec<_>>(), ["service-unavailable"]);
    assert_eq!(handled(&mut stage, *romeo), Some(2));
}

/// One of three is dead: what is for it is kept up to a bound, and then refused, and nobody else notices.
#[test]
fn a_dead_place_costs_the_others_nothing() {
    let limits = Limits { kept_envelopes: 10, ..Limits::default() };
    let (mut stage, people) = people_on(Stage::with_limits(3, limits), 3);
    stage.leave_unjudged("what is under way to a dead place is neither accepted nor refused");
    let [(_, romeo), (near, client), (dead, _)] = &people[..] else { panic!("three") };
    let (here, there) = (stage.owner(ROMEO), stage.owner(dead));
    stage.set_link(here, there, Link::Down);
    stage.set_link(there, here, Link::Down);
    let another = stage.arrive(ROMEO, "another").0;
    stage.pass(10_000);
    let kept = stage.letters_kept();
    for number in 0..50 {
        stage.send(*romeo, &chat(dead, "kept or refused"));
        stage.send(another, &chat(near, &number.to_string()));
        stage.send(*client, &chat(ROMEO, &number.to_string()));
    }
    let all: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(heard(&mut stage, *client), all);
    let got = stage.stanzas(*romeo);
    let refused = got.iter().filter(|got| condition(got) == "resource-constraint").count();
    assert_eq!((refused, kept), (50 - (10 - kept), kept), "{got:?}");
    assert_eq!(bodies(&got).into_iter().filter(|body| *body != "kept or refused").collect::<Vec<_>>(), all);
    assert_eq!(handled(&mut stage, *client), Some(51));
    assert_eq!(handled(&mut stage, another), Some(51));
    // A request is answered at once, where nobody has said anything for a while.
    let ask = format!("<iq type='get' id='a' to='{}'><x xmlns='a'/></iq>", jid(dead));
    stage.send(another, &ask);
    assert_eq!(condition(stage.stanzas(another).last().unwrap()), "resource-constraint");
}

/// What is under way when an account is removed is not for whoever has the number next.
#[test]
fn what_was_for_the_former_owner_does_not_come_to_the_next() {
    let (mut stage, people) = people(2);
    let [(_, romeo), (far, _)] = &people[..] else { panic!("two") };
    let (here, there) = (stage.owner(ROMEO), stage.owner(far));
    assert_eq!(there, 0, "commands go by the first shard");
    stage.set_link(here, there, Link::Slow);
    stage.send(*romeo, &chat(far, "to the former owner"));
    let removed = stage.begin_remove_account(far);
    stage.pass(3_000);
    assert!(matches!(*removed.lock().unwrap(), Some(Ok(()))));
    stage.set_account(far, 2).unwrap();
    let next = stage.connect(far);
    stage.bind(next, far, 2, Some("phone")).unwrap();
    stage.send(next, "<presence/>");
    stage.mend_links();
    stage.pass(20_000);
    assert_eq!(heard(&mut stage, next), [""; 0]);
    assert!(stage.stanzas(*romeo).iter().any(|got| condition(got) == "service-unavailable"));
    stage.send(*romeo, &chat(far, "to the next"));
    assert_eq!(heard(&mut stage, next), ["to the next"]);
}
