//! How much may wait for accounts' records: work parked behind loads, and stanzas to be refused after a look-up.
//!
//! What waits for one account is bounded by count. Stanzas are bounded by bytes as well, per account and in all: large ones would
//! otherwise take more memory than the machine has. Beyond a bound work is refused as overloaded. The bounds in bytes keep no
//! login out. Both kinds of waiting count alike, so whether the account exists makes no difference.
//!
//! Kept by [`super::Directory`]; the caller keeps the count of bytes for each account.

use super::{Bounds, Work};

/// See the module.
pub(crate) struct ParkedRoom {
    count: usize,
    bytes: usize,
    count_max: usize,
    bytes_max: usize,
    bytes_all_max: usize,
}

/// The size of something that is to be parked.
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

    /// Whether there is room for `new` beside what is parked for the same account already: `count` pieces of `bytes` bytes.
    pub(crate) fn has(&self, count: usize, bytes: usize, new: Parking) -> bool {
        // A stanza has room if it is the only one for its account, however large it is.
        let fits = count == 0 || bytes + new.bytes <= self.bytes_max;
        count < self.count_max && (!new.is_stanza || fits && self.bytes + new.bytes <= self.bytes_all_max)
    }

    /// Counts `new` as parked, if there is room.
    pub(crate) fn take(&mut self, count: usize, bytes: &mut usize, new: Parking) -> bool {
        let has_room = self.has(count, *bytes, new);
        if has_room {
            self.keep(bytes, new);
        }
        has_room
    }

    /// Counts `new` as parked again, without looking for room: it was parked before.
    pub(crate) fn keep(&mut self, bytes: &mut usize, new: Parking) {
        *bytes += new.bytes;
        self.bytes += new.bytes;
        self.count += 1;
    }

    /// What was parked for one account is no longer parked.
    pub(crate) fn give_back(&mut self, count: usize, bytes: usize) {
        self.count -= count;
        self.bytes -= bytes;
    }

    /// How many pieces are parked for all accounts, and their bytes.
    pub(crate) fn level(&self) -> (usize, usize) {
        (self.count, self.bytes)
    }
}
