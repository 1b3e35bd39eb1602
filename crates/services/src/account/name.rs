//! The names of accounts: a phone number, or a service name that only an operator makes.

use chaski_store::AccountId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest service name.
const SERVICE_NAME_CHARS_MAX: usize = 64;

/// The name of an account as it stands before the `@` of its JID.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AccountName {
    /// A phone number's E.164 digits, without the `+`.
    Phone(u64),
    /// A service name: `[a-z][a-z0-9._-]{0,63}`.
    Service(String),
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Begins with `+` but is no number.
    #[error("a phone number is '+' and 5 to 15 digits, the first of them not 0")]
    Phone,
    /// Is no service name.
    #[error("a service name is a lower-case letter and up to 63 more of a-z, 0-9, '.', '_' and '-'")]
    Service,
}

impl AccountName {
    /// Reads a JID's local part. It must be in its one normal form already.
    pub fn parse(local: &str) -> Result<Self, NameError> {
        if local.starts_with('+') {
            let account = AccountId::from_local(local).ok_or(NameError::Phone)?;
            return account.phone_number().map(Self::Phone).ok_or(NameError::Phone);
        }
        let mut bytes = local.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = bytes.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        if !first || !rest || local.len() > SERVICE_NAME_CHARS_MAX {
            return Err(NameError::Service);
        }
        Ok(Self::Service(local.to_owned()))
    }

    /// The account that this name means.
    pub fn account(&self) -> AccountId {
        match self {
            Self::Phone(number) => AccountId::from_bits(*number),
            Self::Service(name) => AccountId::service(name),
        }
    }

    /// Whether this is a phone number.
    pub fn is_phone(&self) -> bool {
        matches!(self, Self::Phone(_))
    }
}

/// The local part of the JID.
impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(number) => write!(f, "+{number}"),
            Self::Service(name) => f.write_str(name),
        }
    }
}

/// For logs: never a whole phone number.
impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(_) => self.account().fmt(f),
            Self::Service(name) => name.fmt(f),
        }
    }
}

impl TryFrom<String> for AccountName {
    type Error = NameError;

    fn try_from(local: String) -> Result<Self, NameError> {
        Self::parse(&local)
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_are_plain_lower_case_words() {
        for good in ["a", "bot", "echo.bot-2_x", &"a".repeat(64)] {
            assert_eq!(AccountName::parse(good), Ok(AccountName::Service(good.to_owned())), "{good}");
        }
        for bad in ["", "Bot", "1bot", ".a", "-a", "a b", "ä", "a@b", "a/b", &"a".repeat(65)] {
            assert_eq!(AccountName::parse(bad), Err(NameError::Service), "{bad}");
        }
    }

    #[test]
    fn numbers_have_one_spelling() {
        let name = AccountName::parse("+15551230001").expect("a number");
        assert_eq!(name, AccountName::Phone(15_551_230_001));
        assert_eq!(name.to_string(), "+15551230001");
        assert_eq!(name.account(), AccountId::phone(15_551_230_001).expect("in range"));
        for bad in ["+", "+0123456", "+1 555", "+1234", "++15551230001", "+1234567890123456", "+१२३४५६"]
        {
            assert_eq!(AccountName::parse(bad), Err(NameError::Phone), "{bad}");
        }
    }

    #[test]
    fn debug_hides_the_number() {
        assert_eq!(format!("{:?}", AccountName::Phone(15_551_230_001)), "+15…01");
    }
}
