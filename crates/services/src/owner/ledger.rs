//! The ledger of an account: what is under way for it with the store, and what waits for that. Data; each kind is carried out by its
//! own file of [`crate::owner`] (`errands`, `rosters`, `call`, `contact_sync`, `removal`).

use crate::account::roster::Undo;
use crate::account::tokens::Device;
use crate::effects::login::{ReplyTo, TokenProved};
use crate::effects::turn::command::Command;
use crate::effects::turn::errand::{Done, Errand, Then};
use crate::effects::turn::{Busy, Post};
use crate::wire::SessionId;
use std::collections::VecDeque;

/// Most steps that wait for the write before them: then rooms refuse changes ([`Account::roster_is_busy`]).
const CHANGES_MAX: usize = 64;
/// Most steps in line at all: beyond, what is no change is sent at once, out of order.
const STEPS_MAX: usize = 1_024;

/// Which of an account's records the store is writing. Behind a pointer: hardly any account has one at any time.
#[derive(Default)]
pub(crate) struct Saving(Option<Box<Writes>>);

/// See [`Saving`]. One write of each kind at a time, because each has to name the revision that the last one made.
#[derive(Default)]
pub(crate) struct Writes {
    /// A roster is on its way; what follows from its changes waits for that.
    pub(crate) roster: Option<RosterWrites>,
    /// The account's record is on its way.
    pub(crate) record: bool,
    /// The account is being removed.
    pub(crate) removing: Option<Removing>,
    /// Something is done with its phone book, or waits for that.
    pub(crate) book: bool,
    /// What rooms have had read or written, one after the other.
    pub(crate) errands: Option<Errands>,
    /// It has changed since it went: it is to go again.
    pub(crate) record_again: bool,
    /// Clients that have given tokens back. Each has its own connection, so they are few.
    pub(crate) given_back: Vec<GivenBack>,
    /// Commands that wait for that.
    pub(crate) deferred: Vec<Command>,
}

/// How far the removal of an account has got.
pub(crate) struct Removing {
    /// An operator had switched it off before.
    pub(crate) was_disabled: bool,
    /// There is no way back: it counts as nobody's.
    pub(crate) is_marked: bool,
}

impl Saving {
    /// What is under way, if anything is.
    pub(crate) fn writes(&self) -> Option<&Writes> {
        self.0.as_deref()
    }

    /// Notes what is under way now.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Writes) -> T) -> T {
        let writes = self.0.get_or_insert_default();
        let result = change(writes);
        if !writes.is_busy() && writes.deferred.is_empty() {
            self.0 = None;
        }
        result
    }

    /// Whether the account's record is being written.
    pub(crate) fn has_record(&self) -> bool {
        self.writes().is_some_and(|writes| writes.record)
    }

    /// Whether the account is being removed.
    pub(crate) fn is_leaving(&self) -> bool {
        self.writes().is_some_and(|writes| writes.removing.is_some())
    }

    /// Whether something of the account is being written, so that it can't be removed or leave memory now.
    pub(crate) fn is_busy(&self) -> bool {
        self.writes().is_some_and(Writes::is_busy)
    }
}

impl Writes {
    pub(crate) fn is_busy(&self) -> bool {
        self.removing.is_some()
            || self.record
            || self.record_again
            || !self.given_back.is_empty()
            || self.book
            || self.roster.is_some()
            || self.errands.is_some()
    }
}

/// The writes of one account's roster.
#[derive(Default)]
pub(crate) struct RosterWrites {
    /// On its way to the disk.
    pub(crate) now: Vec<Step>,
    /// Made since.
    pub(crate) next: Vec<Step>,
}

/// What one call of a room wants.
pub(crate) struct Step {
    /// It has changed the roster: how to take that back.
    pub(crate) undo: Option<Undo>,
    /// What is sent once that, and all before it, is durable.
    pub(crate) posts: Vec<Post>,
    /// What is sent if the change can't be kept.
    pub(crate) unless_saved: Vec<Post>,
}

/// A client has given its tokens back and waits until that is durable.
pub(crate) struct GivenBack {
    pub(crate) reply_to: ReplyTo,
    pub(crate) told: TokenProved,
    pub(crate) device: Device,
    /// Not in the write under way, but in the one after it.
    pub(crate) is_next: bool,
}

/// An account's errands, the first of which is under way.
#[derive(Default)]
pub(crate) struct Errands {
    pub(crate) stage: Option<Stage>,
    /// The session that waits for the one under way.
    pub(crate) by: Option<SessionId>,
    pub(crate) waiting: VecDeque<Errand>,
}

/// What the one under way waits for. `None`: its continuation is running.
pub(crate) enum Stage {
    Reading(Then),
    Writing(Done),
}

impl Saving {
    /// What of it rooms are told of.
    pub(crate) fn busy(&self) -> Busy {
        let Some(writes) = self.writes() else { return Busy::default() };
        let errands = writes.errands.as_ref().map_or(0, |errands| errands.waiting.len() + 1);
        Busy { errands, roster: self.roster_is_busy() }
    }

    /// Too many changes of the roster wait for the disk: no more for now.
    fn roster_is_busy(&self) -> bool {
        self.is_leaving() || self.roster_writes().is_some_and(|writes| writes.next.len() >= CHANGES_MAX)
    }

    /// Whether what a room says for this account has to wait in line.
    pub(crate) fn has_line(&self) -> bool {
        self.roster_writes().is_some_and(|writes| writes.next.len() < STEPS_MAX)
    }

    fn roster_writes(&self) -> Option<&RosterWrites> {
        self.writes()?.roster.as_ref()
    }

    /// Whether the account is marked: it is being removed, and nothing of it is to be seen any more.
    pub(crate) fn is_gone(&self) -> bool {
        let removing = self.writes().and_then(|writes| writes.removing.as_ref());
        removing.is_some_and(|removing| removing.is_marked)
    }
}
