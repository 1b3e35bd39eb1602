//! Personal eventing (PEP, XEP-0163): what an account publishes at its own bare JID, and who is notified.
//!
//! Owns the index in `NODES`, which is in memory with the account ([`Nodes`]). Payloads are in
//! `ITEMS`, and are read when they are asked for. Called by [`crate::owner::dispatch`] with requests in
//! the namespaces of XEP-0060 and with events, such as that a session's interests are known, and by `owner/pep_notifications`
//! with notifications of other accounts. Promises: answers and notifications are sent for what is durable; nobody sees a node
//! that its access model or the owner's privacy settings hide ([`visible`]); all nodes of an account are bounded
//! ([`crate::account::nodes`]); one publication causes at most one stanza for each contact.

mod event;
mod last;
mod notifications;
mod other;
mod owner;
mod request;
mod retrieve;

use crate::account::Account;
use crate::account::nodes::{Node, Nodes};
use crate::account::roster::PresenceDue;
use crate::account::viewer::may_see;
use crate::effects::event::Event;
use crate::effects::iq::{Asker, Door, Scope, Xep};
use crate::effects::pep::{PepNotification, What};
use crate::effects::turn::Turn;
use chaski_store::AccountId;
use chaski_xmpp::{JidRef, ns};

/// Requests that this room answers.
pub(crate) const DOORS: &[Door] = &[
    Door { ns: ns::PUBSUB, owner: Some(owner::asked), other: Some(other::asked), domain: None },
    Door { ns: ns::PUBSUB_OWNER, owner: Some(owner::asked), other: Some(other::asked), domain: None },
];

macro_rules! features {
    ($($name:literal)*) => { &[
        (Scope::Account, ns::PUBSUB),
        $((Scope::Account, concat!("http://jabber.org/protocol/pubsub#", $name)),)*
    ] };
}

/// What this room implements.
pub const SPEC: &[Xep] = &[
    Xep::new(
        60,
        "1.30.0",
        "Publish-Subscribe",
        features! {
            "access-open" "access-presence" "access-whitelist" "auto-create" "auto-subscribe" "config-node"
            "config-node-max" "create-and-configure" "create-nodes" "delete-items" "delete-nodes"
            "filtered-notifications" "item-ids" "last-published" "multi-items" "owner" "persistent-items"
            "presence-notifications" "presence-subscribe" "publish" "publish-options" "purge-nodes" "retract-items"
            "retrieve-affiliations" "retrieve-default" "retrieve-items" "retrieve-subscriptions" "subscribe"
        },
    )
    .lacking("all but personal nodes; access models authorize and roster, other owners, collections, several items at once"),
    Xep::new(163, "1.2.2", "Personal Eventing Protocol", &[])
        .lacking("access models authorize and roster, and others on a whitelist"),
    Xep::new(222, "1.0.1", "Persistent Storage of Public Data via PubSub", &[]),
    Xep::new(223, "1.1.1", "Persistent Storage of Private Data via PubSub", &[]),
];

/// A PEP notification has arrived at its recipient.
pub(crate) fn told(turn: &mut Turn<'_>, account: &Account, pep_notification: &PepNotification) {
    match &pep_notification.0 {
        What::News(event) => notifications::arrived(turn, account, event),
        What::Wanted(wanted) => last::wanted(turn, account, wanted),
        What::Granted { by, .. } => last::granted(turn, account, by),
    }
}

/// Handles events of other rooms that concern the subscribers of nodes, or change who they are.
pub(crate) fn heard(turn: &mut Turn<'_>, account: &mut Account, event: &Event) {
    match event {
        Event::NodeChanged(node, news) => notifications::notify(turn, account, node, news),
        Event::NodeSubscribed { node, bare } => last::subscribed(turn, account, node, bare),
        Event::InterestsKnown { session, gained, has_come } => {
            last::interested(turn, account, *session, gained, *has_come);
        }
        Event::CameWithoutCaps(session) => last::came_without_caps(turn, account, *session),
        Event::ProbedWithoutCaps { contact, asker } => {
            last::probed_without_caps(turn, account, contact, JidRef::split(asker));
        }
        Event::SubscriptionChanged { contact, due: PresenceDue::Current, is_repeated: false } => {
            if let Some(to) = contact.account(&turn.realm.domain) {
                grant(turn, account, to);
            }
        }
        _ => {}
    }
}

/// Another account may see this account's presence from now on: invites it to ask for the last items that its sessions are
/// interested in. Called with the first presence that it gets.
fn grant(turn: &mut Turn<'_>, account: &Account, to: AccountId) {
    if account.nodes.is_some() {
        turn.outbox.pep_notification(PepNotification(What::Granted { to, by: account.bare.clone() }));
    }
}

/// The nodes that the owner (`None`) or another account may see.
pub(crate) fn visible<'a>(account: &'a Account, asker: Option<&'a Asker>) -> impl Iterator<Item = &'a str> {
    let nodes = account.nodes.as_deref().into_iter().flat_map(Nodes::iter);
    let seen = move |node: &&Node| {
        asker.is_none_or(|asker| may_see(account, asker.viewer(), &node.name, &node.config))
    };
    nodes.filter(seen).map(|node| &*node.name)
}

/// Whether the owner (`None`) or another account may see this node.
pub(crate) fn is_visible(account: &Account, asker: Option<&Asker>, node: &str) -> bool {
    visible(account, asker).any(|name| name == node)
}

/// The ids of a node's items, newest first.
pub(crate) fn item_ids<'a>(account: &'a Account, node: &str) -> impl Iterator<Item = &'a str> {
    let node = account.nodes.as_deref().and_then(|nodes| nodes.get(node));
    node.into_iter().flat_map(|node| node.items.iter().rev()).map(|item| &*item.id)
}
