//! The embedded engine: one machine, nothing to install. A journal takes what comes in, SQLite keeps what waits.
#![allow(dead_code, clippy::todo)]

mod open_error;
mod options;

pub use open_error::OpenError;
pub use options::{Clock, Options, SystemClock};

use crate::{Engine, Records, ShardIndex, ShardStore, Waker};
use std::path::Path;
use std::sync::Arc;

/// An open data directory.
pub struct EmbeddedEngine {
    _private: (),
}

/// What [`salvage`] found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Segments read.
    pub segments: u64,
    /// Segments that were damaged and have been moved to `journal-damaged/`, which the operator deletes.
    pub damaged_segments: u64,
    /// Intact frames read.
    pub frames: u64,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
    /// Messages recovered into the database.
    pub messages: u64,
}

/// Opens a data directory, makes it if it isn't there, and recovers what a crash left behind.
pub fn open(_dir: &Path, _options: Options) -> Result<EmbeddedEngine, OpenError> {
    todo!()
}

/// Recovers every intact frame of a damaged journal into the database and moves damaged segments aside.
pub fn salvage(_dir: &Path) -> Result<SalvageReport, OpenError> {
    todo!()
}

impl Engine for EmbeddedEngine {
    fn attach(&self, _shard: ShardIndex, _shards: u16, _waker: Waker) -> Box<dyn ShardStore> {
        todo!()
    }

    fn records(&self) -> Arc<dyn Records> {
        todo!()
    }

    fn secret(&self) -> [u8; 16] {
        todo!()
    }

    fn metrics(&self) -> Vec<Arc<dyn chaski_telemetry::Source>> {
        todo!()
    }

    fn close(&self) {
        todo!()
    }
}
