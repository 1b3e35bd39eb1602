//! Privacy: what an account shows to whom, and whom it has blocked.
//!
//! Owns the account's document in `SETTINGS` ([`Settings`]), from which the one rule is made that all rooms ask
//! ([`super::shows`]). Presence, last activity, profiles and read marks obey that rule, and no room has one of its own. Settings
//! are changed by ad-hoc command ([`crate::rooms::privacy`]), over HTTPS ([`crate::effects::turn::command::Action::Privacy`])
//! and, for the block list, by [`crate::rooms::blocking`]. All changes go through [`crate::changes::settings`], which makes them
//! durable before anybody sees them and then tells the rooms by an event.
//!
//! The rule: an account sees everything of itself; a blocked JID sees nothing; then the exceptions decide, then the audience:
//! everyone, contacts or nobody. A contact is an account with a subscription to this account's presence, or one in this account's
//! phone book. *Reciprocal*: an account that hides "last seen" (or read marks) from another does not see those of the other.
//!
//! Defaults: last seen, online, photo and status are for contacts. So a stranger who tries a number learns nothing: neither
//! whether it is registered nor whether its owner has blocked the stranger. Read marks are for everyone: a user sends them after
//! reading a message, so they tell nothing to somebody who only tries a number, and a conversation with a new acquaintance has
//! them at both ends. A service account is there to be found: its photo and status are for everyone. Most accounts change
//! nothing, and cost nothing: `None`.

mod document;

pub use document::{DocumentError, Patch, PatchError, RulePatch, RuleView, View};

use crate::account::blocks::BlockList;
use crate::account::roster::Contact;
use crate::data::data;
use chaski_store::AccountId;
use chaski_store::Table;
use serde::{Deserialize, Serialize};

/// What an account's owner has chosen: privacy and the block list, one document by the account's key.
pub const SETTINGS: Table = Table::new("settings");

/// Most exceptions of one kind ("always show to", "never show to") of one setting.
pub const EXCEPTIONS_MAX: usize = 500;

/// Most bytes of the exceptions that are no phone numbers of our own domain.
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

    /// The audience of this setting, unless the account has chosen another.
    pub fn default_audience(self, owner: AccountKind) -> Audience {
        match self {
            Self::Photo | Self::Status if owner == AccountKind::Service => Audience::Everyone,
            Self::LastSeen | Self::Online | Self::Photo | Self::Status => Audience::Contacts,
            Self::ReadMarks => Audience::Everyone,
        }
    }
}

/// What kind of account it is whose settings these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccountKind {
    /// Its name is a phone number.
    #[default]
    Person,
    /// It has another name, which an operator has given it.
    Service,
}

impl AccountKind {
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
    /// Accounts with a subscription to this account's presence, and accounts in its phone book.
    Contacts,
    /// Nobody but the account itself.
    Nobody,
}

/// Who sees one thing: an audience and the exceptions from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    audience: Audience,
    exceptions: Option<Box<Exceptions>>,
}

/// Each list is in order, each contact once. A contact in both lists is not shown the thing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Exceptions {
    always: Vec<Contact>,
    never: Vec<Contact>,
}

/// The settings of one account: see the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The kind of account, which decides the defaults.
    pub(crate) owner: AccountKind,
    rules: [Rule; What::ALL.len()],
    /// The block list.
    pub(crate) blocks: BlockList,
}

impl Default for Settings {
    fn default() -> Self {
        Self::of(AccountKind::Person)
    }
}

impl Settings {
    /// The defaults for an account of this kind.
    pub fn of(owner: AccountKind) -> Self {
        Self { owner, rules: Rule::defaults(owner), blocks: BlockList::default() }
    }

    /// Whether all settings are the defaults.
    pub fn is_default(&self) -> bool {
        *self == Self::of(self.owner)
    }

    /// Applies the rule to a contact, as seen by the server of `domain`. `is_contact` is called only if it matters.
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

    /// The audiences alone: without exceptions and without the block list.
    pub(crate) fn without_people(&self) -> Self {
        let rules = What::ALL.map(|what| Rule { audience: self.rule(what).audience, exceptions: None });
        Self { rules, ..Self::of(self.owner) }
    }

    pub(crate) fn rule(&self, what: What) -> &Rule {
        &self.rules[what as usize]
    }

    fn rule_mut(&mut self, what: What) -> &mut Rule {
        &mut self.rules[what as usize]
    }
}

impl Rule {
    fn defaults(owner: AccountKind) -> [Self; What::ALL.len()] {
        What::ALL.map(|what| Self::default_of(what, owner))
    }

    fn default_of(what: What, owner: AccountKind) -> Self {
        Self { audience: what.default_audience(owner), exceptions: None }
    }

    pub(crate) fn is_default_of(&self, what: What, owner: AccountKind) -> bool {
        *self == Self::default_of(what, owner)
    }
}

impl Audience {
    pub(crate) fn admits(self, is_contact: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Everyone => true,
            Self::Contacts => is_contact(),
            Self::Nobody => false,
        }
    }
}

data!(enum What { 0 = LastSeen, 1 = Online, 2 = Photo, 3 = Status, 4 = ReadMarks });
data!(enum Audience { 0 = Everyone, 1 = Contacts, 2 = Nobody });

#[cfg(test)]
mod tests;
