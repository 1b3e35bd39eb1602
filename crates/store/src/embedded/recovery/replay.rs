//! The effects of a journal's frames, carried out where the run before had left off.
//!
//! In order, in bounded transactions, each of which notes how far it has come: a start that is killed in the middle goes on there. What a full
//! disk prevents is carried out by SQLite's writer as soon as there is room.

use super::Target;
use crate::embedded::OpenError;
use crate::embedded::database;
use crate::embedded::journal::effects::Numbered;
use crate::embedded::journal::format::{self, Record};
use crate::embedded::journal::scan::Scanned;
use crate::embedded::sqlite_writer::apply::{self, Done, Place};

/// Effects of one transaction.
const EFFECTS_MAX: usize = 1_000;

/// The effects of a frame.
pub(in crate::embedded) type Frame = (u64, Vec<Numbered>);

/// The frames of a segment that are not all carried out.
pub(super) fn due(scanned: &Scanned, from: Place) -> Vec<Frame> {
    let mut frames = Vec::new();
    for (number, payload) in scanned.numbered().filter(|(number, _)| Place::behind(*number) > from) {
        let mut effects = Vec::new();
        // An unknown record ends the frame; `check` has refused it, salvage takes what stands before.
        let _ = format::records(payload, |record| {
            if let Record::Effect(effect) = record {
                effects.push(effect);
            }
        });
        if !effects.is_empty() {
            frames.push((number, effects));
        }
    }
    frames
}

/// Carries out what is due of a segment; how many effects that was.
pub(super) fn replay(target: &mut Target<'_>, scanned: &Scanned) -> Result<u64, OpenError> {
    let mut place = target.sqlite(|target| database::applied(target.connection))?;
    let frames = due(scanned, place);
    let mut at = 0;
    let mut count = 0;
    while at < frames.len() {
        (at, place, count) = target.transaction(|messages| {
            let (mut at, mut place, before) = (at, place, count);
            let mut count = before;
            while at < frames.len() && count < before + EFFECTS_MAX as u64 {
                let (frame, effects) = &frames[at];
                let mut is_in_part = false;
                for (position, effect) in effects.iter().enumerate().skip(place.done_of(*frame)) {
                    is_in_part = matches!(apply::carry_out(messages, effect)?, Done::InPart { .. });
                    count += 1;
                    if is_in_part {
                        place = Place { frame: *frame, effects: position as u64 };
                        break;
                    }
                }
                if is_in_part {
                    break;
                }
                place = Place::behind(*frame);
                at += 1;
            }
            database::note_applied(messages.connection, place)?;
            Ok((at, place, count))
        })?;
    }
    Ok(count)
}
