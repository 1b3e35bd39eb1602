//! Cases on phone books.

use super::Fixture;
use super::rig::{Rig, phone};
use crate::books::{Answer, CHANGE_MAX, Edit, Match, Query, Standing};
use crate::records::Put;
use crate::{AccountId, Completion, ShardIndex, StoreError, Table};

impl Rig {
    fn book_answer(&mut self, ticket: crate::Ticket) -> Result<Answer, StoreError> {
        self.wait("an answer about phone books", |completion| match completion {
            Completion::Book { ticket: of, result } if *of == ticket => Some(result.clone()),
            _ => None,
        })
    }

    fn ask(&mut self, query: Query) -> Answer {
        let ticket = self.ticket();
        self.store.ask_book(query, ticket);
        self.book_answer(ticket).expect("answered")
    }

    fn edit(&mut self, edit: Edit) -> Answer {
        let ticket = self.ticket();
        self.store.edit_book(edit, ticket);
        self.book_answer(ticket).expect("done")
    }

    /// Adds and removes; which of the changed numbers are accounts, sorted.
    fn change(&mut self, owner: AccountId, add: &[u64], remove: &[u64]) -> Vec<u64> {
        let edit = Edit::Change { owner, add: add.to_vec(), remove: remove.to_vec(), puts: Vec::new() };
        let Answer::Changed { mut accounts } = self.edit(edit) else { panic!("another answer") };
        accounts.sort_unstable();
        accounts
    }

    fn numbers(&mut self, owner: AccountId) -> Vec<u64> {
        match self.ask(Query::Book { owner, quota: String::new() }) {
            Answer::Book { numbers, quota: None } => numbers,
            other => panic!("another answer: {other:?}"),
        }
    }

    fn look(&mut self, owner: AccountId, number: u64) -> Standing {
        match self.ask(Query::Look { owner, number }) {
            Answer::Look(standing) => standing,
            other => panic!("another answer: {other:?}"),
        }
    }

    fn matches(&mut self, owner: AccountId, after: u64, limit: usize) -> (Vec<Match>, Option<u64>) {
        match self.ask(Query::Matches { owner, after, limit }) {
            Answer::Matches { matches, next } => (matches, next),
            other => panic!("another answer: {other:?}"),
        }
    }

    fn holders(&mut self, number: u64, after: Option<AccountId>, limit: usize) -> (Vec<AccountId>, bool) {
        match self.ask(Query::Holders { number, after, limit }) {
            Answer::Holders { owners, more } => (owners, more),
            other => panic!("another answer: {other:?}"),
        }
    }
}

fn number(last: u64) -> u64 {
    phone(last).to_bits()
}

fn register(engine: &dyn crate::Engine, accounts: impl IntoIterator<Item = AccountId>) {
    let put = |account: AccountId| Put {
        table: Table::ACCOUNTS,
        key: account.record_key(),
        value: Some(b"{}".to_vec()),
    };
    engine.records().put_all(accounts.into_iter().map(put).collect()).expect("written");
}

pub(super) fn change_and_read(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (anna, bot) = (phone(1), AccountId::service("bot"));
    register(&*engine, [phone(2)]);
    assert_eq!(rig.numbers(anna), [0; 0]);
    assert_eq!(rig.change(anna, &[number(3), number(2)], &[number(9)]), [number(2)], "the registered one");
    assert_eq!(rig.change(anna, &[number(2)], &[]), [0; 0], "it was there");
    assert_eq!(rig.change(bot, &[number(2)], &[]), [number(2)]);
    assert_eq!(rig.numbers(anna), [number(2), number(3)]);
    assert_eq!(rig.change(anna, &[], &[number(2), number(3)]), [number(2)]);
    assert_eq!((rig.numbers(anna), rig.numbers(bot)), (vec![], vec![number(2)]));
}

pub(super) fn matches(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let anna = phone(1);
    register(&*engine, [phone(1), phone(2), phone(4)]);
    rig.change(anna, &[number(2), number(3), number(4)], &[]);
    rig.change(phone(4), &[number(1)], &[]);
    // Who is no account has no book that counts.
    rig.change(phone(3), &[number(1)], &[]);
    let two = Match { number: number(2), mutual: false };
    let four = Match { number: number(4), mutual: true };
    assert_eq!(rig.matches(anna, 0, 10), (vec![two, four], None));
    assert_eq!(rig.matches(anna, 0, 2), (vec![two], Some(number(3))));
    assert_eq!(rig.matches(anna, number(3), 2), (vec![four], None));
    let stranger = Standing::default();
    assert_eq!(rig.look(anna, number(4)), Standing { holds: true, registered: true, held: true });
    assert_eq!(rig.look(anna, number(3)), Standing { holds: true, ..stranger });
    assert_eq!(rig.look(phone(2), number(1)), Standing { registered: true, held: true, ..stranger });
    assert_eq!(rig.look(phone(2), number(7)), stranger);
    let ticket = rig.ticket();
    rig.store.load(anna, const { &[Table::ACCOUNTS, Table::new("rosters")] }, ticket);
    let loaded = rig.wait("a load", |completion| match completion {
        Completion::Loaded { ticket: of, book, .. } if *of == ticket => Some(book.clone()),
        _ => None,
    });
    assert_eq!(loaded, [two, four], "an account is loaded with its book");
    let bot = AccountId::service("bot");
    rig.change(bot, &[number(2)], &[]);
    assert_eq!(rig.matches(bot, 0, 10), (vec![two], None), "nobody can have a service in the phone book");
}

pub(super) fn holders(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let bot = AccountId::service("bot");
    for owner in [phone(3), phone(1), bot, phone(2)] {
        rig.change(owner, &[number(9), number(8)], &[]);
    }
    rig.change(phone(2), &[], &[number(8)]);
    assert_eq!(rig.holders(number(9), None, 10), (vec![bot, phone(1), phone(2), phone(3)], false));
    assert_eq!(rig.holders(number(9), None, 2), (vec![bot, phone(1)], true));
    assert_eq!(rig.holders(number(9), Some(phone(1)), 5), (vec![phone(2), phone(3)], false));
    assert_eq!(rig.holders(number(8), None, 5), (vec![bot, phone(1), phone(3)], false));
    assert_eq!(rig.holders(number(7), None, 5), (vec![], false));
}

pub(super) fn purge(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    // More than one slice.
    let numbers: Vec<u64> = (100..100 + 2 * CHANGE_MAX as u64 + 5).map(number).collect();
    for some in numbers.chunks(CHANGE_MAX) {
        rig.change(phone(1), some, &[]);
    }
    rig.change(phone(2), &numbers[..3], &[]);
    rig.change(phone(3), &[number(1)], &[]);
    rig.purge(phone(1));
    assert_eq!((rig.numbers(phone(1)), rig.numbers(phone(2)).len()), (vec![], 3));
    assert_eq!(rig.holders(number(100), None, 9), (vec![phone(2)], false));
    assert_eq!(rig.holders(number(1), None, 9), (vec![phone(3)], false), "what is others' stays theirs");
}

pub(super) fn change_with_records(fixture: &dyn Fixture) {
    let quota = |rig: &mut Rig| match rig.ask(Query::Book { owner: phone(1), quota: "quota/1".into() }) {
        Answer::Book { numbers, quota } => (numbers.len(), quota.map(|record| record.value)),
        other => panic!("another answer: {other:?}"),
    };
    {
        let engine = fixture.open();
        let mut rig = Rig::new(&*engine);
        let put =
            Put { table: Table::new("limits"), key: "quota/1".into(), value: Some(b"{\"left\":5}".to_vec()) };
        let add = (0..CHANGE_MAX as u64).map(number).collect();
        rig.edit(Edit::Change { owner: phone(1), add, remove: Vec::new(), puts: vec![put] });
        assert_eq!(quota(&mut rig), (CHANGE_MAX, Some(b"{\"left\":5}".to_vec())));
        drop(rig);
        engine.close();
    }
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    assert_eq!(quota(&mut rig), (CHANGE_MAX, Some(b"{\"left\":5}".to_vec())), "after a restart");
    assert_eq!(rig.holders(number(5), None, 2), (vec![phone(1)], false));
}

/// The promise that makes contact sync complete: each side commits, then asks; whoever is second sees the first.
pub(super) fn who_is_second_sees_the_first(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut shards = [0, 1].map(|shard| Rig::of_shard(&*engine, ShardIndex(shard), 2));
    for round in 0..20 {
        let (anna, ben) = (phone(1_000 + 2 * round), phone(1_001 + 2 * round));
        register(&*engine, [anna, ben]);
        let mut tickets = Vec::new();
        for (rig, (owner, other)) in shards.iter_mut().zip([(anna, ben), (ben, anna)]) {
            let ticket = rig.ticket();
            let edit =
                Edit::Change { owner, add: vec![other.to_bits()], remove: Vec::new(), puts: Vec::new() };
            rig.store.edit_book(edit, ticket);
            rig.store.flush();
            tickets.push(ticket);
        }
        // Each asks as soon as its own edit is durable, whatever the other is doing.
        let mut seen = Vec::new();
        for (rig, (ticket, (owner, other))) in
            shards.iter_mut().zip(tickets.into_iter().zip([(anna, ben), (ben, anna)]))
        {
            rig.book_answer(ticket).expect("done");
            seen.push(rig.look(owner, other.to_bits()));
        }
        assert!(seen.iter().all(|standing| standing.holds && standing.registered), "{seen:?}");
        assert!(seen.iter().any(|standing| standing.held), "{seen:?}");
    }
}
