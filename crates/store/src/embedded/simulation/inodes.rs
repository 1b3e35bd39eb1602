//! The inodes of a simulated disk: what programs see, what is durable, the changes between, and what is to go wrong.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};

/// A change of a file that is not durable, and when it was made.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { stamp: u64, offset: usize, bytes: Vec<u8> },
    Length { stamp: u64, length: usize },
}

impl Change {
    pub(super) fn stamp(&self) -> u64 {
        match self {
            Self::Write { stamp, .. } | Self::Length { stamp, .. } => *stamp,
        }
    }

    /// Where the file ends at least, or at most.
    pub(super) fn end(&self) -> usize {
        match self {
            Self::Write { offset, bytes, .. } => offset + bytes.len(),
            Self::Length { length, .. } => *length,
        }
    }

    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes, .. } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Length { length, .. } => content.resize(*length, 0),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct FileNode {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) changes: Vec<Change>,
    /// Syncs that failed, and the system's number of the last error. Each is told once through every file that was open.
    pub(super) failed_syncs: u64,
    pub(super) last_error: i32,
}

/// A change of a directory: the name stands for this node, or for none any more.
#[derive(Debug, Clone)]
pub(super) struct Renaming {
    pub(super) stamp: u64,
    pub(super) name: OsString,
    pub(super) to: Option<usize>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct DirectoryNode {
    pub(super) now: BTreeMap<OsString, usize>,
    pub(super) durable: BTreeMap<OsString, usize>,
    pub(super) changes: Vec<Renaming>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(FileNode),
    Directory(DirectoryNode),
}

/// What is to go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Operations until the power goes.
    pub(super) cut_in: Option<u64>,
    /// Syncs of files (writes) until one fails, and the system's number of the error.
    pub(super) sync: Option<(u64, i32)>,
    pub(super) write: Option<(u64, i32)>,
    /// Bytes that fit on the disk, and whether a want of room shows only at a sync.
    pub(super) room: Option<u64>,
    pub(super) late: bool,
    /// Every sync waits (`fdatasync`, `fsync`).
    pub(super) held: [bool; 2],
    /// How many do.
    pub(super) waiting: u64,
}

pub(super) struct State {
    /// Inodes. The first is the root directory.
    pub(super) nodes: Vec<Node>,
    pub(super) faults: Faults,
    pub(super) off: bool,
    pub(super) operations: u64,
    pub(super) locked: HashSet<usize>,
}

pub(super) fn contains(content: &[u8], marker: &[u8]) -> bool {
    !marker.is_empty()
        && content
            .iter()
            .enumerate()
            .any(|(at, &byte)| byte == marker[0] && content[at..].starts_with(marker))
}

pub(super) fn gone() -> io::Error {
    io::Error::other("the power is gone")
}

impl State {
    pub(super) fn alive(&self) -> io::Result<()> {
        if self.off { Err(gone()) } else { Ok(()) }
    }

    /// Counts a changing operation. `true`: the power goes during it.
    pub(super) fn count(&mut self) -> io::Result<bool> {
        self.alive()?;
        self.operations += 1;
        match &mut self.faults.cut_in {
            Some(0) => {
                self.off = true;
                Ok(true)
            }
            Some(left) => {
                *left -= 1;
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// Ends a changing operation that has been carried out in the page cache.
    pub(super) fn done<T>(&self, value: T) -> io::Result<T> {
        self.alive().map(|()| value)
    }

    pub(super) fn file(&mut self, node: usize) -> io::Result<&mut FileNode> {
        match &mut self.nodes[node] {
            Node::File(file) => Ok(file),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn directory(&mut self, node: usize) -> io::Result<&mut DirectoryNode> {
        match &mut self.nodes[node] {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The names below the root: the first part of a path names the disk.
    pub(super) fn parts(path: &Path) -> Vec<&OsStr> {
        let parts = path.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        });
        parts.skip(1).collect()
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<usize> {
        let mut node = 0;
        for part in Self::parts(path) {
            let Node::Directory(directory) = &self.nodes[node] else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            node = *directory.now.get(part).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    pub(super) fn parent<'a>(&self, path: &'a Path) -> io::Result<(usize, &'a OsStr)> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(parent)?, name))
    }

    pub(super) fn make(&mut self, parent: usize, name: &OsStr, node: Node) -> io::Result<usize> {
        self.count()?;
        self.nodes.push(node);
        let made = self.nodes.len() - 1;
        self.name(parent, name, Some(made))?;
        self.done(made)
    }

    pub(super) fn name(&mut self, parent: usize, name: &OsStr, to: Option<usize>) -> io::Result<()> {
        let stamp = self.operations;
        let directory = self.directory(parent)?;
        match to {
            Some(node) => directory.now.insert(name.to_owned(), node),
            None => directory.now.remove(name),
        };
        directory.changes.push(Renaming { stamp, name: name.to_owned(), to });
        Ok(())
    }

    /// Inodes of the names that there are, or would be after a power cut.
    pub(super) fn named(&self) -> HashSet<usize> {
        let directories = self.nodes.iter().filter_map(|node| match node {
            Node::Directory(directory) => Some(directory),
            Node::File(_) => None,
        });
        directories
            .flat_map(|directory| directory.now.values().chain(directory.durable.values()))
            .copied()
            .collect()
    }

    pub(super) fn used(&self, durable: bool) -> u64 {
        let named = self.named();
        let files = self.nodes.iter().enumerate().filter(|(node, _)| named.contains(node));
        files
            .map(|(_, node)| match node {
                Node::File(file) if durable => file.durable.len() as u64,
                Node::File(file) => file.now.len().max(file.durable.len()) as u64,
                Node::Directory(_) => 0,
            })
            .sum()
    }

    pub(super) fn write(&mut self, node: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.count()?;
        let (stamp, offset) = (self.operations, offset as usize);
        if let Some(error) = due(&mut self.faults.write) {
            let half = bytes[..bytes.len() / 2].to_vec();
            self.change(node, Change::Write { stamp, offset, bytes: half })?;
            return Err(error);
        }
        if let Some(room) = self.faults.room
            && !self.faults.late
        {
            let grown = (offset + bytes.len()).saturating_sub(self.file(node)?.now.len()) as u64;
            if grown > 0 && self.used(false) + grown > room {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        self.change(node, Change::Write { stamp, offset, bytes: bytes.to_vec() })
    }

    pub(super) fn change(&mut self, node: usize, change: Change) -> io::Result<()> {
        let file = self.file(node)?;
        change.apply(&mut file.now);
        file.changes.push(change);
        self.done(())
    }

    pub(super) fn sync(&mut self, node: usize) -> io::Result<()> {
        if self.count()? {
            return Err(gone());
        }
        let mut error = due(&mut self.faults.sync);
        if error.is_none()
            && let Some(room) = self.faults.room
            && self.faults.late
        {
            let file = self.file(node)?;
            let end = file.changes.iter().map(Change::end).max().unwrap_or(0);
            let grown = end.saturating_sub(file.durable.len()) as u64;
            if grown > 0 && self.used(true) + grown > room {
                error = Some(io::Error::from_raw_os_error(libc::ENOSPC));
            }
        }
        let file = self.file(node)?;
        let changes = std::mem::take(&mut file.changes);
        match error {
            // What could not be written is dropped, and forgotten: the next sync knows nothing of it.
            Some(error) => {
                file.failed_syncs += 1;
                file.last_error = error.raw_os_error().unwrap_or(libc::EIO);
                Err(error)
            }
            None => {
                changes.iter().for_each(|change| change.apply(&mut file.durable));
                Ok(())
            }
        }
    }
}

/// Counts down to a failure.
fn due(fault: &mut Option<(u64, i32)>) -> Option<io::Error> {
    match fault {
        Some((0, code)) => {
            let error = io::Error::from_raw_os_error(*code);
            *fault = None;
            Some(error)
        }
        Some((left, _)) => {
            *left -= 1;
            None
        }
        None => None,
    }
}
