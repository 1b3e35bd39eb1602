//! Presence: who is online and who is told so; and the subscriptions that decide it.
//!
//! RFC 6121 §3 and §4. Owns the presence part of each session ([`crate::account::presence`]) and is called by the router with
//! one account at a time: what its clients send ([`sent`]), what arrives for it ([`received`]), and the ends of its
//! sessions ([`leaving`]). Promises: nobody learns of an account's presence without a subscription or a directed
//! presence of its own; whoever was told that a session came is told that it went.
//!
//! Not done, on purpose: a probe of a contact that is offline gets no answer. (§4.3.2 asks for one `unavailable` each.) A client
//! takes its contacts for offline until it hears otherwise, and each login would get hundreds of these. For an account that is
//! not in memory, the router drops all presence except subscription stanzas; for one that does not exist it drops all presence:
//! strangers hear nothing from anybody.

mod broadcast;
mod directed;
mod photo;
mod probe;
mod subscribe;
mod visibility;

pub(crate) use visibility::received_from_blocked;

use crate::account::Account;
use crate::account::hidden::Hidden;
use crate::account::roster::{Contact, Kind};
use crate::account::settings::What;
use crate::account::shows;
use crate::effects::event::Event;
use crate::effects::iq::Reply;
use crate::effects::turn::Turn;
use crate::effects::turn::outbox::Post;
use crate::knobs::knobs;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::stanza::PresenceType;
use chaski_xmpp::{JidRef, Stanza, StanzaCondition, Stored};

/// Handles events of other rooms that change what others may see of the account.
pub(crate) fn heard(turn: &mut Turn<'_>, account: &mut Account, event: &Event) {
    match event {
        Event::SettingsChanged(before) => visibility::settings_changed(turn, account, before.as_deref()),
        Event::PhotoChanged => photo::renew(turn, account),
        Event::SubscriptionChanged { contact, due, .. } => subscribe::pay(turn, account, contact, *due),
        Event::ContactSeen(contact) => visibility::look_again(turn, account, contact),
        _ => {}
    }
}

knobs! {
    /// How much presence is remembered.
    pub struct PresenceKnobs("presence") {
        /// Full JIDs to which one session has sent directed presence and which are told of its end; beyond: `resource-constraint`.
        directed: 256 in 1..=100_000,
    }
}

/// Largest presence that is broadcast, in bytes: it is kept per session and sent once for each contact.
pub const BROADCAST_BYTES_MAX: usize = 8 * 1024;

/// Handles a client's own presence stanza: initial, update, unavailable, directed, subscription, probe. The stanza is as the
/// client has sent it; its `to`, if any, is already known to be a valid JID. Errors go to the client by the outbox.
pub fn sent(turn: &mut Turn<'_>, account: &mut Account, session: SessionId, stanza: &Stanza<'_>) {
    if let Err(condition) = try_sent(turn, account, session, stanza) {
        // Never an error for an error (RFC 6120 §8.3.1).
        if stanza.presence_type() != Some(PresenceType::Error) {
            Reply::to_owner(account, session, stanza).error(turn.outbox, condition);
        }
    }
}

fn try_sent(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    stanza: &Stanza<'_>,
) -> Result<(), StanzaCondition> {
    let kind = stanza.presence_type().ok_or(StanzaCondition::BadRequest)?;
    let Some(to) = stanza.to() else { return sent_to_all(turn, account, session, stanza, kind) };
    let mut scratch = String::new();
    let to = JidRef::parse(&to, &mut scratch).map_err(|_| StanzaCondition::JidMalformed)?;
    if to.local.is_none() && to.domain == &*turn.realm.domain {
        return Ok(()); // Told to the server alone, which has no use for it.
    }
    match subscription_kind(kind) {
        Some(kind) => subscribe::sent(turn, account, session, stanza, to, kind),
        None => directed::sent(turn, account, session, stanza, to, kind),
    }
}

fn sent_to_all(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    stanza: &Stanza<'_>,
    kind: PresenceType,
) -> Result<(), StanzaCondition> {
    match kind {
        PresenceType::Available => broadcast::available(turn, account, session, stanza),
        PresenceType::Unavailable => {
            broadcast::unavailable(turn, account, session, Some(stanza));
            Ok(())
        }
        PresenceType::Error | PresenceType::Probe => Ok(()),
        _ => Err(StanzaCondition::BadRequest),
    }
}

/// Handles presence from another account (or from this one) to this account's bare JID or to one of its resources: subscription
/// stanzas, probes, availability, errors.
pub fn received(turn: &mut Turn<'_>, account: &mut Account, stanza: &Stored, resource: Option<&str>) {
    let (Some(kind), Some(from)) = (stanza.presence_type(), stanza.from()) else { return };
    let from = JidRef::split(&from);
    if let Some(kind) = subscription_kind(kind) {
        return subscribe::received(turn, account, stanza, from, kind);
    }
    if kind == PresenceType::Probe {
        return probe::received(turn, account, from, stanza.id().as_deref());
    }
    let sender = from.to_bare().to_string();
    let contact = Contact::new(&sender, &turn.realm.domain);
    let is_stranger = sender != *account.bare && !account.roster.state(&contact).to();
    let shared = Hidden::by_contact(account, &contact).redact(stanza).unwrap_or_else(|| stanza.clone());
    for session in &account.sessions {
        let wanted = match resource {
            // §8.5.3.1: whether or not it is available.
            Some(resource) => *session.resource == *resource,
            // RFC 6121 §8.5.2.1: an error to the bare JID is dropped, since none of the sessions there has caused it.
            None => session.presence.is_available() && kind != PresenceType::Error,
        };
        if wanted && is_stranger {
            turn.outbox.posts.push(Post::Droppable { session: session.id, stanza: shared.clone() });
        } else if wanted {
            turn.outbox.to_session(session.id, shared.clone());
        }
    }
}

/// The session is about to end (closed, replaced, expired) and is still in `account.sessions`: sends `unavailable` to everybody
/// who saw it.
pub fn leaving(turn: &mut Turn<'_>, account: &mut Account, session: SessionId) {
    turn.caps.forget(session);
    broadcast::unavailable(turn, account, session, None);
}

/// The account is about to be removed for good, and its sessions have ended already: cancels its subscriptions (RFC 6121 §3.2,
/// §3.3).
pub fn removing(turn: &mut Turn<'_>, account: &mut Account) {
    for item in account.roster.items() {
        let state = item.state();
        if state.subscribed_to() || state.pending_out() {
            turn.tell(account, item.contact(), Kind::Unsubscribe);
        }
        if state.subscribed_from() || state.pending_in() {
            turn.tell(account, item.contact(), Kind::Unsubscribed);
        }
    }
}

/// Whether the account `other` (a bare JID) may know that this session exists: it is this account itself, may see its presence,
/// or was sent directed presence.
pub fn may_see(account: &Account, session: SessionId, other: &str) -> bool {
    if other == &*account.bare {
        return true;
    }
    let domain = JidRef::split(&account.bare).domain;
    let contact = Contact::new(other, domain);
    let directed = || account.session(session).is_some_and(|session| session.presence.has_told(&contact));
    shows::shows(account, What::Online, &contact) || directed()
}

fn subscription_kind(kind: PresenceType) -> Option<Kind> {
    match kind {
        PresenceType::Subscribe => Some(Kind::Subscribe),
        PresenceType::Subscribed => Some(Kind::Subscribed),
        PresenceType::Unsubscribe => Some(Kind::Unsubscribe),
        PresenceType::Unsubscribed => Some(Kind::Unsubscribed),
        PresenceType::Available | PresenceType::Unavailable | PresenceType::Probe | PresenceType::Error => {
            None
        }
    }
}

/// The account that a JID names, if the JID is of our domain and can be an account's.
fn local_account(jid: JidRef<'_>, domain: &str) -> Option<AccountId> {
    (jid.domain == domain).then(|| AccountId::from_local(jid.local?)).flatten()
}

#[cfg(test)]
mod tests;
