//! Events: what has happened to an account, for rooms other than the one in which it happened.
//!
//! A room posts an [`Event`] ([`Outbox::event`](super::turn::Outbox::event)) without knowing which rooms listen. A room that
//! listens has a function `heard` (a [`Listener`](super::turn::Listener)), which `owner/dispatch/rooms.rs` lists. The owner calls
//! the listeners in the order of that list when the posting room has returned, and what they post is sent in the event's place.
//! Pure data.

use crate::account::interests::Interests;
use crate::account::nodes::Node;
use crate::account::roster::{Contact, PresenceDue};
use crate::account::settings::Settings;
use crate::effects::news::News;
use crate::wire::SessionId;
use chaski_xmpp::ElementRef;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) enum Event {
    /// A session has broadcast available presence.
    SessionCame {
        session: SessionId,
        /// The session was not available before.
        is_initial: bool,
        /// The entity capabilities in the presence, if there are any (XEP-0115).
        caps: Option<CapsTag>,
    },
    /// It has become known of which PEP nodes a session wants notifications.
    InterestsKnown {
        session: SessionId,
        /// The interests that the session did not have before.
        gained: Arc<Interests>,
        /// The session has just become available.
        has_come: bool,
    },
    /// A session has become available without entity capabilities.
    CameWithoutCaps(SessionId),
    /// A contact's session without entity capabilities has probed the account, and may see its presence.
    ProbedWithoutCaps {
        contact: Contact,
        /// The full JID of that session.
        asker: Box<str>,
    },
    /// Other settings are in force. Holds the previous ones.
    SettingsChanged(Option<Box<Settings>>),
    /// The account shows another photo, or none any more.
    PhotoChanged,
    /// An item was published or retracted, or a PEP node changed. The node may have been deleted by now.
    NodeChanged(Box<Node>, News),
    /// A bare JID has subscribed to a PEP node explicitly.
    NodeSubscribed { node: Box<str>, bare: Box<str> },
    /// A subscription to the account's presence was granted or has ended.
    SubscriptionChanged {
        contact: Contact,
        due: PresenceDue,
        /// The contact had the subscription before, and is told once more.
        is_repeated: bool,
    },
    /// The account sees the contact's presence from now on; that presence may have come before.
    ContactSeen(Contact),
    /// The contact's item of the roster has changed.
    RosterItemChanged(Contact),
}

/// What a presence says of its client's capabilities (XEP-0115 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CapsTag {
    pub(crate) hash: Option<Box<str>>,
    pub(crate) node: Option<Box<str>>,
    pub(crate) ver: Option<Box<str>>,
}

impl CapsTag {
    /// As the presence has it.
    pub(crate) fn of(c: &ElementRef<'_>) -> Self {
        let attr = |name| c.attr(name).map(|value| Box::from(&*value));
        Self { hash: attr("hash"), node: attr("node"), ver: attr("ver") }
    }
}
