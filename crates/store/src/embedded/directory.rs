//! The data directory: made private to the server's user, and locked against a second server.

use super::{OpenError, journal};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Holds the lock as long as it lives. The kernel lets go of it when the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
}

/// Makes the directory if it isn't there, locks it, and makes its parts.
pub(super) fn prepare(dir: &Path) -> Result<Lock, OpenError> {
    make(dir)?;
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| OpenError::NotWritable { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(OpenError::NotWritable { path, source }),
    }
    make(&journal::directory(dir))?;
    Ok(Lock { _file: file })
}

/// Makes a directory for the server's user alone, if it isn't there.
pub(super) fn make(dir: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| OpenError::NotWritable { path: dir.to_owned(), source })
}
