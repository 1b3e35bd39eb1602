//! Who asks faster than he acknowledges: everything waits, in order, and nobody's session ends for it.

use super::*;
use crate::realm::Limits;
use crate::wire::Closed;

const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn ping(id: usize) -> String {
    format!("<iq id='p{id}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
}

/// The ids of the IQs among these.
fn ids(stanzas: &[String]) -> Vec<&str> {
    let iqs = stanzas.iter().filter(|stanza| stanza.starts_with("<iq"));
    iqs.filter_map(|iq| Some(iq.split_once(" id='")?.1.split_once('\'')?.0)).collect()
}

fn pings(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("p{number}")).collect()
}

/// Romeo has a node with an item that is so long that few fit into his queue.
fn publish_long(stage: &mut Stage, romeo: Client) {
    let data = "y".repeat(120_000);
    let item = format!("<item id='a'><data xmlns='urn:x'>{data}</data></item>");
    let publish = format!("<publish node='urn:x'>{item}</publish>");
    let pubsub = format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{publish}</pubsub>");
    stage.send(romeo, &format!("<iq type='set' id='s'>{pubsub}</iq>"));
    stage.acknowledge(romeo, 0);
    stage.received(romeo);
}

fn ask_long(id: usize) -> String {
    let items = "<items node='urn:x'/>";
    format!(
        "<iq type='get' id='p{id}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>{items}</pubsub></iq>"
    )
}

#[test]
fn more_pings_than_a_queue_holds_are_all_answered_in_order_and_what_follows_waits() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.acknowledge(romeo, 0);
    stage.received(romeo);
    stage.received(juliet);
    for number in 0..1_100 {
        stage.send(romeo, &ping(number));
    }
    stage.send(romeo, &chat(JULIET, "behind them"));
    stage.send(romeo, REQUEST);
    assert_eq!(stage.closed_with(romeo), None);
    let got = stage.received(romeo);
    assert_eq!(ids(&got), pings(0..1_000));
    assert_eq!(got.last().unwrap(), "<a xmlns='urn:xmpp:sm:3' h='1001'/>", "how far it is");
    assert_eq!(heard(&mut stage, juliet), [""; 0], "it stands behind what is not handled");
    stage.acknowledge(romeo, 1_000 - 40);
    assert_eq!(ids(&stage.received(romeo)), pings(1_000..1_040), "as many as were acknowledged");
    stage.acknowledge(romeo, 0);
    let got = stage.received(romeo);
    assert_eq!(ids(&got), pings(1_040..1_100));
    assert_eq!(
        got.iter().filter(|sent| *sent == "<a xmlns='urn:xmpp:sm:3' h='1102'/>").count(),
        1,
        "{got:?}"
    );
    assert_eq!(heard(&mut stage, juliet), ["behind them"]);
    stage.acknowledge(romeo, 0);
    assert_eq!((stage.late_bytes(0), stage.late_bytes(1)), (0, 0));
}

#[test]
fn long_answers_that_come_together_wait_for_each_other() {
    for managed in [true, false] {
        let mut stage = Stage::new(1);
        let romeo = match managed {
            true => stage.arrive(ROMEO, "orchard").0,
            false => stage.login(ROMEO, "orchard"),
        };
        if managed {
            publish_long(&mut stage, romeo);
        } else {
            let (tablet, _) = stage.arrive(ROMEO, "tablet");
            publish_long(&mut stage, tablet);
            stage.lose(tablet, Closed::Clean);
        }
        stage.hold_store(true);
        for number in 0..20 {
            stage.send(romeo, &ask_long(number));
            stage.send(romeo, if managed { REQUEST } else { "<presence/>" });
        }
        stage.hold_store(false);
        let mut got = Vec::new();
        for _ in 0..40 {
            got.extend(stage.stanzas(romeo));
            if managed {
                stage.acknowledge(romeo, 0);
            }
        }
        assert_eq!(stage.closed_with(romeo), None);
        assert_eq!(ids(&got), pings(0..20), "managed: {managed}");
        assert!(got.iter().filter(|stanza| stanza.starts_with("<iq")).all(|iq| iq.len() > 120_000));
        assert_eq!(stage.late_bytes(0), 0);
    }
}

#[test]
fn contacts_who_are_there_at_a_login_end_nobody() {
    let limits = Limits { queue_stanzas: 10, ..Limits::default() };
    let mut stage = Stage::with_limits(2, limits);
    let first = stage.login(JULIET, "r0");
    let romeo = stage.login(ROMEO, "street");
    for (client, other) in [(first, ROMEO), (romeo, JULIET)] {
        stage.send(client, "<presence/>");
        stage.send(client, &format!("<presence to='{}' type='subscribe'/>", jid(other)));
    }
    for (client, other) in [(first, ROMEO), (romeo, JULIET)] {
        stage.send(client, &format!("<presence to='{}' type='subscribed'/>", jid(other)));
    }
    for resource in 1..15 {
        let juliet = stage.login(JULIET, &format!("r{resource}"));
        stage.send(juliet, "<presence/>");
    }
    stage.lose(romeo, Closed::Clean);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    assert_eq!(stage.closed_with(romeo), None);
    let mut got = Vec::new();
    for _ in 0..4 {
        got.extend(stage.stanzas(romeo));
        stage.acknowledge(romeo, 0);
    }
    for resource in 0..15 {
        let from = format!("from='{}/r{resource}'", jid(JULIET));
        assert_eq!(got.iter().filter(|stanza| stanza.contains(&from)).count(), 1, "{from} in {got:?}");
    }
}

#[test]
fn a_presence_that_waits_gives_way_to_a_newer_one_and_an_answer_does_not() {
    let limits = Limits { queue_stanzas: 4, ..Limits::default() };
    let mut stage = Stage::with_limits(1, limits);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let desk = stage.login(ROMEO, "desk");
    stage.acknowledge(romeo, 0);
    stage.received(romeo);
    for number in 0..6 {
        stage.send(romeo, &ping(number));
    }
    for number in 0..5 {
        stage.send(desk, &format!("<presence><status>{number}</status></presence>"));
    }
    assert_eq!(ids(&stage.stanzas(romeo)), pings(0..4));
    stage.acknowledge(romeo, 0);
    let got = stage.stanzas(romeo);
    assert_eq!(got.len(), 3, "{got:?}");
    assert!(got[0].contains("<status>4</status>"), "{got:?}");
    assert_eq!(ids(&got), pings(4..6));
}

#[test]
fn what_finds_no_room_at_all_is_not_counted_and_the_session_can_be_resumed() {
    let limits = Limits { queue_stanzas: 10, parked_stanzas: 5, ..Limits::default() };
    let mut stage = Stage::with_limits(1, limits);
    let (romeo, id) = stage.arrive(ROMEO, "orchard");
    stage.acknowledge(romeo, 0);
    stage.received(romeo);
    for number in 0..16 {
        stage.send(romeo, &ping(number));
    }
    assert_eq!(stage.closed_with(romeo).unwrap().unwrap().condition, "policy-violation");
    assert_eq!(stage.late_bytes(0), 0, "he sends it again");
    let got = stage.stanzas(romeo);
    assert_eq!(ids(&got), pings(0..10));
    let h = stage.counted(romeo);
    let (romeo, resumed) = stage.resume(ROMEO, &id, h);
    assert_eq!(resumed.unwrap().h, 11, "the presence and what was answered");
    for number in 10..16 {
        stage.send(romeo, &ping(number));
    }
    assert_eq!(ids(&stage.stanzas(romeo)), pings(10..16));
}

#[test]
fn the_bound_in_bytes_is_one_too() {
    let limits = Limits { queue_stanzas: 1, parked_bytes: 2_500, ..Limits::default() };
    let mut stage = Stage::with_limits(1, limits);
    let (romeo, id) = stage.arrive(ROMEO, "orchard");
    let long = chat(JULIET, &"x".repeat(900));
    stage.send(romeo, &long);
    stage.send(romeo, &long);
    assert_eq!(stage.closed_with(romeo), None);
    stage.send(romeo, &long);
    assert!(stage.closed_with(romeo).is_some());
    assert!(stage.resume(ROMEO, &id, 0).1.is_ok());
    // And for all of a shard together.
    let limits = Limits { queue_stanzas: 1, late_bytes_shard: 1_500, ..Limits::default() };
    let mut stage = Stage::with_limits(1, limits);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.send(romeo, &long);
    stage.send(juliet, &long);
    assert_eq!(stage.closed_with(romeo), None);
    assert!(stage.closed_with(juliet).is_some());
}

#[test]
fn without_stream_management_a_client_that_does_not_read_is_not_read() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    let romeo = stage.login(ROMEO, "orchard");
    stage.set_unsent_bytes(romeo, 300 << 10);
    for number in 0..5_000 {
        stage.send(romeo, &ping(number));
    }
    stage.send(romeo, &chat(JULIET, "behind them"));
    assert_eq!(stage.received(romeo), [""; 0]);
    assert_eq!(heard(&mut stage, juliet), [""; 0]);
    stage.set_unsent_bytes(romeo, 0);
    assert_eq!(ids(&stage.received(romeo)), pings(0..5_000));
    assert_eq!(heard(&mut stage, juliet), ["behind them"]);
    assert_eq!(stage.closed_with(romeo), None);
    assert_eq!((stage.late_bytes(0), stage.late_bytes(1)), (0, 0));
}

#[test]
fn without_stream_management_requests_wait_for_answers_and_are_read_again() {
    let mut stage = Stage::new(1);
    let (tablet, _) = stage.arrive(ROMEO, "tablet");
    publish_long(&mut stage, tablet);
    let romeo = stage.login(ROMEO, "orchard");
    for round in 0..3 {
        stage.hold_store(true);
        for number in 0..9 {
            stage.send(romeo, &ask_long(9 * round + number));
        }
        stage.hold_store(false);
        assert_eq!(ids(&stage.received(romeo)), pings(9 * round..9 * round + 9));
        stage.send(romeo, &ping(round));
        assert_eq!(ids(&stage.received(romeo)), pings(round..round + 1));
    }
    assert_eq!(stage.late_bytes(0), 0);
}

#[test]
fn who_says_goodbye_behind_a_burst_has_said_it_all() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(juliet);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    for number in 0..1_010 {
        stage.send(romeo, &ping(number));
    }
    stage.send(romeo, &chat(JULIET, "good night"));
    assert_eq!(heard(&mut stage, juliet), [""; 0]);
    stage.lose(romeo, Closed::Clean);
    assert_eq!(heard(&mut stage, juliet), ["good night"]);
    assert_eq!((stage.late_bytes(0), stage.late_bytes(1)), (0, 0));
}

#[test]
fn an_answer_that_is_lost_holds_nobody_up_for_long() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.acknowledge(romeo, 0);
    stage.received(juliet);
    publish_long(&mut stage, romeo);
    stage.hold_store(true);
    for number in 0..8 {
        stage.send(romeo, &ask_long(number));
    }
    stage.send(romeo, &chat(JULIET, "behind them"));
    assert_eq!(heard(&mut stage, juliet), [""; 0], "so many requests are enough");
    stage.pass(3_000);
    assert_eq!(heard(&mut stage, juliet), ["behind them"]);
    stage.hold_store(false);
    for _ in 0..4 {
        stage.acknowledge(romeo, 0);
    }
    assert_eq!(stage.closed_with(romeo), None);
    assert_eq!(stage.late_bytes(0), 0);
}

#[test]
fn what_is_not_accepted_waits_in_its_place_and_is_answered() {
    let limits = Limits { queue_stanzas: 4, ..Limits::default() };
    let mut stage = Stage::with_limits(1, limits);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.acknowledge(romeo, 0);
    stage.received(romeo);
    (0..4).for_each(|number| stage.send(romeo, &ping(number)));
    let bad = |number| format!("<iq id='p{number}' type='get'><a xmlns='urn:a'>&nbsp;</a></iq>");
    stage.send_bad(romeo, &bad(4));
    stage.send(romeo, &ping(5));
    stage.send_bad(romeo, &bad(6));
    stage.send_bad(romeo, "<message id='m' type='error'><a:b/></message>");
    assert_eq!(ids(&stage.received(romeo)), pings(0..4));
    stage.acknowledge(romeo, 0);
    let got = stage.received(romeo);
    assert_eq!(ids(&got), pings(4..7));
    for answer in [&got[0], &got[2]] {
        assert!(answer.contains("type='error'") && condition(answer) == "bad-request", "{got:?}");
    }
    stage.send(romeo, REQUEST);
    assert_eq!(stage.received(romeo), ["<a xmlns='urn:xmpp:sm:3' h='9'/>"], "the presence and all of these");
    // One by one, too.
    stage.acknowledge(romeo, 0);
    stage.send_bad(romeo, "<message id='m'><a:b/></message>");
    assert_eq!(condition(&stage.stanzas(romeo)[0]), "bad-request");
}
