//! Presence: who is online, told to whom; and the subscriptions that decide it.
//!
//! RFC 6121 §3 and §4. Owns the presence part of each session ([`SessionPresence`]) and is called by the router with
//! one account at a time: what its clients send ([`sent`]), what arrives for it ([`received`]), and the ends of its
//! sessions ([`leaving`]). Promises: nobody learns of an account's presence without a subscription or a directed
//! presence of its own; whoever was told that a session came is told that it went.
//!
//! Not done, on purpose: a probe for a contact who is offline gets no answer (§4.3.2 would have one `unavailable`
//! each): a client takes its contacts for offline until it hears otherwise, and a login would get hundreds. For an
//! account that is not even in memory, the router drops presence that is no step of a subscription. For one that does not
//! exist, it drops all: strangers hear nothing from anybody.

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

/// What other rooms do that changes who sees what.
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

/// A client's own presence stanza: initial, update, unavailable, directed, subscription, probe. The stanza is as the
/// client sent it, with `to` (if any) already known to be a valid JID. Errors go back by the outbox.
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

/// Presence from another account (or of this one), addressed to this account's bare JID or to this resource of it.
/// Subscription stanzas, probes, availability, errors.
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
            // §8.5.2.1: an error tells nothing to those who did not cause it.
            None => session.presence.is_available() && kind != PresenceType::Error,
        };
        if wanted && is_stranger {
            turn.outbox.posts.push(Post::Droppable { session: session.id, stanza: shared.clone() });
        } else if wanted {
            turn.outbox.to_session(session.id, shared.clone());
        }
    }
}

/// The session is about to end (closed, replaced, expired); it is still in `account.sessions`. Tell whoever saw it.
pub fn leaving(turn: &mut Turn<'_>, account: &mut Account, session: SessionId) {
    turn.caps.forget(session);
    broadcast::unavailable(turn, account, session, None);
}

/// The account is about to be removed for good: its sessions have left already. Cancel subscriptions (RFC 6121 §3.2, 3.3).
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

/// Whether `other` (a bare JID) has been shown that this session exists: it is the account itself, may see that
/// it is online, or was sent directed presence.
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

/// The account of an address, if it is one of our domain and could exist.
fn local_account(jid: JidRef<'_>, domain: &str) -> Option<AccountId> {
    (jid.domain == domain).then(|| AccountId::from_local(jid.local?)).flatten()
}

#[cfg(test)]
mod tests;
