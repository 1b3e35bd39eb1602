//! Whether a stanza comes from, or goes to, a JID that an account has blocked (XEP-0191 §5.3).

use super::Account;
use super::roster::Contact;
use super::shows;
use chaski_xmpp::stanza::PresenceType;
use chaski_xmpp::{JidRef, Kind, Stanza, StanzaCondition, StanzaError, Stored, ns};

/// Whether the account has blocked this JID (in normal form). All kinds of stanzas are judged by this function. The account
/// itself and its server can't be blocked.
pub(crate) fn blocks(account: &Account, jid: JidRef<'_>) -> bool {
    let Some(settings) = account.settings.as_deref().filter(|settings| !settings.blocks.is_empty()) else {
        return false;
    };
    let own = JidRef::split(&account.bare);
    let is_exempt = jid.domain == own.domain && (jid.local.is_none() || jid.local == own.local);
    !is_exempt && settings.blocks.matches(jid, own.domain)
}

/// Whether the account has blocked all of a contact, so that no resource of it is let through.
pub(crate) fn blocks_contact(account: &Account, contact: &Contact) -> bool {
    let Some(settings) = account.settings.as_deref().filter(|settings| !settings.blocks.is_empty()) else {
        return false;
    };
    let domain = shows::domain(account);
    !shows::is_own(account, contact) && settings.blocks.matches_contact(contact, domain)
}

/// Whether a stanza comes from a JID that the account has blocked. Cheap for an account that has blocked nobody.
pub(crate) fn refuses(account: &Account, stanza: &Stored) -> bool {
    if account.settings.as_deref().is_none_or(|settings| settings.blocks.is_empty()) {
        return false;
    }
    stanza.from().is_some_and(|from| blocks(account, JidRef::split(&from)))
}

/// Whether the account may not send this stanza, because it has blocked the recipient (§5.3). `unavailable`, `unsubscribe` and
/// `unsubscribed` still go, since they take back what the recipient was shown or promised.
pub(crate) fn forbids(account: &Account, to: JidRef<'_>, stanza: &Stanza<'_>) -> bool {
    let withdraws = matches!(
        stanza.presence_type().filter(|_| stanza.kind() == Kind::Presence),
        Some(PresenceType::Unavailable | PresenceType::Unsubscribe | PresenceType::Unsubscribed)
    );
    !withdraws && blocks(account, to)
}

/// The error that a client gets for a stanza to a JID that its user has blocked.
pub(crate) fn error() -> StanzaError<'static> {
    StanzaError::new(StanzaCondition::NotAcceptable).with_specific("blocked", ns::BLOCKING_ERRORS)
}
