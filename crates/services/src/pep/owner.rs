//! Requests of the owner: everything about its own nodes.
//!
//! Reading goes in line with writing, so that who has published reads what it has published.

use super::event::{self, News};
use super::fault::{Fault, not_kept};
use super::notify::notify;
use super::request::Ask;
use super::retrieve::payloads;
use super::state::{NewItem, Node, Nodes, Write};
use super::visible::default_config;
use super::{document, last, retrieve};
use crate::commands::form::Form;
use crate::directory::Account;
use crate::errand::{Change, Errand};
use crate::iq::{Reply, Request};
use crate::outbox::Turn;
use crate::wire::SessionId;
use crate::{presence, profile};
use chaski_store::records::Put;
use chaski_store::{AccountId, Table};
use chaski_xmpp::{JidRef, StanzaCondition};

/// What a change of the nodes leads to, once it is durable.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) writes: Vec<Write>,
    /// The result's payload.
    pub(crate) payload: Vec<u8>,
    /// What is told of which node, which may be gone by then.
    pub(crate) news: Vec<(Node, News)>,
    /// Who has subscribed to which node by name: it gets the last item.
    pub(crate) subscribed: Option<(Box<str>, Box<str>)>,
}

impl Outcome {
    /// With what follows from another change.
    pub(crate) fn add(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.news.extend(other.news);
    }
}

/// An account's own session asks.
pub(super) fn asked(
    turn: &mut Turn<'_>,
    _account: &mut Account,
    _session: SessionId,
    request: &Request<'_>,
    reply: Reply,
) {
    match Ask::read(request) {
        Ok(ask) => answer(turn, ask, reply),
        Err(fault) => reply.error(turn.outbox, fault),
    }
}

fn answer(turn: &mut Turn<'_>, ask: Ask, reply: Reply) {
    match ask {
        Ask::Publish { node, item, payload, options } => {
            let item = match profile::check(&node, item.as_deref(), &payload) {
                Ok(checked) => checked.or(item).unwrap_or_else(|| made_up(turn)),
                Err(fault) => return reply.error(turn.outbox, fault),
            };
            let now_unix_ms = turn.unix_ms;
            change(turn, reply, move |nodes, _| {
                publish(nodes, &node, NewItem { id: &item, payload: &payload, now_unix_ms }, options.as_ref())
            });
        }
        Ask::Retract { node, ids, notify } => {
            change(turn, reply, move |nodes, _| retract(nodes, &node, ids, notify))
        }
        Ask::Create { node, form } => {
            let made_up = node.is_none().then(|| made_up(turn));
            change(turn, reply, move |nodes, _| {
                create(nodes, node.as_deref(), made_up.as_deref(), form.as_ref())
            });
        }
        Ask::Configure { node, form: Some(form) } => {
            change(turn, reply, move |nodes, _| {
                told(nodes, &node, News::Configured, |nodes| nodes.configure(&node, &form))
            });
        }
        Ask::Purge { node } => {
            change(turn, reply, move |nodes, _| told(nodes, &node, News::Purged, |nodes| nodes.purge(&node)));
        }
        Ask::Delete { node } => {
            change(turn, reply, move |nodes, _| {
                told(nodes, &node, News::Deleted, |nodes| nodes.delete(&node))
            });
        }
        Ask::Subscribe { node, jid } => {
            change(turn, reply, move |nodes, account| subscribe(nodes, account, &node, &jid, true));
        }
        Ask::Unsubscribe { node, jid } => {
            change(turn, reply, move |nodes, account| subscribe(nodes, account, &node, &jid, false));
        }
        Ask::Configure { form: None, .. } => reply.result(turn.outbox, b""),
        other => in_line(turn, reply, move |turn, account, reply| look(turn, account, other, reply)),
    }
}

/// Questions, once what was written before them is durable.
fn look(turn: &mut Turn<'_>, account: &Account, ask: Ask, reply: Reply) {
    let empty = Nodes::default();
    let nodes = account.nodes.as_deref().unwrap_or(&empty);
    if let Ask::Items { node, ids, most } = &ask {
        return match nodes.get(node) {
            Some(node) => retrieve::answer(turn, account, reply, node, ids, *most),
            None => reply.error(turn.outbox, StanzaCondition::ItemNotFound),
        };
    }
    match shown(nodes, &account.bare, &ask) {
        Ok(payload) => reply.result(turn.outbox, &payload),
        Err(fault) => reply.error(turn.outbox, fault),
    }
}

fn shown(nodes: &Nodes, bare: &str, ask: &Ask) -> Result<Vec<u8>, Fault> {
    let existing = |node: &str| nodes.get(node).ok_or(StanzaCondition::ItemNotFound);
    Ok(match ask {
        Ask::Default => event::configuration(None, &default_config("")),
        Ask::Config { node } => event::configuration(Some(node), &existing(node)?.config),
        Ask::Subscribers { node } => {
            let list: Vec<_> = existing(node)?.subscribers.iter().map(|jid| (&**node, &**jid)).collect();
            event::subscriptions(Some(node), &list)
        }
        Ask::Subscriptions { node } => {
            event::subscriptions(None, &subscriptions_of(nodes, node.as_deref(), bare))
        }
        Ask::Affiliations { node } => {
            let names = nodes.iter().map(|found| &*found.name);
            let names: Vec<_> =
                names.filter(|name| node.as_deref().is_none_or(|node| node == *name)).collect();
            event::affiliations(&names)
        }
        Ask::Roles { node } => {
            existing(node)?;
            event::roles(node, bare)
        }
        _ => return Err(StanzaCondition::FeatureNotImplemented.into()),
    })
}

/// The nodes to which this bare JID has subscribed by name.
pub(super) fn subscriptions_of<'n>(
    nodes: &'n Nodes,
    of: Option<&str>,
    bare: &'n str,
) -> Vec<(&'n str, &'n str)> {
    let subscribed =
        nodes.iter().filter(|node| of.is_none_or(|of| *node.name == *of) && node.is_subscribed(bare));
    subscribed.map(|node| (&*node.name, bare)).collect()
}

/// Publishes, and says what is told of it.
pub(crate) fn publish(
    nodes: &mut Nodes,
    name: &str,
    item: NewItem<'_>,
    options: Option<&Form>,
) -> Result<Outcome, Fault> {
    let writes = nodes.publish(name, item, options, default_config(name))?;
    let node = nodes.get(name).cloned().ok_or(StanzaCondition::ItemNotFound)?;
    let news = News::Published { item: item.id.into(), payload: Some(item.payload.into()) };
    let (payload, news) = (event::published(name, item.id), vec![(node, news)]);
    Ok(Outcome { writes, payload, news, ..Outcome::default() })
}

/// Retracts, and says what is told of it.
pub(crate) fn retract(
    nodes: &mut Nodes,
    name: &str,
    ids: Vec<Box<str>>,
    notify: Option<bool>,
) -> Result<Outcome, Fault> {
    let borrowed: Vec<&str> = ids.iter().map(|id| &**id).collect();
    let writes = nodes.retract(name, &borrowed)?;
    let mut node = nodes.get(name).cloned().ok_or(StanzaCondition::ItemNotFound)?;
    // The one who retracts can ask for the notification, but not forbid the owner's own wish (§7.2.2.1).
    node.config.notify_retract |= notify == Some(true);
    let items = writes.iter().map(|write| write.item.clone()).collect();
    Ok(Outcome { writes, news: vec![(node, News::Retracted { items })], ..Outcome::default() })
}

fn create(
    nodes: &mut Nodes,
    name: Option<&str>,
    made_up: Option<&str>,
    form: Option<&Form>,
) -> Result<Outcome, Fault> {
    let node = name.or(made_up).unwrap_or_default();
    nodes.create(node, default_config(node), form)?;
    let payload = made_up.map(event::created).unwrap_or_default();
    Ok(Outcome { payload, ..Outcome::default() })
}

/// A change of a whole node, of which those are told who knew it as it was.
fn told(
    nodes: &mut Nodes,
    name: &str,
    news: News,
    change: impl FnOnce(&mut Nodes) -> Result<Vec<Write>, super::state::Refused>,
) -> Result<Outcome, Fault> {
    let before = nodes.get(name).cloned();
    let writes = change(nodes)?;
    let news = nodes.get(name).cloned().or(before).map(|node| (node, news));
    Ok(Outcome { writes, news: news.into_iter().collect(), ..Outcome::default() })
}

/// The owner subscribes itself by name, or takes that back.
fn subscribe(
    nodes: &mut Nodes,
    account: &Account,
    node: &str,
    jid: &str,
    on: bool,
) -> Result<Outcome, Fault> {
    if JidRef::split(jid).to_bare().to_string() != *account.bare {
        return Err(super::fault::fault(StanzaCondition::BadRequest, "invalid-jid"));
    }
    subscribe_as(nodes, node, &account.bare, jid, on)
}

/// A bare JID subscribes, or takes that back.
pub(super) fn subscribe_as(
    nodes: &mut Nodes,
    node: &str,
    bare: &str,
    jid: &str,
    on: bool,
) -> Result<Outcome, Fault> {
    // Who has subscribed before has had the last item.
    let is_new = on && nodes.subscribe(node, bare)?;
    if !on && !nodes.unsubscribe(node, bare)? {
        return Err(super::fault::fault(StanzaCondition::UnexpectedRequest, "not-subscribed"));
    }
    let payload = if on { event::subscription(node, jid, "subscribed") } else { Vec::new() };
    let subscribed = is_new.then(|| (node.into(), bare.into()));
    Ok(Outcome { payload, subscribed, ..Outcome::default() })
}

/// An id that nobody has used.
fn made_up(turn: &mut Turn<'_>) -> Box<str> {
    let mut random = [0; 16];
    turn.rng.fill_bytes(&mut random);
    format!("{:032x}", u128::from_le_bytes(random)).into()
}

/// Does something in turn with what the account writes.
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

/// Changes the account's nodes in its turn; the answer and the news go out when that is durable.
pub(crate) fn change(
    turn: &mut Turn<'_>,
    reply: Reply,
    change: impl FnOnce(&mut Nodes, &Account) -> Result<Outcome, Fault> + Send + 'static,
) {
    change_reading(turn, reply, Vec::new(), |nodes, account, _| change(nodes, account));
}

/// The same with payloads that are read before; a payload that is gone or damaged is `None`.
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
        let shown = profile::photo(account);
        account.nodes = (!nodes.is_empty()).then(|| Box::new(nodes));
        reply.result(turn.outbox, &payload);
        for (node, news) in &news {
            notify(turn, account, node, news);
        }
        if let Some((node, bare)) = subscribed {
            last::subscribed(turn, account, &node, &bare);
        }
        let shows = profile::photo(account);
        if shows != shown {
            presence::renew_photo(turn, account, shows.as_ref());
        }
    })
}

/// The index and the payloads as writes.
pub(super) fn puts(account: AccountId, nodes: &Nodes, writes: Vec<Write>) -> Vec<Put> {
    let key = account.record_key();
    let index = Put { table: Table::Nodes, key: key.clone(), value: nodes.to_document() };
    let items = writes.into_iter().map(|write| Put {
        table: Table::Items,
        key: document::item_key(&key, &write.node, &write.item),
        value: write.payload.map(|payload| document::payload_document(&payload)),
    });
    std::iter::once(index).chain(items).collect()
}
