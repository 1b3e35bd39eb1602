//! Whether a journal is whole: every segment that there must be, and in them every frame that was confirmed.
//!
//! Changes nothing. Called by recovery before it takes anything over; salvage goes on without.

use super::{Gone, corrupt};
use crate::embedded::OpenError;
use crate::embedded::disk::Disk;
use crate::embedded::journal;
use crate::embedded::journal::format::Seed;
use crate::embedded::journal::roll::{self, Roll, RollFile};
use crate::embedded::journal::scan::{Damage, Scanned};
use std::io;
use std::path::{Path, PathBuf};

/// A segment to be read.
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Its frames count up to this number, which a later segment begins with.
    upto: u64,
    /// The roll says that it must be there.
    is_on_roll: bool,
}

impl Found {
    pub(super) fn read(&self, disk: &dyn Disk, seed: Seed) -> Result<Scanned, OpenError> {
        Scanned::read(disk, &self.path, seed, self.upto)
    }
}

/// What a journal's directory and its roll say.
pub(super) struct Inventory {
    /// To be read, in order.
    pub(super) segments: Vec<Found>,
    /// Files that nobody needs: off the roll, and not unlinked before the end.
    pub(super) leftovers: Vec<PathBuf>,
    /// On the roll, and not there.
    pub(super) missing: Vec<u64>,
    /// The roll, if it can be read.
    pub(super) roll: Option<(RollFile, Roll)>,
    /// Why not, if it is there.
    pub(super) roll_damaged: bool,
    /// The number for the next segment: no file had it, nor has any on the roll.
    pub(super) next: u64,
}

/// Looks what there is.
pub(super) fn inventory(disk: &dyn Disk, journal: &Path, seed: Seed) -> Result<Inventory, OpenError> {
    let files = journal::list(disk, journal)?;
    let (roll, roll_damaged) = match RollFile::open(disk, journal, seed) {
        Ok(Some(found)) => (Some(found), false),
        Ok(None) => (None, true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (None, false),
        Err(source) => return Err(OpenError::NotReadable { path: roll::path(journal), source }),
    };
    let must = roll.as_ref().map(|(_, roll)| roll);
    let is_on_roll = |number: u64| must.is_some_and(|roll| roll.segments.contains(&number));
    let missing = must.map_or_else(Vec::new, |roll| {
        let there = |number: &u64| files.iter().any(|(found, _)| found == number);
        roll.segments.iter().copied().filter(|number| !there(number)).collect()
    });
    let next = files.last().map_or(1, |(number, _)| number + 1).max(must.map_or(1, |roll| roll.next));
    let (mut segments, mut leftovers) = (Vec::new(), Vec::new());
    for (number, path) in files {
        match must.is_none_or(|roll| number >= roll.next) || is_on_roll(number) {
            true => {
                segments.push(Found { number, path, upto: u64::MAX, is_on_roll: is_on_roll(number) });
            }
            false => leftovers.push(path),
        }
    }
    let mut upto = u64::MAX;
    for segment in segments.iter_mut().rev() {
        segment.upto = upto;
        upto = Scanned::first_frame_of(disk, &segment.path, seed).unwrap_or(upto);
    }
    Ok(Inventory { segments, leftovers, missing, roll, roll_damaged, next })
}

impl Inventory {
    /// Refuses a journal that is not whole as far as files go. `had_roll`: there was a roll before.
    pub(super) fn is_whole(&self, journal: &Path, had_roll: bool) -> Result<(), OpenError> {
        if self.roll_damaged || (self.roll.is_none() && had_roll) {
            let state = if self.roll_damaged { "damaged" } else { "missing" };
            return Err(OpenError::NoRoll { file: roll::path(journal), state });
        }
        if self.missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<String> =
            self.missing.iter().map(|number| format!("{number:012}.journal")).collect();
        Err(OpenError::MissingSegments { journal: journal.to_owned(), missing: missing.join(", ") })
    }
}

/// A segment that was checked, for the check of the next.
struct Before<'a> {
    path: &'a Path,
    /// Where its readable part ends.
    end: u64,
    damage: Option<Damage>,
    /// The number that the frame behind it has.
    next_frame: u64,
}

/// Every frame that was confirmed must be there. Collects what is gone; returns the number for the next frame, if there
/// was any.
pub(super) fn frames(
    disk: &dyn Disk,
    segments: &[Found],
    seed: Seed,
    gone: &mut Gone,
) -> Result<Option<u64>, OpenError> {
    let mut before: Option<Before<'_>> = None;
    for segment in segments {
        let (path, scanned) = (segment.path.as_path(), segment.read(disk, seed)?);
        let written = scanned.first_frame().is_some() || scanned.frames() > 0;
        if !written && scanned.damage.is_none_or(|damage| damage.bytes == 0) {
            if segment.is_on_roll {
                return Err(corrupt(path, 0, "its header cannot be read"));
            }
            // Made just before a crash; its header never reached the disk.
            continue;
        }
        if let Some(before) = &before
            && written
            && (before.damage.is_some()
                || scanned.first_frame().is_some_and(|first| first != before.next_frame))
        {
            let what = before.damage.map_or("frames are missing behind it", |damage| damage.what);
            return Err(corrupt(before.path, before.end, what));
        }
        if let Some(damage) = scanned.damage
            && damage.followed
        {
            return Err(corrupt(path, damage.offset, damage.what));
        }
        if !gone.collect(&scanned) {
            return Err(corrupt(path, 0, "an intact frame holds an unknown record"));
        }
        let next_frame = scanned.next_frame().or(before.map(|before| before.next_frame)).unwrap_or(0);
        before = Some(Before { path, end: scanned.readable_end(), damage: scanned.damage, next_frame });
    }
    if let Some(Before { path, end, damage: Some(damage), .. }) = before {
        tracing::warn!(
            file = %path.display(), offset = end, bytes = damage.bytes,
            "the journal's last write was torn by a crash and is cut; it had not been confirmed to anybody"
        );
    }
    Ok(before.map(|before| before.next_frame))
}
