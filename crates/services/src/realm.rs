//! The realm: what is the same for all shards of a running server, such as its domain, which shard owns which account, and its
//! bounds. Also the levels of [`Pressure`], by which the edge tells shards how short of memory the process is.
//!
//! The realm is made by `chaski serve` (or a test) once, shared by all shards, and lent to rooms with each turn.

pub mod relays;
pub mod uploads;

use crate::knobs::Knobs;
use crate::places::{Incarnation, Places};
use chaski_store::Secrets;
use relays::Relays;
use std::sync::Arc;
use uploads::Uploads;

/// How short of memory the process is. Each step gives up what those before it give up, too; none gives up a message
/// that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Pressure {
    /// Nothing is given up.
    #[default]
    None,
    /// Presence is kept, but not passed on to contacts; only that somebody has gone is.
    Presence,
    /// New connections are refused (by the edge).
    Connections,
    /// Mailboxes are not read: backlogs wait.
    Backlog,
    /// New messages are refused with `resource-constraint`.
    Messages,
}

impl Pressure {
    /// What is given up, for the operator.
    pub fn given_up(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Presence => "presence to contacts",
            Self::Connections => "presence to contacts, new connections",
            Self::Backlog => "presence to contacts, new connections, backlogs",
            Self::Messages => "presence to contacts, new connections, backlogs, new messages",
        }
    }
}

/// What is the same for all shards and the whole run. Shared by all shards in an [`Arc`].
#[derive(Debug)]
pub struct Realm {
    /// The domain served, normalised.
    pub domain: Box<str>,
    /// Who owns which accounts.
    pub places: Places,
    /// What salts, tokens, stanza-ids and tickets follow from ([`chaski_store::Engine::secrets`]).
    pub secrets: Secrets,
    /// Bare JIDs of accounts that may use the ad-hoc commands of XEP-0133.
    pub admins: Vec<Box<str>>,
    /// The bounds of the owner.
    pub limits: Limits,
    /// The bounds of whatever declares its own.
    pub knobs: Knobs,
    /// What clients can use for calls; none by default.
    pub relays: Relays,
    /// Where files are uploaded; `None`: nowhere.
    pub uploads: Option<Box<Uploads>>,
    /// When the server was started, Unix time in milliseconds (XEP-0012 of the domain).
    pub started_unix_ms: u64,
    /// The server's version, for XEP-0092.
    pub version: &'static str,
}

impl Realm {
    /// How many shards this process has.
    pub fn shards(&self) -> u16 {
        self.places.shards()
    }

    /// A realm with default limits and no admins.
    pub fn new(domain: &str, shards: u16, secrets: impl Into<Secrets>) -> Arc<Self> {
        Arc::new(Self {
            domain: domain.into(),
            places: Places::of_one_process(Incarnation(1), shards),
            secrets: secrets.into(),
            admins: Vec::new(),
            limits: Limits::default(),
            knobs: Knobs::default(),
            relays: Relays::default(),
            uploads: None,
            started_unix_ms: 0,
            version: env!("CARGO_PKG_VERSION"),
        })
    }
}

/// The owner's bounds, each with its policy in the field's documentation. (Rooms declare theirs as [`crate::knobs`].) A mailbox's own are the store's, which knows
/// what is new and what is sent again.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions of one account, hibernating ones included; beyond: bind is refused.
    pub sessions_per_account: usize,
    /// How long a lost session can be resumed.
    pub resume_ms: u64,
    /// Backlog is sent until this many messages are unacknowledged, then waits for the client.
    pub window_messages: usize,
    /// The same in bytes.
    pub window_bytes: usize,
    /// Live messages are queued for a session up to this many unacknowledged; beyond: it reads them from the
    /// mailbox when it has caught up.
    pub live_messages: usize,
    /// The same in bytes.
    pub live_bytes: usize,
    /// Unacknowledged stanzas other than stored messages, per session; beyond: they are late, and what the client sends is
    /// parked.
    pub queue_stanzas: usize,
    /// The same in bytes. With `live_bytes` it must stay below what the edge lets one connection have unsent: all of
    /// it is sent again at once after a resumption.
    pub queue_bytes: usize,
    /// Stanzas that are late, per session; beyond: presence is dropped, and for anything else the connection is cut.
    pub late_stanzas: usize,
    /// The same in bytes. They are unsent, so a resumption does not send them at once.
    pub late_bytes: usize,
    /// Stanzas of a client that are parked; beyond: its connection is cut, and it sends them again if it resumes.
    pub parked_stanzas: usize,
    /// The same in bytes.
    pub parked_bytes: usize,
    /// Bytes of both for all sessions of a shard; beyond: as beyond those.
    pub late_bytes_shard: usize,
    /// Bytes that a client has not taken: messages wait in the mailbox from here on, and without stream management the
    /// rest is late.
    pub unsent_bytes: usize,
    /// Bytes that a client has not taken: the connection is cut.
    pub unsent_bytes_cut: usize,
    /// A client that has as many unacknowledged stanzas is asked for an acknowledgement at once.
    pub ask_after_stanzas: usize,
    /// The same in bytes of messages.
    pub ask_after_bytes: usize,
    /// A client that was asked within this time is not asked again for fewer: it gets messages in a stream.
    pub ask_every_ms: u64,
    /// Then it is asked together with the first message after that time; if none comes, this long after it was asked last.
    pub ask_alone_ms: u64,
    /// Stanzas other than messages are asked for this long after they were sent, unless messages are before,
    pub remind_ms: u64,
    /// and the first ones of a session after this: then it is idle and keeps nothing.
    pub remind_first_ms: u64,
    /// A client that does not answer `<r/>` for this long is cut.
    pub ack_timeout_ms: u64,
    /// An `<r/>` of the client is answered at the latest after this, even if its messages are not yet durable.
    pub answer_ms: u64,
    /// Stanzas of a client that wait to be durable; beyond: new messages are refused.
    pub held_stanzas: usize,
    /// Stanzas that wait for one account's records.
    pub parked_per_account: usize,
    /// The same in bytes; beyond: refused as overloaded.
    pub parked_bytes_per_account: usize,
    /// Bytes of all stanzas that wait for records, per shard; beyond: refused as overloaded. Logins are not.
    pub parked_bytes_shard: usize,
    /// Accounts without session that are kept in memory, per shard.
    pub idle_accounts: usize,
    /// Records being loaded at the same time, per shard; beyond: refused as temporarily unavailable. Stanzas may fill half of
    /// it, and logins that have not proved who they are seven eighths: there is room for who has.
    pub loading_accounts: usize,
    /// Of these on behalf of one account's stanzas, and four times as many for logins from one network; beyond: they wait. Few:
    /// what is asked of the store stands in one queue, and everybody else's look-ups stand behind these.
    pub loads_per_asker: usize,
    /// Errors that say that nobody is there for a stranger, and wait for the next tick of their shard, so that their time says nothing of
    /// how they came about; beyond: the oldest is told at once. 0: all are.
    pub late_refusals: usize,
    /// Stanzas for strangers that one account may have waiting for its shard's next tick, so that their time says nothing of whom they
    /// are for; beyond: requests are refused, and what is never answered is dropped. 0: none waits.
    pub strangers_waiting: usize,
    /// Bytes of stanzas that wait for that, for each account; beyond: refused as overloaded.
    pub load_waiting_bytes: usize,
    /// The same for all accounts of a shard.
    pub load_waiting_bytes_shard: usize,
    /// Envelopes that another shard did not take and that wait for it, for each; beyond: lost. As many again may be
    /// answers for which somebody waits. An error that settles a message always finds room.
    pub undelivered_envelopes: usize,
    /// Envelopes that are kept for one place until it says that it has them; beyond: messages are refused, presence is dropped
    /// from half of it on, and what must arrive has twice as much.
    pub kept_envelopes: usize,
    /// The same in bytes.
    pub kept_envelope_bytes: usize,
    /// What one account may have its shard do in one turn, in units of about a microsecond ([`crate::budget`]); beyond: its
    /// connections are read in later turns.
    pub work_per_turn: u32,
    /// Sessions that are told in one turn of presence that is for very many; beyond: in later ones. Of who is away, eight times as
    /// many.
    pub told_per_turn: usize,
    /// Of those that wait for that, per shard, a fourth of it for one sender; beyond: dropped, or if it is somebody's end told at once.
    pub told_waiting: usize,
    /// Bytes of what else a sender sends meanwhile, which waits behind it; beyond: refused as overloaded.
    pub told_line_bytes: usize,
    /// Bytes of messages to be stored that one account may send at once; beyond: refused with `resource-constraint`.
    pub stored_burst_bytes: u64,
    /// The same per second for ever. 0: as many as it likes.
    pub stored_bytes_per_s: u64,
    /// Whether that holds for accounts with a name too, which operators make.
    pub services_have_rate: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_per_account: 16,
            resume_ms: 600_000,
            window_messages: 64,
            window_bytes: 128 << 10,
            live_messages: 1_000,
            live_bytes: 384 << 10,
            queue_stanzas: 1_000,
            queue_bytes: 512 << 10,
            late_stanzas: 8_192,
            late_bytes: 2 << 20,
            parked_stanzas: 2_048,
            parked_bytes: 512 << 10,
            late_bytes_shard: 256 << 20,
            unsent_bytes: 256 << 10,
            unsent_bytes_cut: 1 << 20,
            ask_after_stanzas: 16,
            ask_after_bytes: 32 << 10,
            ask_every_ms: 2_000,
            ask_alone_ms: 5_000,
            remind_ms: 60_000,
            remind_first_ms: 4_000,
            ack_timeout_ms: 60_000,
            answer_ms: 2_000,
            held_stanzas: 4_096,
            parked_per_account: 256,
            parked_bytes_per_account: 1 << 20,
            parked_bytes_shard: 64 << 20,
            idle_accounts: 4_096,
            loading_accounts: 4_096,
            loads_per_asker: 8,
            late_refusals: 0,
            strangers_waiting: 0,
            load_waiting_bytes: 1 << 20,
            load_waiting_bytes_shard: 64 << 20,
            undelivered_envelopes: 16_384,
            kept_envelopes: 131_072,
            kept_envelope_bytes: 128 << 20,
            work_per_turn: 256,
            told_per_turn: 128,
            told_waiting: 262_144,
            told_line_bytes: 1 << 20,
            stored_burst_bytes: 64 << 20,
            stored_bytes_per_s: 256 << 10,
            services_have_rate: false,
        }
    }
}
