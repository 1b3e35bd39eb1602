//! Plays between our client and our server, and the RFCs' own examples.

use super::client::{Binding, ClientError, Credentials, Exchange};
use super::server::Tries;
use super::server::{self, Context, Step};
use super::*;
use proptest::prelude::*;

const DOMAIN: &str = "example.org";

fn context(bindings: &ChannelBindings) -> Context<'_> {
    Context { domain: DOMAIN, from: None, bindings, nonce: Nonce::from_entropy([7; 18]) }
}

fn bindings() -> ChannelBindings {
    ChannelBindings { tls_exporter: Some([5; 32]), tls_server_end_point: Some(vec![9; 32].into()) }
}

fn credentials(username: &str, password: &str) -> Credentials {
    Credentials { username: username.into(), password: password.into(), authzid: None }
}

fn client(mechanism: Mechanism, credentials: &Credentials, binding: Binding) -> (Exchange, Vec<u8>) {
    Exchange::start(mechanism, credentials, binding, Nonce::from_entropy([1; 18])).unwrap()
}

fn bound(bindings: &ChannelBindings) -> Binding {
    let name = client::TLS_EXPORTER;
    Binding::Bound { name, data: bindings.get(name).unwrap().to_vec() }
}

fn failure(step: Step) -> Failure {
    match step {
        Step::Failure(failure) => failure,
        step => panic!("{step:?}"),
    }
}

/// Plays an exchange to its end with `secret` as the server's; the user that has authenticated.
fn play(
    mechanism: Mechanism,
    user: &Credentials,
    binding: Binding,
    at_server: &ChannelBindings,
    secret: impl Fn(Hash) -> ScramSecret,
) -> Result<String, Failure> {
    let (mut client, initial) = client(mechanism, user, binding);
    let mut step = server::start(mechanism, Some(&initial), context(at_server));
    loop {
        step = match step {
            Step::Challenge(data, waiting) => waiting.respond(&client.challenge(&data).unwrap()),
            Step::NeedSecret(need) => {
                let secret = secret(need.hash());
                need.provide(secret)
            }
            Step::VerifyPlain(verify) => {
                let right = secret(Hash::Sha256).verify_password(verify.password().reveal());
                verify.verified(right)
            }
            Step::Success { username, data } => {
                client.success(&data).unwrap();
                return Ok(username);
            }
            Step::Failure(failure) => return Err(failure),
        }
    }
}

/// RFC 5802 §5 and RFC 7677 §3: (hash, client nonce, server nonce, salt, final message's proof, server signature).
#[test]
fn rfc_examples_from_both_sides() {
    let examples = [
        (
            Mechanism::ScramSha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "QSXCR+Q6sek8bf92",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            Mechanism::ScramSha256,
            "rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ];
    for (mechanism, client_nonce, server_nonce, salt, proof, signature) in examples {
        let context = Context {
            domain: DOMAIN,
            from: None,
            bindings: &ChannelBindings::NONE,
            nonce: Nonce::from_text(server_nonce).unwrap(),
        };
        let nonce = Nonce::from_text(client_nonce).unwrap();
        let user = credentials("user", "pencil");
        let (mut client, initial) = Exchange::start(mechanism, &user, Binding::Unsupported, nonce).unwrap();
        assert_eq!(initial, format!("n,,n=user,r={client_nonce}").into_bytes());
        let Step::NeedSecret(need) = server::start(mechanism, Some(&initial), context) else { panic!() };
        assert_eq!(need.username(), "user");
        let salt_bytes = base64::decode_field(salt).unwrap();
        let secret = ScramSecret::derive(mechanism.hash().unwrap(), "pencil", &salt_bytes, 4096);
        let Step::Challenge(challenge, waiting) = need.provide(secret) else { panic!() };
        assert_eq!(challenge, format!("r={client_nonce}{server_nonce},s={salt},i=4096").into_bytes());
        let last = client.challenge(&challenge).unwrap();
        assert_eq!(last, format!("c=biws,r={client_nonce}{server_nonce},p={proof}").into_bytes());
        let Step::Success { username, data } = waiting.respond(&last) else { panic!() };
        assert_eq!((username.as_str(), data.as_slice()), ("user", signature.as_bytes()));
        client.success(&data).unwrap();
    }
}

#[test]
fn channel_binding_flags_follow_rfc_5802_section_6() {
    let there = bindings();
    let start = |mechanism, flag: &str, at: &ChannelBindings| {
        server::start(mechanism, Some(format!("{flag},,n=u,r=x").as_bytes()), context(at))
    };
    let plain = Mechanism::ScramSha256;
    let plus = Mechanism::ScramSha256Plus;
    assert!(matches!(start(plain, "n", &there), Step::NeedSecret(_)));
    assert_eq!(failure(start(plain, "y", &there)), Failure::MalformedRequest, "a downgrade");
    assert!(matches!(start(plain, "y", &ChannelBindings::NONE), Step::NeedSecret(_)));
    assert_eq!(failure(start(plain, "p=tls-exporter", &there)), Failure::MalformedRequest);
    assert!(matches!(start(plus, "p=tls-exporter", &there), Step::NeedSecret(_)));
    assert!(matches!(start(plus, "p=tls-server-end-point", &there), Step::NeedSecret(_)));
    assert_eq!(failure(start(plus, "p=tls-unique", &there)), Failure::MalformedRequest);
    assert_eq!(failure(start(plus, "n", &there)), Failure::MalformedRequest);
    assert_eq!(failure(start(plus, "y", &there)), Failure::MalformedRequest);
    assert_eq!(failure(start(plus, "p=tls-exporter", &ChannelBindings::NONE)), Failure::InvalidMechanism);
    let end_point_only = ChannelBindings { tls_exporter: None, ..bindings() };
    assert_eq!(failure(start(plus, "p=tls-exporter", &end_point_only)), Failure::MalformedRequest);
}

#[test]
fn another_channel_is_refused() {
    let theirs = ChannelBindings { tls_exporter: Some([6; 32]), ..bindings() };
    let secret = |hash| ScramSecret::derive(hash, "pencil", b"salt", 1);
    let user = credentials("u", "pencil");
    let plus = Mechanism::ScramSha1Plus;
    assert_eq!(play(plus, &user, bound(&theirs), &bindings(), secret), Err(Failure::NotAuthorized));
    assert_eq!(play(plus, &user, bound(&bindings()), &bindings(), secret), Ok("u".into()));
}

#[test]
fn only_oneself_may_be_acted_for() {
    for (authzid, allowed) in [
        ("u@example.org", true),
        ("u@Example.ORG", true),
        ("u", true),
        ("v@example.org", false),
        ("u@example.com", false),
        ("u@example.org/phone", false),
        ("@example.org", false),
    ] {
        for mechanism in [Mechanism::Plain, Mechanism::ScramSha256] {
            let user = Credentials { authzid: Some(authzid.into()), ..credentials("u", "pencil") };
            let secret = |hash| ScramSecret::derive(hash, "pencil", b"salt", 1);
            let result = play(mechanism, &user, Binding::Unsupported, &ChannelBindings::NONE, secret);
            let expected = if allowed { Ok("u".to_owned()) } else { Err(Failure::InvalidAuthzid) };
            assert_eq!(result, expected, "{authzid} {mechanism:?}");
        }
    }
}

#[test]
fn nobody_can_satisfy_a_decoy_and_it_looks_like_a_user() {
    let salting = Salting::of_server(b"secret");
    let decoy = |hash| ScramSecret::decoy(&salting, hash, "u", 4096);
    for hash in [Hash::Sha1, Hash::Sha256] {
        let real = ScramSecret::derive(hash, "x", &salting.salt("u"), 4096);
        let fake = decoy(hash);
        assert!(fake.is_sound());
        assert_eq!((&fake.salt, fake.iterations), (&real.salt, real.iterations), "as if there were one");
        assert_eq!(fake, ScramSecret::decoy(&Salting::of_server(b"secret"), hash, "u", 4096), "at each try");
        assert_ne!(fake.salt, ScramSecret::decoy(&salting, hash, "v", 4096).salt);
        let another = Salting::of_server(b"other");
        assert_ne!(fake.salt, ScramSecret::decoy(&another, hash, "u", 4096).salt);
    }
    assert_eq!(decoy(Hash::Sha1).salt, decoy(Hash::Sha256).salt, "users have one salt for both");
    let user = credentials("u", "pencil");
    let result = play(Mechanism::ScramSha256, &user, Binding::Unsupported, &ChannelBindings::NONE, decoy);
    assert_eq!(result, Err(Failure::NotAuthorized));
}

#[test]
fn without_initial_response_an_empty_challenge_comes_first() {
    let Step::Challenge(data, waiting) =
        server::start(Mechanism::Plain, None, context(&ChannelBindings::NONE))
    else {
        panic!()
    };
    assert!(data.is_empty());
    let Step::VerifyPlain(verify) = waiting.respond(b"\0u\0pencil") else { panic!() };
    assert_eq!((verify.username(), verify.password().reveal()), ("u", "pencil"));
    assert_eq!(failure(verify.verified(false)), Failure::NotAuthorized);
}

#[test]
fn a_damaged_secret_is_our_trouble() {
    let start = || server::start(Mechanism::ScramSha1, Some(b"n,,n=u,r=x"), context(&ChannelBindings::NONE));
    let short = ScramSecret { stored_key: vec![0; 19], ..ScramSecret::derive(Hash::Sha1, "x", b"s", 1) };
    for secret in [short, ScramSecret::derive(Hash::Sha256, "x", b"s", 1)] {
        let Step::NeedSecret(need) = start() else { panic!() };
        assert_eq!(failure(need.provide(secret)), Failure::TemporaryAuthFailure);
    }
}

#[test]
fn tampered_finals_are_refused() {
    let user = credentials("u", "pencil");
    let finish = |tamper: &dyn Fn(String) -> String| {
        let (mut client, initial) = client(Mechanism::ScramSha1, &user, Binding::Unsupported);
        let none = ChannelBindings::NONE;
        let Step::NeedSecret(need) = server::start(Mechanism::ScramSha1, Some(&initial), context(&none))
        else {
            panic!()
        };
        let Step::Challenge(data, waiting) =
            need.provide(ScramSecret::derive(Hash::Sha1, "pencil", b"salt", 1))
        else {
            panic!()
        };
        let last = String::from_utf8(client.challenge(&data).unwrap()).unwrap();
        waiting.respond(tamper(last).as_bytes())
    };
    assert!(matches!(finish(&|text| text), Step::Success { .. }));
    assert_eq!(failure(finish(&|text| text.replace("c=biws", "c=eSws"))), Failure::NotAuthorized);
    assert_eq!(failure(finish(&|text| text.replace("r=", "r=x"))), Failure::NotAuthorized);
    assert_eq!(failure(finish(&|text| text.replace(",p=", ",z=1,p="))), Failure::NotAuthorized);
    assert_eq!(
        failure(finish(&|text| text.split(",p=").next().unwrap().to_owned() + ",p=")),
        Failure::NotAuthorized
    );
    assert_eq!(failure(finish(&|_| String::new())), Failure::MalformedRequest);
}

/// Whoever has no tries left is told the same, right or wrong, but for a right proof of what nobody can guess.
#[test]
fn a_proof_leads_as_far_as_there_are_tries() {
    let prove = |password: &str, tries: Tries| {
        let (mut client, initial) =
            client(Mechanism::ScramSha256, &credentials("u", password), Binding::Unsupported);
        let none = ChannelBindings::NONE;
        let Step::NeedSecret(need) = server::start(Mechanism::ScramSha256, Some(&initial), context(&none))
        else {
            panic!()
        };
        let secret = ScramSecret::derive(Hash::Sha256, "pencil", b"salt", 1);
        let Step::Challenge(data, waiting) = need.provide(secret) else { panic!() };
        waiting.respond_within(&client.challenge(&data).unwrap(), tries)
    };
    for (tries, right, wrong) in [
        (Tries::Left, None, Failure::NotAuthorized),
        (Tries::UsedUp, None, Failure::TemporaryAuthFailure),
        (Tries::UsedUpByGuesses, Some(Failure::TemporaryAuthFailure), Failure::TemporaryAuthFailure),
    ] {
        match (prove("pencil", tries), right) {
            (Step::Success { username, .. }, None) => assert_eq!(username, "u"),
            (step, right) => assert_eq!(Some(failure(step)), right),
        }
        assert_eq!(failure(prove("pen", tries)), wrong);
    }
}

#[test]
fn a_server_that_can_not_prove_itself_is_left() {
    let begin = || client(Mechanism::ScramSha256, &credentials("u", "pencil"), Binding::Unsupported);
    let nonce = Nonce::from_entropy([1; 18]);
    let first = |nonce: &str, iterations: u32| format!("r={nonce},s=c2FsdA==,i={iterations}").into_bytes();
    let longer = format!("{}more", nonce.as_str());
    let (mut exchange, _) = begin();
    assert!(exchange.challenge(&first(&longer, 1)).is_ok());
    assert_eq!(exchange.success(b"v=AAAA"), Err(ClientError::ServerNotProved));
    let (mut exchange, _) = begin();
    assert!(exchange.challenge(&first(&longer, 1)).is_ok());
    assert_eq!(exchange.success(b""), Err(ClientError::ServerNotProved));
    assert_eq!(begin().0.success(b""), Err(ClientError::ServerNotProved), "success before any proof");
    assert_eq!(begin().0.challenge(&first(nonce.as_str(), 1)), Err(ClientError::WrongNonce));
    assert_eq!(begin().0.challenge(&first("another", 1)), Err(ClientError::WrongNonce));
    assert_eq!(begin().0.challenge(&first(&longer, 1_000_001)), Err(ClientError::TooExpensive(1_000_001)));
    assert_eq!(begin().0.challenge(b"v=AAAA"), Err(ClientError::Malformed));
}

#[test]
fn the_strongest_common_mechanism_is_chosen() {
    use Mechanism::*;
    let choose = |offered: &[Mechanism], types: Option<&[&str]>, bindings: &ChannelBindings, allow_plain| {
        let types = types.map(|types| types.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        client::choose(offered, types.as_deref(), bindings, allow_plain)
    };
    let (none, all) = (ChannelBindings::NONE, Mechanism::ALL);
    assert_eq!(choose(&all, None, &bindings(), true), Some((ScramSha256Plus, bound(&bindings()))));
    assert_eq!(
        choose(&all, Some(&["tls-unique"]), &bindings(), true),
        Some((ScramSha256, Binding::Unsupported))
    );
    assert_eq!(choose(&all, None, &none, true), Some((ScramSha256, Binding::Unsupported)));
    assert_eq!(choose(&[ScramSha1, Plain], None, &bindings(), true), Some((ScramSha1, Binding::NotOffered)));
    assert_eq!(choose(&[Plain], None, &none, true), Some((Plain, Binding::Unsupported)));
    assert_eq!(choose(&[Plain], None, &none, false), None);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[!-~]{1,24}", "[a-zà-ü,=]{1,12}", "\\PC{1,12}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_right_password_and_only_that_is_accepted(
        mechanism in prop::sample::select(Mechanism::ALL.to_vec()),
        username in any_text(),
        password in any_text(),
        other in any_text(),
    ) {
        let (Some(name), Some(prepared)) = (prep::saslprep(&username), prep::saslprep(&password)) else { return Ok(()) };
        let there = bindings();
        let user = credentials(&username, &password);
        let binding = if mechanism.is_plus() { bound(&there) } else { Binding::Unsupported };
        let right = play(mechanism, &user, binding.clone(), &there, |hash| ScramSecret::derive(hash, &prepared, b"salt", 1));
        prop_assert_eq!(right, Ok(name.into_owned()));
        if let Some(other) = prep::saslprep(&other).filter(|other| *other != prepared) {
            let wrong = play(mechanism, &user, binding, &there, |hash| ScramSecret::derive(hash, &other, b"salt", 1));
            prop_assert_eq!(wrong, Err(Failure::NotAuthorized));
        }
    }

    #[test]
    fn no_message_brings_the_server_down(
        mechanism in prop::sample::select(Mechanism::ALL.to_vec()),
        first in prop::collection::vec(any::<u8>(), 0..64),
        second in "c=[A-Za-z=]{0,8},r=[!-~]{0,30}(,p=[A-Za-z=]{0,12})?",
    ) {
        let _ = server::start(mechanism, Some(&first), context(&bindings()));
        if let Step::NeedSecret(need) = server::start(mechanism, Some(b"n,,n=u,r=x"), context(&bindings())) {
            let Step::Challenge(_, waiting) = need.provide(ScramSecret::decoy(&Salting([1; 32]), mechanism.hash().unwrap(), "u", 1)) else {
                panic!()
            };
            let refused = matches!(waiting.respond(second.as_bytes()), Step::Failure(_));
            prop_assert!(refused);
        }
    }
}
