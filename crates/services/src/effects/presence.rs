//! Presence for many accounts at once: a broadcast, and probes. Each is written once, carried to each shard once, and addressed where
//! it is delivered.
//!
//! A broadcast is most of what a messenger's server delivers, so its way is short: no stanza, routed stanza or envelope for each
//! contact, and nothing is parsed again. The room posts it; the router splits it by shard; `owner/hear` hands it to
//! each recipient's available sessions (RFC 6121 §4.2.2, §4.4.2). An account with settings of its own, or one whose
//! records are being loaded or whose roster is being saved, gets it as a routed stanza like any other stanza, and whatever looks at those applies.

use crate::account::roster::Contact;
use crate::data::data;
use chaski_store::AccountId;
use chaski_xmpp::{Header, Stored, write};

/// A presence for many accounts.
#[derive(Clone)]
pub struct PresenceBroadcast {
    /// With `from` and without `to`.
    pub(crate) stanza: Stored,
    /// It says that somebody has gone: it must arrive.
    pub(crate) is_end: bool,
    /// Whose it is.
    pub(crate) by: AccountId,
    /// The same as contacts know it.
    pub(crate) sender: Contact,
    /// For whom: phone accounts, whose address follows from the key. Bounded by the sender's roster.
    pub(crate) to: Vec<AccountId>,
}

impl PresenceBroadcast {
    /// The same for nobody.
    pub(crate) fn without_recipients(&self) -> Self {
        let Self { stanza, is_end, by, sender, to: _ } = self;
        Self { stanza: stanza.clone(), is_end: *is_end, by: *by, sender: sender.clone(), to: Vec::new() }
    }

    /// The stanza for one of them.
    pub(crate) fn addressed(&self, scratch: &mut Vec<u8>, bare: &str) -> Stored {
        self.stanza.addressed(bare, None, scratch)
    }

    /// As a stanza that goes its own way.
    pub(crate) fn stanza_for(&self, scratch: &mut Vec<u8>, domain: &str, to: AccountId) -> Option<Stored> {
        let jid = Contact::from_account(to)?.jid(domain);
        Some(self.addressed(scratch, &jid))
    }
}

/// The id of a probe in the name of a user whose roster says that he has a subscription.
pub(crate) const SUBSCRIBER: &str = "subscriber";
/// The same, for a session that has said nothing of its capabilities ([`crate::rooms::pep`]).
pub(crate) const SUBSCRIBER_WITHOUT_CAPS: &str = "subscriber-without-caps";

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
