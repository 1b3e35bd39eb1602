//! Into the active segment: room is made, the frame is written and synced; segments are begun and called on the roll.

use super::{Writer, now};
use crate::embedded::health::Part;
use crate::embedded::journal::caretaker::Caretaker;
use crate::embedded::journal::format::SegmentHeader;
use crate::embedded::journal::roll::Roll;
use crate::embedded::journal::segment::{self, Segment, SegmentError};
use crate::embedded::journal::segment_path;
use crate::embedded::link::Shared;
use std::io;
use std::path::PathBuf;

impl Writer {
    pub(super) fn write_frame(&mut self, now_ms: u64, content: bool) -> Result<u64, SegmentError> {
        self.prepare_segment(now_ms, content)?;
        let Self { active: Some(segment), frame, metrics, caretaker, .. } = self else {
            return Err(segment::failed("no segment after it was prepared")(io::ErrorKind::NotFound.into()));
        };
        let begun = now();
        if let Err(error) = segment.write(frame) {
            let error = cut_off(segment, caretaker, error);
            // A frame that was cut off is not on the disk; one before it that failed still may be.
            self.in_doubt |= content && !matches!(error, SegmentError::Full);
            return Err(error);
        }
        self.in_doubt |= content;
        let start = now();
        segment.sync(frame.len() as u64)?;
        // Where a failure to write back is told but once, it may have been told to the caretaker, and was of this frame.
        if let Some(error) = caretaker.failure(segment.number) {
            return Err(error);
        }
        let ended = now();
        metrics.sync_time_total_us.add(ended.duration_since(start).as_micros() as u64);
        metrics.commit_us.observe(ended.duration_since(begun).as_micros() as u64);
        segment.first_frame_ms.get_or_insert(now_ms);
        self.next_frame += 1;
        self.unmarked_since_ms = Some(now_ms);
        Ok(segment.number)
    }

    /// Sees to it that the active segment has room for the frame.
    fn prepare_segment(&mut self, now_ms: u64, content: bool) -> Result<(), SegmentError> {
        let shared = self.shared.clone();
        let options = &shared.options;
        let length = self.frame.len() as u64;
        if let Some(segment) = &self.active
            && segment.first_frame_ms.is_some()
            && segment.used() + length > options.segment_bytes
        {
            self.close_active(now_ms);
        }
        let may_use_spare = !content || self.in_doubt;
        if self.active.as_ref().is_some_and(|segment| segment.takes(length, may_use_spare)) {
            return Ok(());
        }
        let start = now();
        self.metrics.room_waits_total.inc();
        let mut made = self.make_room(length, may_use_spare);
        if matches!(made, Err(SegmentError::Full)) && may_use_spare && self.spare.is_there() {
            self.close_active(now_ms);
            made = self.take_spare(length);
        }
        self.metrics.room_wait_total_us.add(start.elapsed().as_micros() as u64);
        made
    }

    /// Waits for the caretaker if he is making room, else makes it, in this segment or another.
    fn make_room(&mut self, length: u64, may_use_spare: bool) -> Result<(), SegmentError> {
        let step = self.shared.options.preallocate_bytes;
        if let Some(segment) = &mut self.active {
            segment.take_room(self.caretaker.wait_for_outcome(segment.number))?;
            if segment.takes(length, may_use_spare) {
                return Ok(());
            }
        }
        if !may_use_spare && !self.disk_has(step.max(length)) {
            return Err(SegmentError::Full);
        }
        match &mut self.active {
            Some(segment) => segment.extend(length, step),
            None => self.create_segment(length.max(step)),
        }
    }

    /// Has the caretaker make room before a commit has to wait for it.
    pub(super) fn ask_for_room(&self) {
        let options = &self.shared.options;
        let step = options.preallocate_bytes;
        // Room for the next step, and for one that may be taken meanwhile.
        if let Some(segment) = &self.active
            && segment.is_short(step / 2)
            && segment.used() + 2 * step <= options.segment_bytes
            && self.caretaker.is_free()
            && self.disk_has(2 * step)
            && self.caretaker.extend(segment.extension(step))
        {
            self.metrics.extended_ahead_total.inc();
        }
    }

    /// Takes over what the caretaker has done meanwhile. His failure is the writer's.
    pub(super) fn collect_room(&mut self, now_ms: u64) {
        let Some((number, outcome)) = self.caretaker.outcome() else { return };
        match &mut self.active {
            Some(segment) if segment.number == number => {
                if let Err(error) = segment.take_room(Some(outcome)) {
                    self.give_up_segment(now_ms, &error);
                }
            }
            _ => {
                if let Err(SegmentError::Failed { what, source }) = outcome {
                    self.failed_after_its_end(now_ms, what, &source);
                }
            }
        }
    }

    /// Whether the disk has room for so much and what is reserved for acknowledgements.
    pub(super) fn disk_has(&self, bytes: u64) -> bool {
        let options = &self.shared.options;
        let left = options.disk.room_left(&self.journal);
        self.note_room(left);
        left.is_none_or(|left| left >= options.reserve_bytes + bytes)
    }

    /// Tells fronts whether the room that is left is kept for contacts. Looked at whenever the journal takes more of the
    /// disk, and at every tick while it is so.
    fn note_room(&self, left: Option<u64>) {
        let Shared { options, health, .. } = &*self.shared;
        let kept = options.contacts_reserve_bytes;
        // Not for every step that is taken and given back.
        let enough = kept.saturating_add(if health.is_scarce() { kept / 8 } else { 0 });
        if left.is_some_and(|left| left < enough) {
            let trouble = "the disk is nearly full: messages of strangers are refused";
            if health.ail(Part::Scarce, trouble.into()) {
                tracing::warn!("{trouble} until there is room");
            }
        } else if health.is_scarce() && health.mend(Part::Scarce) {
            tracing::info!("the disk has room again: messages of strangers are accepted");
        }
    }

    /// Makes a segment and calls it on the roll.
    fn create_segment(&mut self, room: u64) -> Result<(), SegmentError> {
        let (path, header) = self.next_segment()?;
        let disk = self.shared.options.disk.clone();
        self.active = Some(Segment::create(&*disk, path, header, self.seed, room)?);
        self.call_on_roll()
    }

    /// Makes the spare the active segment, if a frame of this length fits.
    fn take_spare(&mut self, length: u64) -> Result<(), SegmentError> {
        let (path, header) = self.next_segment()?;
        let disk = self.shared.options.disk.clone();
        self.active = self.spare.take(&*disk, path, header, self.seed, length)?;
        if self.active.is_none() {
            return Err(SegmentError::Full);
        }
        self.metrics.spares_taken_total.inc();
        self.call_on_roll()
    }

    /// Where the next segment goes, and its header. Its number is not used again, whatever comes of it.
    fn next_segment(&mut self) -> Result<(PathBuf, SegmentHeader), SegmentError> {
        // One that never held anything must go before there is another, so that a disk that fails for long isn't filled.
        if self.closed.iter().any(|closed| closed.is_void) {
            self.unlink_cleared().map_err(segment::failed("removing a segment that failed"))?;
        }
        let number = self.next_segment;
        self.next_segment += 1;
        let header = SegmentHeader {
            number,
            first_frame: self.next_frame,
            created_unix_ms: self.shared.time.unix_ms(),
        };
        Ok((segment_path(&self.journal, number), header))
    }

    fn call_on_roll(&mut self) -> Result<(), SegmentError> {
        let active = self.active.as_ref().map(|segment| segment.number);
        let segments = self.closed.iter().map(|closed| closed.number).chain(active).collect();
        self.metrics.segments.set(self.closed.len() as i64 + 1);
        // If that fails, the roll may name the segment or not: it is given up, and taken off with the next roll.
        let roll = Roll { segments, next: self.next_segment };
        self.roll.write(&roll).map_err(segment::failed("writing the journal's roll"))
    }
}

/// A frame could not be written. If that is for want of room, what is there of it goes; what it is then.
fn cut_off(segment: &mut Segment, caretaker: &Caretaker, error: SegmentError) -> SegmentError {
    if !matches!(error, SegmentError::Full) {
        return error;
    }
    // The end of the file is the caretaker's while he is making room there.
    let taken = segment.take_room(caretaker.wait_for_outcome(segment.number));
    taken.and_then(|()| segment.cut()).err().unwrap_or(error)
}
