//! Who holds which lock of a database, and the shared memory of its write-ahead log, within one process.
//!
//! The rules are those of <https://www.sqlite.org/lockingv3.html> and of `xShmLock` in <https://www.sqlite.org/c3ref/io_methods.html>.

use rusqlite::ffi;
use std::collections::HashMap;
use std::ffi::c_int;
use std::ops::Range;

/// The locks of a database file, by holder: the level that each has.
#[derive(Default)]
pub(super) struct Locks(HashMap<u64, c_int>);

impl Locks {
    /// Raises a holder's lock to a level, if the others' allow it.
    pub(super) fn lock(&mut self, holder: u64, level: c_int) -> bool {
        let own = self.0.get(&holder).copied().unwrap_or(ffi::SQLITE_LOCK_NONE);
        if own >= level {
            return true;
        }
        let highest = self.0.iter().filter(|(other, _)| **other != holder).map(|(_, level)| *level).max();
        let highest = highest.unwrap_or(ffi::SQLITE_LOCK_NONE);
        let granted = match level {
            ffi::SQLITE_LOCK_SHARED => highest < ffi::SQLITE_LOCK_PENDING,
            ffi::SQLITE_LOCK_RESERVED => highest < ffi::SQLITE_LOCK_RESERVED,
            // Whoever waits for the readers to end lets no new ones in.
            _ if highest >= ffi::SQLITE_LOCK_RESERVED => false,
            _ if highest >= ffi::SQLITE_LOCK_SHARED => {
                self.0.insert(holder, ffi::SQLITE_LOCK_PENDING);
                false
            }
            _ => true,
        };
        if granted {
            self.0.insert(holder, level);
        }
        granted
    }

    /// Lowers it.
    pub(super) fn unlock(&mut self, holder: u64, level: c_int) {
        match level {
            ffi::SQLITE_LOCK_NONE => drop(self.0.remove(&holder)),
            level => drop(self.0.insert(holder, level)),
        }
    }

    /// Whether anybody is about to write.
    pub(super) fn is_reserved(&self) -> bool {
        self.0.values().any(|&level| level >= ffi::SQLITE_LOCK_RESERVED)
    }
}

/// The shared memory and its locks.
#[derive(Default)]
pub(super) struct Shared {
    regions: Vec<Box<[u64]>>,
    users: usize,
    /// By slot: who holds it, and whether alone.
    slots: [Vec<(u64, bool)>; 8],
}

impl Shared {
    /// One more connection uses it.
    pub(super) fn enter(&mut self) {
        self.users += 1;
    }

    /// A connection is done. With the last one it is gone.
    pub(super) fn leave(&mut self, holder: u64) {
        self.unlock(holder, 0..self.slots.len());
        self.users = self.users.saturating_sub(1);
        if self.users == 0 {
            self.regions.clear();
        }
    }

    /// Where a region is; null if it isn't there and shall not be made. It stays in its place until the last user leaves.
    pub(super) fn region(&mut self, number: usize, bytes: usize, extend: bool) -> *mut u64 {
        while extend && self.regions.len() <= number {
            self.regions.push(vec![0u64; bytes.div_ceil(size_of::<u64>())].into_boxed_slice());
        }
        self.regions.get_mut(number).map_or(std::ptr::null_mut(), |region| region.as_mut_ptr())
    }

    /// Takes slots, all or none.
    pub(super) fn lock(&mut self, holder: u64, slots: Range<usize>, exclusive: bool) -> bool {
        let others = |&(other, alone): &(u64, bool)| other != holder && (exclusive || alone);
        if self.slots[slots.clone()].iter().flatten().any(others) {
            return false;
        }
        for slot in &mut self.slots[slots] {
            if !slot.iter().any(|(own, _)| *own == holder) {
                slot.push((holder, exclusive));
            }
        }
        true
    }

    /// Lets slots go.
    pub(super) fn unlock(&mut self, holder: u64, slots: Range<usize>) {
        self.slots[slots].iter_mut().for_each(|slot| slot.retain(|(own, _)| *own != holder));
    }
}
