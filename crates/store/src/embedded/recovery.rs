//! From the journal into SQLite: at every start, at the end of a run, and by hand after damage.
//!
//! Two passes over the segments, one segment in memory at a time: the first checks every frame and collects what was
//! acknowledged, the second puts what is left into SQLite and carries out the frames' effects ([`replay`]). Both can be repeated: a message is
//! inserted once, by number and by identity, and SQLite knows which effects it has. Segments are unlinked only when all of it is durable.

use super::arrears::Arrears;
use super::database::{self, Messages, NewMessage};
use super::disk::Disk;
use super::journal::effects::{Effect, Numbered};
use super::journal::format::{self, Record, Seed};
use super::journal::roll::{Roll, RollFile};
use super::journal::scan::Scanned;
use super::link::Shared;
use super::seal::Slots;
use super::sqlite_writer::apply::Place;
use super::{OpenError, Options, SalvageReport, directory, journal};
use crate::{AccountId, Seq};
use check::Found;
use rusqlite::{Connection, ErrorCode};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

mod check;
mod replay;

pub(super) use replay::Frame;

/// The database that a journal is absorbed into.
pub(super) struct Target<'a> {
    pub(super) connection: &'a Connection,
    pub(super) slots: &'a mut Slots,
    pub(super) secret: [u8; 16],
    pub(super) options: &'a Options,
    /// For errors.
    pub(super) database: PathBuf,
    /// The data directory has a roll of the journal's segments, or had one.
    pub(super) had_roll: bool,
}

/// What a journal says is no more.
#[derive(Default)]
pub(super) struct Gone {
    acked: HashSet<(AccountId, Seq)>,
    purged: HashMap<AccountId, Seq>,
}

/// The segments of a journal that was checked.
pub(super) struct Segments<'a> {
    disk: &'a dyn Disk,
    seed: Seed,
    found: &'a [Found],
}

impl Segments<'_> {
    /// The effects that are not carried out.
    pub(super) fn due(&self, from: Place) -> Result<Vec<Frame>, OpenError> {
        let mut due = Vec::new();
        for segment in self.found {
            due.append(&mut replay::due(&segment.read(self.disk, self.seed)?, from));
        }
        Ok(due)
    }

    /// Calls `each` with the payload of each frame that counts.
    pub(super) fn each(&self, mut each: impl FnMut(&[u8])) -> Result<(), OpenError> {
        for segment in self.found {
            segment.read(self.disk, self.seed)?.payloads().for_each(&mut each);
        }
        Ok(())
    }
}

impl Gone {
    /// As ranges of numbers.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (AccountId, Seq, Seq)> {
        let acked = self.acked.iter().map(|&(account, seq)| (account, seq, seq));
        acked.chain(self.purged.iter().map(|(&account, &upto)| (account, Seq(0), upto)))
    }

    pub(super) fn contains(&self, account: AccountId, seq: Seq) -> bool {
        self.purged.get(&account).is_some_and(|&upto| seq <= upto) || self.acked.contains(&(account, seq))
    }

    fn collect(&mut self, scanned: &Scanned) -> bool {
        scanned.payloads().all(|payload| {
            format::records(payload, |record| match record {
                Record::Append { .. } => {}
                Record::Ack { account, seq } => drop(self.acked.insert((account, seq))),
                Record::Purge { account, upto } => self.purge(account, upto),
                Record::Effect(Numbered { effect: Effect::Purge { accounts, upto }, .. }) => {
                    accounts.into_iter().for_each(|account| self.purge(account, upto));
                }
                Record::Effect(_) => {}
            })
            .is_some()
        })
    }

    fn purge(&mut self, account: AccountId, upto: Seq) {
        let known = self.purged.entry(account).or_insert(upto);
        *known = upto.max(*known);
    }
}

/// Where the journal goes on.
pub(super) struct Absorbed {
    pub(super) roll: RollFile,
    pub(super) next_segment: u64,
    /// The number behind the last frame, if segments are kept.
    pub(super) next_frame: Option<u64>,
    /// Segments whose messages are not in SQLite yet.
    pub(super) kept: Vec<(u64, PathBuf)>,
    /// What to do once SQLite can be written.
    pub(super) arrears: Arrears,
}

/// Puts what an intact journal holds unacknowledged into SQLite and unlinks its segments. A torn last write is cut;
/// anything else unreadable or missing is an error and nothing is changed. `give_up` is asked now and then; when it says
/// yes, everything stays for the next time, and so it does if the disk is full: then what is in the journal is in arrears.
pub(super) fn absorb(
    data: &Path,
    target: &mut Target<'_>,
    give_up: &dyn Fn() -> bool,
) -> Result<Absorbed, OpenError> {
    let (journal, disk) = (journal::directory(data), target.options.disk.clone());
    let seed = Seed::of(&target.secret);
    let inventory = check::inventory(&*disk, &journal, seed)?;
    inventory.is_whole(&journal, target.had_roll)?;
    let mut gone = Gone::default();
    let next_frame = check::frames(&*disk, &inventory.segments, seed, &mut gone)?;
    let next = inventory.next;
    let mut roll = match inventory.roll {
        Some((file, _)) => file,
        None => make_roll(target, &journal, &inventory.segments, next)?,
    };
    let (done, arrears) = match absorb_segments(target, &inventory.segments, &gone, give_up) {
        Ok(done) => (done, Arrears::default()),
        Err(error) if is_full(&error) => {
            tracing::warn!(
                "the disk is full: messages stay in the journal until there is room, and none are accepted"
            );
            let segments = Segments { disk: &*disk, seed, found: &inventory.segments };
            (false, Arrears::collect(target, &segments, &gone)?)
        }
        Err(error) => return Err(error),
    };
    if !done {
        let kept = inventory.segments.into_iter().map(|segment| (segment.number, segment.path)).collect();
        return Ok(Absorbed { roll, next_segment: next, next_frame, kept, arrears });
    }
    let rest = inventory.segments.iter().map(|segment| &segment.path).chain(&inventory.leftovers);
    let rest: Vec<&PathBuf> = rest.collect();
    if !rest.is_empty() {
        let roll_path = journal::roll::path(&journal);
        roll.write(&Roll { segments: Vec::new(), next })
            .map_err(|source| not_writable(&roll_path, source))?;
        for path in rest {
            remove(&*disk, path)?;
        }
        disk.sync_directory(&journal).map_err(|source| not_writable(&journal, source))?;
    }
    Ok(Absorbed { roll, next_segment: next, next_frame: None, kept: Vec::new(), arrears })
}

/// The roll of a data directory that has none yet.
fn make_roll(
    target: &Target<'_>,
    journal: &Path,
    segments: &[Found],
    next: u64,
) -> Result<RollFile, OpenError> {
    let roll = Roll { segments: segments.iter().map(|segment| segment.number).collect(), next };
    RollFile::create(&*target.options.disk, journal, Seed::of(&target.secret), &roll)
        .map_err(|source| not_writable(&journal::roll::path(journal), source))
}

/// The second pass. `false` if it was given up.
fn absorb_segments(
    target: &mut Target<'_>,
    segments: &[Found],
    gone: &Gone,
    give_up: &dyn Fn() -> bool,
) -> Result<bool, OpenError> {
    if segments.is_empty() {
        return Ok(true);
    }
    let mut recovered = 0;
    for (position, segment) in segments.iter().enumerate() {
        let scanned = segment.read(&*target.options.disk, Seed::of(&target.secret))?;
        replay::replay(target, &scanned)?;
        if give_up() {
            return Ok(false);
        }
        let Some(messages) = insert(&scanned, target, gone, give_up)? else { return Ok(false) };
        recovered += messages;
        tracing::info!(segment = position + 1, of = segments.len(), messages = recovered, "journal read");
    }
    forget(target, gone)?;
    Ok(true)
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
                let stanza = [stanza, &b""[..]];
                slice.push(NewMessage { account, seq, id, accepted_unix_ms, stanza, mark: None });
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

/// Deletes from SQLite what was acknowledged there and not deleted before the end, each by its number: nearly all that a journal says is
/// acknowledged never was there, but that is a minute's, and what waits may be a month's.
fn forget(target: &mut Target<'_>, gone: &Gone) -> Result<(), OpenError> {
    let mut acked: Vec<_> = gone.acked.iter().copied().collect();
    acked.sort_unstable_by_key(|(account, seq)| (account.to_bits(), *seq));
    target.transaction(|messages| {
        for (account, seq) in acked {
            messages.delete(account, seq)?;
        }
        for (&account, &upto) in &gone.purged {
            messages.purge(account, upto, usize::MAX)?;
        }
        Ok(())
    })
}

impl Target<'_> {
    fn insert(&mut self, slice: &[NewMessage<'_>]) -> Result<u64, OpenError> {
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
                // The first error is the one to report; where SQLite has rolled back by itself this is another.
                let _ = target.connection.execute_batch("ROLLBACK");
                target.slots.rolled_back();
            }
            done
        })
    }

    pub(super) fn sqlite<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> Result<T, OpenError> {
        work(self).map_err(|source| OpenError::Sqlite { file: self.database.clone(), source })
    }
}

/// Recovers every intact frame, moves damaged segments to `journal-damaged/` and unlinks the others. Segments and a roll
/// that are missing are gone without.
pub(super) fn salvage(data: &Path, target: &mut Target<'_>) -> Result<SalvageReport, OpenError> {
    let (journal, disk) = (journal::directory(data), target.options.disk.clone());
    let seed = Seed::of(&target.secret);
    let check::Inventory { segments, leftovers, missing, next, .. } =
        check::inventory(&*disk, &journal, seed)?;
    let mut report = SalvageReport {
        segments: segments.len() as u64,
        missing_segments: missing.len() as u64,
        ..SalvageReport::default()
    };
    let mut gone = Gone::default();
    for segment in &segments {
        // A record that can't be understood is skipped here: the rest of its frame may not be.
        let _ = gone.collect(&segment.read(&*disk, seed)?);
    }
    let mut damaged = HashSet::new();
    for segment in &segments {
        let scanned = segment.read(&*disk, seed)?;
        replay::replay(target, &scanned)?;
        report.frames += scanned.frames();
        report.messages += insert(&scanned, target, &gone, &|| false)?.unwrap_or(0);
        if let Some(damage) = scanned.damage {
            report.damaged_bytes += damage.bytes;
            damaged.insert(segment.number);
        }
    }
    forget(target, &gone)?;
    for segment in segments.iter().filter(|segment| damaged.contains(&segment.number)) {
        move_aside(&*disk, data, &segment.path)?;
    }
    // From here on no segment is missed.
    RollFile::create(&*disk, &journal, seed, &Roll { segments: Vec::new(), next })
        .map_err(|source| not_writable(&journal::roll::path(&journal), source))?;
    let intact = segments.iter().filter(|segment| !damaged.contains(&segment.number));
    for path in intact.map(|segment| &segment.path).chain(&leftovers) {
        remove(&*disk, path)?;
    }
    disk.sync_directory(&journal).map_err(|source| not_writable(&journal, source))?;
    report.damaged_segments = damaged.len() as u64;
    Ok(report)
}

fn move_aside(disk: &dyn Disk, data: &Path, path: &Path) -> Result<(), OpenError> {
    let aside = data.join("journal-damaged");
    directory::make(disk, &aside)?;
    let Some(name) = path.file_name() else { return Ok(()) };
    let to = aside.join(name);
    disk.rename(path, &to)
        .and_then(|()| disk.sync_directory(&aside))
        .and_then(|()| disk.sync_directory(data))
        .map_err(|source| not_writable(&to, source))
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    disk.unlink(path).map_err(|source| not_writable(path, source))
}

/// Whether a failure is for want of room, which may come.
fn is_full(error: &OpenError) -> bool {
    matches!(error, OpenError::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::DiskFull))
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
