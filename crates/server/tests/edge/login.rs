//! From the first byte to a session.

use crate::rig::{Client, HEADER, KEY, Server, auth, auth_plain, bind, content, identity};
use chaski_server::ListenerTls::{Direct, StartTls, Terminated};
use chaski_services::account::credentials::Derivation;
use chaski_xmpp::sasl::Mechanism;
use chaski_xmpp::sasl::client::Binding;
use sha2::{Digest, Sha256};

fn exporter(client: &Client) -> Binding {
    let data = client.tls().export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
    Binding::Bound { name: "tls-exporter", data: data.to_vec() }
}

#[test]
fn starttls_scram_plus_and_bind_on_either_shard() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.connect(StartTls).starttls(&server.leaf);
        let binding = exporter(&client);
        client.scram(&local, KEY, Mechanism::ScramSha256Plus, binding);
        let bound = client.bind("phone");
        assert!(bound.contains(&format!("<jid>{local}@localhost/phone</jid>")), "{bound}");
        client.ping("p1");
    }
    assert_eq!(server.metric("chaski_edge_logins_total"), 2);
    assert_eq!(server.metric("chaski_edge_tls_handshakes_total"), 2);
    assert_eq!(server.metric("chaski_edge_tls_failures_total"), 0);
}

#[test]
fn direct_tls_with_alpn_and_each_scram() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let end_point =
        Binding::Bound { name: "tls-server-end-point", data: Sha256::digest(server.leaf.as_ref()).to_vec() };
    for (mechanism, binding) in [
        (Mechanism::ScramSha1, Binding::Unsupported),
        (Mechanism::ScramSha256, Binding::Unsupported),
        (Mechanism::ScramSha1Plus, end_point),
    ] {
        let mut client = server.connect(Direct);
        assert_eq!(client.tls().alpn_protocol(), Some(b"xmpp-client".as_slice()));
        client.scram(&local, KEY, mechanism, binding);
        client.bind("phone");
        client.ping("p1");
    }
}

#[test]
fn tls_12_binds_to_the_certificate_only() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut client = server.connect(StartTls).starttls_12(&server.leaf);
    client.send(HEADER);
    let features = client.until("</stream:features>");
    assert!(features.contains("tls-server-end-point") && !features.contains("tls-exporter"), "{features}");

    let mut client = server.connect(StartTls).starttls_12(&server.leaf);
    let data = Sha256::digest(server.leaf.as_ref()).to_vec();
    let binding = Binding::Bound { name: "tls-server-end-point", data };
    client.scram(&local, KEY, Mechanism::ScramSha256Plus, binding);
    client.bind("phone");
    client.ping("1");

    // A man in the middle has another certificate.
    let mut client = server.connect(StartTls).starttls(&server.leaf);
    let binding = Binding::Bound { name: "tls-server-end-point", data: vec![7; 32] };
    client.open();
    let credentials =
        chaski_xmpp::sasl::client::Credentials { username: local, password: KEY.into(), authzid: None };
    let nonce = chaski_xmpp::sasl::Nonce::from_entropy([1; 18]);
    let mechanism = Mechanism::ScramSha256Plus;
    let (mut exchange, first) =
        chaski_xmpp::sasl::client::Exchange::start(mechanism, &credentials, binding, nonce).unwrap();
    client.send(&auth(mechanism.name(), &first));
    let last = exchange.challenge(&content(&client.until("</challenge>"))).unwrap();
    let response = chaski_xmpp::sasl::base64::encode(&last);
    client.send(&format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{response}</response>"));
    assert!(client.until("</failure>").contains("not-authorized"));
}

#[test]
fn plain_by_digest_and_by_worker() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    server.add("bot", "a password that a person chose", Derivation { iterations: 500, quick_plain: false });
    server.session(&local, "a").ping("1");
    let mut bot = server.connect(Terminated);
    bot.plain("bot", "a password that a person chose");
    assert!(bot.bind("b").contains("<jid>bot@localhost/b</jid>"));
}

#[test]
fn a_whole_login_in_one_packet() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.connect(Terminated);
        let ping = "<iq type='get' to='localhost' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
        client.send(&[HEADER, &auth_plain(&local, KEY), HEADER, &bind("r"), ping].concat());
        client.until(&format!("<jid>{local}@localhost/r</jid>"));
        client.until("</iq>");
        client.until("id='p'");
    }
}

#[test]
fn a_login_byte_by_byte() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut client = server.connect(Terminated);
    for byte in [HEADER, &auth_plain(&local, KEY), HEADER, &bind("r")].concat().bytes() {
        client.send_bytes(&[byte]);
    }
    client.until(&format!("<jid>{local}@localhost/r</jid>"));
}

#[test]
fn wrong_keys_are_counted_and_end_the_stream() {
    let server = Server::start_with(|config| config.limits.login_failures = 3);
    let [local, _] = server.two_accounts();
    server.add("bot", "right", Derivation { iterations: 10, quick_plain: false });
    for name in [local.as_str(), "bot", "+15550009999", "nobody here", "+1"] {
        let mut client = server.connect(Terminated);
        client.open();
        for _ in 0..2 {
            client.send(&auth_plain(name, "wrong"));
            assert!(client.until("</failure>").contains("<not-authorized/>"));
        }
        client.send(&auth_plain(name, "wrong"));
        let end = client.until_closed();
        assert!(end.contains("not-authorized") && end.contains("policy-violation"), "{name}: {end}");
    }
    assert_eq!(server.metric("chaski_edge_login_failures_total"), 15);
    assert_eq!(server.metric("chaski_edge_logins_total"), 0);
}

#[test]
fn nothing_is_taken_from_behind_starttls() {
    let server = Server::start();
    let mut client = server.connect(StartTls);
    client.open();
    client.send(
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
         <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
    );
    let end = client.until_closed();
    assert!(end.contains("<proceed") && !end.contains("failure"), "{end}");
    server.wait_for_metric("chaski_edge_tls_failures_total", 1);
}

#[test]
fn nothing_but_starttls_before_tls() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut client = server.connect(StartTls);
    assert!(!client.open().contains("mechanism"));
    client.send(&auth_plain(&local, KEY));
    let answer = client.until("</failure>");
    assert!(answer.contains("<encryption-required/>") && !answer.contains("<success"), "{answer}");
}

#[test]
fn a_reloaded_certificate_is_for_new_connections() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut old = server.connect(Direct);
    let (identity, leaf) = identity();
    server.edge.reload_tls(identity);
    let presented = |client: &Client| client.tls().peer_certificates().unwrap()[0].clone();
    let new = server.connect(StartTls).starttls(&leaf);
    assert_eq!(presented(&new), leaf);
    assert_eq!(presented(&old), server.leaf);
    old.plain(&local, KEY);
    old.bind("still");
    old.ping("here");
}
