//! The one way in which an account's PEP nodes change: by an errand in the account's ledger, which writes the index and the
//! payloads in one transaction.
//!
//! Called by the PEP room, and by rooms whose documents are PEP nodes that clients also reach in other ways: vCards and avatars,
//! private storage, bookmarks. The answer is sent when the change is durable and in force. Then events tell the rooms what was
//! published, who has subscribed, and whether the account shows another photo.

use crate::account::Account;
use crate::account::nodes::ITEMS;
use crate::account::nodes::NODES;
use crate::account::nodes::payloads::payloads;
use crate::account::nodes::{NewItem, Node, Nodes, Write, default_config, document};
use crate::account::photo::photo;
use crate::effects::event::Event;
use crate::effects::iq::Reply;
use crate::effects::news::News;
use crate::effects::turn::Turn;
use crate::effects::turn::errand::{Change, Errand};
use crate::fault::{Fault, not_kept};
use crate::form::Form;
use chaski_store::records::Put;
use chaski_store::{AccountId, Table};
use chaski_xmpp::StanzaCondition;

/// What a change of the nodes leads to, once it is durable.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) writes: Vec<Write>,
    /// The result's payload.
    pub(crate) payload: Vec<u8>,
    /// What has to be announced of which node. The node may have been deleted by then.
    pub(crate) news: Vec<(Node, News)>,
    /// The node and the bare JID that has subscribed to it explicitly: it gets the last item.
    pub(crate) subscribed: Option<(Box<str>, Box<str>)>,
}

impl Outcome {
    /// Adds what follows from another change.
    pub(crate) fn add(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.news.extend(other.news);
    }
}

/// Publishes an item; the outcome holds the notification.
pub(crate) fn publish(
    nodes: &mut Nodes,
    name: &str,
    item: NewItem<'_>,
    options: Option<&Form>,
) -> Result<Outcome, Fault> {
    let writes = nodes.publish(name, item, options, default_config(name))?;
    let node = nodes.get(name).cloned().ok_or(StanzaCondition::ItemNotFound)?;
    let news = News::Published { item: item.id.into(), payload: Some(item.payload.into()) };
    Ok(Outcome { writes, news: vec![(node, news)], ..Outcome::default() })
}

/// Retracts items; the outcome holds the notification.
pub(crate) fn retract(
    nodes: &mut Nodes,
    name: &str,
    ids: Vec<Box<str>>,
    notify: Option<bool>,
) -> Result<Outcome, Fault> {
    let borrowed: Vec<&str> = ids.iter().map(|id| &**id).collect();
    let writes = nodes.retract(name, &borrowed)?;
    let mut node = nodes.get(name).cloned().ok_or(StanzaCondition::ItemNotFound)?;
    // The request can ask for a notification, but it can't suppress one that the node's configuration wants (§7.2.2.1).
    node.config.notify_retract |= notify == Some(true);
    let items = writes.iter().map(|write| write.item.clone()).collect();
    Ok(Outcome { writes, news: vec![(node, News::Retracted { items })], ..Outcome::default() })
}

/// Does something behind the changes of the account that already wait.
pub(crate) fn in_line(
    turn: &mut Turn<'_>,
    reply: Reply,
    then: impl FnOnce(&mut Turn<'_>, &Account, Reply) + Send + 'static,
) {
    turn.outbox.errand(Errand::read(Vec::new(), move |turn, account, found| {
        match found {
            Ok(_) => then(turn, account, reply),
            Err(error) => reply.error(turn.outbox, not_kept(&error)),
        }
        None
    }));
}

/// Changes the account's nodes when its turn comes. The answer and the notifications are sent when the change is durable.
pub(crate) fn change(
    turn: &mut Turn<'_>,
    reply: Reply,
    change: impl FnOnce(&mut Nodes, &Account) -> Result<Outcome, Fault> + Send + 'static,
) {
    change_reading(turn, reply, Vec::new(), |nodes, account, _| change(nodes, account));
}

/// Changes the account's nodes by payloads that are read before; a payload that is gone or damaged is `None`.
pub(crate) fn change_reading(
    turn: &mut Turn<'_>,
    reply: Reply,
    reads: Vec<(Table, String)>,
    change: impl FnOnce(&mut Nodes, &Account, &[Option<String>]) -> Result<Outcome, Fault> + Send + 'static,
) {
    turn.outbox.errand(Errand::change(reads, move |turn, account, found| {
        let read = match found {
            Ok(found) => payloads(&found),
            Err(error) => {
                reply.error(turn.outbox, not_kept(&error));
                return None;
            }
        };
        let mut nodes = account.nodes.as_deref().cloned().unwrap_or_default();
        match change(&mut nodes, account, &read) {
            Ok(outcome) => Some(keep(account, nodes, outcome, reply)),
            Err(fault) => {
                reply.error(turn.outbox, fault);
                None
            }
        }
    }));
}

/// Writes the index and the payloads in one transaction; then the new state holds.
fn keep(account: &Account, nodes: Nodes, outcome: Outcome, reply: Reply) -> Change {
    let Outcome { writes, payload, news, subscribed } = outcome;
    let puts = match account.nodes.as_deref() {
        Some(before) if *before == nodes && writes.is_empty() => Vec::new(),
        _ => puts(account.id, &nodes, writes),
    };
    Change::new(puts, move |turn, account, result| {
        if let Err(error) = result {
            return reply.error(turn.outbox, not_kept(&error));
        }
        let shown = photo(account);
        account.nodes = (!nodes.is_empty()).then(|| Box::new(nodes));
        reply.result(turn.outbox, &payload);
        for (node, news) in news {
            turn.outbox.event(Event::NodeChanged(Box::new(node), news));
        }
        if let Some((node, bare)) = subscribed {
            turn.outbox.event(Event::NodeSubscribed { node, bare });
        }
        if photo(account) != shown {
            turn.outbox.event(Event::PhotoChanged);
        }
    })
}

/// The index and the payloads as writes.
fn puts(account: AccountId, nodes: &Nodes, writes: Vec<Write>) -> Vec<Put> {
    let key = account.record_key();
    let index = Put { table: NODES, key: key.clone(), value: nodes.to_document() };
    let items = writes.into_iter().map(|write| Put {
        table: ITEMS,
        key: document::item_key(&key, &write.node, &write.item),
        value: write.payload.map(|payload| document::payload_document(&payload)),
    });
    std::iter::once(index).chain(items).collect()
}
