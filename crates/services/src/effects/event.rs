//! What has happened to an account that rooms beside the one which did it may have to know.
//!
//! A room posts an [`Event`] ([`Outbox::event`](super::turn::Outbox::event)) and does not know who hears it; a room that hears events
//! says so by a `Listener` beside its other declarations. The owner calls the listeners (`owner/dispatch`) once the room has returned,
//! in the order in which the rooms are listed, and what they say is sent in the event's place. Pure data.

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
    /// A session has broadcast that it is there, or how.
    SessionCame {
        session: SessionId,
        /// It was not available before.
        is_initial: bool,
        /// What it says of its capabilities, if it does (XEP-0115).
        caps: Option<CapsTag>,
    },
    /// Which nodes a session wants to hear of is known now.
    InterestsKnown {
        session: SessionId,
        /// Those that it has not had before.
        gained: Arc<Interests>,
        /// It has just become available.
        has_come: bool,
    },
    /// A session has become available and says nothing of its interests.
    CameWithoutCaps(SessionId),
    /// A session of a contact's that says nothing of its interests has asked for presence, and may have it.
    ProbedWithoutCaps {
        contact: Contact,
        /// Its full JID.
        asker: Box<str>,
    },
    /// Other settings are in force. Those before.
    SettingsChanged(Option<Box<Settings>>),
    /// The account shows another photo, or none any more.
    PhotoChanged,
    /// Something was published or changed at a node, which may be gone by now.
    NodeChanged(Box<Node>, News),
    /// A bare JID has subscribed to a node by name.
    NodeSubscribed { node: Box<str>, bare: Box<str> },
    /// A subscription to the account's presence was granted or has ended.
    SubscriptionChanged {
        contact: Contact,
        due: PresenceDue,
        /// It was so before, and the contact is told again.
        is_repeated: bool,
    },
    /// The account sees the contact from now on, whose presence may have come before that.
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
