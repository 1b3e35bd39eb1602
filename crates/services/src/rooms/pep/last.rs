//! The last item of each node: for a session whose interests have just become known; for a JID that has subscribed explicitly, at
//! that time and whenever it becomes available (XEP-0163 §4.3.4, XEP-0060 §6.1.7).
//!
//! A session gets the last items of its own account from that account. Each contact whose presence the account receives is asked,
//! even if it is offline. A client without entity capabilities has no interests; for its sake a contact is asked only by the
//! presence probe, so a contact that is not in memory gives nothing. What is asked and given is bounded, and is the first to be
//! dropped when memory is short.

use crate::account::Account;
use crate::account::blocked::blocks_contact;
use crate::account::interests::Interests;
use crate::account::nodes::config::SendLast;
use crate::account::nodes::payloads::{Selection, payloads};
use crate::account::nodes::{Item, Node};
use crate::account::roster::Contact;
use crate::account::viewer::{Viewer, may_see};
use crate::effects::news::News;
use crate::effects::pep::{Event, PepNotification, Wanted};
use crate::effects::turn::Turn;
use crate::effects::turn::errand::Errand;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::JidRef;
use std::sync::Arc;

/// Most nodes of one account whose last items a session is sent at once.
const NODES_MAX: usize = 32;
/// A last item that is larger is not sent without being asked for.
const ITEM_BYTES_MAX: u32 = 16 * 1024;
/// The bound for all last items of one account together.
const BYTES_MAX: u32 = 32 * 1024;
/// Most contacts that are asked at once.
const CONTACTS_MAX: usize = 500;
/// With so many errands of an account, only items in memory are given.
const WAITING_MAX: usize = 8;

/// The recipient of last items.
#[derive(Clone)]
struct Target {
    account: AccountId,
    /// One session, or (`None`) all that are available.
    resource: Option<Box<str>>,
}

/// The nodes whose last items are wanted.
#[derive(Clone, Copy)]
struct Wish<'a> {
    interests: &'a Interests,
    /// Also the nodes to which this bare JID has subscribed explicitly.
    by_name: Option<&'a str>,
}

impl Wish<'_> {
    fn has(self, node: &Node) -> bool {
        let by_name =
            |bare: &str| node.config.send_last == SendLast::OnSubAndPresence && node.is_subscribed(bare);
        self.interests.has(&node.name) || self.by_name.is_some_and(by_name)
    }
}

/// A session has become available with these interests (`has_come`), or its interests have become known: it gets the items that
/// it has not seen.
pub(super) fn interested(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    gained: &Arc<Interests>,
    has_come: bool,
) {
    let Some(session) = account.session(session) else { return };
    let target = Target { account: account.id, resource: Some(session.resource.clone()) };
    let full: Box<str> = account.full_jid(session).into();
    let wish = Wish { interests: gained, by_name: has_come.then_some(&*account.bare) };
    give(turn, account, &target, wish, None);
    // When memory is short, presence is dropped first; and this is a consequence of presence.
    let contacts = account.roster.subscriptions().take(CONTACTS_MAX).count();
    if turn.sheds_presence || !turn.caps.may_ask(account.id, contacts, turn.now_ms) {
        return;
    }
    for contact in account.roster.subscriptions().take(CONTACTS_MAX) {
        ask(turn, account.id, &full, contact, (gained, has_come));
    }
}

/// A session without entity capabilities has become available: it gets the last items of its own account's nodes to which the
/// account has subscribed explicitly.
pub(super) fn came_without_caps(turn: &mut Turn<'_>, account: &Account, session: SessionId) {
    let Some(session) = account.session(session) else { return };
    let target = Target { account: account.id, resource: Some(session.resource.clone()) };
    let wish = Wish { interests: &Interests::default(), by_name: Some(&account.bare) };
    give(turn, account, &target, wish, None);
}

/// A session without entity capabilities of a contact, which may see this account's presence, has probed it.
pub(super) fn probed_without_caps(
    turn: &mut Turn<'_>,
    account: &Account,
    contact: &Contact,
    asker: JidRef<'_>,
) {
    let Some(of) = contact.account(&turn.realm.domain) else { return };
    let Some(resource) = asker.resource else { return };
    let target = Target { account: of, resource: Some(resource.into()) };
    let bare = contact.jid(&turn.realm.domain);
    let wish = Wish { interests: &Interests::default(), by_name: Some(&bare) };
    give(turn, account, &target, wish, Some(Viewer::of(account, contact)));
}

/// A bare JID has subscribed to a node explicitly.
pub(super) fn subscribed(turn: &mut Turn<'_>, account: &Account, node: &str, bare: &str) {
    let Some(node) = account.nodes.as_deref().and_then(|nodes| nodes.get(node)) else { return };
    let Some(of) = Contact::new(bare, &turn.realm.domain).account(&turn.realm.domain) else { return };
    if node.config.send_last != SendLast::Never && node.config.deliver_notifications {
        let target = Target { account: of, resource: None };
        give_nodes(turn, account, &target, std::iter::once(node));
    }
}

/// The account may see the presence of `by` from now on: its sessions get the last items of that account.
pub(super) fn granted(turn: &mut Turn<'_>, account: &Account, by: &str) {
    let contact = Contact::new(by, &turn.realm.domain);
    if blocks_contact(account, &contact) {
        return;
    }
    for session in account.sessions.iter().filter(|session| session.presence.is_available()) {
        if let Some(interests) = &session.interests {
            ask(turn, account.id, &account.full_jid(session), &contact, (interests, false));
        }
    }
}

fn ask(
    turn: &mut Turn<'_>,
    account: AccountId,
    asker: &str,
    contact: &Contact,
    (interests, by_name): (&Arc<Interests>, bool),
) {
    let Some(of) = contact.account(&turn.realm.domain) else { return };
    let wanted = Wanted { of, account, asker: asker.into(), interests: Arc::clone(interests), by_name };
    turn.outbox.pep_notification(PepNotification::wanted(wanted));
}

/// Another account's session has asked for this account's last items.
pub(super) fn wanted(turn: &mut Turn<'_>, account: &Account, wanted: &Wanted) {
    let asker = JidRef::split(&wanted.asker);
    let contact = Contact::new(&asker.to_bare().to_string(), &turn.realm.domain);
    let viewer = Viewer::of(account, &contact);
    if let Some(resource) = asker.resource.filter(|_| viewer.subscribed) {
        let target = Target { account: wanted.account, resource: Some(resource.into()) };
        let bare = asker.to_bare().to_string();
        let wish = Wish { interests: &wanted.interests, by_name: wanted.by_name.then_some(&bare) };
        give(turn, account, &target, wish, Some(viewer));
    }
}

/// Sends the last items of the nodes that the target wants. `viewer`: the other account that sees them.
fn give(turn: &mut Turn<'_>, account: &Account, target: &Target, wish: Wish<'_>, viewer: Option<Viewer<'_>>) {
    let Some(nodes) = account.nodes.as_deref() else { return };
    let wanted = nodes.iter().filter(|node| {
        node.config.send_last != SendLast::Never
            && node.config.deliver_notifications
            && wish.has(node)
            && viewer.is_none_or(|viewer| may_see(account, viewer, &node.name, &node.config))
    });
    give_nodes(turn, account, target, wanted);
}

fn give_nodes<'n>(
    turn: &mut Turn<'_>,
    account: &Account,
    target: &Target,
    wanted: impl Iterator<Item = &'n Node>,
) {
    let (mut waiting, mut bytes) = (turn.busy.errands, 0);
    for node in wanted.take(NODES_MAX) {
        let fits = |last: &&Item| last.bytes <= ITEM_BYTES_MAX && bytes + last.bytes <= BYTES_MAX;
        let Some(last) = node.last().filter(fits) else { continue };
        bytes += last.bytes;
        let selection = Selection::new(account.id, node, std::iter::once(last));
        if selection.keys.is_empty() {
            send(turn, account, target, node, selection.with(&[]));
        } else if waiting < WAITING_MAX {
            waiting += 1;
            send_read(turn, target.clone(), node.clone(), selection);
        }
    }
}

fn send_read(turn: &mut Turn<'_>, target: Target, node: Node, selection: Selection) {
    let keys = selection.keys.clone();
    turn.outbox.errand(Errand::read(keys, move |turn, account, found| {
        let read = payloads(&found.unwrap_or_default());
        send(turn, account, &target, &node, selection.with(&read));
        None
    }));
}

fn send(
    turn: &mut Turn<'_>,
    account: &Account,
    target: &Target,
    node: &Node,
    items: Vec<(Box<str>, String)>,
) {
    let Some((id, payload)) = items.into_iter().next() else { return };
    let published = node.item(&id).map(|item| turn.shown(item.published_unix_ms));
    let news = News::Published { item: id, payload: Some(payload.into()) };
    let event = Event {
        to: target.account,
        resource: target.resource.clone(),
        node: (&*node.name).into(),
        to_all: true,
        stanza: news.message(&account.bare, &node.name, &node.config, published).into(),
    };
    if target.account == account.id {
        super::notifications::arrived(turn, account, &event);
    } else {
        turn.outbox.pep_notification(PepNotification::event(event));
    }
}
