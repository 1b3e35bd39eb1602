//! The answer to a probe (RFC 6121 §4.3.2): the current presence for those who may see it, `unsubscribed` for others,
//! the same for an account that does not exist.

use super::directed::last_for;
use super::local_account;
use crate::directory::Account;
use crate::outbox::Turn;
use crate::roster::{Contact, Kind};
use chaski_xmpp::{Header, JidRef, write};

/// Somebody (a full or bare JID) asks for the account's presence.
pub(super) fn received(turn: &mut Turn<'_>, account: &Account, from: JidRef<'_>) {
    let bare = from.to_bare().to_string();
    let contact = Contact::new(&bare, &turn.realm.domain);
    if bare != *account.bare && !account.roster.state(&contact).from() {
        return refuse(turn, &account.bare, from);
    }
    let Some(asker) = local_account(from, &turn.realm.domain) else { return };
    let to = from.to_string();
    for stanza in account.sessions.iter().filter_map(|session| last_for(account, session, &to)) {
        match from.resource {
            Some(resource) => turn.outbox.to_resource(asker, resource, stanza),
            None => turn.outbox.to_account(asker, stanza),
        }
    }
}

/// The asker has no subscription: its server may correct its roster.
pub(super) fn refuse(turn: &mut Turn<'_>, asked: &str, asker: JidRef<'_>) {
    let Some(account) = local_account(asker, &turn.realm.domain) else { return };
    let to = asker.to_bare().to_string();
    let header = Header {
        from: Some(asked),
        to: Some(&to),
        type_attr: Some(Kind::Unsubscribed.as_str()),
        ..Header::default()
    };
    let mut out = Vec::with_capacity(128);
    write::stanza(&mut out, chaski_xmpp::Kind::Presence, &header, b"");
    turn.outbox.to_account(account, out);
}
