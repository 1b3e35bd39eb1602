//! Clients that ask much at once, over real connections: everything is answered in order, and no session ends for it.

use crate::rig::{Client, Server};
use chaski_server::ListenerTls::{Direct, Terminated};
use std::time::Duration;

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const LONG: usize = 120_000;

fn ping(number: usize) -> String {
    format!("<iq type='get' to='localhost' id='p{number}'><ping xmlns='urn:xmpp:ping'/></iq>")
}

fn ask_long(number: usize) -> String {
    format!("<iq type='get' id='p{number}'><pubsub xmlns='{PUBSUB}'><items node='urn:x'/></pubsub></iq>")
}

fn publish_long(client: &mut Client) {
    let payload = format!("<data xmlns='urn:x'>{}</data>", "y".repeat(LONG));
    let publish = format!("<publish node='urn:x'><item id='a'>{payload}</item></publish>");
    client.send(&format!("<iq type='set' id='s'><pubsub xmlns='{PUBSUB}'>{publish}</pubsub></iq>"));
    assert!(client.until("</iq>").contains("type='result'"));
}

fn manage(client: &mut Client) {
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    client.until("<enabled ");
}

/// The next answer has this number.
fn answered(client: &mut Client, number: usize) -> String {
    let answer = client.until(&format!("id='p{number}'"));
    assert_eq!(answer.matches("<iq").count(), 1, "p{number} is the next: {answer}");
    answer
}

#[test]
fn more_pings_than_a_queue_holds() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.connect(Direct);
        client.plain(&local, crate::rig::KEY);
        client.bind("phone");
        manage(&mut client);
        let burst: String = (0..1_100).map(ping).collect();
        client.send(&format!("{burst}<r xmlns='urn:xmpp:sm:3'/>"));
        client.until("<a xmlns='urn:xmpp:sm:3' h='1000'/>");
        client.send("<a xmlns='urn:xmpp:sm:3' h='1000'/>");
        (1_000..1_100).for_each(|number| drop(answered(&mut client, number)));
        client.until("<a xmlns='urn:xmpp:sm:3' h='1100'/>");
        client.send("<a xmlns='urn:xmpp:sm:3' h='1100'/>");
        client.ping("after");
    }
    assert!(server.metric("chaski_rooms_stanzas_parked_total") >= 200);
    assert_eq!(server.metric("chaski_rooms_late_bytes"), 0);
}

/// So many small messages are more than an account's share of a turn, and less than is read at once.
#[test]
fn what_waits_for_the_next_share_is_dealt_with_although_its_client_has_gone() {
    const MESSAGES: usize = 90;
    for tls in [Direct, Terminated] {
        let server = Server::start();
        for local in server.two_accounts() {
            let mut other = server.session(&local, "desk");
            other.send("<presence/>");
            other.ping("there");
            let mut client = server.connect(tls);
            client.plain(&local, crate::rig::KEY);
            client.bind("phone");
            let burst: String =
                (0..MESSAGES).map(|n| format!("<message><body>{n}.</body></message>")).collect();
            client.send_and_end(&burst);
            (0..MESSAGES).for_each(|n| {
                let heard = other.until("</message>");
                assert!(heard.contains(&format!("<body>{n}.</body>")), "{n} is the next: {heard}");
            });
        }
        assert!(server.metric("chaski_edge_reads_held_total") > 0);
    }
}

#[test]
fn four_long_answers_and_each_is_acknowledged_at_once() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.session(&local, "phone");
        publish_long(&mut client);
        manage(&mut client);
        for round in 0..3 {
            let burst: String = (0..4).map(|number| ask_long(4 * round + number)).collect();
            client.send(&burst);
            for number in 4 * round..4 * round + 4 {
                assert!(answered(&mut client, number).len() < LONG);
                client.until("</iq>");
                client.send(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", number + 1));
            }
        }
        client.ping("after");
    }
}

#[test]
fn without_stream_management_a_client_is_answered_as_fast_as_it_reads() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.session(&local, "phone");
        publish_long(&mut client);
        // More than the sockets' buffers hold, and than the edge keeps for a client that does not read.
        let burst: String = (0..100).map(ask_long).collect();
        client.send(&burst);
        (0..100).for_each(|number| drop(answered(&mut client, number)));
        client.until("</iq>");
        client.ping("after");
    }
    assert_eq!(server.metric("chaski_edge_slow_clients_total"), 0);
    assert_eq!(server.metric("chaski_rooms_sessions_cut_total"), 0);
}

#[test]
fn who_vanishes_while_it_is_not_read_is_gone() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut client = server.connect(Terminated);
    client.plain(&local, crate::rig::KEY);
    client.bind("phone");
    publish_long(&mut client);
    let burst: String = (0..100).map(ask_long).collect();
    client.send(&burst);
    server.wait_for_metric("chaski_rooms_stanzas_parked_total", 1);
    client.vanish();
    let gone = (0..3_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        server.metric("chaski_edge_connections") == 0
    });
    assert!(gone);
    assert_eq!(server.metric("chaski_rooms_late_bytes"), 0);
}
