//! A contact's bare JID in as few bytes as possible: a phone number of our own domain is kept as an integer.
//!
//! Rosters and subscriber lists of a million sessions are held in memory, and nearly all contacts are phone
//! numbers: 16 bytes a contact and no allocation. Called by the roster and presence rooms.

use crate::data::{Data, Malformed, Unread};
use chaski_store::AccountId;
use chaski_xmpp::JidRef;
use std::fmt::Write as _;

/// A contact: a bare JID that has been validated and normalised by the protocol crate.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Contact {
    /// A phone number of our domain, as its E.164 digits.
    Phone(u64),
    /// Any other bare JID, whole.
    Other(Box<str>),
}

impl Contact {
    /// The contact of a normalised bare JID, as seen by the server of `domain`.
    pub fn new(bare: &str, domain: &str) -> Self {
        let local = bare.strip_suffix(domain).and_then(|rest| rest.strip_suffix('@'));
        match local.filter(|local| local.starts_with('+')).and_then(AccountId::from_local) {
            Some(account) => Self::from_account(account).unwrap_or_else(|| Self::Other(bare.into())),
            None => Self::Other(bare.into()),
        }
    }

    /// The contact of a phone account; `None` for a service account, whose name the id does not tell.
    pub fn from_account(account: AccountId) -> Option<Self> {
        account.phone_number().map(Self::Phone)
    }

    /// Bytes that it takes besides its own 16.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Phone(_) => 0,
            Self::Other(bare) => bare.len(),
        }
    }

    /// The account behind the contact if it is one of `domain` (it may not exist).
    pub fn account(&self, domain: &str) -> Option<AccountId> {
        match self {
            Self::Phone(number) => AccountId::phone(*number),
            Self::Other(bare) => {
                let local = bare.strip_suffix(domain)?.strip_suffix('@')?;
                AccountId::from_local(local)
            }
        }
    }

    /// Appends the bare JID.
    pub fn write_jid(&self, domain: &str, out: &mut String) {
        match self {
            // Writing into a String can't fail.
            Self::Phone(number) => _ = write!(out, "+{number}@{domain}"),
            Self::Other(bare) => out.push_str(bare),
        }
    }

    /// The bare JID.
    pub fn jid(&self, domain: &str) -> String {
        let mut out = String::new();
        self.write_jid(domain, &mut out);
        out
    }

    /// As kept in the roster's document: `+number` alone for our own domain's phones, else the bare JID.
    pub(crate) fn to_document(&self) -> String {
        match self {
            Self::Phone(number) => format!("+{number}"),
            Self::Other(bare) => bare.to_string(),
        }
    }

    /// The inverse of [`to_document`](Self::to_document).
    pub(crate) fn from_document(text: &str) -> Option<Self> {
        match text.strip_prefix('+').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())) {
            Some(_) => Self::from_account(AccountId::from_local(text)?),
            None => (!text.is_empty()).then(|| Self::Other(text.into())),
        }
    }
}

/// For logs: a phone number is never whole.
impl std::fmt::Debug for Contact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Phone(number) => match AccountId::phone(*number) {
                Some(account) => account.fmt(f),
                None => f.write_str("+?"),
            },
            Self::Other(bare) if bare.starts_with('+') => f.write_str("+…"),
            Self::Other(bare) => f.write_str(bare),
        }
    }
}

/// The form is one-to-one, since every JID in memory is in normal form.
impl Data for Contact {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Phone(number) => (0u8, *number).put(out),
            Self::Other(bare) => {
                1u8.put(out);
                bare.put(out);
            }
        }
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        let contact = match u8::take(from)? {
            0 => AccountId::phone(u64::take(from)?).and_then(Self::from_account),
            1 => Some(Box::<str>::take(from)?).filter(|bare| is_bare(bare)).map(Self::Other),
            _ => None,
        };
        contact.ok_or(Malformed::No("Contact"))
    }

    #[cfg(test)]
    fn any(random: &mut rand::rngs::StdRng) -> Self {
        let bare = ["+15551230001@d.example", "bot@d.example", "d.example", "+15551230001@elsewhere.example"];
        Self::new(crate::data::one_of(random, &bare), "d.example")
    }
}

fn is_bare(text: &str) -> bool {
    let mut scratch = String::new();
    JidRef::parse(text, &mut scratch).is_ok_and(|jid| jid.resource.is_none() && jid.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_of_our_domain_is_a_number() {
        let contact = Contact::new("+15551230001@chaski.example", "chaski.example");
        assert_eq!(contact, Contact::Phone(15_551_230_001));
        assert_eq!(contact.jid("chaski.example"), "+15551230001@chaski.example");
        assert_eq!(contact.account("chaski.example"), AccountId::phone(15_551_230_001));
    }

    #[test]
    fn everything_else_keeps_its_jid() {
        for bare in
            ["bot@chaski.example", "+15551230001@elsewhere.example", "chaski.example", "+0@chaski.example"]
        {
            let contact = Contact::new(bare, "chaski.example");
            assert_eq!(contact, Contact::Other(bare.into()));
            assert_eq!(contact.jid("chaski.example"), bare);
        }
        let bot = Contact::new("bot@chaski.example", "chaski.example");
        assert_eq!(bot.account("chaski.example"), Some(AccountId::service("bot")));
        assert_eq!(Contact::Other("bot@notchaski.example".into()).account("chaski.example"), None);
    }

    #[test]
    fn documents_round_trip() {
        for bare in ["+15551230001@d.example", "bot@d.example", "+15551230001@elsewhere.example"] {
            let contact = Contact::new(bare, "d.example");
            assert_eq!(Contact::from_document(&contact.to_document()), Some(contact));
        }
        assert_eq!(Contact::from_document(""), None);
        assert_eq!(Contact::from_document("+0"), None);
    }

    #[test]
    fn sixteen_bytes_a_contact() {
        assert_eq!(size_of::<Contact>(), 16);
    }
}
