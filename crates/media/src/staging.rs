//! Unfinished uploads: what has come of files that are sent in pieces (tus), kept until the whole is there or its time is over.
//!
//! Always in a folder of this machine, whatever the backend: only what is whole goes to [`crate::objects`], so that no backend
//! knows of pieces. One entry a slot, under the name that its file will have, in a table in memory that a start reads again from the folder.
//!
//! ```text
//! FOLDER/<name>          the bytes, as far as they have come
//! FOLDER/<name>.state    what it is, and up to where the bytes count ([`record`])
//! ```
//! # Promises
//! - What [`Writer::keep`] has returned for is there after a kill and after a power cut: first the bytes are durable, then the mark that says so. What
//!   stands behind the mark does not count.
//! - An account has a bound of unfinished uploads ([`Bounds`]), and so have all together; beyond it a new one is refused, since what is there was
//!   promised to stay to its end.
//! - Whoever touches an entry holds its slot ([`crate::http::places`]), so that no two do. All of it blocks.

mod record;

use chaski_store::AccountId;
use chaski_store::media::{Name, charge};
pub(crate) use record::METADATA_BYTES_MAX;
use record::Record;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const STATE: &str = "state";

/// How many there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Of one account.
    pub(crate) per_account: usize,
    /// Of all.
    pub(crate) all: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// Whose.
    pub(crate) owner: AccountId,
    /// How long it will be.
    pub(crate) size: u64,
    /// So much has come and is durable.
    pub(crate) offset: u64,
    /// From then on it is not there any more.
    pub(crate) expires_unix_ms: u64,
    /// What its client has said of it, as it said it.
    pub(crate) metadata: Box<str>,
}

/// What an account has of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    pub(crate) count: usize,
    /// As [`charge`] counts, whole files.
    pub(crate) bytes: u64,
}

impl Held {
    fn take(&mut self, one: &Unfinished) {
        self.count -= 1;
        self.bytes = self.bytes.saturating_sub(charge(one.size));
    }
}

/// See the module.
#[derive(Debug)]
pub struct Staging {
    root: PathBuf,
    table: Mutex<Table>,
}

/// All of them, and their sums, so that nobody walks through it for a number.
#[derive(Debug, Default)]
struct Table {
    all: HashMap<Name, Unfinished>,
    by_owner: HashMap<AccountId, Held>,
    /// What has come of all.
    bytes: u64,
}

impl Table {
    fn insert(&mut self, name: Name, new: Unfinished) {
        self.remove(name);
        let held = self.by_owner.entry(new.owner).or_default();
        held.count += 1;
        held.bytes = held.bytes.saturating_add(charge(new.size));
        self.bytes += new.offset;
        self.all.insert(name, new);
    }

    fn remove(&mut self, name: Name) -> Option<Unfinished> {
        let gone = self.all.remove(&name)?;
        self.bytes -= gone.offset;
        if let Entry::Occupied(mut held) = self.by_owner.entry(gone.owner) {
            held.get_mut().take(&gone);
            if held.get().count == 0 {
                held.remove();
            }
        }
        Some(gone)
    }

    fn keep(&mut self, name: Name, offset: u64) {
        if let Some(it) = self.all.get_mut(&name) {
            self.bytes = self.bytes - it.offset + offset;
            it.offset = offset;
        }
    }

    fn held(&self, owner: AccountId) -> Held {
        self.by_owner.get(&owner).copied().unwrap_or_default()
    }
}

/// Why none is begun.
#[derive(Debug)]
pub(crate) enum NotBegun {
    TooMany,
    Failed(io::Error),
}

impl From<io::Error> for NotBegun {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Staging {
    /// Opens a folder, made if it is not there, and reads what an earlier run has left. What was being begun when it ended is deleted.
    pub fn open(root: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
        let staging = Self { root: root.to_owned(), table: Mutex::default() };
        let mut table = Table::default();
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            match name_of(&path) {
                Some(name) if path.extension().is_none() => match staging.read(name) {
                    Ok(found) => table.insert(name, found),
                    // Without a state that can be read nothing was answered for it.
                    Err(error) if is_nothing(&error) => staging.delete(name)?,
                    Err(error) => return Err(error),
                },
                // A state goes after its bytes, and comes before them.
                Some(name) if !staging.bytes(name).try_exists()? => staging.delete(name)?,
                Some(_) => {}
                None => {
                    tracing::warn!(
                        ?path,
                        "a file among unfinished uploads is none of ours; it is left alone"
                    );
                }
            }
        }
        *staging.table() = table;
        Ok(staging)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes(&self, name: Name) -> PathBuf {
        self.root.join(name.to_text())
    }

    fn state(&self, name: Name) -> PathBuf {
        self.bytes(name).with_extension(STATE)
    }

    fn read(&self, name: Name) -> io::Result<Unfinished> {
        let found = Record::read(&File::open(self.state(name))?, name)?;
        let length = fs::metadata(self.bytes(name))?.len();
        if length < found.offset {
            tracing::warn!("an unfinished upload has lost bytes that were durable; it begins anew");
        }
        Ok(Unfinished { offset: if length < found.offset { 0 } else { found.offset }, ..found })
    }

    /// The upload of this slot, if its time is not over.
    pub(crate) fn find(&self, name: Name, now_unix_ms: u64) -> Option<Unfinished> {
        self.table().all.get(&name).filter(|it| it.expires_unix_ms > now_unix_ms).cloned()
    }

    /// What an account has, but for this one.
    pub(crate) fn held(&self, owner: AccountId, but: Name) -> Held {
        let table = self.table();
        let mut held = table.held(owner);
        if let Some(one) = table.all.get(&but).filter(|it| it.owner == owner) {
            held.take(one);
        }
        held
    }

    /// How many there are, and how many bytes of them have come.
    pub(crate) fn all(&self) -> (usize, u64) {
        let table = self.table();
        (table.all.len(), table.bytes)
    }

    /// When the time of the first of them is over.
    pub(crate) fn next_end(&self) -> Option<u64> {
        self.table().all.values().map(|it| it.expires_unix_ms).min()
    }

    /// Those of which this is so.
    pub(crate) fn which(&self, is_so: impl Fn(&Unfinished) -> bool) -> Vec<Name> {
        self.table().all.iter().filter(|(_, it)| is_so(it)).map(|(name, _)| *name).collect()
    }

    /// Begins one, durably, in the place of an earlier one of the same slot.
    pub(crate) fn begin(&self, name: Name, new: &Unfinished, bounds: Bounds) -> Result<(), NotBegun> {
        self.end(name)?;
        {
            // Its place first, so that no two get the last one.
            let mut table = self.table();
            if table.held(new.owner).count >= bounds.per_account || table.all.len() >= bounds.all {
                return Err(NotBegun::TooMany);
            }
            table.insert(name, new.clone());
        }
        let made = self.make(name, new);
        if made.is_err() {
            // The first complaint is the one that counts.
            let _ = self.end(name);
        }
        Ok(made?)
    }

    fn make(&self, name: Name, new: &Unfinished) -> io::Result<()> {
        let create = |path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let state = create(self.state(name))?;
        Record::write_new(&state, name, new)?;
        state.sync_all()?;
        create(self.bytes(name))?.sync_all()?;
        sync(&self.root)
    }

    /// Forgets one and deletes its files. What is not there is no error.
    pub(crate) fn end(&self, name: Name) -> io::Result<()> {
        if self.table().remove(name).is_none() {
            return Ok(());
        }
        self.delete(name)
    }

    fn delete(&self, name: Name) -> io::Result<()> {
        for path in [self.bytes(name), self.state(name)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// To go on with one.
    pub(crate) fn writer(self: &Arc<Self>, name: Name) -> io::Result<Writer> {
        let offset = self.table().all.get(&name).map(|it| it.offset).ok_or(ErrorKind::NotFound)?;
        let open = |path| OpenOptions::new().read(true).write(true).open(path);
        let (bytes, state) = (open(self.bytes(name))?, open(self.state(name))?);
        Ok(Writer { staging: self.clone(), name, bytes, state, kept: offset, written: offset })
    }

    /// To read what has come.
    pub(crate) fn reader(&self, name: Name) -> io::Result<File> {
        File::open(self.bytes(name))
    }

    /// How many bytes have room.
    pub(crate) fn room_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// One that goes on.
#[derive(Debug)]
pub(crate) struct Writer {
    staging: Arc<Staging>,
    name: Name,
    bytes: File,
    state: File,
    /// Up to here it is durable.
    kept: u64,
    written: u64,
}

impl Writer {
    /// Writes what comes next. It does not count yet.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.write_all_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// What is written counts, durably on return.
    pub(crate) fn keep(&mut self) -> io::Result<()> {
        if self.written == self.kept {
            return Ok(());
        }
        self.bytes.sync_data()?;
        Record::write_offset(&self.state, self.name, self.written)?;
        self.state.sync_data()?;
        self.kept = self.written;
        self.staging.table().keep(self.name, self.kept);
        Ok(())
    }

    /// How much does not count yet.
    pub(crate) fn pending(&self) -> u64 {
        self.written - self.kept
    }

    /// How much counts.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn name_of(path: &Path) -> Option<Name> {
    let is_ours = path.extension().is_none_or(|extension| extension == STATE);
    Name::parse(path.file_stem()?.to_str()?).filter(|_| is_ours)
}

/// Whether the state says nothing, as opposed to a disk that does not answer.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MANY: Bounds = Bounds { per_account: 9, all: 99 };

    fn owner(number: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + number).expect("a number")
    }

    fn new(number: u64) -> Unfinished {
        let metadata = "filename d29ybGQ=".into();
        Unfinished { owner: owner(number), size: 10, offset: 0, expires_unix_ms: 500, metadata }
    }

    fn open(dir: &Path) -> Arc<Staging> {
        Arc::new(Staging::open(dir).expect("it opens"))
    }

    #[test]
    fn what_is_kept_is_there_after_a_start_and_what_is_not_does_not_count() {
        let dir = tempfile::tempdir().expect("a folder");
        let staging = open(dir.path());
        staging.begin(Name(1), &new(1), MANY).expect("there is room");
        let mut writer = staging.writer(Name(1)).expect("it is there");
        writer.write(b"1234").expect("written");
        assert_eq!((writer.pending(), writer.kept()), (4, 0));
        assert_eq!(open(dir.path()).find(Name(1), 0), Some(new(1)), "nothing is kept yet");
        writer.keep().expect("kept");
        writer.write(b"567").expect("written");
        let staging = open(dir.path());
        assert_eq!(staging.find(Name(1), 499), Some(Unfinished { offset: 4, ..new(1) }));
        assert_eq!(staging.find(Name(1), 500), None, "its time is over");
        let mut writer = staging.writer(Name(1)).expect("it is there");
        writer.write(b"abcdef").expect("written");
        writer.keep().expect("kept");
        assert_eq!(fs::read(dir.path().join(Name(1).to_text())).expect("the bytes"), b"1234abcdef");
        assert_eq!(open(dir.path()).all(), (1, 10));
        staging.end(Name(1)).expect("deleted");
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn what_a_kill_has_left_half_begun_goes_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let staging = open(dir.path());
        for number in 1..=4 {
            staging.begin(Name(number), &new(1), MANY).expect("there is room");
        }
        fs::remove_file(staging.state(Name(1))).expect("killed while it was ended");
        fs::remove_file(staging.bytes(Name(2))).expect("killed while it was begun");
        fs::write(staging.state(Name(3)), b"chu").expect("killed while it was written");
        fs::write(dir.path().join("note.txt"), "mine").expect("written");
        let staging = open(dir.path());
        assert_eq!(staging.which(|_| true), [Name(4)]);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 3);
    }

    proptest! {
        /// Whatever comes and goes, the sums are what a walk through the table finds, also after a start.
        #[test]
        fn the_sums_are_those_of_the_table(steps in proptest::collection::vec((0_u128..5, 0_u64..3, 0_u8..4), 1..30)) {
            let dir = tempfile::tempdir().expect("a folder");
            let mut staging = open(dir.path());
            for (name, number, what) in steps {
                let name = Name(name);
                match what {
                    0 => drop(staging.begin(name, &Unfinished { size: 10 + number, ..new(number) }, MANY)),
                    1 => staging.end(name).expect("deleted"),
                    2 => {
                        if let Ok(mut writer) = staging.writer(name) {
                            writer.write(b"1").expect("written");
                            writer.keep().expect("kept");
                        }
                    }
                    _ => staging = open(dir.path()),
                }
                let all: Vec<(Name, Unfinished)> =
                    staging.table().all.iter().map(|(name, it)| (*name, it.clone())).collect();
                prop_assert_eq!(staging.all(), (all.len(), all.iter().map(|(_, it)| it.offset).sum()));
                for owner in (0..3).map(owner) {
                    let own = all.iter().filter(|(of, it)| it.owner == owner && *of != name);
                    let bytes = own.clone().map(|(_, it)| charge(it.size)).sum();
                    prop_assert_eq!(staging.held(owner, name), Held { count: own.count(), bytes });
                }
                let owners = all.iter().map(|(_, it)| it.owner).collect::<std::collections::BTreeSet<_>>();
                prop_assert_eq!(staging.table().by_owner.len(), owners.len());
            }
        }
    }

    #[test]
    fn an_account_and_all_have_bounds() {
        let dir = tempfile::tempdir().expect("a folder");
        let (staging, bounds) = (open(dir.path()), Bounds { per_account: 2, all: 3 });
        let begin = |name, number| staging.begin(Name(name), &new(number), bounds);
        assert!(begin(1, 1).is_ok() && begin(2, 1).is_ok());
        assert!(begin(2, 1).is_ok(), "the same anew");
        assert!(matches!(begin(3, 1), Err(NotBegun::TooMany)), "an account has two");
        assert_eq!(staging.held(owner(1), Name(1)), Held { count: 1, bytes: charge(10) });
        assert!(begin(3, 2).is_ok());
        assert!(matches!(begin(4, 2), Err(NotBegun::TooMany)), "all have three");
        staging.end(Name(1)).expect("deleted");
        assert!(begin(4, 2).is_ok());
    }
}
