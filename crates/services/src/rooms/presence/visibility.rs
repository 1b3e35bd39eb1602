//! A change of settings as others see it: a contact that may no longer see the account gets `unavailable`; one that may see it
//! now gets its presence.
//!
//! Called for the event of changed settings, once the change is durable, and by the router with presence from a blocked JID. The
//! work is bounded by the roster and the account's sessions. Specification: XEP-0191 §5.3 and §5.4.

use super::broadcast::{plain_unavailable, probe};
use super::directed::stanza_for;
use super::subscribe::send_due;
use crate::account::Account;
use crate::account::blocked::blocks_contact;
use crate::account::hidden::Hidden;
use crate::account::roster::{Contact, Kind, PresenceDue};
use crate::account::settings::{Settings, What};
use crate::account::shows::shows;
use crate::effects::presence::SUBSCRIBER;
use crate::effects::turn::Turn;
use chaski_xmpp::{JidRef, Stored};

/// What a subscriber sees of the account's presence: `None`: nothing; else all except what is hidden.
type View = Option<Hidden>;

fn view(account: &Account, contact: &Contact) -> View {
    shows(account, What::Online, contact).then(|| Hidden::from_contact(account, contact))
}

/// Settings other than `before` are in force from now on.
pub(super) fn settings_changed(turn: &mut Turn<'_>, account: &mut Account, before: Option<&Settings>) {
    if account.sessions.is_empty() {
        return;
    }
    // The previous settings are put back while the previous views are computed.
    let now = std::mem::replace(&mut account.settings, before.cloned().map(Box::new));
    let views: Vec<View> = account.roster.subscribers().map(|contact| view(account, contact)).collect();
    let was_blocked = blocked_subscriptions(account);
    account.settings = now;
    for (contact, before) in account.roster.subscribers().zip(views) {
        let after = view(account, contact);
        match (before, after) {
            (Some(_), None) => send_due(turn, account, contact, PresenceDue::Unavailable),
            (before, Some(_)) if before != after => send_due(turn, account, contact, PresenceDue::Current),
            _ => {}
        }
    }
    take_back_directed(turn, account);
    let is_blocked = blocked_subscriptions(account);
    for contact in was_blocked.iter().filter(|contact| !is_blocked.contains(contact)) {
        look_again(turn, account, contact);
    }
}

/// The contacts whose presence the account would get if it had not blocked them.
fn blocked_subscriptions(account: &Account) -> Vec<Contact> {
    if account.settings.is_none() {
        return Vec::new();
    }
    let is_blocked = |contact: &&Contact| blocks_contact(account, contact);
    account.roster.subscriptions().filter(is_blocked).cloned().collect()
}

/// Sends `unavailable` to recipients of directed presence that are blocked now.
fn take_back_directed(turn: &mut Turn<'_>, account: &mut Account) {
    let Some(settings) = account.settings.as_deref() else { return };
    let domain = &turn.realm.domain;
    for session in &mut account.sessions {
        let full = format!("{}/{}", account.bare, session.resource);
        let blocks = |contact: &Contact| settings.blocks.matches_contact(contact, domain);
        for target in session.presence.take_directed(blocks) {
            let Some(to) = target.contact.account(domain) else { continue };
            let jid = target.contact.jid(domain);
            let gone = plain_unavailable(&full);
            match target.resource {
                Some(resource) => {
                    turn.outbox.to_resource(to, &resource, stanza_for(&gone, &format!("{jid}/{resource}")));
                }
                None => turn.outbox.to_account(to, stanza_for(&gone, &jid)),
            }
        }
    }
}

/// Presence that came from a contact before the account could see it was dropped, by the server or by clients: probes the contact
/// again.
pub(super) fn look_again(turn: &mut Turn<'_>, account: &Account, contact: &Contact) {
    for session in account.sessions.iter().filter(|session| session.presence.is_available()) {
        probe(turn, contact, &account.full_jid(session), SUBSCRIBER);
    }
}

/// Handles presence from a blocked JID: nobody sees it, and its sender gets no answer. Only a change of a subscription that
/// exists or was requested is noted, so that both sides agree afterwards.
pub(crate) fn received_from_blocked(turn: &mut Turn<'_>, account: &mut Account, stanza: &Stored) {
    let (Some(kind), Some(from)) = (stanza.presence_type(), stanza.from()) else { return };
    if let Some(kind) = super::subscription_kind(kind).filter(|kind| *kind != Kind::Subscribe) {
        super::subscribe::received(turn, account, stanza, JidRef::split(&from), kind);
    }
}
