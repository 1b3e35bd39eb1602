//! Who has not proved anything asks by every mechanism whether a number is registered, and must learn nothing: a number that is
//! nobody's, one with a key and one with a password are compared in bytes, order and work (docs/promises.md, P1).

use crate::rig::{Client, KEY, Server, auth, content};
use chaski_server::ListenerTls::Terminated;
use chaski_services::accounts::Derivation;
use chaski_xmpp::sasl::token::{Claim, TokenMechanism};
use chaski_xmpp::sasl::{base64, scram};
use chaski_xmpp::stream::client::{Authenticate, write_authenticate};
use chaski_xmpp::stream::{ClientId, Wishes};

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
    let server = Server::start_with(|config| {
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
                let first =
                    Authenticate { mechanism, initial, software: None, wishes: &wishes, token_use: None };
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

#[test]
fn a_salt_does_not_change_when_a_number_is_registered() {
    let (server, _) = server();
    let before = ask(&server, NOBODY);
    server.add(NOBODY, KEY, Derivation::KEY);
    assert_eq!(ask(&server, NOBODY), before);
    let mut client: Client = server.connect(Terminated);
    client.plain(NOBODY, KEY);
}
