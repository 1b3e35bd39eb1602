//! Every bound and interval of the embedded engine in one place, and the clock it runs by.

use super::disk::{Disk, SystemDisk};
use crate::Table;
use crate::shares::Shares;
use std::sync::Arc;

/// The engine's time. Its own threads read it; a test advances it by hand.
pub trait Clock: Send + Sync {
    /// Monotonic milliseconds since any fixed moment.
    fn now_ms(&self) -> u64;

    /// Unix time in milliseconds.
    fn unix_ms(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the engine's threads have no event loop to bring them the time"
    )]
    fn default() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    #[expect(clippy::disallowed_methods, reason = "expiry compares with the wall-clock time of acceptance")]
    fn unix_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map(|since| since.as_millis() as u64).unwrap_or_default()
    }
}

/// Bounds and intervals. The defaults keep the promise that no byte of a message is on disk a minute after its
/// acknowledgement: a message stays in the journal at most `spill_after_ms` and a few ticks, and a message deleted
/// from SQLite is gone from its write-ahead log `checkpoint_after_ms` later.
#[derive(Clone)]
pub struct Options {
    /// The engine's time.
    pub clock: Arc<dyn Clock>,
    /// The disk that the data directory is on.
    pub disk: Arc<dyn Disk>,
    /// The kinds of records under accounts' keys that are kept here, besides those that every directory has.
    pub own_tables: &'static [Table],
    /// Most messages that wait in one mailbox; more are refused with `MailboxFull`.
    pub max_messages: u32,
    /// Most bytes that wait in one mailbox.
    pub max_bytes: u32,
    /// How much of a mailbox one sender, and all strangers, may have.
    pub shares: Shares,
    /// Most mailboxes of a shard in which single senders are counted, in 1 KiB each; in more, all strangers have one
    /// stranger's share together, and a contact has what all leave of a contact's.
    pub sender_tables: usize,
    /// Bytes of waiting messages held in memory by all shards together; beyond it the oldest move to SQLite early.
    /// Appends are refused as overloaded at twice this.
    pub cache_bytes: usize,
    /// Bytes of one mailbox held in memory; beyond it that mailbox moves to SQLite early.
    pub mailbox_cache_bytes: u32,
    /// A journal segment is closed at this size,
    pub segment_bytes: u64,
    /// or when its first record is this old.
    pub segment_age_ms: u64,
    /// When a closed segment's first record is this old, what is unacknowledged in it moves to SQLite and the
    /// segment is unlinked.
    pub spill_after_ms: u64,
    /// One step of a segment's zero-filled preallocation, and of its removal.
    pub preallocate_bytes: u64,
    /// Appends are refused as full when the disk has less room than this, so that acknowledgements and deletions,
    /// which need a little, still get through.
    pub reserve_bytes: u64,
    /// Strangers' appends are refused as full when it has less room than this, so that contacts' still get through.
    pub contacts_reserve_bytes: u64,
    /// Commits with messages begin at least this long apart, so that batches grow with the load; after a pause the first
    /// message is committed at once. A sync costs the processor as much as several messages.
    pub commit_interval_us: u64,
    /// When nothing follows a frame for this long, a mark does, so that a later look can tell that it was confirmed.
    pub mark_after_ms: u64,
    /// How long the journal rests after a failed write or sync that followed another: at first,
    pub retry_ms: u64,
    /// and at most; each rest is twice the one before.
    pub retry_ms_max: u64,
    /// Acknowledgements alone wait this long for company before they cost a sync.
    pub ack_linger_ms: u64,
    /// Most bytes of one journal frame, that is of one commit. A single larger batch is a frame of its own.
    pub frame_bytes: usize,
    /// Most bytes that a shard holds ready for the journal; beyond it appends are refused as overloaded.
    pub queue_bytes: usize,
    /// Most reads, loads and saves of a shard in flight, each; beyond it they fail as overloaded.
    pub queue_requests: usize,
    /// Most messages moved to SQLite in one transaction of a shard,
    pub slice_messages: usize,
    /// and their bytes.
    pub slice_bytes: usize,
    /// Most bytes of changes that are in the journal and not in SQLite yet; beyond it new ones are refused as overloaded.
    pub overlay_bytes: usize,
    /// What frames have SQLite do waits this long for company, if nobody waits for it.
    pub apply_linger_ms: u64,
    /// Deletions alone wait this long for company before they cost a transaction.
    pub delete_linger_ms: u64,
    /// SQLite's write-ahead log is written back and cut to nothing this long after a transaction.
    pub checkpoint_after_ms: u64,
    /// Messages older than this are deleted unread, and leave a gap.
    pub expire_after_ms: u64,
    /// How often old messages are looked for.
    pub expire_interval_ms: u64,
    /// How often the time is kept with the data: a start that finds less than a day missing takes the wall clock's word.
    pub keep_time_ms: u64,
    /// How often threads look at the clock while something is due later. Nothing runs when nothing is due.
    pub tick_ms: u64,
    /// Threads that read from SQLite.
    pub readers: usize,
    /// `close` stops moving messages from the journal to SQLite after this; the next start goes on with it.
    pub close_within_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
            disk: Arc::new(SystemDisk),
            own_tables: &[],
            max_messages: 10_000,
            max_bytes: 64 << 20,
            shares: Shares::default(),
            sender_tables: 8_192,
            cache_bytes: 512 << 20,
            mailbox_cache_bytes: 4 << 20,
            segment_bytes: 64 << 20,
            segment_age_ms: 15_000,
            spill_after_ms: 30_000,
            preallocate_bytes: 1 << 20,
            reserve_bytes: 32 << 20,
            contacts_reserve_bytes: 256 << 20,
            commit_interval_us: 2_000,
            mark_after_ms: 1_000,
            retry_ms: 100,
            retry_ms_max: 10_000,
            ack_linger_ms: 100,
            frame_bytes: 4 << 20,
            queue_bytes: 16 << 20,
            queue_requests: 16_384,
            slice_messages: 1000,
            slice_bytes: 4 << 20,
            overlay_bytes: 64 << 20,
            apply_linger_ms: 50,
            delete_linger_ms: 200,
            checkpoint_after_ms: 10_000,
            expire_after_ms: 30 * 24 * 3_600_000,
            expire_interval_ms: 3_600_000,
            keep_time_ms: 3_600_000,
            tick_ms: 250,
            readers: 2,
            close_within_ms: 5_000,
        }
    }
}
