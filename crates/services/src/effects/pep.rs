//! PEP notifications from one account's nodes to another account (XEP-0163 §4.3), and requests for last items.
//!
//! Written and read by the PEP room alone. Nobody waits for them, and nothing is lost for good without them, since a client can
//! always ask for the last item of a node. So they are dropped rather than queued where memory is short.

use crate::account::interests::Interests;
use crate::data::data;
use crate::knobs::knobs;
use chaski_store::AccountId;
use chaski_xmpp::Stored;
use std::sync::Arc;

knobs! {
    /// How many PEP notifications are carried.
    pub struct PepKnobs("pep") {
        /// PEP notifications and requests for last items handled in one turn; beyond: in later ones.
        notifications_per_turn: 128 in 1..=100_000,
        /// How many of these wait for that, per shard; beyond: dropped.
        notifications_waiting: 32_768 in 1..=10_000_000,
    }
}

/// What one account's PEP nodes send to another account, or are asked.
#[derive(Debug)]
pub struct PepNotification(pub(crate) What);

/// The kinds.
#[derive(Debug)]
pub(crate) enum What {
    News(Event),
    Wanted(Wanted),
    /// An account has allowed another one to see its presence, and so its nodes.
    Granted {
        to: AccountId,
        by: Box<str>,
    },
}

impl PepNotification {
    pub(crate) fn event(event: Event) -> Self {
        Self(What::News(event))
    }

    pub(crate) fn wanted(wanted: Wanted) -> Self {
        Self(What::Wanted(wanted))
    }

    /// Whom it is for.
    pub(crate) fn to(&self) -> AccountId {
        match &self.0 {
            What::News(event) => event.to,
            What::Wanted(wanted) => wanted.of,
            What::Granted { to, .. } => *to,
        }
    }

    /// The account on whose behalf it is sent.
    pub(crate) fn asker(&self) -> AccountId {
        match &self.0 {
            What::Wanted(wanted) => wanted.account,
            What::News(_) | What::Granted { .. } => self.to(),
        }
    }

    /// Whether it asks for last items: then an account that is not in memory has to be loaded for the answer.
    pub(crate) fn is_question(&self) -> bool {
        matches!(self.0, What::Wanted(_))
    }
}

/// A notification of one account's node on its way to another account.
#[derive(Debug)]
pub(crate) struct Event {
    /// The account whose sessions get the notification.
    pub(crate) to: AccountId,
    /// Only the session with this resource gets it, whatever its interests.
    pub(crate) resource: Option<Box<str>>,
    /// The node's name.
    pub(crate) node: Arc<str>,
    /// Whether all available sessions get it, not only those interested in the node.
    pub(crate) to_all: bool,
    /// The message, without `to`.
    pub(crate) stanza: Stored,
}

/// A session's request for the last items of another account's nodes.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The other account.
    pub(crate) of: AccountId,
    /// The account of the session that asks,
    pub(crate) account: AccountId,
    /// and the full JID of that session.
    pub(crate) asker: Box<str>,
    pub(crate) interests: Arc<Interests>,
    /// Also the last items of nodes to which the asking account has subscribed explicitly.
    pub(crate) by_name: bool,
}

data!(struct PepNotification(what));
data!(enum What { 0 = News(event), 1 = Wanted(wanted), 2 = Granted { to, by } });
data!(struct Event { to, resource, node, to_all, stanza });
data!(struct Wanted { of, account, asker, interests, by_name });
