//! The key of everything: which account a mailbox or record belongs to.

use std::fmt;

/// An account, as 64 bits. A phone number in E.164 is itself the number (at most 15 digits); a service account
/// (a bot's name) is the top bit and 63 bits of its name's hash. The name itself is in the account's record,
/// which is checked against it, so that a collision is a refused creation and never a mixed-up mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(u64);

const SERVICE_BIT: u64 = 1 << 63;
/// E.164 allows 15 digits; the shortest number worth dialling internationally has 5.
const PHONE_RANGE: std::ops::RangeInclusive<u64> = 10_000..=999_999_999_999_999;

impl AccountId {
    /// The account of a phone number given as its E.164 digits, or `None` if it can't be one.
    pub fn phone(number: u64) -> Option<Self> {
        PHONE_RANGE.contains(&number).then_some(Self(number))
    }

    /// The account of a service name. The caller has validated and normalised the name.
    pub fn service(name: &str) -> Self {
        use sha2::{Digest, Sha256};
        let hash = Sha256::digest(name.as_bytes());
        let mut first = [0u8; 8];
        first.copy_from_slice(&hash[..8]);
        Self(u64::from_be_bytes(first) | SERVICE_BIT)
    }

    /// The account of a JID's local part: `+` and digits is a phone number, else a service name.
    /// `None` for what can be neither (`+` followed by anything but 5 to 15 digits without leading zero).
    pub fn from_local(local: &str) -> Option<Self> {
        match local.strip_prefix('+') {
            Some(digits) => {
                if digits.len() > 15 || digits.starts_with('0') {
                    return None;
                }
                let mut number = 0;
                for byte in digits.bytes() {
                    let digit = byte.wrapping_sub(b'0');
                    if digit > 9 {
                        return None;
                    }
                    number = 10 * number + u64::from(digit);
                }
                Self::phone(number)
            }
            None => (!local.is_empty()).then(|| Self::service(local)),
        }
    }

    /// The phone number's digits as a number, or `None` for a service account.
    pub fn phone_number(self) -> Option<u64> {
        (self.0 & SERVICE_BIT == 0).then_some(self.0)
    }

    /// The 64 bits, as kept in journal and SQLite.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`to_bits`](Self::to_bits), for what an engine has written itself.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The key under which the account's records are kept: `+15551234567`, or `~` and 16 hex digits.
    pub fn record_key(self) -> String {
        match self.phone_number() {
            Some(number) => format!("+{number}"),
            None => format!("~{:016x}", self.0),
        }
    }

    /// The account under whose key, or under a key that begins with it and `/`, something is kept.
    pub fn of_record_key(key: &str) -> Option<Self> {
        let own = key.split_once('/').map_or(key, |(own, _)| own);
        let account = match own.strip_prefix('~') {
            Some(digits) => Self(u64::from_str_radix(digits, 16).ok()?),
            None => Self(own.strip_prefix('+')?.parse().ok()?),
        };
        (account.record_key() == own).then_some(account)
    }
}

/// For logs: never a whole phone number (`+15…67`).
impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phone_number() {
            Some(number) => {
                let digits = number.to_string();
                write!(f, "+{}…{}", &digits[..2], &digits[digits.len() - 2..])
            }
            None => write!(f, "~{:016x}", self.0),
        }
    }
}
