//! Reading items: what is in memory at once, the rest by an errand.

use super::event;
use crate::account::Account;
use crate::account::nodes::payloads::{Selection, payloads};
use crate::account::nodes::{Item, Node};
use crate::effects::iq::Reply;
use crate::effects::turn::Turn;
use crate::effects::turn::errand::Errand;
use crate::fault::not_kept;
use chaski_xmpp::StanzaCondition;

/// The items wanted, newest first.
fn wanted<'n>(node: &'n Node, ids: &[Box<str>], most: Option<usize>) -> Vec<&'n Item> {
    let all = node.items.iter().rev();
    match ids.is_empty() {
        true => all.take(most.unwrap_or(usize::MAX)).collect(),
        false => all.filter(|item| ids.iter().any(|id| node.names(item, id))).collect(),
    }
}

/// Answers with items of a node that the asker may see: at once if all is in memory.
pub(super) fn answer(
    turn: &mut Turn<'_>,
    account: &Account,
    reply: Reply,
    node: &Node,
    ids: &[Box<str>],
    most: Option<usize>,
) {
    let wanted = wanted(node, ids, most);
    if wanted.is_empty() && !ids.is_empty() {
        return reply.error(turn.outbox, StanzaCondition::ItemNotFound);
    }
    let selection = Selection::new(account.id, node, wanted.into_iter());
    let name = node.name.clone();
    if selection.keys.is_empty() {
        return reply.result(turn.outbox, &event::items(&name, &selection.with(&[])));
    }
    let keys = selection.keys.clone();
    turn.outbox.errand(Errand::read(keys, move |turn, _, found| {
        match found {
            Ok(found) => {
                reply.result(turn.outbox, &event::items(&name, &selection.with(&payloads(&found))));
            }
            Err(error) => reply.error(turn.outbox, not_kept(&error)),
        }
        None
    }));
}
