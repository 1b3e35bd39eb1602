//! Data directories of older versions are taken over at the first start, and can be given back.
//!
//! `640a506/` was made by the version of that commit: seven accounts, phone books of three numbers, five messages that wait, killed while
//! they were in the journal (of format 1, cut off behind its last frame), and one in the database too. [`fill`](../../examples/fill.rs) made it.

use crate::support::{copy_as_crashed, hasty, lazy};
use chaski_store::books::{Answer, Query};
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, OpenError};
use chaski_store::{AccountId, Completion, Engine, Table};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

fn account(last: u64) -> AccountId {
    AccountId::phone(19_990_000_000 + last).unwrap()
}

fn of_640a506() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_as_crashed(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/embedded/640a506"), dir.path());
    dir
}

fn schema(dir: &Path) -> i64 {
    let database = Connection::open(dir.join("chaski.sqlite3")).unwrap();
    let version = "SELECT value FROM meta WHERE name = 'schema_version'";
    database.query_row(version, [], |row| row.get(0)).unwrap()
}

/// Everything that the directory had when the older version was killed.
fn check(dir: &Path) {
    let engine = embedded::open(dir, lazy()).unwrap();
    let accounts = engine.records().scan(Table::ACCOUNTS, "", 100).unwrap();
    assert_eq!(accounts.len(), 7);
    let mut rig = Rig::new(&engine);
    for last in 0..7 {
        let waiting = if last < 5 { vec![u128::from(last)] } else { vec![] };
        assert_eq!(rig.ids(account(last)), waiting, "{last}");
        let ticket = rig.ticket();
        rig.store.ask_book(Query::Book { owner: account(last), quota: String::new() }, ticket);
        let numbers = rig.wait("a phone book", |completion| match completion {
            Completion::Book { result: Ok(Answer::Book { numbers, .. }), .. } => Some(numbers.len()),
            _ => None,
        });
        assert!(numbers >= 2, "{last}: {numbers}");
    }
    drop(rig);
    engine.close();
}

#[test]
fn a_directory_of_an_older_version_is_taken_over_as_it_is() {
    let dir = of_640a506();
    assert_eq!(schema(dir.path()), 4);
    check(dir.path());
    check(dir.path());
}

#[test]
fn a_directory_is_given_back_and_taken_over_again() {
    let dir = of_640a506();
    let journal = |dir: &Path| std::fs::read_dir(dir.join("journal")).unwrap().count();
    assert_eq!(embedded::migrate_back(dir.path()).unwrap(), (16, 12));
    assert_eq!(
        (schema(dir.path()), journal(dir.path())),
        (12, 0),
        "nothing is where an older program might not find it"
    );
    check(dir.path());
    let engine = embedded::open(dir.path(), hasty()).unwrap();
    assert!(matches!(embedded::migrate_back(dir.path()), Err(OpenError::InUse { .. })));
    let mut rig = Rig::new(&engine);
    rig.append_durably(account(6), 6);
    drop((rig, engine));
    embedded::migrate_back(dir.path()).unwrap();
    let engine = embedded::open(dir.path(), lazy()).unwrap();
    assert_eq!(Rig::new(&engine).ids(account(6)), [6]);
}

#[test]
fn a_directory_whose_journal_does_not_become_empty_is_not_given_back() {
    let dir = of_640a506();
    check(dir.path());
    std::fs::write(dir.path().join("journal/of-somebody-else"), b"x").unwrap();
    assert!(matches!(embedded::migrate_back(dir.path()), Err(OpenError::JournalLeft { .. })));
    assert_eq!(schema(dir.path()), 16);
}

#[test]
fn a_path_without_a_directory_is_not_made_one() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing");
    assert!(matches!(embedded::migrate_back(&nothing), Err(OpenError::NotReadable { .. })));
    assert!(!nothing.exists());
}
