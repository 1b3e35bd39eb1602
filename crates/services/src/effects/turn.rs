//! What a room is lent while it handles one input, and what it can ask for: one module, because what is asked for goes on with a turn.
//!
//! A room changes the one [`Account`](crate::account::Account) it is given and says in the [`Outbox`] what is to be sent, read, written,
//! asked of others or told to the other rooms. Its owner carries that out after the room has returned, in order, so no room calls
//! another one and no owner is entered twice.

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
    /// What never changes: domain, limits, admins.
    pub realm: &'a Realm,
    /// Presence is not passed on to contacts for want of memory, but for its end.
    pub sheds_presence: bool,
    /// Monotonic time in milliseconds.
    pub now_ms: u64,
    /// Age time, Unix time in milliseconds. Stamps are made of it and compared with it.
    pub unix_ms: u64,
    /// What is added to a stamp when somebody is shown it.
    pub shown_by_ms: i64,
    /// Randomness.
    pub rng: &'a mut dyn rand::CryptoRng,
    /// The presences that the shard's sessions share.
    pub presences: &'a mut Presences,
    /// What the shard's clients can, by the hash that they announce.
    pub caps: &'a mut Caps,
    /// The language of the stream on which the stanza at hand has come.
    pub lang: Option<&'a str>,
    /// What is under way for the account.
    pub(crate) busy: Busy,
    /// What is counted.
    pub(crate) metrics: &'a RoomMetrics,
    /// Where to put what is to be sent.
    pub outbox: &'a mut Outbox,
}

impl Turn<'_> {
    /// A stamp as it is shown.
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

/// A room that hears what happens to an account.
pub(crate) type Listener = fn(&mut Turn<'_>, &mut Account, &Event);

/// What is under way for the account at hand, as far as rooms refuse more for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Busy {
    /// Errands that wait, the one under way included.
    pub errands: usize,
    /// Too many changes of the roster wait for the disk: no more for now.
    pub roster: bool,
}

/// Errands of an account beyond which strangers' reads are refused, so that the owner's own find room.
const STRANGERS_WAITING_MAX: usize = 16;

impl Busy {
    /// Whether so much waits for the account that others have to come again.
    pub(crate) fn is_too_busy_for_others(self) -> bool {
        self.errands >= STRANGERS_WAITING_MAX
    }
}
