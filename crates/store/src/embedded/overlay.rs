//! What frames have SQLite do and it has not done yet: records as they are going to be, by table and key.
//!
//! Owned by the engine. The journal's writer puts in what a frame that has become durable says of records ([`Overlay::decided`]), before
//! anybody is told; SQLite's writer takes out what it has done ([`Overlay::applied`]); readers ask here first and SQLite afterwards, so that
//! what is done between the two is found in both rather than in neither. Questions about phone books join many accounts: they
//! are asked behind what is to be done ([`Overlay::books_wait`]).
//!
//! Bounded by [`super::Options::overlay_bytes`]: beyond it new changes are refused ([`Overlay::refusal`]), and while SQLite can't be written so
//! are those whose outcome only it knows. Promise: a record that was read once is not read older later.

use super::journal::effects::Effect;
use super::sqlite_writer::Submitted;
use crate::StoreError;
use crate::records::{Revision, Table, Versioned};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the file's head.
#[derive(Default)]
pub(crate) struct Overlay {
    pending: Mutex<Pending>,
    /// Bytes of what is to be done.
    bytes: AtomicUsize,
    /// The last frame whose effects are all done,
    applied: AtomicU64,
    /// and the last that has some that touch phone books.
    books: AtomicU64,
    /// Why SQLite can't be written, if it can't.
    failure: Mutex<Option<StoreError>>,
}

#[derive(Default)]
struct Pending {
    records: BTreeMap<Key, Decided>,
    /// Frames with effects that are not done, oldest first.
    frames: VecDeque<Frame>,
}

type Key = (Table, String);

struct Decided {
    frame: u64,
    found: Option<Versioned>,
}

struct Frame {
    number: u64,
    bytes: usize,
    keys: Vec<Key>,
}

impl Overlay {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame is durable: SQLite is going to do this.
    pub(crate) fn decided(&self, number: u64, effects: &[Submitted]) {
        let mut pending = self.pending();
        let (mut keys, mut bytes) = (Vec::new(), 0);
        for Submitted { numbered, .. } in effects {
            bytes += numbered.effect.size();
            for (revision, put) in (numbered.revision.0..).zip(numbered.effect.puts()) {
                let key = (put.table, put.key.clone());
                let found = put.value.clone().map(|value| Versioned { value, revision: Revision(revision) });
                pending.records.insert(key.clone(), Decided { frame: number, found });
                keys.push(key);
            }
        }
        pending.frames.push_back(Frame { number, bytes, keys });
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if effects.iter().any(|effect| effect.numbered.effect.touches_books()) {
            self.books.store(number, Ordering::Release);
        }
    }

    /// SQLite has durably done what frames up to this one say.
    pub(crate) fn applied(&self, number: u64) {
        self.applied.fetch_max(number, Ordering::AcqRel);
        let mut pending = self.pending();
        while let Some(frame) = pending.frames.pop_front_if(|frame| frame.number <= number) {
            self.bytes.fetch_sub(frame.bytes, Ordering::AcqRel);
            for key in frame.keys {
                if pending.records.get(&key).is_some_and(|decided| decided.frame <= number) {
                    pending.records.remove(&key);
                }
            }
        }
    }

    /// The last frame whose effects are all done.
    pub(crate) fn applied_frame(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Bytes of what is to be done.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether something is to be done that a question about phone books must wait for.
    pub(crate) fn books_wait(&self) -> bool {
        self.books.load(Ordering::Acquire) > self.applied_frame()
    }

    /// Whether everything is done.
    fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// A record as it is going to be; `None` if SQLite knows it.
    pub(crate) fn get(&self, table: Table, name: &str) -> Option<Option<Versioned>> {
        if self.is_empty() {
            return None;
        }
        self.pending().records.get(&(table, name.to_owned())).map(|decided| decided.found.clone())
    }

    /// Records of a table as they are going to be, in key order, after `after`.
    pub(crate) fn after(&self, table: Table, after: &str) -> BTreeMap<String, Option<Versioned>> {
        if self.is_empty() {
            return BTreeMap::new();
        }
        let pending = self.pending();
        let behind = (Bound::Excluded((table, after.to_owned())), Bound::Unbounded);
        let own = pending.records.range(behind).take_while(|((of, _), _)| *of == table);
        own.map(|((_, name), decided)| (name.clone(), decided.found.clone())).collect()
    }

    /// Why this can't be taken in now, if it can't.
    pub(crate) fn refusal(&self, effect: &Effect, bytes_max: usize) -> Option<StoreError> {
        if self.bytes() + effect.size() > bytes_max {
            return Some(StoreError::Overloaded);
        }
        match effect {
            Effect::Puts(_) => None,
            _ => self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// SQLite can't be written, or can again.
    pub(crate) fn note_failure(&self, failure: Option<StoreError>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::journal::effects::Numbered;
    use crate::embedded::sqlite_writer::Waiter;
    use crate::records::Put;

    fn write(revision: u64, key: &str, value: Option<&str>) -> Submitted {
        let put = Put {
            table: Table::new("items"),
            key: key.into(),
            value: value.map(|value| value.as_bytes().to_vec()),
        };
        Submitted {
            numbered: Numbered { revision: Revision(revision), effect: Effect::Puts(vec![put]) },
            waiter: Waiter::Nobody,
        }
    }

    fn text(found: Option<Option<Versioned>>) -> Option<Option<String>> {
        found.map(|found| found.map(|found| String::from_utf8(found.value).unwrap()))
    }

    #[test]
    fn the_newest_is_shown_until_it_is_done() {
        let overlay = Overlay::default();
        assert_eq!(overlay.get(Table::new("items"), "a"), None);
        overlay.decided(5, &[write(1, "a", Some("1")), write(2, "b", Some("2")), write(3, "a", Some("3"))]);
        overlay.decided(7, &[write(4, "a", None)]);
        assert_eq!(text(overlay.get(Table::new("items"), "a")), Some(None));
        assert_eq!(text(overlay.get(Table::new("items"), "b")), Some(Some("2".into())));
        assert_eq!(overlay.get(Table::new("items"), "c"), None);
        assert_eq!(overlay.get(Table::new("rosters"), "b"), None, "of another table");
        overlay.applied(6);
        assert_eq!(text(overlay.get(Table::new("items"), "a")), Some(None), "what frame 7 says is not done");
        assert_eq!(overlay.get(Table::new("items"), "b"), None);
        assert!(overlay.bytes() > 0);
        overlay.applied(7);
        assert_eq!((overlay.get(Table::new("items"), "a"), overlay.bytes()), (None, 0));
    }

    #[test]
    fn a_scan_gets_one_table_behind_one_key() {
        let overlay = Overlay::default();
        overlay.decided(1, &[write(1, "a", Some("1")), write(2, "b", None), write(3, "c", Some("3"))]);
        let found: Vec<_> = overlay.after(Table::new("items"), "a").into_iter().collect();
        let keys: Vec<_> = found.iter().map(|(key, found)| (key.as_str(), found.is_some())).collect();
        assert_eq!(keys, [("b", false), ("c", true)]);
        assert!(overlay.after(Table::new("limits"), "").is_empty());
    }

    #[test]
    fn while_sqlite_fails_only_what_needs_its_word_is_refused() {
        let overlay = Overlay::default();
        let put = write(1, "a", Some("1")).numbered.effect;
        let condition =
            Effect::If { put: Put { table: Table::ACCOUNTS, key: "+1".into(), value: None }, expected: None };
        overlay.note_failure(Some(StoreError::Full));
        assert!(overlay.refusal(&put, 1_000).is_none());
        assert!(matches!(overlay.refusal(&condition, 1_000), Some(StoreError::Full)));
        overlay.note_failure(None);
        assert!(overlay.refusal(&condition, 1_000).is_none());
    }
}
