//! The document of an account in `Table::ACCOUNTS`, under [`AccountId::record_key`](chaski_store::AccountId::record_key).
//!
//! Written by the account's owner shard only (registration, admin commands) and by imports while nothing runs.
//! Forward-compatible: fields that this version does not know are kept when the record is written again.

use super::credentials::Credentials;
use super::fast_tokens::Tokens;
use super::name::AccountName;
use crate::data::{Data, Malformed, Unread};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version written into new records. A reader refuses greater ones: fields may have changed their meaning.
pub const RECORD_VERSION: u32 = 1;

/// The field of an account whose owner is changing their number: the new number. See [`AccountRecord::moving_to`].
pub(super) const MOVING_TO: &str = "moving_to";
/// The field of an account whose owner had another number before: the old number.
const MOVED_FROM: &str = "moved_from";

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// See [`RECORD_VERSION`].
    pub version: u32,
    /// Whose record it is: a phone number or a service name.
    pub name: AccountName,
    /// What proves the account, with the key's generation.
    pub credentials: Credentials,
    /// When the account was made.
    pub created_unix_ms: u64,
    /// When the present key was made.
    #[serde(default)]
    pub registered_unix_ms: u64,
    /// When a session was last seen, within some hours. See [`super::ResidentRecord`].
    #[serde(default)]
    pub seen_unix_ms: u64,
    /// The operator has switched the account off: it can't log in and can't be registered again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// What the client called its device at registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// The second PIN, if the user has set one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<RegistrationLock>,
    /// The FAST tokens by which the account's devices log in. Only those given for the present key.
    #[serde(default, skip_serializing_if = "Tokens::is_empty")]
    pub tokens: Tokens,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A second PIN: without it the number can't be registered again until it has been silent for seven days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationLock {
    /// PBKDF2-SHA-256 salt, base64.
    pub salt: String,
    /// PBKDF2-SHA-256 output, base64.
    pub hash: String,
    /// PBKDF2 iterations.
    pub iterations: u32,
}

/// Why a record can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No JSON, or not of this shape.
    #[error("the account's record is damaged: {0}")]
    Damaged(String),
    /// Written by a later version of the program.
    #[error(
        "the account's record has version {0}, this program knows {RECORD_VERSION}; use the newer program"
    )]
    Newer(u32),
    /// Two service names have the same hash.
    #[error("the name collides with an existing account's; choose another one")]
    Collision,
}

impl AccountRecord {
    /// A new account.
    pub fn new(name: AccountName, credentials: Credentials, unix_ms: u64) -> Self {
        Self {
            version: RECORD_VERSION,
            name,
            credentials,
            created_unix_ms: unix_ms,
            registered_unix_ms: unix_ms,
            seen_unix_ms: unix_ms,
            disabled: false,
            device_name: None,
            lock: None,
            tokens: Tokens::default(),
            extra: Map::new(),
        }
    }

    /// Reads the record that the store holds. A caller that asked by name also has to call [`AccountRecord::belongs_to`].
    pub fn from_json(json: &[u8]) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_slice(json).map_err(|e| RecordError::Damaged(e.to_string()))?;
        if record.version > RECORD_VERSION {
            return Err(RecordError::Newer(record.version));
        }
        Ok(record)
    }

    /// What the store is to hold.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record holds only strings, numbers and maps with string keys")
    }

    /// Whether the record is this name's, and not that of another name with the same 63 bits of hash.
    pub fn belongs_to(&self, name: &AccountName) -> Result<(), RecordError> {
        if self.name == *name { Ok(()) } else { Err(RecordError::Collision) }
    }

    /// The generation of the present key.
    pub fn generation(&self) -> u32 {
        self.credentials.generation
    }

    /// The number that the account's owner is changing to. Until the change is finished or given up, nobody can log in and
    /// nothing is delivered here. Whoever registers either number, or asks for the change again, finishes it or gives it up.
    pub fn moving_to(&self) -> Option<AccountName> {
        self.extra
            .get(MOVING_TO)
            .filter(|_| self.disabled)?
            .as_str()
            .and_then(|to| AccountName::parse(to).ok())
    }

    /// The account as it is while its owner changes to the number `to`.
    pub fn moving(mut self, to: &AccountName) -> Self {
        self.extra.insert(MOVING_TO.to_owned(), Value::String(to.to_string()));
        self.disabled = true;
        self
    }

    /// The account as it was before [`Self::moving`].
    pub fn staying(mut self) -> Self {
        if self.extra.remove(MOVING_TO).is_some() {
            self.disabled = false;
        }
        self
    }

    /// The account under its owner's new number: the registration lock, the device name and unknown fields go with the owner.
    pub fn moved(self, to: AccountName, credentials: Credentials, unix_ms: u64) -> Self {
        let from = Value::String(self.name.to_string());
        let mut record = self.staying().with_key(credentials, unix_ms);
        record.name = to;
        record.extra.insert(MOVED_FROM.to_owned(), from);
        record
    }

    /// Whether this is the account that the owner of `other` has changed to.
    pub fn has_moved_from(&self, other: &AccountName) -> bool {
        self.extra.get(MOVED_FROM).and_then(Value::as_str) == Some(&*other.to_string())
    }

    /// The account with a new key: the registration lock and unknown fields stay, all tokens go. The caller has derived
    /// `credentials` with generation `self.generation() + 1`.
    pub fn with_key(mut self, credentials: Credentials, unix_ms: u64) -> Self {
        self.credentials = credentials;
        self.registered_unix_ms = unix_ms;
        self.seen_unix_ms = unix_ms;
        self.tokens = Tokens::default();
        self
    }
}

/// The record travels as the JSON that the store has, so that fields of later versions go along.
impl Data for AccountRecord {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_json().put(out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        Self::from_json(&Vec::take(from)?).map_err(|_| Malformed::No("AccountRecord"))
    }

    #[cfg(test)]
    fn any(random: &mut rand::rngs::StdRng) -> Self {
        let name =
            AccountName::parse(crate::data::one_of(random, &["+15551230001", "echo"])).expect("a name");
        let disabled = bool::any(random);
        Self { disabled, ..Self::new(name, Credentials::any(random), u64::any(random)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::credentials::Derivation;

    fn record() -> AccountRecord {
        let derivation = Derivation { iterations: 1, quick_plain: true };
        AccountRecord::new(
            AccountName::Phone(15_551_230_001),
            Credentials::derive("k", 1, derivation, [1; 16]),
            5_000,
        )
    }

    #[test]
    fn survives_json() {
        let record = record();
        assert_eq!(AccountRecord::from_json(&record.to_json()), Ok(record));
    }

    #[test]
    fn keeps_fields_of_later_versions() {
        let mut value: Value = serde_json::from_slice(&record().to_json()).unwrap();
        value["avatar"] = "x".into();
        let read = AccountRecord::from_json(value.to_string().as_bytes()).unwrap();
        let again: Value = serde_json::from_slice(&read.to_json()).unwrap();
        assert_eq!(again["avatar"], "x");
    }

    #[test]
    fn refuses_later_versions_and_damage() {
        let mut value: Value = serde_json::from_slice(&record().to_json()).unwrap();
        value["version"] = 2.into();
        assert_eq!(AccountRecord::from_json(value.to_string().as_bytes()), Err(RecordError::Newer(2)));
        assert!(matches!(AccountRecord::from_json(b"{\"version\":1"), Err(RecordError::Damaged(_))));
        assert!(matches!(AccountRecord::from_json(b"[]"), Err(RecordError::Damaged(_))));
    }

    #[test]
    fn another_name_is_a_collision() {
        let other = AccountName::parse("bot").unwrap();
        assert_eq!(record().belongs_to(&other), Err(RecordError::Collision));
        assert_eq!(record().belongs_to(&AccountName::Phone(15_551_230_001)), Ok(()));
    }
}
