//! The caretaker: makes room in the active segment before the writer needs it, and gives back the room of segments that nobody
//! needs, so that neither stands between a message and its acceptance.
//!
//! The fsync of new room takes some milliseconds, several times a second. Unlinking a segment of 50 MB took 65 ms where the file
//! system discards at once what is freed (ext4 with `discard`), and all of acceptance stood still. So a segment is cut off by
//! steps of `preallocate_bytes` with a pause after each, then unlinked: no call is long, the disk has time for commits between,
//! and room comes before what is left of a removal.
//!
//! Asked by the journal's writer alone, which says what is to be done and keeps the order of `journal.rs`: only what is off the
//! durable roll is handed over to be removed. While an extension is under way the end of that segment is the caretaker's:
//! the writer neither extends nor cuts it until it has taken the outcome, good or bad (`writer/frames.rs`). What a
//! failure means is decided there, by the policy in `writer/failure.rs`; a removal that fails is tried again until it succeeds.
//!
//! Bounds: one extension, [`REMOVALS_MAX`] removals; what is beyond is refused and the writer does it itself, as it does
//! if nobody drives the caretaker. He is driven by a thread of his own, or by hand, one operation a turn
//! (`simulation/stepped.rs`). When he ends he leaves what is left: those files are off the roll, and the next look at the
//! directory takes them for leftovers.

use super::segment::{self, SegmentError};
use crate::embedded::disk::{Disk, DiskFile, Open};
use crate::embedded::metrics::JournalMetrics;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most segments that wait for their removal.
const REMOVALS_MAX: usize = 64;
/// Rest between two steps of a removal: 64 MB go in half a second.
const PAUSE: Duration = Duration::from_millis(5);
/// There is none while more wait than this.
const UNHURRIED_MAX: usize = 4;

/// See the file's head.
pub(crate) struct Caretaker {
    disk: Arc<dyn Disk>,
    journal: PathBuf,
    step: u64,
    retry_after: Duration,
    metrics: Arc<JournalMetrics>,
    state: Mutex<State>,
    changed: Condvar,
}

/// Who takes his turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    Nobody,
    Thread,
    /// Whoever calls [`Caretaker::turn`]; and the writer where it has to wait.
    #[cfg(any(test, feature = "simulation"))]
    Hand,
}

struct State {
    driver: Driver,
    stopping: bool,
    room: Room,
    /// Oldest first. The one that is being removed is not among them.
    removals: VecDeque<Removal>,
    is_removing: bool,
    /// Why the last step of a removal failed, until one succeeds.
    trouble: Option<String>,
}

/// Room to be made at the end of a segment.
pub(crate) struct Extension {
    /// The segment.
    pub(crate) number: u64,
    /// An open file of it that the writer does not sync: a failure to write back is told once to each file that was opened.
    pub(crate) file: Arc<dyn DiskFile>,
    /// Where the file ends,
    pub(crate) from: u64,
    /// and where it is to end.
    pub(crate) end: u64,
}

enum Room {
    Free,
    Asked(Extension),
    /// Filled and not durable yet.
    Filled(Extension),
    /// A turn is at it.
    InHand(u64),
    /// Of this segment: where it ends now.
    Done(u64, Result<u64, SegmentError>),
}

struct Removal {
    path: PathBuf,
    /// Open while it is being cut off.
    file: Option<Box<dyn DiskFile>>,
    bytes: u64,
    /// It can't be cut off, or not any more: it is to be unlinked as it is.
    is_short: bool,
    /// Only the directory is to be synced.
    is_unlinked: bool,
}

/// What a turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Nothing,
    Room,
    Removal,
    Failed,
}

impl Caretaker {
    /// One whom nobody drives yet. `step`: how much is cut off at a time. `retry_after`: rest after a removal that failed.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        journal: PathBuf,
        (step, retry_after): (u64, Duration),
        metrics: Arc<JournalMetrics>,
    ) -> Self {
        let state = State {
            driver: Driver::Nobody,
            stopping: false,
            room: Room::Free,
            removals: VecDeque::new(),
            is_removing: false,
            trouble: None,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self { disk, journal, step: step.max(1), retry_after, metrics, state, changed }
    }

    /// His thread is about to run: what is asked for from now on waits for it.
    pub(crate) fn begin(&self) {
        self.state().driver = Driver::Thread;
    }

    /// His thread: works until it is told to stop.
    pub(crate) fn run(&self) {
        let _leaving = Leaving(self);
        loop {
            let turn = self.turn_of_any_kind();
            let state = self.state();
            if state.stopping {
                return;
            }
            let rest = match turn {
                Turn::Removal if state.removals.len() < UNHURRIED_MAX => Some(PAUSE),
                Turn::Failed => Some(self.retry_after),
                Turn::Nothing if state.removals.is_empty() => None,
                _ => continue,
            };
            self.rest(state, rest);
        }
    }

    /// Until somebody asks for something, or for so long.
    fn rest(&self, state: MutexGuard<'_, State>, rest: Option<Duration>) {
        match (&state.room, rest) {
            (Room::Asked(_) | Room::Filled(_), _) => {}
            (_, Some(rest)) => drop(self.changed.wait_timeout(state, rest)),
            (_, None) => drop(self.changed.wait(state)),
        }
    }

    /// His turns are taken by hand.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn drive_by_hand(&self) {
        self.state().driver = Driver::Hand;
    }

    /// The next operation, if there is one. Room first.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn turn(&self) {
        self.turn_of_any_kind();
    }

    /// Ends the thread after the operation that it is at.
    pub(crate) fn stop(&self) {
        self.state().stopping = true;
        self.changed.notify_all();
    }

    /// Whether an extension can be asked for.
    pub(crate) fn is_free(&self) -> bool {
        let state = self.state();
        state.driver != Driver::Nobody && !state.stopping && matches!(state.room, Room::Free)
    }

    /// Asks for room. `false`: he can't, see [`Self::is_free`].
    pub(crate) fn extend(&self, extension: Extension) -> bool {
        if !self.is_free() {
            return false;
        }
        self.state().room = Room::Asked(extension);
        self.changed.notify_all();
        true
    }

    /// What has become of an extension, once: which segment's, and where that ends now.
    pub(crate) fn outcome(&self) -> Option<(u64, Result<u64, SegmentError>)> {
        let mut state = self.state();
        match std::mem::replace(&mut state.room, Room::Free) {
            Room::Done(number, outcome) => Some((number, outcome)),
            other => {
                state.room = other;
                None
            }
        }
    }

    /// The same of this segment alone, once it is known; `None` if none is under way.
    pub(crate) fn wait_for_outcome(&self, of: u64) -> Option<Result<u64, SegmentError>> {
        let mut state = self.state();
        loop {
            match &state.room {
                Room::Asked(extension) | Room::Filled(extension) if extension.number == of => {}
                Room::InHand(number) if *number == of => {}
                Room::Done(number, _) if *number == of => {
                    drop(state);
                    return self.outcome().map(|(_, outcome)| outcome);
                }
                _ => return None,
            }
            state = match state.driver {
                #[cfg(any(test, feature = "simulation"))]
                Driver::Hand => {
                    drop(state);
                    self.turn();
                    self.state()
                }
                _ => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// The failure of an extension of this segment, if one is known. It may have dropped what somebody else wrote there.
    pub(crate) fn failure(&self, of: u64) -> Option<SegmentError> {
        let is_failure = matches!(
            &self.state().room,
            Room::Done(number, Err(SegmentError::Failed { .. })) if *number == of
        );
        if !is_failure {
            return None;
        }
        self.outcome().and_then(|(_, outcome)| outcome.err())
    }

    /// Takes over the removal of a segment that is off the roll, or gives it back.
    pub(crate) fn remove(&self, path: PathBuf, bytes: u64) -> Result<(), PathBuf> {
        let mut state = self.state();
        if state.driver == Driver::Nobody || state.stopping || state.removals.len() >= REMOVALS_MAX {
            return Err(path);
        }
        state.removals.push_back(Removal { path, file: None, bytes, is_short: false, is_unlinked: false });
        drop(state);
        self.metrics.removing_segments.add(1);
        self.metrics.removing_bytes.add(bytes as i64);
        self.changed.notify_all();
        Ok(())
    }

    /// Whether segments wait for their removal.
    pub(crate) fn is_removing(&self) -> bool {
        let state = self.state();
        state.is_removing || !state.removals.is_empty()
    }

    /// Whether one of them has been cut off in part.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn is_shrinking(&self) -> bool {
        self.state().removals.front().is_some_and(|removal| removal.file.is_some() && !removal.is_unlinked)
    }

    /// Why segments can't be removed.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn_of_any_kind(&self) -> Turn {
        let mut state = self.state();
        match std::mem::replace(&mut state.room, Room::Free) {
            Room::Asked(extension) => {
                state.room = Room::InHand(extension.number);
                drop(state);
                let filled = segment::fill(&*extension.file, extension.from, extension.end);
                self.room_is(match filled {
                    Ok(()) => Room::Filled(extension),
                    Err(error) => Room::Done(extension.number, Err(error)),
                });
                Turn::Room
            }
            Room::Filled(extension) => {
                state.room = Room::InHand(extension.number);
                drop(state);
                let synced = segment::sync_room(&*extension.file);
                self.room_is(Room::Done(extension.number, synced.map(|()| extension.end)));
                Turn::Room
            }
            other => {
                state.room = other;
                let Some(removal) = state.removals.pop_front() else { return Turn::Nothing };
                state.is_removing = true;
                drop(state);
                self.go_on_with(removal)
            }
        }
    }

    fn room_is(&self, room: Room) {
        self.state().room = room;
        self.changed.notify_all();
    }

    /// One operation of a removal.
    fn go_on_with(&self, mut removal: Removal) -> Turn {
        let before = removal.bytes;
        let done = self.remove_a_step(&mut removal);
        self.metrics.removing_bytes.add(removal.bytes as i64 - before as i64);
        let mut state = self.state();
        state.is_removing = false;
        match done {
            Ok(true) => {
                self.metrics.removing_segments.add(-1);
                state.trouble = None;
                Turn::Removal
            }
            Ok(false) => {
                state.removals.push_front(removal);
                Turn::Removal
            }
            Err(error) => {
                state.removals.push_front(removal);
                state.trouble = Some(error.to_string());
                self.metrics.removal_failures_total.inc();
                Turn::Failed
            }
        }
    }

    /// Cuts a step off; when not more than that is left, unlinks; then makes that durable. Whether it is gone.
    fn remove_a_step(&self, removal: &mut Removal) -> io::Result<bool> {
        if removal.is_unlinked {
            self.disk.sync_directory(&self.journal)?;
            return Ok(true);
        }
        // One that can't be cut off is unlinked whole.
        if !removal.is_short && self.cut(removal).unwrap_or(false) {
            return Ok(false);
        }
        removal.is_short = true;
        match self.disk.unlink(&removal.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => self.metrics.unlinked_total.inc(),
        }
        (removal.is_unlinked, removal.bytes) = (true, 0);
        Ok(false)
    }

    /// Whether there was something to be cut off.
    fn cut(&self, removal: &mut Removal) -> io::Result<bool> {
        let file = match &removal.file {
            Some(file) => file,
            None => {
                removal.bytes = self.disk.length(&removal.path)?;
                removal.file.insert(self.disk.open(&removal.path, Open::Existing)?)
            }
        };
        if removal.bytes <= self.step {
            return Ok(false);
        }
        file.set_length(removal.bytes - self.step)?;
        removal.bytes -= self.step;
        Ok(true)
    }
}

/// Says that he is gone, however his thread ends: nobody waits for him in vain.
struct Leaving<'a>(&'a Caretaker);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.driver = Driver::Nobody;
        let number = match &state.room {
            Room::Asked(extension) | Room::Filled(extension) => Some(extension.number),
            Room::InHand(number) => Some(*number),
            Room::Free | Room::Done(..) => None,
        };
        if let Some(number) = number {
            let ended = io::Error::other("the thread has ended");
            state.room = Room::Done(number, Err(segment::failed("making room in a segment")(ended)));
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
