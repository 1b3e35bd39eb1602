//! PEP requests of the owner about its own nodes.
//!
//! A read waits for the writes before it, so that the owner reads what it has published.

use super::event;
use super::request::Ask;
use super::retrieve;
use crate::account::Account;
use crate::account::nodes::default_config;
use crate::account::nodes::{NewItem, Nodes, Write};
use crate::account::photo;
use crate::changes::nodes::{Outcome, change, in_line, publish, retract};
use crate::effects::iq::{Reply, Request};
use crate::effects::news::News;
use crate::effects::turn::Turn;
use crate::fault::Fault;
use crate::form::Form;
use crate::wire::SessionId;
use chaski_xmpp::{JidRef, StanzaCondition};

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
            let item = match photo::check(&node, item.as_deref(), &payload) {
                Ok(checked) => checked.or(item).unwrap_or_else(|| made_up(turn)),
                Err(fault) => return reply.error(turn.outbox, fault),
            };
            let now_unix_ms = turn.unix_ms;
            change(turn, reply, move |nodes, _| {
                let new = NewItem { id: &item, payload: &payload, now_unix_ms };
                let outcome = publish(nodes, &node, new, options.as_ref())?;
                Ok(Outcome { payload: event::published(&node, &item), ..outcome })
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

/// Answers a request that changes nothing, after what was written before it is durable.
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

/// The nodes to which this bare JID has subscribed explicitly.
pub(super) fn subscriptions_of<'n>(
    nodes: &'n Nodes,
    of: Option<&str>,
    bare: &'n str,
) -> Vec<(&'n str, &'n str)> {
    let subscribed =
        nodes.iter().filter(|node| of.is_none_or(|of| *node.name == *of) && node.is_subscribed(bare));
    subscribed.map(|node| (&*node.name, bare)).collect()
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

/// A change of a whole node, which is announced to those who could see the node before.
fn told(
    nodes: &mut Nodes,
    name: &str,
    news: News,
    change: impl FnOnce(&mut Nodes) -> Result<Vec<Write>, crate::account::nodes::Refused>,
) -> Result<Outcome, Fault> {
    let before = nodes.get(name).cloned();
    let writes = change(nodes)?;
    let news = nodes.get(name).cloned().or(before).map(|node| (node, news));
    Ok(Outcome { writes, news: news.into_iter().collect(), ..Outcome::default() })
}

/// The owner itself subscribes explicitly, or unsubscribes.
fn subscribe(
    nodes: &mut Nodes,
    account: &Account,
    node: &str,
    jid: &str,
    on: bool,
) -> Result<Outcome, Fault> {
    if JidRef::split(jid).to_bare().to_string() != *account.bare {
        return Err(crate::fault::fault(StanzaCondition::BadRequest, "invalid-jid"));
    }
    subscribe_as(nodes, node, &account.bare, jid, on)
}

/// A bare JID subscribes explicitly, or unsubscribes.
pub(super) fn subscribe_as(
    nodes: &mut Nodes,
    node: &str,
    bare: &str,
    jid: &str,
    on: bool,
) -> Result<Outcome, Fault> {
    // A JID that was subscribed before has been sent the last item then.
    let is_new = on && nodes.subscribe(node, bare)?;
    if !on && !nodes.unsubscribe(node, bare)? {
        return Err(crate::fault::fault(StanzaCondition::UnexpectedRequest, "not-subscribed"));
    }
    let payload = if on { event::subscription(node, jid, "subscribed") } else { Vec::new() };
    let subscribed = is_new.then(|| (node.into(), bare.into()));
    Ok(Outcome { payload, subscribed, ..Outcome::default() })
}

/// A random item id.
fn made_up(turn: &mut Turn<'_>) -> Box<str> {
    let mut random = [0; 16];
    turn.rng.fill_bytes(&mut random);
    format!("{:032x}", u128::from_le_bytes(random)).into()
}
