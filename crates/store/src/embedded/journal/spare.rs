//! The spare: room for one segment, kept beside the journal while the disk has some, for when it has none.
//!
//! On a disk that is full to the last byte no segment can be begun. Messages are refused then, and lose nothing by it; but acknowledgements come, and one that
//! does not reach the disk is undone by the next crash: what a person has read comes back. So a file of zeros is made ahead, `journal.spare`, and becomes a
//! segment when one is needed and can't be made: for acknowledgements, and for a frame that a failed sync left in doubt, which nobody may refuse any more.
//! New messages are never taken into it. It is made again when the disk has room.
//!
//! Called by the journal's writer. Its promise: what is at the file's place is whole and zeros, durably, since it is made under another name.

use super::format::{SEGMENT_HEADER, Seed, SegmentHeader};
use super::segment::{self, Segment, SegmentError};
use crate::embedded::disk::{Disk, Open};
use std::io;
use std::path::{Path, PathBuf};

/// Whether there is a spare, and where.
pub(crate) struct Spare {
    path: PathBuf,
    /// Its bytes, if it is there.
    bytes: Option<u64>,
    /// It was said that it can't be made.
    ails: bool,
}

/// The spare's file beside this journal.
pub(crate) fn path(journal: &Path) -> PathBuf {
    journal.with_extension("spare")
}

impl Spare {
    /// What an earlier run has left, or none.
    pub(crate) fn find(disk: &dyn Disk, journal: &Path) -> Self {
        let path = path(journal);
        let bytes = disk.length(&path).ok().filter(|bytes| *bytes > SEGMENT_HEADER as u64);
        Self { path, bytes, ails: false }
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.bytes.is_some()
    }

    /// Makes one with room for frames of so many bytes. What is to be said if that fails for another reason than want of room: once, until it succeeds.
    pub(crate) fn make(&mut self, disk: &dyn Disk, room: u64) -> Option<(&'static str, io::Error)> {
        match self.try_make(disk, room) {
            Err(SegmentError::Failed { what, source }) => {
                (!std::mem::replace(&mut self.ails, true)).then_some((what, source))
            }
            made => {
                self.ails &= made.is_err();
                None
            }
        }
    }

    fn try_make(&mut self, disk: &dyn Disk, room: u64) -> Result<(), SegmentError> {
        let (new, bytes) = (self.path.with_extension("spare.new"), SEGMENT_HEADER as u64 + room);
        let make = || {
            let file = disk.open(&new, Open::Any).map_err(in_vain)?;
            // What a crash has left there goes.
            file.set_length(0).map_err(in_vain)?;
            segment::fill(&*file, 0, bytes)?;
            segment::sync_room(&*file)?;
            disk.rename(&new, &self.path).map_err(in_vain)?;
            sync_directory_of(disk, &self.path)
        };
        let made = make();
        if made.is_err() {
            // Where that fails, too, the next attempt cuts it.
            let _ = disk.unlink(&new);
        }
        self.bytes = made.is_ok().then_some(bytes);
        made
    }

    /// Makes it a segment, if it is there and has room for a frame of this length.
    pub(crate) fn take(
        &mut self,
        disk: &dyn Disk,
        path: PathBuf,
        header: SegmentHeader,
        seed: Seed,
        length: u64,
    ) -> Result<Option<Segment>, SegmentError> {
        let Some(bytes) = self.bytes.filter(|bytes| *bytes >= SEGMENT_HEADER as u64 + length) else {
            return Ok(None);
        };
        self.bytes = None;
        disk.rename(&self.path, &path).map_err(segment::failed("making the spare a segment"))?;
        sync_directory_of(disk, &self.path)?;
        Segment::adopt(disk, path, header, seed, bytes).map(Some)
    }
}

fn in_vain(error: io::Error) -> SegmentError {
    SegmentError::before("making the spare segment", error)
}

fn sync_directory_of(disk: &dyn Disk, path: &Path) -> Result<(), SegmentError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    disk.sync_directory(parent).map_err(segment::failed("fsync of the data directory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::simulation::SimulatedDisk;

    const EIO: i32 = 5;

    fn place() -> (SimulatedDisk, PathBuf) {
        let disk = SimulatedDisk::default();
        let journal = disk.root().join("journal");
        (disk, journal)
    }

    #[test]
    fn it_is_whole_zeros_and_found_again() {
        let (disk, journal) = place();
        let mut spare = Spare::find(&disk, &journal);
        assert!(!spare.is_there());
        assert!(spare.make(&disk, 5_000).is_none() && spare.is_there());
        let bytes = disk.read(&path(&journal)).expect("reads");
        assert_eq!(bytes, vec![0; SEGMENT_HEADER + 5_000]);
        assert!(Spare::find(&disk, &journal).is_there());
    }

    #[test]
    fn a_failure_is_said_once_until_it_succeeds_and_leaves_nothing() {
        let (disk, journal) = place();
        let mut spare = Spare::find(&disk, &journal);
        for round in 0..2 {
            for attempt in 0..3 {
                disk.fail_sync_in(0, EIO);
                assert_eq!(spare.make(&disk, 5_000).is_some(), attempt == 0, "{round} {attempt}");
                assert!(!spare.is_there() && !Spare::find(&disk, &journal).is_there());
            }
            assert!(spare.make(&disk, 5_000).is_none() && spare.is_there());
            disk.unlink(&path(&journal)).expect("unlinks");
            spare.bytes = None;
        }
    }

    #[test]
    fn want_of_room_is_not_said_at_all() {
        let (disk, journal) = place();
        let mut spare = Spare::find(&disk, &journal);
        disk.set_size(Some(100), false);
        assert!(spare.make(&disk, 5_000).is_none() && !spare.is_there());
        assert_eq!(disk.used(), 0, "nothing is left of it");
    }
}
