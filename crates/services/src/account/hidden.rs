//! What the privacy settings remove from stanzas: idle times, photo hashes and status texts from presence, read marks from
//! messages. Also which stanzas an account may not send, or not as they are.
//!
//! XEP-0319 §3 (`idle`), XEP-0153 §4 (`x`), RFC 6121 §4.7.2.2 (`status`), XEP-0333 (`displayed`, `acknowledged`; never
//! `received`, which is the second check mark). Called by the presence room and the router, for accounts that have settings.

use super::settings::What;
use super::shows::{domain, may_see, shows};
use crate::account::Account;
use crate::account::blocked;
use crate::account::roster::Contact;
use chaski_xmpp::rewrite::{Ranges, Rewrite, rewrite};
use chaski_xmpp::stanza::IqType;
use chaski_xmpp::stored::Has;
use chaski_xmpp::{ElementRef, JidRef, Stanza, StanzaCondition, StanzaError, Stored, ns};
use std::borrow::Cow;

const VCARD_UPDATE: &str = "vcard-temp:x:update";

/// Which parts of a presence are hidden from an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Hidden {
    idle: bool,
    photo: bool,
    status: bool,
}

impl Hidden {
    /// What the account hides from the contact.
    pub(crate) fn from_contact(account: &Account, contact: &Contact) -> Self {
        if account.settings.is_none() {
            // Presence is sent to contacts only, and by default contacts see everything.
            return Self::default();
        }
        Self {
            idle: !shows(account, What::LastSeen, contact),
            photo: !shows(account, What::Photo, contact),
            status: !shows(account, What::Status, contact),
        }
    }

    /// What is removed from the contact's presence because the account hides the same from the contact.
    pub(crate) fn by_contact(account: &Account, contact: &Contact) -> Self {
        Self { idle: !may_see(account, What::LastSeen, contact), ..Self::default() }
    }

    fn hides(self, child: &ElementRef<'_>) -> bool {
        (self.idle && child.is("idle", ns::IDLE))
            || (self.photo && child.is("x", VCARD_UPDATE))
            || (self.status && child.is("status", ns::CLIENT))
    }

    /// A presence without its hidden parts. `None`: nothing has to be removed.
    pub(crate) fn redact(self, presence: &Stored) -> Option<Stored> {
        (self != Self::default()).then(|| presence.without(|child| self.hides(child))).flatten()
    }

    /// A presence that is kept as bytes, without its hidden parts.
    pub(crate) fn redact_text(self, stored: &[u8]) -> Cow<'_, [u8]> {
        if self == Self::default() {
            return Cow::Borrowed(stored);
        }
        let Ok(stanza) = Stanza::parse(stored) else { return Cow::Borrowed(stored) };
        without(&stanza, |child| self.hides(child)).map_or(Cow::Borrowed(stored), Cow::Owned)
    }
}

/// The stanza without these children, if there are any.
fn without(stanza: &Stanza<'_>, unwanted: impl Fn(&ElementRef<'_>) -> bool) -> Option<Vec<u8>> {
    let skip: Ranges = stanza.children().filter(unwanted).map(|child| child.range()).collect();
    if skip.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(stanza.bytes().len());
    rewrite(stanza, &Rewrite { skip: &skip, ..Rewrite::default() }, &mut out);
    Some(out)
}

/// What becomes of a message that an account sends, or that comes for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Pass,
    /// The message is dropped: its recipient does not see it, and its sender is not told.
    Swallow,
    /// This message goes on in place of the original.
    Instead(Stored),
}

/// The error if one of the account's own sessions may not send this stanza. Cheap for an account without settings.
pub(crate) fn refuses(account: &Account, stanza: &Stanza<'_>) -> Option<StanzaError<'static>> {
    account.settings.as_ref()?;
    let to = stanza.to()?;
    let mut scratch = String::new();
    // An invalid JID is refused by the router.
    let to = JidRef::parse(&to, &mut scratch).ok()?;
    if blocked::forbids(account, to, stanza) {
        return Some(blocked::error());
    }
    // The answer is the one of an account that hides its last activity, so that the other account need not know the asker's
    // settings.
    let is_in_vain = asks_last_seen(stanza)
        && to.local.is_some()
        && !may_see(account, What::LastSeen, &Contact::new(&to.to_bare().to_string(), domain(account)));
    is_in_vain.then(|| StanzaCondition::ServiceUnavailable.into())
}

/// What becomes of a message that the account sends.
pub(crate) fn outgoing_message(account: &Account, stored: &Stored) -> Verdict {
    marks_between(account, stored, Stored::to, |contact| shows(account, What::ReadMarks, contact))
}

/// What becomes of a message that has come for the account.
pub(crate) fn incoming_message(account: &Account, stored: &Stored) -> Verdict {
    marks_between(account, stored, Stored::from, |contact| may_see(account, What::ReadMarks, contact))
}

fn marks_between<'s>(
    account: &Account,
    stored: &'s Stored,
    other: impl FnOnce(&'s Stored) -> Option<Cow<'s, str>>,
    may_pass: impl FnOnce(&Contact) -> bool,
) -> Verdict {
    if account.settings.is_none() || !stored.has(Has::READ_MARK) {
        return Verdict::Pass;
    }
    let other = other(stored).unwrap_or_default();
    let contact = Contact::new(&JidRef::split(&other).to_bare().to_string(), domain(account));
    if may_pass(&contact) { Verdict::Pass } else { without_read_marks(stored) }
}

/// Whether another account's request to one of the account's sessions asks for last activity that the account hides from it: the
/// client itself would answer.
pub(crate) fn asks_in_vain(account: &Account, asker: &str, request: &Stanza<'_>) -> bool {
    asks_last_seen(request) && !shows(account, What::LastSeen, &Contact::new(asker, domain(account)))
}

fn asks_last_seen(stanza: &Stanza<'_>) -> bool {
    stanza.iq_type() == Some(IqType::Get) && stanza.has_child("query", ns::LAST)
}

fn is_read_mark(child: &ElementRef<'_>) -> bool {
    child.is("displayed", ns::MARKERS) || child.is("acknowledged", ns::MARKERS)
}

/// The message is dropped if nothing else in it is of use to its recipient; a receipt in it, say, goes on.
fn without_read_marks(message: &Stored) -> Verdict {
    let Ok(stanza) = message.look_into() else { return Verdict::Pass };
    let comes_along = |child: &ElementRef<'_>| {
        let ns = child.ns();
        ns == ns::HINTS || ns == ns::STANZA_ID || child.is("thread", ns::CLIENT)
    };
    if stanza.children().all(|child| is_read_mark(&child) || comes_along(&child)) {
        return Verdict::Swallow;
    }
    message.without(is_read_mark).map_or(Verdict::Pass, Verdict::Instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_hidden_is_taken_out() {
        let presence = "<presence from='a@b/c' ><show>away</show><status>x</status>\
            <idle xmlns='urn:xmpp:idle:1' since='2026-01-01T00:00:00Z'/>\
            <x xmlns='vcard-temp:x:update'><photo/></x></presence>";
        let redacted =
            |hidden: Hidden| String::from_utf8(hidden.redact_text(presence.as_bytes()).into_owned()).unwrap();
        assert_eq!(redacted(Hidden::default()), presence);
        let idle = redacted(Hidden { idle: true, ..Hidden::default() });
        assert!(!idle.contains("idle") && idle.contains("<status>") && idle.contains("<photo/>"), "{idle}");
        let all = redacted(Hidden { idle: true, photo: true, status: true });
        assert_eq!(all, "<presence from='a@b/c'><show>away</show></presence>");
    }

    fn marks(message: &str) -> Verdict {
        without_read_marks(&Stored::of(message.as_bytes()))
    }

    #[test]
    fn a_bare_read_mark_is_swallowed_and_a_receipt_is_not() {
        for swallowed in [
            "<message type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>",
            "<message><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/><store xmlns='urn:xmpp:hints'/><thread>t</thread></message>",
        ] {
            assert_eq!(marks(swallowed), Verdict::Swallow, "{swallowed}");
        }
        let both = "<message><received xmlns='urn:xmpp:receipts' id='1'/><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>";
        let Verdict::Instead(rest) = marks(both) else { panic!("the receipt goes on") };
        assert_eq!(*rest.whole(), *b"<message ><received xmlns='urn:xmpp:receipts' id='1'/></message>");
        let receipt = b"<message><received xmlns='urn:xmpp:chat-markers:0' id='1'/></message>".as_slice();
        assert!(!Stored::of(receipt).has(Has::READ_MARK), "delivery is no read mark");
    }
}
