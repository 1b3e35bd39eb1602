//! The answer to a presence probe (RFC 6121 §4.3.2): the current presence for accounts that may see it, silence for all others.
//!
//! The RFC would have the server answer strangers with `unsubscribed`. But a probe does not cause an account to be loaded, so
//! such an answer would tell which accounts are in memory, and so which were used lately. Only an asker whose own roster says
//! that it has a subscription is corrected: its server says so by the id [`SUBSCRIBER`], which no client can send.

use super::directed::last_for;
use super::local_account;
use crate::account::Account;
use crate::account::hidden::Hidden;
use crate::account::roster::{Contact, Kind};
use crate::account::settings::What;
use crate::account::shows::shows;
use crate::effects::event::Event;
use crate::effects::presence::{SUBSCRIBER, SUBSCRIBER_WITHOUT_CAPS};
use crate::effects::turn::Turn;
use chaski_xmpp::{Header, JidRef, write};

/// A full or bare JID probes the account's presence.
pub(super) fn received(turn: &mut Turn<'_>, account: &Account, from: JidRef<'_>, id: Option<&str>) {
    let bare = from.to_bare().to_string();
    let contact = Contact::new(&bare, &turn.realm.domain);
    if !shows(account, What::Online, &contact) {
        if matches!(id, Some(SUBSCRIBER | SUBSCRIBER_WITHOUT_CAPS)) && !account.roster.state(&contact).from()
        {
            correct(turn, &account.bare, from);
        }
        return;
    }
    if id == Some(SUBSCRIBER_WITHOUT_CAPS) && account.nodes.is_some() {
        let (contact, asker) = (contact.clone(), from.to_string().into());
        turn.outbox.event(Event::ProbedWithoutCaps { contact, asker });
    }
    let hidden = Hidden::from_contact(account, &contact);
    let Some(asker) = local_account(from, &turn.realm.domain) else { return };
    let to = from.to_string();
    for stanza in account.sessions.iter().filter_map(|session| last_for(account, session, &to)) {
        let stanza = hidden.redact_text(&stanza).into_owned();
        match from.resource {
            Some(resource) => turn.outbox.to_resource(asker, resource, stanza),
            None => turn.outbox.to_account(asker, stanza),
        }
    }
}

/// The asker has no subscription, contrary to its roster: sends `unsubscribed`, so that its server can correct the roster.
fn correct(turn: &mut Turn<'_>, asked: &str, asker: JidRef<'_>) {
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
