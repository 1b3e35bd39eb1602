//! An account's record as its owner keeps it in memory: the same content as [`AccountRecord`] in fewer bytes.
//!
//! A million of them are in memory. Fields that most accounts lack are behind one pointer; the name is not kept, because the
//! account's key or its bare JID tells it.

use super::credentials::Credentials;
use super::fast_tokens::Tokens;
use super::name::AccountName;
use super::record::{AccountRecord, MOVING_TO, RECORD_VERSION, RegistrationLock};
use serde_json::{Map, Value};

/// The activity stamp is renewed at most this often, so that being online costs no writes.
const SEEN_GRAIN_MS: u64 = 6 * 60 * 60 * 1000;
/// The activity stamp is renewed at this interval when a last session ends, so that contacts see a useful "last seen".
const LEFT_GRAIN_MS: u64 = 10 * 60 * 1000;

/// How far the clocks of two nodes may be apart.
const CLOCKS_DIFFER_MS: u64 = 1_000;

/// See the module.
pub struct ResidentRecord {
    /// What proves the account.
    pub(crate) credentials: Credentials,
    /// The operator has switched the account off, or it is being removed.
    pub(crate) disabled: bool,
    created_unix_ms: u64,
    registered_unix_ms: u64,
    seen_unix_ms: u64,
    rare: Option<Box<Rare>>,
}

/// What most accounts do not have.
#[derive(Clone, PartialEq, Default)]
struct Rare {
    device_name: Option<String>,
    lock: Option<RegistrationLock>,
    tokens: Tokens,
    extra: Map<String, Value>,
}

impl ResidentRecord {
    /// Of a record that was read or is being kept.
    pub(crate) fn new(record: AccountRecord) -> Self {
        let (device_name, lock) = (record.device_name, record.lock);
        let rare = Rare { device_name, lock, tokens: record.tokens, extra: record.extra };
        Self {
            credentials: record.credentials,
            disabled: record.disabled,
            created_unix_ms: record.created_unix_ms,
            registered_unix_ms: record.registered_unix_ms,
            seen_unix_ms: record.seen_unix_ms,
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }

    /// Whether a stanza that was sent at this time was meant for the previous owner of the number: it has been under way for
    /// long, and the account was made anew meanwhile. Clocks of different nodes need not agree to the second.
    pub(crate) fn is_of_before(&self, sent_unix_ms: u64) -> bool {
        sent_unix_ms != 0 && sent_unix_ms.saturating_add(CLOCKS_DIFFER_MS) < self.created_unix_ms
    }

    /// The whole record again.
    pub(crate) fn record(&self, name: AccountName) -> AccountRecord {
        let rare = self.rare.as_deref().cloned().unwrap_or_default();
        AccountRecord {
            // Records of older versions are read as this version, and records of newer versions are not read.
            version: RECORD_VERSION,
            name,
            credentials: self.credentials.clone(),
            created_unix_ms: self.created_unix_ms,
            registered_unix_ms: self.registered_unix_ms,
            seen_unix_ms: self.seen_unix_ms,
            disabled: self.disabled,
            device_name: rare.device_name,
            lock: rare.lock,
            tokens: rare.tokens,
            extra: rare.extra,
        }
    }

    /// The generation of the present key.
    pub fn generation(&self) -> u32 {
        self.credentials.generation
    }

    /// When the present key was made.
    pub(crate) fn registered_unix_ms(&self) -> u64 {
        self.registered_unix_ms
    }

    /// See [`AccountRecord::moving_to`].
    pub(crate) fn is_moving(&self) -> bool {
        self.disabled && self.rare.as_ref().is_some_and(|rare| rare.extra.contains_key(MOVING_TO))
    }

    /// The FAST tokens by which the account's devices log in.
    pub(crate) fn tokens(&self) -> Option<&Tokens> {
        self.rare.as_ref().map(|rare| &rare.tokens)
    }

    /// The tokens, to be changed.
    pub(crate) fn tokens_mut(&mut self) -> &mut Tokens {
        &mut self.rare.get_or_insert_default().tokens
    }

    /// When a session was last seen: right within ten minutes if the account has no session, else within some hours.
    pub fn seen_unix_ms(&self) -> u64 {
        self.seen_unix_ms
    }

    /// Whether [`Self::seen`] would change something.
    pub fn is_seen_due(&self, unix_ms: u64) -> bool {
        unix_ms.saturating_sub(self.seen_unix_ms) >= SEEN_GRAIN_MS
    }

    /// Notes activity: a session's bind, resumption, stanzas, end. True if the record should be saved.
    pub(crate) fn seen(&mut self, unix_ms: u64) -> bool {
        let due = self.is_seen_due(unix_ms);
        if due {
            self.seen_unix_ms = unix_ms;
        }
        due
    }

    /// Notes that the last session has ended. True if the record should be saved.
    pub(crate) fn left(&mut self, unix_ms: u64) -> bool {
        let due = unix_ms.saturating_sub(self.seen_unix_ms) >= LEFT_GRAIN_MS;
        if due {
            self.seen_unix_ms = unix_ms;
        }
        due
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
    fn nothing_is_lost() {
        let mut rich = AccountRecord { disabled: true, device_name: Some("phone".into()), ..record() };
        rich.lock = Some(RegistrationLock { salt: "s".into(), hash: "h".into(), iterations: 3 });
        rich.extra.insert("avatar".into(), "x".into());
        for before in [record(), rich] {
            let name = before.name.clone();
            assert_eq!(ResidentRecord::new(before.clone()).record(name), before);
        }
    }

    #[test]
    fn small() {
        assert!(ResidentRecord::new(record()).rare.is_none());
        assert!(size_of::<ResidentRecord>() <= 200, "{}", size_of::<ResidentRecord>());
    }

    #[test]
    fn activity_is_noted_coarsely() {
        let mut record = ResidentRecord::new(record());
        assert!(!record.seen(5_000 + SEEN_GRAIN_MS - 1));
        assert!(record.seen(5_000 + SEEN_GRAIN_MS));
        assert!(!record.seen(5_000 + SEEN_GRAIN_MS));
        assert!(!record.seen(0), "a clock set back does no harm");
        let seen = record.seen_unix_ms();
        assert!(!record.left(seen + LEFT_GRAIN_MS - 1) && record.left(seen + LEFT_GRAIN_MS));
        assert_eq!(record.seen_unix_ms(), seen + LEFT_GRAIN_MS);
    }
}
