//! The ledger of an account: the changes of its documents, in one line, one transaction at a time.
//!
//! An [`Entry`] is an errand of a room, which reads and writes records ([`Errand`]); documents that have changed in memory and
//! are to be saved ([`Documents`]); or a record that replaces the one in force ([`Replacing`]). Entries are carried out in the
//! order in which they came. So each reads what the one before it has written, and two never write at the same time: since one
//! owner writes in one line, revisions need not be compared. This file holds data; `owner/transactions`, `owner/errands` and
//! `owner/documents` carry the entries out.
//!
//! Promises: what others see of a change waits until the change is durable. A change that could not be saved is taken back, with
//! all later changes that stand on it. An account with entries stays in memory and can't be removed. Bounds: [`ERRANDS_MAX`]
//! errands, [`CHANGES_MAX`] changes of the roster, [`STEPS_MAX`] steps; beyond, rooms refuse more. Most accounts have no entries,
//! and pay one pointer.

use crate::account::fast_tokens::Device;
use crate::account::record::AccountRecord;
use crate::account::roster::Undo;
use crate::effects::login::{ReplyTo, TokenProved};
use crate::effects::turn::command::{Command, Expected, Reply};
use crate::effects::turn::errand::{Done, ERRANDS_MAX, Errand, Then};
use crate::effects::turn::{Busy, Post};
use crate::wire::SessionId;
use std::collections::VecDeque;

/// Most changes of the roster that wait; with these, rooms refuse more ([`Busy::roster`]).
const CHANGES_MAX: usize = 64;
/// Most steps that wait; beyond, a step that changes nothing is sent at once, out of order.
const STEPS_MAX: usize = 1_024;

/// See the module.
#[derive(Default)]
pub(crate) struct Ledger(Option<Box<Entries>>);

/// The entries of a ledger that has any.
#[derive(Default)]
pub(crate) struct Entries {
    /// The entry that is being carried out.
    under_way: Option<UnderWay>,
    /// The entry under way is an errand.
    is_errand: bool,
    /// The session whose next stanzas wait for the entry under way.
    by: Option<SessionId>,
    waiting: VecDeque<Entry>,
    /// The account is being removed.
    pub(crate) removing: Option<Removing>,
    /// The account's phone book is being read or changed, or a job for that waits.
    pub(crate) book: bool,
    /// Commands that wait until no entry that they depend on is left.
    pub(crate) deferred: Vec<Command>,
}

/// One change that waits.
pub(crate) enum Entry {
    /// A room's errand: it reads, continues with what was read, writes, and continues again.
    Errand(Errand),
    /// Documents have changed in memory.
    Documents(Documents),
    /// A record is to take the place of the one in force.
    Replacing(Box<Replacing>),
}

/// What the entry under way waits for. `Reading` and `Writing` belong to errands.
pub(crate) enum UnderWay {
    /// Nothing: its continuation is running.
    Running,
    /// An errand's records are read.
    Reading(Then),
    /// An errand's change is written.
    Writing(Done),
    /// Documents are written.
    Documents(Documents),
    /// A record is written.
    Replacing(Box<Replacing>),
}

/// Documents as they are in memory, to be saved in one transaction.
#[derive(Default)]
pub(crate) struct Documents {
    pub(crate) has_roster: bool,
    pub(crate) has_record: bool,
    /// What rooms have to send once the documents are saved, in order.
    pub(crate) steps: Vec<Step>,
    /// Clients that are told then that their tokens are gone. Each has its own connection, so they are few.
    pub(crate) given_back: Vec<GivenBack>,
}

/// What one call of a room sends, and how to take back its change of the roster.
pub(crate) struct Step {
    /// How to take back the change of the roster that the call has made. `None`: it has made none.
    pub(crate) undo: Option<Undo>,
    /// What is sent once this change, and all before it, are durable.
    pub(crate) posts: Vec<Post>,
    /// What is sent instead if the change can't be saved.
    pub(crate) unless_saved: Vec<Post>,
}

/// A client has given its tokens back and waits until that is durable.
pub(crate) struct GivenBack {
    pub(crate) reply_to: ReplyTo,
    pub(crate) told: TokenProved,
    pub(crate) device: Device,
}

/// A record that replaces the one in force, whatever that is or if it is as expected.
pub(crate) struct Replacing {
    pub(crate) record: Box<AccountRecord>,
    /// The record must meet this expectation when its turn comes, or else the replacement is refused.
    pub(crate) expected: Expected,
    pub(crate) reply: Reply<()>,
}

/// How far the removal of an account has got.
pub(crate) struct Removing {
    /// The account was switched off by an operator before its removal began.
    pub(crate) was_disabled: bool,
    /// The removal can't be taken back: the account's number counts as nobody's.
    pub(crate) is_marked: bool,
}

/// What a ledger has to do next.
pub(crate) enum Next {
    /// An entry is under way.
    AtWork,
    /// No entry waits.
    Nothing,
    /// This entry is next. It counts as running from now on.
    Entry(Entry),
}

impl Ledger {
    /// The entries, if there are any.
    pub(crate) fn entries(&self) -> Option<&Entries> {
        self.0.as_deref()
    }

    /// Changes the entries.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Entries) -> T) -> T {
        let entries = self.0.get_or_insert_default();
        let result = change(entries);
        if !entries.is_busy() && entries.deferred.is_empty() {
            self.0 = None;
        }
        result
    }

    /// The entry to be carried out next.
    pub(crate) fn next(&mut self) -> Next {
        if self.0.is_none() { Next::Nothing } else { self.change(Entries::next) }
    }

    /// What the entry under way has waited for. The entry counts as running from now on.
    pub(crate) fn resume(&mut self) -> Option<UnderWay> {
        let under_way = self.0.as_deref_mut()?.under_way.as_mut()?;
        Some(std::mem::replace(under_way, UnderWay::Running))
    }

    /// The entry under way waits for this.
    pub(crate) fn wait(&mut self, under_way: UnderWay) {
        self.change(|entries| entries.under_way = Some(under_way));
    }

    /// The entry under way is over. Returns the session whose stanzas wait for that.
    pub(crate) fn over(&mut self) -> Option<SessionId> {
        self.change(|entries| {
            (entries.under_way, entries.is_errand) = (None, false);
            entries.by.take()
        })
    }

    /// The session whose stanzas wait for the entry under way.
    pub(crate) fn waited_for_by(&self) -> Option<SessionId> {
        self.entries()?.by
    }

    /// Adds an errand; gives it back if too many wait.
    pub(crate) fn add_errand(&mut self, errand: Errand) -> Result<(), Errand> {
        self.change(|entries| {
            if entries.errands_waiting() >= ERRANDS_MAX {
                return Err(errand);
            }
            entries.waiting.push_back(Entry::Errand(errand));
            Ok(())
        })
    }

    /// Adds a step: a room has changed the roster, or sends something behind such a change.
    pub(crate) fn add_step(&mut self, step: Step) {
        self.change(|entries| entries.add_step(step));
    }

    /// The account's record has changed in memory: has it saved. `given_back`: the client that is told when it is.
    pub(crate) fn add_record(&mut self, given_back: Option<GivenBack>) {
        self.change(|entries| {
            let documents = entries.last_documents();
            documents.has_record = true;
            documents.given_back.extend(given_back);
        });
    }

    /// Adds a record that is to replace the one in force.
    pub(crate) fn add_replacing(&mut self, replacing: Replacing) {
        self.change(|entries| entries.waiting.push_back(Entry::Replacing(Box::new(replacing))));
    }

    /// A roster could not be saved: takes out all waiting steps that have changed the roster after that, in order, since they
    /// can't be saved either.
    pub(crate) fn take_roster_steps(&mut self) -> Vec<Step> {
        self.change(|entries| {
            let mut taken = Vec::new();
            for entry in &mut entries.waiting {
                if let Entry::Documents(documents) = entry {
                    documents.has_roster = false;
                    taken.append(&mut documents.steps);
                }
            }
            taken
        })
    }

    /// Whether the account's record is being written, or is to be.
    pub(crate) fn has_record(&self) -> bool {
        self.entries().is_some_and(Entries::has_record)
    }

    /// Whether the account is being removed.
    pub(crate) fn is_leaving(&self) -> bool {
        self.entries().is_some_and(|entries| entries.removing.is_some())
    }

    /// Whether the account's removal is marked, so that nothing of the account may be seen any more.
    pub(crate) fn is_gone(&self) -> bool {
        let removing = self.entries().and_then(|entries| entries.removing.as_ref());
        removing.is_some_and(|removing| removing.is_marked)
    }

    /// Whether something of the account is being changed, so that it can't be removed or leave memory now.
    pub(crate) fn is_busy(&self) -> bool {
        self.entries().is_some_and(Entries::is_busy)
    }

    /// What rooms are told of the ledger.
    pub(crate) fn busy(&self) -> Busy {
        let Some(entries) = self.entries() else { return Busy::default() };
        let roster = self.is_leaving() || entries.steps_waiting(|step| step.undo.is_some()) >= CHANGES_MAX;
        Busy { errands: entries.errands(), roster }
    }

    /// Whether what a room says for this account has to wait behind a change of the roster.
    pub(crate) fn has_line(&self) -> bool {
        self.entries()
            .is_some_and(|entries| entries.has_roster() && entries.steps_waiting(|_| true) < STEPS_MAX)
    }
}

impl Entries {
    fn is_busy(&self) -> bool {
        self.removing.is_some() || self.book || self.under_way.is_some() || !self.waiting.is_empty()
    }

    fn next(&mut self) -> Next {
        if self.under_way.is_some() {
            return Next::AtWork;
        }
        let Some(entry) = self.waiting.pop_front() else { return Next::Nothing };
        self.under_way = Some(UnderWay::Running);
        if let Entry::Errand(errand) = &entry {
            (self.is_errand, self.by) = (true, errand.by);
        }
        Next::Entry(entry)
    }

    /// The documents that are saved last, if no other entry stands behind them; else new ones behind that entry.
    fn last_documents(&mut self) -> &mut Documents {
        if !matches!(self.waiting.back(), Some(Entry::Documents(_))) {
            self.waiting.push_back(Entry::Documents(Documents::default()));
        }
        match self.waiting.back_mut() {
            Some(Entry::Documents(documents)) => documents,
            _ => unreachable!("they were put there just now"),
        }
    }

    fn add_step(&mut self, step: Step) {
        let is_change = step.undo.is_some();
        if let Some(UnderWay::Documents(documents)) = &mut self.under_way
            && documents.has_roster
            && !is_change
            && self.waiting.is_empty()
        {
            // The step changes no document: it goes with the documents that are saved before it.
            return documents.steps.push(step);
        }
        let documents = self.last_documents();
        documents.has_roster |= is_change;
        documents.steps.push(step);
    }

    fn documents(&self) -> impl Iterator<Item = &Documents> {
        let under_way = match &self.under_way {
            Some(UnderWay::Documents(documents)) => Some(documents),
            _ => None,
        };
        under_way.into_iter().chain(self.documents_waiting())
    }

    fn documents_waiting(&self) -> impl Iterator<Item = &Documents> {
        self.waiting.iter().filter_map(|entry| match entry {
            Entry::Documents(documents) => Some(documents),
            Entry::Errand(_) | Entry::Replacing(_) => None,
        })
    }

    fn steps_waiting(&self, which: impl Fn(&Step) -> bool) -> usize {
        let steps = self.documents_waiting().flat_map(|documents| &documents.steps);
        steps.filter(|step| which(step)).count()
    }

    fn errands_waiting(&self) -> usize {
        self.waiting.iter().filter(|entry| matches!(entry, Entry::Errand(_))).count()
    }

    /// Errands that wait or are under way.
    fn errands(&self) -> usize {
        self.errands_waiting() + usize::from(self.is_errand)
    }

    /// Entries that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a change of the roster is being saved, or is to be.
    pub(crate) fn has_roster(&self) -> bool {
        self.documents().any(|documents| documents.has_roster)
    }

    /// Whether the account's record is being written, or is to be.
    pub(crate) fn has_record(&self) -> bool {
        matches!(self.under_way, Some(UnderWay::Replacing(_)))
            || self.waiting.iter().any(|entry| matches!(entry, Entry::Replacing(_)))
            || self.documents().any(|documents| documents.has_record)
    }
}
