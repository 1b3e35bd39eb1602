//! A shard's front: the store as one shard sees it, and the write-back cache before journal and SQLite.
//!
//! Owned by its shard; shares nothing but queues. A message goes into the [`tail`] at once, into an encoded batch that
//! [`ShardStore::flush`] hands to the journal's writer, and out of the tail when it is acknowledged. What nobody has
//! acknowledged when its segment grows old, or when memory is short, [`spill`] moves to SQLite; [`reads`] join the two
//! parts again. Changes of records and phone books go into the same batch ([`effects`]). Batches complete in the order in which they were
//! handed over, so "committed" is a single number.

mod admit;
mod cursors;
mod effects;
mod events;
mod loads;
mod mailbox;
mod purges;
mod reads;
mod shares;
mod spill;
mod stored;
mod tail;

use super::journal::effects::Effect;
use super::journal::format;
use super::journal::writer::{Batch, ToJournal};
use super::link::{Buffers, Event, Link, Shared, closed_error};
use super::metrics::FrontMetrics;
use super::readers::Job;
use super::sqlite_writer::Submitted;
use crate::leftovers::Place;
use crate::mailbox::{Append, Appended, Charge, ReadLimit, ReadStart, Seq, Usage};
use crate::records::{Put, Revision, Table, Wanted};
use crate::shard_store::{Completion, ShardStore, Ticket};
use crate::shares::{Bounds, Unstored};
use crate::{
    AccountId, AccountRecords, Contacts, Cursors, Mailboxes, Reader, ShardMedia, StoreError, books, media,
};
use effects::Asked;
use mailbox::Mailbox;
use reads::PendingRead;
use shares::Mark;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tail::{MixBuild, Tail};

/// Batches at the journal at once. Further turns join the next batch, which so grows with the load.
const BATCHES_IN_FLIGHT_MAX: usize = 4;

/// The ticket of a message that is not in the batch and completes with it: a repeated one, or one that is only charged.
struct Repeat {
    account: AccountId,
    /// The message that it repeats.
    of: Option<Seq>,
    /// The last number given out before it: its place among the batch's messages.
    behind: Seq,
    ticket: Ticket,
}

/// A batch at the journal.
struct InFlight {
    /// Its last message's number, or the one before it if it has none.
    last: Seq,
    repeats: Vec<Repeat>,
    /// Who waits for its effects.
    effects: Vec<Asked>,
}

/// See the file's head.
pub(super) struct Front {
    shared: Arc<Shared>,
    link: Arc<Link>,
    metrics: Arc<FrontMetrics>,
    tail: Tail,
    bounds: Bounds,
    /// Charged to senders of this shard's mailboxes, and not stored.
    unstored: Unstored,
    /// Bytes that this front may hold before it spills early.
    cache_bytes: usize,

    /// The batch that is being filled.
    buffers: Buffers,
    batch_messages: u32,
    repeats: Vec<Repeat>,
    batch_effects: Vec<Submitted>,
    /// Records of cursors, which go with the acknowledgements.
    batch_cursors: BTreeMap<AccountId, Submitted>,
    /// Who waits for them, and their bytes.
    batch_asked: Vec<Asked>,
    batch_effect_bytes: usize,
    /// Something was charged in this batch: it completes as a message would.
    batch_charges: bool,
    in_flight: VecDeque<InFlight>,
    spare: Vec<Buffers>,
    /// Everything up to here is durable (or was refused).
    committed: Seq,
    /// Messages that were refused while a repeat of them may be in flight.
    refused: HashMap<Seq, StoreError>,
    repeats_in_flight: usize,
    /// Which segment holds what: the last number of this front in each, ascending.
    segments: VecDeque<(u64, Seq)>,

    spill: spill::Spill,
    cursors: cursors::Known,
    /// Mailboxes that are being read from SQLite.
    loads: stored::Loads,
    /// Acknowledged in SQLite and not deleted yet: readers must not see them.
    deleting: HashSet<(AccountId, Seq)>,
    /// To be handed to SQLite's writer, and whether it has some already.
    to_delete: Vec<(AccountId, Seq)>,
    delete_in_flight: bool,
    /// Purges on their way: what SQLite's writer says of these accounts is from before.
    purging: HashMap<AccountId, purges::Purging, MixBuild>,
    /// Purges of which somebody wants to hear.
    purges: HashMap<u64, Ticket>,
    last_purge: u64,

    reads: HashMap<u64, PendingRead>,
    last_read: u64,
    /// Found unreadable in this run.
    set_aside: HashSet<(AccountId, Seq)>,
    /// Loads under way.
    loading: usize,
    /// Queries and edits of phone books under way.
    books: usize,
    /// The same of the index of media.
    media: usize,
    saves: usize,
    /// Saves in flight by account, and the loads that wait for them.
    saving: HashMap<AccountId, u32>,
    deferred_loads: Vec<(AccountId, Wanted, Ticket)>,

    ready: Vec<Completion>,
    events: Vec<Event>,
    acked: Vec<Seq>,
}

impl Front {
    /// A front. `acked`: what is to be deleted from SQLite.
    pub(super) fn new(shared: Arc<Shared>, link: Arc<Link>, acked: Vec<(AccountId, Seq)>) -> Self {
        let first = Seq(shared.first_number() + 1);
        let options = &shared.options;
        let bounds = Bounds::new(options.max_messages, options.max_bytes, options.shares);
        let tail = Tail::new(first, bounds);
        Self {
            cache_bytes: shared.options.cache_bytes / usize::from(link.shards).max(1),
            metrics: link.metrics.clone(),
            shared,
            link,
            tail,
            bounds,
            unstored: Unstored::default(),
            buffers: Buffers::default(),
            batch_messages: 0,
            repeats: Vec::new(),
            batch_effects: Vec::new(),
            batch_cursors: BTreeMap::new(),
            batch_asked: Vec::new(),
            batch_effect_bytes: 0,
            batch_charges: false,
            in_flight: VecDeque::new(),
            spare: Vec::new(),
            committed: Seq(first.0 - 1),
            refused: HashMap::new(),
            repeats_in_flight: 0,
            segments: VecDeque::new(),
            spill: spill::Spill::default(),
            cursors: cursors::Known::default(),
            loads: stored::Loads::default(),
            deleting: acked.iter().copied().collect(),
            to_delete: acked,
            delete_in_flight: false,
            purging: HashMap::default(),
            purges: HashMap::new(),
            last_purge: 0,
            reads: HashMap::new(),
            last_read: 0,
            set_aside: HashSet::new(),
            loading: 0,
            books: 0,
            media: 0,
            saves: 0,
            saving: HashMap::new(),
            deferred_loads: Vec::new(),
            ready: Vec::new(),
            events: Vec::new(),
            acked: Vec::new(),
        }
    }

    /// A ticket that completes with the batch that is being filled.
    fn complete_with_batch(&mut self, account: AccountId, of: Option<Seq>, ticket: Ticket) {
        let behind = Seq(self.tail.next_seq().0 - 1);
        self.repeats.push(Repeat { account, of, behind, ticket });
        self.repeats_in_flight += 1;
        self.tail.mailbox_mut(account).repeats += 1;
    }

    fn admit_book(&self) -> Result<(), StoreError> {
        if self.books >= self.shared.options.queue_requests { Err(StoreError::Overloaded) } else { Ok(()) }
    }

    fn book_sent(&mut self, sent: Result<(), StoreError>, ticket: Ticket) {
        match sent {
            Ok(()) => self.books += 1,
            Err(error) => self.ready.push(Completion::Book { ticket, result: Err(error) }),
        }
    }

    fn admit_media(&self) -> Result<(), StoreError> {
        if self.media >= self.shared.options.queue_requests { Err(StoreError::Overloaded) } else { Ok(()) }
    }

    fn media_sent(&mut self, sent: Result<(), StoreError>, ticket: Ticket) {
        match sent {
            Ok(()) => self.media += 1,
            Err(error) => self.ready.push(Completion::Media { ticket, result: Err(error) }),
        }
    }

    /// Acknowledges an entry that is in memory.
    fn ack_in_memory(&mut self, at: u32) {
        let slot = self.tail.slot(at);
        let (account, seq, ticket, spilling) = (slot.account, slot.seq, slot.ticket, slot.spilling);
        self.metrics.acked_in_memory_total.inc();
        if spilling {
            self.deleting.insert((account, seq));
            self.to_delete.push((account, seq));
        }
        if seq <= self.committed {
            self.tail.remove(at);
            return;
        }
        // Tickets of an account complete in order: at once only if no older one waits.
        let older_waits = self.tail.before(at).is_some_and(|before| before > self.committed);
        let repeats = self.tail.mailbox(account).is_some_and(|mailbox| mailbox.repeats > 0);
        if older_waits || repeats {
            self.tail.hold(at);
            return;
        }
        let mut next = self.tail.after(at);
        self.tail.remove(at);
        self.ready.push(Completion::Committed(ticket));
        // Those that were acknowledged earlier and waited for this one.
        while let Some(held) = next
            && self.tail.slot(held).is_held()
        {
            next = self.tail.after(held);
            self.ready.push(Completion::Committed(self.tail.slot(held).ticket));
            self.tail.remove(held);
        }
    }

    /// Acknowledges an entry that may be in SQLite. Whether it may.
    fn ack_in_sqlite(&mut self, account: AccountId, seq: Seq) -> bool {
        let last = self.tail.mailbox(account).and_then(Mailbox::stored_last);
        if last.is_none_or(|last| seq > last) || !self.deleting.insert((account, seq)) {
            return false;
        }
        self.metrics.acked_in_sqlite_total.inc();
        self.to_delete.push((account, seq));
        true
    }

    /// Hands the batch over if there is one and not too many are at the journal.
    fn send_batch(&mut self, in_flight_max: usize) {
        let empty = self.buffers.appends.is_empty()
            && self.buffers.acks.is_empty()
            && self.repeats.is_empty()
            && self.batch_effects.is_empty()
            && self.batch_cursors.is_empty();
        if empty || self.in_flight.len() >= in_flight_max {
            return;
        }
        let buffers = std::mem::replace(&mut self.buffers, self.spare.pop().unwrap_or_default());
        let messages = std::mem::take(&mut self.batch_messages);
        let last = Seq(self.tail.next_seq().0 - 1);
        let (repeats, asked) = (std::mem::take(&mut self.repeats), std::mem::take(&mut self.batch_asked));
        let effects = std::mem::take(&mut self.batch_effects);
        let cursors = std::mem::take(&mut self.batch_cursors);
        self.batch_effect_bytes = 0;
        let is_awaited = std::mem::take(&mut self.batch_charges);
        self.in_flight.push_back(InFlight { last, repeats, effects: asked });
        self.metrics.batches_in_flight.set(self.in_flight.len() as i64);
        let batch = Batch { link: self.link.clone(), buffers, messages, last, effects, cursors, is_awaited };
        if let Err(unsent) = self.shared.to_journal.send(ToJournal::Batch(batch))
            && let ToJournal::Batch(batch) = unsent.0
        {
            // The writer has ended: the refusal comes the usual way.
            self.link.push(Event::Journal { outcome: Err(closed_error()), buffers: batch.buffers });
        }
    }

    fn set_gauges(&self) {
        self.metrics.messages.set(self.tail.len() as i64);
        self.metrics.message_bytes.set(self.tail.bytes as i64);
        self.metrics.sender_tables.set(self.tail.sender_tables() as i64);
        self.metrics.mailboxes.set(self.tail.mailboxes() as i64);
        self.metrics.requests_in_flight.set((self.reads.len() + self.loading + self.saves) as i64);
    }
}

impl Mailboxes for Front {
    fn append(&mut self, append: Append) -> Result<Appended, StoreError> {
        let (account, ticket) = (append.account, append.ticket);
        if let Some(of) = self.tail.by_id(account, append.id) {
            if self.shared.is_stopped() {
                return Err(closed_error());
            }
            self.metrics.duplicates_total.inc();
            self.complete_with_batch(account, Some(of), ticket);
            return Ok(Appended::Duplicate);
        }
        let mark = Mark::of(self.shared.sender_key, account, append.sender);
        if let Err(error) = self.admit(account, append.sender, mark, append.stanza.len()) {
            self.tail.tidy(account);
            return Err(error);
        }
        format::encode_append(&mut self.buffers.appends, self.tail.next_seq(), &append);
        self.batch_messages += 1;
        let (seq, mailbox_bytes) = self.tail.push(append, mark);
        self.metrics.appended_total.inc();
        if mailbox_bytes > self.shared.options.mailbox_cache_bytes {
            self.note_large(account);
        }
        Ok(Appended::Queued(seq))
    }

    fn charge(&mut self, charge: Charge) -> Result<(), StoreError> {
        let charged = self.admit_charge(charge);
        match charged {
            Ok(()) => self.complete_with_batch(charge.account, None, charge.ticket),
            Err(_) => self.tail.tidy(charge.account),
        }
        charged
    }

    fn read(&mut self, account: AccountId, after: Seq, limit: ReadLimit, ticket: Ticket) -> ReadStart {
        self.start_read(account, after, limit, ticket)
    }

    fn ack(&mut self, account: AccountId, seqs: &[Seq]) {
        self.acked.clear();
        let mut in_sqlite = false;
        for &seq in seqs {
            let known = match self.tail.find(seq) {
                Some(at) if self.tail.slot(at).account == account => {
                    let fresh = !self.tail.slot(at).is_held();
                    if fresh {
                        self.ack_in_memory(at);
                    }
                    fresh
                }
                _ => {
                    let known = self.ack_in_sqlite(account, seq);
                    in_sqlite |= known;
                    known
                }
            };
            if known {
                self.acked.push(seq);
            }
        }
        if !self.acked.is_empty() {
            format::encode_ack(&mut self.buffers.acks, account, &self.acked);
            if in_sqlite {
                self.acked.sort_unstable();
                self.tail.unstore(account, |seq| self.acked.binary_search(&seq).is_ok());
            }
            self.tail.tidy(account);
        }
    }

    fn usage(&self, account: AccountId) -> Usage {
        self.tail.mailbox(account).map_or_else(Usage::default, Mailbox::usage)
    }

    fn add_reader(&mut self, account: AccountId, reader: Reader, from: Seq) {
        self.change_cursors(account, |cursors| cursors.add(reader, from));
    }

    fn advance(&mut self, account: AccountId, reader: Reader, upto: Seq) {
        self.advance_cursor(account, reader, upto);
    }

    fn remove_reader(&mut self, account: AccountId, reader: Reader) {
        self.change_cursors(account, |cursors| cursors.remove(reader));
    }

    fn cursors(&self, account: AccountId) -> Cursors {
        self.known_cursors(account)
    }
}

impl AccountRecords for Front {
    fn save(
        &mut self,
        account: AccountId,
        table: Table,
        value: Option<Vec<u8>>,
        expected: Option<Revision>,
        ticket: Ticket,
    ) {
        let put = Put { table, key: account.record_key(), value };
        self.start_save(account, Effect::If { put, expected }, ticket);
    }

    fn fetch(&mut self, account: AccountId, keys: Vec<(Table, String)>, ticket: Ticket) {
        self.start_load(account, Wanted::Keys(keys), ticket);
    }

    fn put(&mut self, account: AccountId, puts: Vec<Put>, ticket: Ticket) {
        self.start_save(account, Effect::Puts(puts), ticket);
    }
}

impl Contacts for Front {
    fn ask_book(&mut self, query: books::Query, ticket: Ticket) {
        let link = self.link.clone();
        let sent = self.admit_book().and_then(|()| self.shared.read_books(Job::Book { link, query, ticket }));
        self.book_sent(sent, ticket);
    }

    fn edit_book(&mut self, edit: books::Edit, ticket: Ticket) {
        self.start_edit(edit.into(), ticket);
    }
}

impl ShardMedia for Front {
    fn ask_media(&mut self, query: media::Query, ticket: Ticket) {
        let link = self.link.clone();
        let sent = self.admit_media().and_then(|()| self.shared.read(Job::Media { link, query, ticket }));
        self.media_sent(sent, ticket);
    }

    fn edit_media(&mut self, edit: media::Edit, ticket: Ticket) {
        self.start_media_edit(edit, ticket);
    }
}

impl ShardStore for Front {
    fn load(&mut self, account: AccountId, tables: &'static [Table], ticket: Ticket) {
        self.start_load(account, Wanted::Tables(tables), ticket);
    }

    fn leave(&mut self, account: AccountId) {
        self.forget_mailbox(account);
    }

    fn purge(&mut self, account: AccountId, ticket: Ticket) {
        self.start_purge(account, ticket);
    }

    fn find_leftovers(&mut self, from: Place, ticket: Ticket) {
        let job = Job::Leftovers { link: self.link.clone(), from, ticket };
        if self.shared.read_books(job).is_err() {
            self.ready.push(Completion::Leftovers { ticket, result: Err(closed_error()) });
        }
    }

    fn flush(&mut self) {
        self.send_batch(BATCHES_IN_FLIGHT_MAX);
        self.send_deletes();
        self.report_needed();
        if !self.ready.is_empty() {
            self.link.wake();
        }
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        let mut events = std::mem::take(&mut self.events);
        if self.link.take(&mut events) {
            events.drain(..).for_each(|event| self.handle(event));
            self.send_batch(BATCHES_IN_FLIGHT_MAX);
            self.send_deletes();
            self.send_slice();
            self.report_needed();
            self.set_gauges();
        }
        self.events = events;
        completions.append(&mut self.ready);
    }
}

impl Drop for Front {
    /// A front that holds nothing must not keep segments from being unlinked. One that holds something must: the next
    /// start finds it there.
    fn drop(&mut self) {
        self.send_batch(usize::MAX);
        if self.tail.len() == 0 {
            self.link.needed_from.store(u64::MAX, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests;
