//! Reads that join the two parts of a mailbox: first SQLite's, then memory's.
//!
//! A read that needs SQLite takes a while, and meanwhile messages are acknowledged, deleted, and moved into SQLite.
//! Hence: what was acknowledged meanwhile is filtered out; and memory's part follows directly on SQLite's only if
//! nothing was moved in between, else the reader is told that there is more and asks again. A message that can't be read
//! is passed over and set aside; the read goes on behind it.

use super::{Front, Mailbox};
use crate::embedded::database::Found;
use crate::embedded::link::closed_error;
use crate::embedded::readers::Job;
use crate::embedded::sqlite_writer::ToSqlite;
use crate::mailbox::{ReadLimit, ReadStart, Seq};
use crate::shard_store::{Completion, Ticket};
use crate::{AccountId, StoreError};

/// A read that SQLite was asked for.
pub(super) struct PendingRead {
    pub(super) account: AccountId,
    after: Seq,
    limit: ReadLimit,
    ticket: Ticket,
    /// The highest number in SQLite when it was asked.
    stored_last: Seq,
    /// Deleted since it was asked.
    pub(super) deleted: Vec<Seq>,
    /// Purged up to here since it was asked.
    pub(super) purged: Option<Seq>,
}

impl Front {
    pub(super) fn start_read(
        &mut self,
        account: AccountId,
        after: Seq,
        limit: ReadLimit,
        ticket: Ticket,
    ) -> ReadStart {
        let Some(mailbox) = self.tail.mailbox(account) else {
            return ReadStart::Ready { entries: Vec::new(), more: false };
        };
        if mailbox.stored_last().is_some_and(|last| after < last) {
            self.ask_sqlite(account, after, limit, ticket);
            return ReadStart::Pending;
        }
        self.metrics.reads_memory_total.inc();
        let mut entries = Vec::new();
        let more = self.tail.read(self.tail.first_after(account, after), limit, &mut entries, 0);
        ReadStart::Ready { entries, more }
    }

    fn ask_sqlite(&mut self, account: AccountId, after: Seq, limit: ReadLimit, ticket: Ticket) {
        if self.reads.len() >= self.shared.options.queue_requests {
            self.ready.push(Completion::Read { ticket, result: Err(StoreError::Overloaded) });
            return;
        }
        self.metrics.reads_sqlite_total.inc();
        self.last_read += 1;
        let number = self.last_read;
        let job = Job::Mailbox { link: self.link.clone(), number, account, after, limit };
        if self.shared.to_readers.send(job).is_err() {
            self.ready.push(Completion::Read { ticket, result: Err(closed_error()) });
            return;
        }
        let stored_last = self.stored_last(account);
        let (deleted, purged) = (Vec::new(), self.purged_upto(account));
        self.reads
            .insert(number, PendingRead { account, after, limit, ticket, stored_last, deleted, purged });
    }

    fn stored_last(&self, account: AccountId) -> Seq {
        self.tail.mailbox(account).and_then(Mailbox::stored_last).unwrap_or_default()
    }

    pub(super) fn read_done(&mut self, number: u64, result: Result<Found, StoreError>) {
        let Some(read) = self.reads.remove(&number) else { return };
        let Found { mut entries, more: more_in_sqlite, unreadable } = match result {
            Ok(found) => found,
            Err(error) => {
                self.ready.push(Completion::Read { ticket: read.ticket, result: Err(error) });
                return;
            }
        };
        let last =
            entries.last().map(|entry| entry.seq).max(unreadable.last().copied()).unwrap_or(read.after);
        self.set_aside(read.account, unreadable);
        entries.retain(|entry| {
            !self.deleting.contains(&(read.account, entry.seq))
                && !read.deleted.contains(&entry.seq)
                && read.purged.is_none_or(|upto| entry.seq > upto)
        });
        let moved = self.stored_last(read.account) > read.stored_last;
        let more = match more_in_sqlite || moved {
            // Everything found has been acknowledged meanwhile: the reader still has something to come.
            true if entries.is_empty() => return self.continue_read(&read, last),
            true => true,
            false => {
                let bytes = entries.iter().map(|entry| entry.stanza.len()).sum();
                self.tail.read(self.tail.first_after(read.account, last), read.limit, &mut entries, bytes)
            }
        };
        self.ready.push(Completion::Read { ticket: read.ticket, result: Ok((entries, more)) });
    }

    /// Has messages that can't be read taken away, which leaves a gap that the recipient is told of. Once: a file that is
    /// damaged so much that they can't even be deleted must not make the shard ask for ever.
    fn set_aside(&mut self, account: AccountId, mut unreadable: Vec<Seq>) {
        unreadable
            .retain(|&seq| !self.deleting.contains(&(account, seq)) && self.set_aside.insert((account, seq)));
        if unreadable.is_empty() {
            return;
        }
        self.metrics.unreadable_total.add(unreadable.len() as u64);
        tracing::error!(
            ?account,
            messages = unreadable.len(),
            "messages that waited cannot be read; they are set aside and their recipient is told; look at the disk"
        );
        let now_unix_ms = self.shared.options.clock.unix_ms();
        let lose = ToSqlite::Lose { link: self.link.clone(), account, seqs: unreadable, now_unix_ms };
        // A writer that has ended has been told to: the next start finds them again.
        drop(self.shared.to_sqlite.send(lose));
    }

    fn continue_read(&mut self, read: &PendingRead, after: Seq) {
        if let ReadStart::Ready { entries, more } =
            self.start_read(read.account, after, read.limit, read.ticket)
        {
            self.ready.push(Completion::Read { ticket: read.ticket, result: Ok((entries, more)) });
        }
    }
}
