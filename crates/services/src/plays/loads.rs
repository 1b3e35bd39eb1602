//! Accounts looked up in the store: how many at a time for whom, and what is remembered of the answers.

use super::*;
use crate::account::network::Network;
use crate::realm::Limits;
use crate::testing::{Stage, account};
use crate::wire::Closed;

/// A number that nobody has.
fn nobodys(number: usize) -> String {
    format!("+1555900{number:04}")
}

fn headline(to: &str) -> String {
    format!("<message to='{}' type='headline'><body>x</body></message>", jid(to))
}

fn question(to: &str) -> String {
    format!(
        "<iq type='get' id='q' to='{}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        jid(to)
    )
}

/// Romeo alone is in memory; Juliet and her nurse have accounts.
fn romeo_alone(limits: Limits) -> (Stage, Client) {
    let mut stage = Stage::with_limits(1, limits);
    for local in [JULIET, NURSE] {
        stage.set_account(local, 1).unwrap();
    }
    stage.crash();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(romeo);
    (stage, romeo)
}

#[test]
fn one_accounts_headlines_to_nobody_keep_no_login_and_no_message_out() {
    let limits = Limits { loading_accounts: 64, loads_per_asker: 8, ..Default::default() };
    let (mut stage, romeo) = romeo_alone(limits);
    let (tybalt, _) = stage.arrive("+15551230009", "square");
    stage.received(tybalt);
    stage.hold_store(true);
    (0..200).for_each(|number| stage.send(romeo, &headline(&nobodys(number))));
    assert_eq!(stage.loading(0), 8, "so many of one account");
    stage.send(tybalt, &chat(NURSE, "a challenge"));
    let juliet = stage.begin_credentials(0, JULIET);
    assert_eq!(stage.loading(0), 10, "a message and a login of others");
    stage.hold_store(false);
    assert!(stage.take_credentials(juliet).expect("it was looked up").is_some());
    assert_eq!((stage.waiting(NURSE), stage.loading(0)), (1, 0));
    assert_eq!(stage.stanzas(tybalt), [""; 0], "and nothing was refused");
}

#[test]
fn all_accounts_together_leave_room_for_logins() {
    let limits = Limits { loading_accounts: 32, loads_per_asker: 8, ..Default::default() };
    let (mut stage, _) = romeo_alone(limits);
    let many: Vec<Client> =
        (0..4).map(|number| stage.arrive(&format!("+1555123010{number}"), "square").0).collect();
    stage.hold_store(true);
    for number in 0..100 {
        stage.send(many[number % 4], &headline(&nobodys(number)));
    }
    assert_eq!(stage.loading(0), 16);
    let strangers: Vec<Client> =
        (200..300).map(|number| stage.begin_credentials(0, &nobodys(number))).collect();
    assert_eq!(stage.loading(0), 28, "who has proved nothing leaves some, too");
    let romeo = stage.begin_resume(JULIET, "x", 0);
    assert_eq!(stage.loading(0), 29);
    stage.hold_store(false);
    assert_eq!(stage.loading(0), 0);
    let told = strangers.into_iter().filter(|conn| stage.take_credentials(*conn).is_ok()).count();
    assert_eq!(told, 12);
    stage.lose(romeo, Closed::Lost);
}

#[test]
fn what_waits_for_its_accounts_loads_stays_in_order_and_arrives() {
    let limits = Limits { loading_accounts: 64, loads_per_asker: 2, ..Default::default() };
    let (mut stage, romeo) = romeo_alone(limits);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    stage.hold_store(true);
    stage.send(romeo, &chat(JULIET, "before"));
    for number in 0..2 {
        stage.send(romeo, &headline(&nobodys(number)));
    }
    stage.send(romeo, &chat(NURSE, "one"));
    stage.send(romeo, &chat(JULIET, "behind"));
    stage.send(romeo, &chat(NURSE, "two"));
    // Somebody else has the nurse loaded: Romeo's second message must not pass the first.
    let nurse = stage.begin_credentials(0, NURSE);
    stage.send(romeo, &chat(NURSE, "three"));
    stage.step_store();
    stage.send(romeo, &chat(NURSE, "four"));
    assert_eq!(heard(&mut stage, juliet)[0], "before");
    stage.hold_store(false);
    assert!(stage.take_credentials(nurse).is_ok());
    stage.acknowledge(juliet, 0);
    let (nurse, _) = stage.arrive(NURSE, "hall");
    assert_eq!(heard(&mut stage, nurse), ["one", "two", "three", "four"]);
    stage.send(romeo, "<r xmlns='urn:xmpp:sm:3'/>");
    stage.pass(3_000);
    assert_eq!(stage.received(romeo).pop().as_deref(), Some("<a xmlns='urn:xmpp:sm:3' h='9'/>"));
}

/// The first stands in a load already when the line forms, the second in the line.
#[test]
fn what_was_parked_is_not_overtaken_by_what_waits_in_line() {
    let limits = Limits { loading_accounts: 64, loads_per_asker: 2, ..Default::default() };
    let (mut stage, romeo) = romeo_alone(limits);
    stage.hold_store(true);
    stage.send(romeo, &chat(NURSE, "one"));
    (0..3).for_each(|number| stage.send(romeo, &headline(&nobodys(number))));
    stage.send(romeo, &chat(NURSE, "two"));
    stage.hold_store(false);
    let (nurse, _) = stage.arrive(NURSE, "hall");
    assert_eq!(heard(&mut stage, nurse), ["one", "two"]);
}

#[test]
fn what_is_over_the_bound_is_refused_and_counted() {
    let limits = Limits { loads_per_asker: 2, load_waiting_bytes: 4_096, ..Default::default() };
    let (mut stage, romeo) = romeo_alone(limits);
    stage.hold_store(true);
    (0..40).for_each(|number| stage.send(romeo, &chat(&nobodys(number), "x")));
    let refused = stage.stanzas(romeo);
    assert!(refused.iter().all(|error| condition(error) == "resource-constraint"), "{refused:?}");
    assert!((20..36).contains(&refused.len()), "{}", refused.len());
    assert_eq!(stage.loads_refused(0), refused.len() as u64);
    stage.hold_store(false);
    let answered = stage.stanzas(romeo);
    assert!(answered.iter().all(|error| condition(error) == "service-unavailable"), "{answered:?}");
    assert_eq!(answered.len() + refused.len(), 40);
}

#[test]
fn whether_look_ups_are_for_somebody_does_not_show_in_what_waits() {
    let fates = |people: &[String]| {
        let limits = Limits { loads_per_asker: 2, load_waiting_bytes: 2_048, ..Default::default() };
        let (mut stage, romeo) = romeo_alone(limits);
        for local in people {
            stage.arrive(local, "phone");
        }
        stage.hold_store(true);
        (0..12).for_each(|number| stage.send(romeo, &question(&nobodys(number))));
        let mut heard = stage.stanzas(romeo);
        stage.hold_store(false);
        heard.extend(stage.stanzas(romeo));
        heard
    };
    let expected = fates(&[]);
    assert!(expected.iter().any(|error| condition(error) == "resource-constraint"));
    assert_eq!(fates(&(0..12).map(nobodys).collect::<Vec<_>>()), expected, "all are there");
    assert_eq!(fates(&[0, 1, 4, 5, 11].map(nobodys)), expected, "some are there");
}

#[test]
fn who_was_told_that_nobody_is_there_is_told_again_without_a_look_up_and_others_are_not() {
    for who in [JULIET, NURSE, "+15559999999"] {
        let (mut stage, romeo) = romeo_alone(Limits::default());
        stage.arrive(JULIET, "balcony");
        let (tybalt, _) = stage.arrive("+15551230009", "square");
        stage.received(tybalt);
        stage.hold_store(true);
        stage.send(romeo, &question(who));
        assert_eq!(stage.stanzas(romeo), [""; 0], "{who}: the store has not looked");
        stage.hold_store(false);
        let first = stage.stanzas(romeo);
        stage.hold_store(true);
        stage.send(romeo, &question(who));
        assert_eq!(stage.stanzas(romeo), first, "{who}");
        stage.send(tybalt, &question(who));
        assert_eq!(stage.stanzas(tybalt), [""; 0], "{who}: what others know is not told");
        stage.hold_store(false);
        assert_eq!(condition(&stage.stanzas(tybalt)[0]), "service-unavailable", "{who}");
    }
}

#[test]
fn an_account_made_under_a_number_of_nobody_is_there_at_once() {
    let (mut stage, romeo) = romeo_alone(Limits { idle_accounts: 8, ..Limits::default() });
    let paris = "+15551230007";
    for _ in 0..2 {
        stage.send(romeo, &chat(paris, "nobody"));
        assert_eq!(condition(&stage.stanzas(romeo)[0]), "service-unavailable");
    }
    // What comes while it is being made waits for that.
    stage.hold_store(true);
    let made = stage.begin_set_account(paris, 1);
    stage.step_store();
    stage.send(romeo, &chat(paris, "meanwhile"));
    stage.hold_store(false);
    assert!(made.lock().unwrap().take().unwrap().is_ok());
    stage.send(romeo, &chat(paris, "afterwards"));
    assert_eq!(stage.stanzas(romeo), [""; 0]);
    assert_eq!(stage.waiting(paris), 2);
    // And when it is not in memory any more.
    for number in 0..40 {
        let local = format!("+15551231{number:03}");
        stage.set_account(&local, 1).unwrap();
        stage.send(romeo, &chat(&local, "x"));
    }
    assert!(!stage.is_resident(account(paris)));
    stage.send(romeo, &chat(paris, "later"));
    assert_eq!(stage.stanzas(romeo), [""; 0]);
    assert_eq!(stage.waiting(paris), 3);
}

#[test]
fn who_is_remembered_to_show_nothing_stays_in_memory_as_long() {
    let limits = Limits { idle_accounts: 8, ..Default::default() };
    let (mut stage, romeo) = romeo_alone(limits);
    stage.send(romeo, &question(NURSE));
    let answer = stage.stanzas(romeo);
    for number in 0..40 {
        let local = format!("+15551231{number:03}");
        stage.set_account(&local, 1).unwrap();
        stage.send(romeo, &chat(&local, "x"));
        assert_eq!(stage.stanzas(romeo), [""; 0]);
    }
    assert!(stage.is_resident(account(NURSE)), "asked again, it would take longer than for nobody");
    stage.hold_store(true);
    stage.send(romeo, &question(NURSE));
    assert_eq!(stage.stanzas(romeo), answer);
    stage.hold_store(false);
    (0..2).for_each(|number| stage.send(romeo, &question(&nobodys(number))));
    for number in 40..60 {
        let local = format!("+15551231{number:03}");
        stage.set_account(&local, 1).unwrap();
        stage.send(romeo, &chat(&local, "x"));
    }
    assert!(!stage.is_resident(account(NURSE)) && stage.resident(0) < 16);
}

/// Whether the account is there or not: what is refused would else tell.
#[test]
fn what_waits_for_one_account_is_bounded_by_bytes_too() {
    let bounds = [(4_000, 1 << 20), (1 << 20, 4_000)];
    for ((parked_bytes_per_account, parked_bytes_shard), to) in
        bounds.into_iter().flat_map(|bounds| [(bounds, NURSE), (bounds, "+15559000001")])
    {
        let limits = Limits { parked_bytes_per_account, parked_bytes_shard, ..Default::default() };
        let (mut stage, romeo) = romeo_alone(limits);
        stage.hold_store(true);
        (0..10).for_each(|_| stage.send(romeo, &chat(to, &"x".repeat(1_000))));
        let refused = stage.stanzas(romeo);
        assert!(refused.iter().all(|error| condition(error) == "resource-constraint"), "{refused:?}");
        assert_eq!(refused.len(), 8, "{to}, {parked_bytes_per_account}, {parked_bytes_shard}");
        let juliet = stage.begin_credentials(0, JULIET);
        stage.hold_store(false);
        assert!(stage.take_credentials(juliet).expect("a login is not kept out").is_some());
        stage.received(romeo);
        stage.send(romeo, &chat(to, "again"));
        let answers = stage.stanzas(romeo);
        let is_refused = answers.iter().any(|answer| condition(answer) == "resource-constraint");
        assert!(!is_refused, "what waited has given its room back: {answers:?}");
    }
}

#[test]
fn refusals_that_wait_for_the_store_are_bounded_by_bytes_too() {
    let limits = Limits { parked_bytes_per_account: 4_000, ..Default::default() };
    let (mut stage, romeo) = romeo_alone(limits);
    let (nurse, _) = stage.arrive(NURSE, "hall");
    stage.received(nurse);
    stage.hold_store(true);
    let question = |number| {
        let to = jid(NURSE);
        format!(
            "<iq type='get' id='q{number}' to='{to}/away'><x xmlns='urn:x'>{}</x></iq>",
            "x".repeat(1_000)
        )
    };
    (0..10).for_each(|number| stage.send(romeo, &question(number)));
    let refused = stage.stanzas(romeo);
    assert_eq!(
        refused.iter().filter(|error| condition(error) == "resource-constraint").count(),
        8,
        "{refused:?}"
    );
    stage.hold_store(false);
    assert_eq!(stage.stanzas(romeo).len(), 2);
}

/// One address asks for salts of numbers that nobody has; somebody elsewhere logs in.
#[test]
fn logins_from_one_network_wait_for_each_other_and_nobody_else_for_them() {
    let limits = Limits { loading_accounts: 64, loads_per_asker: 2, ..Default::default() };
    let (mut stage, romeo) = romeo_alone(limits);
    let [hostile, elsewhere] =
        [1, 2].map(|last| Network::of(std::net::Ipv4Addr::new(192, 0, 2, last).into()));
    stage.hold_store(true);
    let asked: Vec<Client> =
        (0..100).map(|number| stage.begin_credentials_from(hostile, 0, &nobodys(number))).collect();
    assert_eq!(stage.loading(0), 8, "so many of one network");
    let juliet = stage.begin_credentials_from(elsewhere, 0, JULIET);
    let nurse = stage.begin_credentials(0, NURSE);
    stage.send(romeo, &headline(&nobodys(200)));
    assert_eq!(stage.loading(0), 11, "others are looked up at once");
    stage.hold_store(false);
    assert!(stage.take_credentials(juliet).expect("it was looked up").is_some());
    assert!(stage.take_credentials(nurse).expect("it was looked up").is_some());
    let told = asked.into_iter().filter(|conn| stage.take_credentials(*conn).is_ok()).count();
    assert_eq!(told, 100, "and the others in their turn: none is refused");
}
