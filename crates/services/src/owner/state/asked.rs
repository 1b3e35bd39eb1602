//! Requests that wait for answers from other places.

use crate::effects::turn::command::reply::Waiting;
use std::collections::BTreeMap;

/// Most requests of one shard that wait for other owners.
const ASKED_MAX: usize = 4_096;

/// The requests by number, each with the time when it is overdue. All have the same time limit, so the least number is overdue
/// first.
#[derive(Default)]
pub(crate) struct AskedOfOthers {
    pub(crate) last: u64,
    pub(crate) waiting: BTreeMap<u64, (u64, Waiting)>,
}

impl AskedOfOthers {
    pub(crate) fn keep(&mut self, waiting: Waiting, until_ms: u64) -> Result<u64, Waiting> {
        if self.waiting.len() >= ASKED_MAX {
            return Err(waiting);
        }
        self.last += 1;
        self.waiting.insert(self.last, (until_ms, waiting));
        Ok(self.last)
    }

    pub(crate) fn next_overdue(&mut self, now_ms: u64) -> Option<Waiting> {
        let first = self.waiting.first_entry().filter(|first| first.get().0 <= now_ms)?;
        Some(first.remove().1)
    }
}
