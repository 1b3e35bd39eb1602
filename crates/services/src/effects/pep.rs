//! What one account's nodes have to say to another account (XEP-0163 §4.3): a notification on its way, or a wish for last items.
//!
//! Written and read by the PEP room alone. Nobody waits for it and nothing is lost for good without it: the last item of a node
//! can always be asked for. So it is dropped rather than queued where memory is short.

use crate::account::interests::Interests;
use crate::data::data;
use crate::knobs::knobs;
use chaski_store::AccountId;
use chaski_xmpp::Stored;
use std::sync::Arc;

knobs! {
    /// How many PEP notifications are carried.
    pub struct PepKnobs("pep") {
        /// News of nodes and questions for last items that are carried in one turn; beyond: in later ones.
        notifications_per_turn: 128 in 1..=100_000,
        /// Of those, what waits for that, per shard; beyond: dropped.
        notifications_waiting: 32_768 in 1..=10_000_000,
    }
}

/// What one account's nodes have to say to another account.
#[derive(Debug)]
pub struct PepNotification(pub(crate) What);

/// The kinds.
#[derive(Debug)]
pub(crate) enum What {
    News(Event),
    Wanted(Wanted),
    /// A bare JID has let the account see its presence.
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

    /// On whose behalf it is.
    pub(crate) fn asker(&self) -> AccountId {
        match &self.0 {
            What::Wanted(wanted) => wanted.account,
            What::News(_) | What::Granted { .. } => self.to(),
        }
    }

    /// Whether it asks for something: then an account that is not in memory has an answer, too.
    pub(crate) fn is_question(&self) -> bool {
        matches!(self.0, What::Wanted(_))
    }
}

/// News of one account's node on its way to another account.
#[derive(Debug)]
pub(crate) struct Event {
    /// Whose sessions get it.
    pub(crate) to: AccountId,
    /// One of them alone, whatever it is interested in.
    pub(crate) resource: Option<Box<str>>,
    /// At which node.
    pub(crate) node: Arc<str>,
    /// Whether it goes to all available sessions, not only to those interested in the node.
    pub(crate) to_all: bool,
    /// The message, without `to`.
    pub(crate) stanza: Stored,
}

/// A session's wish for the last items of another account's nodes.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Whose.
    pub(crate) of: AccountId,
    /// The session's account,
    pub(crate) account: AccountId,
    /// and its full JID.
    pub(crate) asker: Box<str>,
    pub(crate) interests: Arc<Interests>,
    /// Those to which it has subscribed by name, too.
    pub(crate) by_name: bool,
}

data!(struct PepNotification(what));
data!(enum What { 0 = News(event), 1 = Wanted(wanted), 2 = Granted { to, by } });
data!(struct Event { to, resource, node, to_all, stanza });
data!(struct Wanted { of, account, asker, interests, by_name });
