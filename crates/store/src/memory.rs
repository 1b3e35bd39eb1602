//! The memory engine: for tests and simulation. Maps, no threads, no disk.
//!
//! Owns mailboxes and records in one shared state. A clone of the engine is the same engine, and what was flushed
//! outlives the [`ShardStore`]s: dropping them all and attaching again is what a restart looks like to the services.
//! Completions of what a turn submitted are available at the next [`ShardStore::poll`] after
//! [`ShardStore::flush`]. [`MemoryEngine::fail_next`] makes the next durable operations fail, and
//! [`MemoryEngine::delay_reads`] makes reads answer late as a disk would. Messages grow old when
//! [`MemoryEngine::expire`] says so.

use crate::embedded::SystemClock;
use crate::leftovers::{Page, Place};
use crate::mailbox::{Entry, ReadLimit, Seq};
use crate::records::{Put, Records, Revision, Table, Versioned, Wanted};
use crate::secrets::{Former, Secrets};
use crate::shard_store::{Completion, ShardStore, Ticket};
use crate::shares::{Bounds, Sender, Shares, Unstored};
use crate::{
    AccountId, AccountRecords, Contacts, Cursors, Engine, Mailboxes, ShardIndex, ShardMedia, StoreError,
    Time, Waker, books, media,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod mailboxes;
mod media_index;
mod phone_books;
mod records;

use media_index::Media;
use phone_books::Books;
use records::MemoryRecords;

/// A storage engine that forgets everything with its last clone.
#[derive(Clone)]
pub struct MemoryEngine {
    state: Arc<Mutex<State>>,
    time: Arc<Time>,
}

struct State {
    mailboxes: HashMap<AccountId, BTreeMap<Seq, Entry>>,
    records: BTreeMap<(Table, String), Versioned>,
    cursors: HashMap<AccountId, Cursors>,
    books: Books,
    media: Media,
    last_seq: u64,
    last_revision: u64,
    failures: VecDeque<StoreError>,
    delay_reads: bool,
    /// Mailboxes with a gap that their shard has not been told of.
    untold_gaps: Vec<AccountId>,
    /// How many queries of phone books are still answered before one is not.
    failing_query: Option<usize>,
    secrets: Secrets,
    bounds: Bounds,
    /// Who has sent what is in the mailboxes; gaps are nobody's.
    senders: HashMap<Seq, Sender>,
    unstored: Unstored,
    /// The disk is nearly full.
    is_scarce: bool,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryEngine {
    /// An empty engine with the embedded engine's default mailbox bounds.
    pub fn new() -> Self {
        Self::with_mailbox_bounds(10_000, 64 << 20, Shares::default())
    }

    /// An empty engine whose mailboxes hold at most this much, of each sender its share.
    pub fn with_mailbox_bounds(max_messages: u32, max_bytes: u32, shares: Shares) -> Self {
        let state = State::new(Bounds::new(max_messages, max_bytes, shares));
        let time = Time::begin(Arc::new(SystemClock::default()), None);
        Self { state: Arc::new(Mutex::new(state)), time }
    }

    /// Makes the next append or save that is flushed fail with `error`. Calls queue up.
    pub fn fail_next(&self, error: StoreError) {
        lock(&self.state).failures.push_back(error);
    }

    /// Replaces the realm's current secret; the one before it is good until then, or not at all.
    pub fn replace_secret(&self, former_until_unix_ms: Option<u64>) {
        let secrets = &mut lock(&self.state).secrets;
        let secret = secrets.current;
        secrets.former = former_until_unix_ms.map(|until_unix_ms| Former { secret, until_unix_ms });
        secrets.current = secret.map(|byte| byte.wrapping_add(1));
    }

    /// Messages accepted before this are lost: each mailbox has a gap in their place. Shards hear of it when they poll.
    pub fn expire(&self, before_unix_ms: u64) {
        let mut state = lock(&self.state);
        let accounts: Vec<AccountId> = state.mailboxes.keys().copied().collect();
        accounts.into_iter().for_each(|account| state.expire(account, before_unix_ms));
    }

    /// Whether the disk is nearly full, so that its last room is kept for contacts.
    pub fn be_scarce(&self, is_scarce: bool) {
        lock(&self.state).is_scarce = is_scarce;
    }

    /// Makes one query of phone books fail, after so many others.
    pub fn fail_query(&self, after: usize) {
        lock(&self.state).failing_query = Some(after);
    }

    /// No write fails any more, and no read is late.
    pub fn recover(&self) {
        let mut state = lock(&self.state);
        state.failures.clear();
        state.delay_reads = false;
    }

    /// Whether reads answer [`crate::mailbox::ReadStart::Pending`] and complete after the next flush.
    pub fn delay_reads(&self, delay: bool) {
        lock(&self.state).delay_reads = delay;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine for MemoryEngine {
    fn attach(&self, shard: ShardIndex, shards: u16, waker: Waker) -> Box<dyn ShardStore> {
        let (staged, ready) = Default::default();
        Box::new(MemoryShard { state: self.state.clone(), shard, shards, waker, staged, ready })
    }

    fn records(&self) -> Arc<dyn Records> {
        Arc::new(MemoryRecords { state: self.state.clone() })
    }

    fn media(&self) -> Arc<dyn media::Index> {
        Arc::new(media_index::MemoryIndex { state: self.state.clone() })
    }

    fn secrets(&self) -> Secrets {
        lock(&self.state).secrets
    }

    fn time(&self) -> Arc<Time> {
        self.time.clone()
    }

    fn metrics(&self) -> Vec<Arc<dyn chaski_telemetry::Source>> {
        Vec::new()
    }

    fn troubles(&self) -> Vec<String> {
        Vec::new()
    }

    fn close(&self) {}
}

impl State {
    fn new(bounds: Bounds) -> Self {
        Self {
            mailboxes: HashMap::new(),
            records: BTreeMap::new(),
            cursors: HashMap::new(),
            books: Books::default(),
            media: Media::default(),
            last_seq: 0,
            last_revision: 0,
            failures: VecDeque::new(),
            delay_reads: false,
            untold_gaps: Vec::new(),
            failing_query: None,
            secrets: Secrets::from(*b"memory-engine-16"),
            bounds,
            senders: HashMap::new(),
            unstored: Unstored::default(),
            is_scarce: false,
        }
    }

    fn purge_records(&mut self, account: AccountId) {
        let key = account.record_key();
        let is_under =
            |of: &str| of.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.records.retain(|(table, of), _| !(table.is_own() && is_under(of)));
    }

    fn leftovers(&self) -> Vec<AccountId> {
        let own = self.records.keys().filter(|(table, _)| table.is_own());
        let mut accounts: Vec<_> = own.filter_map(|(_, key)| AccountId::of_record_key(key)).collect();
        accounts.extend(self.mailboxes.keys());
        accounts.extend(self.books.owners());
        accounts.extend(self.media.owners());
        accounts.sort_unstable();
        accounts.dedup();
        accounts.retain(|account| self.get(Table::ACCOUNTS, &account.record_key()).is_none());
        accounts
    }

    fn get(&self, table: Table, key: &str) -> Option<Versioned> {
        self.records.get(&(table, key.to_owned())).cloned()
    }

    fn set(&mut self, table: Table, key: &str, value: Option<Vec<u8>>) -> Revision {
        self.last_revision += 1;
        let revision = Revision(self.last_revision);
        let key = (table, key.to_owned());
        match value {
            Some(value) => drop(self.records.insert(key, Versioned { value, revision })),
            None => drop(self.records.remove(&key)),
        }
        revision
    }

    /// Writes a batch; returns the newest revision.
    fn set_all(&mut self, puts: Vec<Put>) -> Revision {
        for put in puts {
            self.set(put.table, &put.key, put.value);
        }
        Revision(self.last_revision)
    }

    fn set_if(
        &mut self,
        table: Table,
        key: &str,
        value: Option<Vec<u8>>,
        expected: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        if self.get(table, key).map(|record| record.revision) != expected {
            return Err(StoreError::Conflict);
        }
        Ok(self.set(table, key, value))
    }
}

/// What a turn has submitted and `flush` will carry out.
enum Staged {
    Append {
        account: AccountId,
        seq: Seq,
        ticket: Ticket,
        acked: bool,
    },
    /// A message that is charged and not kept.
    Charge {
        account: AccountId,
        ticket: Ticket,
    },
    /// A repeated append, and the entry it repeats.
    Repeat {
        account: AccountId,
        of: Seq,
        ticket: Ticket,
    },
    Read {
        account: AccountId,
        after: Seq,
        limit: ReadLimit,
        ticket: Ticket,
    },
    Load {
        account: AccountId,
        wanted: Wanted,
        ticket: Ticket,
    },
    Put {
        puts: Vec<Put>,
        ticket: Ticket,
    },
    AskBook {
        query: books::Query,
        ticket: Ticket,
    },
    EditBook {
        edit: books::Edit,
        ticket: Ticket,
    },
    AskMedia {
        query: media::Query,
        ticket: Ticket,
    },
    EditMedia {
        edit: media::Edit,
        ticket: Ticket,
    },
    /// What the mailbox held is here until the purge is durable.
    Purge {
        account: AccountId,
        mailbox: BTreeMap<Seq, Entry>,
        ticket: Ticket,
    },
    Leftovers {
        ticket: Ticket,
    },
    Save {
        key: String,
        table: Table,
        value: Option<Vec<u8>>,
        expected: Option<Revision>,
        ticket: Ticket,
    },
}

struct MemoryShard {
    state: Arc<Mutex<State>>,
    shard: ShardIndex,
    shards: u16,
    waker: Waker,
    staged: Vec<Staged>,
    ready: Vec<Completion>,
}

impl MemoryShard {
    /// What all readers of a mailbox have is acknowledged.
    fn release(&mut self, account: AccountId) {
        let mut state = lock(&self.state);
        if state.cursors.get(&account).is_some_and(Cursors::is_empty) {
            state.cursors.remove(&account);
        }
        let Some(upto) = state.cursors.get(&account).and_then(Cursors::all_have) else { return };
        let mailbox = state.mailboxes.get(&account);
        let seqs: Vec<Seq> =
            mailbox.into_iter().flat_map(|entries| entries.range(..=upto)).map(|(seq, _)| *seq).collect();
        drop(state);
        self.ack(account, &seqs);
    }

    /// Completes the tickets of entries that were acknowledged before they were flushed, as far as that keeps
    /// the account's tickets in the order of submission.
    fn complete_acked(&mut self, account: AccountId) {
        let ready = &mut self.ready;
        let mut held_back = false;
        self.staged.retain(|staged| match staged {
            Staged::Append { account: owner, ticket, acked, .. } if *owner == account => {
                held_back |= !acked;
                if !held_back {
                    ready.push(Completion::Committed(*ticket));
                }
                held_back
            }
            Staged::Repeat { account: owner, .. } | Staged::Charge { account: owner, .. }
                if *owner == account =>
            {
                held_back = true;
                true
            }
            _ => true,
        });
    }
}

impl AccountRecords for MemoryShard {
    fn save(
        &mut self,
        account: AccountId,
        table: Table,
        value: Option<Vec<u8>>,
        expected: Option<Revision>,
        ticket: Ticket,
    ) {
        self.staged.push(Staged::Save { key: account.record_key(), table, value, expected, ticket });
    }

    fn fetch(&mut self, account: AccountId, keys: Vec<(Table, String)>, ticket: Ticket) {
        self.staged.push(Staged::Load { account, wanted: Wanted::Keys(keys), ticket });
    }

    fn put(&mut self, _account: AccountId, puts: Vec<Put>, ticket: Ticket) {
        self.staged.push(Staged::Put { puts, ticket });
    }
}

impl Contacts for MemoryShard {
    fn ask_book(&mut self, query: books::Query, ticket: Ticket) {
        self.staged.push(Staged::AskBook { query, ticket });
    }

    fn edit_book(&mut self, edit: books::Edit, ticket: Ticket) {
        self.staged.push(Staged::EditBook { edit, ticket });
    }
}

impl ShardMedia for MemoryShard {
    fn ask_media(&mut self, query: media::Query, ticket: Ticket) {
        self.staged.push(Staged::AskMedia { query, ticket });
    }

    fn edit_media(&mut self, edit: media::Edit, ticket: Ticket) {
        self.staged.push(Staged::EditMedia { edit, ticket });
    }
}

impl ShardStore for MemoryShard {
    fn load(&mut self, account: AccountId, tables: &'static [Table], ticket: Ticket) {
        self.staged.push(Staged::Load { account, wanted: Wanted::Tables(tables), ticket });
    }

    /// All is in memory here, always.
    fn leave(&mut self, _: AccountId) {}

    fn purge(&mut self, account: AccountId, ticket: Ticket) {
        let mailbox = {
            let mut state = lock(&self.state);
            state.cursors.remove(&account);
            state.mailboxes.remove(&account).unwrap_or_default()
        };
        self.staged.push(Staged::Purge { account, mailbox, ticket });
        for staged in &mut self.staged {
            if let Staged::Append { account: owner, acked, .. } = staged {
                *acked |= *owner == account;
            }
        }
        self.complete_acked(account);
    }

    fn find_leftovers(&mut self, _from: Place, ticket: Ticket) {
        self.staged.push(Staged::Leftovers { ticket });
    }

    fn flush(&mut self) {
        let mut state = lock(&self.state);
        let mut refused: HashMap<Seq, StoreError> = HashMap::new();
        for staged in self.staged.drain(..) {
            let completion = match staged {
                Staged::Append { account, seq, ticket, acked } => match state.failures.pop_front() {
                    Some(error) if !acked => {
                        state.remove(account, seq);
                        refused.insert(seq, error.clone());
                        Completion::Refused(ticket, error)
                    }
                    _ => Completion::Committed(ticket),
                },
                Staged::Charge { ticket, .. } => match state.failures.pop_front() {
                    Some(error) => Completion::Refused(ticket, error),
                    None => Completion::Committed(ticket),
                },
                Staged::Repeat { of, ticket, .. } => match refused.get(&of) {
                    Some(error) => Completion::Refused(ticket, error.clone()),
                    None => Completion::Committed(ticket),
                },
                Staged::Read { account, after, limit, ticket } => {
                    Completion::Read { ticket, result: Ok(state.read(account, after, limit)) }
                }
                Staged::Load { account, wanted, ticket } => {
                    let mut values = Vec::new();
                    wanted.each(account, |table, key| values.push(state.get(table, key)));
                    let whole = books::Query::Matches { owner: account, after: 0, limit: usize::MAX };
                    let book = match wanted.has_book().then(|| state.answer(&whole)) {
                        Some(books::Answer::Matches { matches, .. }) => matches,
                        _ => Vec::new(),
                    };
                    Completion::Loaded { ticket, result: Ok(values), book }
                }
                Staged::AskBook { query, ticket } => {
                    let result = match state.failing_query {
                        Some(0) => Err(StoreError::Failed("a query that was to fail".into())),
                        _ => Ok(state.answer(&query)),
                    };
                    state.failing_query = state.failing_query.and_then(|left| left.checked_sub(1));
                    Completion::Book { ticket, result }
                }
                Staged::EditBook { edit, ticket } => {
                    let result = match state.failures.pop_front() {
                        Some(error) => Err(error),
                        None => Ok(state.edit(edit)),
                    };
                    Completion::Book { ticket, result }
                }
                Staged::AskMedia { query, ticket } => {
                    Completion::Media { ticket, result: Ok(state.ask_media(&query)) }
                }
                Staged::EditMedia { edit, ticket } => {
                    let result = match state.failures.pop_front() {
                        Some(error) => Err(error),
                        None => Ok(state.edit_media(edit)),
                    };
                    Completion::Media { ticket, result }
                }
                Staged::Purge { account, mailbox, ticket } => {
                    let result = match state.failures.pop_front() {
                        Some(error) => Err(error),
                        None => Ok(()),
                    };
                    match &result {
                        Ok(()) => {
                            mailbox.keys().for_each(|seq| _ = state.senders.remove(seq));
                            state.books.clear(account);
                            state.media.clear(account);
                            state.purge_records(account);
                        }
                        Err(_) => state.put_back(account, mailbox),
                    }
                    Completion::Purged { ticket, result }
                }
                Staged::Leftovers { ticket } => {
                    let page = Page { accounts: state.leftovers(), next: None };
                    Completion::Leftovers { ticket, result: Ok(page) }
                }
                Staged::Put { puts, ticket } => {
                    let result = match state.failures.pop_front() {
                        Some(error) => Err(error),
                        None => Ok(state.set_all(puts)),
                    };
                    Completion::Saved { ticket, result }
                }
                Staged::Save { key, table, value, expected, ticket } => {
                    let result = match state.failures.pop_front() {
                        Some(error) => Err(error),
                        None => state.set_if(table, &key, value, expected),
                    };
                    Completion::Saved { ticket, result }
                }
            };
            self.ready.push(completion);
        }
        drop(state);
        if !self.ready.is_empty() {
            (self.waker)();
        }
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        completions.append(&mut self.ready);
        let is_own = |account: &mut AccountId| account.shard(self.shards) == self.shard;
        completions.extend(lock(&self.state).untold_gaps.extract_if(.., is_own).map(Completion::Gap));
    }
}

impl Drop for MemoryShard {
    /// What was never flushed was never durable: it does not survive into the next attach.
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let mut appended = Vec::new();
        for staged in self.staged.drain(..) {
            match staged {
                Staged::Append { account, seq, .. } => appended.push((account, seq)),
                Staged::Purge { account, mailbox, .. } => state.put_back(account, mailbox),
                _ => {}
            }
        }
        for (account, seq) in appended {
            state.remove(account, seq);
        }
    }
}

#[cfg(test)]
mod tests;
