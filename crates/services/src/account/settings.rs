//! Privacy: what an account shows to whom, and whom it has blocked.
//!
//! Owns the account's document in `Table::Settings` ([`Settings`]) and what the one rule ([`super::shows`]) that all rooms ask is made of. Presence,
//! last activity, profiles and read marks obey it; nobody decides for itself. Changes come by ad-hoc command
//! ([`form`]), over HTTPS ([`crate::effects::turn::command::Action::Privacy`]) and, for the block list, from [`crate::rooms::blocking`]; all go through
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

mod document;

pub use document::{DocumentError, Patch, PatchError, RulePatch, RuleView, View};

use crate::account::blocks::BlockList;
use crate::account::roster::Contact;
use crate::data::data;
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
    /// Who has a subscription to the account's presence.
    Contacts,
    /// Nobody but the account itself.
    Nobody,
}

/// Who sees one thing: an audience and exceptions from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
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
    pub(crate) owner: AccountKind,
    rules: [Rule; What::ALL.len()],
    /// Whom it has blocked.
    pub(crate) blocks: BlockList,
}

impl Default for Settings {
    fn default() -> Self {
        Self::of(AccountKind::Person)
    }
}

impl Settings {
    /// As they are at first.
    pub fn of(owner: AccountKind) -> Self {
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
