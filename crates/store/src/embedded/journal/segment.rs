//! The segment that is being written: one file, preallocated with zeros, appended to frame by frame.
//!
//! Preallocation means that a sync need not change the file's size, and that a full disk shows while there is nothing
//! to lose: room is made (and synced) before a frame is written into it.

use super::format::{SEGMENT_HEADER, Seed, SegmentHeader};
use crate::embedded::disk::{Disk, DiskFile, Open};
use std::io;
use std::path::{Path, PathBuf};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// An open segment.
pub(crate) struct Segment {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    pub(crate) number: u64,
    /// Where the next frame goes.
    used: u64,
    /// How far the file is filled with zeros.
    allocated: u64,
    /// When its first frame was written, if one was.
    pub(crate) first_frame_ms: Option<u64>,
    #[cfg(test)]
    pub(crate) faults: std::sync::Arc<Faults>,
}

/// Failures that tests inject.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) sync: std::sync::atomic::AtomicI32,
    pub(crate) write: std::sync::atomic::AtomicI32,
}

impl Segment {
    /// Makes a segment with room for a first frame, durably. On failure no file is left behind.
    pub(crate) fn create(
        disk: &dyn Disk,
        path: PathBuf,
        header: SegmentHeader,
        seed: Seed,
        room: u64,
    ) -> io::Result<Self> {
        let file = disk.open(&path, Open::New)?;
        let mut segment = Self {
            file,
            path,
            number: header.number,
            used: SEGMENT_HEADER as u64,
            allocated: 0,
            first_frame_ms: None,
            #[cfg(test)]
            faults: Default::default(),
        };
        let made = segment
            .make_room(SEGMENT_HEADER as u64 + room)
            .and_then(|()| segment.file.write_all_at(&header.encode(seed), 0))
            .and_then(|()| segment.file.sync_all())
            .and_then(|()| segment.path.parent().map_or(Ok(()), |parent| disk.sync_directory(parent)));
        if let Err(error) = made {
            // The disk may be full: what the half-made file took is given back.
            let _ = disk.unlink(&segment.path);
            return Err(error);
        }
        Ok(segment)
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a frame of this length fits into what is allocated.
    pub(crate) fn has_room(&self, length: u64) -> bool {
        self.used + length <= self.allocated
    }

    /// Allocates room for a frame of this length, at least `step` bytes, durably.
    pub(crate) fn extend(&mut self, length: u64, step: u64) -> io::Result<()> {
        let needed = self.used + length - self.allocated;
        self.make_room(needed.max(step))?;
        self.file.sync_all()
    }

    /// Whether less than `step` of the allocated room is left.
    pub(crate) fn is_short(&self, step: u64) -> bool {
        self.allocated < self.used + step
    }

    /// Fills the file's end with `more` zeros, or leaves it as it was.
    fn make_room(&mut self, more: u64) -> io::Result<()> {
        let end = self.allocated + more;
        let mut at = self.allocated;
        while at < end {
            let piece = (end - at).min(ZEROS.len() as u64) as usize;
            if let Err(error) = self.file.write_all_at(&ZEROS[..piece], at) {
                let _ = self.file.set_length(self.allocated);
                return Err(error);
            }
            at += piece as u64;
        }
        self.allocated = end;
        Ok(())
    }

    /// Writes a frame into room that is allocated. On failure the frame may be there in part: see [`Self::cut`].
    pub(crate) fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.inject(&self.faults.write)?;
        self.file.write_all_at(frame, self.used)
    }

    /// Makes what was written durable and goes on behind it.
    pub(crate) fn sync(&mut self, frame_length: u64) -> io::Result<()> {
        #[cfg(test)]
        self.inject(&self.faults.sync)?;
        self.file.sync_data()?;
        self.used += frame_length;
        Ok(())
    }

    /// Removes a frame that was written in part, and the room behind it.
    pub(crate) fn cut(&mut self) -> io::Result<()> {
        self.file.set_length(self.used)?;
        self.allocated = self.used;
        self.file.sync_all()
    }

    #[cfg(test)]
    fn inject(&self, fault: &std::sync::atomic::AtomicI32) -> io::Result<()> {
        match fault.swap(0, std::sync::atomic::Ordering::SeqCst) {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}
