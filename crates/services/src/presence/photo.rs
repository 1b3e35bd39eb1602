//! The avatar's hash in presence (XEP-0153 §4.1), put in by the server (XEP-0398 §3.3).
//!
//! What a session keeps of its presence has no hash of ours in it, so that sessions go on sharing it; it is put in whenever the
//! presence is sent. A client's own claim stands only while the account shows no avatar.

use super::broadcast::{stored_form, tell_own_sessions, tell_subscribers};
use super::directed::sent_by;
use crate::directory::Account;
use crate::outbox::Turn;
use crate::profile::{self, Photo};
use chaski_xmpp::rewrite::{Attr, Ranges, Rewrite, rewrite};
use chaski_xmpp::{Stanza, ns};

const END: &[u8] = b"</presence>";

/// The presence without what the client says of the avatar.
fn without_claim(stanza: &Stanza<'_>, from: Attr<'_>, id: Attr<'_>) -> Vec<u8> {
    let claims = stanza.children().filter(|child| child.is("x", ns::VCARD_UPDATE));
    let skip: Ranges = claims.map(|child| child.range()).collect();
    let mut out = Vec::with_capacity(stanza.bytes().len() + 160);
    rewrite(stanza, &Rewrite { from, to: Attr::Drop, id, skip: &skip, ..Rewrite::default() }, &mut out);
    out
}

/// A presence in stored form with this element at its end.
fn with(mut stored: Vec<u8>, update: &[u8]) -> Vec<u8> {
    stored.truncate(stored.len() - END.len());
    stored.extend_from_slice(update);
    stored.extend_from_slice(END);
    stored
}

/// A client's presence: as it is kept, and as it is sent.
pub(super) fn forms(account: &Account, stanza: &Stanza<'_>, full: &str) -> (Vec<u8>, Vec<u8>) {
    match profile::photo(account) {
        None => {
            (stored_form(stanza, Attr::Drop, Attr::Drop), stored_form(stanza, Attr::Set(full), Attr::Keep))
        }
        Some(photo) => {
            let sent = without_claim(stanza, Attr::Set(full), Attr::Keep);
            (without_claim(stanza, Attr::Drop, Attr::Drop), with(sent, &profile::update(Some(&photo))))
        }
    }
}

/// A presence that was kept, as it is sent.
pub(super) fn shown(account: &Account, kept: Vec<u8>) -> Vec<u8> {
    match profile::photo(account) {
        Some(photo) => with(kept, &profile::update(Some(&photo))),
        None => kept,
    }
}

/// The account shows another avatar, or none: each of its sessions says so.
pub(crate) fn renew(turn: &mut Turn<'_>, account: &mut Account, photo: Option<&Photo>) {
    let update = profile::update(photo);
    for at in 0..account.sessions.len() {
        let Some(last) = account.sessions[at].presence.last().cloned() else { continue };
        let Ok(stanza) = Stanza::parse(&last) else { continue };
        let kept = turn.presences.share(&without_claim(&stanza, Attr::Drop, Attr::Drop));
        let own = &mut account.sessions[at].presence;
        own.set_available(kept.clone(), own.priority());
        let stored = with(sent_by(account, &account.sessions[at], &kept), &update);
        if !turn.sheds_presence {
            tell_subscribers(turn, account, &stored, false);
        }
        tell_own_sessions(turn, account, &stored, None);
    }
}
