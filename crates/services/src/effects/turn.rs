//! What a room is lent while it handles one input, and what it can ask for. Both are in one module, because a continuation gets a
//! turn again.
//!
//! A room changes the one [`Account`](crate::account::Account) that it is given, and puts into the [`Outbox`] what is to be sent,
//! read, written, asked of other accounts, or told to other rooms. The owner carries that out, in order, when the room has
//! returned. So no room calls another one, and the owner is never entered twice.

pub mod command;
pub mod contact_sync;
pub mod errand;
pub mod media_index;
pub mod outbox;

use super::event::Event;
use crate::account::Account;
use crate::account::caps::Caps;
use crate::account::presence::Presences;
use crate::account::roster::{Contact, Kind as SubscriptionKind};
use crate::metrics::RoomMetrics;
use crate::realm::Realm;
use chaski_xmpp::{Header, Kind, write};
pub use outbox::{Outbox, Post};

/// What a room may look at and use while it handles one stanza.
pub struct Turn<'a> {
    /// What never changes while the server runs: domain, limits, admins.
    pub realm: &'a Realm,
    /// Memory is short: presence for contacts is dropped, except `unavailable`.
    pub sheds_presence: bool,
    /// Monotonic time in milliseconds.
    pub now_ms: u64,
    /// Age time, in milliseconds of Unix time. Stamps are taken from it and compared with it.
    pub unix_ms: u64,
    /// The difference between age time and the time that people are shown.
    pub shown_by_ms: i64,
    /// Randomness.
    pub rng: &'a mut dyn rand::CryptoRng,
    /// The presences that the shard's sessions share.
    pub presences: &'a mut Presences,
    /// The capabilities of the shard's clients, by the hash that they announce.
    pub caps: &'a mut Caps,
    /// The language of the stream on which the stanza at hand has come.
    pub lang: Option<&'a str>,
    /// The changes of the account that are under way, for limits.
    pub(crate) busy: Busy,
    /// The metrics that rooms declare.
    pub(crate) metrics: &'a RoomMetrics,
    /// Takes what is to be sent.
    pub outbox: &'a mut Outbox,
}

impl Turn<'_> {
    /// Turns a stamp into the time that people are shown.
    pub fn shown(&self, unix_ms: u64) -> u64 {
        unix_ms.saturating_add_signed(self.shown_by_ms)
    }
}

impl Turn<'_> {
    /// Sends a subscription stanza to the contact in the account's name (RFC 6121 §3).
    pub(crate) fn tell(&mut self, account: &Account, contact: &Contact, kind: SubscriptionKind) {
        let Some(target) = contact.account(&self.realm.domain) else { return };
        let to = contact.jid(&self.realm.domain);
        let header = Header {
            from: Some(&account.bare),
            to: Some(&to),
            type_attr: Some(kind.as_str()),
            ..Header::default()
        };
        let mut out = Vec::with_capacity(128);
        write::stanza(&mut out, Kind::Presence, &header, b"");
        self.outbox.to_account(target, out);
    }
}

/// A room's handler of events.
pub(crate) type Listener = fn(&mut Turn<'_>, &mut Account, &Event);

/// How much is under way for the account at hand, so that rooms refuse more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Busy {
    /// Errands that wait or are under way.
    pub errands: usize,
    /// Too many changes of the roster wait for the disk: rooms refuse more for now.
    pub roster: bool,
}

/// With so many errands of an account, reads for other accounts are refused, so that the owner's own find room.
const STRANGERS_WAITING_MAX: usize = 16;

impl Busy {
    /// Whether requests of other accounts have to be refused because too much waits for this account.
    pub(crate) fn is_too_busy_for_others(self) -> bool {
        self.errands >= STRANGERS_WAITING_MAX
    }
}
