//! Opening a data directory: locks, permissions, versions, metrics.

use crate::support::{hasty, lazy};
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, OpenError, Options};
use chaski_store::{AccountId, Engine, Seq, StoreError};

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

#[test]
fn a_second_server_on_the_same_data_is_refused_while_the_first_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let first = embedded::open(dir.path(), Options::default()).unwrap();
    let error = embedded::open(dir.path(), Options::default()).err().expect("refused");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(matches!(embedded::salvage(dir.path()), Err(OpenError::InUse { .. })));
    first.close();
    drop(first);
    embedded::open(dir.path(), Options::default()).unwrap();
}

#[test]
fn a_path_that_is_no_directory_is_named_in_one_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = embedded::open(file.path(), Options::default()).err().expect("refused");
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(file.path().to_str().unwrap()) && !text.contains('\n'), "{text}");
}

#[test]
fn nobody_else_can_read_the_files_even_in_a_directory_that_is_open_to_all() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let private = || {
        let mut seen = 0;
        for entry in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.path());
            seen += 1;
        }
        seen
    };
    let engine = embedded::open(dir.path(), lazy()).unwrap();
    assert!(private() >= 5, "journal, lock, and three files of the database");
    drop(engine);
    // A database of an earlier version.
    let database = dir.path().join("chaski.sqlite3");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    let _engine = embedded::open(dir.path(), lazy()).unwrap();
    private();
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("chaski.sqlite3"), vec![b'x'; 9000]).unwrap();
    let error = embedded::open(dir.path(), Options::default()).err().expect("refused");
    assert!(matches!(error, OpenError::Sqlite { .. }), "{error:?}");
}

#[test]
fn a_closed_engine_refuses_and_does_not_hang() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), lazy()).unwrap();
    let mut rig = Rig::new(&engine);
    let records = engine.records();
    rig.append_durably(romeo(), 1);
    engine.close();
    engine.close();
    assert!(matches!(rig.append(romeo(), 2), Err(StoreError::Failed(_))));
    assert!(records.get(chaski_store::Table::ACCOUNTS, "+1").is_err());
    assert!(records.put_if(chaski_store::Table::ACCOUNTS, "+1", b"{}", None).is_err());
    rig.store.ack(romeo(), &[Seq(1)]);
    rig.turn();
}

#[test]
fn the_engine_counts_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), lazy()).unwrap();
    let mut rig = Rig::new(&engine);
    let seq = rig.append_durably(romeo(), 1);
    rig.store.ack(romeo(), &[seq]);
    let mut registry = chaski_telemetry::Registry::default();
    engine.metrics().into_iter().for_each(|source| registry.register(source));
    let text = registry.render();
    for line in [
        "chaski_journal_frames_total 1\n",
        "chaski_journal_messages_total 1\n",
        "chaski_journal_syncs_total 1\n",
        "chaski_store_acked_in_memory_total 1\n",
        "chaski_store_spilled_total 0\n",
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
}

#[test]
fn an_idle_engine_leaves_the_disk_alone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = embedded::open(dir.path(), hasty()).unwrap();
    let mut rig = Rig::new(&engine);
    let seq = rig.append_durably(romeo(), 1);
    rig.store.ack(romeo(), &[seq]);
    rig.until("nothing left", |_| {
        let wal = std::fs::metadata(dir.path().join("chaski.sqlite3-wal"));
        crate::support::segments(dir.path()).is_empty() && wal.map_or(0, |wal| wal.len()) == 0
    });
    let written = || -> Vec<_> {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<_> =
            files.map(|file| (file.file_name(), file.metadata().unwrap().modified().unwrap())).collect();
        files.sort();
        files
    };
    // Many ticks of this engine without a write, soon after the last one.
    let mut before = written();
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        if written() == before {
            return;
        }
        before = written();
    }
    panic!("still writing: {before:?}");
}
