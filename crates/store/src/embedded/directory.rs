//! The data directory: made private to the server's user, and locked against a second server.

use super::disk::{Disk, DiskFile};
use super::{OpenError, journal};
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};

/// Holds the lock as long as it lives. The kernel lets go of it when the process ends, however it ends.
pub(super) struct Lock {
    _file: Box<dyn DiskFile>,
}

/// Makes the directory if it isn't there, locks it, and makes its parts.
pub(super) fn prepare(disk: &dyn Disk, dir: &Path) -> Result<Lock, OpenError> {
    make_durably(disk, dir)?;
    let path = dir.join("lock");
    let file = match disk.lock(&path) {
        Ok(file) => file,
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(OpenError::NotWritable { path, source }),
    };
    make(disk, &journal::directory(dir))?;
    Ok(Lock { _file: file })
}

/// Makes the data directory, and those above it, so that their names survive a power cut. The nearest name is synced at
/// every start: the start that made it may have been cut before it came to that.
fn make_durably(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    let above = |dir: &Path| match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
        parent => parent.map(Path::to_owned),
    };
    let mut parents = Vec::new();
    let mut next = above(dir);
    while let Some(parent) = next {
        let was_there = disk.list(&parent).is_ok();
        next = above(&parent).filter(|_| !was_there);
        parents.push(parent);
    }
    make(disk, dir)?;
    for parent in parents {
        match disk.sync_directory(&parent) {
            // Somebody else's, and made before us.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced.map_err(|source| OpenError::NotWritable { path: parent, source })?,
        }
    }
    Ok(())
}

/// Makes a directory for the server's user alone, if it isn't there.
pub(super) fn make(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    disk.make_directory(dir).map_err(|source| OpenError::NotWritable { path: dir.to_owned(), source })
}
