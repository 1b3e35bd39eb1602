//! Personal eventing (XEP-0163): what an account publishes on its own bare JID, and who hears of it.
//!
//! Owns the index in [`chaski_store::Table::Nodes`], which is in memory with the account ([`Nodes`]); payloads stand in
//! [`chaski_store::Table::Items`] and are read when they are asked for. Called by [`crate::iq`] with requests in the
//! namespaces of XEP-0060, by the router with news of other accounts, by `caps` when a session's interests become known.
//! Promises: an answer and a notification follow what is durable; nobody sees a node that its access model or the
//! owner's privacy hides ([`visible`]); all of an account's nodes are bounded ([`state`]), and one publication is at
//! most one stanza for each contact.

mod config;
mod document;
mod event;
mod fault;
mod last;
mod notify;
mod other;
mod owner;
mod request;
mod retrieve;
mod state;
mod visible;

pub(crate) use config::{Access, Config};
pub(crate) use document::read_payload;
#[cfg(test)]
pub(crate) use event::News;
pub(crate) use fault::{BUSY, Fault, fault, not_kept};
pub(crate) use last::{came_without_caps, interested, probed_without_caps};
pub(crate) use owner::{Outcome, change, change_reading, in_line, publish, retract};
pub(crate) use request::standalone;
pub(crate) use retrieve::{ANSWER_BYTES_MAX, Payload, Selection, payload};
pub(crate) use state::NewItem;
pub use state::Nodes;
pub(crate) use visible::{Viewer, is_busy, shows_photo, shows_text};

use crate::data::data;
use crate::directory::Account;
use crate::iq::{Asker, Door, Scope, Xep};
use crate::outbox::Turn;
use chaski_store::AccountId;
use chaski_xmpp::ns;
use last::Wanted;
use notify::Event;
use state::Node;
use visible::may_see;

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

impl Nodes {
    /// What of it is shown to others at all: a profile without what its owner keeps for themselves, bookmarks say.
    pub(crate) fn shown(&self) -> Self {
        let shown = self.list.iter().filter(|node| visible::is_shown(node));
        Self { list: shown.map(|node| Node { subscribers: Vec::new(), ..node.clone() }).collect() }
    }

    /// The keys of everything that the account's nodes have in [`chaski_store::Table::Items`].
    pub(crate) fn item_keys(&self, record_key: &str) -> Vec<String> {
        let mut keys = Vec::new();
        for node in &self.list {
            let stored = node.items.iter().filter(|item| item.stored);
            keys.extend(stored.map(|item| document::item_key(record_key, &node.name, &item.id)));
        }
        keys
    }
}

/// What one account's nodes have to say to another account. Opaque but to this room.
#[derive(Debug)]
pub struct Tiding(What);

#[derive(Debug)]
enum What {
    News(Event),
    Wanted(Wanted),
    /// A bare JID has let the account see its presence.
    Granted {
        to: AccountId,
        by: Box<str>,
    },
}

impl Tiding {
    fn event(event: Event) -> Self {
        Self(What::News(event))
    }

    fn wanted(wanted: Wanted) -> Self {
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

/// A tiding has come to its account.
pub(crate) fn told(turn: &mut Turn<'_>, account: &Account, tiding: &Tiding) {
    match &tiding.0 {
        What::News(event) => notify::arrived(turn, account, event),
        What::Wanted(wanted) => last::wanted(turn, account, wanted),
        What::Granted { by, .. } => last::granted(turn, account, by),
    }
}

/// Another account may see the presence of this one from now on: it will ask for what its sessions want to know. Called with
/// its first presence.
pub(crate) fn grant(turn: &mut Turn<'_>, account: &Account, to: AccountId) {
    if account.nodes.is_some() {
        turn.outbox.tiding(Tiding(What::Granted { to, by: account.bare.clone() }));
    }
}

/// The nodes that somebody may see: the owner (`None`) or another account.
pub(crate) fn visible<'a>(account: &'a Account, asker: Option<&'a Asker>) -> impl Iterator<Item = &'a str> {
    let nodes = account.nodes.as_deref().into_iter().flat_map(Nodes::iter);
    let seen = move |node: &&state::Node| {
        asker.is_none_or(|asker| may_see(account, Viewer::asking(asker), &node.name, &node.config))
    };
    nodes.filter(seen).map(|node| &*node.name)
}

/// Whether this node is among them.
pub(crate) fn is_visible(account: &Account, asker: Option<&Asker>, node: &str) -> bool {
    visible(account, asker).any(|name| name == node)
}

/// The ids of a node's items, newest first.
pub(crate) fn item_ids<'a>(account: &'a Account, node: &str) -> impl Iterator<Item = &'a str> {
    let node = account.nodes.as_deref().and_then(|nodes| nodes.get(node));
    node.into_iter().flat_map(|node| node.items.iter().rev()).map(|item| &*item.id)
}

data!(struct Tiding(what));
data!(enum What { 0 = News(event), 1 = Wanted(wanted), 2 = Granted { to, by } });
