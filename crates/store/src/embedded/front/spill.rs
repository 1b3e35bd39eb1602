//! Write-back: from the front's memory to SQLite, and deletions there.
//!
//! One slice of messages and one batch of deletions are at SQLite's writer at a time, so that its queue stays short
//! and every move is a bounded transaction. A moved message stays readable in memory until the move is durable.

use super::Front;
use super::tail::Slice;
use crate::embedded::database::Kept;
use crate::embedded::journal::format;
use crate::embedded::sqlite_writer::ToSqlite;
use crate::{AccountId, Seq};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;

/// What is being moved.
#[derive(Default)]
pub(super) struct Spill {
    /// The slice in flight.
    slice: Vec<(AccountId, Kept)>,
    in_flight: bool,
    /// Mailboxes that have grown beyond their share of memory.
    large: VecDeque<AccountId>,
}

impl Front {
    /// Queues a mailbox that has grown large for an early move.
    pub(super) fn note_large(&mut self, account: AccountId) {
        let mailbox = self.tail.mailbox_mut(account);
        if !mailbox.is_large {
            mailbox.is_large = true;
            self.spill.large.push_back(account);
        }
    }

    /// Starts the next slice if something is due: old segments first, then shortness of memory, then large mailboxes.
    pub(super) fn send_slice(&mut self) {
        if self.spill.in_flight {
            return;
        }
        let mut slice = Slice::new(&self.shared.options);
        let due = self.shared.spill_upto.load(Ordering::Acquire);
        let old =
            self.segments.iter().take_while(|(segment, _)| *segment <= due).last().map(|&(_, last)| last);
        if let Some(last) = old {
            self.tail.take_oldest(last, &mut slice);
        }
        if self.tail.bytes > self.cache_bytes {
            self.tail.take_oldest(self.committed, &mut slice);
        }
        while !slice.is_full()
            && let Some(account) = self.spill.large.pop_front()
        {
            // If it is still large after this slice, its next message queues it again.
            self.tail.take_mailbox(account, self.committed, &mut slice);
            self.tail.mailbox_mut(account).is_large = false;
            self.tail.tidy(account);
        }
        let messages = slice.into_messages();
        if messages.is_empty() {
            return;
        }
        self.spill.slice = messages.iter().map(|moving| (moving.account, moving.kept())).collect();
        let spill = ToSqlite::Spill { link: self.link.clone(), slice: messages };
        self.spill.in_flight = self.shared.to_sqlite.send(spill).is_ok();
    }

    /// The slice in flight is durable in SQLite: what is still here of it leaves memory.
    pub(super) fn slice_done(&mut self, ignored: &[usize]) {
        self.spill.in_flight = false;
        let slice = std::mem::take(&mut self.spill.slice);
        self.metrics.spilled_total.add((slice.len() - ignored.len()) as u64);
        let mut ignored = ignored.iter().copied().peekable();
        let mut moved: HashMap<AccountId, Vec<Kept>> = HashMap::new();
        for (position, (account, kept)) in slice.into_iter().enumerate() {
            if let Some(at) = self.tail.find(kept.seq) {
                self.tail.remove(at);
            }
            let moved = moved.entry(account).or_default();
            if ignored.next_if_eq(&position).is_some() {
                // SQLite has the message under an earlier number. The journal is told that this one is void: else the message would
                // come back with it if the other is acknowledged and the process ends while the segment is still there.
                format::encode_ack(&mut self.buffers.acks, account, &[kept.seq]);
            } else if !self.is_purged(account, kept.seq) && !self.deleting.contains(&(account, kept.seq)) {
                // One that was acknowledged meanwhile is about to be deleted.
                moved.push(kept);
            }
        }
        for (account, messages) in moved {
            self.tail.store(account, messages);
        }
    }

    /// Hands acknowledged messages to SQLite's writer, all that have come since the last time.
    pub(super) fn send_deletes(&mut self) {
        if self.to_delete.is_empty() || self.delete_in_flight {
            return;
        }
        let seqs = std::mem::take(&mut self.to_delete);
        let delete = ToSqlite::Delete { link: self.link.clone(), seqs };
        self.delete_in_flight = self.shared.to_sqlite.send(delete).is_ok();
    }

    /// The deletions in flight are durable.
    pub(super) fn deletes_done(&mut self, seqs: &[(AccountId, Seq)]) {
        self.delete_in_flight = false;
        for &(account, seq) in seqs {
            self.deleting.remove(&(account, seq));
            self.loads.deleted(account, seq);
            // A read that began before the deletion may still bring it.
            let reads = self.reads.values_mut().filter(|read| read.account == account);
            reads.for_each(|read| read.deleted.push(seq));
        }
    }

    /// Forgets what SQLite holds, or is about to hold, of an account.
    pub(super) fn forget_stored(&mut self, account: AccountId, upto: Seq) {
        self.loads.all_gone(account, upto);
        let reads = self.reads.values_mut().filter(|read| read.account == account);
        reads.for_each(|read| read.purged = read.purged.max(Some(upto)));
        self.tail.unstore(account, |seq| seq <= upto);
    }
}
