//! The answer to a probe (RFC 6121 §4.3.2): the current presence for those who may see it, silence for all others.
//!
//! The RFC would have strangers told `unsubscribed`. But a probe does not load an account that is away, so an answer would
//! tell who is in memory, which is who was there lately. Only a server that takes its user for a subscriber is corrected: it
//! says so by [`SUBSCRIBER`], which no client can.

use super::directed::last_for;
use super::local_account;
use crate::data::data;
use crate::desk::Desk;
use crate::directory::Account;
use crate::outbox::Turn;
use crate::pep;
use crate::privacy::redact::Hidden;
use crate::privacy::{What, shows};
use crate::roster::{Contact, Kind};
use chaski_store::AccountId;
use chaski_xmpp::{Header, JidRef, Stored, write};

/// The id of a probe in the name of a user whose roster says that he has a subscription.
pub(super) const SUBSCRIBER: &str = "subscriber";
/// The same, for a session that has said nothing of its capabilities ([`crate::pep`]).
pub(super) const SUBSCRIBER_WITHOUT_CAPS: &str = "subscriber-without-caps";

/// Probes in a session's name, for many accounts: one letter for each place that owns some of them.
#[derive(Clone)]
pub struct Probes {
    /// The session's full JID.
    pub(crate) from: Box<str>,
    /// Whose it is.
    pub(crate) by: AccountId,
    /// It has said nothing of its capabilities ([`SUBSCRIBER_WITHOUT_CAPS`]).
    pub(crate) is_without_caps: bool,
    /// Who is asked: phone accounts, whose address follows from the key. Bounded by the asker's roster.
    pub(crate) to: Vec<AccountId>,
}

impl Probes {
    /// The stanza for one of them.
    pub(crate) fn stanza_for(&self, desk: &mut Desk, to: AccountId) -> Option<Stored> {
        let jid = Contact::from_account(to)?.jid(&desk.realm.domain);
        let id = if self.is_without_caps { SUBSCRIBER_WITHOUT_CAPS } else { SUBSCRIBER };
        Some(desk.compose(|out| write_probe(out, &self.from, &jid, id)))
    }
}

data!(struct Probes { from, by, is_without_caps, to });

/// Appends a probe.
pub(super) fn write_probe(out: &mut Vec<u8>, from: &str, to: &str, id: &str) {
    let header = Header { from: Some(from), to: Some(to), id: Some(id), type_attr: Some("probe") };
    write::stanza(out, chaski_xmpp::Kind::Presence, &header, b"");
}

/// Somebody (a full or bare JID) asks for the account's presence.
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
        pep::probed_without_caps(turn, account, &contact, from);
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

/// The asker has no subscription: its server may correct its roster.
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
