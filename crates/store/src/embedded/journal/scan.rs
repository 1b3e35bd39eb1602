//! Reads segments back and judges what can't be read: a torn last write, or damage in the middle.
//!
//! Called by recovery at every start and by salvage. Changes nothing on disk. A segment is held in memory while it is
//! read, so that memory is bounded by the size of a segment.

use super::format::{self, FRAME_MAGIC, HeaderError, SEGMENT_HEADER, Seed, SegmentHeader};
use crate::embedded::OpenError;
use crate::embedded::disk::{Disk, Open};
use std::ops::Range;
use std::path::Path;

/// One segment's content and the frames found in it.
pub(crate) struct Scanned {
    bytes: Vec<u8>,
    header: Option<SegmentHeader>,
    frames: Vec<Frame>,
    /// The first place that can't be read and what is wrong there; `None` if the segment ends cleanly.
    pub(crate) damage: Option<Damage>,
}

struct Frame {
    number: u64,
    payload: Range<usize>,
}

/// Something unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Where it begins.
    pub(crate) offset: u64,
    /// Unreadable bytes, without the zeros at the end of the file.
    pub(crate) bytes: u64,
    /// What is wrong.
    pub(crate) what: &'static str,
    /// Whether intact frames stand behind it in the same segment.
    pub(crate) followed: bool,
}

impl Scanned {
    /// Reads a whole segment. `upto`: frames from this number on are void, because a later segment begins with it.
    pub(crate) fn read(disk: &dyn Disk, path: &Path, seed: Seed, upto: u64) -> Result<Self, OpenError> {
        let bytes =
            disk.read(path).map_err(|source| OpenError::NotReadable { path: path.to_owned(), source })?;
        let header = match SegmentHeader::decode(&bytes, seed) {
            Ok(header) => Some(header),
            Err(HeaderError::Damaged) => None,
            Err(HeaderError::Newer(found)) => {
                return Err(OpenError::NewerJournal { file: path.to_owned(), found, known: format::VERSION });
            }
        };
        let mut scanned = Self { bytes, header, frames: Vec::new(), damage: None };
        scanned.find_frames(seed);
        scanned.void_from(upto);
        Ok(scanned)
    }

    /// The number of a segment's first frame, from its header alone; `None` if that can't be read.
    pub(crate) fn first_frame_of(disk: &dyn Disk, path: &Path, seed: Seed) -> Option<u64> {
        let mut bytes = [0; SEGMENT_HEADER];
        let read = disk.open(path, Open::Existing).and_then(|file| file.read_at(&mut bytes, 0)).ok()?;
        SegmentHeader::decode(&bytes[..read], seed).ok().map(|header| header.first_frame)
    }

    /// The payloads of the intact frames, in order.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        self.numbered().map(|(_, payload)| payload)
    }

    /// The numbers and payloads of the intact frames, in order.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.frames.iter().map(|frame| (frame.number, &self.bytes[frame.payload.clone()]))
    }

    /// How many intact frames there are.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.len() as u64
    }

    /// The number that the first frame has or would have; `None` if the header can't be read.
    pub(crate) fn first_frame(&self) -> Option<u64> {
        self.header.map(|header| header.first_frame)
    }

    /// The number that the frame after the last one has.
    pub(crate) fn next_frame(&self) -> Option<u64> {
        self.frames.last().map(|frame| frame.number + 1).or(self.first_frame())
    }

    /// Where the readable part ends: the offset of the damage, or of the zeros behind the last frame.
    pub(crate) fn readable_end(&self) -> u64 {
        let end = self.frames.last().map_or(SEGMENT_HEADER, |frame| frame.payload.end) as u64;
        self.damage.map_or(end, |damage| damage.offset)
    }

    fn find_frames(&mut self, seed: Seed) {
        let used = self.bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let mut at = SEGMENT_HEADER;
        let mut expected = self.first_frame();
        if self.header.is_none() && !self.bytes.is_empty() {
            self.note(0, "its header cannot be read");
            at = 0;
        }
        while at < used {
            match format::decode_frame(&self.bytes[at..], seed) {
                Some((number, payload))
                    if expected.is_none_or(|expected| expected == number) || self.damage.is_some() =>
                {
                    let end = at + format::FRAME_HEADER + payload.len();
                    if let Some(damage) = &mut self.damage {
                        damage.followed = true;
                    }
                    self.frames.push(Frame { number, payload: at + format::FRAME_HEADER..end });
                    expected = Some(number + 1);
                    at = end;
                }
                // Noted once; the next round takes it as what stands behind the damage.
                Some(_) => self.note(at, "a frame is out of sequence"),
                None => {
                    if self.damage.is_none() {
                        self.note(at, "a frame fails its checksum");
                    }
                    let next = self.bytes[at + 1..used].windows(4).position(|window| window == FRAME_MAGIC);
                    at = next.map_or(used, |distance| at + 1 + distance);
                }
            }
        }
        self.count_damaged_bytes(used);
    }

    /// Leaves out what was never confirmed: frames from number `upto` on. If all before that is there, so is whatever
    /// can't be read behind it.
    fn void_from(&mut self, upto: u64) {
        let Some(first) = self.first_frame() else { return };
        let damaged_from = self.damage.map_or(usize::MAX, |damage| damage.offset as usize);
        let intact = self.frames.partition_point(|frame| frame.payload.start < damaged_from);
        if first + intact as u64 >= upto {
            self.frames.truncate(upto.saturating_sub(first) as usize);
            self.damage = None;
        }
    }

    fn note(&mut self, at: usize, what: &'static str) {
        self.damage.get_or_insert(Damage { offset: at as u64, bytes: 0, what, followed: false });
    }

    fn count_damaged_bytes(&mut self, used: usize) {
        let Some(damage) = &mut self.damage else { return };
        let start = damage.offset as usize;
        let intact = self.frames.iter().filter(|frame| frame.payload.start > start);
        let intact: usize = intact.map(|frame| frame.payload.len() + format::FRAME_HEADER).sum();
        damage.bytes = used.saturating_sub(start).saturating_sub(intact) as u64;
    }
}
