//! Room on the disk: what is there, less what uploads in progress are going to take and what is kept free for the rest of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    reserve_bytes: u64,
    promised: Arc<AtomicU64>,
}

/// Room that is promised to one upload. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Promised {
    promised: Arc<AtomicU64>,
    bytes: u64,
}

impl Room {
    pub(crate) fn new(reserve_bytes: u64) -> Self {
        Self { reserve_bytes, promised: Arc::default() }
    }

    /// Promises room for so many bytes, of what is there; `None` if there is not so much.
    pub(crate) fn promise(&self, there: u64, bytes: u64) -> Option<Promised> {
        let promised = Promised { promised: self.promised.clone(), bytes };
        let all = self.promised.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let needed = all.saturating_add(self.reserve_bytes);
        (there >= needed).then_some(promised)
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        self.promised.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
