//! A full disk refuses what is new, keeps what is there, and goes on by itself when there is room.

use crate::support::hasty;
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, Options};
use chaski_store::{AccountId, Engine, Seq, StoreError};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system of its own, gone with the value.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` where this process may not mount.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        status.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// Takes every byte that is left.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    for size in [64 << 10, 4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

fn account(last: u64) -> AccountId {
    AccountId::phone(15_550_000 + last).unwrap()
}

/// Appends until the disk refuses; which were committed.
fn append_until_full(rig: &mut Rig, to: AccountId, first: u128) -> Vec<u128> {
    let mut committed = Vec::new();
    for id in first..first + 10_000 {
        let (_, ticket) = rig.append(to, id).unwrap();
        match rig.outcome(ticket) {
            Ok(()) => committed.push(id),
            Err(StoreError::Full) => return committed,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk never became full");
}

fn run(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path(), "6m") else {
        eprintln!("skipped: this process may not mount a tmpfs");
        return;
    };
    let data = dir.path().join("data");
    let engine = embedded::open(&data, options.clone()).unwrap();
    let mut rig = Rig::new(&engine);
    let (romeo, juliet) = (account(1), account(2));
    let seqs: Vec<_> = (0..20).map(|id| rig.append_durably(juliet, id)).collect();
    let filler = dir.path().join("filler");
    fill(&filler);
    let mut kept = append_until_full(&mut rig, romeo, 1000);
    assert_eq!(rig.ids(romeo), kept, "what was refused is not in the mailbox");
    assert_eq!(rig.usage(romeo).messages, kept.len() as u64);
    // Acknowledgements work, and what was accepted stays readable although it is due in SQLite.
    rig.store.ack(juliet, &seqs[..10]);
    rig.turn();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(rig.ids(juliet), (10..20).collect::<Vec<_>>());
    // What was acknowledged may have made a little room: it is soon full again.
    let more = append_until_full(&mut rig, juliet, 50_000);

    fs::remove_file(&filler).unwrap();
    rig.until("service resumes", |rig| {
        let (_, ticket) = rig.append(juliet, 600).unwrap();
        rig.outcome(ticket).is_ok()
    });
    assert_eq!(rig.ids(juliet), (10..20).chain(more.iter().copied()).chain([600]).collect::<Vec<_>>());
    for id in 5000..5010 {
        rig.append_durably(romeo, id);
        kept.push(id);
    }

    fill(&filler);
    drop(rig);
    engine.close();
    drop(engine);
    fs::remove_file(&filler).unwrap();
    let engine = embedded::open(&data, options).unwrap();
    let mut rig = Rig::new(&engine);
    assert_eq!(rig.ids(romeo), kept);
    assert_eq!(rig.ids(juliet), (10..20).chain(more.iter().copied()).chain([600]).collect::<Vec<_>>());
}

#[test]
fn with_everything_in_the_journal() {
    run(Options {
        segment_bytes: 100_000,
        preallocate_bytes: 8192,
        reserve_bytes: 0,
        contacts_reserve_bytes: 0,
        ..crate::support::lazy()
    });
}

#[test]
fn while_messages_are_due_in_sqlite() {
    run(Options { segment_bytes: 20_000, preallocate_bytes: 4096, ..hasty() });
}

#[test]
fn the_reserve_is_left_for_acknowledgements() {
    run(Options { preallocate_bytes: 8192, reserve_bytes: 256 << 10, ..hasty() });
}

/// What is left when the power is cut now.
fn after_a_power_cut(data: &Path, options: &Options, of: &[AccountId]) -> Vec<Vec<u128>> {
    let copy = tempfile::tempdir().unwrap();
    crate::support::copy_as_crashed(data, copy.path());
    let engine = embedded::open(copy.path(), options.clone()).unwrap();
    let mut rig = Rig::new(&engine);
    of.iter().map(|account| rig.ids(*account)).collect()
}

#[test]
fn acknowledgements_go_into_the_spare_when_others_have_taken_the_last_byte() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path(), "6m") else {
        eprintln!("skipped: this process may not mount a tmpfs");
        return;
    };
    let (data, filler) = (dir.path().join("data"), dir.path().join("filler"));
    let spare = data.join("journal.spare");
    let options = Options { preallocate_bytes: 16 << 10, spill_after_ms: u64::MAX / 4, ..hasty() };
    let engine = embedded::open(&data, options.clone()).unwrap();
    let mut rig = Rig::new(&engine);
    let (romeo, juliet) = (account(1), account(2));
    let seqs: Vec<_> = (0..20).map(|id| rig.append_durably(juliet, id)).collect();
    let settled = |rig: &mut Rig, expected: [Vec<u128>; 2]| {
        rig.until("acknowledgements are durable", |rig| {
            rig.turn();
            after_a_power_cut(&data, &options, &[romeo, juliet]) == expected
        });
        assert!(reading(&engine, "chaski_journal_spares_taken_total") > 0);
    };
    rig.until("there is a spare", |_| spare.exists());
    fill(&filler);
    let kept = append_until_full(&mut rig, romeo, 1_000);
    rig.store.ack(juliet, &seqs[..10]);
    settled(&mut rig, [kept.clone(), (10..20).collect()]);
    assert!(!spare.exists());
    // What was acknowledged makes a little room. With that taken, too, nothing else goes into the spare; and it stays for those that
    // follow, however old it is.
    let mut first = 2_000;
    let mut kept = kept;
    rig.until("nothing more is accepted", |rig| {
        fill(&filler);
        let more = append_until_full(rig, romeo, first);
        first += 10_000;
        kept.extend(&more);
        more.is_empty()
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    rig.store.ack(juliet, &seqs[10..]);
    settled(&mut rig, [kept.clone(), vec![]]);
    fs::remove_file(&filler).unwrap();
    rig.until("there is another", |_| spare.exists());
    fill(&filler);
    let last = append_until_full(&mut rig, juliet, 50_000);
    let seqs: Vec<Seq> = rig.read_all(juliet, 100).iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs.len(), last.len());
    fill(&filler);
    rig.store.ack(juliet, &seqs);
    settled(&mut rig, [kept, vec![]]);
}

/// Copies a data directory as the end of a process leaves it: with SQLite's shared memory, which takes room too.
fn copy_as_killed(from: &Path, to: &Path) {
    crate::support::copy_as_crashed(from, to);
    fs::copy(from.join("chaski.sqlite3-shm"), to.join("chaski.sqlite3-shm")).unwrap();
}

#[test]
fn a_start_on_a_full_disk_serves_what_is_in_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path(), "8m") else {
        eprintln!("skipped: this process may not mount a tmpfs");
        return;
    };
    let small = Options {
        segment_bytes: 20_000,
        preallocate_bytes: 4096,
        reserve_bytes: 0,
        contacts_reserve_bytes: 0,
        slice_messages: 7,
        tick_ms: 2,
        ..crate::support::lazy()
    };
    let (live, data) = (dir.path().join("live"), dir.path().join("data"));
    let (romeo, juliet) = (account(1), account(2));
    // Some of it in SQLite, some in the journal only, some acknowledged in the journal and in SQLite still.
    let engine = embedded::open(&live, Options { mailbox_cache_bytes: 2000, ..small.clone() }).unwrap();
    let mut rig = Rig::new(&engine);
    let seqs: Vec<_> = (0..60).map(|id| rig.append_durably(romeo, id)).collect();
    (100..130).for_each(|id| assert!(rig.append_durably(juliet, id) > Seq(0)));
    rig.until("some are in SQLite", |rig| {
        rig.usage(romeo).messages == 60 && reading(&engine, "chaski_store_spilled_total") > 20
    });
    rig.until("no move is under way", |_| {
        reading(&engine, "chaski_sqlite_waiting") == 0
            && reading(&engine, "chaski_sqlite_transactions_total") > 0
    });
    copy_as_killed(&live, &data);
    drop(rig);
    engine.close();
    drop(engine);
    fs::remove_dir_all(&live).unwrap();
    let filler = dir.path().join("filler");
    fill(&filler);

    let engine = embedded::open(&data, small.clone()).expect("a full disk does not prevent a start");
    let mut rig = Rig::new(&engine);
    assert_eq!(rig.usage(romeo).messages, 60);
    let expected: Vec<u128> = (0..60).collect();
    assert_eq!(rig.ids(romeo), expected);
    assert_eq!(rig.ids(juliet), (100..130).collect::<Vec<_>>());
    let (_, ticket) = rig.append(juliet, 500).unwrap();
    assert!(matches!(rig.outcome(ticket), Err(StoreError::Full)));
    assert!(!engine.troubles().is_empty());
    // Sent again by who saw no answer, it is known.
    rig.load(juliet);
    assert_eq!(rig.append(juliet, 110).unwrap().0, chaski_store::Appended::Duplicate);
    // Acknowledged, it is not shown again, although nothing of it can be written.
    rig.store.ack(romeo, &seqs[..30]);
    assert_eq!(rig.ids(romeo), expected[30..]);

    fs::remove_file(&filler).unwrap();
    rig.until("service resumes", |_| engine.troubles().is_empty());
    assert_eq!(rig.ids(romeo), expected[30..]);
    rig.append_durably(juliet, 600);
    rig.until("deleted", |rig| rig.usage(romeo).messages == 30);
    let rest: Vec<u128> = (100..130).chain([600]).collect();
    assert_eq!(rig.ids(juliet), rest);
    for closed in [false, true] {
        let crashed = dir.path().join(format!("crashed-{closed}"));
        if closed {
            rig.turn();
            engine.close();
        }
        crate::support::copy_as_crashed(&data, &crashed);
        let engine = embedded::open(&crashed, small.clone()).unwrap();
        let mut rig = Rig::new(&engine);
        assert_eq!(
            (rig.ids(romeo), rig.ids(juliet)),
            (expected[30..].to_vec(), rest.clone()),
            "closed: {closed}"
        );
    }
}

fn reading(engine: &dyn Engine, name: &str) -> i64 {
    let readings = engine.metrics().into_iter().flat_map(|source| source.metrics());
    readings.filter(|metric| metric.name == name).map(|metric| metric.number()).sum()
}
