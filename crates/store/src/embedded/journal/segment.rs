//! The segment that is being written: one file, preallocated with zeros, appended to frame by frame.
//!
//! Preallocation means that a sync need not change the file's size, and that a full disk shows while there is nothing
//! to lose: room is made (and synced) before a frame is written into it, ahead of need by the [`super::caretaker`]. Zeros, not
//! `fallocate`: a write into room that only is allocated changes what the file system knows of it, and each commit would pay for that.
//!
//! Promise: every call that fails says whether the segment is as it was ([`SegmentError::Full`]) or must never be written
//! again ([`SegmentError::Failed`]). A sync that fails is the latter whatever its reason, a full disk included.

use super::caretaker::Extension;
use super::format::{SEGMENT_HEADER, Seed, SegmentHeader};
use crate::embedded::disk::{Disk, DiskFile, Open};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// An open segment.
pub(crate) struct Segment {
    file: Box<dyn DiskFile>,
    /// The same, opened again: for the caretaker, so that a failure to write back is told to both.
    room_file: Arc<dyn DiskFile>,
    path: PathBuf,
    pub(crate) number: u64,
    /// Where the next frame goes.
    used: u64,
    /// How far the file is filled with zeros.
    allocated: u64,
    /// When its first frame was written, if one was.
    pub(crate) first_frame_ms: Option<u64>,
    /// It was the [`super::spare`], and no room has been made in it.
    pub(crate) is_spare: bool,
}

/// Why something is not in a segment.
#[derive(Debug)]
pub(crate) enum SegmentError {
    /// No room on the disk. Nothing of it is there, durably.
    Full,
    /// Nobody knows what is on the disk now.
    Failed {
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl SegmentError {
    /// What a failure before anything was written or synced means.
    pub(crate) fn before(what: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Failed { what, source },
        }
    }
}

/// What a failed call means from which on the disk is in doubt.
pub(crate) fn failed(what: &'static str) -> impl Fn(io::Error) -> SegmentError {
    move |source| SegmentError::Failed { what, source }
}

/// Fills a file with zeros up to `end`, or leaves its end at `from`. Not durable yet.
pub(crate) fn fill(file: &dyn DiskFile, from: u64, end: u64) -> Result<(), SegmentError> {
    let mut at = from;
    while at < end {
        let piece = (end - at).min(ZEROS.len() as u64) as usize;
        if let Err(error) = file.write_all_at(&ZEROS[..piece], at) {
            // Zeros behind the end are not missed, so that this needs no sync.
            file.set_length(from).map_err(failed("giving room back"))?;
            return Err(SegmentError::before("making room in a segment", error));
        }
        at += piece as u64;
    }
    Ok(())
}

/// Makes what was filled durable.
pub(crate) fn sync_room(file: &dyn DiskFile) -> Result<(), SegmentError> {
    file.sync_all().map_err(failed("fsync of a segment's new room"))
}

/// The disk may be full: what a half-made file took is given back. If it stays nevertheless, nothing is lost but that
/// room: it is not on the roll, and its number is not used again.
fn remove_half_made(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.unlink(path) {
        tracing::warn!(file = %path.display(), %error, "a half-made segment is left behind");
    }
}

impl Segment {
    /// Makes a segment with room for a first frame, durably. On failure no file is left behind, if the disk can help it.
    pub(crate) fn create(
        disk: &dyn Disk,
        path: PathBuf,
        header: SegmentHeader,
        seed: Seed,
        room: u64,
    ) -> Result<Self, SegmentError> {
        let file = disk
            .open(&path, Open::New)
            .map_err(|error| SegmentError::before("making a segment of the journal", error))?;
        let room_file = match disk.open(&path, Open::Existing) {
            Ok(room_file) => room_file.into(),
            Err(error) => {
                remove_half_made(disk, &path);
                return Err(SegmentError::before("opening a segment of the journal again", error));
            }
        };
        let mut segment = Self::of(file, room_file, path, header.number);
        let made = segment.make_room(SEGMENT_HEADER as u64 + room);
        if let Err(error) = made.and_then(|()| segment.begin(disk, header, seed)) {
            remove_half_made(disk, &segment.path);
            return Err(error);
        }
        Ok(segment)
    }

    /// Makes a file of so many zeros, which is durable and has its place, a segment. Nothing that fails here is for want of room.
    pub(crate) fn adopt(
        disk: &dyn Disk,
        path: PathBuf,
        header: SegmentHeader,
        seed: Seed,
        allocated: u64,
    ) -> Result<Self, SegmentError> {
        let open = || disk.open(&path, Open::Existing).map_err(failed("opening the spare segment"));
        let (file, room_file) = (open()?, open()?.into());
        let mut segment =
            Self { allocated, is_spare: true, ..Self::of(file, room_file, path, header.number) };
        segment.begin(disk, header, seed).map_err(|error| match error {
            SegmentError::Full => failed("writing the spare's header")(io::ErrorKind::StorageFull.into()),
            failed => failed,
        })?;
        Ok(segment)
    }

    /// One with nothing in it, and no room.
    fn of(file: Box<dyn DiskFile>, room_file: Arc<dyn DiskFile>, path: PathBuf, number: u64) -> Self {
        let used = SEGMENT_HEADER as u64;
        Self { file, room_file, path, number, used, allocated: 0, first_frame_ms: None, is_spare: false }
    }

    fn begin(&mut self, disk: &dyn Disk, header: SegmentHeader, seed: Seed) -> Result<(), SegmentError> {
        self.file
            .write_all_at(&header.encode(seed), 0)
            .map_err(|error| SegmentError::before("writing a segment's header", error))?;
        self.file.sync_all().map_err(failed("fsync of a new segment"))?;
        let parent = self.path.parent().unwrap_or(Path::new("."));
        disk.sync_directory(parent).map_err(failed("fsync of the journal's directory"))
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Bytes that it has on the disk.
    pub(crate) fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a frame of this length fits into what is allocated, and may go there.
    pub(crate) fn takes(&self, length: u64, may_use_spare: bool) -> bool {
        self.used + length <= self.allocated && (may_use_spare || !self.is_spare)
    }

    /// Allocates room for a frame of this length, at least `step` bytes, durably.
    pub(crate) fn extend(&mut self, length: u64, step: u64) -> Result<(), SegmentError> {
        let needed = (self.used + length).saturating_sub(self.allocated);
        self.make_room(needed.max(step))?;
        self.is_spare = false;
        sync_room(&*self.file)
    }

    /// Whether less than so much of the allocated room is left.
    pub(crate) fn is_short(&self, of: u64) -> bool {
        self.allocated < self.used + of
    }

    /// What the caretaker is asked for: `step` more room.
    pub(crate) fn extension(&self, step: u64) -> Extension {
        let (file, from) = (self.room_file.clone(), self.allocated);
        Extension { number: self.number, file, from, end: from + step }
    }

    /// Takes the caretaker's outcome over, if there is one. That there was no room shows again when it is needed.
    pub(crate) fn take_room(
        &mut self,
        outcome: Option<Result<u64, SegmentError>>,
    ) -> Result<(), SegmentError> {
        match outcome {
            Some(Ok(end)) => (self.allocated, self.is_spare) = (end, false),
            None | Some(Err(SegmentError::Full)) => {}
            Some(Err(failed)) => return Err(failed),
        }
        Ok(())
    }

    /// Fills the file's end with `more` zeros, or leaves it as it was.
    fn make_room(&mut self, more: u64) -> Result<(), SegmentError> {
        let end = self.allocated + more;
        fill(&*self.file, self.allocated, end)?;
        self.allocated = end;
        Ok(())
    }

    /// Writes a frame into room that is allocated. On a file system that copies on write even that can run out: then what is
    /// there of the frame is to be [cut off](Self::cut).
    pub(crate) fn write(&mut self, frame: &[u8]) -> Result<(), SegmentError> {
        self.file
            .write_all_at(frame, self.used)
            .map_err(|error| SegmentError::before("writing a frame", error))
    }

    /// Makes what was written durable and goes on behind it.
    pub(crate) fn sync(&mut self, frame_length: u64) -> Result<(), SegmentError> {
        self.file.sync_data().map_err(failed("fdatasync of a frame"))?;
        self.used += frame_length;
        Ok(())
    }

    /// Removes a frame that was written in part, and the room behind it.
    pub(crate) fn cut(&mut self) -> Result<(), SegmentError> {
        self.file.set_length(self.used).map_err(failed("cutting a frame off"))?;
        self.allocated = self.used;
        self.file.sync_all().map_err(failed("fsync of a segment that was cut"))
    }
}
