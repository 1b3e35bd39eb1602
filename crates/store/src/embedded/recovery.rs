//! From the journal into SQLite: at every start, at the end of a run, and by hand after damage.
//!
//! Two passes over the segments, one segment in memory at a time: the first checks every frame and collects what was
//! acknowledged, the second puts what is left into SQLite. Both can be repeated: a message is inserted once, by number
//! and by identity. Segments are unlinked only when all of it is durable.

use super::database::{self, Messages, NewMessage};
use super::disk::Disk;
use super::journal::format::{self, Record, Seed};
use super::journal::scan::{Damage, Scanned};
use super::link::Shared;
use super::seal::Slots;
use super::{OpenError, Options, SalvageReport, directory, journal};
use crate::{AccountId, MessageId, Seq};
use rusqlite::Connection;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The database that a journal is absorbed into.
pub(super) struct Target<'a> {
    pub(super) connection: &'a Connection,
    pub(super) slots: &'a mut Slots,
    pub(super) secret: [u8; 16],
    pub(super) options: &'a Options,
    /// For errors.
    pub(super) database: PathBuf,
    /// What the journal held unacknowledged: senders that saw no answer before a crash send these again.
    pub(super) recovered: Recovered,
}

/// Identities and numbers of recovered messages by account.
pub(super) type Recovered = HashMap<AccountId, Vec<(MessageId, Seq)>>;

/// Identities remembered; more are forgotten, which can only repeat messages.
const RECOVERED_MAX: u64 = 1_000_000;

/// What a journal says is no more.
#[derive(Default)]
struct Gone {
    acked: HashSet<(AccountId, Seq)>,
    purged: HashMap<AccountId, Seq>,
}

impl Gone {
    fn contains(&self, account: AccountId, seq: Seq) -> bool {
        self.purged.get(&account).is_some_and(|&upto| seq <= upto) || self.acked.contains(&(account, seq))
    }

    fn collect(&mut self, scanned: &Scanned) -> bool {
        scanned.payloads().all(|payload| {
            format::records(payload, |record| match record {
                Record::Append { .. } => {}
                Record::Ack { account, seq } => drop(self.acked.insert((account, seq))),
                Record::Purge { account, upto } => {
                    let known = self.purged.entry(account).or_insert(upto);
                    *known = upto.max(*known);
                }
            })
            .is_some()
        })
    }
}

/// Puts what an intact journal holds unacknowledged into SQLite and unlinks its segments. Returns the number for the
/// next segment. A torn last write is cut; anything else unreadable is an error and nothing is changed.
/// `give_up` is asked now and then; when it says yes, everything stays for the next time.
pub(super) fn absorb(
    data: &Path,
    target: &mut Target<'_>,
    give_up: &dyn Fn() -> bool,
) -> Result<u64, OpenError> {
    let directory = journal::directory(data);
    let segments = journal::list(&*target.options.disk, &directory)?;
    let next = segments.last().map_or(1, |(number, _)| number + 1);
    if segments.is_empty() {
        return Ok(next);
    }
    let seed = Seed::of(&target.secret);
    let mut gone = Gone::default();
    check(&*target.options.disk, &segments, seed, &mut gone)?;
    let mut recovered = 0;
    for (position, (_, path)) in segments.iter().enumerate() {
        let scanned = Scanned::read(&*target.options.disk, path, seed)?;
        let Some(messages) = insert(&scanned, target, &gone, give_up)? else { return Ok(next) };
        recovered += messages;
        if recovered > RECOVERED_MAX {
            target.recovered.clear();
        }
        tracing::info!(segment = position + 1, of = segments.len(), messages = recovered, "journal read");
    }
    forget(target, &gone)?;
    let disk = &*target.options.disk;
    for (_, path) in &segments {
        remove(disk, path)?;
        disk.sync_directory(&directory).map_err(|source| not_writable(&directory, source))?;
    }
    Ok(next)
}

/// A segment that was checked, for the check of the next.
struct Before<'a> {
    path: &'a Path,
    /// Where its readable part ends.
    end: u64,
    damage: Option<Damage>,
    /// The number that the frame behind it has.
    next_frame: u64,
}

/// The first pass: every frame must be there, but for a torn last write.
fn check(disk: &dyn Disk, segments: &[(u64, PathBuf)], seed: Seed, gone: &mut Gone) -> Result<(), OpenError> {
    let mut before: Option<Before<'_>> = None;
    for (_, path) in segments {
        let scanned = Scanned::read(disk, path, seed)?;
        let written = scanned.first_frame().is_some() || scanned.frames() > 0;
        if !written && scanned.damage.is_none_or(|damage| damage.bytes == 0) {
            // Made just before a crash; its header never reached the disk.
            continue;
        }
        if let Some(before) = &before
            && written
            && (before.damage.is_some()
                || scanned.first_frame().is_some_and(|first| first != before.next_frame))
        {
            let what = before.damage.map_or("frames are missing behind it", |damage| damage.what);
            return Err(corrupt(before.path, before.end, what));
        }
        if let Some(damage) = scanned.damage
            && damage.followed
        {
            return Err(corrupt(path, damage.offset, damage.what));
        }
        if !gone.collect(&scanned) {
            return Err(corrupt(path, 0, "an intact frame holds an unknown record"));
        }
        let next_frame = scanned.next_frame().or(before.map(|before| before.next_frame)).unwrap_or(0);
        before = Some(Before { path, end: scanned.readable_end(), damage: scanned.damage, next_frame });
    }
    if let Some(Before { path, end, damage: Some(damage), .. }) = before {
        tracing::warn!(
            file = %path.display(), offset = end, bytes = damage.bytes,
            "the journal's last write was torn by a crash and is cut; it had not been confirmed to anybody"
        );
    }
    Ok(())
}

/// The second pass over one segment, in bounded transactions. `None` if it was given up.
fn insert(
    scanned: &Scanned,
    target: &mut Target<'_>,
    gone: &Gone,
    give_up: &dyn Fn() -> bool,
) -> Result<Option<u64>, OpenError> {
    let mut inserted = 0;
    let mut slice: Vec<NewMessage<'_>> = Vec::new();
    let mut bytes = 0;
    for payload in scanned.payloads() {
        // An unknown record ends the frame; `check` has refused it, salvage takes what stands before.
        let _ = format::records(payload, |record| {
            if let Record::Append { account, seq, id, accepted_unix_ms, stanza } = record
                && !gone.contains(account, seq)
            {
                bytes += stanza.len();
                slice.push(NewMessage { account, seq, id, accepted_unix_ms, stanza });
            }
        });
        if database::slice_is_full(target.options, slice.len(), bytes) {
            inserted += target.insert(&slice)?;
            slice.clear();
            bytes = 0;
            if give_up() {
                return Ok(None);
            }
        }
    }
    inserted += target.insert(&slice)?;
    Ok(Some(inserted))
}

/// Deletes from SQLite what was acknowledged there and not deleted before the end.
fn forget(target: &mut Target<'_>, gone: &Gone) -> Result<(), OpenError> {
    let waiting = target.sqlite(|target| database::waiting(target.connection))?;
    target.transaction(|messages| {
        for &(account, seq) in gone.acked.iter().filter(|(account, _)| waiting.contains_key(account)) {
            messages.delete(account, seq)?;
        }
        for (&account, &upto) in gone.purged.iter().filter(|(account, _)| waiting.contains_key(*account)) {
            messages.purge(account, upto, usize::MAX)?;
        }
        Ok(())
    })
}

impl Target<'_> {
    fn insert(&mut self, slice: &[NewMessage<'_>]) -> Result<u64, OpenError> {
        for message in slice {
            self.recovered.entry(message.account).or_default().push((message.id, message.seq));
        }
        self.transaction(|messages| {
            let mut inserted = 0;
            for message in slice {
                inserted += u64::from(messages.insert(message)?);
            }
            Ok(inserted)
        })
    }

    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Messages<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, OpenError> {
        self.sqlite(|target| {
            target.connection.execute_batch("BEGIN IMMEDIATE")?;
            let mut messages =
                Messages { connection: target.connection, slots: target.slots, secret: &target.secret };
            let done = work(&mut messages).and_then(|value| {
                target.connection.execute_batch("COMMIT")?;
                Ok(value)
            });
            if done.is_ok() {
                target.slots.committed();
            } else {
                // The first error is the one to report.
                let _ = target.connection.execute_batch("ROLLBACK");
                target.slots.rolled_back();
            }
            done
        })
    }

    fn sqlite<T>(&mut self, work: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> Result<T, OpenError> {
        work(self).map_err(|source| OpenError::Sqlite { file: self.database.clone(), source })
    }
}

/// Recovers every intact frame, moves damaged segments to `journal-damaged/` and unlinks the others.
pub(super) fn salvage(data: &Path, target: &mut Target<'_>) -> Result<SalvageReport, OpenError> {
    let directory = journal::directory(data);
    let segments = journal::list(&*target.options.disk, &directory)?;
    let seed = Seed::of(&target.secret);
    let mut report = SalvageReport { segments: segments.len() as u64, ..SalvageReport::default() };
    let mut gone = Gone::default();
    for (_, path) in &segments {
        // A record that can't be understood is skipped here: the rest of its frame may not be.
        let _ = gone.collect(&Scanned::read(&*target.options.disk, path, seed)?);
    }
    let mut damaged = HashSet::new();
    for (number, path) in &segments {
        let scanned = Scanned::read(&*target.options.disk, path, seed)?;
        report.frames += scanned.frames();
        report.messages += insert(&scanned, target, &gone, &|| false)?.unwrap_or(0);
        if let Some(damage) = scanned.damage {
            report.damaged_bytes += damage.bytes;
            damaged.insert(*number);
        }
    }
    forget(target, &gone)?;
    let disk = &*target.options.disk;
    for (number, path) in &segments {
        match damaged.contains(number) {
            true => move_aside(disk, data, path)?,
            false => remove(disk, path)?,
        }
        disk.sync_directory(&directory).map_err(|source| not_writable(&directory, source))?;
    }
    report.damaged_segments = damaged.len() as u64;
    Ok(report)
}

fn move_aside(disk: &dyn Disk, data: &Path, path: &Path) -> Result<(), OpenError> {
    let aside = data.join("journal-damaged");
    directory::make(disk, &aside)?;
    let Some(name) = path.file_name() else { return Ok(()) };
    let to = aside.join(name);
    disk.rename(path, &to).map_err(|source| not_writable(&to, source))
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    disk.unlink(path).map_err(|source| not_writable(path, source))
}

fn not_writable(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::NotWritable { path: path.to_owned(), source }
}

fn corrupt(file: &Path, offset: u64, damage: &'static str) -> OpenError {
    OpenError::CorruptJournal { file: file.to_owned(), offset, damage }
}

/// When `close` gives up moving the journal into SQLite.
pub(super) fn deadline(shared: &Shared) -> impl Fn() -> bool {
    let clock = shared.options.clock.clone();
    let end_ms = clock.now_ms() + shared.options.close_within_ms;
    move || clock.now_ms() >= end_ms
}
