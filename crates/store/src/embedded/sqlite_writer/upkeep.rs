//! Between transactions: the time is kept, the write-ahead log is written back, what is too old is deleted.

use super::{BUSY_WARN_MS, EXPIRE_SLICE, RETRY_MS, SqliteWriter};
use crate::embedded::database::{self, Messages};
use crate::embedded::health::Part;
use crate::embedded::link::Event;

impl SqliteWriter {
    pub(super) fn upkeep(&mut self, now_ms: u64) {
        if now_ms >= self.keep_time_at_ms {
            self.keep_time(now_ms);
        }
        if self.checkpoint_at_ms.is_some_and(|at| now_ms >= at) {
            self.checkpoint(now_ms);
        }
        // Not before what is acknowledged is deleted: it is not lost.
        if now_ms >= self.expire_at_ms && self.queue.is_empty() {
            match self.expire() {
                Ok(deleted) => {
                    let more = deleted == EXPIRE_SLICE;
                    let options = &self.shared.options;
                    self.expire_at_ms = now_ms + if more { 0 } else { options.expire_interval_ms };
                    if deleted > 0 {
                        self.checkpoint_at_ms.get_or_insert(now_ms + options.checkpoint_after_ms);
                    }
                }
                Err(error) => {
                    let _ = self.connection.execute_batch("ROLLBACK");
                    self.slots.rolled_back();
                    tracing::warn!(%error, "old messages cannot be deleted; trying again later");
                    self.expire_at_ms = now_ms + self.shared.options.expire_interval_ms;
                }
            }
        }
    }

    fn keep_time(&mut self, now_ms: u64) {
        let options = &self.shared.options;
        match database::keep_time(&self.connection, &self.shared.time.to_text()) {
            Ok(()) => {
                self.time_is_late = false;
                self.keep_time_at_ms = now_ms + options.keep_time_ms;
                self.checkpoint_at_ms.get_or_insert(now_ms + options.checkpoint_after_ms);
                // Whoever asked may have stopped waiting.
                self.keepers.drain(..).for_each(|keeper| _ = keeper.send(()));
            }
            Err(error) => {
                if !std::mem::replace(&mut self.time_is_late, true) {
                    tracing::warn!(%error, "the time cannot be kept; trying again until it can");
                }
                self.keep_time_at_ms = now_ms + RETRY_MS;
                self.keepers.clear();
            }
        }
    }

    fn checkpoint(&mut self, now_ms: u64) {
        match database::checkpoint(&self.connection, &*self.shared.options.disk, &self.path) {
            Ok(true) => {
                self.metrics.checkpoints_total.inc();
                self.shared.health.mend(Part::Checkpoint);
                self.checkpoint_at_ms = None;
                self.busy_since_ms = None;
                return;
            }
            Ok(false) => {
                self.metrics.checkpoints_busy_total.inc();
                let since = *self.busy_since_ms.get_or_insert(now_ms);
                if now_ms >= since + BUSY_WARN_MS {
                    tracing::warn!(
                        "another program reads the database for so long that deleted messages cannot be wiped; end it"
                    );
                    self.busy_since_ms = Some(now_ms);
                }
            }
            Err(error) => {
                self.metrics.checkpoints_failed_total.inc();
                let trouble =
                    format!("the database's write-ahead log cannot be written back ({error}): it grows");
                if self.shared.health.ail(Part::Checkpoint, trouble) {
                    tracing::warn!(%error, "the database's checkpoint failed; trying again until it succeeds");
                }
            }
        }
        self.checkpoint_at_ms = Some(now_ms + self.shared.options.tick_ms);
    }

    /// Deletes one slice of old messages, if there are any, leaves gaps in their place, and tells their fronts.
    fn expire(&mut self) -> rusqlite::Result<usize> {
        let options = &self.shared.options;
        let before = self.shared.time.unix_ms().saturating_sub(options.expire_after_ms);
        let any =
            "SELECT EXISTS (SELECT 1 FROM messages INDEXED BY messages_by_age WHERE accepted_unix_ms < ?1)";
        if !self.connection.query_row(any, [before as i64], |row| row.get::<_, bool>(0))? {
            return Ok(0);
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut messages =
            Messages { connection: &self.connection, slots: &mut self.slots, secret: &self.secret };
        let losses = messages.expire(before, EXPIRE_SLICE)?;
        self.connection.execute_batch("COMMIT")?;
        self.slots.committed();
        let deleted: usize = losses.iter().map(|loss| loss.seqs.len()).sum();
        self.metrics.expired_total.add(deleted as u64);
        tracing::info!(
            messages = deleted,
            mailboxes = losses.len(),
            "messages that nobody fetched in time were deleted; their recipients will be told"
        );
        for loss in losses {
            if let Some(link) = self.shared.owner(loss.account) {
                link.push(Event::Lost(loss));
            }
        }
        Ok(deleted)
    }
}
