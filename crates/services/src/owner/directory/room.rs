//! How much may wait for accounts' records: work parked behind loads, and stanzas that are refused once the store has looked.
//!
//! Each account's has a bound by count, and stanzas have one by bytes, of one account and of all: large ones would else take more
//! memory than the machine has. Beyond, they are refused as overloaded. Bytes keep no login out. Whether the account exists makes
//! no difference: both kinds count alike.
//!
//! Kept by [`super::Directory`]; whoever has something parked keeps its account's bytes.

use super::{Bounds, Work};

/// See the module.
pub(crate) struct ParkedRoom {
    count: usize,
    bytes: usize,
    count_max: usize,
    bytes_max: usize,
    bytes_all_max: usize,
}

/// What is to be parked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parking {
    bytes: usize,
    is_stanza: bool,
}

impl Parking {
    pub(crate) fn of(work: &Work) -> Self {
        Self { bytes: work.waiting_bytes(), is_stanza: matches!(work, Work::RoutedStanza(_)) }
    }
}

impl ParkedRoom {
    pub(super) fn of(bounds: &Bounds) -> Self {
        Self {
            count: 0,
            bytes: 0,
            count_max: bounds.parked,
            bytes_max: bounds.parked_bytes,
            bytes_all_max: bounds.parked_bytes_shard,
        }
    }

    /// Whether there is room beside what is parked for the same account: so many, of so many bytes.
    pub(crate) fn has(&self, count: usize, bytes: usize, new: Parking) -> bool {
        // One alone has room, however large a stanza may be.
        let fits = count == 0 || bytes + new.bytes <= self.bytes_max;
        count < self.count_max && (!new.is_stanza || fits && self.bytes + new.bytes <= self.bytes_all_max)
    }

    /// Takes it in if there is room.
    pub(crate) fn take(&mut self, count: usize, bytes: &mut usize, new: Parking) -> bool {
        let has_room = self.has(count, *bytes, new);
        if has_room {
            self.keep(bytes, new);
        }
        has_room
    }

    /// Takes it in again: it has had its place.
    pub(crate) fn keep(&mut self, bytes: &mut usize, new: Parking) {
        *bytes += new.bytes;
        self.bytes += new.bytes;
        self.count += 1;
    }

    /// What was parked for one account is not any more.
    pub(crate) fn give_back(&mut self, count: usize, bytes: usize) {
        self.count -= count;
        self.bytes -= bytes;
    }

    /// How many wait, and their bytes.
    pub(crate) fn level(&self) -> (usize, usize) {
        (self.count, self.bytes)
    }
}
