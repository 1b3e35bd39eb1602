//! Decides which room answers a request: a request to the domain, or one that is answered on behalf of an account's bare JID.
//!
//! The router has checked that the stanza is a valid request: type `get` or `set`, an `id`, exactly one child. Promises: exactly
//! one answer to each, by the outbox, now or when a command's outcome is known. A namespace that no room serves is refused with
//! `service-unavailable` (RFC 6120 §8.4, RFC 6121 §8.5.2); this includes message archives (XEP-0313) on purpose.
//! Only this directory knows all rooms ([`rooms`]): their doors ([`Door`]), and their declarations ([`specs`]), from which
//! service discovery takes what it announces ([`disco`]). Requests too small for a room are answered in [`entity`].

mod disco;
mod entity;
mod events;
mod own_caps;
mod rooms;

pub(crate) use events::tell_rooms;
pub use own_caps::own_caps;
pub(crate) use rooms::metrics;
pub use rooms::{TABLES, knobs, specs};

use crate::account::Account;
use crate::account::settings::What;
use crate::account::shows;
use crate::effects::iq::{Asker, Door, Reply, Request};
use crate::effects::turn::Turn;
use crate::rooms::commands;
use crate::wire::SessionId;
use chaski_xmpp::{Stanza, StanzaCondition, ns};

fn door(request: &Request<'_>) -> Option<&'static Door> {
    rooms::doors().find(|door| request.child.ns() == door.ns)
}

/// Answers a request of the account's own session without `to` or to its own bare JID (roster, own account).
pub fn asked_by_owner(turn: &mut Turn<'_>, account: &mut Account, session: SessionId, stanza: &Stanza<'_>) {
    let Some(request) = Request::read(stanza) else { return };
    if !request.is_get && request.child.is("command", ns::COMMANDS) {
        return commands::asked(turn, account, session, &request, rooms::COMMANDS);
    }
    let reply = Reply::to_owner(account, session, stanza);
    if let Some(ask) = door(&request).and_then(|door| door.owner) {
        return ask(turn, account, session, &request, reply);
    }
    // XEP-0353 has no sign that everything which waited has been sent; Conversations takes the answer to this ping for one
    // (docs/protocol.md "Calls").
    if request.gets("ping", ns::PING) && stanza.to().is_none() {
        return reply.result_behind_mail(turn.outbox);
    }
    match for_owner(turn, account, &request) {
        Ok(payload) => reply.result(turn.outbox, &payload),
        Err(condition) => reply.error(turn.outbox, condition),
    }
}

fn for_owner(turn: &Turn<'_>, account: &Account, request: &Request<'_>) -> Result<Vec<u8>, StanzaCondition> {
    let child = &request.child;
    if request.gets("query", ns::DISCO_INFO) {
        return disco::own_info(turn.realm, account, child);
    }
    if request.gets("query", ns::DISCO_ITEMS) {
        return disco::own_items(turn.realm, account, child);
    }
    if request.gets("query", ns::LAST) {
        return entity::last_activity(turn, account);
    }
    if request.gets("ping", ns::PING) || (!request.is_get && child.is("session", ns::SESSION)) {
        return Ok(Vec::new());
    }
    Err(StanzaCondition::ServiceUnavailable)
}

/// Answers a request of a session to the domain (disco, ping, version, commands).
pub fn asked_of_domain(turn: &mut Turn<'_>, account: &mut Account, session: SessionId, stanza: &Stanza<'_>) {
    let Some(request) = Request::read(stanza) else { return };
    if !request.is_get && request.child.is("command", ns::COMMANDS) {
        return commands::asked(turn, account, session, &request, rooms::COMMANDS);
    }
    let reply = Reply::to_owner(account, session, stanza).from_domain(turn.realm);
    if let Some(ask) = door(&request).and_then(|door| door.domain) {
        return ask(turn, account, session, &request, reply);
    }
    match for_domain(turn, account, &request) {
        Ok(payload) => reply.result(turn.outbox, &payload),
        Err(condition) => reply.error(turn.outbox, condition),
    }
}

fn for_domain(turn: &Turn<'_>, account: &Account, request: &Request<'_>) -> Result<Vec<u8>, StanzaCondition> {
    let child = &request.child;
    if request.gets("query", ns::DISCO_INFO) {
        return disco::domain_info(turn.realm, account, child);
    }
    if request.gets("query", ns::DISCO_ITEMS) {
        return disco::domain_items(turn.realm, account, child);
    }
    if request.gets("query", ns::VERSION) {
        return Ok(entity::version(turn.realm));
    }
    if request.gets("time", ns::TIME) {
        return Ok(entity::time(turn.shown(turn.unix_ms)));
    }
    if request.gets("query", ns::LAST) {
        return Ok(entity::uptime(turn));
    }
    if request.gets("ping", ns::PING) || (!request.is_get && child.is("session", ns::SESSION)) {
        return Ok(Vec::new());
    }
    Err(StanzaCondition::ServiceUnavailable)
}

/// Answers another account's request to this account's bare JID, on behalf of the account. `stanza` is in stored form: its `from`
/// is the asker's full JID.
pub fn asked_by_other(turn: &mut Turn<'_>, account: &mut Account, stanza: &Stanza<'_>) {
    let Some(request) = Request::read(stanza) else { return };
    let Some(reply) = Reply::to_other(account, &turn.realm.domain, stanza) else { return };
    let asker = reply.asker(account);
    if let Some(ask) = door(&request).and_then(|door| door.other) {
        return ask(turn, account, asker, &request, reply);
    }
    match for_other(turn, account, &asker, &request) {
        Ok(payload) => reply.result(turn.outbox, &payload),
        Err(condition) => reply.error(turn.outbox, condition),
    }
}

fn for_other(
    turn: &Turn<'_>,
    account: &Account,
    asker: &Asker,
    request: &Request<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    // An asker who may not see something gets the answer for a number without an account. `forbidden` (RFC 6121 §2.3.3 for a
    // roster, XEP-0012 §4) would say that there is an account.
    if request.gets("query", ns::LAST) && shows::shows(account, What::LastSeen, &asker.contact) {
        return entity::last_activity_for(turn, account, &asker.contact);
    }
    if !asker.may_see {
        return Err(StanzaCondition::ServiceUnavailable);
    }
    if request.gets("query", ns::DISCO_INFO) {
        return disco::account_info(account, asker, &request.child);
    }
    if request.gets("query", ns::DISCO_ITEMS) {
        return disco::account_items(account, asker, &request.child);
    }
    Err(StanzaCondition::ServiceUnavailable)
}

#[cfg(test)]
mod tests;
