//! What the embedded engine's tests share.

use chaski_store::embedded::{Clock, Options, SystemClock};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// A machine whose wall clock stands still until it is set, and whose time can be made to pass.
pub(crate) struct WallClock {
    real: SystemClock,
    passed_ms: AtomicU64,
    wall_unix_ms: AtomicU64,
}

impl WallClock {
    pub(crate) fn at(wall_unix_ms: u64) -> Arc<Self> {
        let (real, passed_ms) = Default::default();
        Arc::new(Self { real, passed_ms, wall_unix_ms: AtomicU64::new(wall_unix_ms) })
    }

    /// Time passes: both clocks go on.
    pub(crate) fn pass(&self, ms: u64) {
        self.wall_unix_ms.fetch_add(ms, Ordering::SeqCst);
        self.passed_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set(&self, wall_unix_ms: u64) {
        self.wall_unix_ms.store(wall_unix_ms, Ordering::SeqCst);
    }
}

impl Clock for WallClock {
    fn now_ms(&self) -> u64 {
        self.real.now_ms() + self.passed_ms.load(Ordering::SeqCst)
    }

    fn unix_ms(&self) -> u64 {
        self.wall_unix_ms.load(Ordering::SeqCst)
    }
}

/// Everything due within milliseconds instead of half a minute.
pub(crate) fn hasty() -> Options {
    Options {
        segment_age_ms: 20,
        spill_after_ms: 40,
        ack_linger_ms: 2,
        delete_linger_ms: 2,
        checkpoint_after_ms: 20,
        tick_ms: 2,
        preallocate_bytes: 16 << 10,
        reserve_bytes: 0,
        contacts_reserve_bytes: 0,
        ..Options::default()
    }
}

/// Nothing leaves the journal.
pub(crate) fn lazy() -> Options {
    Options {
        segment_age_ms: u64::MAX / 4,
        spill_after_ms: u64::MAX / 4,
        mark_after_ms: u64::MAX / 4,
        preallocate_bytes: 16 << 10,
        contacts_reserve_bytes: 0,
        ..Options::default()
    }
}

/// Copies a data directory as a power cut leaves it: no lock, no shared memory of SQLite's.
pub(crate) fn copy_as_crashed(from: &Path, to: &Path) {
    // A crash is one moment, and copying takes many: what has changed meanwhile is copied again.
    for _ in 0..1_000 {
        let before = fingerprint(from);
        try_copy(from, to);
        if fingerprint(from) == before {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
    panic!("{} never stands still", from.display());
}

const BESIDE_THE_JOURNAL: [&str; 3] = ["journal.roll", "chaski.sqlite3", "chaski.sqlite3-wal"];

/// Names, lengths and times of change of all files.
fn fingerprint(dir: &Path) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let segments = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = BESIDE_THE_JOURNAL.iter().map(|name| dir.join(name)).chain(segments).collect();
    files.sort_unstable();
    let of = |path: PathBuf| match fs::metadata(&path) {
        Ok(found) => (path, found.len(), found.modified().ok()),
        Err(_) => (path, 0, None),
    };
    files.into_iter().map(of).collect()
}

fn try_copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("journal")).unwrap();
    let segments = fs::read_dir(from.join("journal")).unwrap().map(|entry| entry.unwrap().file_name());
    let segments = segments.map(|name| Path::new("journal").join(name));
    for name in BESIDE_THE_JOURNAL.map(PathBuf::from).into_iter().chain(segments) {
        // It may be gone meanwhile: then all is copied again.
        if from.join(&name).exists() {
            let _ = fs::copy(from.join(&name), to.join(&name));
        }
    }
}

/// Whether any file below `dir` contains `marker`.
pub(crate) fn holds(dir: &Path, marker: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, marker),
            // A segment may be unlinked while we look.
            false => {
                fs::read(&path).is_ok_and(|bytes| bytes.windows(marker.len()).any(|window| window == marker))
            }
        }
    })
}

/// The journal's segments, in order.
pub(crate) fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Bytes of a file up to its last one that isn't zero.
pub(crate) fn used(path: &Path) -> usize {
    fs::read(path).unwrap().iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}
