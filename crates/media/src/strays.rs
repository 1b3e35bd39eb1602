//! Objects that may lie in a backend without a row: uploads that a backend failed at, or that were refused after they had got there.
//!
//! The caretaker deletes them when their backend answers, and those of no other wait for that. Each is an arrival as well, so that a start finds what is lost here.

use chaski_store::media::{ObjectId, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most of one backend that are remembered; others wait for the next start.
const STRAYS_MAX: usize = 16_384;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strays {
    of: Arc<Mutex<BTreeMap<Place, BTreeSet<ObjectId>>>>,
}

/// One that becomes a stray when this is dropped.
#[derive(Debug)]
pub(crate) struct Stray {
    strays: Strays,
    of: Option<(ObjectId, Place)>,
}

impl Strays {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, BTreeSet<ObjectId>>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the drop of what this returns on.
    pub(crate) fn note(&self, object: ObjectId, place: &Place) -> Stray {
        Stray { strays: self.clone(), of: Some((object, place.clone())) }
    }

    /// Takes all that may lie here.
    pub(crate) fn take(&self, place: &str) -> Vec<ObjectId> {
        self.lock().remove(place).unwrap_or_default().into_iter().collect()
    }
}

impl Stray {
    /// It has got where it is to be.
    pub(crate) fn forget(mut self) {
        self.of = None;
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        let Some((object, place)) = self.of.take() else { return };
        let mut strays = self.strays.lock();
        let there = strays.entry(place).or_default();
        if there.len() < STRAYS_MAX {
            there.insert(object);
        }
    }
}
