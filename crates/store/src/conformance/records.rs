//! Cases on records.

use super::Fixture;
use super::rig::{Rig, phone};
use crate::records::Put;
use crate::{AccountId, Completion, Revision, StoreError, Table, Versioned};

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict)), "{result:?}");
}

pub(super) fn compare_and_set(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let records = engine.records();
    let table = Table::ACCOUNTS;
    assert_eq!(records.get(table, "+1").expect("reads"), None);
    conflict(records.put_if(table, "+1", b"{}", Some(Revision(7))));
    let first = records.put_if(table, "+1", b"{\"a\":1}", None).expect("made");
    conflict(records.put_if(table, "+1", b"{\"a\":2}", None));
    let second = records.put_if(table, "+1", b"{\"a\":3}", Some(first)).expect("changed");
    assert_ne!((first, second.0), (second, 0));
    conflict(records.put_if(table, "+1", b"{\"a\":4}", Some(first)));
    let found = records.get(table, "+1").expect("reads");
    assert_eq!(found, Some(Versioned { value: b"{\"a\":3}".to_vec(), revision: second }));
    assert_eq!(records.get(Table::new("rosters"), "+1").expect("reads"), None, "tables are apart");
    conflict(records.delete_if(table, "+1", first));
    records.delete_if(table, "+1", second).expect("deleted");
    conflict(records.delete_if(table, "+1", second));
    assert_eq!(records.get(table, "+1").expect("reads"), None);
}

pub(super) fn scan(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let records = engine.records();
    for key in ["b", "a", "é", "d", "c"] {
        records.put_if(Table::new("limits"), key, key.as_bytes(), None).expect("made");
    }
    records.put_if(Table::new("registrations"), "b2", b"{}", None).expect("made");
    let keys = |after, limit| -> Vec<String> {
        records
            .scan(Table::new("limits"), after, limit)
            .expect("scans")
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    };
    assert_eq!(keys("", 10), ["a", "b", "c", "d", "é"]);
    assert_eq!(keys("", 2), ["a", "b"]);
    assert_eq!(keys("b", 2), ["c", "d"]);
    assert_eq!(keys("bb", 1), ["c"]);
    assert!(keys("é", 5).is_empty());
    assert!(keys("", 0).is_empty());
    assert_eq!(records.scan(Table::new("limits"), "", 1).expect("scans")[0].1.value, b"a");
}

pub(super) fn batch(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let records = engine.records();
    let put = |key: u32, value: Option<&[u8]>| Put {
        table: Table::ACCOUNTS,
        key: format!("{key:06}"),
        value: value.map(<[u8]>::to_vec),
    };
    let before = records.put_if(Table::ACCOUNTS, "000003", b"old", None).expect("made");
    records.put_all((0..5000).map(|key| put(key, Some(b"new"))).collect()).expect("written");
    let found = records.get(Table::ACCOUNTS, "000003").expect("reads").expect("there");
    assert_eq!(found.value, b"new");
    assert_ne!(found.revision, before);
    conflict(records.put_if(Table::ACCOUNTS, "000003", b"late", Some(before)));
    records.put_all((0..4990).map(|key| put(key, None)).collect()).expect("deleted");
    assert_eq!(records.scan(Table::ACCOUNTS, "", 100).expect("scans").len(), 10);
    records.put_all(Vec::new()).expect("nothing to do");
}

pub(super) fn revisions_are_never_reused(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let records = engine.records();
    let first = records.put_if(Table::new("rosters"), "+1", b"{}", None).expect("made");
    records.delete_if(Table::new("rosters"), "+1", first).expect("deleted");
    let second = records.put_if(Table::new("rosters"), "+1", b"{}", None).expect("made again");
    assert_ne!(first, second);
    conflict(records.put_if(Table::new("rosters"), "+1", b"{}", Some(first)));
}

fn save(
    rig: &mut Rig,
    account: AccountId,
    value: Option<&[u8]>,
    expected: Option<Revision>,
) -> Result<Revision, StoreError> {
    let ticket = rig.ticket();
    rig.store.save(account, Table::new("rosters"), value.map(<[u8]>::to_vec), expected, ticket);
    rig.wait("a save", |completion| match completion {
        Completion::Saved { ticket: of, result } if *of == ticket => Some(result.clone()),
        _ => None,
    })
}

fn load(rig: &mut Rig, account: AccountId) -> Vec<Option<Versioned>> {
    let ticket = rig.ticket();
    rig.store.load(account, const { &[Table::ACCOUNTS, Table::new("rosters")] }, ticket);
    rig.wait("a load", |completion| match completion {
        Completion::Loaded { ticket: of, result, .. } if *of == ticket => {
            Some(result.clone().expect("loads"))
        }
        _ => None,
    })
}

pub(super) fn shard_saves_and_loads(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    assert_eq!(load(&mut rig, romeo), [None, None]);
    let first = save(&mut rig, romeo, Some(b"[]"), None).expect("made");
    assert_eq!(load(&mut rig, romeo)[1].as_ref().expect("there").revision, first);
    let seen = engine.records().get(Table::new("rosters"), &romeo.record_key()).expect("reads");
    assert_eq!(seen.expect("there").value, b"[]");
    conflict(save(&mut rig, romeo, Some(b"[1]"), None));
    let second = save(&mut rig, romeo, Some(b"[2]"), Some(first)).expect("changed");
    // A load behind a save that is not durable yet sees it.
    let (save_ticket, load_ticket) = (rig.ticket(), rig.ticket());
    rig.store.save(romeo, Table::new("rosters"), Some(b"[3]".to_vec()), Some(second), save_ticket);
    rig.store.load(romeo, const { &[Table::new("rosters")] }, load_ticket);
    let loaded = rig.wait("a load", |completion| match completion {
        Completion::Loaded { ticket, result, .. } if *ticket == load_ticket => {
            Some(result.clone().expect("loads"))
        }
        _ => None,
    });
    let third = loaded[0].clone().expect("there");
    assert_eq!(third.value, b"[3]");
    conflict(save(&mut rig, romeo, None, Some(second)));
    save(&mut rig, romeo, None, Some(third.revision)).expect("deleted");
    assert_eq!(load(&mut rig, romeo), [None, None]);
}

pub(super) fn shard_puts_and_fetches(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let item = |name: &str| (Table::new("items"), format!("{}/{name}", romeo.record_key()));
    let put = |name: &str, value: Option<&[u8]>| {
        let (table, key) = item(name);
        Put { table, key, value: value.map(<[u8]>::to_vec) }
    };
    let index = Put { table: Table::new("nodes"), key: romeo.record_key(), value: Some(b"[1]".to_vec()) };
    // What is fetched behind a write that is not durable yet sees all of it.
    let (write, read) = (rig.ticket(), rig.ticket());
    rig.store.put(romeo, vec![put("a", Some(b"1")), put("b", Some(b"2")), index], write);
    let keys = vec![item("b"), item("none"), item("a"), (Table::new("nodes"), romeo.record_key())];
    rig.store.fetch(romeo, keys, read);
    assert_eq!(
        values(&mut rig, read),
        [Some(b"2".to_vec()), None, Some(b"1".to_vec()), Some(b"[1]".to_vec())]
    );
    let (write, read) = (rig.ticket(), rig.ticket());
    rig.store.put(romeo, vec![put("a", None), put("b", Some(b"3"))], write);
    rig.store.fetch(romeo, vec![item("a"), item("b")], read);
    assert_eq!(values(&mut rig, read), [None, Some(b"3".to_vec())]);
}

fn values(rig: &mut Rig, read: crate::Ticket) -> Vec<Option<Vec<u8>>> {
    let found = rig.wait("a fetch", |completion| match completion {
        Completion::Loaded { ticket, result, .. } if *ticket == read => Some(result.clone().expect("reads")),
        _ => None,
    });
    found.into_iter().map(|record| record.map(|record| record.value)).collect()
}

pub(super) fn restart(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let secrets = engine.secrets();
    let revision = engine.records().put_if(Table::ACCOUNTS, "+1", b"{}", None).expect("made");
    engine.close();
    drop(engine);
    let engine = fixture.open();
    assert_eq!(engine.secrets(), secrets);
    let records = engine.records();
    let found = records.get(Table::ACCOUNTS, "+1").expect("reads");
    assert_eq!(found, Some(Versioned { value: b"{}".to_vec(), revision }));
    let later = records.put_if(Table::ACCOUNTS, "+2", b"{}", None).expect("made");
    assert!(later > revision, "revisions grow across restarts");
}
