//! Who is kept waiting by whose guesses, and what is remembered when there is no room.

use super::*;
use proptest::prelude::*;
use std::net::IpAddr;

const HOUR_MS: u64 = 3_600_000;
const NOW: u64 = 1_800_000_000_000;

fn guesses() -> Guesses {
    Guesses::new(Allowances::default(), [7; 16])
}

fn network(text: &str) -> Network {
    Network::of(text.parse::<IpAddr>().unwrap())
}

fn account(number: u64) -> AccountId {
    AccountId::phone(15_551_230_000 + number).unwrap()
}

/// How many of so many tries are looked at, all wrong.
fn looked_at(
    guesses: &Guesses,
    network: Network,
    accounts: impl Iterator<Item = AccountId>,
    now: u64,
) -> usize {
    accounts.filter(|&account| guesses.take(network, account, now).is_ok()).count()
}

fn same(number: u64) -> impl Iterator<Item = AccountId> {
    std::iter::repeat_n(account(number), 1_000)
}

#[test]
fn an_account_is_guessed_at_ten_times_and_then_twenty_an_hour() {
    let (guesses, from) = (guesses(), network("192.0.2.1"));
    assert_eq!(looked_at(&guesses, from, same(1), NOW), 10);
    assert_eq!(guesses.look(from, account(1), NOW), Err(HOUR_MS / 20));
    assert_eq!(guesses.look(from, account(2), NOW), Ok(()), "others are apart");
    assert_eq!(looked_at(&guesses, from, same(1), NOW + HOUR_MS / 2), 10);
    assert_eq!(guesses.metrics().wrong_total.get(), 20);
    assert_eq!(guesses.metrics().refused_account_total.get(), 990 + 1 + 990);
}

#[test]
fn strangers_elsewhere_keep_nobody_waiting() {
    let guesses = guesses();
    for stranger in 0..200 {
        let from = Network::of(IpAddr::V4((0xC633_6400u32 + stranger).into()));
        looked_at(&guesses, from, same(1), NOW);
        looked_at(&guesses, from, (0..1_000).map(account), NOW);
    }
    assert_eq!(guesses.look(network("192.0.2.1"), account(1), NOW), Ok(()));
    assert_eq!(guesses.look(network("2001:db8::1"), account(1), NOW), Ok(()));
}

#[test]
fn who_walks_through_numbers_uses_up_the_networks() {
    let (guesses, from) = (guesses(), network("192.0.2.1"));
    assert_eq!(looked_at(&guesses, from, (0..10_000).map(account), NOW), 100);
    assert_eq!(looked_at(&guesses, from, (0..10_000).map(account), NOW + HOUR_MS / 10), 60);
    assert!(guesses.metrics().refused_network_total.get() > 19_000);
}

#[test]
fn more_addresses_bring_four_times_as_much() {
    for (prefix, suffix) in [("192.0.2.", ""), ("2001:db8:1:", "::1")] {
        let guesses = guesses();
        let addresses = (1..=250u32).map(|n| network(&format!("{prefix}{n}{suffix}")));
        let at_one: usize = addresses.clone().map(|from| looked_at(&guesses, from, same(1), NOW)).sum();
        assert_eq!(at_one, 40);
        let at_all: usize =
            addresses.map(|from| looked_at(&guesses, from, (100..1_000).map(account), NOW)).sum();
        assert_eq!(at_one + at_all, 400);
    }
}

#[test]
fn what_was_right_is_given_back() {
    let (guesses, from) = (guesses(), network("192.0.2.1"));
    for _ in 0..1_000 {
        assert_eq!(guesses.take(from, account(1), NOW), Ok(()));
        guesses.give_back(from, account(1));
    }
    assert_eq!(looked_at(&guesses, from, same(1), NOW), 10);
}

#[test]
fn where_nobody_knows_who_it_is_only_the_account_is_counted() {
    let guesses = guesses();
    assert_eq!(looked_at(&guesses, Network::UNKNOWN, (0..2_000).map(account), NOW), 2_000);
    assert_eq!(looked_at(&guesses, Network::UNKNOWN, same(1), NOW), 9);
}

#[test]
fn the_least_suspected_is_forgotten_first() {
    // One set of eight places: seven who guess much, then a thousand who guess once.
    let allowances = Allowances {
        account: Allowance::per_hour(10, 20),
        network: Allowance::per_hour(1_000_000, 1_000_000),
    };
    let guesses = Guesses::with_sets(allowances, [7; 16], 1, 1);
    let from = Network::UNKNOWN;
    for number in 0..7 {
        assert_eq!(looked_at(&guesses, from, same(number), NOW), 10);
    }
    for number in 100..1_100 {
        assert_eq!(guesses.take(from, account(number), NOW), Ok(()));
    }
    for number in 0..7 {
        assert!(guesses.look(from, account(number), NOW).is_err(), "{number} is remembered");
    }
    assert_eq!(guesses.metrics().forgotten_total.get(), 999);
    // Once they are full again their places are free.
    assert_eq!(guesses.take(from, account(5_000), NOW + HOUR_MS), Ok(()));
    assert_eq!(guesses.metrics().forgotten_total.get(), 999);
}

proptest! {
    /// However the tries come: from no network more are looked at than burst and refill allow, at one account or at all.
    #[test]
    fn never_more_than_allowed(tries in proptest::collection::vec((0u32..3, 0u64..4, 0u64..400_000), 1..400)) {
        let guesses = guesses();
        let (mut now, mut counted) = (NOW, std::collections::HashMap::<(u32, u64), Vec<u64>>::new());
        for (from, number, gap) in tries {
            now += gap;
            let network = Network::of(IpAddr::V4((0xC000_0200 + from).into()));
            let times = counted.entry((from, number)).or_default();
            match guesses.take(network, account(number), now) {
                Ok(()) => times.push(now),
                Err(retry) => prop_assert!(retry > 0 && retry <= HOUR_MS / 20),
            }
        }
        for times in counted.values() {
            for (i, start) in times.iter().enumerate() {
                for (j, end) in times.iter().enumerate().skip(i) {
                    prop_assert!((j - i + 1) as u64 <= 10 + (end - start) / (HOUR_MS / 20));
                }
            }
        }
    }
}
