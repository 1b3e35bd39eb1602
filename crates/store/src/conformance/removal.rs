//! Cases on what an account leaves: purged, found when it was left, cleared.

use super::Fixture;
use super::rig::{Rig, phone};
use crate::books::{Edit, Query};
use crate::records::Put;
use crate::{AccountId, Completion, Engine, Records, Table, Usage};

/// Kinds of records under accounts' keys that every engine has.
const OWN: [Table; 7] = [
    Table::new("rosters"),
    Table::new("settings"),
    Table::new("nodes"),
    Table::new("items"),
    Table::new("reports"),
    Table::CURSORS,
    Table::REMOVALS,
];

/// An account whose key begins with that of `phone(1)`.
fn neighbour() -> AccountId {
    AccountId::phone(155_500_000_010).expect("a phone number")
}

/// Every record that an account may have besides the one that makes it.
fn own(account: AccountId) -> Vec<(Table, String)> {
    let key = account.record_key();
    let mut own: Vec<_> = OWN.map(|table| (table, key.clone())).into();
    own.extend(["/nodes/a/1", "/private/x"].map(|rest| (Table::new("items"), format!("{key}{rest}"))));
    own
}

fn furnish(engine: &dyn Engine, account: AccountId) {
    let put = |(table, key)| Put { table, key, value: Some(b"{}".to_vec()) };
    engine.records().put_all(own(account).into_iter().map(put).collect()).expect("written");
}

fn kept(records: &dyn Records, account: AccountId) -> usize {
    own(account).iter().filter(|(table, key)| records.get(*table, key).expect("read").is_some()).count()
}

fn add_to_book(rig: &mut Rig, owner: AccountId) {
    let ticket = rig.ticket();
    let edit = Edit::Change { owner, add: vec![15_559_999_999], remove: Vec::new(), puts: Vec::new() };
    rig.store.edit_book(edit, ticket);
    rig.wait("an edit", |completion| match completion {
        Completion::Book { ticket: of, .. } if *of == ticket => Some(()),
        _ => None,
    });
}

fn holders(rig: &mut Rig) -> Vec<AccountId> {
    let ticket = rig.ticket();
    rig.store.ask_book(Query::Holders { number: 15_559_999_999, after: None, limit: 9 }, ticket);
    rig.wait("holders", |completion| match completion {
        Completion::Book { ticket: of, result: Ok(crate::books::Answer::Holders { owners, .. }) }
            if *of == ticket =>
        {
            Some(owners.clone())
        }
        _ => None,
    })
}

pub(super) fn purge(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, bot) = (phone(1), AccountId::service("bot"));
    for account in [romeo, neighbour(), bot] {
        furnish(&*engine, account);
        for id in 0..40 {
            rig.append_durably(account, id);
        }
    }
    rig.purge(romeo);
    rig.purge(bot);
    let records = engine.records();
    assert_eq!((kept(&*records, romeo), kept(&*records, bot)), (0, 0));
    assert_eq!(
        kept(&*records, neighbour()),
        own(neighbour()).len(),
        "whose number begins with the same digits"
    );
    assert_eq!((rig.ids(romeo), rig.ids(neighbour()).len()), (vec![], 40));
    assert_eq!(rig.usage(romeo), Usage::default());
    drop(rig);
    engine.close();
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    assert_eq!((rig.ids(romeo), rig.ids(bot), rig.ids(neighbour()).len()), (vec![], vec![], 40));
}

pub(super) fn purge_of_nothing(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    rig.purge(phone(1));
    rig.append_durably(phone(1), 1);
    rig.purge(phone(1));
    rig.purge(phone(1));
    rig.append_durably(phone(1), 1);
    assert_eq!(rig.ids(phone(1)), [1]);
}

pub(super) fn leftovers(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let records = engine.records();
    let account = |last| {
        let put = Put { table: Table::ACCOUNTS, key: phone(last).record_key(), value: Some(b"{}".to_vec()) };
        records.put_all(vec![put]).expect("written");
    };
    // Everybody who has something, with a record and without.
    for last in 1..=56 {
        let put = |table, rest| Put {
            table,
            key: format!("{}{rest}", phone(last).record_key()),
            value: Some(b"{}".to_vec()),
        };
        match last % 4 {
            0 => _ = rig.append_durably(phone(last), 1),
            1 => records
                .put_all((0..40).map(|n| put(Table::new("items"), format!("/{n}"))).collect())
                .expect("written"),
            // In each table once, without a record.
            2 => {
                let table = OWN[(last / 4) as usize % OWN.len()];
                records.put_all(vec![put(table, String::new())]).expect("written");
            }
            _ => add_to_book(&mut rig, phone(last)),
        }
        if last > 28 {
            account(last);
        }
    }
    rig.append_durably(AccountId::service("bot"), 1);
    // What is in memory alone is no leftover yet; what a restart finds is.
    drop(rig);
    engine.close();
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let mut expected: Vec<_> = (1..=28).map(phone).collect();
    expected.push(AccountId::service("bot"));
    assert_eq!(rig.leftovers(), expected);
    for account in expected {
        rig.purge(account);
    }
    assert_eq!(rig.leftovers(), []);
}

pub(super) fn clear(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, juliet) = (phone(1), phone(2));
    for account in [romeo, juliet] {
        furnish(&*engine, account);
        rig.append_durably(account, 1);
        add_to_book(&mut rig, account);
    }
    assert_eq!(holders(&mut rig), [romeo, juliet]);
    drop(rig);
    engine.close();
    let engine = fixture.open();
    let records = engine.records();
    records.clear(&[romeo]).expect("nobody else has the directory");
    assert_eq!((kept(&*records, romeo), kept(&*records, juliet)), (0, own(juliet).len()));
    engine.close();
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    assert_eq!((rig.ids(romeo), rig.ids(juliet)), (vec![], vec![1]));
    assert_eq!(holders(&mut rig), [juliet]);
}
