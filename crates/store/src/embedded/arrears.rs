//! What recovery found in the journal and could not put into SQLite, because the disk was full.
//!
//! A full disk must not prevent a start: who waits for messages gets them, and acknowledges them, and that makes room.
//! So the segments stay, what is in them is held here, readers of SQLite see it as if it stood there, and SQLite's writer
//! moves it before it does anything else, trying until there is room. Until then no message is accepted, and nothing that
//! bears a number of this opening is written, since the opening itself may not be noted yet.
//!
//! Bounded by what the journal held, which was in memory before the restart.

use super::database::{self, Found, Moving, Waiting};
use super::journal::format::{self, Record};
use super::recovery::{Frame, Gone, Segments, Target};
use super::{OpenError, Options};
use crate::{AccountId, Entry, ReadLimit, Seq};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By account and number.
type Entries = BTreeMap<(u64, Seq), Entry>;

/// See the file's head.
#[derive(Default)]
pub(super) struct Arrears {
    entries: Mutex<Entries>,
    /// Acknowledged, still in SQLite: to be deleted there and not to be shown.
    acked: Mutex<Vec<(AccountId, Seq)>>,
    /// What frames have SQLite do and could not.
    effects: Mutex<Vec<Frame>>,
    pending: AtomicBool,
}

impl Arrears {
    /// Everything that `segments` hold and SQLite doesn't.
    pub(super) fn collect(
        target: &mut Target<'_>,
        segments: &Segments<'_>,
        gone: &Gone,
    ) -> Result<Self, OpenError> {
        let mut entries = Entries::new();
        segments.each(|payload| {
            let _ = format::records(payload, |record| {
                if let Record::Append { account, seq, id, accepted_unix_ms, stanza } = record
                    && !gone.contains(account, seq)
                {
                    let entry = Entry { seq, id, accepted_unix_ms, stanza: stanza.into(), gap: None };
                    entries.insert((account.to_bits(), seq), entry);
                }
            });
        })?;
        let known = "SELECT EXISTS (SELECT 1 FROM messages WHERE account = ?1 AND (seq = ?2 OR id = ?3))";
        let acked = target.sqlite(|target| {
            let mut known = target.connection.prepare(known)?;
            let mut failed = None;
            entries.retain(|(account, seq), entry| {
                let known = known
                    .query_row(params![*account as i64, seq.0 as i64, entry.id.0.to_be_bytes()], |row| {
                        row.get(0)
                    });
                !known.unwrap_or_else(|error| {
                    failed.get_or_insert(error);
                    true
                })
            });
            failed.map_or(Ok(()), Err)?;
            in_sqlite(target.connection, gone)
        })?;
        let place = target.sqlite(|target| database::applied(target.connection))?;
        Ok(Self {
            entries: Mutex::new(entries),
            acked: Mutex::new(acked),
            effects: Mutex::new(segments.due(place)?),
            pending: AtomicBool::new(true),
        })
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is to be moved, or the opening to be noted, before anything else is written.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// The opening could not be noted.
    pub(super) fn wait_for_opening(&self) {
        self.pending.store(true, Ordering::Release);
    }

    /// All is written.
    pub(super) fn settle(&self) {
        self.pending.store(false, Ordering::Release);
    }

    /// What is to be deleted of these accounts; handed over once.
    pub(super) fn take_acked(&self, is_own: impl Fn(AccountId) -> bool) -> Vec<(AccountId, Seq)> {
        let mut acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner);
        acked.extract_if(.., |(account, _)| is_own(*account)).collect()
    }

    /// What SQLite's writer is to carry out first; handed over once.
    pub(super) fn take_effects(&self) -> Vec<Frame> {
        std::mem::take(&mut self.effects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The oldest entries of the first accounts, as many as one transaction takes.
    pub(super) fn slice(&self, options: &Options) -> Vec<Moving> {
        let (mut slice, mut bytes) = (Vec::new(), 0);
        for ((account, _), entry) in self.entries().iter() {
            if database::slice_is_full(options, slice.len(), bytes) {
                break;
            }
            bytes += entry.stanza.len();
            slice.push(Moving { account: AccountId::from_bits(*account), entry: entry.clone(), mark: None });
        }
        slice
    }

    /// A slice is durable in SQLite.
    pub(super) fn moved(&self, slice: &[Moving]) {
        let mut entries = self.entries();
        for Moving { account, entry, .. } in slice {
            entries.remove(&(account.to_bits(), entry.seq));
        }
    }

    /// Reads a mailbox, SQLite's part and the one that is here.
    pub(super) fn read(
        &self,
        connection: &Connection,
        secret: &[u8; 16],
        account: AccountId,
        after: Seq,
        limit: ReadLimit,
    ) -> rusqlite::Result<Found> {
        // Before SQLite is asked: what is moved meanwhile is found in both rather than in neither.
        let own = self.of(account, after, limit.messages + 1);
        let found = database::read(connection, secret, account, after, limit)?;
        if own.is_empty() {
            return Ok(found);
        }
        let Found { mut entries, mut more, unreadable } = found;
        let upto = entries.last().filter(|_| more).map_or(Seq(u64::MAX), |last| last.seq);
        let known: HashSet<Seq> = entries.iter().map(|entry| entry.seq).collect();
        more |= own.iter().any(|entry| entry.seq > upto);
        entries.extend(own.into_iter().filter(|entry| entry.seq <= upto && !known.contains(&entry.seq)));
        entries.sort_unstable_by_key(|entry| entry.seq);
        let mut bytes = 0;
        let fitting = entries.iter().take_while(|entry| {
            bytes += entry.stanza.len();
            bytes <= limit.bytes
        });
        let fitting = fitting.count().min(limit.messages).max(1);
        more |= fitting < entries.len();
        entries.truncate(fitting);
        Ok(Found { entries, more, unreadable })
    }

    /// What waits for an account, SQLite's and what is here.
    pub(super) fn waiting(&self, connection: &Connection, account: AccountId) -> rusqlite::Result<Waiting> {
        let own = self.of(account, Seq(0), usize::MAX);
        let mut found = database::waiting(connection, account)?;
        // What has been moved meanwhile is in both.
        found.messages.extend(own.into_iter().map(|entry| Moving { account, entry, mark: None }.kept()));
        found.messages.sort_unstable();
        found.messages.dedup();
        Ok(found)
    }

    fn of(&self, account: AccountId, after: Seq, limit: usize) -> Vec<Entry> {
        if !self.is_pending() {
            return Vec::new();
        }
        let account = account.to_bits();
        let own = (account, Seq(after.0.saturating_add(1)))..=(account, Seq(u64::MAX));
        self.entries().range(own).take(limit).map(|(_, entry)| entry.clone()).collect()
    }
}

/// What is gone and still stands in SQLite.
fn in_sqlite(connection: &Connection, gone: &Gone) -> rusqlite::Result<Vec<(AccountId, Seq)>> {
    let mut select =
        connection.prepare("SELECT seq FROM messages WHERE account = ?1 AND seq BETWEEN ?2 AND ?3")?;
    let mut found = Vec::new();
    for (account, first, last) in gone.ranges() {
        let account_bits = account.to_bits() as i64;
        let seqs = select
            .query_map(params![account_bits, first.0 as i64, last.0 as i64], |row| row.get::<_, i64>(0))?;
        for seq in seqs {
            found.push((account, Seq(seq? as u64)));
        }
    }
    found.sort_unstable_by_key(|(account, seq)| (account.to_bits(), *seq));
    found.dedup();
    Ok(found)
}
