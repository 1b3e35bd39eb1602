//! Whether a transfer moves. A slow one may take as long as it likes; one that does not move makes room.
//!
//! Judged by windows: in each, so many bytes have to move. So a phone at the edge of a cell gets its picture through, and who holds a
//! place with a byte now and then does not hold it for long.

use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// See the module.
#[derive(Debug)]
pub(super) struct Progress {
    window: Duration,
    bytes: u64,
    ends: Instant,
    moved: u64,
}

/// It does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stuck;

impl Progress {
    pub(super) fn new(window: Duration, bytes: u64) -> Self {
        Self { window, bytes, ends: Instant::now() + window, moved: 0 }
    }

    /// Waits for the next piece.
    pub(super) async fn wait<T>(&mut self, next: impl Future<Output = T>) -> Result<T, Stuck> {
        let mut next = std::pin::pin!(next);
        loop {
            match timeout_at(self.ends, next.as_mut()).await {
                Ok(piece) => return Ok(piece),
                Err(_) => self.turn()?,
            }
        }
    }

    /// So many bytes have moved.
    pub(super) fn moved(&mut self, bytes: u64) {
        self.moved = self.moved.saturating_add(bytes);
    }

    /// Waiting for the disk is not the client's fault.
    pub(super) fn excuse(&mut self) {
        self.ends = self.ends.max(Instant::now() + self.window / 2);
    }

    fn turn(&mut self) -> Result<(), Stuck> {
        if self.moved < self.bytes {
            return Err(Stuck);
        }
        self.moved = 0;
        self.ends = Instant::now() + self.window;
        Ok(())
    }
}
