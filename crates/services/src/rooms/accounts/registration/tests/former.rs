//! Registering a number that had an account: what stays, by silence and proof, and who is told.

use super::*;
use crate::account::fast_tokens::Mint;
use crate::account::settings::SETTINGS;
use chaski_xmpp::sasl::token::TokenMechanism;
use chaski_xmpp::stream::ClientId;

const CONTACT: u64 = 15_551_230_009;

/// A desk with an account, and its key. `days`: for how long it has been silent.
fn silent(days: u64) -> (Desk, String) {
    let mut desk = desk();
    let key = desk.register(NUMBER).key;
    desk.now += days * DAY_MS;
    (desk, key)
}

impl Desk {
    fn lock(&mut self, key: &str) {
        self.set_lock(NUMBER, key, Some("4711")).unwrap();
    }

    /// Registers with what else proves the person.
    fn come(&mut self, proofs: Confirmation<'_>) -> Result<Registered, RegistrationError> {
        let begun = self.begin(NUMBER).unwrap();
        self.prove(&begun.id, Confirmation { code: begun.code().digits(), ..proofs })
    }

    fn come_with_the_code(&mut self) -> Result<Registered, RegistrationError> {
        self.come(Confirmation::default())
    }

    fn token(&mut self) -> String {
        let mut record = self.record(NUMBER);
        let account = record.name.account();
        let mint = Mint { secret: &SECRET, account, generation: record.generation() };
        let client = ClientId([7; 16]);
        let issued = record.tokens.issue(mint, client, TokenMechanism::Exporter, self.now, &mut self.rng);
        self.registrar.set_account(record, Expected::Any).unwrap();
        issued.token
    }
}

#[test]
fn the_code_is_the_proof_for_thirty_days_and_then_everything_goes() {
    for (days, kept) in [(0, Kept::All), (30, Kept::All), (31, Kept::Nothing)] {
        let (mut desk, old) = silent(days);
        let before = desk.record(NUMBER).generation();
        let registered = desk.come_with_the_code().unwrap();
        assert_eq!(registered.kept, kept, "{days} days");
        let record = desk.record(NUMBER);
        let created = if kept == Kept::All { START_MS } else { desk.now };
        assert_eq!((record.created_unix_ms, record.seen_unix_ms), (created, desk.now));
        // Sessions and resumptions are void by the generation, also those of an account that was taken away.
        assert_eq!(
            (record.generation(), record.credentials.check_plain(&old)),
            (before + 1, PlainCheck::Wrong)
        );
        assert_eq!(record.credentials.check_plain(&registered.key), PlainCheck::Right);
    }
}

#[test]
fn the_operator_says_after_how_many_days() {
    for (recycled_after_ms, kept) in [(DAY_MS, Kept::Nothing), (u64::MAX, Kept::All)] {
        let mut desk = desk_with(Policy { recycled_after_ms, ..Policy::default() });
        desk.register(NUMBER);
        desk.now += 2 * DAY_MS;
        assert_eq!(desk.come_with_the_code().unwrap().kept, kept);
    }
}

#[test]
fn the_person_is_proved_at_any_time() {
    let (mut desk, key) = silent(0);
    desk.lock(&key);
    let before = desk.record(NUMBER).generation();
    desk.now += 300 * DAY_MS;
    let proofs = Confirmation { previous_key: Some(&key), ..Confirmation::default() };
    let registered = desk.come(proofs).unwrap();
    assert_eq!(registered.kept, Kept::All);
    assert!(desk.record(NUMBER).lock.is_some(), "the lock stays for the next time");

    desk.now += 300 * DAY_MS;
    assert_eq!(
        desk.come(Confirmation { lock_pin: Some("4711"), ..Confirmation::default() }).unwrap().kept,
        Kept::All
    );

    desk.now += 3 * DAY_MS;
    let token = desk.token();
    desk.now += 20 * DAY_MS;
    let proofs = Confirmation { device_token: Some(&token), ..Confirmation::default() };
    assert_eq!(desk.come(proofs).unwrap().kept, Kept::All);
    let record = desk.record(NUMBER);
    assert!(record.tokens.is_empty() && record.generation() == before + 3, "tokens end with the key");
    // Nor does it prove anything twice.
    let again = desk.come(proofs).err();
    assert_eq!(again, Some(RegistrationError::WrongProof { guesses_left: 4 }));
}

#[test]
fn a_lock_that_has_fallen_leaves_the_profile() {
    let (mut desk, key) = silent(0);
    desk.lock(&key);
    let before = desk.record(NUMBER).generation();
    let rules = r#"{"photo":{"show":"nobody","never":["+15551230005"]}}"#;
    let settings = format!(r#"{{"format":1,"rules":{rules},"blocked":["+15551230006"]}}"#);
    desk.engine.records().put_if(SETTINGS, NUMBER, settings.as_bytes(), None).unwrap();
    desk.now += 7 * DAY_MS - 1;
    assert_eq!(desk.come_with_the_code().err(), Some(RegistrationError::Locked { retry_after_ms: 1 }));
    desk.now += 1;
    assert_eq!(desk.come_with_the_code().unwrap().kept, Kept::Profile);
    let record = desk.record(NUMBER);
    assert_eq!(
        (record.lock.clone(), record.generation(), record.created_unix_ms),
        (None, before + 1, START_MS)
    );
    let settings = desk.engine.records().get(SETTINGS, NUMBER).unwrap().unwrap();
    let settings = String::from_utf8(settings.value).unwrap();
    assert!(settings.contains(r#""photo":{"show":"nobody"}"#) && !settings.contains("+1555"), "{settings}");

    let (mut desk, key) = silent(0);
    desk.lock(&key);
    desk.now += 31 * DAY_MS;
    assert_eq!(desk.come_with_the_code().unwrap().kept, Kept::Nothing);
    assert_eq!(desk.record(NUMBER).lock, None);
}

#[test]
fn wrong_proofs_are_guesses_and_say_nothing() {
    let (mut desk, key) = silent(0);
    let wrong =
        |key, token| Confirmation { previous_key: key, device_token: token, ..Confirmation::default() };
    let begun = desk.begin(NUMBER).unwrap();
    let code = begun.code().digits();
    let mut left = 5;
    for (previous_key, device_token) in [
        (Some("wrong"), None),
        (None, Some("wrong")),
        (Some("wrong"), Some("wrong")),
        (Some(&*key), Some("")),
    ] {
        left -= 1;
        let refused = desk.prove(&begun.id, Confirmation { code, ..wrong(previous_key, device_token) }).err();
        assert_eq!(refused, Some(RegistrationError::WrongProof { guesses_left: left }));
    }
    // Who has no code learns nothing of a proof, and spends the same guesses.
    let bad = super::wrong(begun.code());
    let refused = desk.prove(&begun.id, Confirmation { code: &bad, ..wrong(Some(&key), None) }).err();
    assert_eq!(refused, Some(RegistrationError::Dead));

    // A number without account answers the same.
    let begun = desk.begin("+15551230002").unwrap();
    let code = begun.code().digits();
    let refused = desk.prove(&begun.id, Confirmation { code, ..wrong(Some(&key), None) }).err();
    assert_eq!(refused, Some(RegistrationError::WrongProof { guesses_left: 4 }));
    let refused = desk.prove(&begun.id, Confirmation { code, ..wrong(None, Some("x")) }).err();
    assert_eq!(refused, Some(RegistrationError::WrongProof { guesses_left: 3 }));
    assert_eq!(desk.confirm(&begun.id, code).unwrap().kept, Kept::Nothing);
}

#[test]
fn guessing_at_a_password_by_registrations_is_bounded_as_at_the_lock() {
    let (mut desk, key) = silent(0);
    // Ten tries altogether, however many registrations the number has left.
    for _ in 0..10 {
        _ = desk.registrar.prove(NUMBER, "wrong", Network::UNKNOWN, desk.now);
    }
    let guess = Confirmation { previous_key: Some("guess"), ..Confirmation::default() };
    let refused = desk.come(guess).err();
    assert!(matches!(refused, Some(RegistrationError::TooManyTries { .. })), "{refused:?}");
    let right = Confirmation { previous_key: Some(&key), ..Confirmation::default() };
    assert_eq!(desk.come(right).unwrap().kept, Kept::All, "a key that nobody can guess is always looked at");
}

#[test]
fn quicksy_has_no_proof_and_so_the_time_alone_says() {
    for (days, is_new) in [(30, false), (31, true)] {
        let (mut desk, _) = silent(days);
        let begun = desk.registrar.begin_by_number(request(NUMBER), desk.now, &mut desk.rng).unwrap();
        let code = begun.code().digits();
        let registered = desk.registrar.confirm_password(
            NUMBER,
            (code, HERE),
            "chosen by the app",
            desk.now,
            &mut desk.rng,
        );
        assert_eq!(registered.unwrap().is_new(), is_new);
    }
}

#[test]
fn contacts_are_told_before_anybody_has_the_key() {
    for (days, is_new) in [(1, false), (31, true)] {
        let (mut desk, _) = silent(days);
        let contact = AccountId::phone(CONTACT).unwrap();
        desk.owner.contacts.lock().unwrap().push(contact);
        desk.come_with_the_code().unwrap();
        let number = NUMBER[1..].parse().unwrap();
        let told = NewKey { number, unix_ms: desk.now, is_new, is_by_books: true };
        assert_eq!(*desk.owner.told.lock().unwrap(), [(contact, told)]);
    }
}

#[test]
fn who_comes_back_meanwhile_keeps_everything() {
    let (mut desk, _) = silent(31);
    *desk.owner.comes_back_at.lock().unwrap() = Some(desk.now);
    assert_eq!(desk.come_with_the_code().unwrap().kept, Kept::All);
    assert_eq!(desk.record(NUMBER).created_unix_ms, START_MS);
}

#[test]
fn an_account_of_which_nothing_was_noted_is_not_silent() {
    let (mut desk, _) = silent(0);
    let mut record = serde_json::to_value(desk.record(NUMBER)).unwrap();
    for name in ["seen_unix_ms", "registered_unix_ms"] {
        record.as_object_mut().unwrap().remove(name).unwrap();
    }
    let record = AccountRecord::from_json(record.to_string().as_bytes()).unwrap();
    desk.registrar.set_account(record, Expected::Any).unwrap();
    desk.now += 300 * DAY_MS;
    assert_eq!(desk.come_with_the_code().unwrap().kept, Kept::All);
}
