//! What one shard sends to another: data, in the form that a link between processes will carry.

mod form;

pub use crate::data::Malformed;

use super::login::{Question, Verdict};
use super::pep::PepNotification;
use super::presence::{PresenceBroadcast, Probes};
use super::turn::command::reply::Answer;
use super::turn::command::{Asked, Refusal};
use crate::places::Place;
use crate::wire::{ConnId, SessionId};
use chaski_store::{AccountId, MessageId};
use chaski_xmpp::sm::StanzaIndex;
use chaski_xmpp::stanza::{IqType, PresenceType};
use chaski_xmpp::{Kind, Stored};

/// What one shard sends to another. The edge looks only at its destination.
pub struct Envelope {
    to: Place,
    /// Keeps the letters of a link in order. `None`: the letter may be lost; nothing waits for it or behind it.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) letter: Letter,
}

impl Envelope {
    pub(crate) fn new(to: Place, letter: Letter) -> Self {
        Self { to, stamp: None, letter }
    }

    pub(crate) fn stamped(to: Place, stamp: Stamp, letter: Letter) -> Self {
        Self { to, stamp: Some(stamp), letter }
    }

    /// A copy, as a link may deliver one twice. Some letters can't be copied.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn copy(&self) -> Option<Self> {
        Some(Self { to: self.to, stamp: self.stamp, letter: self.letter.copy()? })
    }

    /// The destination. If it is no shard of this run, the envelope is dropped.
    pub fn to(&self) -> Place {
        self.to
    }
}

/// How many lanes a link has.
pub(crate) const LANES: usize = 2;

/// What each letter on a link carries in addition to its contents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// The place that has sent the letter.
    pub(crate) from: Place,
    /// The letter's number in its lane, from 1; 0: it has none.
    pub(crate) number: u64,
    /// For each lane of the other direction: up to which number the sender has all letters.
    pub(crate) seen: [u64; LANES],
    /// For each lane of the other direction: whether the sender misses the letters after that number.
    pub(crate) wants: [bool; LANES],
}

impl Stamp {
    #[cfg(test)]
    pub(crate) fn new(from: Place, number: u64, seen: [u64; LANES], wants: [bool; LANES]) -> Self {
        Self { from, number, seen, wants }
    }

    /// Who has sent it.
    pub(crate) fn from(&self) -> Place {
        self.from
    }
}

/// The contents of an [`Envelope`].
pub(crate) enum Letter {
    /// A stanza for an account of the receiving shard.
    RoutedStanza(Box<RoutedStanza>),
    /// A presence broadcast for accounts of the receiving shard.
    PresenceBroadcast(Box<PresenceBroadcast>),
    /// Presence probes to accounts of the receiving shard.
    Probes(Box<Probes>),
    /// Messages of the receiving shard's sessions that were durably stored, acknowledged or refused.
    Settled(Vec<Origin>),
    /// A login's request to an account of the receiving shard.
    Login(Box<Question>),
    /// The answer to that, for the request of this number of a connection of the receiving shard.
    Verdict { conn: ConnId, number: u32, verdict: Box<Verdict> },
    /// A PEP notification for an account of the receiving shard, or a request for the last items of its nodes.
    PepNotification(Box<PepNotification>),
    /// A command for an account of the receiving shard.
    Asked(Box<Asked>),
    /// The answer to the command of this number, which the receiving shard has sent.
    Answer { number: u64, outcome: Box<Result<Answer, Refusal>> },
    /// Accounts of the receiving shard are to look whether these numbers are in their phone books and have accounts.
    Look(Vec<(AccountId, u64)>),
    /// Hints were lost: all accounts in memory of the receiving shard are to look at their whole phone books.
    LookAtAll,
    /// Nothing but the acknowledgement in the stamp.
    Seen,
    /// Up to which number the sender has sent letters in each lane: the receiver may miss some.
    Tally([u64; 2]),
    /// Stands for a letter that was lost and is never sent again: whatever waits for that has a time limit, or looks again by
    /// itself.
    Gone,
}

/// A stanza on its way to an account.
#[derive(Debug, Clone)]
pub(crate) struct RoutedStanza {
    /// The recipient's account.
    pub(crate) to: AccountId,
    /// The account that has sent the stanza, or on whose behalf a room has posted it. For what no account has caused: the
    /// recipient.
    pub(crate) by: AccountId,
    /// The resource, if it goes to a full JID.
    pub(crate) resource: Option<Box<str>>,
    /// The stanza: `from` and `to` are there and in normal form.
    pub(crate) stanza: Stored,
    /// How the recipient's owner handles it.
    pub(crate) handling: Handling,
    /// The recipient's other sessions may get copies of it (XEP-0280).
    pub(crate) copied: bool,
    /// The stanza came while the account was being loaded, and has waited for that.
    pub(crate) has_waited: bool,
    /// The stanza is to be refused as for a number without an account, and waits for that.
    pub(crate) is_refused: bool,
    /// This stanza is the error for a message of this origin: the message counts as settled when the error arrives, and not
    /// before.
    pub(crate) settles: Option<Origin>,
    /// When a client has sent it, in milliseconds of Unix time; 0: the server has written it.
    pub(crate) sent_unix_ms: u64,
}

/// How a routed stanza is to be handled by the recipient's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handling {
    /// A message that is stored until acknowledged, and whose sender waits for its acceptance. `is_heavy`: see
    /// [`crate::owner::mailbox::By`].
    Mail { id: MessageId, is_heavy: bool, origin: Option<Origin> },
    /// Any other stanza of a client. A request that fails is answered with an error.
    Relay,
    /// Posted by a room, or an error: it is never answered with an error.
    Quiet,
}

impl RoutedStanza {
    /// A routed stanza of a stanza.
    pub(crate) fn new(to: AccountId, resource: Option<Box<str>>, stanza: Stored, handling: Handling) -> Self {
        Self {
            to,
            by: to,
            resource,
            stanza,
            handling,
            copied: false,
            has_waited: false,
            is_refused: false,
            settles: None,
            sent_unix_ms: 0,
        }
    }

    /// This routed stanza, sent on behalf of an account.
    pub(crate) fn sent_by(self, by: AccountId) -> Self {
        Self { by, ..self }
    }

    /// This routed stanza, with the time when a client has sent it, in milliseconds of Unix time.
    pub(crate) fn sent_at(self, sent_unix_ms: u64) -> Self {
        Self { sent_unix_ms, ..self }
    }

    /// The session that waits for this message's acceptance, if one does.
    pub(crate) fn origin(&self) -> Option<Origin> {
        match self.handling {
            Handling::Mail { origin, .. } => origin,
            Handling::Relay | Handling::Quiet => None,
        }
    }

    /// The kind of stanza.
    pub(crate) fn kind(&self) -> Kind {
        self.stanza.kind()
    }

    /// Whether it can't be refused: an answer, an error, or presence whose loss would leave the two sides with different states
    /// (a step of a subscription, `unavailable`).
    pub(crate) fn must_arrive(&self) -> bool {
        match self.kind() {
            Kind::Message => self.handling == Handling::Quiet,
            Kind::Iq if self.handling == Handling::Quiet => true,
            Kind::Iq => matches!(self.stanza.iq_type(), Some(IqType::Result | IqType::Error)),
            Kind::Presence => !matches!(
                self.stanza.presence_type(),
                Some(PresenceType::Available | PresenceType::Probe) | None
            ),
            Kind::Nonza => false,
        }
    }

    /// Whether only sessions of the recipient have a use for it: it is presence and no step of a subscription.
    pub(crate) fn is_for_sessions_only(&self) -> bool {
        if self.kind() != Kind::Presence {
            return false;
        }
        self.stanza.presence_type().is_none_or(|kind| {
            matches!(
                kind,
                PresenceType::Available
                    | PresenceType::Unavailable
                    | PresenceType::Probe
                    | PresenceType::Error
            )
        })
    }
}

/// The session that has sent a stanza, and the stanza's number in its stream management (XEP-0198). The session's count may
/// advance past the stanza when that is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) place: Place,
    pub(crate) session: SessionId,
    pub(crate) index: StanzaIndex,
}
