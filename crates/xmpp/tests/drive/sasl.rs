//! Drives SASL exchanges with arbitrary messages, both sides. The first byte picks the mechanism and the bindings, the
//! messages are separated by line feeds.

use chaski_xmpp::sasl::client::{Binding, Credentials, Exchange};
use chaski_xmpp::sasl::server::{self, Context, Step};
use chaski_xmpp::sasl::{ChannelBindings, Mechanism, Nonce, Salting, ScramSecret, base64, prep};

/// Runs one exchange against a user who does not exist, one against a server, and the encodings.
pub(crate) fn drive(input: &[u8]) {
    let Some((&how, bytes)) = input.split_first() else { return };
    let mechanism = Mechanism::ALL[usize::from(how & 7) % Mechanism::ALL.len()];
    let messages: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    against_decoy(mechanism, how & 8 != 0, &messages);
    against_client(mechanism, &messages);
    if let Ok(text) = std::str::from_utf8(bytes) {
        encodings(text);
    }
}

fn against_decoy(mechanism: Mechanism, bound: bool, messages: &[&[u8]]) {
    let bindings = match bound {
        true => ChannelBindings { tls_exporter: Some([5; 32]), tls_server_end_point: None },
        false => ChannelBindings::NONE,
    };
    let nonce = Nonce::from_text("ours").expect("legal");
    let mut messages = messages.iter();
    let context = Context { domain: "localhost", from: None, bindings: &bindings, nonce };
    let mut step =
        server::start(mechanism, messages.next().copied().filter(|first| !first.is_empty()), context);
    for _ in 0..8 {
        step = match step {
            Step::Challenge(_, waiting) => match messages.next() {
                Some(message) => waiting.respond(message),
                None => return,
            },
            Step::NeedSecret(need) => {
                assert!(!need.username().is_empty());
                let secret = ScramSecret::decoy(&Salting([1; 32]), need.hash(), need.username(), 4096);
                need.provide(secret)
            }
            Step::VerifyPlain(verify) => {
                assert!(!verify.username().is_empty() && !verify.password().reveal().is_empty());
                verify.verified(false)
            }
            Step::Success { username, .. } => panic!("{username} does not exist"),
            Step::Failure(_) => return,
        };
    }
    panic!("an exchange ends");
}

fn against_client(mechanism: Mechanism, messages: &[&[u8]]) {
    let user = Credentials { username: "user".into(), password: "pencil".into(), authzid: None };
    let binding = match mechanism.is_plus() {
        true => Binding::Bound { name: "tls-exporter", data: vec![5; 32] },
        false => Binding::Unsupported,
    };
    let nonce = Nonce::from_text("ours").expect("legal");
    let (mut exchange, _) = Exchange::start(mechanism, &user, binding, nonce).expect("these are legal");
    let Some((last, challenges)) = messages.split_last() else { return };
    for challenge in challenges {
        // Thousands of rounds are legal and slow.
        let costly =
            challenge.windows(3).any(|three| three[0] == b'=' && three[1..].iter().all(u8::is_ascii_digit));
        if costly || exchange.challenge(challenge).is_err() {
            return;
        }
    }
    let proved = exchange.success(last).is_ok();
    assert!(!proved || mechanism == Mechanism::Plain || last.starts_with(b"v=") || challenges.len() > 1);
}

fn encodings(text: &str) {
    if let Ok(Some(data)) = base64::decode(text) {
        assert_eq!(base64::encode(&data), text, "one spelling for each data");
    }
    if let Some(prepared) = prep::saslprep(text) {
        assert!(!prepared.is_empty());
        assert!(prepared.bytes().all(|byte| byte >= 0x20 && byte != 0x7f));
    }
}
