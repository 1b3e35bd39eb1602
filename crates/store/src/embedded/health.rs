//! What is wrong with the store now, for whoever asks: `/healthz`, and fronts that would take a message.
//!
//! Each part of the engine says its own trouble when it begins and when it is over. Nothing is remembered: what was wrong
//! stands in the log.

use crate::StoreError;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who has a trouble. In the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The journal can't be written: nothing is accepted.
    Journal,
    /// The disk is full: nothing is accepted.
    Room,
    /// The disk is nearly full: strangers' messages are not accepted.
    Scarce,
    /// The database can't be written.
    Database,
    /// The database file makes no sense in places. It stays so until the end.
    Damage,
    /// The database's write-ahead log can't be written back.
    Checkpoint,
    /// Segments that nobody needs can't be removed.
    Removal,
}

/// See the file's head.
#[derive(Debug, Default)]
pub(crate) struct Health {
    troubles: Mutex<BTreeMap<Part, String>>,
    refusing: AtomicBool,
    scarce: AtomicBool,
}

impl Health {
    fn troubles(&self) -> MutexGuard<'_, BTreeMap<Part, String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part has this trouble now. Whether it had none before, so that it is said once.
    pub(crate) fn ail(&self, part: Part, trouble: String) -> bool {
        let is_new = self.troubles().insert(part, trouble).is_none();
        if let Some(flag) = self.flag(part) {
            flag.store(true, Ordering::Release);
        }
        is_new
    }

    /// A part is well. Whether it was not before.
    pub(crate) fn mend(&self, part: Part) -> bool {
        if let Some(flag) = self.flag(part) {
            flag.store(false, Ordering::Release);
        }
        self.troubles().remove(&part).is_some()
    }

    /// What fronts ask for each message.
    fn flag(&self, part: Part) -> Option<&AtomicBool> {
        match part {
            Part::Journal => Some(&self.refusing),
            Part::Scarce => Some(&self.scarce),
            Part::Room | Part::Database | Part::Damage | Part::Checkpoint | Part::Removal => None,
        }
    }

    /// Whether what room the disk has is kept for contacts' messages.
    pub(crate) fn is_scarce(&self) -> bool {
        self.scarce.load(Ordering::Acquire)
    }

    /// Every trouble, one line each.
    pub(crate) fn all(&self) -> Vec<String> {
        self.troubles().values().cloned().collect()
    }

    /// Why no message can be taken now, if none can. What a full disk refuses is known only at the journal.
    pub(crate) fn refusal(&self) -> Option<StoreError> {
        if !self.refusing.load(Ordering::Acquire) {
            return None;
        }
        let why = self.troubles().get(&Part::Journal).cloned().unwrap_or_default();
        Some(StoreError::Failed(why.into()))
    }
}
