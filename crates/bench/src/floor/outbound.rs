//! What a thread has yet to write: a buffer for each connection that waits, from a pool, so that a connection at rest has none.
//!
//! Called by `relay`. Promises: no buffer is larger than [`KEPT_BYTES_MAX`] plus one turn's messages; no more than [`POOL_MAX`] empty ones are kept.

/// A connection that lets more than this pile up is ended.
pub(super) const KEPT_BYTES_MAX: usize = 1 << 20;
/// Empty buffers kept for the next turns.
const POOL_MAX: usize = 4096;
/// A larger buffer is not kept.
const POOLED_BYTES_MAX: usize = 16 << 10;

/// A buffer's place, or none. Small, since every connection has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle(u32);

impl Handle {
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// All buffers of a thread.
#[derive(Default)]
pub(super) struct Buffers {
    all: Vec<Vec<u8>>,
    free: Vec<u32>,
}

impl Buffers {
    /// The buffer behind a handle, which gets one if it has none.
    pub(super) fn of(&mut self, handle: &mut Handle) -> &mut Vec<u8> {
        if handle.is_none() {
            let index = self.free.pop().unwrap_or_else(|| {
                self.all.push(Vec::new());
                u32::try_from(self.all.len() - 1).expect("there are fewer buffers than descriptors")
            });
            *handle = Handle(index);
        }
        &mut self.all[handle.0 as usize]
    }

    /// What is in it.
    pub(super) fn bytes(&self, handle: Handle) -> &[u8] {
        self.all.get(handle.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// Drops the first bytes; gives the buffer back if nothing is left.
    pub(super) fn consume(&mut self, handle: &mut Handle, bytes: usize) {
        if handle.is_none() {
            return;
        }
        let buffer = &mut self.all[handle.0 as usize];
        if bytes < buffer.len() {
            buffer.drain(..bytes);
            return;
        }
        buffer.clear();
        if buffer.capacity() > POOLED_BYTES_MAX || self.free.len() >= POOL_MAX {
            *buffer = Vec::new();
        }
        self.free.push(handle.0);
        *handle = Handle::NONE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_lent_and_given_back() {
        let mut buffers = Buffers::default();
        let (mut one, mut two) = (Handle::NONE, Handle::NONE);
        buffers.of(&mut one).extend_from_slice(b"romeo");
        buffers.of(&mut two).extend_from_slice(b"juliet");
        buffers.consume(&mut one, 2);
        assert_eq!(buffers.bytes(one), b"meo");
        assert_eq!(buffers.bytes(two), b"juliet");
        buffers.consume(&mut one, 3);
        assert!(one.is_none());
        assert_eq!(buffers.bytes(one), b"");
        let mut three = Handle::NONE;
        assert!(buffers.of(&mut three).is_empty());
        assert_eq!(buffers.all.len(), 2);
    }
}
