//! The lists of stanzas that have found no room in a session's queue, and of stanzas that its client has sent behind them.
//!
//! Pure. The gate is shut while a stanza is late, while too many requests are under way, and while a change is under way that the
//! client has asked for. What happens then is done by the owner (`owner/session/late`).

use super::csi::What;
use crate::wire::{Closed, ConnId};
use chaski_xmpp::Stored;
use std::collections::{HashMap, VecDeque};

/// Most requests of a session for the server's own data that are under way at the same time; with so many the gate is shut, since
/// each answer may be as long as a stanza can be.
pub(crate) const ASKED_MAX: u8 = 8;
/// What each waiting stanza counts in bytes, in addition to its own.
pub(crate) const OVERHEAD_BYTES: usize = 48;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// Stanzas for the client, oldest first. `None`: a newer stanza has replaced it.
    pub(crate) out: VecDeque<Option<Stored>>,
    /// The number of the first entry of `out`; the entries are numbered in order.
    pub(crate) first: u64,
    /// The number of the newest stanza of each kind that can be replaced. Numbers before `first` are out of date.
    pub(crate) newest: HashMap<What, u64>,
    pub(crate) out_bytes: usize,
    /// Stanzas from the client, oldest first.
    pub(crate) parked: VecDeque<Box<[u8]>>,
    pub(crate) parked_bytes: usize,
    /// Requests of the client that the server has not answered yet.
    pub(crate) asked: u8,
    /// Changes under way that the client has asked for.
    pub(crate) changes: u8,
    /// The connection is over, and the parked stanzas are handled when the changes are.
    pub(crate) over: Option<(ConnId, Closed)>,
    /// A timer limits how long the requests under way are waited for.
    pub(crate) is_timed: bool,
    /// The server has stopped reading the connection.
    pub(crate) is_paused: bool,
    /// An `<r/>` came while stanzas were parked: it was answered at once, and will be answered again when these have been
    /// handled.
    pub(crate) is_requested: bool,
}

impl Late {
    /// Whether the gate is shut even if no stanza is parked.
    pub(crate) fn is_shut(&self) -> bool {
        !self.out.is_empty() || self.asked >= ASKED_MAX || self.changes > 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty() && !self.is_waited_for() && self.asked == 0 && self.changes == 0
    }

    /// Whether something happens when the gate opens.
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

    /// Takes out the late stanza that a new one of this kind replaces. Returns whether there was one.
    pub(crate) fn replace(&mut self, what: &What) -> bool {
        let place = self.newest.get(what).and_then(|number| number.checked_sub(self.first));
        let old = place.and_then(|place| self.out.get_mut(place as usize)).and_then(Option::take);
        self.out_bytes -= old.as_ref().map_or(0, |old| old.len() + OVERHEAD_BYTES);
        old.is_some()
    }

    /// The length of the next late stanza.
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
