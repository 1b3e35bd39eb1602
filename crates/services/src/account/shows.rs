//! What an account shows to whom: the one rule, which presence, last activity, profiles and read marks obey.

use super::Account;
use super::roster::Contact;
use super::settings::{AccountKind, Settings, View, What};

/// Whether the account shows this to the contact.
pub fn shows(account: &Account, what: What, contact: &Contact) -> bool {
    if is_own(account, contact) {
        return true;
    }
    let is_contact = || {
        let state = account.roster.state(contact);
        state.from() || state.is_booked()
    };
    match &account.settings {
        None => what.default_audience(AccountKind::of(account.id)).admits(is_contact),
        Some(settings) => settings.shows(what, contact, domain(account), is_contact),
    }
}

/// Whether the account may be shown this of the contact: an account that hides "last seen" or read marks from a contact is not
/// shown the contact's. An account with default settings hides nothing. Everything that is not reciprocal may be seen.
pub(crate) fn may_see(account: &Account, what: What, contact: &Contact) -> bool {
    let Some(settings) = &account.settings else { return true };
    match what {
        What::LastSeen | What::ReadMarks => {
            settings.rule(what).is_default_of(what, settings.owner) || shows(account, what, contact)
        }
        What::Online | What::Photo | What::Status => true,
    }
}

/// Whether the account hides from the contact that it is online, even if the contact has a subscription.
pub(crate) fn hides_online(account: &Account, contact: &Contact) -> bool {
    let Some(settings) = &account.settings else { return false };
    !settings.shows(What::Online, contact, domain(account), || true)
}

/// The account's rules, for its owner.
pub(crate) fn view(account: &Account) -> View {
    account
        .settings
        .as_deref()
        .map_or_else(|| Settings::of(AccountKind::of(account.id)).view(), Settings::view)
}

/// Whether the contact is the account itself.
pub(crate) fn is_own(account: &Account, contact: &Contact) -> bool {
    match contact {
        Contact::Phone(number) => account.id.phone_number() == Some(*number),
        Contact::Other(bare) => **bare == *account.bare,
    }
}

/// The domain that an account is of.
pub(crate) fn domain(account: &Account) -> &str {
    account.bare.split_once('@').map_or(&*account.bare, |(_, domain)| domain)
}
