//! Sessions over real connections: messages between shards, resumption, confirmation by TCP, silence.

use crate::rig::{HEADER, KEY, Server, auth_plain};
use chaski_server::ListenerTls::{Direct, StartTls, Terminated};
use std::time::Duration;

#[test]
fn a_message_from_one_shard_to_the_other_and_back() {
    let server = Server::start();
    let [romeo_local, juliet_local] = server.two_accounts();
    let mut romeo = server.session(&romeo_local, "orchard");
    let mut juliet = server.session(&juliet_local, "balcony");
    juliet.send("<presence/>");
    romeo.send("<presence/>");
    juliet.ping("ready");
    romeo.ping("ready");
    for round in 0..50 {
        romeo.send(&format!(
            "<message type='chat' to='{juliet_local}@localhost' id='romeo-to-juliet-{round}'><body>art thou {round}</body></message>"
        ));
        juliet.until(&format!("<body>art thou {round}</body>"));
        juliet.send(&format!(
            "<message type='chat' to='{romeo_local}@localhost' id='juliet-to-romeo-{round}'><body>here {round}</body></message>"
        ));
        romeo.until(&format!("<body>here {round}</body>"));
    }
    assert!(server.metric("chaski_edge_forwarded_total") > 0);
}

#[test]
fn a_lost_session_is_resumed() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.connect(StartTls).starttls(&server.leaf);
        client.plain(&local, KEY);
        client.bind("phone");
        client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        let enabled = client.until("/>");
        let id = enabled.split("id='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        client.vanish();
        // XEP-0198 §4: whoever says that he got what he was never sent is told so, and the session stays.
        let mut client = server.connect(Terminated);
        client.plain(&local, KEY);
        client.send(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='4000'/>"));
        let end = client.until_closed();
        assert!(
            end.contains(
                "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='4000' send-count='0'/></stream:error>"
            ),
            "{end}"
        );
        let mut client = server.connect(Terminated);
        client.plain(&local, KEY);
        client.send(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"));
        let answer = client.until("/>");
        assert!(answer.contains("<resumed") && answer.contains(&id), "{answer}");
        client.ping("after");
        client.send("<a xmlns='urn:xmpp:sm:3' h='4000'/>");
        assert!(client.until_closed().contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='4000' "));
    }
}

/// RFC 6120 §8.1.5: the last header counts, also if the connection moves to another shard after it.
#[test]
fn the_streams_language_goes_with_the_session() {
    let server = Server::start();
    let [romeo_local, juliet_local] = server.two_accounts();
    for (sender, recipient) in [(&romeo_local, &juliet_local), (&juliet_local, &romeo_local)] {
        let mut there = server.session(recipient, "there");
        there.send("<presence/>");
        there.ping("ready");
        let mut client = server.connect(Terminated);
        client.open();
        client.send(&auth_plain(sender, KEY));
        client.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        client.send(&HEADER.replace(" version='1.0' xmlns", " version='1.0' xml:lang='pt-BR' xmlns"));
        client.until("</stream:features>");
        client.bind("here");
        client.send(&format!("<message type='chat' to='{recipient}@localhost'><body>oi</body></message>"));
        assert!(there.until("<body>oi</body>").contains(" xml:lang='pt-BR' to='"));
    }
}

#[test]
fn delivery_without_stream_management_is_confirmed_by_tcp() {
    let server = Server::start();
    let [romeo_local, juliet_local] = server.two_accounts();
    let mut juliet = server.session(&juliet_local, "balcony");
    juliet.send("<presence/>");
    juliet.ping("ready");
    let mut romeo = server.session(&romeo_local, "orchard");
    romeo.send(&format!(
        "<message type='chat' to='{juliet_local}@localhost' id='only-once-1'><body>once</body></message>"
    ));
    juliet.until("<body>once</body>");
    // A session that comes later must not get it again, once TCP has confirmed it.
    let gone = (0..3_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        server.metric("chaski_edge_confirmed_total") > 0
    });
    assert!(gone);
    juliet.vanish();
    let mut later = server.session(&juliet_local, "later");
    later.send("<presence/>");
    later.ping("done");
    romeo.send(&format!(
        "<message type='chat' to='{juliet_local}@localhost' id='second-1'><body>twice</body></message>"
    ));
    assert!(!later.until("<body>twice</body>").contains("<body>once</body>"));
}

#[test]
fn silence_is_probed_and_a_listening_client_stays() {
    let server = Server::start_with(|config| {
        config.timing.idle_timeout_ms = 50;
        config.timing.probe_timeout_ms = 50;
        config.timing.tick_ms = 10;
    });
    let [local, _] = server.two_accounts();
    let mut client = server.session(&local, "listening");
    server.wait_for_metric("chaski_edge_probes_total", 5);
    assert!(client.until("     ").trim().is_empty());
    assert_eq!(server.metric("chaski_edge_idle_cuts_total"), 0);
    client.ping("alive");
}

#[test]
fn a_stream_is_closed_both_ways() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut client = server.session(&local, "r");
    client.send("</stream:stream>");
    assert_eq!(client.until_closed(), "</stream:stream>");
    let mut client = server.connect(Terminated);
    client.send(HEADER);
    client.until("</stream:features>");
    client.send("</stream:stream>");
    assert_eq!(client.until_closed(), "</stream:stream>");
    let mut client = server.connect(StartTls).starttls(&server.leaf);
    client.plain(&local, KEY);
    client.bind("r");
    client.send("</stream:stream>");
    // An end without close_notify would be an error.
    assert_eq!(client.until_closed(), "</stream:stream>");
}

#[test]
fn many_connections_come_and_go() {
    let server = Server::start();
    let locals = server.two_accounts();
    for round in 0..20 {
        let clients: Vec<_> = (0..10)
            .map(|n| {
                let mut client = server.connect(Terminated);
                client.plain(&locals[n % 2], KEY);
                client.bind(&format!("r{round}-{n}"));
                client
            })
            .collect();
        drop(clients);
        // The account's owner counts its sessions, later than the connections end: wait until these are gone.
        let gone = (0..3_000).any(|_| {
            std::thread::sleep(Duration::from_millis(2));
            server.metric("chaski_edge_connections") == 0
        });
        assert!(gone);
    }
}

#[test]
fn a_shard_without_work_waits() {
    let server = Server::start();
    let locals = server.two_accounts();
    let mut clients: Vec<_> = locals.iter().map(|local| server.session(local, "idle")).collect();
    let mut tls = server.connect(Direct);
    tls.plain(&locals[0], KEY);
    tls.bind("tls");
    clients.iter_mut().for_each(|client| client.ping("1"));
    let before = server.metric("chaski_edge_turns_total");
    std::thread::sleep(Duration::from_millis(400));
    let turns = server.metric("chaski_edge_turns_total") - before;
    // A few ticks; a loop that never waits makes a hundred thousand.
    assert!(turns < 100, "{turns} turns");
}
