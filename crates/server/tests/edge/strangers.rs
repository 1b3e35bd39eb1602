//! Who has not logged in: how often they may guess, and how much room they may take.

use crate::rig::{Client, KEY, Server, auth, auth_plain, content};
use crate::websocket::WebSocketClient;
use chaski_server::ListenerTls::Terminated;
use chaski_services::account::credentials::Derivation;
use chaski_xmpp::sasl::client::{Binding, Credentials, Exchange};
use chaski_xmpp::sasl::{Mechanism, Nonce, base64};

const PASSWORD: &str = "a password that a person chose";
const NOBODY: &str = "+15550009999";
const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";

/// The answer to one login on a connection of its own: success, or the failure's condition.
fn login(server: &Server, start: impl FnOnce(&mut Client)) -> String {
    let mut client = server.connect(Terminated);
    client.open();
    start(&mut client);
    let answer = client.until(">");
    if answer.contains("<success") {
        return "success".into();
    }
    let answer = client.until("/>");
    answer.trim_start_matches('<').trim_end_matches("/>").into()
}

fn plain(server: &Server, name: &str, secret: &str) -> String {
    login(server, |client| client.send(&auth_plain(name, secret)))
}

fn scram(server: &Server, name: &str, secret: &str) -> String {
    scram_with(server, name, secret, |_| {})
}

/// With something that is refused before the proof, without ending the exchange.
fn scram_amid_noise(server: &Server, name: &str, secret: &str) -> String {
    scram_with(server, name, secret, |client| {
        client.send("<enable xmlns='urn:xmpp:sm:3'/>");
        assert!(client.until("</failed>").contains("<unexpected-request"));
    })
}

fn scram_with(server: &Server, name: &str, secret: &str, before_proof: impl FnOnce(&mut Client)) -> String {
    login(server, |client| {
        let user = Credentials { username: name.into(), password: secret.into(), authzid: None };
        let nonce = Nonce::from_entropy([7; 18]);
        let (mut exchange, first) =
            Exchange::start(Mechanism::ScramSha256, &user, Binding::Unsupported, nonce).unwrap();
        client.send(&auth("SCRAM-SHA-256", &first));
        let last = exchange.challenge(&content(&client.until("</challenge>"))).unwrap();
        let response = base64::encode(&last);
        before_proof(client);
        client.send(&format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{response}</response>"));
    })
}

/// Also on connections of their own, and by turns: each fourth way leads to the same count.
#[test]
fn guesses_are_counted_over_connections_and_mechanisms() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    // As keys are derived, so that a right proof by SCRAM is one.
    server.add("bot", PASSWORD, Derivation { quick_plain: false, ..Derivation::KEY });
    assert_eq!(scram(&server, "bot", PASSWORD), "success");
    for name in [local.as_str(), "bot", NOBODY] {
        let answers: Vec<String> = (0..20)
            .map(|n| match n % 3 {
                0 => plain(&server, name, "guess"),
                1 => scram_amid_noise(&server, name, "guess"),
                _ => scram(&server, name, "guess"),
            })
            .collect();
        assert!(answers[..10].iter().all(|answer| answer == "not-authorized"), "{name}: {answers:?}");
        assert!(answers[10..].iter().all(|answer| answer == "temporary-auth-failure"), "{name}: {answers:?}");
    }
    assert_eq!(server.metric("chaski_guesses_wrong_total"), 30);
    assert_eq!(server.metric("chaski_guesses_refused_account_total"), 30);
    // What nobody can guess is let in, what somebody could is not looked at.
    assert_eq!(
        (plain(&server, &local, KEY), scram(&server, &local, KEY)),
        ("success".into(), "success".into())
    );
    for way in [plain, scram] {
        assert_eq!(way(&server, "bot", PASSWORD), "temporary-auth-failure");
    }
    // From elsewhere everybody gets in.
    let mut elsewhere = WebSocketClient::connect_from(&server, "192.0.2.1");
    elsewhere.send(OPEN);
    while !elsewhere.text().contains("<mechanisms") {}
    elsewhere.send(&auth_plain("bot", PASSWORD));
    assert!(elsewhere.text().contains("<success"));
}

#[test]
fn a_wrong_key_is_as_much_work_as_a_wrong_password_or_nobodys() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    server.add("bot", PASSWORD, Derivation { iterations: 500, quick_plain: false });
    for (count, name) in (1..).zip([local.as_str(), "bot", NOBODY]) {
        assert_eq!(plain(&server, name, "guess"), "not-authorized");
        assert_eq!(server.metric("chaski_password_checks_done_total"), count, "{name}");
    }
    assert_eq!(plain(&server, &local, KEY), "success");
    assert_eq!(server.metric("chaski_password_checks_done_total"), 3, "a right key is no work");
    assert_eq!(plain(&server, "bot", PASSWORD), "success");
    assert_eq!(server.metric("chaski_guesses_wrong_total"), 4, "each was counted before it was looked at");
    for _ in 0..20 {
        assert_eq!(plain(&server, "bot", PASSWORD), "success", "and given back");
    }
}

#[test]
fn the_oldest_guest_makes_room() {
    let server = Server::start_with(|config| {
        config.limits.guests = 4;
        config.timing.guest_patience_ms = 0;
    });
    let [local, _] = server.two_accounts();
    let silent: Vec<Client> = (0..40).map(|_| server.connect(Terminated)).collect();
    server.wait_for_metric("chaski_edge_guests_ousted_total", 40 - 8);
    let mut client = server.session(&local, "in");
    client.ping("1");
    assert!(server.metric("chaski_edge_guests") <= 8);
    assert_eq!(server.metric("chaski_edge_sessions"), 1, "who has logged in is no guest");
    drop(silent);
}

#[test]
fn who_has_begun_may_finish_while_others_wait() {
    let server = Server::start_with(|config| {
        config.limits.guests = 4;
        config.timing.guest_patience_ms = 600_000;
    });
    let [local, _] = server.two_accounts();
    let silent: Vec<Client> = (0..40).map(|_| server.connect(Terminated)).collect();
    server.wait_for_metric("chaski_edge_guests_paused_total", 1);
    assert!(server.metric("chaski_edge_guests") <= 8);
    assert_eq!(server.metric("chaski_edge_guests_ousted_total"), 0);
    // In the backlog, until there is a place.
    drop(silent);
    server.session(&local, "in").ping("1");
}

#[test]
fn a_network_has_so_many_guests() {
    let server = Server::start_with(|config| config.limits.guests_per_network = 3);
    let [local, _] = server.two_accounts();
    let silent: Vec<WebSocketClient> =
        (1..=10).map(|n| WebSocketClient::connect_from(&server, &format!("198.51.100.{n}"))).collect();
    server.wait_for_metric("chaski_edge_guests_refused_total", 10 - 2 * 3);
    let mut neighbour = WebSocketClient::connect_from(&server, "198.51.101.1");
    neighbour.send(OPEN);
    while !neighbour.text().contains("<mechanisms") {}
    neighbour.send(&auth_plain(&local, KEY));
    assert!(neighbour.text().contains("<success"));
    drop(silent);
}
