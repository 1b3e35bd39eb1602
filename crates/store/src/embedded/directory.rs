//! The data directory: made private to the server's user, and locked against a second server.

use super::disk::{Disk, DiskFile};
use super::{OpenError, journal};
use std::fs::TryLockError;
use std::path::Path;

/// Holds the lock as long as it lives. The kernel lets go of it when the process ends, however it ends.
pub(super) struct Lock {
    _file: Box<dyn DiskFile>,
}

/// Makes the directory if it isn't there, locks it, and makes its parts.
pub(super) fn prepare(disk: &dyn Disk, dir: &Path) -> Result<Lock, OpenError> {
    make(disk, dir)?;
    let path = dir.join("lock");
    let file = match disk.lock(&path) {
        Ok(file) => file,
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(OpenError::NotWritable { path, source }),
    };
    make(disk, &journal::directory(dir))?;
    Ok(Lock { _file: file })
}

/// Makes a directory for the server's user alone, if it isn't there.
pub(super) fn make(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    disk.make_directory(dir).map_err(|source| OpenError::NotWritable { path: dir.to_owned(), source })
}
