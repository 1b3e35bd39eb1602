//! The answer to a probe (RFC 6121 §4.3.2): the current presence for those who may see it, silence for subscribers who may
//! not, `unsubscribed` for others, the same for an account that does not exist.

use super::directed::last_for;
use super::local_account;
use crate::directory::Account;
use crate::outbox::Turn;
use crate::privacy::redact::Hidden;
use crate::privacy::{What, shows};
use crate::roster::{Contact, Kind};
use chaski_xmpp::{Header, JidRef, write};

/// Somebody (a full or bare JID) asks for the account's presence.
pub(super) fn received(turn: &mut Turn<'_>, account: &Account, from: JidRef<'_>) {
    let bare = from.to_bare().to_string();
    let contact = Contact::new(&bare, &turn.realm.domain);
    let is_subscribed = bare == *account.bare || account.roster.state(&contact).from();
    let is_there = || account.sessions.iter().any(|session| session.presence.is_available());
    if !shows(account, What::Online, &contact) || (!is_subscribed && !is_there()) {
        // Who has a subscription and is shown nothing hears what he hears of who is away. To others, this account is as
        // one that does not exist, also while it is away and would show itself to everyone.
        if !is_subscribed {
            refuse(turn, &account.bare, from);
        }
        return;
    }
    let hidden = Hidden::from_contact(account, &contact);
    let Some(asker) = local_account(from, &turn.realm.domain) else { return };
    let to = from.to_string();
    for stanza in account.sessions.iter().filter_map(|session| last_for(account, session, &to)) {
        let stanza = hidden.redact(&stanza).into_owned();
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
