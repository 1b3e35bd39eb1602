//! A disk in memory that knows what is durable and what is only in the page cache, and that can fail.
//!
//! Each file is its content as programs see it, its content as the platters have it, and the changes between the two;
//! each directory likewise, by names. A sync makes a file's or a directory's changes durable, and nothing else does.
//! [`SimulatedDisk::after_cut`] says what is left when the power goes ([`super::cut`] decides what of the changes).
//!
//! Failures: the power goes before a chosen operation ends, after which every operation fails; a sync or write fails with an
//! error of choice (and, as Linux does it, the changes that a failed sync had to write are dropped, each file that was opened before is
//! told so once, and then syncs succeed);
//! there is room for so many bytes, noticed when written or only when synced; syncs can be held up.

use super::cut::Cut;
use super::inodes::{Change, DirectoryNode, Faults, FileNode, Node, State, contains, gone};
use super::vfs;
use crate::embedded::disk::{Disk, DiskFile, Open};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::TryLockError;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

pub(super) struct Inner {
    number: u64,
    state: Mutex<State>,
    released: Condvar,
    pub(super) databases: Mutex<HashMap<usize, Arc<vfs::Database>>>,
}

/// See the file's head. Clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    pub(super) inner: Arc<Inner>,
}

/// Every disk that is in use, by number, for SQLite, which knows nothing but a path.
static DISKS: Mutex<BTreeMap<u64, Weak<Inner>>> = Mutex::new(BTreeMap::new());
static LAST: AtomicU64 = AtomicU64::new(0);

/// Kinds of syncs.
const FDATASYNC: usize = 0;
const FSYNC: usize = 1;

/// How the root directory of a disk is called: this and its number.
const ROOT: &str = "simulated-";

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::with(vec![Node::Directory(DirectoryNode::default())])
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        DISKS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl SimulatedDisk {
    fn with(nodes: Vec<Node>) -> Self {
        vfs::register();
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let state =
            State { nodes, faults: Faults::default(), off: false, operations: 0, locked: HashSet::new() };
        let inner = Arc::new(Inner {
            number,
            state: Mutex::new(state),
            released: Condvar::new(),
            databases: Mutex::default(),
        });
        DISKS.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::downgrade(&inner));
        Self { inner }
    }

    /// The disk that a path is on.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let root = path.components().find_map(|part| match part {
            Component::Normal(name) => name.to_str()?.strip_prefix(ROOT)?.parse::<u64>().ok(),
            _ => None,
        })?;
        let disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        disks.get(&root)?.upgrade().map(|inner| Self { inner })
    }

    /// Its root directory, which is there and stays there.
    pub fn root(&self) -> PathBuf {
        Path::new("/").join(format!("{ROOT}{}", self.inner.number))
    }

    /// What the disk holds after its power has gone (or goes now): what was synced, and of the rest what chance left.
    pub fn after_cut(&self, cut: &mut Cut) -> Self {
        let state = self.state();
        Self::with(cut.nodes(&state.nodes))
    }

    /// The power goes during the operation so many operations from now; 0: during the next.
    pub fn cut_in(&self, operations: u64) {
        self.state().faults.cut_in = Some(operations);
    }

    /// Whether the power is gone: every operation fails.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The sync of a file so many syncs from now fails; 0: the next.
    pub fn fail_sync_in(&self, syncs: u64, code: i32) {
        self.state().faults.sync = Some((syncs, code));
    }

    /// The write so many writes from now fails half done; 0: the next.
    pub fn fail_write_in(&self, writes: u64, code: i32) {
        self.state().faults.write = Some((writes, code));
    }

    /// Syncs and writes that were to fail do not.
    pub fn fail_nothing(&self) {
        let mut state = self.state();
        state.faults.sync = None;
        state.faults.write = None;
    }

    /// Gives the disk a size (`None`: endless). `late`: a want of room shows at a sync and nowhere before, as on thin volumes and
    /// over a network.
    pub fn set_size(&self, bytes: Option<u64>, late: bool) {
        let mut state = self.state();
        state.faults.room = bytes;
        state.faults.late = late;
    }

    /// Bytes that all files take.
    pub fn used(&self) -> u64 {
        self.state().used(false)
    }

    /// From now on syncs of files wait until [`Self::release_syncs`].
    pub fn hold_syncs(&self) {
        self.state().faults.held = [true; 2];
    }

    /// From now on those that are an `fsync` do: of new segments and new room, and no frame's.
    pub fn hold_fsyncs(&self) {
        self.state().faults.held[FSYNC] = true;
    }

    /// Lets these go on.
    pub fn release_fsyncs(&self) {
        self.state().faults.held[FSYNC] = false;
        self.inner.released.notify_all();
    }

    /// Lets syncs go on.
    pub fn release_syncs(&self) {
        self.state().faults.held = [false; 2];
        self.inner.released.notify_all();
    }

    /// Syncs that wait.
    pub fn waiting_syncs(&self) -> u64 {
        self.state().faults.waiting
    }

    /// Whether any file holds these bytes: as programs see it, or as it would be after a power cut.
    pub fn holds(&self, marker: &[u8]) -> bool {
        let state = self.state();
        let named = state.named();
        named.into_iter().any(|node| match &state.nodes[node] {
            Node::File(file) => {
                [&file.now, &file.durable].into_iter().any(|content| contains(content, marker))
            }
            Node::Directory(_) => false,
        })
    }

    /// Bytes of a file that are durable, whatever its length as programs see it.
    pub fn durable_length(&self, path: &Path) -> u64 {
        let state = self.state();
        match state.find(path).map(|node| &state.nodes[node]) {
            Ok(Node::File(file)) => file.durable.len() as u64,
            _ => 0,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open_node(&self, path: &Path, how: Open) -> io::Result<SimulatedFile> {
        let mut state = self.state();
        state.alive()?;
        let (parent, name) = state.parent(path)?;
        let found = state.directory(parent)?.now.get(name).copied();
        let node = match (found, how) {
            (Some(_), Open::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(node), _) => node,
            (None, Open::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (None, _) => state.make(parent, name, Node::File(FileNode::default()))?,
        };
        let seen = AtomicU64::new(state.file(node)?.failed_syncs);
        Ok(SimulatedFile { disk: self.clone(), node, seen })
    }
}

/// An open file.
pub(super) struct SimulatedFile {
    pub(super) disk: SimulatedDisk,
    pub(super) node: usize,
    /// Failed syncs of the file that were told to whoever has opened it here.
    seen: AtomicU64,
}

impl SimulatedFile {
    pub(super) fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.alive()?;
        Ok(state.file(self.node)?.now.len() as u64)
    }

    fn sync(&self, kind: usize) -> io::Result<()> {
        let mut state = self.disk.state();
        state.faults.waiting += 1;
        while state.faults.held[kind] && !state.off {
            state = self.disk.inner.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.faults.waiting -= 1;
        let synced = state.sync(self.node);
        let file = state.file(self.node)?;
        let seen = self.seen.swap(file.failed_syncs, Ordering::Relaxed);
        match seen < file.failed_syncs {
            // Its own failure, or one that somebody else was told first.
            true => synced.and(Err(io::Error::from_raw_os_error(file.last_error))),
            false => synced,
        }
    }
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.alive()?;
        let content = &state.file(self.node)?.now;
        let from = content.get(offset as usize..).unwrap_or_default();
        let read = from.len().min(bytes.len());
        bytes[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.state().write(self.node, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.count()?;
        let stamp = state.operations;
        state.change(self.node, Change::Length { stamp, length: length as usize })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(FDATASYNC)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(FSYNC)
    }
}

/// A locked file; gone with the value, as with a process.
struct Locked(SimulatedFile);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.disk.state().locked.remove(&self.0.node);
    }
}

impl DiskFile for Locked {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.open_node(path, how)?))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskFile>, TryLockError> {
        let file = self.open_node(path, Open::Any).map_err(TryLockError::Error)?;
        if !self.state().locked.insert(file.node) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(Box::new(Locked(file)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.alive()?;
        let node = state.find(path)?;
        Ok(state.file(node)?.now.clone())
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        self.read(path).map(|content| content.len() as u64)
    }

    fn make_private(&self, path: &Path) -> io::Result<()> {
        let state = self.state();
        state.alive()?;
        state.find(path).map(drop)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let mut state = self.state();
        state.alive()?;
        let node = state.find(directory)?;
        Ok(state.directory(node)?.now.keys().cloned().collect())
    }

    fn make_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.alive()?;
        let mut parent = 0;
        for part in State::parts(directory) {
            parent = match state.directory(parent)?.now.get(part).copied() {
                Some(node) => node,
                None => state.make(parent, part, Node::Directory(DirectoryNode::default()))?,
            };
        }
        state.directory(parent).map(drop)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.find(from)?;
        let ((old_parent, old), (new_parent, new)) = (state.parent(from)?, state.parent(to)?);
        state.count()?;
        state.name(old_parent, old, None)?;
        state.name(new_parent, new, Some(node))?;
        state.done(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.alive()?;
        let node = state.find(path)?;
        state.file(node)?;
        let (parent, name) = state.parent(path)?;
        state.count()?;
        state.name(parent, name, None)?;
        state.done(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.alive()?;
        let node = state.find(directory)?;
        if state.count()? {
            return Err(gone());
        }
        let directory = state.directory(node)?;
        directory.durable = directory.now.clone();
        directory.changes.clear();
        Ok(())
    }

    fn room_left(&self, _: &Path) -> Option<u64> {
        let state = self.state();
        let room = state.faults.room.filter(|_| !state.faults.late)?;
        Some(room.saturating_sub(state.used(false)))
    }

    fn vfs(&self) -> Option<&str> {
        Some(vfs::NAME)
    }
}
