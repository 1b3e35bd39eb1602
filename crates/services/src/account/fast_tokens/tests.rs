//! Which tokens are good, and for how long.

use super::*;
use chaski_xmpp::stream::TokenUse;
use proptest::prelude::*;
use rand::SeedableRng;

const NOW: u64 = 1_700_000_000_000;
const CLIENT: ClientId = ClientId([7; 16]);
const UNBOUND: TokenMechanism = TokenMechanism::Unbound;

fn mint() -> Mint<'static> {
    Mint { secret: &[3; 16], account: AccountId::service("bot"), generation: 1 }
}

fn rng() -> rand::rngs::StdRng {
    rand::rngs::StdRng::seed_from_u64(1)
}

fn proof(client: ClientId, token: &IssuedToken) -> TokenProof {
    let proof = token::initiator(&token.token, b"");
    let binding = [].into();
    TokenProof { client, mechanism: UNBOUND, binding, proof, token_use: TokenUse::default() }
}

fn counted(token: &IssuedToken, count: u32) -> TokenProof {
    let token_use = TokenUse { count: Some(count), invalidate: false };
    TokenProof { token_use, ..proof(CLIENT, token) }
}

#[test]
fn a_token_is_good_for_its_client_account_key_and_mechanism() {
    let (mut tokens, mut rng) = (Tokens::default(), rng());
    let issued = tokens.issue(mint(), CLIENT, UNBOUND, NOW, &mut rng);
    assert_eq!(issued.token.len(), 43);
    let good = proof(CLIENT, &issued);
    let proved = tokens.clone().prove(mint(), &good, NOW).unwrap();
    assert_eq!(proved.responder, token::responder(&issued.token, b""));
    let other_mechanism = TokenProof { mechanism: TokenMechanism::Exporter, ..good.clone() };
    let bound = TokenProof { binding: b"x"[..].into(), ..good.clone() };
    for bad in [proof(ClientId([8; 16]), &issued), other_mechanism, bound] {
        assert_eq!(tokens.prove(mint(), &bad, NOW), None);
    }
    for mint in [
        Mint { generation: 2, ..mint() },
        Mint { account: AccountId::service("other"), ..mint() },
        Mint { secret: &[4; 16], ..mint() },
    ] {
        assert_eq!(tokens.prove(mint, &good, NOW), None);
    }
    assert_eq!(tokens.prove(mint(), &good, NOW + LIFE_MS), None, "over");
    assert!(tokens.prove(mint(), &good, NOW + LIFE_MS - 1).is_some());
}

#[test]
fn the_old_one_is_good_until_the_new_one_is_used() {
    let (mut tokens, mut rng) = (Tokens::default(), rng());
    let first = tokens.issue(mint(), CLIENT, UNBOUND, NOW, &mut rng);
    assert!(!tokens.prove(mint(), &proof(CLIENT, &first), NOW).unwrap().is_changed, "it voids no other");
    assert!(!tokens.prove(mint(), &proof(CLIENT, &first), NOW).unwrap().is_changed, "nothing to be written");
    let lost = tokens.issue(mint(), CLIENT, UNBOUND, NOW + 1, &mut rng);
    let second = tokens.issue(mint(), CLIENT, UNBOUND, NOW + 2, &mut rng);
    assert_eq!(tokens.prove(mint(), &proof(CLIENT, &lost), NOW), None, "given and not used before another");
    assert!(tokens.prove(mint(), &proof(CLIENT, &first), NOW).is_some());
    assert!(tokens.prove(mint(), &proof(CLIENT, &second), NOW).unwrap().is_changed);
    assert_eq!(tokens.prove(mint(), &proof(CLIENT, &first), NOW), None);
    assert!(tokens.prove(mint(), &proof(CLIENT, &second), NOW).is_some());
}

#[test]
fn a_count_comes_once() {
    let (mut tokens, mut rng) = (Tokens::default(), rng());
    let issued = tokens.issue(mint(), CLIENT, UNBOUND, NOW, &mut rng);
    for (count, good) in [(0, false), (1, true), (1, false), (5, true), (4, false), (5, false), (6, true)] {
        assert_eq!(tokens.prove(mint(), &counted(&issued, count), NOW).is_some(), good, "{count}");
    }
    let next = tokens.issue(mint(), CLIENT, UNBOUND, NOW, &mut rng);
    assert!(tokens.prove(mint(), &counted(&next, 1), NOW).is_some(), "counted from the start for another");
}

#[test]
fn who_logs_out_has_none() {
    let (mut tokens, mut rng) = (Tokens::default(), rng());
    let issued = tokens.issue(mint(), CLIENT, UNBOUND, NOW, &mut rng);
    let token_use = TokenUse { count: None, invalidate: true };
    let last = TokenProof { token_use, ..proof(CLIENT, &issued) };
    assert!(tokens.prove(mint(), &last, NOW).unwrap().is_changed);
    assert_eq!(tokens.prove(mint(), &last, NOW), None);
    assert!(tokens.is_empty());
}

#[test]
fn who_was_away_longest_makes_room() {
    let (mut tokens, mut rng) = (Tokens::default(), rng());
    let mut issue =
        |tokens: &mut Tokens, n: u8| tokens.issue(mint(), ClientId([n; 16]), UNBOUND, NOW, &mut rng);
    let all: Vec<_> = (0..DEVICES_MAX as u8).map(|n| issue(&mut tokens, n)).collect();
    let good = |tokens: &mut Tokens, n: usize| {
        tokens.prove(mint(), &proof(ClientId([n as u8; 16]), &all[n]), NOW).is_some()
    };
    assert!(good(&mut tokens, 0), "comes back, and is last now");
    issue(&mut tokens, 99);
    assert_eq!(tokens.0.len(), DEVICES_MAX);
    assert!(good(&mut tokens, 0) && good(&mut tokens, 2));
    assert!(!good(&mut tokens, 1));
}

#[test]
fn what_is_over_is_dropped() {
    let (mut tokens, mut rng) = (Tokens::default(), rng());
    tokens.issue(mint(), ClientId([1; 16]), UNBOUND, NOW, &mut rng);
    let issued = tokens.issue(mint(), CLIENT, UNBOUND, NOW + LIFE_MS, &mut rng);
    assert_eq!(tokens.0.len(), 1);
    assert!(!tokens.is_renewal_due(CLIENT, NOW + LIFE_MS), "not used yet");
    let used_unix_ms = NOW + LIFE_MS;
    tokens.prove(mint(), &proof(CLIENT, &issued), used_unix_ms).unwrap();
    assert!(!tokens.is_renewal_due(CLIENT, used_unix_ms + LIFE_MS - RENEW_MS));
    assert!(tokens.is_renewal_due(CLIENT, used_unix_ms + LIFE_MS - RENEW_MS + 1));
}

#[test]
fn a_record_holds_no_token() {
    let (mut tokens, mut rng) = (Tokens::default(), rng());
    let issued = tokens.issue(mint(), CLIENT, TokenMechanism::Exporter, NOW, &mut rng);
    let json = serde_json::to_string(&tokens).unwrap();
    assert!(!json.contains(&issued.token) && json.contains("HT-SHA-256-EXPR"));
    assert_eq!(serde_json::from_str::<Tokens>(&json).unwrap(), tokens);
}

#[test]
fn a_resource_is_stable_and_says_nothing() {
    let (root, bot) = ([3; 16], AccountId::service("bot"));
    let found = resource(&root, bot, CLIENT);
    assert_eq!(found, "OBf3SHJIh8v9", "contacts know the device by it, so it is for good");
    assert_ne!(resource(&root, bot, ClientId([8; 16])), found);
    assert_ne!(resource(&root, AccountId::service("x"), CLIENT), found);
    assert_ne!(resource(&[4; 16], bot, CLIENT), found);
}

/// What happens to an account's tokens.
#[derive(Debug, Clone)]
enum Step {
    /// A client gets one.
    Issue(u8),
    /// The one that was issued so many before the last is claimed, and perhaps given up.
    Claim { back: usize, invalidate: bool },
    /// Time passes.
    Pass(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..20u8).prop_map(Step::Issue),
        (0..24usize, any::<bool>()).prop_map(|(back, invalidate)| Step::Claim { back, invalidate }),
        (0..LIFE_MS).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Against the two slots of XEP-0484 §4.1, kept without any bound.
    #[test]
    fn never_good_again_once_void(steps in prop::collection::vec(any_step(), 0..80)) {
        let (mut tokens, mut rng, mut now) = (Tokens::default(), rng(), NOW);
        // Each token ever issued: its client, itself, and whether it may still be good.
        let mut issued: Vec<(u8, IssuedToken, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ms) => now += ms,
                Step::Issue(client) => {
                    let token = tokens.issue(mint(), ClientId([client; 16]), UNBOUND, now, &mut rng);
                    issued.push((client, token, true));
                }
                Step::Claim { back, invalidate } => {
                    let Some(place) = issued.len().checked_sub(1 + back) else { continue };
                    let (client, token, may_be_good) = issued[place].clone();
                    let token_use = TokenUse { count: None, invalidate };
                    let claim = TokenProof { token_use, ..proof(ClientId([client; 16]), &token) };
                    let is_good = tokens.prove(mint(), &claim, now).is_some();
                    prop_assert!(!is_good || (may_be_good && token.expires_unix_ms > now));
                    if !is_good {
                        issued[place].2 = false;
                        continue;
                    }
                    for (at, (other, _, may)) in issued.iter_mut().enumerate() {
                        // Its use voids all that came before it, its end all that the client has.
                        *may &= *other != client || (!invalidate && at >= place);
                    }
                }
            }
            prop_assert!(tokens.0.len() <= DEVICES_MAX);
        }
    }
}
