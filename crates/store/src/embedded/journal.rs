//! The journal: what was accepted or acknowledged in the last half minute, in order, on disk.
//!
//! Owns `journal/` in the data directory: segments of frames ([`mod@format`] describes every byte). One [`writer`]
//! thread per data directory turns the shards' batches into one frame per commit: write, `fdatasync`, publish,
//! repeat; so commits grow with the load and a sync never blocks a shard. [`segment`] is the file being written,
//! [`scan`] reads segments back and tells a torn last write from damage in the middle, and [`roll`] says beside the
//! journal which segments there must be.
//!
//! Promises: a frame is written only after the one before it is synced; a segment is unlinked only after every
//! older one, and when no shard has anything in it that is not acknowledged or in SQLite; after a failed write or sync a
//! segment is never written again (`writer/failure.rs`).

pub(super) mod format;
pub(super) mod roll;
pub(super) mod scan;
pub(super) mod segment;
pub(super) mod writer;

use super::OpenError;
use super::disk::Disk;
use std::path::{Path, PathBuf};

/// Where the segments of a data directory are.
pub(super) fn directory(data: &Path) -> PathBuf {
    data.join("journal")
}

/// The path of a segment.
pub(super) fn segment_path(journal: &Path, number: u64) -> PathBuf {
    journal.join(format!("{number:012}.journal"))
}

/// The segments there are, in order of their numbers. Other files are left alone.
pub(super) fn list(disk: &dyn Disk, journal: &Path) -> Result<Vec<(u64, PathBuf)>, OpenError> {
    let unreadable = |source| OpenError::NotReadable { path: journal.to_owned(), source };
    let mut segments = Vec::new();
    for name in disk.list(journal).map_err(unreadable)? {
        let number = name.to_str().and_then(|name| name.strip_suffix(".journal"));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            segments.push((number, journal.join(name)));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}
