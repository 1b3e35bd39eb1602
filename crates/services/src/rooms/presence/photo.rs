//! The hash of the avatar in presence (XEP-0153 §4.1), which the server puts in (XEP-0398 §3.3).
//!
//! The presence that a session keeps has no hash by the server, so that sessions can go on sharing it; the hash is put in
//! whenever the presence is sent. A client's own hash is passed on only while the account shows no avatar.

use super::broadcast::{stored_form, tell_own_sessions, tell_subscribers};
use super::directed::sent_by;
use crate::account::Account;
use crate::account::photo::Photo;
use crate::account::photo::photo;
use crate::account::shows;
use crate::effects::turn::Turn;
use chaski_xmpp::rewrite::Attr;
use chaski_xmpp::rewrite::left_out;
use chaski_xmpp::stanza::ChildName;
use chaski_xmpp::xml;
use chaski_xmpp::{Stanza, Stored, ns};
use std::ops::Range;

const END: &[u8] = b"</presence>";

/// The places of a presence's elements with the hash of an avatar.
fn claims<'a>(stanza: &'a Stanza<'a>) -> impl Iterator<Item = Range<usize>> + 'a {
    let is_claim = |child: &ChildName<'_>| child.local() == "x" && child.is_in(ns::VCARD_UPDATE);
    stanza.children_named(is_claim).map(|child| child.range())
}

/// A presence in stored form with `update` as its last child.
fn with(mut stored: Vec<u8>, update: &[u8]) -> Vec<u8> {
    stored.truncate(stored.len() - END.len());
    stored.extend_from_slice(update);
    stored.extend_from_slice(END);
    stored
}

/// A client's presence in two forms: as it is kept, and as it is sent.
pub(super) fn forms(
    account: &Account,
    stanza: &Stanza<'_>,
    full: &str,
    lang: Option<&str>,
) -> (Vec<u8>, Vec<u8>) {
    let photo = photo(account);
    let mut skip = left_out(stanza, shows::domain(account), &account.bare);
    if photo.is_some() {
        skip.extend(claims(stanza));
        skip.sort_unstable_by_key(|range| range.start);
    }
    let kept = stored_form(stanza, (Attr::Drop, Attr::Drop), lang, &skip);
    let sent = stored_form(stanza, (Attr::Set(full), Attr::Keep), lang, &skip);
    match photo {
        None => (kept, sent),
        Some(photo) => (kept, with(sent, &update(Some(&photo)))),
    }
}

/// A kept presence in the form in which it is sent.
pub(super) fn shown(account: &Account, kept: Vec<u8>) -> Vec<u8> {
    match photo(account) {
        Some(photo) => with(kept, &update(Some(&photo))),
        None => kept,
    }
}

/// The account shows another avatar, or none any more: each of its sessions broadcasts its presence anew.
pub(super) fn renew(turn: &mut Turn<'_>, account: &mut Account) {
    let update = update(photo(account).as_ref());
    for at in 0..account.sessions.len() {
        let Some(last) = account.sessions[at].presence.last().cloned() else { continue };
        let Ok(stanza) = Stanza::parse(&last) else { continue };
        let kept = stored_form(&stanza, (Attr::Drop, Attr::Drop), None, &claims(&stanza).collect());
        let kept = turn.presences.share(&kept);
        let own = &mut account.sessions[at].presence;
        own.set_available(kept.clone(), own.priority());
        let stored = Stored::of(with(sent_by(account, &account.sessions[at], &kept), &update));
        if !turn.sheds_presence {
            tell_subscribers(turn, account, &stored, false);
        }
        tell_own_sessions(turn, account, &stored, None);
    }
}

/// The element of XEP-0153 for presence: the avatar's hash, or that there is none.
fn update(photo: Option<&Photo>) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("x", ns::VCARD_UPDATE).leaf("photo", &photo.map(Photo::id).unwrap_or_default());
    })
}
