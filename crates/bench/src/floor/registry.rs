//! Who is where: the one thing that the floor's threads share.
//!
//! A thread holds the lock for reading through the reading part of a turn, and for writing once a turn if somebody logged in.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A connection: its thread and its slot there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) thread: u32,
    pub(super) slot: u32,
}

/// Addresses are hashes already.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        unreachable!("only u64 are hashed, not {bytes:?}");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Places by address.
pub(super) type Registry = HashMap<u64, Place, BuildHasherDefault<AsItIs>>;
