//! What has found no room in a session's queue, and what its client has sent behind that: the lists.
//!
//! Pure. The gate is shut while something is late, while too many requests are under way, and while a change is that the
//! client has asked for. What is done about it is the owner's (`owner/session/late`).

use super::csi::What;
use crate::wire::{Closed, ConnId};
use chaski_xmpp::Stored;
use std::collections::{HashMap, VecDeque};

/// Requests of a session for something that the server has, under way at the same time; with these the gate is shut: each
/// of their answers may be as long as a stanza can be.
pub(crate) const ASKED_MAX: u8 = 8;
/// What waits is counted with so many bytes beside its own.
pub(crate) const OVERHEAD_BYTES: usize = 48;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// For the client, oldest first. `None`: something newer has taken its place.
    pub(crate) out: VecDeque<Option<Stored>>,
    /// The number of the first of `out`; they are numbered in order.
    pub(crate) first: u64,
    /// The newest of each kind that can be replaced. Those before `first` mean nothing any more.
    pub(crate) newest: HashMap<What, u64>,
    pub(crate) out_bytes: usize,
    /// From the client, oldest first.
    pub(crate) parked: VecDeque<Box<[u8]>>,
    pub(crate) parked_bytes: usize,
    /// Requests of the client that are under way.
    pub(crate) asked: u8,
    /// Changes that the client has asked for, under way.
    pub(crate) changes: u8,
    /// The connection is over, and what was parked is handled when they are.
    pub(crate) over: Option<(ConnId, Closed)>,
    /// A timer watches over them.
    pub(crate) is_timed: bool,
    /// The connection is not read.
    pub(crate) is_paused: bool,
    /// An `<r/>` came behind what is parked: it was answered, and will be once more when that is handled.
    pub(crate) is_requested: bool,
}

impl Late {
    /// Whether it shuts the gate for one that is not parked behind others.
    pub(crate) fn is_shut(&self) -> bool {
        !self.out.is_empty() || self.asked >= ASKED_MAX || self.changes > 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty() && !self.is_waited_for() && self.asked == 0 && self.changes == 0
    }

    /// Whether something goes on when the gate opens.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.parked.is_empty() || self.is_paused || self.is_requested || self.over.is_some()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.out_bytes + self.parked_bytes
    }

    pub(crate) fn put(&mut self, what: Option<What>, stanza: Stored) {
        self.out_bytes += stanza.len() + OVERHEAD_BYTES;
        if let Some(what) = what {
            if self.newest.len() > 2 * self.out.len() + 64 {
                self.newest.retain(|_, number| *number >= self.first);
            }
            self.newest.insert(what, self.first + self.out.len() as u64);
        }
        self.out.push_back(Some(stanza));
    }

    /// Takes out what something of the same kind replaces. Whether there was something.
    pub(crate) fn replace(&mut self, what: &What) -> bool {
        let place = self.newest.get(what).and_then(|number| number.checked_sub(self.first));
        let old = place.and_then(|place| self.out.get_mut(place as usize)).and_then(Option::take);
        self.out_bytes -= old.as_ref().map_or(0, |old| old.len() + OVERHEAD_BYTES);
        old.is_some()
    }

    /// The next for the client: how long it is.
    pub(crate) fn next_bytes(&mut self) -> Option<usize> {
        while let Some(None) = self.out.front() {
            self.out.pop_front();
            self.first += 1;
        }
        self.out.front()?.as_ref().map(|stanza| stanza.len())
    }

    pub(crate) fn take_next(&mut self) -> Option<Stored> {
        let stanza = self.out.pop_front()??;
        self.first += 1;
        self.out_bytes -= stanza.len() + OVERHEAD_BYTES;
        if self.out.is_empty() {
            self.newest = HashMap::new();
        }
        Some(stanza)
    }
}
