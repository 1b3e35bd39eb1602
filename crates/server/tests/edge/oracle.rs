//! Who has not proved anything asks by every mechanism whether a number is registered, and must learn nothing: a number that is
//! nobody's, one with a key and one with a password are compared in bytes, order and work (docs/promises.md, P1).

use crate::rig::{Client, KEY, Server, auth, content};
use chaski_server::EdgeConfig;
use chaski_server::ListenerTls::Terminated;
use chaski_services::account::credentials::Derivation;
use chaski_xmpp::sasl::token::{Claim, TokenMechanism};
use chaski_xmpp::sasl::{base64, scram};
use chaski_xmpp::stream::client::{Authenticate, write_authenticate};
use chaski_xmpp::stream::{ClientId, TokenUse, Wishes};

const NOBODY: &str = "+15550009999";
const PASSWORD: &str = "+15550009998";
const CHECKS: &str = "chaski_password_checks_done_total";

/// What somebody hears who asks for a name by all mechanisms, without what is made up at random, and the salts told.
#[derive(Debug, Default, PartialEq)]
struct Experience {
    heard: Vec<String>,
    salts: Vec<String>,
    checks: i64,
}

fn server() -> (Server, String) {
    server_with(|_| {})
}

fn server_with(change: impl FnOnce(&mut EdgeConfig)) -> (Server, String) {
    let server = Server::start_with(|config| {
        change(config);
        config.limits.login_failures = 99;
        // Every way is tried with every name, before and after it is somebody's: that must not be too many guesses.
        config.limits.guesses.account.burst = 99;
    });
    let [key, _] = server.two_accounts();
    server.add(PASSWORD, "chosen by a person", Derivation::PASSWORD);
    (server, key)
}

fn ask(server: &Server, name: &str) -> Experience {
    let mut told = Experience::default();
    let before = server.metric(CHECKS);
    let mut client = server.connect(Terminated);
    client.open();
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
        for inside in [Inside::Sasl, Inside::Sasl2] {
            client.send(&inside.begin(mechanism, format!("n,,n={name},r=abc").as_bytes()));
            let challenge = client.until("</challenge>");
            told.challenged(&challenge);
            let nonce = field(&String::from_utf8(content(&challenge)).unwrap(), "r=");
            let proof = base64::encode(&[0; 32][..if mechanism == "SCRAM-SHA-1" { 20 } else { 32 }]);
            client.send(&inside.answer(format!("c=biws,r={nonce},p={proof}").as_bytes()));
            told.heard.push(client.until("</failure>"));
        }
    }
    for inside in [Inside::Sasl, Inside::Sasl2] {
        client.send(&inside.begin("PLAIN", format!("\0{name}\0wrong").as_bytes()));
        told.heard.push(client.until("</failure>"));
    }
    let claim = Claim::write(name, "guessed", &[]);
    client.send(&Inside::Sasl2.begin(TokenMechanism::Unbound.name(), &claim));
    told.heard.push(client.until("</failure>"));
    told.checks = server.metric(CHECKS) - before;
    told
}

impl Experience {
    fn challenged(&mut self, challenge: &str) {
        let text = String::from_utf8(content(challenge)).unwrap();
        let (nonce, salt) = (field(&text, "r="), field(&text, "s="));
        self.heard.push(text.replace(&nonce, "NONCE").replace(&salt, &"S".repeat(salt.len())));
        self.salts.push(salt);
    }
}

fn field(text: &str, name: &str) -> String {
    text.split(',').find_map(|field| field.strip_prefix(name)).unwrap().to_owned()
}

/// In which profile.
#[derive(Clone, Copy)]
enum Inside {
    Sasl,
    Sasl2,
}

impl Inside {
    fn begin(self, mechanism: &str, initial: &[u8]) -> String {
        match self {
            Self::Sasl => auth(mechanism, initial),
            Self::Sasl2 => {
                let wishes = Wishes { client: Some(ClientId([0xD4; 16])), ..Wishes::default() };
                let token_use = TokenMechanism::from_name(mechanism).map(|_| TokenUse::default());
                let first = Authenticate { mechanism, initial, software: None, wishes: &wishes, token_use };
                let mut text = Vec::new();
                write_authenticate(&first, &mut text);
                String::from_utf8(text).unwrap()
            }
        }
    }

    fn answer(self, data: &[u8]) -> String {
        let ns = match self {
            Self::Sasl => "urn:ietf:params:xml:ns:xmpp-sasl",
            Self::Sasl2 => "urn:xmpp:sasl:2",
        };
        format!("<response xmlns='{ns}'>{}</response>", base64::encode(data))
    }
}

#[test]
fn no_way_to_log_in_tells_who_is_registered() {
    let (server, key) = server();
    let nobody = ask(&server, NOBODY);
    for name in [key.as_str(), PASSWORD] {
        let somebody = ask(&server, name);
        assert_eq!(somebody.heard, nobody.heard, "{name}");
        assert_eq!(somebody.checks, nobody.checks, "{name}: what time could tell");
        let first = &somebody.salts[0];
        assert!(somebody.salts.iter().all(|salt| salt == first), "{name}: {:?}", somebody.salts);
    }
    assert_eq!(nobody.checks, 2, "each wrong PLAIN is one derivation");
    let first = &nobody.salts[0];
    assert!(nobody.salts.iter().all(|salt| salt == first), "{:?}", nobody.salts);
    assert_eq!(base64::decode(first).unwrap().unwrap().len(), scram::SALT_BYTES);
}

/// What stands between a login's messages and their answers, for an account that is in memory, one that is in the store and nobody: a
/// challenge needs none of them, and a failure has its own time.
#[test]
fn no_answer_waits_for_an_account() {
    const HOUR_MS: u64 = 3_600_000;
    let (server, key) = server_with(|config| config.timing.failure_ms = HOUR_MS);
    let resident = || server.metric("chaski_rooms_accounts_resident");
    for name in [key.as_str(), PASSWORD, NOBODY] {
        let mut client = server.connect(Terminated);
        client.open();
        client.send(&Inside::Sasl.begin("SCRAM-SHA-256", format!("n,,n={name},r=abc").as_bytes()));
        client.until("</challenge>");
        client.send("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        client.until("</failure>");
        // Something that is called a response and is none.
        client.send(&Inside::Sasl.begin("SCRAM-SHA-256", format!("n,,n={name},r=abc").as_bytes()));
        client.until("</challenge>");
        client.send("<response xmlns='urn:xmpp:sasl:2'>AAAA</response>");
        assert!(client.until_closed().contains("<not-authorized"));
        assert_eq!(resident(), 0, "nobody has looked for {name}");
    }
    let mut told = 0;
    let mut clients = Vec::new();
    // The second time it is in memory, if it is anybody.
    for name in [key.as_str(), PASSWORD, NOBODY, key.as_str(), PASSWORD, NOBODY] {
        for way in 0..3 {
            let mut client = server.connect(Terminated);
            client.open();
            match way {
                0 => client.prove_wrongly(name),
                1 => client.send(&Inside::Sasl2.begin("PLAIN", format!("\0{name}\0wrong").as_bytes())),
                _ => {
                    let claim = Claim::write(name, "guessed", &[]);
                    client.send(&Inside::Sasl2.begin(TokenMechanism::Unbound.name(), &claim));
                }
            }
            told += 1;
            server.wait_for_metric("chaski_edge_failures_waiting", told);
            clients.push(client);
        }
    }
    assert_eq!(resident(), 2);
    assert_eq!(server.metric("chaski_edge_login_failures_total"), 3 + told);
    // Who is right waits for nothing.
    let mut client = server.connect(Terminated);
    client.plain(&key, KEY);
}

impl Client {
    fn prove_wrongly(&mut self, name: &str) {
        self.send(&Inside::Sasl.begin("SCRAM-SHA-256", format!("n,,n={name},r=abc").as_bytes()));
        let challenge = self.until("</challenge>");
        let nonce = field(&String::from_utf8(content(&challenge)).unwrap(), "r=");
        let proof = base64::encode(&[0; 32]);
        self.send(&Inside::Sasl.answer(format!("c=biws,r={nonce},p={proof}").as_bytes()));
    }
}

#[test]
fn a_salt_does_not_change_when_a_number_is_registered() {
    let (server, _) = server();
    let before = ask(&server, NOBODY);
    server.add(NOBODY, KEY, Derivation::KEY);
    assert_eq!(ask(&server, NOBODY), before);
    let mut client: Client = server.connect(Terminated);
    client.plain(NOBODY, KEY);
}
