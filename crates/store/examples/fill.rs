//! Fills a data directory that has accounts: phone books, and messages that wait, so that starts, migrations and logins of many can be measured.
//!
//! `cargo run --release -p chaski-store --example fill -- DIR NUMBERS MESSAGES`: every account gets a phone book of so many numbers of others, and
//! the first so many accounts a message each. The accounts come from `chaski bench accounts` and `chaski ctl account import`.
//! Uses no more of the crate than its oldest revisions have, so that it can be built there for a directory of then.

#![expect(clippy::print_stdout, reason = "a program speaks to its user")]

use chaski_store::books::Edit;
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, EmbeddedEngine, Options};
use chaski_store::{AccountId, Completion, Engine, StoreError, Table};
use std::path::Path;

/// Changes under way at once.
const AT_ONCE: usize = 256;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, numbers, messages] = arguments.as_slice() else {
        println!("fill DIR NUMBERS MESSAGES");
        std::process::exit(2);
    };
    let [numbers, messages]: [usize; 2] =
        [numbers, messages].map(|text| text.parse().expect("a whole number"));
    let engine = embedded::open(Path::new(directory), Options::default()).expect("a data directory");
    let accounts = accounts(&engine);
    println!("{} accounts", accounts.len());
    let mut rig = Rig::new(&engine);
    if numbers > 0 {
        books(&mut rig, &accounts, numbers);
    }
    let mut under_way = Vec::new();
    for (id, &number) in (0..).zip(&accounts[..messages.min(accounts.len())]) {
        let ticket = loop {
            match rig.append(account(number), id) {
                Ok((_, ticket)) => break ticket,
                Err(StoreError::Overloaded) => rig.turn(),
                Err(error) => panic!("{error}"),
            }
        };
        under_way.push(ticket);
        if under_way.len() == AT_ONCE {
            under_way.drain(..).for_each(|ticket| rig.committed(ticket));
        }
    }
    under_way.drain(..).for_each(|ticket| rig.committed(ticket));
    println!("{} messages wait", messages.min(accounts.len()));
    drop(rig);
    engine.close();
}

fn account(number: u64) -> AccountId {
    AccountId::phone(number).expect("a phone number")
}

/// The numbers of all accounts.
fn accounts(engine: &EmbeddedEngine) -> Vec<u64> {
    let (records, mut all, mut after) = (engine.records(), Vec::new(), String::new());
    loop {
        let page = records.scan(Table::ACCOUNTS, &after, 10_000).expect("accounts");
        let Some((last, _)) = page.last() else { return all };
        after.clone_from(last);
        all.extend(page.iter().filter_map(|(key, _)| key.trim_start_matches('+').parse::<u64>().ok()));
    }
}

/// Everybody has others in the book, half of whom have them: those before and behind, and some that are far away.
fn books(rig: &mut Rig, accounts: &[u64], numbers: usize) {
    let mut under_way = 0;
    let done = |rig: &mut Rig| {
        rig.wait("a change of a book", |completion| match completion {
            Completion::Book { result, .. } => {
                result.as_ref().expect("taken");
                Some(())
            }
            _ => None,
        });
    };
    for (at, &number) in accounts.iter().enumerate() {
        let near = (1..=numbers / 2)
            .map(|by| if by % 2 == 0 { at + by / 2 } else { at + accounts.len() - by / 2 - 1 });
        let far = (1..=numbers - numbers / 2).map(|by| at + by * 7_919 * 13);
        let add =
            near.chain(far).map(|other| accounts[other % accounts.len()]).filter(|other| *other != number);
        let edit =
            Edit::Change { owner: account(number), add: add.collect(), remove: Vec::new(), puts: Vec::new() };
        let ticket = rig.ticket();
        rig.store.edit_book(edit, ticket);
        under_way += 1;
        if under_way == AT_ONCE {
            (0..under_way).for_each(|_| done(rig));
            under_way = 0;
        }
        if at % 100_000 == 99_999 {
            println!("{} phone books", at + 1);
        }
    }
    (0..under_way).for_each(|_| done(rig));
}
