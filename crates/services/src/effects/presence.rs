//! Presence for many accounts at once: a broadcast, and probes. Each is written once, carried to each shard once, and addressed where
//! it is delivered.
//!
//! Presence broadcasts are most of what a messaging server delivers, so their way is short: no stanza, routed stanza or envelope
//! for each contact, and nothing is parsed again. The presence room posts a broadcast, the router splits it by shard, and
//! `owner/broadcast_delivery` sends it to each recipient's available sessions (RFC 6121 §4.2.2, §4.4.2). An account that has
//! settings, is being loaded, or has a roster being saved, gets it as a routed stanza like any other, so that all checks of
//! routed stanzas apply.

use crate::account::roster::Contact;
use crate::data::data;
use chaski_store::AccountId;
use chaski_xmpp::{Header, Stored, write};

/// A presence for many accounts (broadcast).
#[derive(Clone)]
pub struct PresenceBroadcast {
    /// The stanza, with `from` and without `to`.
    pub(crate) stanza: Stored,
    /// It is `unavailable`, and must arrive.
    pub(crate) is_end: bool,
    /// The sender's account.
    pub(crate) by: AccountId,
    /// The sender, as contacts have it in their rosters.
    pub(crate) sender: Contact,
    /// The recipients: phone accounts, whose JID follows from the key. Bounded by the sender's roster.
    pub(crate) to: Vec<AccountId>,
}

impl PresenceBroadcast {
    /// A copy without recipients.
    pub(crate) fn without_recipients(&self) -> Self {
        let Self { stanza, is_end, by, sender, to: _ } = self;
        Self { stanza: stanza.clone(), is_end: *is_end, by: *by, sender: sender.clone(), to: Vec::new() }
    }

    /// The stanza for one recipient.
    pub(crate) fn addressed(&self, scratch: &mut Vec<u8>, bare: &str) -> Stored {
        self.stanza.addressed(bare, None, scratch)
    }

    /// The stanza for one recipient, to be routed by itself.
    pub(crate) fn stanza_for(&self, scratch: &mut Vec<u8>, domain: &str, to: AccountId) -> Option<Stored> {
        let jid = Contact::from_account(to)?.jid(domain);
        Some(self.addressed(scratch, &jid))
    }
}

/// The id of a probe of a session whose account has a subscription according to its own roster.
pub(crate) const SUBSCRIBER: &str = "subscriber";
/// The id of such a probe of a session that has not announced entity capabilities ([`crate::rooms::pep`]).
pub(crate) const SUBSCRIBER_WITHOUT_CAPS: &str = "subscriber-without-caps";

/// The probes of one session to many accounts: one letter for each place that owns some of them.
#[derive(Clone)]
pub struct Probes {
    /// The session's full JID.
    pub(crate) from: Box<str>,
    /// The account of the session.
    pub(crate) by: AccountId,
    /// The session has not announced entity capabilities ([`SUBSCRIBER_WITHOUT_CAPS`]).
    pub(crate) is_without_caps: bool,
    /// The probed accounts: phone accounts, whose JID follows from the key. Bounded by the asker's roster.
    pub(crate) to: Vec<AccountId>,
}

impl Probes {
    /// The probe for one of the accounts.
    pub(crate) fn stanza_for(&self, scratch: &mut Vec<u8>, domain: &str, to: AccountId) -> Option<Stored> {
        let jid = Contact::from_account(to)?.jid(domain);
        let id = if self.is_without_caps { SUBSCRIBER_WITHOUT_CAPS } else { SUBSCRIBER };
        Some(Stored::composed(scratch, |out| write_probe(out, &self.from, &jid, id)))
    }
}

data!(struct Probes { from, by, is_without_caps, to });

/// Appends a probe.
pub(crate) fn write_probe(out: &mut Vec<u8>, from: &str, to: &str, id: &str) {
    let header = Header { from: Some(from), to: Some(to), id: Some(id), type_attr: Some("probe") };
    write::stanza(out, chaski_xmpp::Kind::Presence, &header, b"");
}

data!(struct PresenceBroadcast { stanza, is_end, by, sender, to });
