//! Whether something comes from whom an account has blocked, or goes there (XEP-0191 §5.3).

use super::Account;
use super::roster::Contact;
use super::shows;
use chaski_xmpp::stanza::PresenceType;
use chaski_xmpp::{JidRef, Kind, Stanza, StanzaCondition, StanzaError, Stored, ns};

/// Whether the account has blocked this address (in normal form). The one question, for stanzas of all kinds; a group will ask
/// it of a member to whom somebody writes in private. The account itself and its server can't be blocked.
pub(crate) fn blocks(account: &Account, jid: JidRef<'_>) -> bool {
    let Some(settings) = account.settings.as_deref().filter(|settings| !settings.blocks.is_empty()) else {
        return false;
    };
    let own = JidRef::split(&account.bare);
    let is_exempt = jid.domain == own.domain && (jid.local.is_none() || jid.local == own.local);
    !is_exempt && settings.blocks.matches(jid, own.domain)
}

/// Whether the account has blocked all of a contact, whatever its resource.
pub(crate) fn blocks_contact(account: &Account, contact: &Contact) -> bool {
    let Some(settings) = account.settings.as_deref().filter(|settings| !settings.blocks.is_empty()) else {
        return false;
    };
    let domain = shows::domain(account);
    !shows::is_own(account, contact) && settings.blocks.matches_contact(contact, domain)
}

/// Whether a stanza comes from somebody whom the account has blocked. Cheap for who has blocked nobody.
pub(crate) fn refuses(account: &Account, stanza: &Stored) -> bool {
    if account.settings.as_deref().is_none_or(|settings| settings.blocks.is_empty()) {
        return false;
    }
    stanza.from().is_some_and(|from| blocks(account, JidRef::split(&from)))
}

/// Whether the account may not send this stanza, because its recipient is one whom it has blocked (§5.3). What takes back
/// what the other was shown or promised still goes.
pub(crate) fn forbids(account: &Account, to: JidRef<'_>, stanza: &Stanza<'_>) -> bool {
    let withdraws = matches!(
        stanza.presence_type().filter(|_| stanza.kind() == Kind::Presence),
        Some(PresenceType::Unavailable | PresenceType::Unsubscribe | PresenceType::Unsubscribed)
    );
    !withdraws && blocks(account, to)
}

/// What a client is told that writes to somebody whom its user has blocked.
pub(crate) fn error() -> StanzaError<'static> {
    StanzaError::new(StanzaCondition::NotAcceptable).with_specific("blocked", ns::BLOCKING_ERRORS)
}
