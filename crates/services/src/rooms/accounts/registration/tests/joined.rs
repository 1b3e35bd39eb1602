//! What strangers ask for must not keep a number from registering, nor make its codes worth guessing at.

use super::*;
use crate::account::network::WIDER;
use crate::allowance::Allowance;
use crate::rooms::accounts::registration::REGISTRATIONS;

impl Desk {
    /// As many requests as strangers get through; the last message that they had sent.
    fn pester(&mut self, number: &str, networks: u8) -> Begun {
        let mut last = None;
        for n in 0..networks {
            while let Ok(begun) = self.begin_from(number, stranger(n)) {
                let is_sent = begun.delivery.is_some();
                last = is_sent.then_some(begun).or(last);
                if !is_sent {
                    break;
                }
            }
        }
        last.expect("something was sent")
    }
}

#[test]
fn a_stranger_does_not_keep_a_number_from_registering() {
    let mut desk = desk();
    desk.pester(NUMBER, 1);
    assert!(desk.begin(NUMBER).unwrap().delivery.is_some(), "another network has codes of its own");
    desk.register(NUMBER);
}

#[test]
fn many_networks_do_not_either_since_their_last_message_is_on_the_phone() {
    let mut desk = desk();
    let last = desk.pester(NUMBER, 20);
    let joined = desk.begin(NUMBER).unwrap();
    assert!(joined.delivery.is_none(), "the number is not bothered any more");
    assert_eq!(joined.standing.expires_in_ms, 10 * MINUTE_MS, "at most");
    assert_eq!(joined.standing.next_sms_in_ms, Some(2 * HOUR_MS), "nobody can have one sent before");
    let code = last.code().digits().to_owned();
    assert!(desk.confirm(&joined.id, &code).unwrap().is_new());
    assert_eq!(desk.confirm(&last.id, &code).err(), Some(RegistrationError::Used), "one code, one key");
    assert_eq!(desk.confirm(&joined.id, &code).err(), Some(RegistrationError::Used));
}

#[test]
fn whoever_gets_the_next_message_sent_it_opens_to_the_owner() {
    let mut desk = desk();
    desk.pester(NUMBER, 20);
    // The codes are over, and strangers are quicker each time that another is allowed.
    desk.now += 2 * HOUR_MS;
    let theirs = desk.begin_from(NUMBER, stranger(100)).unwrap();
    let code = theirs.code().digits().to_owned();
    let joined = desk.begin(NUMBER).unwrap();
    assert!(joined.delivery.is_none());
    desk.confirm(&joined.id, &code).unwrap();
}

/// P1: nobody without an account learns that a number is being registered, or has been.
#[test]
fn whether_there_is_a_code_at_all_does_not_show() {
    let told = |prepare: fn(&mut Desk)| {
        let mut desk = desk();
        for _ in 0..5 {
            desk.begin(NUMBER).unwrap();
        }
        desk.now += 31 * MINUTE_MS;
        prepare(&mut desk);
        let joined = desk.begin(NUMBER).unwrap();
        let by_number = |desk: &mut Desk| {
            let code = ("000000", HERE);
            desk.registrar.confirm_password(NUMBER, code, "of the app's", desk.now, &mut desk.rng).err()
        };
        let guesses = [(); 4].map(|()| desk.confirm(&joined.id, "000000").err());
        (joined.standing, joined.delivery.is_none(), guesses, [by_number(&mut desk), by_number(&mut desk)])
    };
    let nobody = told(|_| {});
    let is_sent = told(|desk| drop(desk.begin_from(NUMBER, stranger(1)).unwrap()));
    let is_registered = told(|desk| {
        let begun = desk.begin_from(NUMBER, stranger(1)).unwrap();
        let code = begun.code().digits().to_owned();
        desk.confirm(&begun.id, &code).unwrap();
    });
    let is_over = told(|desk| {
        desk.begin_from(NUMBER, stranger(1)).unwrap();
        desk.now += 11 * MINUTE_MS;
    });
    assert_eq!(nobody, is_sent);
    assert_eq!(nobody, is_registered);
    assert_eq!(
        (nobody.0.expires_in_ms, nobody.1, nobody.2, nobody.3),
        (is_over.0.expires_in_ms, is_over.1, is_over.2, is_over.3)
    );
}

#[test]
fn a_message_that_did_not_go_out_leaves_the_one_before_it_to_be_joined() {
    let mut desk = desk();
    let theirs = desk.begin_from(NUMBER, stranger(1)).unwrap();
    let failed = desk.begin(NUMBER).unwrap();
    let phone = failed.sent().phone;
    assert_eq!(desk.registrar.latest(phone).unwrap(), Some(failed.id.clone()));
    desk.registrar.delivery_failed(&failed, desk.now).unwrap();
    assert_eq!(desk.registrar.latest(phone).unwrap(), Some(theirs.id));
    // Another has followed meanwhile, and that one has gone out.
    let failed = desk.begin(NUMBER).unwrap();
    let later = desk.begin_from(NUMBER, stranger(2)).unwrap();
    desk.registrar.delivery_failed(&failed, desk.now).unwrap();
    assert_eq!(desk.registrar.latest(phone).unwrap(), Some(later.id));
}

#[test]
fn those_who_join_have_few_guesses_together_and_none_of_the_host() {
    let mut desk = desk();
    let host = desk.pester(NUMBER, 20);
    let bad = wrong(host.code());
    let mut guesses = 0;
    for n in 0..10 {
        let joined = desk.begin_from(NUMBER, stranger(100 + n)).unwrap();
        for _ in 0..10 {
            match desk.confirm(&joined.id, &bad) {
                Err(RegistrationError::WrongCode { .. }) => guesses += 1,
                Err(RegistrationError::Dead) => {
                    guesses += 1;
                    break;
                }
                other => panic!("{:?}", other.err()),
            }
        }
    }
    assert_eq!(guesses, 20, "as many as each has, so that nobody learns of the others");
    let expected = RegistrationError::WrongCode { guesses_left: 4 };
    let code = host.code().digits().to_owned();
    let late = desk.begin(NUMBER).unwrap();
    let refused = desk.confirm(&late.id, &code).err();
    assert_eq!(refused, Some(RegistrationError::WrongCode { guesses_left: 1 }), "four were looked at");
    assert_eq!(desk.confirm(&host.id, &bad).err(), Some(expected), "all its own are there");
    desk.confirm(&host.id, &code).unwrap();
}

#[test]
fn a_joined_registration_can_ask_for_a_code_of_its_own_later() {
    let number_messages = Allowance { burst: 30, interval_ms: MINUTE_MS };
    let mut desk = desk_with(Policy { number_messages, ..Policy::default() });
    desk.pester(NUMBER, 20);
    let joined = desk.begin(NUMBER).unwrap();
    let refused = desk.again(&joined.id, Transport::Sms).err();
    assert!(matches!(refused, Some(RegistrationError::TooMany { limiter: "number", .. })), "{refused:?}");
    desk.now += MINUTE_MS;
    let own = desk.again(&joined.id, Transport::Sms).unwrap();
    let code = own.code().digits().to_owned();
    assert_eq!(own.id, joined.id);
    desk.confirm(&own.id, &code).unwrap();
}

#[test]
fn one_network_has_no_more_codes_by_joining_and_asking_again() {
    let mut desk = desk();
    let mut sent = 0;
    for _ in 0..20 {
        let Ok(begun) = desk.begin(NUMBER) else { break };
        sent += u32::from(begun.delivery.is_some());
        if begun.delivery.is_none() {
            sent += u32::from(desk.again(&begun.id, Transport::Sms).is_ok());
        }
    }
    assert_eq!(sent, 5);
}

#[test]
fn a_failed_joined_registration_can_be_tried_again() {
    let mut desk = desk();
    let last = desk.pester(NUMBER, 20);
    let joined = desk.begin(NUMBER).unwrap();
    let code = last.code().digits().to_owned();
    *desk.owner.refuse.lock().unwrap() = Some(Refusal::Unavailable("no".to_owned()));
    assert!(matches!(desk.confirm(&joined.id, &code).err(), Some(RegistrationError::Unavailable(_))));
    desk.confirm(&joined.id, &code).unwrap();
}

#[test]
fn by_number_each_network_has_its_own_guesses() {
    let mut desk = desk();
    let begun = desk.registrar.begin_by_number(request(NUMBER), desk.now, &mut desk.rng).unwrap();
    let (bad, code) = (wrong(begun.code()), begun.code().digits().to_owned());
    let give = |desk: &mut Desk, code: &str, network| {
        desk.registrar.confirm_password(NUMBER, (code, network), "of the app's", desk.now, &mut desk.rng)
    };
    for n in 0..20 {
        assert!(give(&mut desk, &bad, stranger(n)).is_err());
    }
    assert!(give(&mut desk, &code, HERE).unwrap().is_new());
}

#[test]
fn by_number_a_phone_may_go_to_another_network() {
    let mut desk = desk();
    let begun = desk.registrar.begin_by_number(request(NUMBER), desk.now, &mut desk.rng).unwrap();
    let code = begun.code().digits().to_owned();
    let password = "of the app's";
    let given =
        desk.registrar.confirm_password(NUMBER, (&code, stranger(1)), password, desk.now, &mut desk.rng);
    assert!(given.unwrap().is_new());
}

#[test]
fn what_is_over_is_dropped_with_its_pointer() {
    let mut desk = desk();
    desk.pester(NUMBER, 20);
    desk.begin(NUMBER).unwrap();
    let rows = |desk: &Desk| desk.engine.records().scan(REGISTRATIONS, "", 100).unwrap().len();
    desk.registrar.purge(desk.now).unwrap();
    assert!(rows(&desk) > 2, "what is open stays");
    desk.begin(NUMBER).unwrap();
    desk.now += 30 * MINUTE_MS;
    desk.registrar.purge(desk.now).unwrap();
    assert_eq!(rows(&desk), 0);
}

#[test]
fn a_site_with_many_networks_is_one_that_has_somewhat_more() {
    let mut desk = desk();
    let mut sent = 0;
    for n in 0..=255u16 {
        let network = Some(format!("2001:db8:1:{:x}::1", n << 8).parse().unwrap());
        for i in 0..10 {
            sent += u32::from(desk.begin_from(&format!("+1555{:03}{i:04}", 200 + n % 512), network).is_ok());
        }
    }
    assert_eq!(sent, 60 * WIDER);
    let elsewhere = Some("2001:db8:2::1".parse().unwrap());
    desk.begin_from(NUMBER, elsewhere).unwrap();
}

#[test]
fn one_network_does_not_use_up_what_is_there_for_a_block_of_numbers() {
    let mut desk = desk();
    let is_sent = |desk: &mut Desk, n: u32, network| {
        desk.begin_from(&format!("+49151234567{n:02}"), network).unwrap().delivery.is_some()
    };
    assert_eq!((0..20).filter(|n| is_sent(&mut desk, *n, HERE)).count(), 5);
    assert!(is_sent(&mut desk, 99, stranger(1)));
}

#[test]
fn a_country_has_its_price_and_its_budget() {
    let tight = Allowance { burst: 3, interval_ms: HOUR_MS };
    let prices = Prices { price_thousandths: 1_000, budget: tight, ..Prices::default() };
    let of_country = [(1, 500), (44, 3_000)].into();
    let mut desk = desk_with(Policy { prices: Prices { of_country, ..prices.clone() }, ..Policy::default() });
    for n in 0..4 {
        desk.begin(&format!("+1212456789{n}")).unwrap();
    }
    assert!(desk.begin("+447911123456").is_err(), "one left, three wanted");
    desk.begin(REAL).unwrap();
    assert!(desk.begin("+12124567899").is_err());

    let budgets = [(49, Allowance { burst: 1, interval_ms: HOUR_MS })].into();
    let mut desk = desk_with(Policy { prices: Prices { budgets, ..prices }, ..Policy::default() });
    desk.begin(REAL).unwrap();
    let refused = desk.begin("+4917623456791").err();
    assert!(
        matches!(refused, Some(RegistrationError::TooMany { limiter: "sms-country", .. })),
        "{refused:?}"
    );
    desk.begin("+12124567890").unwrap();
}

#[test]
fn the_pin_of_a_lock_has_a_count_of_its_own() {
    let mut desk = desk();
    let key = desk.register(NUMBER).key;
    desk.set_lock(NUMBER, &key, Some("4711")).unwrap();
    let mut tries = 0;
    // A day of registrations, from networks without number, each with five guesses.
    for n in 0..24 {
        desk.now += HOUR_MS;
        let Ok(begun) = desk.begin_from(NUMBER, stranger(n)) else { continue };
        let code = begun.code().digits().to_owned();
        for _ in 0..5 {
            match desk.confirm_with(&begun.id, &code, Some("0000")).err() {
                Some(RegistrationError::WrongLockPin { .. } | RegistrationError::Dead) => tries += 1,
                Some(RegistrationError::TooManyLockPins { retry_after_ms }) => {
                    assert!(retry_after_ms <= 12 * HOUR_MS);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(tries, 5 + 1, "five, and one more each twelve hours");
    // The right one is not looked at either, and the old key opens all the same.
    let begun = desk.begin_from(NUMBER, stranger(200)).unwrap();
    let code = begun.code().digits().to_owned();
    let refused = desk.confirm_with(&begun.id, &code, Some("4711")).err();
    assert!(matches!(refused, Some(RegistrationError::TooManyLockPins { .. })), "{refused:?}");
    let proof = Confirmation { code: &code, previous_key: Some(&key), ..Confirmation::default() };
    assert_eq!(desk.prove(&begun.id, proof).unwrap().kept, Kept::All);
}

#[test]
fn a_right_pin_is_not_counted() {
    let mut desk = desk();
    let mut key = desk.register(NUMBER).key;
    desk.set_lock(NUMBER, &key, Some("4711")).unwrap();
    for _ in 0..10 {
        desk.now += 5 * HOUR_MS;
        let begun = desk.begin(NUMBER).unwrap();
        let code = begun.code().digits().to_owned();
        key = desk.confirm_with(&begun.id, &code, Some("4711")).unwrap().key;
    }
    assert!(!key.is_empty());
}
