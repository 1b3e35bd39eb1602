//! A change of settings as others see it: who may no longer see the account gets `unavailable`, who may now gets its presence.
//!
//! Called by [`crate::account::settings`] once the change is durable. Work is bounded by the roster and the account's sessions.
//! XEP-0191 §5.3 and §5.4.

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

/// What a subscriber sees of the account's presence: nothing, or something without what is hidden.
type View = Option<Hidden>;

fn view(account: &Account, contact: &Contact) -> View {
    shows(account, What::Online, contact).then(|| Hidden::from_contact(account, contact))
}

/// Other settings than these are in force from now on.
pub(super) fn settings_changed(turn: &mut Turn<'_>, account: &mut Account, before: Option<&Settings>) {
    if account.sessions.is_empty() {
        return;
    }
    // As it was before, for as long as that is looked at.
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

/// Whose presence the account would receive if it had not blocked them.
fn blocked_subscriptions(account: &Account) -> Vec<Contact> {
    if account.settings.is_none() {
        return Vec::new();
    }
    let is_blocked = |contact: &&Contact| blocks_contact(account, contact);
    account.roster.subscriptions().filter(is_blocked).cloned().collect()
}

/// Who was told in person, and is blocked now, is told that it is over.
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

/// What came from a contact before it was wanted was dropped, by us or by the clients: it is asked for.
pub(super) fn look_again(turn: &mut Turn<'_>, account: &Account, contact: &Contact) {
    for session in account.sessions.iter().filter(|session| session.presence.is_available()) {
        probe(turn, contact, &account.full_jid(session), SUBSCRIBER);
    }
}

/// Presence from somebody whom the account has blocked: nobody sees it, and its sender hears nothing. Only what changes a
/// subscription that there is or was asked for is noted, so that the two sides agree afterwards.
pub(crate) fn received_from_blocked(turn: &mut Turn<'_>, account: &mut Account, stanza: &Stored) {
    let (Some(kind), Some(from)) = (stanza.presence_type(), stanza.from()) else { return };
    if let Some(kind) = super::subscription_kind(kind).filter(|kind| *kind != Kind::Subscribe) {
        super::subscribe::received(turn, account, stanza, JidRef::split(&from), kind);
    }
}
