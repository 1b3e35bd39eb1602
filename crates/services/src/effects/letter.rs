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

/// What one shard sends to another. All that the edge knows of it is to whom it goes.
pub struct Envelope {
    to: Place,
    /// What keeps the letters of a link in order. `None`: it may be lost, and nothing waits for it or stands behind it.
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

    /// The same once more, as a link may bring it; not all can be.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn copy(&self) -> Option<Self> {
        Some(Self { to: self.to, stamp: self.stamp, letter: self.letter.copy()? })
    }

    /// To whom it goes. Where that is no shard of this run, it is dropped.
    pub fn to(&self) -> Place {
        self.to
    }
}

/// How many lanes a link has.
pub(crate) const LANES: usize = 2;

/// What every letter of a link says besides its contents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// Who has sent it.
    pub(crate) from: Place,
    /// Its number in its lane, from 1; 0 if it has none.
    pub(crate) number: u64,
    /// Up to which number the sender has what came the other way.
    pub(crate) seen: [u64; LANES],
    /// Whether it misses what follows.
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
    /// A presence for accounts of the receiving shard.
    PresenceBroadcast(Box<PresenceBroadcast>),
    /// Accounts of the receiving shard are asked for their presence.
    Probes(Box<Probes>),
    /// Messages of the receiving shard's sessions are settled: durable, acknowledged or refused.
    Settled(Vec<Origin>),
    /// A login asks something of an account of the receiving shard.
    Login(Box<Question>),
    /// The verdict, for a connection of the receiving shard and its question of this number.
    Verdict { conn: ConnId, number: u32, verdict: Box<Verdict> },
    /// News of nodes for an account of the receiving shard, or a wish for its own.
    PepNotification(Box<PepNotification>),
    /// Something is asked of an account of the receiving shard.
    Asked(Box<Asked>),
    /// The answer, for whoever waits under this number.
    Answer { number: u64, outcome: Box<Result<Answer, Refusal>> },
    /// Accounts of the receiving shard are to look how they stand with these numbers.
    Look(Vec<(AccountId, u64)>),
    /// Hints were lost: accounts of the receiving shard are to look at all of their books.
    LookAtAll,
    /// Nothing but how far its sender has what came the other way.
    Seen,
    /// Up to which number its sender has sent in each lane: the receiver may miss some.
    Tally([u64; 2]),
    /// Stands for one that was lost and is not sent again: who waits for it has a time limit, or looks again by itself.
    Gone,
}

/// A stanza on its way to an account.
#[derive(Debug, Clone)]
pub(crate) struct RoutedStanza {
    /// Whose it is.
    pub(crate) to: AccountId,
    /// Whose stanza it is, or on whose behalf a room has posted it. What nobody has asked for is its recipient's own.
    pub(crate) by: AccountId,
    /// The resource, if it goes to a full JID.
    pub(crate) resource: Option<Box<str>>,
    /// The stanza: `from` and `to` are there and in normal form.
    pub(crate) stanza: Stored,
    /// What is to be done with it.
    pub(crate) handling: Handling,
    /// The recipient's other sessions may get copies of it (XEP-0280).
    pub(crate) copied: bool,
    /// It has come while the account was being loaded, and waited for that.
    pub(crate) has_waited: bool,
    /// It is refused as for nobody, and waits for that.
    pub(crate) is_refused: bool,
    /// It is the error that answers this message, which is settled where and when it arrives, and not without it.
    pub(crate) settles: Option<Origin>,
    /// When a client has sent it, Unix time in milliseconds; 0 if none has.
    pub(crate) sent_unix_ms: u64,
}

/// How a routed stanza is to be handled by the recipient's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handling {
    /// A message that is stored until acknowledged, and whose sender waits for its acceptance. `is_heavy`: see [`crate::owner::mailbox::By`].
    Mail { id: MessageId, is_heavy: bool, origin: Option<Origin> },
    /// Anything else that a client sent; a request that fails is answered with an error.
    Relay,
    /// Posted by a room, or an error: never answered with an error.
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

    /// The same on behalf of an account.
    pub(crate) fn sent_by(self, by: AccountId) -> Self {
        Self { by, ..self }
    }

    /// The same that a client has sent at this time, Unix time in milliseconds.
    pub(crate) fn sent_at(self, sent_unix_ms: u64) -> Self {
        Self { sent_unix_ms, ..self }
    }

    /// Whose count waits for its acceptance.
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

    /// Whether it can't be refused: an answer, an error, or presence that would leave the two sides with different ideas (a
    /// subscription's step, somebody's leaving).
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

    /// Whether nobody but sessions of its account has a use for it: presence that is no step of a subscription.
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

/// The sender's count of a stanza (XEP-0198) that is to advance when the stanza is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) place: Place,
    pub(crate) session: SessionId,
    pub(crate) index: StanzaIndex,
}
