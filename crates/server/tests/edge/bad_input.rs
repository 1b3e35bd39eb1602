//! What must end a stream, and with which error; and that it harms nobody else. What is answered instead:
//! [`crate::over_bounds`].

use crate::rig::{Client, HEADER, KEY, Server};
use chaski_server::ListenerTls::{Direct, StartTls, Terminated};
use std::io::{Read, Write};

/// What is sent in the place of a stream header, or behind one, and the condition of the stream error.
const BEFORE_LOGIN: &[(&str, &str)] = &[
    ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
    (
        "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='urn:x'>",
        "invalid-namespace",
    ),
    (
        "<x:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:x='http://etherx.jabber.org/streams'>",
        "bad-namespace-prefix",
    ),
    (
        "<stream:stream to='elsewhere' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        "host-unknown",
    ),
    (
        "<stream:stream to='localhost' version='1.0' xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>",
        "invalid-namespace",
    ),
    (
        "<?xml version='1.0' encoding='ISO-8859-1'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        "unsupported-encoding",
    ),
    ("<!DOCTYPE x [<!ENTITY a 'b'>]>", "restricted-xml"),
];

/// What a session sends, and the condition.
const IN_SESSION: &[(&[u8], &str)] = &[
    (b"<message><body>a</message></body>", "not-well-formed"),
    (b"<x><body>&nbsp;</body></x>", "restricted-xml"),
    (b"<x><body>\xff\xfe</body></x>", "not-well-formed"),
    (b"<x><body>\x00</body></x>", "not-well-formed"),
    (b"<x a='1' a='2'/>", "not-well-formed"),
    (b"<x><y:z/></x>", "bad-namespace-prefix"),
    (b"<!-- hello --><message/>", "restricted-xml"),
    (b"<?php ?><message/>", "restricted-xml"),
    (b"<!DOCTYPE a><message/>", "restricted-xml"),
    (b"hello", "not-well-formed"),
    (b"<unheard xmlns='urn:example:of'/>", "unsupported-stanza-type"),
];

fn condition(end: &str) -> Option<&str> {
    let error = end.split_once("<stream:error")?.1.split_once('>')?.1;
    error.strip_prefix('<')?.split([' ', '/']).next()
}

#[test]
fn malformed_beginnings() {
    let server = Server::start();
    for listener in [Terminated, StartTls] {
        for (bytes, expected) in BEFORE_LOGIN {
            let mut client = server.connect(listener);
            client.send(bytes);
            let end = client.until_closed();
            assert_eq!(condition(&end), Some(*expected), "{bytes} got {end}");
            assert!(end.contains("<stream:stream") && end.ends_with("</stream:stream>"), "{end}");
        }
    }
}

#[test]
fn malformed_stanzas() {
    let server = Server::start();
    let [local, other] = server.two_accounts();
    let mut witness = server.session(&other, "witness");
    for (bytes, expected) in IN_SESSION {
        let mut client = server.session(&local, "r");
        client.send_bytes(bytes);
        let end = client.until_closed();
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(condition(&end), Some(*expected), "{shown} got {end}");
        assert!(end.ends_with("</stream:stream>"), "{end}");
        witness.ping("still-here");
    }
}

#[test]
fn too_large_and_too_deep() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut client = server.connect(Terminated);
    client.open();
    let _ = client.try_send(format!("<auth a='{}'", "x".repeat(9_000)).as_bytes());
    assert_eq!(condition(&client.until_closed()), Some("policy-violation"));

    let mut client = server.session(&local, "large");
    client.send(&format!(
        "<iq type='get' id='1' to='localhost'><x xmlns='urn:x'>{}</x></iq>",
        "y".repeat(200_000)
    ));
    client.until("</iq>");
    let _ = client.try_send(format!("<x><body>{}", "y".repeat(300_000)).as_bytes());
    assert_eq!(condition(&client.until_closed()), Some("policy-violation"));

    let mut client = server.session(&local, "deep");
    client.send(&format!("{}{}", "<a>".repeat(40), "</a>".repeat(40)));
    assert_eq!(condition(&client.until_closed()), Some("policy-violation"));

    let mut client = server.session(&local, "wide");
    let attributes: String = (0..80).map(|n| format!(" a{n}=''")).collect();
    client.send(&format!("<x{attributes}/>"));
    assert_eq!(condition(&client.until_closed()), Some("policy-violation"));

    let mut client = server.connect(Terminated);
    client.plain(&local, KEY);
    client.send(&"<a>".repeat(40));
    assert_eq!(condition(&client.until_closed()), Some("policy-violation"), "before there is a session");
}

#[test]
fn slow_logins_end() {
    let server = Server::start_with(|config| {
        config.timing.login_deadline_ms = 200;
        config.timing.tick_ms = 10;
    });
    let mut silent = server.connect(Terminated);
    let mut trickling = server.connect(StartTls);
    trickling.open();
    let mut in_handshake = std::net::TcpStream::connect(server.addr(Direct)).unwrap();
    in_handshake.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    assert_eq!(condition(&silent.until_closed()), Some("connection-timeout"));
    // Sending does not put it off.
    while trickling.try_send(b" ").is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    server.wait_for_metric("chaski_edge_login_timeouts_total", 3);
}

#[test]
fn tls_garbage_is_a_failed_handshake() {
    let server = Server::start();
    let mut client = std::net::TcpStream::connect(server.addr(Direct)).unwrap();
    client.write_all(HEADER.as_bytes()).unwrap();
    server.wait_for_metric("chaski_edge_tls_failures_total", 1);
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let server = Server::start_with(|config| config.limits.unsent_bytes = 64 * 1024);
    let [local, other] = server.two_accounts();
    let mut witness = server.session(&other, "witness");
    let mut deaf = server.session(&local, "deaf");
    let text =
        "<iq type='get' to='localhost' id='a-rather-long-identifier'><ping xmlns='urn:xmpp:ping'/></iq>";
    let pings = text.repeat(100);
    // The kernel's buffers take some megabytes; far more than that must not fit.
    let sent = (0..20_000).take_while(|_| deaf.try_send(pings.as_bytes()).is_ok()).count();
    assert!(sent < 20_000, "the server kept everything");
    witness.ping("unharmed");
    server.wait_for_metric("chaski_edge_slow_clients_total", 1);
}

#[test]
fn nobody_comes_in_when_memory_is_short() {
    let server = Server::start_with(|config| config.limits.memory_bytes = 1);
    let said = server.connect(Terminated).until("</stream:stream>");
    assert!(said.contains("<resource-constraint"), "{said}");
    let mut alert = Vec::new();
    std::net::TcpStream::connect(server.addr(Direct)).unwrap().read_to_end(&mut alert).unwrap();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 80], "internal_error");
    server.wait_for_metric("chaski_memory_pressure", 4);
}

#[test]
fn connections_beyond_the_bound_are_refused() {
    let server = Server::start_with(|config| config.limits.connections_per_shard = 2);
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect(Terminated)).collect();
    server.wait_for_metric("chaski_edge_refused_total", 16);
    let answers = clients.iter_mut().map(|client| {
        // Fails with those that are refused.
        let _ = client.try_send(HEADER.as_bytes());
        client.until("</stream:")
    });
    let told =
        answers.filter(|said| said.contains("<resource-constraint") && said.contains("<retry-after")).count();
    drop(clients);
    assert!(told >= 16, "only {told} were told why");
    let [local, _] = server.two_accounts();
    // The places are free again as soon as the server has seen the ends.
    for _ in 0..3_000 {
        if server.metric("chaski_edge_connections") == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut client = server.connect(Terminated);
    client.plain(&local, KEY);
}
