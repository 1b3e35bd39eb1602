//! Every rule of registration, with a clock that stands still until told.

mod clock;
mod former;
mod joined;
mod owner;
mod storage;

use super::*;
use crate::account::credentials::PlainCheck;
use crate::account::name::AccountName;
use crate::account::phone::PhoneError;
use crate::account::record::RegistrationLock;
use crate::effects::turn::command::NewKey;
use crate::rooms::accounts::registration::REGISTRATIONS;
use chaski_store::memory::MemoryEngine;
use chaski_store::{AccountId, Engine};
use owner::Owner;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

const START_MS: u64 = 1_800_000_000_000;
const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const NUMBER: &str = "+15551230001";
const REAL: &str = "+4915123456789";
const SECRET: [u8; 16] = [9; 16];

struct Desk {
    engine: MemoryEngine,
    owner: Arc<Owner>,
    registrar: Registrar,
    now: u64,
    rng: StdRng,
}

fn desk() -> Desk {
    desk_with(Policy { voice: true, ..Policy::default() })
}

fn desk_with(policy: Policy) -> Desk {
    let engine = MemoryEngine::new();
    let owner = Arc::new(Owner::new(engine.records()));
    let registrar = Registrar::new(engine.records(), SECRET, owner.owners(), policy);
    Desk { engine, owner, registrar, now: START_MS, rng: StdRng::seed_from_u64(3) }
}

const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));

fn request(phone: &str) -> Request<'_> {
    request_from(phone, HERE)
}

fn request_from(phone: &str, network: Option<IpAddr>) -> Request<'_> {
    Request { phone, transport: Transport::Sms, locale: Some("de"), client: Some("test/1"), network }
}

/// Networks of strangers, apart from [`HERE`]'s.
fn stranger(n: u8) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::new(198, 51, n, 1)))
}

impl Desk {
    fn begin_from(&mut self, phone: &str, network: Option<IpAddr>) -> Result<Begun, RegistrationError> {
        self.registrar.begin(request_from(phone, network), self.now, &mut self.rng)
    }

    fn begin(&mut self, phone: &str) -> Result<Begun, RegistrationError> {
        self.registrar.begin(request(phone), self.now, &mut self.rng)
    }

    fn again(&mut self, id: &str, transport: Transport) -> Result<Begun, RegistrationError> {
        self.registrar.send_again(id, transport, HERE, self.now, &mut self.rng)
    }

    fn confirm(&mut self, id: &str, code: &str) -> Result<Registered, RegistrationError> {
        self.confirm_with(id, code, None)
    }

    fn confirm_with(
        &mut self,
        id: &str,
        code: &str,
        pin: Option<&str>,
    ) -> Result<Registered, RegistrationError> {
        self.prove(id, Confirmation { code, lock_pin: pin, ..Confirmation::default() })
    }

    fn prove(&mut self, id: &str, confirmation: Confirmation<'_>) -> Result<Registered, RegistrationError> {
        let confirmation = Confirmation { device_name: Some("Phone"), ..confirmation };
        self.registrar.confirm(id, confirmation, self.now, &mut self.rng)
    }

    /// The same server after a restart: only what is in the store is left.
    fn restart(&mut self) {
        let policy = self.registrar.policy.clone();
        self.registrar = Registrar::new(self.engine.records(), SECRET, self.owner.owners(), policy);
    }

    fn record(&self, number: &str) -> AccountRecord {
        self.registrar.account(&AccountName::parse(number).unwrap()).unwrap().expect("an account")
    }

    fn set_lock(&mut self, user: &str, key: &str, pin: Option<&str>) -> Result<(), RegistrationError> {
        let record = self.registrar.prove(user, key, Network::UNKNOWN, self.now)?;
        self.registrar.set_lock(record, pin, &mut self.rng)
    }

    fn register(&mut self, number: &str) -> Registered {
        let begun = self.begin(number).unwrap();
        self.confirm(&begun.id, begun.code().digits()).unwrap()
    }
}

fn wrong(code: &Code) -> String {
    let number: u32 = code.digits().parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}

#[test]
fn a_number_becomes_an_account() {
    let mut desk = desk();
    let begun = desk.begin("+1 (555) 123-0001").unwrap();
    assert_eq!(begun.standing.expires_in_ms, 10 * MINUTE_MS);
    assert_eq!(begun.standing.next_sms_in_ms, Some(MINUTE_MS));
    assert_eq!(begun.standing.next_voice_in_ms, Some(MINUTE_MS));
    assert_eq!(begun.sent().phone.to_string(), NUMBER);
    assert_eq!(begun.sent().locale.as_deref(), Some("de"));
    assert!(!begun.sent().is_real());
    let registered = desk.confirm(&begun.id, begun.code().digits()).unwrap();
    assert!(registered.is_new());
    let record = desk.record(NUMBER);
    assert_eq!(record.credentials.check_plain(&registered.key), PlainCheck::Right);
    assert_eq!(record.device_name.as_deref(), Some("Phone"));
    assert_eq!(record.created_unix_ms, START_MS);
}

#[test]
fn nothing_secret_is_stored_in_clear() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    let stored = desk.engine.records().get(REGISTRATIONS, &begun.id).unwrap().unwrap();
    assert!(!String::from_utf8(stored.value).unwrap().contains(begun.code().digits()));
    let registered = desk.confirm(&begun.id, begun.code().digits()).unwrap();
    let stored = desk.engine.records().get(Table::ACCOUNTS, NUMBER).unwrap().unwrap();
    assert!(!String::from_utf8(stored.value).unwrap().contains(&registered.key));
}

#[test]
fn registering_again_replaces_the_key() {
    let mut desk = desk();
    let first = desk.register(NUMBER);
    let before = desk.record(NUMBER).generation();
    desk.now += DAY_MS;
    let second = desk.register(NUMBER);
    assert!(!second.is_new());
    let record = desk.record(NUMBER);
    assert_eq!(record.generation(), before + 1);
    assert_eq!(record.credentials.check_plain(&first.key), PlainCheck::Wrong);
    assert_eq!(record.credentials.check_plain(&second.key), PlainCheck::Right);
    assert_eq!((record.created_unix_ms, record.registered_unix_ms), (START_MS, START_MS + DAY_MS));
}

#[test]
fn an_account_made_again_begins_with_another_generation() {
    let mut desk = desk();
    desk.register(NUMBER);
    let before = desk.record(NUMBER).generation();
    // It was removed, and nothing is remembered of it: the server has been started again.
    let gone = chaski_store::records::Put { table: Table::ACCOUNTS, key: NUMBER.to_owned(), value: None };
    desk.engine.records().put_all(vec![gone]).unwrap();
    desk.restart();
    desk.now += DAY_MS;
    assert!(desk.register(NUMBER).is_new());
    let after = desk.record(NUMBER).generation();
    assert!(after != before && after != 0, "what was proved with the old key is not good: {after}");
}

#[test]
fn five_guesses_in_all_then_dead_also_across_a_restart() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    let bad = wrong(begun.code());
    for guesses_left in [4, 3] {
        assert_eq!(desk.confirm(&begun.id, &bad).err(), Some(RegistrationError::WrongCode { guesses_left }));
    }
    desk.restart();
    assert_eq!(desk.confirm(&begun.id, "no code").err(), Some(RegistrationError::NotACode), "is no guess");
    // A new code brings no new guesses.
    desk.now += MINUTE_MS;
    let second = desk.again(&begun.id, Transport::Sms).unwrap();
    let bad = wrong(second.code());
    for guesses_left in [2, 1] {
        assert_eq!(desk.confirm(&begun.id, &bad).err(), Some(RegistrationError::WrongCode { guesses_left }));
    }
    assert_eq!(desk.confirm(&begun.id, &bad).err(), Some(RegistrationError::Dead));
    assert_eq!(desk.confirm(&begun.id, second.code().digits()).err(), Some(RegistrationError::Dead));
    desk.now += 2 * MINUTE_MS;
    assert_eq!(desk.again(&begun.id, Transport::Sms).err(), Some(RegistrationError::Dead));
    assert!(desk.begin(NUMBER).is_ok(), "a new registration helps");
}

#[test]
fn racing_guesses_are_all_counted() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    let bad = wrong(begun.code());
    let (registrar, now) = (&desk.registrar, desk.now);
    let wrong_codes = Mutex::new(0);
    std::thread::scope(|scope| {
        for seed in 0..12 {
            let (wrong_codes, id, bad) = (&wrong_codes, begun.id.as_str(), bad.as_str());
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed);
                let confirmation = Confirmation { code: bad, ..Confirmation::default() };
                let outcome = registrar.confirm(id, confirmation, now, &mut rng);
                if matches!(outcome.err(), Some(RegistrationError::WrongCode { .. })) {
                    *wrong_codes.lock().unwrap() += 1;
                }
            });
        }
    });
    assert!(*wrong_codes.lock().unwrap() <= 4);
    assert_eq!(desk.confirm(&begun.id, begun.code().digits()).err(), Some(RegistrationError::Dead));
}

#[test]
fn racing_right_codes_give_one_key() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    let (registrar, now) = (&desk.registrar, desk.now);
    let keys = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let (keys, begun) = (&keys, &begun);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed);
                let confirmation = Confirmation { code: begun.code().digits(), ..Confirmation::default() };
                match registrar.confirm(&begun.id, confirmation, now, &mut rng) {
                    Ok(registered) => keys.lock().unwrap().push(registered.key),
                    Err(error) => assert!(
                        matches!(error, RegistrationError::Used | RegistrationError::Unavailable(_)),
                        "{error:?}"
                    ),
                }
            });
        }
    });
    let keys = keys.into_inner().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(desk.record(NUMBER).credentials.check_plain(&keys[0]), PlainCheck::Right);
}

#[test]
fn codes_expire_and_another_one_helps() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    desk.now += 10 * MINUTE_MS;
    for _ in 0..6 {
        assert_eq!(
            desk.confirm(&begun.id, begun.code().digits()).err(),
            Some(RegistrationError::CodeExpired)
        );
    }
    let second = desk.again(&begun.id, Transport::Sms).unwrap();
    desk.now += 10 * MINUTE_MS - 1;
    assert!(desk.confirm(&begun.id, second.code().digits()).is_ok());
}

#[test]
fn a_registration_ends_after_half_an_hour() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    desk.now += 25 * MINUTE_MS;
    let second = desk.again(&begun.id, Transport::Sms).unwrap();
    desk.now += 5 * MINUTE_MS;
    assert_eq!(desk.confirm(&begun.id, second.code().digits()).err(), Some(RegistrationError::Unknown));
    assert_eq!(desk.registrar.purge(desk.now - 1).unwrap(), 3, "three of the five limits are full again");
    assert_eq!(desk.registrar.purge(desk.now).unwrap(), 1);
    assert!(desk.engine.records().get(REGISTRATIONS, &begun.id).unwrap().is_none());
}

#[test]
fn a_used_code_is_used_up() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    desk.confirm(&begun.id, begun.code().digits()).unwrap();
    assert_eq!(desk.confirm(&begun.id, begun.code().digits()).err(), Some(RegistrationError::Used));
    desk.now += HOUR_MS;
    assert_eq!(desk.confirm(&begun.id, begun.code().digits()).err(), Some(RegistrationError::Unknown));
    assert_eq!(desk.confirm("AAAAAAAAAAAAAAAAAAAAAA", "123456").err(), Some(RegistrationError::Unknown));
}

#[test]
fn an_sms_that_comes_late_still_helps_after_asking_again() {
    let mut desk = desk();
    let first = desk.begin(NUMBER).unwrap();
    desk.now += MINUTE_MS;
    desk.again(&first.id, Transport::Sms).unwrap();
    assert!(desk.confirm(&first.id, first.code().digits()).is_ok());
}

#[test]
fn sms_again_after_1_2_5_and_10_minutes_and_then_no_more() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    for wait in [MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS] {
        desk.now += wait - 1;
        assert_eq!(
            desk.again(&begun.id, Transport::Sms).err(),
            Some(RegistrationError::TooSoon { retry_after_ms: 1 })
        );
        desk.restart();
        desk.now += 1;
        desk.again(&begun.id, Transport::Sms).unwrap();
    }
    desk.now += 11 * MINUTE_MS;
    assert_eq!(desk.again(&begun.id, Transport::Sms).err(), Some(RegistrationError::NoMoreCodes));
}

#[test]
fn a_call_is_possible_a_minute_after_the_first_sms() {
    let mut desk = desk();
    let voice = Request { transport: Transport::Voice, ..request(NUMBER) };
    assert_eq!(
        desk.registrar.begin(voice, desk.now, &mut desk.rng).err(),
        Some(RegistrationError::NoVoice),
        "an SMS comes first"
    );
    let begun = desk.begin(NUMBER).unwrap();
    assert_eq!(
        desk.again(&begun.id, Transport::Voice).err(),
        Some(RegistrationError::TooSoon { retry_after_ms: MINUTE_MS })
    );
    desk.now += MINUTE_MS;
    let call = desk.again(&begun.id, Transport::Voice).unwrap();
    assert_eq!(call.sent().transport, Transport::Voice);
    assert_eq!(call.standing.next_sms_in_ms, Some(0), "apart from the SMS' schedule");
    assert!(desk.confirm(&begun.id, call.code().digits()).is_ok());

    let mut mute = desk_with(Policy::default());
    let begun = mute.begin(NUMBER).unwrap();
    assert_eq!(begun.standing.next_voice_in_ms, None);
    mute.now += MINUTE_MS;
    assert_eq!(mute.again(&begun.id, Transport::Voice).err(), Some(RegistrationError::NoVoice));
}

#[test]
fn five_registrations_of_a_number_then_five_a_day() {
    let mut desk = desk();
    for _ in 0..5 {
        desk.begin(NUMBER).unwrap();
    }
    assert!(desk.begin(NUMBER).unwrap().delivery.is_none(), "no more are sent");
    desk.begin("+15551230002").unwrap();
    desk.restart();
    desk.now += DAY_MS / 5 - 1;
    assert!(desk.begin(NUMBER).unwrap().delivery.is_none());
    desk.now += 1;
    assert!(desk.begin(NUMBER).unwrap().delivery.is_some());
    assert!(desk.begin(NUMBER).unwrap().delivery.is_none(), "no more are sent");
}

#[test]
fn one_network_can_not_walk_through_numbers() {
    let mut desk = desk();
    for i in 0..60 {
        desk.begin(&format!("+1555123{i:04}")).unwrap();
    }
    let refused = desk.begin("+15551239999").err();
    assert!(matches!(refused, Some(RegistrationError::TooMany { limiter: "network", .. })), "{refused:?}");
    let elsewhere = Request { network: Some("198.51.100.1".parse().unwrap()), ..request("+15551239999") };
    desk.registrar.begin(elsewhere, desk.now, &mut desk.rng).unwrap();
}

#[test]
fn blocks_countries_and_the_purse_are_bounded_for_real_numbers() {
    use crate::allowance::Allowance;
    let tight = Allowance { burst: 2, interval_ms: HOUR_MS };
    let cases = [
        ("sms-block", Policy { block_messages: tight, ..Policy::default() }, "+4915123456791"),
        (
            "sms-country",
            Policy { prices: Prices { country_budget: tight, ..Prices::default() }, ..Policy::default() },
            "+4917623456791",
        ),
        (
            "sms",
            Policy { prices: Prices { budget: tight, ..Prices::default() }, ..Policy::default() },
            "+12124567890",
        ),
    ];
    for (name, policy, third) in cases {
        let mut desk = desk_with(policy);
        desk.begin_from("+4915123456789", stranger(1)).unwrap();
        desk.begin_from("+4915123456790", stranger(2)).unwrap();
        match desk.begin_from(third, stranger(3)) {
            // A block's neighbours may have used it up: whoever has a code already may use it.
            Ok(joined) => assert_eq!((name, joined.delivery.is_none()), ("sms-block", true)),
            Err(refused) => {
                assert_eq!(refused, RegistrationError::TooMany { limiter: name, retry_after_ms: HOUR_MS });
            }
        }
        desk.begin(NUMBER).expect("a number reserved for fiction costs nothing");
    }
}

#[test]
fn sending_again_spends_the_budgets_too() {
    use crate::allowance::Allowance;
    let budget = Allowance { burst: 1, interval_ms: HOUR_MS };
    let prices = Prices { budget, ..Prices::default() };
    let mut desk = desk_with(Policy { prices, ..Policy::default() });
    let begun = desk.begin(REAL).unwrap();
    assert!(begun.sent().is_real());
    desk.now += MINUTE_MS;
    let refused = desk.again(&begun.id, Transport::Sms).err();
    assert!(matches!(refused, Some(RegistrationError::TooMany { limiter: "sms", .. })), "{refused:?}");
    assert!(desk.confirm(&begun.id, begun.code().digits()).is_ok(), "the first code is still right");
}

#[test]
fn who_is_not_served() {
    let countries = crate::account::phone::Countries::from_codes(["49"]).unwrap();
    let mut desk = desk_with(Policy { countries, ..Policy::default() });
    desk.begin(REAL).unwrap();
    desk.begin(NUMBER).expect("test numbers belong to no country");
    assert_eq!(desk.begin("+12124567890").err(), Some(RegistrationError::NotServed));
    assert_eq!(desk.begin("12345").err(), Some(RegistrationError::BadNumber(PhoneError::NotInternational)));
    assert_eq!(desk.begin("+49").err(), Some(RegistrationError::BadNumber(PhoneError::NoSuchNumber)));
    let mut desk = desk_with(Policy::default());
    assert_eq!(desk.begin("+19002345678").err(), Some(RegistrationError::NotTextable));
    let mut desk = desk_with(Policy { enabled: false, ..Policy::default() });
    assert_eq!(desk.begin(REAL).err(), Some(RegistrationError::Disabled));
    let mut desk = desk_with(Policy { test_numbers: TestNumbers::Refused, ..Policy::default() });
    assert_eq!(desk.begin(NUMBER).err(), Some(RegistrationError::TestNumber));
}

#[test]
fn a_fixed_code_is_for_fiction_only() {
    let code = Code::fixed("111222").unwrap();
    let mut desk = desk_with(Policy { test_numbers: TestNumbers::Fixed(code.clone()), ..Policy::default() });
    assert_eq!(*desk.begin(NUMBER).unwrap().code(), code);
    assert_ne!(*desk.begin(REAL).unwrap().code(), code);
}

#[test]
fn a_gateway_that_fails_costs_the_number_nothing() {
    let mut desk = desk();
    for _ in 0..20 {
        let begun = desk.begin(NUMBER).unwrap();
        desk.registrar.delivery_failed(&begun, desk.now).unwrap();
        assert_eq!(desk.confirm(&begun.id, begun.code().digits()).err(), Some(RegistrationError::Unknown));
    }
    let begun = desk.begin(NUMBER).unwrap();
    desk.now += MINUTE_MS;
    for _ in 0..5 {
        let again = desk.again(&begun.id, Transport::Sms).unwrap();
        desk.registrar.delivery_failed(&again, desk.now).unwrap();
    }
    assert!(desk.confirm(&begun.id, begun.code().digits()).is_ok());
}

#[test]
fn an_owner_that_fails_leaves_the_code_right() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    *desk.owner.refuse.lock().unwrap() = Some(Refusal::Overloaded);
    let failed = desk.confirm(&begun.id, begun.code().digits()).err();
    assert!(matches!(failed, Some(RegistrationError::Unavailable(_))), "{failed:?}");
    assert!(desk.confirm(&begun.id, begun.code().digits()).is_ok());
}

#[test]
fn a_race_for_the_record_is_tried_again() {
    let mut desk = desk();
    let begun = desk.begin(NUMBER).unwrap();
    *desk.owner.refuse.lock().unwrap() = Some(Refusal::Conflict);
    assert!(desk.confirm(&begun.id, begun.code().digits()).is_ok());
}

#[test]
fn an_account_switched_off_stays_off() {
    let mut desk = desk();
    desk.register(NUMBER);
    let mut record = desk.record(NUMBER);
    record.disabled = true;
    desk.registrar.set_account(record, Expected::Any).unwrap();
    let begun = desk.begin(NUMBER).unwrap();
    let refused = desk.confirm(&begun.id, begun.code().digits()).err();
    assert_eq!(refused, Some(RegistrationError::AccountDisabled));
}

#[test]
fn the_lock_needs_its_pin_or_seven_days_of_silence() {
    let mut desk = desk();
    let registered = desk.register(NUMBER);
    desk.set_lock(NUMBER, &registered.key, Some("4711")).unwrap();
    assert!(desk.record(NUMBER).lock.as_ref().is_some_and(|lock| lock.opens(&SECRET, "4711")));

    desk.now += DAY_MS;
    let begun = desk.begin(NUMBER).unwrap();
    let code = begun.code().digits();
    let locked = RegistrationError::Locked { retry_after_ms: 6 * DAY_MS };
    assert_eq!(desk.confirm(&begun.id, code).err(), Some(locked));
    let wrong_pin = RegistrationError::WrongLockPin { guesses_left: 4 };
    assert_eq!(desk.confirm_with(&begun.id, code, Some("4712")).err(), Some(wrong_pin));
    let again = desk.confirm_with(&begun.id, code, Some("4711")).unwrap();
    assert!(desk.record(NUMBER).lock.is_some(), "stays for the next time");

    let mut record = desk.record(NUMBER);
    assert_eq!(record.credentials.check_plain(&again.key), PlainCheck::Right);
    desk.now += 2 * DAY_MS;
    record.seen_unix_ms = desk.now;
    desk.registrar.set_account(record, Expected::Any).unwrap();
    desk.now += 7 * DAY_MS - 1;
    let begun = desk.begin(NUMBER).unwrap();
    let locked = RegistrationError::Locked { retry_after_ms: 1 };
    assert_eq!(desk.confirm(&begun.id, begun.code().digits()).err(), Some(locked));
    desk.now += 1;
    desk.confirm(&begun.id, begun.code().digits()).unwrap();
    assert_eq!(desk.record(NUMBER).lock, None, "the number has another user now");
}

#[test]
fn guessing_at_the_lock_is_guessing() {
    let mut desk = desk();
    let registered = desk.register(NUMBER);
    desk.set_lock(NUMBER, &registered.key, Some("4711")).unwrap();
    let begun = desk.begin(NUMBER).unwrap();
    for _ in 0..5 {
        desk.confirm_with(&begun.id, begun.code().digits(), Some("0000")).err().unwrap();
    }
    let dead = desk.confirm_with(&begun.id, begun.code().digits(), Some("4711")).err();
    assert_eq!(dead, Some(RegistrationError::Dead));
}

#[test]
fn only_the_key_sets_the_lock() {
    let mut desk = desk();
    let registered = desk.register(NUMBER);
    let mut set = |user: &str, key: &str, pin| desk.set_lock(user, key, pin);
    assert_eq!(set(NUMBER, "wrong", Some("4711")), Err(RegistrationError::NotAuthorized));
    assert_eq!(set("+15551230002", &registered.key, Some("4711")), Err(RegistrationError::NotAuthorized));
    assert_eq!(set("", "", None), Err(RegistrationError::NotAuthorized));
    assert_eq!(set(NUMBER, &registered.key, Some("12")), Err(RegistrationError::BadLockPin));
    assert_eq!(set(NUMBER, &registered.key, Some("1234")), Ok(()));
    assert_eq!(set(NUMBER, &registered.key, None), Ok(()));
    for _ in 0..9 {
        assert_eq!(set(NUMBER, "wrong", None), Err(RegistrationError::NotAuthorized));
    }
    assert!(matches!(set(NUMBER, "wrong", None), Err(RegistrationError::TooManyTries { .. })));
    assert_eq!(set(NUMBER, &registered.key, None), Ok(()), "a key that nobody can guess is always looked at");
    assert_eq!(desk.record(NUMBER).lock, None::<RegistrationLock>);
}

#[test]
fn by_number_as_quicksy_does() {
    let mut desk = desk();
    let begun = desk.registrar.begin_by_number(request(NUMBER), desk.now, &mut desk.rng).unwrap();
    let soon = desk.registrar.begin_by_number(request(NUMBER), desk.now, &mut desk.rng).err();
    assert_eq!(soon, Some(RegistrationError::TooSoon { retry_after_ms: MINUTE_MS }));
    assert_eq!(desk.confirm(&begun.id, begun.code().digits()).err(), Some(RegistrationError::Unknown));
    desk.now += MINUTE_MS;
    let again = desk.registrar.begin_by_number(request(NUMBER), desk.now, &mut desk.rng).unwrap();
    let code = again.code().digits();
    let password = "chosen by the client";
    let mut confirm = |number: &str, code: &str, password: &str| {
        desk.registrar.confirm_password(number, (code, HERE), password, desk.now, &mut desk.rng)
    };
    assert_eq!(confirm(NUMBER, code, "short").err(), Some(RegistrationError::BadPassword));
    assert_eq!(confirm(NUMBER, code, &"x".repeat(513)).err(), Some(RegistrationError::BadPassword));
    let wrong_code = RegistrationError::WrongCode { guesses_left: 1 };
    assert_eq!(
        confirm("+15551230002", code, password).err(),
        Some(wrong_code),
        "whether somebody asked or not"
    );
    let bad = wrong(again.code());
    assert_eq!(confirm(NUMBER, &bad, password).err(), Some(RegistrationError::WrongCode { guesses_left: 4 }));
    assert!(confirm(NUMBER, code, password).unwrap().is_new());
    let credentials = desk.record(NUMBER).credentials;
    assert_eq!(credentials.check_plain(password), PlainCheck::Slow);
    assert!(credentials.check_plain_slowly(password));
    // Once used, the number may begin anew, and what was there is replaced.
    let anew = desk.registrar.begin_by_number(request(NUMBER), desk.now, &mut desk.rng).unwrap();
    assert!(
        !desk
            .registrar
            .confirm_password(NUMBER, (anew.code().digits(), HERE), password, desk.now, &mut desk.rng)
            .unwrap()
            .is_new()
    );
    assert_eq!(desk.record(NUMBER).generation(), credentials.generation + 1);
}
