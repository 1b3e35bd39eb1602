//! Who is notified of what happens at a node, and how notifications reach the interested sessions (XEP-0163 §4.3).
//!
//! One publication causes one stanza for each contact in memory, however many sessions it has. A contact that is away gets the
//! last item later ([`super::last`]). Notifications are headlines: they are dropped rather than fill a session's queue.

use crate::account::Account;
use crate::account::blocked;
use crate::account::nodes::Node;
use crate::account::roster::Contact;
use crate::account::viewer::{Viewer, may_see};
use crate::effects::news::News;
use crate::effects::pep::{Event, PepNotification};
use crate::effects::turn::Turn;
use crate::effects::turn::outbox::Post;
use chaski_xmpp::Stored;
use std::sync::Arc;

/// Notifies everybody who is to be notified.
pub(super) fn notify(turn: &mut Turn<'_>, account: &Account, node: &Node, news: &News) {
    if !news.is_wanted(&node.config) {
        return;
    }
    let stanza: Stored = news.message(&account.bare, &node.name, &node.config, None).into();
    let name: Arc<str> = (&*node.name).into();
    let event = Event {
        to: account.id,
        resource: None,
        to_all: node.is_subscribed(&account.bare),
        node: Arc::clone(&name),
        stanza: stanza.clone(),
    };
    arrived(turn, account, &event);
    if turn.sheds_presence {
        return;
    }
    let event =
        |to, to_all| Event { to, resource: None, node: Arc::clone(&name), to_all, stanza: stanza.clone() };
    let domain = turn.realm.domain.clone();
    let domain = &*domain;
    for bare in node.subscribers.iter().filter(|bare| **bare != account.bare) {
        let contact = Contact::new(bare, domain);
        let seen = may_see(account, Viewer::of(account, &contact), &node.name, &node.config);
        if let Some(to) = contact.account(domain).filter(|_| seen) {
            turn.outbox.pep_notification(PepNotification::event(event(to, true)));
        }
    }
    for contact in account.roster.subscribers() {
        let viewer = Viewer { contact, subscribed: true };
        let by_name = !node.subscribers.is_empty() && node.is_subscribed(&contact.jid(domain));
        if by_name || !may_see(account, viewer, &node.name, &node.config) {
            continue;
        }
        if let Some(to) = contact.account(domain) {
            turn.outbox.pep_notification(PepNotification::event(event(to, false)));
        }
    }
}

/// A notification has arrived for an account in memory: sends it to the interested sessions.
pub(super) fn arrived(turn: &mut Turn<'_>, account: &Account, event: &Event) {
    if blocked::refuses(account, &event.stanza) {
        return;
    }
    let mut scratch = Vec::new();
    for session in &account.sessions {
        let wanted = match &event.resource {
            Some(resource) => session.resource == *resource,
            None => {
                session.presence.is_available() && (event.to_all || session.is_interested_in(&event.node))
            }
        };
        if wanted {
            let stanza = event.stanza.addressed(&account.full_jid(session), None, &mut scratch);
            turn.outbox.posts.push(Post::Droppable { session: session.id, stanza });
        }
    }
}
