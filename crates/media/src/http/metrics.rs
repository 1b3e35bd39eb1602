//! What is counted of files.

chaski_telemetry::metrics! {
    /// Uploads, downloads and what ends.
    pub(crate) struct MediaMetrics("chaski_media") {
        /// Requests.
        requests_total: Counter,
        /// Requests that were not met because of the server: too many, no room, a disk that fails.
        troubles_total: Counter,
        /// Requests refused because too many transfers were in progress, of all or of their network.
        refused_busy_total: Counter,
        /// Uploads refused or cut because the disk had no room.
        refused_full_total: Counter,
        /// Tickets that were not ours, not in time, or not for what was sent.
        tickets_refused_total: Counter,
        /// Transfers in progress.
        transfers: Gauge,
        /// Pieces that wait for their network's turn at the bandwidth that files may take.
        pace_waiting: Gauge,
        /// Uploads that were stored.
        uploads_total: Counter,
        /// Uploads that did not come whole: their client went away or was too slow.
        uploads_cut_total: Counter,
        /// Resumable uploads that began.
        unfinished_begun_total: Counter,
        /// Requests that went on with one.
        unfinished_resumed_total: Counter,
        /// Resumable uploads refused because there were too many that are not finished, of all or of their account.
        unfinished_refused_total: Counter,
        /// Resumable uploads dropped because their time was over.
        unfinished_expired_total: Counter,
        /// Resumable uploads that are not finished.
        unfinished: Gauge,
        /// And how many bytes of them have come.
        unfinished_bytes: Gauge,
        /// Pieces of uploads that did not have the checksum that was said.
        checksums_failed_total: Counter,
        /// Bytes received.
        received_bytes_total: Counter,
        /// Downloads that began.
        downloads_total: Counter,
        /// Bytes sent.
        sent_bytes_total: Counter,
        /// Pieces of files that were read without waiting, because the system had them in memory.
        read_at_once_total: Counter,
        /// Pieces of files on plain connections that the system has sent by itself (`sendfile`).
        sent_by_system_total: Counter,
        /// References dropped because their time was over.
        expired_total: Counter,
        /// References dropped because the operator has removed them or blocked what they lead to.
        removed_total: Counter,
        /// Contents that the operator has blocked.
        blocked: Gauge,
        /// Uploads refused because their content is blocked.
        refused_blocked_total: Counter,
        /// Files deleted because nothing referred to them.
        deleted_total: Counter,
        /// Half-written files that a start has found and deleted.
        leftovers_deleted_total: Counter,
        /// References whose file was missing.
        dangling_total: Counter,
        /// Looks for what has ended that failed and are repeated.
        looks_failed_total: Counter,
    }
}
