//! Several sessions of one account: priorities, full JIDs, conflicts (RFC 6121 §8.5, RFC 6120 §7.7).

use super::*;
use crate::effects::login::Denied;
use crate::testing::Stage;
use crate::wire::Closed;

#[test]
fn every_session_that_takes_messages_gets_them() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (orchard, _) = stage.arrive(ROMEO, "orchard");
    let (street, _) = stage.arrive(ROMEO, "street");
    let silent = stage.login(ROMEO, "silent");
    let bot = stage.login(ROMEO, "bot");
    stage.send(bot, "<presence><priority>-1</priority></presence>");
    stage.send(juliet, &chat(ROMEO, "to all"));
    assert_eq!(heard(&mut stage, orchard), ["to all"]);
    assert_eq!(heard(&mut stage, street), ["to all"]);
    assert_eq!(heard(&mut stage, silent), [""; 0]);
    assert_eq!(heard(&mut stage, bot), [""; 0]);
    for (resource, client) in [("bot", bot), ("silent", silent), ("street", street)] {
        let to = format!("{}/{resource}", jid(ROMEO));
        stage.send(juliet, &format!("<message to='{to}'><body>to {resource}</body></message>"));
        assert_eq!(heard(&mut stage, client), [format!("to {resource}")]);
        assert_eq!(heard(&mut stage, orchard), [""; 0]);
    }
}

#[test]
fn with_negative_priority_alone_messages_wait() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let bot = stage.login(ROMEO, "bot");
    stage.send(bot, "<presence><priority>-1</priority></presence>");
    stage.send(juliet, &chat(ROMEO, "wait"));
    assert_eq!(heard(&mut stage, bot), [""; 0]);
    stage.send(bot, "<presence><priority>0</priority></presence>");
    assert_eq!(heard(&mut stage, bot), ["wait"]);
}

#[test]
fn a_full_jid_that_is_gone_is_as_good_as_the_bare_one() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (orchard, _) = stage.arrive(ROMEO, "orchard");
    stage.received(orchard);
    let to = format!("{}/gone", jid(ROMEO));
    stage.send(juliet, &format!("<message to='{to}' type='chat'><body>x</body></message>"));
    stage.send(juliet, &format!("<message to='{to}' type='headline'><body>y</body></message>"));
    assert_eq!(heard(&mut stage, orchard), ["x"], "a headline for another resource is for nobody");
}

#[test]
fn what_a_lost_session_had_not_acknowledged_goes_to_the_others() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (orchard, _) = stage.arrive(ROMEO, "orchard");
    let (street, _) = stage.arrive(ROMEO, "street");
    let to = format!("{}/street", jid(ROMEO));
    stage.send(juliet, &format!("<message to='{to}'><body>private</body></message>"));
    stage.send(juliet, &chat(ROMEO, "public"));
    assert_eq!(heard(&mut stage, street), ["private", "public"]);
    assert_eq!(heard(&mut stage, orchard), ["public"]);
    stage.lose(street, Closed::Clean);
    assert_eq!(heard(&mut stage, orchard), ["private"], "and nothing twice");
}

#[test]
fn the_same_resource_replaces_its_predecessor() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (old, id) = stage.arrive(ROMEO, "orchard");
    stage.send(juliet, &chat(ROMEO, "unacknowledged"));
    let (new, _) = stage.arrive(ROMEO, "orchard");
    assert_eq!(stage.closed_with(old).unwrap().unwrap().condition, "conflict");
    assert_eq!(heard(&mut stage, new), ["unacknowledged"]);
    assert!(stage.resume(ROMEO, &id, 0).1.is_err());
}

#[test]
fn sessions_are_bounded_and_sleepers_make_room() {
    let limits = crate::realm::Limits { sessions_per_account: 2, ..Default::default() };
    let mut stage = Stage::with_limits(1, limits);
    let (one, _) = stage.arrive(ROMEO, "one");
    stage.login(ROMEO, "two");
    let three = stage.connect(ROMEO);
    assert_eq!(stage.bind(three, ROMEO, 1, Some("three")).unwrap_err(), Denied::TooManySessions);
    stage.lose(one, Closed::Lost);
    assert!(stage.bind(three, ROMEO, 1, Some("three")).is_ok());
}

#[test]
fn who_sleeps_longest_makes_room_and_who_is_awake_never_does() {
    let limits = crate::realm::Limits { sessions_per_account: 3, ..Default::default() };
    let mut stage = Stage::with_limits(1, limits);
    stage.leave_unjudged("M8: the bound of sessions still ends the longest sleeper at another's login");
    let (one, first) = stage.arrive(ROMEO, "one");
    let (two, second) = stage.arrive(ROMEO, "two");
    let (three, _) = stage.arrive(ROMEO, "three");
    stage.lose(two, Closed::Lost);
    stage.pass(2_000);
    stage.lose(one, Closed::Lost);
    let four = stage.login(ROMEO, "four");
    assert!(stage.resume(ROMEO, &second, 0).1.is_err());
    assert!(stage.resume(ROMEO, &first, 0).1.is_ok());
    let five = stage.connect(ROMEO);
    assert_eq!(stage.bind(five, ROMEO, 1, Some("five")).unwrap_err(), Denied::TooManySessions);
    assert_eq!((stage.closed_with(three), stage.closed_with(four)), (None, None));
}

#[test]
fn resources_are_checked_and_made_up() {
    let mut stage = Stage::new(1);
    stage.login(ROMEO, "orchard");
    let client = stage.connect(ROMEO);
    let long = "x".repeat(300);
    assert_eq!(stage.bind(client, ROMEO, 1, Some(&long)).unwrap_err(), Denied::BadResource);
    assert_eq!(stage.bind(client, ROMEO, 1, Some("")).unwrap_err(), Denied::BadResource);
    let first = stage.bind(client, ROMEO, 1, None).unwrap().full_jid;
    let other = stage.connect(ROMEO);
    assert_ne!(first, stage.bind(other, ROMEO, 1, None).unwrap().full_jid);
}

#[test]
fn two_readers_of_one_backlog() {
    let limits = crate::realm::Limits { window_messages: 4, live_messages: 6, ..Default::default() };
    let mut stage = Stage::with_limits(1, limits);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (orchard, _) = stage.arrive(ROMEO, "orchard");
    stage.received(orchard);
    for number in 0..12 {
        stage.send(juliet, &chat(ROMEO, &number.to_string()));
    }
    assert_eq!(heard(&mut stage, orchard), ["0", "1", "2", "3", "4", "5"], "as much as the bounds allow");
    stage.acknowledge(orchard, 0);
    assert_eq!(heard(&mut stage, orchard), ["6", "7", "8", "9"]);
    let (street, _) = stage.arrive(ROMEO, "street");
    assert_eq!(heard(&mut stage, street), ["6", "7", "8", "9"], "what nobody has acknowledged");
    stage.acknowledge(orchard, 0);
    assert_eq!(heard(&mut stage, orchard), ["10", "11"]);
}
