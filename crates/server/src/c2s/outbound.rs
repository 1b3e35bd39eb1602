//! What waits to be sent on one connection, and the shard's pool of buffers for it.
//!
//! A turn's writes are gathered in [`Outbound::plain`]; at the end of the turn they are encrypted if need be and sent
//! with one system call. If the kernel takes everything, the buffer goes back to the pool and the connection keeps
//! nothing. Bounded by [`crate::EdgeLimits::unsent_bytes`]; beyond it the connection is cut.

/// Buffers kept in the pool, and the largest that is kept: at most 16 MiB per shard.
const POOLED: usize = 256;
const POOLED_BYTES: usize = 64 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    /// Output of this turn, not encrypted yet.
    pub(crate) plain: Vec<u8>,
    /// Output in its final form: encrypted, or not to be encrypted, and not taken by the kernel.
    pub(crate) wire: Vec<u8>,
    /// How much of `wire` the kernel has taken.
    sent: usize,
    /// How many of its bytes the metrics count as waiting.
    pub(crate) counted: usize,
}

impl Outbound {
    /// Bytes that the kernel has not taken.
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.wire.len() - self.sent
    }

    /// Makes all output so far final, because the encryption changes behind it.
    pub(crate) fn seal(&mut self) {
        if self.wire.is_empty() {
            // The usual case: nothing is copied.
            std::mem::swap(&mut self.wire, &mut self.plain);
        } else {
            self.wire.append(&mut self.plain);
        }
    }

    /// What is ready for the kernel.
    pub(crate) fn ready(&self) -> &[u8] {
        &self.wire[self.sent..]
    }

    /// The kernel has taken so many bytes of [`ready`](Self::ready).
    pub(crate) fn taken(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.wire.len() {
            self.wire.clear();
            self.sent = 0;
        } else if self.sent > self.wire.len() / 2 {
            // Drops what the kernel has taken long ago, so that a slow client's buffer does not grow by it.
            self.wire.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// Empty buffers for the next turn.
#[expect(clippy::vec_box, reason = "the boxes themselves are pooled: a connection holds one pointer")]
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<Box<Outbound>>);

impl Pool {
    /// An empty buffer.
    pub(crate) fn take(&mut self) -> Box<Outbound> {
        self.0.pop().unwrap_or_default()
    }

    /// Gives an empty buffer back.
    pub(crate) fn give(&mut self, mut outbound: Box<Outbound>) {
        let small = outbound.plain.capacity() + outbound.wire.capacity() <= POOLED_BYTES;
        if self.0.len() < POOLED && small {
            outbound.plain.clear();
            outbound.wire.clear();
            outbound.sent = 0;
            outbound.counted = 0;
            self.0.push(outbound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_whatever_the_kernel_takes() {
        let mut outbound = Outbound::default();
        outbound.plain.extend_from_slice(b"hello");
        outbound.seal();
        outbound.taken(2);
        outbound.plain.extend_from_slice(b" world");
        assert_eq!(outbound.len(), 9);
        outbound.seal();
        assert_eq!(outbound.ready(), b"llo world");
        outbound.taken(8);
        assert_eq!(outbound.ready(), b"d");
        outbound.taken(1);
        assert_eq!(outbound.len(), 0);
    }
}
