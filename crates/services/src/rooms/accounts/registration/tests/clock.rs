//! A machine's clock that jumps opens no lock, lifts no limit, and ends no code and no token: all go by age time.

use super::*;
use crate::account::fast_tokens::{Mint, Tokens};
use crate::allowance::Allowance;
use crate::rooms::accounts::limits::{LimitError, Limiter, Limits};
use chaski_store::Time;
use chaski_store::time::HandClock;
use chaski_xmpp::sasl::token::{self, TokenMechanism};
use chaski_xmpp::stream::{ClientId, TokenProof, TokenUse};

/// Forwards and back, by less and by more than is in doubt.
const WALLS: [u64; 4] =
    [START_MS + 23 * HOUR_MS, START_MS + 31 * DAY_MS, START_MS + 400 * DAY_MS, START_MS - 31 * DAY_MS];

fn machine() -> (Arc<HandClock>, Arc<Time>) {
    let clock = Arc::new(HandClock::at(START_MS));
    (clock.clone(), Time::begin(clock, None))
}

#[test]
fn a_lock_stays_and_a_code_is_good() {
    for wall in WALLS {
        let (clock, time) = machine();
        let mut desk = desk();
        let registered = desk.register(NUMBER);
        desk.set_lock(NUMBER, &registered.key, Some("4711")).unwrap();
        desk.now = time.unix_ms() + HOUR_MS;
        let begun = desk.begin(NUMBER).unwrap();
        clock.set(wall);
        desk.now = time.unix_ms() + HOUR_MS;
        let refused = desk.confirm(&begun.id, begun.code().digits()).err();
        assert!(matches!(refused, Some(RegistrationError::Locked { .. })), "{wall}: {refused:?}");
    }
}

#[test]
fn a_limit_that_is_reached_stays_reached_for_its_time_and_no_longer() {
    let limiter = Limiter::of("test", Allowance { burst: 1, interval_ms: MINUTE_MS });
    for wall in WALLS {
        let (clock, time) = machine();
        let engine = MemoryEngine::new();
        let records = engine.records();
        let limits = Limits::new(&*records, SECRET);
        limits.take(limiter, "somebody", time.unix_ms()).unwrap();
        clock.set(wall);
        let retry = match limits.take(limiter, "somebody", time.unix_ms()) {
            Err(LimitError::Reached { retry_after_ms, .. }) => retry_after_ms,
            other => panic!("{wall}: {other:?}"),
        };
        assert_eq!(retry, MINUTE_MS);
        clock.pass(MINUTE_MS);
        limits.take(limiter, "somebody", time.unix_ms()).unwrap();
    }
}

#[test]
fn a_token_is_good_for_its_days() {
    let client = ClientId([7; 16]);
    let mint = Mint { secret: &SECRET, account: AccountId::service("bot"), generation: 1 };
    for wall in WALLS {
        let (clock, time) = machine();
        let (mut tokens, mut rng) = (Tokens::default(), StdRng::seed_from_u64(1));
        let issued = tokens.issue(mint, client, TokenMechanism::Unbound, time.unix_ms(), &mut rng);
        let proof = TokenProof {
            client,
            mechanism: TokenMechanism::Unbound,
            binding: [].into(),
            proof: token::initiator(&issued.token, b""),
            token_use: TokenUse::default(),
        };
        clock.set(wall);
        assert!(tokens.clone().prove(mint, &proof, time.unix_ms()).is_some(), "{wall}");
        clock.pass(21 * DAY_MS);
        assert_eq!(tokens.prove(mint, &proof, time.unix_ms()), None, "{wall}: also not for longer");
    }
}
