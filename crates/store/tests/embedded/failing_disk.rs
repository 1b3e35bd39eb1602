//! A disk whose writes and syncs fail: nothing is confirmed that is not durable, nothing refused comes back, it is said,
//! and it gets well by itself.

use crate::support::{copy_as_crashed, lazy, segments};
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, Disk, DiskFile, EmbeddedEngine, Open, Options, SystemDisk};
use chaski_store::{AccountId, Engine, StoreError, Ticket};
use std::ffi::OsString;
use std::fs::{self, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    SyncData,
    SyncAll,
    SyncDirectory,
    Unlink,
}

/// What is to fail: calls on paths that end so, this often.
struct Rule {
    call: Call,
    ending: &'static str,
    times: u64,
    code: i32,
    /// What was written since the last sync is gone, and the next sync, with nothing to do, succeeds.
    loses: bool,
}

#[derive(Default)]
struct Rules {
    all: Mutex<Vec<Rule>>,
    /// 0: the real room.
    room: AtomicU64,
}

impl Rules {
    /// The failure that is due for this call, and whether it loses what was written.
    fn due(&self, call: Call, path: &Path) -> Option<(io::Error, bool)> {
        let mut all = self.all.lock().unwrap();
        let rule = all.iter_mut().find(|rule| {
            rule.call == call && rule.times > 0 && path.to_str().unwrap().ends_with(rule.ending)
        })?;
        rule.times -= 1;
        Some((io::Error::from_raw_os_error(rule.code), rule.loses))
    }

    fn check(&self, call: Call, path: &Path) -> io::Result<()> {
        self.due(call, path).map_or(Ok(()), |(error, _)| Err(error))
    }
}

/// The system's disk, on which some calls fail.
#[derive(Clone, Default)]
struct FailingDisk(Arc<Rules>);

impl FailingDisk {
    fn fail(&self, call: Call, ending: &'static str, times: u64, code: i32) {
        self.0.all.lock().unwrap().push(Rule { call, ending, times, code, loses: true });
    }

    /// As [`Self::fail`], but what was written stays.
    fn fail_and_keep(&self, call: Call, ending: &'static str, times: u64, code: i32) {
        self.0.all.lock().unwrap().push(Rule { call, ending, times, code, loses: false });
    }

    fn mend(&self) {
        self.0.all.lock().unwrap().clear();
    }

    /// Failures that have not been used up.
    fn left(&self) -> u64 {
        self.0.all.lock().unwrap().iter().map(|rule| rule.times).sum()
    }
}

struct FailingFile {
    file: Box<dyn DiskFile>,
    path: std::path::PathBuf,
    rules: Arc<Rules>,
    /// What was there before each write since the last sync.
    unsynced: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl FailingFile {
    fn sync(&self, call: Call) -> io::Result<()> {
        let unsynced = std::mem::take(&mut *self.unsynced.lock().unwrap());
        let Some((error, loses)) = self.rules.due(call, &self.path) else { return Ok(()) };
        if loses {
            for (offset, before) in unsynced.into_iter().rev() {
                self.file.write_all_at(&before, offset).unwrap();
            }
        }
        Err(error)
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut before = vec![0; bytes.len()];
        self.file.read_at(&mut before, offset)?;
        self.unsynced.lock().unwrap().push((offset, before));
        if let Some((error, _)) = self.rules.due(Call::Write, &self.path) {
            // A part of it is there.
            self.file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.file.write_all_at(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(Call::SyncData).and_then(|()| self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(Call::SyncAll).and_then(|()| self.file.sync_all())
    }
}

impl Disk for FailingDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let file = SystemDisk.open(path, how)?;
        // Made under this name and renamed.
        let path = if path.ends_with("journal.roll.new") { path.with_extension("") } else { path.to_owned() };
        let rules = self.0.clone();
        Ok(Box::new(FailingFile { file, path, rules, unsynced: Mutex::default() }))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskFile>, TryLockError> {
        SystemDisk.lock(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        SystemDisk.read(path)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        SystemDisk.length(path)
    }

    fn make_private(&self, path: &Path) -> io::Result<()> {
        SystemDisk.make_private(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        SystemDisk.list(directory)
    }

    fn make_directory(&self, directory: &Path) -> io::Result<()> {
        SystemDisk.make_directory(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.0.check(Call::Unlink, path)?;
        SystemDisk.unlink(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.0.check(Call::SyncDirectory, directory)?;
        SystemDisk.sync_directory(directory)
    }

    fn room_left(&self, directory: &Path) -> Option<u64> {
        match self.0.room.load(Ordering::SeqCst) {
            0 => SystemDisk.room_left(directory),
            room => Some(room),
        }
    }
}

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
    disk: FailingDisk,
    engine: EmbeddedEngine,
    rig: Rig,
}

impl Bench {
    fn new(options: Options) -> Self {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FailingDisk::default());
        let options = Options { disk: Arc::new(disk.clone()), tick_ms: 2, ..options };
        let engine = embedded::open(dir.path(), options).unwrap();
        let rig = Rig::new(&engine);
        Self { dir, disk, engine, rig }
    }

    fn reading(&self, name: &str) -> i64 {
        let readings = self.engine.metrics().into_iter().flat_map(|source| source.metrics());
        readings.filter(|metric| metric.name == name).map(|metric| metric.number()).sum()
    }

    /// What a start after a power cut finds.
    fn crashed(&self) -> Vec<u128> {
        let dead = tempfile::tempdir().unwrap();
        copy_as_crashed(self.dir.path(), dead.path());
        let engine = embedded::open(dead.path(), lazy()).unwrap();
        Rig::new(&engine).ids(romeo())
    }

    fn until_troubled(&mut self) {
        let engine = &self.engine;
        self.rig.until("trouble is said", |_| !engine.troubles().is_empty());
    }
}

/// Rests that a test can wait for.
fn impatient() -> Options {
    // No room is made between commits, so that it is the frames' writes that fail.
    Options { retry_ms: 5, retry_ms_max: 20, commit_interval_us: 0, ..lazy() }
}

#[test]
fn a_sync_that_fails_once_refuses_nobody_and_loses_nothing() {
    for code in [libc::EIO, libc::ENOSPC, libc::EDQUOT] {
        for loses in [true, false] {
            let mut bench = Bench::new(impatient());
            bench.rig.append_durably(romeo(), 1);
            match loses {
                true => bench.disk.fail(Call::SyncData, ".journal", 1, code),
                false => bench.disk.fail_and_keep(Call::SyncData, ".journal", 1, code),
            }
            bench.rig.append_durably(romeo(), 2);
            assert_eq!(bench.disk.left(), 0);
            assert_eq!(bench.reading("chaski_journal_failures_total"), 1);
            assert_eq!(segments(bench.dir.path()).len(), 2, "what failed is never written again");
            assert!(bench.engine.troubles().is_empty());
            bench.rig.append_durably(romeo(), 3);
            assert_eq!(bench.crashed(), [1, 2, 3], "code {code}, lost: {loses}");
            assert_eq!(bench.rig.ids(romeo()), [1, 2, 3]);
        }
    }
}

/// Appends without waiting.
fn submit(bench: &mut Bench, id: u128) -> Ticket {
    let (_, ticket) = bench.rig.append(romeo(), id).unwrap();
    bench.rig.turn();
    ticket
}

#[test]
fn while_the_disk_fails_what_was_in_a_frame_waits_and_what_is_new_is_refused() {
    for (call, code) in
        [(Call::SyncData, libc::EIO), (Call::Write, libc::EIO), (Call::SyncData, libc::ENOSPC)]
    {
        let mut bench = Bench::new(impatient());
        bench.rig.append_durably(romeo(), 1);
        bench.disk.fail_and_keep(call, ".journal", u64::MAX, code);
        let in_doubt = submit(&mut bench, 2);
        bench.until_troubled();
        assert!(
            bench.engine.troubles()[0].contains("the journal cannot be written"),
            "{:?}",
            bench.engine.troubles()
        );
        assert_eq!(bench.reading("chaski_journal_failing"), 1);
        let refused = bench.rig.append(romeo(), 3).map(drop);
        assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
        // More attempts, and no word on the message in doubt, which a crash now may bring back or not.
        let before = bench.reading("chaski_journal_failures_total");
        let failures = |engine: &EmbeddedEngine| -> i64 {
            let readings = engine.metrics().into_iter().flat_map(|source| source.metrics());
            readings.filter(|one| one.name == "chaski_journal_failures_total").map(|one| one.number()).sum()
        };
        let engine = &bench.engine;
        bench.rig.until("tried again", |_| failures(engine) >= before + 4);
        assert!(bench.rig.take_completions().is_empty());
        let found = bench.crashed();
        assert!(found == [1] || found == [1, 2], "{found:?}");

        bench.disk.mend();
        bench.rig.committed(in_doubt);
        let engine = &bench.engine;
        bench.rig.until("well", |_| engine.troubles().is_empty());
        assert_eq!(bench.reading("chaski_journal_failing"), 0);
        bench.rig.append_durably(romeo(), 4);
        assert_eq!(bench.crashed(), [1, 2, 4], "{call:?}");
        assert_eq!(bench.rig.ids(romeo()), [1, 2, 4]);
    }
}

#[test]
fn with_nothing_to_write_the_end_of_a_failure_is_noticed() {
    let mut bench = Bench::new(impatient());
    bench.disk.fail(Call::SyncData, ".journal", u64::MAX, libc::EIO);
    let seq = submit(&mut bench, 1);
    bench.until_troubled();
    bench.disk.mend();
    bench.rig.committed(seq);
    bench.disk.fail(Call::SyncDirectory, "/journal", u64::MAX, libc::EIO);
    bench.disk.fail(Call::SyncData, ".journal", 1, libc::EIO);
    let ticket = submit(&mut bench, 2);
    bench.until_troubled();
    bench.disk.mend();
    let engine = &bench.engine;
    bench.rig.until("well", |_| engine.troubles().is_empty());
    bench.rig.committed(ticket);
}

#[test]
fn every_failed_sync_of_room_segment_directory_and_roll_is_answered_by_another_segment() {
    // In the gap between two commits room for the next is made, and here it always has to be.
    let roomy = Options { preallocate_bytes: 300, commit_interval_us: 20_000, ..impatient() };
    for (call, ending, segment_bytes) in [
        // No other segment is begun, so that it is the room's; and one for each frame, so that it is the segment's.
        (Call::SyncAll, ".journal", 1 << 20),
        (Call::SyncAll, ".journal", 1),
        (Call::SyncDirectory, "/journal", 2000),
        (Call::SyncData, "journal.roll", 2000),
    ] {
        let mut bench = Bench::new(Options { segment_bytes, ..roomy.clone() });
        bench.rig.append_durably(romeo(), 1);
        bench.disk.fail(call, ending, 1, libc::EIO);
        let mut sent = vec![1];
        while bench.disk.left() > 0 {
            let id = sent.len() as u128 + 1;
            sent.push(id);
            bench.rig.append_durably(romeo(), id);
            assert!(id < 500, "{call:?} of {ending} is never called");
        }
        // Room is made beside the commits: whose failure it was is known a moment later.
        let metrics = bench.engine.metrics();
        let failures = || {
            let readings = metrics.iter().flat_map(|source| source.metrics());
            readings
                .filter(|one| one.name == "chaski_journal_failures_total")
                .map(|one| one.number())
                .sum::<i64>()
        };
        bench.rig.until(&format!("{call:?} of {ending} is answered"), |_| failures() > 0);
        assert_eq!(failures(), 1, "{call:?} of {ending} is told once");
        bench.rig.append_durably(romeo(), 1000);
        sent.push(1000);
        assert_eq!(bench.crashed(), sent, "{call:?} of {ending}");
    }
}

#[test]
fn a_disk_that_fails_for_long_is_not_filled() {
    for ending in [".journal", "journal.roll"] {
        let mut bench = Bench::new(Options { retry_ms: 1, retry_ms_max: 2, ..impatient() });
        bench.rig.append_durably(romeo(), 1);
        bench.disk.fail(Call::SyncData, ending, u64::MAX, libc::EIO);
        bench.disk.fail(Call::SyncData, ".journal", u64::MAX, libc::EIO);
        submit(&mut bench, 2);
        let failures = |engine: &EmbeddedEngine| -> i64 {
            let readings = engine.metrics().into_iter().flat_map(|source| source.metrics());
            readings.filter(|one| one.name == "chaski_journal_failures_total").map(|one| one.number()).sum()
        };
        let engine = &bench.engine;
        bench.rig.until("many attempts", |_| failures(engine) > 40);
        let made = segments(bench.dir.path()).len();
        assert!(made <= 4, "{made} segments");
        let found = bench.crashed();
        assert!(found == [1] || found == [1, 2], "{found:?}");
    }
}

#[test]
fn what_was_confirmed_in_a_segment_that_failed_moves_to_sqlite_soon() {
    let mut bench = Bench::new(impatient());
    bench.rig.append_durably(romeo(), 1);
    let first = segments(bench.dir.path())[0].clone();
    bench.disk.fail(Call::SyncData, ".journal", 1, libc::EIO);
    bench.rig.append_durably(romeo(), 2);
    bench.rig.until("the segment goes", |_| !first.exists());
    assert_eq!(bench.crashed(), [1, 2]);
}

#[test]
fn segments_that_cannot_be_removed_are_told_and_go_in_the_end() {
    let hasty = Options { tick_ms: 2, ..crate::support::hasty() };
    for (call, ending) in [(Call::Unlink, ".journal"), (Call::SyncDirectory, "/journal")] {
        let mut bench = Bench::new(hasty.clone());
        let seq = bench.rig.append_durably(romeo(), 1);
        bench.disk.fail(call, ending, u64::MAX, libc::EIO);
        bench.rig.store.ack(romeo(), &[seq]);
        let engine = &bench.engine;
        let is_told = |trouble: &String| trouble.contains("cannot be removed");
        bench.rig.until("it is said", |_| engine.troubles().iter().any(is_told));
        bench.disk.mend();
        let (engine, dir) = (&bench.engine, bench.dir.path());
        bench.rig.until("well", |_| engine.troubles().is_empty() && segments(dir).is_empty());
    }
}

#[test]
fn a_frame_that_could_be_cut_off_is_refused_and_does_not_come_back() {
    let mut bench = Bench::new(impatient());
    bench.rig.append_durably(romeo(), 1);
    bench.disk.fail(Call::Write, ".journal", 1, libc::ENOSPC);
    let ticket = submit(&mut bench, 2);
    assert!(matches!(bench.rig.outcome(ticket), Err(StoreError::Full)));
    assert_eq!(bench.crashed(), [1]);
    let engine = &bench.engine;
    bench.rig.until("there is room", |_| engine.troubles().is_empty());
    // A shorter frame in its place: nothing of the other may stand behind it.
    let length = fs::metadata(&segments(bench.dir.path())[0]).unwrap().len();
    assert!(length < 16 << 10, "the room behind it went too: {length}");
    bench.rig.append_durably(romeo(), 3);
    assert_eq!(bench.crashed(), [1, 3]);
}

#[test]
fn the_reserve_is_not_for_messages() {
    let mut bench = Bench::new(Options { reserve_bytes: 1 << 20, ..impatient() });
    bench.disk.0.room.store((1 << 20) + 1000, Ordering::SeqCst);
    let ticket = submit(&mut bench, 1);
    assert!(matches!(bench.rig.outcome(ticket), Err(StoreError::Full)));
    assert!(bench.engine.troubles()[0].contains("the disk is full"), "{:?}", bench.engine.troubles());
    bench.disk.0.room.store(4 << 20, Ordering::SeqCst);
    let engine = &bench.engine;
    bench.rig.until("there is room", |_| engine.troubles().is_empty());
    bench.rig.append_durably(romeo(), 2);
    assert_eq!(bench.crashed(), [2]);
}

/// A sync that fails for want of room is a failed sync: what was in the frame may be on the disk, and is not refused.
#[test]
fn a_disk_that_is_full_only_when_it_syncs_refuses_nothing_that_it_may_hold() {
    let mut bench = Bench::new(impatient());
    bench.rig.append_durably(romeo(), 1);
    bench.disk.fail_and_keep(Call::SyncData, ".journal", 1, libc::ENOSPC);
    // From the first sync on there is no room for another segment either.
    bench.disk.fail(Call::Write, "000002.journal", u64::MAX, libc::ENOSPC);
    bench.disk.fail(Call::Write, "000003.journal", u64::MAX, libc::ENOSPC);
    let in_doubt = submit(&mut bench, 2);
    bench.until_troubled();
    assert!(bench.rig.append(romeo(), 3).is_err());
    assert_eq!(bench.crashed(), [1, 2], "it would have come back after an error");
    assert!(bench.rig.take_completions().is_empty());
    bench.disk.mend();
    bench.rig.committed(in_doubt);
    assert_eq!(bench.crashed(), [1, 2]);
}
