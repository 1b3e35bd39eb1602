//! PEP requests of other accounts: reading and subscribing, as far as they may see.
//!
//! Promises: to an account without a subscription to the owner's presence, a node that it may not see, a node that does not exist
//! and an account that does not exist look the same (`service-unavailable`). An open node tells that the account exists: that is
//! what open means.

use super::event;
use super::owner::{self, subscriptions_of};
use super::request::Ask;
use super::retrieve;
use crate::account::Account;
use crate::account::nodes::Nodes;
use crate::account::viewer::may_see;
use crate::changes::nodes::change;
use crate::effects::iq::{Asker, Reply, Request};
use crate::effects::turn::Turn;
use crate::fault::{BUSY, Fault, fault};
use chaski_xmpp::{JidRef, StanzaCondition};

/// Another account asks this one.
pub(super) fn asked(
    turn: &mut Turn<'_>,
    account: &mut Account,
    asker: Asker,
    request: &Request<'_>,
    reply: Reply,
) {
    let ask = match Ask::read(request) {
        Ok(ask) => ask,
        Err(fault) => return reply.error(turn.outbox, masked(&asker, fault)),
    };
    let result = match &ask {
        Ask::Items { node, ids, most } => return items(turn, account, &asker, (node, ids, *most), reply),
        Ask::Subscribe { node, jid } => return subscribe(turn, account, &asker, node, jid, true, reply),
        Ask::Unsubscribe { node, jid } => return subscribe(turn, account, &asker, node, jid, false, reply),
        Ask::Subscriptions { node } if asker.subscribed => {
            let bare = bare_of(&reply);
            let empty = Nodes::default();
            let nodes = account.nodes.as_deref().unwrap_or(&empty);
            Ok(event::subscriptions(None, &subscriptions_of(nodes, node.as_deref(), &bare)))
        }
        Ask::Affiliations { .. } if asker.subscribed => Ok(event::affiliations(&[])),
        // XEP-0163 §3: only the owner publishes.
        _ => Err(masked(&asker, StanzaCondition::Forbidden.into())),
    };
    match result {
        Ok(payload) => reply.result(turn.outbox, &payload),
        Err(fault) => reply.error(turn.outbox, fault),
    }
}

/// The error for an asker that may know that the account exists; others get the error for a number without an account.
fn masked(asker: &Asker, fault: Fault) -> Fault {
    if asker.subscribed { fault } else { StanzaCondition::ServiceUnavailable.into() }
}

fn bare_of(reply: &Reply) -> String {
    JidRef::split(reply.to()).to_bare().to_string()
}

/// Why the asker may not see the node, if so; or that too many requests wait, which is told only for a node that it may see.
fn refusal(turn: &Turn<'_>, account: &Account, asker: &Asker, node: &str) -> Option<Fault> {
    let Some(found) = account.nodes.as_deref().and_then(|nodes| nodes.get(node)) else {
        return Some(masked(asker, StanzaCondition::ItemNotFound.into()));
    };
    let closed = fault(StanzaCondition::NotAllowed, "closed-node");
    if !may_see(account, asker.viewer(), node, &found.config) {
        return Some(masked(asker, closed));
    }
    turn.busy.is_too_busy_for_others().then_some(BUSY)
}

fn items(
    turn: &mut Turn<'_>,
    account: &Account,
    asker: &Asker,
    (node, ids, most): (&str, &[Box<str>], Option<usize>),
    reply: Reply,
) {
    if let Some(fault) = refusal(turn, account, asker, node) {
        return reply.error(turn.outbox, fault);
    }
    if let Some(node) = account.nodes.as_deref().and_then(|nodes| nodes.get(node)) {
        retrieve::answer(turn, account, reply, node, ids, most);
    }
}

fn subscribe(
    turn: &mut Turn<'_>,
    account: &Account,
    asker: &Asker,
    node: &str,
    jid: &str,
    on: bool,
    reply: Reply,
) {
    let bare = bare_of(&reply);
    if let Some(fault) = refusal(turn, account, asker, node) {
        return reply.error(turn.outbox, fault);
    }
    if JidRef::split(jid).to_bare().to_string() != bare {
        return reply.error(turn.outbox, fault(StanzaCondition::BadRequest, "invalid-jid"));
    }
    let (node, jid) = (Box::<str>::from(node), Box::<str>::from(jid));
    change(turn, reply, move |nodes, _| owner::subscribe_as(nodes, &node, &bare, &jid, on));
}
