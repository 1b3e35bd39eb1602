//! A disk in memory that loses, when its power is cut, what was not synced.
//!
//! Pure; [`fuse`] mounts it. Called by: the power cuts. What it models: a file's bytes and length are safe from `fsync`, `fdatasync` or a write under
//! `O_SYNC` or `O_DSYNC` on ([`pages`]). Names (made, renamed, removed) are safe according to [`Names`]. A cut loses all that is not safe, or, page by
//! page, a part of it ([`Cut`]). What it doesn't model: sectors torn within a page, a disk that lies about its flush, damage to what was safe.

pub(crate) mod fuse;
mod pages;

use pages::Pages;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};

/// The number of the topmost folder, which FUSE wants to be 1.
pub(crate) const ROOT: u64 = 1;

/// When names are safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Names {
    /// A sync of anything commits all changes of names before it, as journals of file systems do (ext4, XFS).
    Journaled,
    /// A sync of a file commits its own name and the folders' above it, and nothing else's (the least that file systems in use do).
    Own,
    /// Only a sync of the folder itself does, which is all that POSIX promises.
    Strict,
}

/// How a cut treats the pages that are not safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All are lost.
    All,
    /// Of each file the first few stay, by chance: none, some or all.
    Some,
}

/// What went wrong, as an error number of the system.
pub(crate) type Fault = i32;

#[derive(Debug)]
enum Node {
    File(Pages),
    Folder { now: BTreeMap<OsString, u64>, safe: BTreeMap<OsString, u64> },
}

/// What a cut took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Files that had something unsafe.
    pub(crate) files: u64,
    /// Folders whose names had changed.
    pub(crate) folders: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Disk {
    names: Names,
    nodes: HashMap<u64, Node>,
    next: u64,
    /// Files that are open, which live on without a name.
    open: HashMap<u64, u32>,
    /// Folders whose names changed since they were safe.
    changed: HashSet<u64>,
}

impl Disk {
    /// An empty one.
    pub(crate) fn new(names: Names) -> Self {
        let root = Node::Folder { now: BTreeMap::new(), safe: BTreeMap::new() };
        Self {
            names,
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            open: HashMap::new(),
            changed: HashSet::new(),
        }
    }

    fn entries(&self, folder: u64) -> Result<&BTreeMap<OsString, u64>, Fault> {
        match self.nodes.get(&folder) {
            Some(Node::Folder { now, .. }) => Ok(now),
            Some(Node::File(_)) => Err(libc::ENOTDIR),
            None => Err(libc::ENOENT),
        }
    }

    fn entries_mut(&mut self, folder: u64) -> Result<&mut BTreeMap<OsString, u64>, Fault> {
        self.changed.insert(folder);
        match self.nodes.get_mut(&folder) {
            Some(Node::Folder { now, .. }) => Ok(now),
            Some(Node::File(_)) => Err(libc::ENOTDIR),
            None => Err(libc::ENOENT),
        }
    }

    fn file(&mut self, file: u64) -> Result<&mut Pages, Fault> {
        match self.nodes.get_mut(&file) {
            Some(Node::File(pages)) => Ok(pages),
            Some(Node::Folder { .. }) => Err(libc::EISDIR),
            None => Err(libc::ENOENT),
        }
    }

    /// What a name stands for.
    pub(crate) fn lookup(&self, folder: u64, name: &OsStr) -> Result<u64, Fault> {
        self.entries(folder)?.get(name).copied().ok_or(libc::ENOENT)
    }

    /// A file's length; `None` for a folder.
    pub(crate) fn file_len(&self, node: u64) -> Result<Option<usize>, Fault> {
        match self.nodes.get(&node) {
            Some(Node::File(pages)) => Ok(Some(pages.len())),
            Some(Node::Folder { .. }) => Ok(None),
            None => Err(libc::ENOENT),
        }
    }

    /// Everything in a folder.
    pub(crate) fn list(&self, folder: u64) -> Result<Vec<(OsString, u64)>, Fault> {
        Ok(self.entries(folder)?.iter().map(|(name, node)| (name.clone(), *node)).collect())
    }

    fn insert(&mut self, folder: u64, name: &OsStr, node: Node) -> Result<u64, Fault> {
        let number = self.next;
        let entries = self.entries_mut(folder)?;
        if entries.contains_key(name) {
            return Err(libc::EEXIST);
        }
        entries.insert(name.to_owned(), number);
        self.next += 1;
        self.nodes.insert(number, node);
        Ok(number)
    }

    /// A new, empty file.
    pub(crate) fn create(&mut self, folder: u64, name: &OsStr) -> Result<u64, Fault> {
        self.insert(folder, name, Node::File(Pages::default()))
    }

    /// A new folder.
    pub(crate) fn mkdir(&mut self, folder: u64, name: &OsStr) -> Result<u64, Fault> {
        self.insert(folder, name, Node::Folder { now: BTreeMap::new(), safe: BTreeMap::new() })
    }

    /// Removes a name of a file, or of an empty folder.
    pub(crate) fn remove(&mut self, folder: u64, name: &OsStr) -> Result<(), Fault> {
        let node = self.lookup(folder, name)?;
        if self.file_len(node)?.is_none() && !self.entries(node)?.is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        self.entries_mut(folder)?.remove(name);
        Ok(())
    }

    /// Renames, over what has the new name, if anything.
    pub(crate) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Fault> {
        let node = self.lookup(from.0, from.1)?;
        if let Ok(old) = self.lookup(to.0, to.1)
            && self.file_len(old)?.is_none()
            && !self.entries(old)?.is_empty()
        {
            return Err(libc::ENOTEMPTY);
        }
        self.entries(to.0)?;
        self.entries_mut(from.0)?.remove(from.1);
        self.entries_mut(to.0)?.insert(to.1.to_owned(), node);
        Ok(())
    }

    /// Reads.
    pub(crate) fn read(&mut self, file: u64, offset: usize, size: usize) -> Result<&[u8], Fault> {
        Ok(self.file(file)?.read(offset, size))
    }

    /// Writes; at once safe, if the file was opened so.
    pub(crate) fn write(
        &mut self,
        file: u64,
        offset: usize,
        data: &[u8],
        is_synced: bool,
    ) -> Result<(), Fault> {
        self.file(file)?.write(offset, data);
        if is_synced { self.sync(file) } else { Ok(()) }
    }

    /// `ftruncate`.
    pub(crate) fn resize(&mut self, file: u64, len: usize) -> Result<(), Fault> {
        self.file(file)?.resize(len);
        Ok(())
    }

    /// `fsync` of a file or a folder.
    pub(crate) fn sync(&mut self, node: u64) -> Result<(), Fault> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(pages)) => pages.sync(),
            Some(Node::Folder { .. }) => self.sync_names(node),
            None => return Err(libc::ENOENT),
        }
        match self.names {
            Names::Journaled => {
                for folder in std::mem::take(&mut self.changed) {
                    self.sync_names(folder);
                }
            }
            Names::Own => self.sync_own_name(node),
            Names::Strict => {}
        }
        Ok(())
    }

    /// Commits the name of a file or folder, and those of the folders above.
    fn sync_own_name(&mut self, node: u64) {
        let mut wanted = Some(node);
        while let Some(node) = wanted.take() {
            for folder in &self.changed {
                let Some(Node::Folder { now, safe }) = self.nodes.get_mut(folder) else { continue };
                let Some(name) = now.iter().find(|(_, one)| **one == node).map(|(name, _)| name) else {
                    continue;
                };
                if safe.get(name) != Some(&node) {
                    safe.retain(|_, one| *one != node);
                    safe.insert(name.clone(), node);
                }
                wanted = Some(*folder);
            }
        }
    }

    fn sync_names(&mut self, folder: u64) {
        self.changed.remove(&folder);
        let Some(Node::Folder { now, safe }) = self.nodes.get_mut(&folder) else { return };
        let has_lost_one = safe.iter().any(|(name, node)| now.get(name) != Some(node));
        safe.clone_from(now);
        if has_lost_one {
            self.forget_nameless();
        }
    }

    /// What happened long ago is safe: the system writes everything back after half a minute, synced or not.
    pub(crate) fn settle(&mut self) {
        self.changed.clear();
        for node in self.nodes.values_mut() {
            match node {
                Node::File(pages) => pages.sync(),
                Node::Folder { now, safe } => safe.clone_from(now),
            }
        }
        self.forget_nameless();
    }

    /// A file is opened; it lives until it is closed as often.
    pub(crate) fn opened(&mut self, file: u64) {
        *self.open.entry(file).or_default() += 1;
    }

    /// And closed.
    pub(crate) fn closed(&mut self, file: u64) {
        if let Some(count) = self.open.get_mut(&file) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&file);
            }
        }
    }

    /// Drops what no name leads to, neither now nor after a cut.
    fn forget_nameless(&mut self) {
        let (mut found, mut left) = (HashSet::new(), vec![ROOT]);
        left.extend(self.open.keys());
        while let Some(node) = left.pop() {
            if found.insert(node)
                && let Some(Node::Folder { now, safe }) = self.nodes.get(&node)
            {
                left.extend(now.values().chain(safe.values()));
            }
        }
        self.nodes.retain(|node, _| found.contains(node));
    }

    /// The power goes, and comes back.
    pub(crate) fn cut(&mut self, cut: Cut, rng: &mut StdRng) -> Taken {
        let mut taken = Taken { files: 0, folders: self.changed.len() as u64 };
        self.open.clear();
        self.changed.clear();
        let mut numbers: Vec<u64> = self.nodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            match self.nodes.get_mut(&number) {
                Some(Node::File(pages)) if pages.is_dirty() => {
                    taken.files += 1;
                    let mut kept = match cut {
                        Cut::All => 0..0,
                        Cut::Some => 0..rng.random_range(0..=pages.dirty()),
                    };
                    pages.cut(|_| kept.next().is_some());
                }
                Some(Node::Folder { now, safe }) => now.clone_from(safe),
                _ => {}
            }
        }
        self.forget_nameless();
        taken
    }
}

#[cfg(test)]
mod tests;
