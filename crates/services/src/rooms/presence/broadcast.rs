//! Presence broadcasts: initial presence, updates, and `unavailable` (RFC 6121 §4.2, §4.4, §4.5).

use super::directed::last_for;
use super::{BROADCAST_BYTES_MAX, local_account, photo};
use crate::account::Account;
use crate::account::blocked::blocks_contact;
use crate::account::hidden::Hidden;
use crate::account::presence::Directed;
use crate::account::roster::Contact;
use crate::account::settings::What;
use crate::account::shows::shows;
use crate::effects::event::{CapsTag, Event};
use crate::effects::presence::{PresenceBroadcast, Probes, SUBSCRIBER, SUBSCRIBER_WITHOUT_CAPS, write_probe};
use crate::effects::turn::Turn;
use crate::wire::SessionId;
use chaski_xmpp::rewrite::left_out;
use chaski_xmpp::rewrite::{Attr, Ranges, Rewrite, rewrite};
use chaski_xmpp::{Header, JidRef, Kind, Stanza, StanzaCondition, Stored, ns, write};

/// A client broadcasts available presence: initial presence or an update.
pub(super) fn available(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    stanza: &Stanza<'_>,
) -> Result<(), StanzaCondition> {
    let priority = priority(stanza)?;
    if stanza.bytes().len() > BROADCAST_BYTES_MAX {
        return Err(StanzaCondition::PolicyViolation);
    }
    let Some(full) = account.session(session).map(|session| account.full_jid(session)) else { return Ok(()) };
    let (kept, stored) = photo::forms(account, stanza, &full, turn.lang);
    let (kept, stored) = (turn.presences.share(&kept), Stored::of(stored));
    let Some(own) = account.session_mut(session) else { return Ok(()) };
    let initial = !own.presence.is_available();
    own.presence.set_available(kept, priority);
    if !turn.sheds_presence {
        tell_subscribers(turn, account, &stored, false);
    }
    tell_own_sessions(turn, account, &stored, None);
    if initial {
        let has_caps = stanza.has_child("c", ns::CAPS);
        catch_up(turn, account, session, &full, has_caps);
    }
    let caps = stanza.child("c", ns::CAPS).map(|c| CapsTag::of(&c));
    turn.outbox.event(Event::SessionCame { session, is_initial: initial, caps });
    Ok(())
}

/// A client broadcasts `unavailable` (`stanza`), or its session ends. Safe to call twice.
pub(super) fn unavailable(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    stanza: Option<&Stanza<'_>>,
) {
    let Some(full) = account.session(session).map(|session| account.full_jid(session)) else { return };
    let stored = match stanza.filter(|stanza| stanza.bytes().len() <= BROADCAST_BYTES_MAX) {
        Some(stanza) => {
            let skip = left_out(stanza, &turn.realm.domain, &account.bare);
            stored_form(stanza, (Attr::Set(&full), Attr::Keep), turn.lang, &skip)
        }
        None => plain_unavailable(&full),
    };
    let stored = Stored::of(stored);
    let Some(own) = account.session_mut(session) else { return };
    let was_available = own.presence.is_available();
    let directed = own.presence.set_unavailable();
    if was_available {
        account.sessions.iter_mut().for_each(|session| session.presence.note_left(turn.unix_ms));
        // Sent even when presence is dropped for want of memory: nothing would ever correct the contacts' view that the session
        // is still there.
        tell_subscribers(turn, account, &stored, true);
        // §4.5.2: `unavailable` goes also to the session itself, if it lives on.
        tell_own_sessions(turn, account, &stored, stanza.map(|_| session));
    }
    tell_directed(turn, account, &stored, was_available, directed);
}

/// `<presence type='unavailable'/>` in stored form without `to`.
pub(super) fn plain_unavailable(from: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    let header = Header { from: Some(from), type_attr: Some("unavailable"), ..Header::default() };
    write::stanza(&mut out, Kind::Presence, &header, b"");
    out
}

/// The stored form of a presence, without `to` and without the children at these places; with this language if it has no
/// `xml:lang`.
pub(super) fn stored_form(
    stanza: &Stanza<'_>,
    (from, id): (Attr<'_>, Attr<'_>),
    lang: Option<&str>,
    skip: &Ranges,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(stanza.bytes().len() + 64);
    let change = Rewrite { from, to: Attr::Drop, id, lang, skip, ..Rewrite::default() };
    rewrite(stanza, &change, &mut out);
    out
}

/// §4.7.2.3: an integer between -128 and 127, 0 if there is none.
fn priority(stanza: &Stanza<'_>) -> Result<i8, StanzaCondition> {
    match stanza.child("priority", ns::CLIENT) {
        Some(element) => element.text().trim().parse().map_err(|_| StanzaCondition::BadRequest),
        None => Ok(0),
    }
}

/// Broadcasts to the subscribers that may see it. `is_end`: it is `unavailable`. Nearly all get the same stanza; a subscriber
/// that may not see all of it gets a stanza of its own.
pub(super) fn tell_subscribers(turn: &mut Turn<'_>, account: &Account, presence: &Stored, is_end: bool) {
    let domain = &turn.realm.domain;
    let (mut phones, mut scratch) = (Vec::new(), Vec::new());
    for contact in account.roster.subscribers().filter(|contact| shows(account, What::Online, contact)) {
        let Some(to) = contact.account(domain) else { continue };
        let less = Hidden::from_contact(account, contact).redact(presence);
        match less {
            None if to.phone_number().is_some() => phones.push(to),
            own => {
                let own = own.as_ref().unwrap_or(presence);
                turn.outbox.to_account(to, own.addressed(&contact.jid(domain), None, &mut scratch));
            }
        }
    }
    let sender = Contact::new(&account.bare, domain);
    turn.outbox.tell(PresenceBroadcast {
        stanza: presence.clone(),
        is_end,
        by: account.id,
        sender,
        to: phones,
    });
}

/// Sends presence to the account's available sessions, and to `also`.
pub(super) fn tell_own_sessions(
    turn: &mut Turn<'_>,
    account: &Account,
    presence: &Stored,
    also: Option<SessionId>,
) {
    let mut scratch = Vec::new();
    for session in &account.sessions {
        if session.presence.is_available() || also == Some(session.id) {
            let own = presence.addressed(&account.full_jid(session), None, &mut scratch);
            turn.outbox.to_session(session.id, own);
        }
    }
}

/// §4.6.3: a recipient of directed presence gets directed `unavailable`, unless the broadcast has reached it already.
fn tell_directed(
    turn: &mut Turn<'_>,
    account: &Account,
    presence: &Stored,
    broadcast: bool,
    directed: Vec<Directed>,
) {
    let mut scratch = Vec::new();
    for Directed { contact, resource } in directed {
        if broadcast && account.roster.state(&contact).from() && shows(account, What::Online, &contact) {
            continue;
        }
        let jid = contact.jid(&turn.realm.domain);
        let Some(to) = contact.account(&turn.realm.domain) else { continue };
        match resource {
            Some(resource) => {
                let gone = presence.addressed(&format!("{jid}/{resource}"), None, &mut scratch);
                turn.outbox.to_resource(to, &resource, gone);
            }
            None => turn.outbox.to_account(to, presence.addressed(&jid, None, &mut scratch)),
        }
    }
}

/// Sends a session that has just become available what it does not know yet: its contacts' presence (by probing them, §4.2.2),
/// the presence of the account's other sessions, and the subscription requests that wait for an answer (§3.1.3).
fn catch_up(turn: &mut Turn<'_>, account: &Account, session: SessionId, full: &str, has_caps: bool) {
    let is_known = account.session(session).is_some_and(|session| session.interests.is_some());
    let contacts = account.roster.subscriptions().count();
    let may_ask = !has_caps
        && !is_known
        && !turn.sheds_presence
        && turn.caps.may_ask(account.id, contacts, turn.now_ms);
    let id = if may_ask { SUBSCRIBER_WITHOUT_CAPS } else { SUBSCRIBER };
    for other in account.sessions.iter().filter(|other| other.id != session) {
        if let Some(last) = last_for(account, other, full) {
            turn.outbox.to_session(session, last);
        }
    }
    let mut phones = Vec::new();
    for contact in account.roster.subscriptions().filter(|contact| !blocks_contact(account, contact)) {
        match contact.account(&turn.realm.domain).filter(|to| to.phone_number().is_some()) {
            Some(to) => phones.push(to),
            None => probe(turn, contact, full, id),
        }
    }
    turn.outbox.ask(Probes { from: full.into(), by: account.id, is_without_caps: may_ask, to: phones });
    for (contact, request) in account.roster.requests().filter(|(from, _)| !blocks_contact(account, from)) {
        let request = match request {
            "" => bare_request(&contact.jid(&turn.realm.domain), &account.bare),
            request => request.as_bytes().to_vec(),
        };
        turn.outbox.to_session(session, request);
    }
}

/// Sends a contact a presence probe in a session's name.
pub(super) fn probe(turn: &mut Turn<'_>, contact: &Contact, full: &str, id: &str) {
    let jid = contact.jid(&turn.realm.domain);
    let Some(account) = local_account(JidRef::split(&jid), &turn.realm.domain) else { return };
    let mut out = Vec::with_capacity(128);
    write_probe(&mut out, full, &jid, id);
    turn.outbox.to_account(account, out);
}

fn bare_request(from: &str, to: &str) -> Vec<u8> {
    let header = Header { from: Some(from), to: Some(to), type_attr: Some("subscribe"), ..Header::default() };
    let mut out = Vec::with_capacity(128);
    write::stanza(&mut out, Kind::Presence, &header, b"");
    out
}
