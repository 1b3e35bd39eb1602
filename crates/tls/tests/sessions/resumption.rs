//! Coming back by ticket: to the same server, to one that was started anew, to one that must not know it any more.

use super::*;
use chaski_tls::tickets::Tickets;
use rustls::server::ProducesTickets;
use std::sync::atomic::{AtomicU64, Ordering};

const LIFETIME_S: u32 = 3_600;
static NOW_S: AtomicU64 = AtomicU64::new(1_000_000);

/// A server as it is after a start. The clock is `ahead_s` before that of all others.
fn server(
    version: &'static SupportedProtocolVersion,
    secret: &[u8],
    purpose: &[u8],
    ahead_s: u64,
) -> ServerConfig {
    let now_s = Arc::new(move || NOW_S.load(Ordering::Relaxed) + ahead_s);
    let mut config = Case { version, ..Case::SMALL }.server();
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.ticketer = Tickets::new(secret, LIFETIME_S, now_s).producer(&[purpose]).unwrap();
    config
}

/// A connection; whether both sides say that it was resumed.
fn connects(server: ServerConfig, client: &Arc<ClientConfig>) -> bool {
    let mut pair = Pair::new(Arc::new(server), client.clone()).established();
    pair.server.say(b"the ticket has come before this");
    pair.carry();
    assert_eq!(pair.client.said(), b"the ticket has come before this");
    let exported = [pair.server.session.exporter(), pair.client.session.exporter()];
    assert_eq!(exported[0], exported[1]);
    assert_eq!(pair.server.session.is_resumed(), pair.client.session.is_resumed());
    pair.server.session.is_resumed()
}

#[test]
fn a_phone_resumes_also_after_a_restart() {
    let client = Arc::new(Case::SMALL.client());
    assert!(!connects(server(TLS13, b"secret", b"leaf", 0), &client));
    for ahead_s in [0, 1_800, 3_600, 7_000] {
        // Each connection brings a new ticket, from a server that was started for it.
        assert!(connects(server(TLS13, b"secret", b"leaf", ahead_s), &client), "{ahead_s}");
    }
}

#[test]
fn a_ticket_of_another_realm_or_certificate_and_an_old_one_are_not_taken() {
    for (secret, purpose, ahead_s) in
        [(&b"another"[..], &b"leaf"[..], 0), (b"secret", b"newer leaf", 0), (b"secret", b"leaf", 3_601)]
    {
        let client = Arc::new(Case::SMALL.client());
        assert!(!connects(server(TLS13, b"secret", b"leaf", 0), &client));
        assert!(!connects(server(TLS13, secret, purpose, ahead_s), &client), "it is a full handshake");
        assert!(
            connects(server(TLS13, secret, purpose, ahead_s), &client),
            "and brings a ticket that is good"
        );
    }
}

/// Hands out tickets of which one bit is wrong.
#[derive(Debug)]
struct Spoiled(Arc<dyn ProducesTickets>);

impl ProducesTickets for Spoiled {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut ticket = self.0.encrypt(plain)?;
        *ticket.last_mut()? ^= 1;
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(ticket)
    }
}

#[test]
fn a_spoiled_ticket_is_as_good_as_none() {
    let client = Arc::new(Case::SMALL.client());
    let mut spoiling = server(TLS13, b"secret", b"leaf", 0);
    spoiling.ticketer = Arc::new(Spoiled(spoiling.ticketer));
    assert!(!connects(spoiling, &client));
    assert!(!connects(server(TLS13, b"secret", b"leaf", 0), &client));
}

#[test]
fn in_tls12_a_ticket_ends_with_the_process() {
    let client = Arc::new(Case { version: TLS12, ..Case::SMALL }.client());
    let first = server(TLS12, b"secret", b"leaf", 0);
    assert!(!connects(first.clone(), &client));
    assert!(connects(first, &client));
    assert!(
        !connects(server(TLS12, b"secret", b"leaf", 0), &client),
        "else the secret would open what was said"
    );
}

#[test]
fn a_resumed_session_is_bound_to_itself() {
    let client = Arc::new(Case::SMALL.client());
    let exported = |client: &Arc<ClientConfig>| {
        let mut pair =
            Pair::new(Arc::new(server(TLS13, b"secret", b"leaf", 0)), client.clone()).established();
        (pair.server.session.is_resumed(), pair.server.session.exporter().unwrap())
    };
    let all = [exported(&client), exported(&client), exported(&client)];
    assert_eq!(all.map(|(resumed, _)| resumed), [false, true, true]);
    assert!(all[0].1 != all[1].1 && all[1].1 != all[2].1, "a login bound to one is worth nothing in another");
}

#[test]
fn a_server_without_tickets_sends_none() {
    let client = Arc::new(Case::SMALL.client());
    let without = || {
        let mut config = Case::SMALL.server();
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.ticketer = ServerConfig::builder_with_provider(Case::SMALL.provider())
            .with_protocol_versions(&[TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(IDENTITY.chain.clone(), IDENTITY.key.clone_key())
            .unwrap()
            .ticketer;
        config.send_tls13_tickets = 0;
        config
    };
    assert!(!connects(without(), &client));
    assert!(!connects(without(), &client));
}
