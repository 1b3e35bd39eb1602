//! Presence to one JID that a client names (RFC 6121 §4.6): directed presence, probes and errors.

use super::{PresenceKnobs, local_account, photo};
use crate::account::Account;
use crate::account::presence::Directed;
use crate::account::roster::Contact;
use crate::account::session::Session;
use crate::effects::turn::Turn;
use crate::wire::SessionId;
use chaski_xmpp::rewrite::left_out;
use chaski_xmpp::rewrite::{Attr, Rewrite, rewrite};
use chaski_xmpp::stanza::PresenceType;
use chaski_xmpp::{JidRef, Stanza, StanzaCondition, write};

/// A client sends presence to one JID: available, unavailable, a probe or an error.
pub(super) fn sent(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    stanza: &Stanza<'_>,
    to: JidRef<'_>,
    kind: PresenceType,
) -> Result<(), StanzaCondition> {
    if to.domain != &*turn.realm.domain {
        return Err(StanzaCondition::RemoteServerNotFound);
    }
    let Some(target) = local_account(to, &turn.realm.domain) else { return Ok(()) };
    note(turn, account, session, to, kind)?;
    let Some(full) = account.session(session).map(|session| account.full_jid(session)) else { return Ok(()) };
    let mut out = Vec::with_capacity(stanza.bytes().len() + 64);
    let to_text = to.to_string();
    // The id is dropped: between shards the id of a probe has a meaning, which a client must not forge.
    let id = if kind == PresenceType::Probe { Attr::Drop } else { Attr::Keep };
    let skip = left_out(stanza, &turn.realm.domain, &account.bare);
    let (from, to_attr, lang) = (Attr::Set(&full), Attr::Set(&to_text), turn.lang);
    let change = Rewrite { from, to: to_attr, id, lang, skip: &skip, ..Rewrite::default() };
    rewrite(stanza, &change, &mut out);
    match to.resource {
        Some(resource) => turn.outbox.to_resource(target, resource, out),
        None => turn.outbox.to_account(target, out),
    }
    Ok(())
}

/// Remembers the recipient of directed presence, who has to get `unavailable` when the session ends.
fn note(
    turn: &Turn<'_>,
    account: &mut Account,
    session: SessionId,
    to: JidRef<'_>,
    kind: PresenceType,
) -> Result<(), StanzaCondition> {
    let bare = to.to_bare().to_string();
    if bare == *account.bare {
        return Ok(()); // Own sessions are told by broadcast.
    }
    let contact = Contact::new(&bare, &turn.realm.domain);
    let target = Directed { contact, resource: to.resource.map(Into::into) };
    let Some(own) = account.session_mut(session) else { return Ok(()) };
    match kind {
        PresenceType::Available => own
            .presence
            .note_directed(target, turn.realm.knobs.of::<PresenceKnobs>().directed.size())
            .then_some(())
            .ok_or(StanzaCondition::ResourceConstraint),
        PresenceType::Unavailable => {
            own.presence.forget_directed(&target);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A presence in stored form without `to`, with this `to` added.
pub(super) fn stanza_for(stored: &[u8], to: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(stored.len() + 64);
    address(stored, &[("to", to)], &mut out);
    out
}

/// The presence that a session has sent last, with its `from` and this `to`; it is kept without both.
pub(super) fn last_for(account: &Account, session: &Session, to: &str) -> Option<Vec<u8>> {
    let last = session.presence.last()?;
    let mut out = Vec::with_capacity(last.len() + 128);
    address(last, &[("from", &account.full_jid(session)), ("to", to)], &mut out);
    Some(photo::shown(account, out))
}

/// A kept presence, with its `from`.
pub(super) fn sent_by(account: &Account, session: &Session, kept: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(kept.len() + 128);
    address(kept, &[("from", &account.full_jid(session))], &mut out);
    out
}

/// Appends a presence in stored form with more attributes.
pub(super) fn address(stored: &[u8], attributes: &[(&str, &str)], out: &mut Vec<u8>) {
    const NAME: &[u8] = b"<presence";
    let rest = stored.strip_prefix(NAME).unwrap_or_default();
    out.extend_from_slice(NAME);
    for (name, value) in attributes {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"='");
        write::escape(value, out);
        out.push(b'\'');
    }
    out.extend_from_slice(rest);
}
