//! The last item of each node, for a session whose interest has just become known (XEP-0163 §4.3.4, XEP-0060 §6.1.7).
//!
//! The session's own account gives its own; each contact whose presence the account receives is asked, also one who is
//! offline. What is asked and given is bounded, and given up first when memory is short.

use super::Tiding;
use super::config::SendLast;
use super::event::News;
use super::notify::Event;
use super::retrieve::{Selection, payloads};
use super::state::{Item, Node};
use super::visible::{Viewer, may_see};
use crate::blocking::blocks_contact;
use crate::caps::Interests;
use crate::directory::Account;
use crate::errand::Errand;
use crate::outbox::Turn;
use crate::roster::Contact;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::JidRef;
use std::sync::Arc;

/// Most nodes of one account whose last items a session is sent at once.
const NODES_MAX: usize = 32;
/// Larger last items are not sent unasked.
const ITEM_BYTES_MAX: u32 = 16 * 1024;
/// All of them together.
const BYTES_MAX: u32 = 32 * 1024;
/// Most contacts that are asked at once.
const CONTACTS_MAX: usize = 500;
/// Errands of an account beyond which only what is in memory is given.
const WAITING_MAX: usize = 8;

/// A session's wish for the last items of another account's nodes.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Whose.
    pub(super) of: AccountId,
    /// The session's account,
    pub(super) account: AccountId,
    /// and its full JID.
    asker: Box<str>,
    interests: Arc<Interests>,
}

/// Whom last items are for.
#[derive(Clone)]
struct Target {
    account: AccountId,
    resource: Box<str>,
}

/// A session has become available with these interests, or has got them: it gets what it has not seen.
pub(crate) fn interested(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    gained: &Arc<Interests>,
) {
    let Some(session) = account.session(session) else { return };
    let target = Target { account: account.id, resource: session.resource.clone() };
    let full: Box<str> = account.full_jid(session).into();
    give(turn, account, &target, gained, None);
    // Presence comes first to be given up, and this is an answer to presence.
    let contacts = account.roster.subscriptions().take(CONTACTS_MAX).count();
    if turn.sheds_presence || !turn.caps.may_ask(account.id, contacts, turn.now_ms) {
        return;
    }
    for contact in account.roster.subscriptions().take(CONTACTS_MAX) {
        ask(turn, account.id, &full, contact, gained);
    }
}

/// The account has been granted the presence of `by`: its sessions get that one's last items.
pub(super) fn granted(turn: &mut Turn<'_>, account: &Account, by: &str) {
    let contact = Contact::new(by, &turn.realm.domain);
    if blocks_contact(account, &contact) {
        return;
    }
    for session in account.sessions.iter().filter(|session| session.presence.is_available()) {
        if let Some(interests) = &session.interests {
            ask(turn, account.id, &account.full_jid(session), &contact, interests);
        }
    }
}

fn ask(turn: &mut Turn<'_>, account: AccountId, asker: &str, contact: &Contact, interests: &Arc<Interests>) {
    let Some(of) = contact.account(&turn.realm.domain) else { return };
    let wanted = Wanted { of, account, asker: asker.into(), interests: Arc::clone(interests) };
    turn.outbox.tiding(Tiding::wanted(wanted));
}

/// Another account's session wants this one's last items.
pub(super) fn wanted(turn: &mut Turn<'_>, account: &Account, wanted: &Wanted) {
    let asker = JidRef::split(&wanted.asker);
    let contact = Contact::new(&asker.to_bare().to_string(), &turn.realm.domain);
    let viewer = Viewer::of(account, &contact);
    if let Some(resource) = asker.resource.filter(|_| viewer.subscribed) {
        let target = Target { account: wanted.account, resource: resource.into() };
        give(turn, account, &target, &wanted.interests, Some(viewer));
    }
}

/// Sends the last items of the nodes in which the target is interested. `viewer`: as another account sees them.
fn give(
    turn: &mut Turn<'_>,
    account: &Account,
    target: &Target,
    interests: &Interests,
    viewer: Option<Viewer<'_>>,
) {
    let Some(nodes) = account.nodes.as_deref() else { return };
    let wanted = nodes.iter().filter(|node| {
        node.config.send_last != SendLast::Never
            && node.config.deliver_notifications
            && interests.has(&node.name)
            && viewer.is_none_or(|viewer| may_see(account, viewer, &node.name, &node.config))
    });
    let (mut waiting, mut bytes) = (account.errands_waiting(), 0);
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
        resource: Some(target.resource.clone()),
        node: (&*node.name).into(),
        to_all: false,
        stanza: news.message(&account.bare, &node.name, &node.config, published).into(),
    };
    if target.account == account.id {
        super::notify::arrived(turn, account, &event);
    } else {
        turn.outbox.tiding(Tiding::event(event));
    }
}
