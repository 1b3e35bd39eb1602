//! The secrets of a data directory are replaced while no server has it; nothing that waits is lost, and the old one is nowhere.

use crate::support::{hasty, holds, lazy};
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, OpenError};
use chaski_store::secrets::{OVERLAP_MS, Secrets};
use chaski_store::{AccountId, Engine};
use rusqlite::Connection;
use std::path::Path;

fn account(last: u64) -> AccountId {
    AccountId::phone(19_990_000_000 + last).unwrap()
}

/// A directory in which messages wait, moved to the database and not.
fn filled() -> (tempfile::TempDir, Secrets) {
    let dir = tempfile::tempdir().unwrap();
    for (options, last) in [(hasty(), 1), (lazy(), 2)] {
        let engine = embedded::open(dir.path(), options).unwrap();
        let mut rig = Rig::new(&engine);
        (0..300).for_each(|id| _ = rig.append_durably(account(last), id));
        drop(rig);
        engine.close();
    }
    let secrets = check(dir.path());
    (dir, secrets)
}

fn check(dir: &Path) -> Secrets {
    let engine = embedded::open(dir, lazy()).unwrap();
    let mut rig = Rig::new(&engine);
    for last in 1..=2 {
        assert_eq!(rig.ids(account(last)), (0..300).collect::<Vec<u128>>());
    }
    let secrets = engine.secrets();
    drop(rig);
    engine.close();
    secrets
}

fn own(dir: &Path) -> [u8; 16] {
    let database = Connection::open(dir.join("chaski.sqlite3")).unwrap();
    database.query_row("SELECT value FROM meta WHERE name = 'secret'", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_directorys_secret_is_replaced_and_everything_waits_as_before() {
    let (dir, secrets) = filled();
    let before = own(dir.path());
    let mut told = Vec::new();
    let sealed = embedded::replace_directory_secret(dir.path(), &mut |sealed| told.push(sealed)).unwrap();
    assert_eq!((sealed, told), (600, vec![256, 512, 600]));
    assert_ne!(own(dir.path()), before);
    assert!(!holds(dir.path(), &before), "whoever finds an old copy of a page can't open it");
    assert_eq!(check(dir.path()), secrets, "the realm's stay");
}

#[test]
fn the_realms_secret_is_replaced_once_in_its_time_and_at_once_if_it_is_forgotten() {
    let (dir, before) = filled();
    let now_unix_ms = || embedded::open(dir.path(), lazy()).unwrap().time().unix_ms();
    let (earliest, replaced) =
        (now_unix_ms() + OVERLAP_MS, embedded::replace_realm_secret(dir.path(), true).unwrap());
    assert_eq!(check(dir.path()), replaced);
    assert!(replaced.root == before.root && replaced.current != before.current);
    let former = replaced.former.unwrap();
    assert_eq!(former.secret, before.current);
    assert!((earliest..=now_unix_ms() + OVERLAP_MS).contains(&former.until_unix_ms));
    let refused = embedded::replace_realm_secret(dir.path(), true);
    assert!(matches!(refused, Err(OpenError::SecretStillGood { days: 30 })));
    assert_eq!(check(dir.path()), replaced, "as it was");
    let forgotten = embedded::replace_realm_secret(dir.path(), false).unwrap();
    assert!(forgotten.former.is_none() && forgotten.current != replaced.current);
    assert!(!holds(dir.path(), &before.current) && !holds(dir.path(), &replaced.current));
    assert_eq!(check(dir.path()), forgotten);
}

#[test]
fn an_older_program_finds_the_one_secret_that_it_knows() {
    let (dir, secrets) = filled();
    assert_ne!(own(dir.path()), secrets.root);
    embedded::migrate_back(dir.path()).unwrap();
    assert_eq!(own(dir.path()), secrets.root, "salts follow from it");
    let again = check(dir.path());
    assert_eq!(again, Secrets::from(secrets.root));
}

#[test]
fn a_directory_in_use_and_one_that_is_not_there_are_refused() {
    let (dir, before) = filled();
    let engine = embedded::open(dir.path(), lazy()).unwrap();
    assert!(matches!(embedded::replace_realm_secret(dir.path(), true), Err(OpenError::InUse { .. })));
    let own = embedded::replace_directory_secret(dir.path(), &mut |_| ());
    assert!(matches!(own, Err(OpenError::InUse { .. })));
    assert_eq!(engine.secrets(), before);
    let nothing = dir.path().join("nothing");
    assert!(matches!(embedded::replace_realm_secret(&nothing, true), Err(OpenError::NotReadable { .. })));
    assert!(!nothing.exists());
}
