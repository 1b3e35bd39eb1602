//! Where contents lie: the contract of a backend, the local folder ([`folder`]), and which file goes to which ([`stores`]).
//!
//! A backend knows objects by their ids and nothing of accounts, names or types. All of it blocks; it is called on threads that may.
//!
//! The crate `object_store` is not this contract: its local folder neither syncs what it writes nor the folder that it writes in, so that a
//! power cut takes files that were answered for, and it hands out no descriptor for `sendfile`. Its S3 client stands behind this contract
//! ([`s3`]), with a folder of its own for what arrives and for what is asked for often.
//!
//! # The order of steps
//! 1. [`Objects::begin`]: a file among the *arrivals*, which nobody serves.
//! 2. [`Incoming::finish`]: the file and its name are durable, on this machine. [`Objects::bring`]: and where it lies, if that is elsewhere.
//! 3. The index gets the row, in one transaction. From here on it is served, where it lies.
//! 4. [`Objects::settle`]: it leaves the arrivals. If that does not happen, the next start does it.
//!
//! Whatever is found among the arrivals after a kill is settled if the index has a row for it, and deleted if not; so neither an orphan
//! nor a row without file can be, and nobody has to look at more files than were on their way.
//!
//! And back: 1. the index takes the last reference and puts the object into its list of the doomed; 2. [`Objects::delete`], durable on
//! return; 3. the index strikes it off the list. What a kill interrupts is done again.

pub mod folder;
pub mod s3;
pub mod stores;

use chaski_store::media::{Name, ObjectId};
use std::fs::File;
use std::io;
use std::pin::Pin;

/// What takes its time, and no thread.
pub type Wait = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Is shown a page of objects with their lengths.
pub type Visit<'a> = dyn FnMut(&[(ObjectId, u64)]) -> io::Result<()> + 'a;

/// A backend.
pub trait Objects: Send + Sync {
    /// Begins to write one.
    fn begin(&self, object: ObjectId) -> io::Result<Box<dyn Incoming>>;

    /// It has a row: it leaves the arrivals. May be repeated, also when it has been deleted.
    fn settle(&self, object: ObjectId) -> io::Result<()>;

    /// What has been finished is brought to where it lies, if that is not here: it is durable there at the end.
    fn bring(&self, _object: ObjectId) -> Wait {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Opens one to be read, settled or not. `name`: of the reference that leads to it. [`io::ErrorKind::WouldBlock`]: [`Objects::fetch`] it first.
    fn open(&self, object: ObjectId, name: Name) -> io::Result<Box<dyn Stored>>;

    /// Brings one here, so that it can be opened.
    fn fetch(&self, _object: ObjectId, _name: Name) -> Wait {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether it is behind a network, which may be slow or away: then nobody waits for it who need not.
    fn is_remote(&self) -> bool {
        false
    }

    /// Deletes some, durably on return. What is not there is no error.
    fn delete(&self, objects: &[ObjectId]) -> io::Result<()>;

    /// What is among the arrivals.
    fn arrivals(&self) -> io::Result<Vec<ObjectId>>;

    /// How long one is where it lies, settled or not; `None`: it is not there.
    fn size(&self, object: ObjectId) -> io::Result<Option<u64>>;

    /// Shows all that has settled and whose id begins with this byte, with its length, in no order and in pages of at most
    /// [`PAGE_MAX`](chaski_store::media::PAGE_MAX).
    fn each(&self, first: u8, visit: &mut Visit<'_>) -> io::Result<()>;

    /// How many bytes have room.
    fn room_bytes(&self) -> io::Result<u64>;
}

/// An object that is being written. Deleted when it is dropped without [`Incoming::finish`].
pub trait Incoming: Send {
    /// Writes what comes next.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// All has come: it is durable on return. Stays among the arrivals.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// An object that is being read. Stays readable while it is open, also when it is deleted.
pub trait Stored: Send + Sync {
    /// Reads at a place, as much as there is room for and no more than there is.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// How long it is.
    fn size(&self) -> u64;

    /// The file, if it is one.
    fn file(&self) -> Option<&File>;
}
