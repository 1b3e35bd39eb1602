//! Anything at any time: a seeded crowd syncs, registers, leaves, logs in and crashes; in the end rosters and what clients
//! were told are what the books say.

use super::*;
use crate::wire::Closed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

const PEOPLE: [&str; 5] = [ROMEO, JULIET, NURSE, "+15551230004", "+15551230005"];

struct Crowd {
    stage: Stage,
    rng: StdRng,
    /// What each account's book holds, if there is an account.
    books: BTreeMap<&'static str, BTreeSet<&'static str>>,
    generations: BTreeMap<&'static str, u32>,
    there: BTreeMap<&'static str, Person>,
}

/// A client and what it believes: its roster, from the pushes, and who is online.
struct Person {
    client: Client,
    roster: BTreeMap<String, String>,
    online: BTreeSet<String>,
}

impl Person {
    fn hear(&mut self, told: &[String]) {
        for stanza in told {
            if let Some(items) = stanza.strip_prefix("items ") {
                for item in items.split(", ").filter(|item| !item.is_empty()) {
                    let (who, state) = item.split_once(' ').unwrap();
                    match state {
                        "remove" => drop(self.roster.remove(who)),
                        _ => drop(self.roster.insert(who.into(), state.into())),
                    }
                }
            } else if let Some(who) = stanza.strip_prefix("available from ") {
                self.online.insert(who.trim_end_matches("/phone").into());
            } else if let Some(who) = stanza.strip_prefix("unavailable from ") {
                self.online.remove(who.trim_end_matches("/phone"));
            }
        }
    }
}

impl Crowd {
    fn someone(&mut self) -> &'static str {
        PEOPLE[self.rng.random_range(0..PEOPLE.len())]
    }

    fn listen(&mut self) {
        for person in self.there.values_mut() {
            let told = seen(&mut self.stage, person.client);
            person.hear(&told);
        }
    }

    fn step(&mut self) {
        let who = self.someone();
        match self.rng.random_range(0..12) {
            0 => self.stage.hold_store(true),
            1 => self.stage.hold_store(false),
            2..=6 => {
                let picked: BTreeSet<_> = (0..self.rng.random_range(0..6)).map(|_| self.someone()).collect();
                let Some(book) = self.books.get_mut(who) else { return };
                let numbers = picked.iter().map(|local| account(local).to_bits()).collect();
                drop(self.stage.begin(who, BookChange::Replace(numbers)));
                *book = picked.into_iter().filter(|local| *local != who).collect();
            }
            7 if !self.books.contains_key(who) => {
                self.stage.hold_store(false);
                let generation = self.generations.entry(who).or_default();
                *generation += 1;
                self.stage.set_account(who, *generation).unwrap();
                self.books.insert(who, BTreeSet::new());
            }
            8 if self.books.remove(who).is_some() => {
                self.stage.hold_store(false);
                self.stage.pass(2_000);
                self.stage.command(who, RemoveAccount).unwrap();
                self.listen();
                self.there.remove(who);
            }
            9 if self.books.contains_key(who) && !self.there.contains_key(who) => self.log_in(who),
            10 => {
                if let Some(person) = self.there.remove(who) {
                    self.stage.lose(person.client, Closed::Clean);
                }
            }
            11 if self.rng.random_range(0..8) == 0 => {
                // Everything asked for is durable, or the model could not know what was.
                self.stage.hold_store(false);
                self.stage.pass(2_000);
                self.there.clear();
                self.stage.crash();
            }
            _ => {}
        }
        self.listen();
    }

    fn log_in(&mut self, who: &'static str) {
        self.stage.hold_store(false);
        let client = self.stage.connect(who);
        self.stage.bind(client, who, self.generations[who], Some("phone")).unwrap();
        let mut person = Person { client, roster: BTreeMap::new(), online: BTreeSet::new() };
        self.stage.send(client, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
        self.stage.send(client, "<presence/>");
        let told = seen(&mut self.stage, client);
        person.hear(&told);
        self.there.insert(who, person);
    }

    fn check(&mut self) {
        self.stage.hold_store(false);
        self.stage.pass(2_000);
        self.listen();
        for (who, person) in &self.there {
            let has = |a: &str, b: &str| self.books.get(a).is_some_and(|book| book.contains(b));
            let found = self.books[who].iter().filter(|other| self.books.contains_key(**other));
            let state = |other: &str| if has(other, who) { "both" } else { "none" };
            let items: BTreeMap<String, String> =
                found.map(|other| ((*other).into(), state(other).into())).collect();
            assert_eq!(person.roster, items, "the roster of {who}");
            let visible = |other: &&&str| **other == *who || (has(who, other) && has(other, who));
            let online: BTreeSet<String> = self.there.keys().filter(visible).map(|o| (*o).into()).collect();
            assert_eq!(person.online, online, "whom {who} sees");
        }
    }
}

#[test]
fn in_the_end_everybody_sees_what_the_books_say() {
    for seed in 0..60 {
        let mut crowd = Crowd {
            stage: Stage::turned(3, &[("contact_sync.refill_ms", 1)]),
            rng: StdRng::seed_from_u64(seed),
            books: BTreeMap::new(),
            generations: BTreeMap::new(),
            there: BTreeMap::new(),
        };
        for _ in 0..8 {
            for _ in 0..25 {
                crowd.step();
            }
            crowd.check();
        }
    }
}
