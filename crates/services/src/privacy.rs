//! Privacy: what an account shows to whom, and whom it has blocked.
//!
//! Owns the account's document in `Table::Settings` ([`Settings`]) and the one rule that all rooms ask: [`shows`]. Presence,
//! last activity, profiles and read marks obey it; nobody decides for itself. Changes come by ad-hoc command
//! ([`form`]), over HTTPS ([`crate::command::Action::Privacy`]) and, for the block list, from [`crate::blocking`]; all go through
//! [`change`], which makes them durable before anybody sees them and then tells who sees more or less.
//!
//! The rule: the own account sees all; who is blocked sees nothing; then the exceptions, then everyone, contacts or
//! nobody. A contact is who has a subscription to the account's presence, by asking or by standing in its phone book.
//! *Reciprocal*: who hides last seen (or read marks) from somebody does not see that one's.
//!
//! Defaults: last seen, online, photo and status are for contacts, so that a stranger who tries a number learns nothing: not
//! whether it is registered, nor whether it has blocked him. Read marks are for everyone: they are sent by a user who has
//! read a message and so tell nothing to who only tries a number, and a conversation with a new acquaintance has them
//! at both ends. A service account is there to be found: its photo and status are for everyone. Most accounts change nothing, and cost nothing: `None`.

pub(crate) mod change;
mod document;
pub(crate) mod form;
pub(crate) mod redact;

pub use change::Refused;
pub(crate) use change::{Draft, change, patch};
pub use document::{DocumentError, Patch, PatchError, RulePatch, RuleView, View};

use crate::blocking::BlockList;
use crate::data::data;
use crate::directory::Account;
use crate::roster::Contact;
use chaski_store::AccountId;
use serde::{Deserialize, Serialize};

/// Most exceptions of one kind ("always show to", "never show to") of one setting.
pub const EXCEPTIONS_MAX: usize = 500;

/// Most bytes of those that are no phone numbers of our own.
const EXCEPTIONS_BYTES_MAX: usize = 32 * 1024;

/// What may be shown or hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Since when the account is away or idle (XEP-0012, XEP-0319).
    LastSeen,
    /// That it is online: its presence.
    Online,
    /// Its photo (avatars).
    Photo,
    /// Its status text and the rest of its profile.
    Status,
    /// That it has read a message (XEP-0333 `displayed`).
    ReadMarks,
}

impl What {
    /// All there is, in the order of forms and documents.
    pub const ALL: [Self; 5] = [Self::LastSeen, Self::Online, Self::Photo, Self::Status, Self::ReadMarks];

    /// As in documents and forms.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastSeen => "last_seen",
            Self::Online => "online",
            Self::Photo => "photo",
            Self::Status => "status",
            Self::ReadMarks => "read_marks",
        }
    }

    /// Who sees it unless an account of this kind says otherwise.
    pub fn default_audience(self, owner: Owner) -> Audience {
        match self {
            Self::Photo | Self::Status if owner == Owner::Service => Audience::Everyone,
            Self::LastSeen | Self::Online | Self::Photo | Self::Status => Audience::Contacts,
            Self::ReadMarks => Audience::Everyone,
        }
    }
}

/// What kind of account it is whose settings these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owner {
    /// Its name is a phone number.
    #[default]
    Person,
    /// It has another name, which an operator has given it.
    Service,
}

impl Owner {
    /// Of this account.
    pub fn of(account: AccountId) -> Self {
        if account.phone_number().is_some() { Self::Person } else { Self::Service }
    }
}

/// Who sees something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Whoever asks.
    Everyone,
    /// Who has a subscription to the account's presence.
    Contacts,
    /// Nobody but the account itself.
    Nobody,
}

/// Who sees one thing: an audience and exceptions from it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    audience: Audience,
    exceptions: Option<Box<Exceptions>>,
}

/// In order, each once. Who stands in both lists is not shown it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Exceptions {
    always: Vec<Contact>,
    never: Vec<Contact>,
}

/// What one account has set: see the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Decides what holds where nothing is set.
    owner: Owner,
    rules: [Rule; What::ALL.len()],
    /// Whom it has blocked.
    pub(crate) blocks: BlockList,
}

impl Default for Settings {
    fn default() -> Self {
        Self::of(Owner::Person)
    }
}

impl Settings {
    /// As they are at first.
    pub fn of(owner: Owner) -> Self {
        Self { owner, rules: Rule::defaults(owner), blocks: BlockList::default() }
    }

    /// Whether it says what holds without it.
    pub fn is_default(&self) -> bool {
        *self == Self::of(self.owner)
    }

    /// The rule, for a contact as seen by the server of `domain`; `is_contact` is asked only if it matters.
    pub fn shows(
        &self,
        what: What,
        contact: &Contact,
        domain: &str,
        is_contact: impl FnOnce() -> bool,
    ) -> bool {
        if self.blocks.matches_contact(contact, domain) {
            return false;
        }
        let rule = self.rule(what);
        if let Some(exceptions) = &rule.exceptions {
            if exceptions.never.binary_search(contact).is_ok() {
                return false;
            }
            if exceptions.always.binary_search(contact).is_ok() {
                return true;
            }
        }
        rule.audience.admits(is_contact)
    }

    /// Who is shown what, as far as it names nobody: no exceptions, and nobody blocked.
    pub(crate) fn without_people(&self) -> Self {
        let rules = What::ALL.map(|what| Rule { audience: self.rule(what).audience, exceptions: None });
        Self { rules, ..Self::of(self.owner) }
    }

    fn rule(&self, what: What) -> &Rule {
        &self.rules[what as usize]
    }

    fn rule_mut(&mut self, what: What) -> &mut Rule {
        &mut self.rules[what as usize]
    }
}

impl Rule {
    fn defaults(owner: Owner) -> [Self; What::ALL.len()] {
        What::ALL.map(|what| Self::default_of(what, owner))
    }

    fn default_of(what: What, owner: Owner) -> Self {
        Self { audience: what.default_audience(owner), exceptions: None }
    }

    fn is_default_of(&self, what: What, owner: Owner) -> bool {
        *self == Self::default_of(what, owner)
    }
}

impl Audience {
    fn admits(self, is_contact: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Everyone => true,
            Self::Contacts => is_contact(),
            Self::Nobody => false,
        }
    }
}

/// Whether the account shows this to the contact: the one rule.
pub fn shows(account: &Account, what: What, contact: &Contact) -> bool {
    if is_own(account, contact) {
        return true;
    }
    let is_contact = || {
        let state = account.roster.state(contact);
        state.from() || state.is_booked()
    };
    match &account.settings {
        None => what.default_audience(Owner::of(account.id)).admits(is_contact),
        Some(settings) => settings.shows(what, contact, domain(account), is_contact),
    }
}

/// Whether the account may be shown the contact's: who hides last seen or read marks from somebody is not shown that one's.
/// Who has left the setting as it was hides nothing. What is not reciprocal, it may always.
pub(crate) fn may_see(account: &Account, what: What, contact: &Contact) -> bool {
    let Some(settings) = &account.settings else { return true };
    match what {
        What::LastSeen | What::ReadMarks => {
            settings.rule(what).is_default_of(what, settings.owner) || shows(account, what, contact)
        }
        What::Online | What::Photo | What::Status => true,
    }
}

/// The account's rules, for its owner.
pub(crate) fn view(account: &Account) -> View {
    account.settings.as_deref().map_or_else(|| Settings::of(Owner::of(account.id)).view(), Settings::view)
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

data!(enum What { 0 = LastSeen, 1 = Online, 2 = Photo, 3 = Status, 4 = ReadMarks });
data!(enum Audience { 0 = Everyone, 1 = Contacts, 2 = Nobody });

#[cfg(test)]
mod tests;
