//! The one way to the disk: every file and directory that the engine touches, it touches through [`Disk`].
//!
//! Called by the journal, recovery, and whatever makes the data directory; SQLite goes the same way where [`Disk::vfs`]
//! names one. [`SystemDisk`] passes each call on to the operating system and adds nothing. Tests put a disk in its place
//! that fails, fills up or loses its power (`crate::simulation`), because a real one does so too rarely.
//!
//! Promises: none of its own. What is written is durable after [`DiskFile::sync_data`]; what is made, renamed or
//! unlinked after [`Disk::sync_directory`] of the directory that it is in; before that, a power cut may leave anything. What could not be
//! written back is told once through every file that was opened before, by its next sync (Linux since 4.13).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What a file is to be opened for; all are for reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It must be there.
    Existing,
    /// It is made if it isn't there, for the server's user alone.
    Any,
    /// It must not be there, and is made.
    New,
}

/// The operations on directories and on files by their names.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file, or makes it, and takes the lock that only one process has; gone with the value or the process.
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskFile>, TryLockError>;

    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Bytes of a file.
    fn length(&self, path: &Path) -> io::Result<u64>;

    /// Takes a file's permissions away from everybody but its owner, if others have any.
    fn make_private(&self, path: &Path) -> io::Result<()>;

    /// Names of what is in a directory, in no order.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// Makes a directory for the server's user alone, and those above it, where they aren't there.
    fn make_directory(&self, directory: &Path) -> io::Result<()>;

    /// Gives a file another name on the same disk.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Makes the creation, renaming and removal of files in a directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// Bytes that the disk behind `directory` has left for us; `None` if it doesn't say.
    fn room_left(&self, directory: &Path) -> Option<u64>;

    /// The SQLite VFS under which this disk is known; `None`: SQLite's own, which is the operating system.
    fn vfs(&self) -> Option<&str> {
        None
    }
}

/// An open file. Closed when dropped.
pub trait DiskFile: Send + Sync {
    /// Reads what is there from `offset` on; less than asked for only at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of it at `offset`. On failure a part may be there.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes the content durable, and of the rest what is needed to read it again (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;

    /// Makes content and all else of the file durable, but for its name (`fsync`).
    fn sync_all(&self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(open(path, how)?))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskFile>, TryLockError> {
        let file = open(path, Open::Any).map_err(TryLockError::Error)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|metadata| metadata.len())
    }

    fn make_private(&self, path: &Path) -> io::Result<()> {
        match fs::metadata(path)?.permissions().mode() & 0o077 {
            0 => Ok(()),
            _ => fs::set_permissions(path, Permissions::from_mode(0o600)),
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    fn make_directory(&self, directory: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn room_left(&self, directory: &Path) -> Option<u64> {
        let path =
            std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(directory.as_os_str())).ok()?;
        let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: `path` is a NUL-terminated string and `stat` is room for one `statvfs`, both alive during the call.
        let code = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
        if code != 0 {
            return None;
        }
        // SAFETY: statvfs returned success, so it has filled the struct.
        let stat = unsafe { stat.assume_init() };
        Some(stat.f_bavail * stat.f_frsize)
    }
}

fn open(path: &Path, how: Open) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(how == Open::Any).create_new(how == Open::New).mode(0o600);
    options.open(path)
}

impl DiskFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut at = 0;
        while at < bytes.len() {
            match FileExt::read_at(self, &mut bytes[at..], offset + at as u64) {
                Ok(0) => break,
                Ok(read) => at += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(at)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        Self::sync_all(self)
    }
}
