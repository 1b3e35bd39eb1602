//! What the edge counts. One instance per shard, written by its thread alone.

chaski_telemetry::metrics! {
    /// Counters and levels of the edge.
    pub struct EdgeMetrics("chaski_edge") {
        /// Connections accepted.
        accepted_total: Counter,
        /// Connections refused at once: too many in the shard or from one address, or the queue to their shard is full.
        refused_total: Counter,
        /// Failures of accept itself (out of descriptors, aborted by the peer).
        accept_errors_total: Counter,
        /// Connections open now, in whatever state.
        connections: Gauge,
        /// Connections whose clients have not proved who they are.
        guests: Gauge,
        /// Of those, closed to make room for others.
        guests_ousted_total: Counter,
        /// Refused because their network has too many.
        guests_refused_total: Counter,
        /// Times that accepting paused because there are too many of them.
        guests_paused_total: Counter,
        /// Connections that have a session.
        sessions: Gauge,
        /// TLS handshakes completed.
        tls_handshakes_total: Counter,
        /// Of those, resumptions of earlier sessions by ticket.
        tls_resumed_total: Counter,
        /// TLS connections that failed, in the handshake or later.
        tls_failures_total: Counter,
        /// Clients that have proved who they are.
        logins_total: Counter,
        /// Failed attempts to do so, those refused unseen included.
        login_failures_total: Counter,
        /// Of these not told yet: each has its time, whatever it took to find out.
        failures_waiting: Gauge,
        /// Connections closed because login took too long.
        login_timeouts_total: Counter,
        /// Bytes read from sockets (encrypted where there is TLS).
        read_bytes_total: Counter,
        /// Bytes the kernel has taken (encrypted where there is TLS).
        written_bytes_total: Counter,
        /// Writes to sockets that took something: segments, nearly.
        writes_total: Counter,
        /// Stanzas and stream management elements read from clients that have a session.
        elements_total: Counter,
        /// Stanzas over a bound or not well-formed, counted and answered with an error.
        stanzas_refused_total: Counter,
        /// Bytes of stanzas too large to be kept, read to their end.
        skipped_bytes_total: Counter,
        /// Streams ended by us with an error.
        stream_errors_total: Counter,
        /// Connections cut because too many bytes waited for them.
        slow_clients_total: Counter,
        /// Clients probed after long silence.
        probes_total: Counter,
        /// Clients cut because the probe brought no sign of life.
        idle_cuts_total: Counter,
        /// Sessions told that the peer's TCP has everything.
        confirmed_total: Counter,
        /// Bytes that wait for sockets.
        unsent_bytes: Gauge,
        /// Connections handed to the shard of their account.
        moved_total: Counter,
        /// Envelopes handed to other shards.
        forwarded_total: Counter,
        /// Envelopes not taken because the other shard's queue was full.
        forward_refused_total: Counter,
        /// Envelopes that wait for this shard.
        inbox_envelopes: Gauge,
        /// Connections with something to read that wait for their next turn.
        ready_connections: Gauge,
        /// Reads of sessions put off to a later turn because their account had had its share of this one.
        reads_put_off_total: Counter,
        /// Reads that were dealt with in part, because that had used up their account's share of the turn.
        reads_held_total: Counter,
        /// Turns of the event loop.
        turns_total: Counter,
        /// Time spent in turns, without waiting.
        turn_us_total: Counter,
        /// Turns that were put off a little, so that more would come together.
        turns_spaced_total: Counter,
        /// By how much a busy shard's turns are apart at least (the sum of the shards').
        turn_gap_us: Gauge,
        /// The longest turn of any shard since its last minute began.
        turn_max_us: Maximum,
        /// Turns by their time, in microseconds.
        turn_us: Histogram,
    }
}
