//! What the embedded engine counts.

chaski_telemetry::metrics! {
    /// The journal's writer.
    pub(crate) struct JournalMetrics("chaski_journal") {
        /// Frames written, that is commits.
        frames_total: Counter,
        /// Batches in them. Divided by frames: how many batches share a sync.
        batches_total: Counter,
        /// Messages in them. Divided by frames: how many messages share a sync.
        messages_total: Counter,
        /// Changes of records and phone books, and removals of accounts, in them.
        effects_total: Counter,
        /// Bytes written, without preallocation.
        bytes_total: Counter,
        /// Syncs of frames.
        syncs_total: Counter,
        /// Time spent in them, in microseconds.
        sync_time_total_us: Counter,
        /// Commits by their time, in microseconds: the write of a frame and its sync.
        commit_us: Histogram,
        /// Segments unlinked.
        unlinked_total: Counter,
        /// Segments that nobody needs and that are still there, in whole or in part.
        removing_segments: Gauge,
        /// Their bytes on disk.
        removing_bytes: Gauge,
        /// Times that room was asked for before a commit needed it.
        extended_ahead_total: Counter,
        /// Commits that found no room and waited until it was made, for a new segment too.
        room_waits_total: Counter,
        /// Time that they waited, in microseconds.
        room_wait_total_us: Counter,
        /// Times that the spare became a segment, for acknowledgements on a full disk.
        spares_taken_total: Counter,
        /// Segments on disk.
        segments: Gauge,
        /// Messages refused because the disk was full.
        refused_full_total: Counter,
        /// Messages refused because the disk failed.
        refused_failed_total: Counter,
        /// Writes and syncs that failed. What was not durable was or will be written anew in another segment.
        failures_total: Counter,
        /// 1 while the journal can't be written and messages are refused.
        failing: Gauge,
        /// Marks behind a last frame.
        marks_total: Counter,
        /// Attempts to remove segments that failed.
        removal_failures_total: Counter,
        /// Acknowledgements' bytes that wait for a frame.
        waiting_ack_bytes: Gauge,
    }
}

chaski_telemetry::metrics! {
    /// A shard's front: the mailboxes' part in memory.
    pub(crate) struct FrontMetrics("chaski_store") {
        /// Messages accepted into memory.
        appended_total: Counter,
        /// Repeated messages.
        duplicates_total: Counter,
        /// Messages refused because the mailbox was full.
        refused_mailbox_total: Counter,
        /// Messages refused because their sender had too much in the mailbox.
        refused_share_total: Counter,
        /// Messages refused because all strangers together had.
        refused_strangers_total: Counter,
        /// Strangers' messages refused because the disk was nearly full.
        refused_scarce_total: Counter,
        /// Messages charged to their sender's share and not stored.
        charged_total: Counter,
        /// Messages refused because the disk was behind.
        refused_overload_total: Counter,
        /// Messages refused because the journal can't be written.
        refused_failing_total: Counter,
        /// Messages acknowledged from memory, which never touched SQLite.
        acked_in_memory_total: Counter,
        /// Messages acknowledged that had moved to SQLite.
        acked_in_sqlite_total: Counter,
        /// Messages moved to SQLite.
        spilled_total: Counter,
        /// Reads answered from memory.
        reads_memory_total: Counter,
        /// Reads that asked SQLite.
        reads_sqlite_total: Counter,
        /// Messages in SQLite that could not be read: taken away, and their recipient told.
        unreadable_total: Counter,
        /// Messages held in memory.
        messages: Gauge,
        /// Their bytes.
        message_bytes: Gauge,
        /// Mailboxes of which something is known in memory: messages wait in them, and their accounts are here or they have messages in memory.
        mailboxes: Gauge,
        /// Mailboxes in which single senders are counted.
        sender_tables: Gauge,
        /// Batches at the journal.
        batches_in_flight: Gauge,
        /// Requests at SQLite: reads, loads, saves.
        requests_in_flight: Gauge,
    }
}

chaski_telemetry::metrics! {
    /// SQLite's writer.
    pub(crate) struct SqliteMetrics("chaski_sqlite") {
        /// Transactions.
        transactions_total: Counter,
        /// Effects of frames carried out in them.
        applied_total: Counter,
        /// Operations in them.
        operations_total: Counter,
        /// Transactions that failed; message moves and deletions are tried again.
        failed_total: Counter,
        /// Messages inserted.
        inserted_total: Counter,
        /// Messages deleted after acknowledgement or with their account.
        deleted_total: Counter,
        /// Messages deleted because they grew too old.
        expired_total: Counter,
        /// Write-ahead logs written back and cut to nothing.
        checkpoints_total: Counter,
        /// Checkpoints that failed.
        checkpoints_failed_total: Counter,
        /// Checkpoints that a reader held up.
        checkpoints_busy_total: Counter,
        /// Operations that wait for the writer.
        waiting: Gauge,
        /// Bytes of what frames have it do and it has not done yet.
        unapplied_bytes: Gauge,
    }
}
