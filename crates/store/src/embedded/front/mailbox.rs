//! What the front knows of one mailbox: where its entries in memory begin and end, what SQLite holds, and who has sent it all.
//!
//! Owned by the [`tail`](super::tail), which keeps one for each account with something waiting.

use super::shares::Senders;
use super::stored::Stored;
use super::tail::NONE;
use crate::embedded::database::{Kept, Waiting};
use crate::shares::Count;
use crate::{Seq, Usage};

/// What the front knows of an account that is here and has something waiting, or has left with something in memory.
pub(super) struct Mailbox {
    /// The first and the last entry in memory, by their places in the slab.
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) messages: u32,
    pub(super) bytes: u32,
    /// What SQLite holds; `None`: nothing, or the account is away.
    pub(super) stored: Option<Box<Stored>>,
    /// The account has left: what SQLite holds of it is not known here.
    pub(super) is_away: bool,
    /// Tickets of repeated messages that wait for a batch.
    pub(super) repeats: u32,
    /// Queued for an early move to SQLite, because it is large.
    pub(super) is_large: bool,
    /// Whose these are.
    pub(super) senders: Senders,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
            messages: 0,
            bytes: 0,
            stored: None,
            is_away: false,
            repeats: 0,
            is_large: false,
            senders: Senders::default(),
        }
    }
}

impl Mailbox {
    pub(super) fn is_idle(&self) -> bool {
        self.head == NONE && self.stored.is_none() && self.repeats == 0
    }

    /// What waits.
    pub(super) fn waiting(&self) -> Count {
        let stored = self.stored.as_ref().map(|stored| stored.count()).unwrap_or_default();
        Count { messages: self.messages, bytes: self.bytes }.plus(stored)
    }

    pub(super) fn usage(&self) -> Usage {
        let Count { messages, bytes } = self.waiting();
        Usage { messages: messages.into(), bytes: bytes.into() }
    }

    /// The highest number that may be in SQLite, if anything is.
    pub(super) fn stored_last(&self) -> Option<Seq> {
        self.stored.as_ref().map(|stored| stored.last())
    }

    /// What SQLite holds up to here, in no order.
    pub(super) fn stored_upto(&self, upto: Seq) -> Vec<Seq> {
        self.stored.iter().flat_map(|stored| stored.seqs()).filter(|seq| *seq <= upto).collect()
    }

    pub(super) fn store(&mut self, messages: Vec<Kept>) {
        if !self.is_away && !messages.is_empty() {
            self.stored.get_or_insert_default().add(messages, &mut self.senders);
        }
    }

    pub(super) fn unstore(&mut self, is_gone: impl Fn(Seq) -> bool) {
        if let Some(stored) = &mut self.stored {
            stored.remove(is_gone, &mut self.senders);
            if stored.is_empty() {
                self.stored = None;
            }
        }
    }

    /// What SQLite holds is known from now on.
    pub(super) fn come(&mut self, waiting: Waiting) {
        self.store(waiting.messages);
        if waiting.gap.is_some() {
            self.stored.get_or_insert_default().set_gap(waiting.gap);
        }
    }

    /// What SQLite holds is not known from now on.
    pub(super) fn leave(&mut self) {
        self.is_away = true;
        if let Some(mut stored) = self.stored.take() {
            stored.remove(|_| true, &mut self.senders);
        }
    }
}
