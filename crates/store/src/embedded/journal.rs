//! The journal: what was accepted, acknowledged or changed in the last half minute, in order, on disk.
//!
//! Owns `journal/` in the data directory: segments of frames ([`mod@format`] describes every byte). One [`writer`]
//! thread per data directory turns the shards' batches into one frame per commit: write, `fdatasync`, publish,
//! repeat; so commits grow with the load and a sync never blocks a shard. [`segment`] is the file being written,
//! [`scan`] reads segments back and tells a torn last write from damage in the middle, [`roll`] says beside the
//! journal which segments there must be, and the [`caretaker`] makes room in segments and gives it back on a thread of
//! its own.
//!
//! Promises: a frame is written only after the one before it is synced; a segment is given up only after every
//! older one, when no shard has anything in it that is not acknowledged or in SQLite, and when SQLite has done what its frames say; after a failed write or sync a
//! segment is never written again (`writer/failure.rs`).
//!
//! # The life of a segment, and what a power cut finds
//!
//! Each step is durable before the next begins, but for those marked \*, which may be found done, undone or done in part, in any order.
//!
//! 1. *Made*: file with zeros and header, fsync; its name, fsync of the directory. Not on the roll, with the roll's `next` or
//!    a higher number: read, and skipped if its header is not there.
//! 2. *Called*: the roll names it. Missing from now on is an error.
//! 3. *Written*, frame by frame into room that is durable. *Extended*: zeros behind the room\*, then fsync, then
//!    frames into them. Zeros that were not synced, or what a cut left in their place, stand behind the last frame: the torn end of the
//!    last segment, or void where a later segment begins.
//! 4. *Taken off the roll*, when nobody needs it nor any before it. From the moment that this is durable no start reads the
//!    file, whatever is in it, and none misses it: it is off the roll and below `next`, a leftover that the start removes.
//!    Were a byte cut off before, a start could find damage, or appends whose acknowledgements are gone.
//! 5. *Cut off* from its end\*, step by step; *unlinked*\*; fsync of the directory, after which no byte of it comes back.
//!
//! Steps 1, 2 and 4 are the writer's, in this order, as it alone writes the roll; the extensions of 3, and 5, the caretaker's. Between 4 and
//! 5 lies nothing but waiting, at most a tick and, for each segment before it in the queue, half a second: the disk has that much less
//! room meanwhile, which is looked at as it is ([`Disk::room_left`]). `salvage` without a roll reads what it finds, a segment that was being
//! cut off too: of that one, messages whose acknowledgements stood at its end can come back, once.

pub(super) mod caretaker;
pub(super) mod effects;
pub(super) mod format;
pub(super) mod roll;
pub(super) mod scan;
pub(super) mod segment;
pub(super) mod spare;
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
