//! Proving an account over HTTP: its number and its key, on each request.
//!
//! Promises: a failure says nothing but that it failed, takes the same time whether there is such an account, whatever
//! kind of key it has, and counts against the account's tries; who has the right key of ours is never locked out by others'
//! failures, since such a key can't be guessed. Passwords can, and so are not even looked at once the tries are used up.

use super::{Registrar, RegistrationError};
use crate::accounts::{AccountName, AccountRecord, Credentials, Derivation, ITERATIONS, PlainCheck};
use rand::CryptoRng;

impl Registrar {
    /// The account that `user` (its number, or a service's name) and `key` prove. Takes milliseconds.
    pub fn prove(
        &self,
        user: &str,
        key: &str,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<AccountRecord, RegistrationError> {
        let record = self.prove_even_if_disabled(user, key, now_unix_ms, rng)?;
        if record.disabled {
            return Err(RegistrationError::AccountDisabled);
        }
        Ok(record)
    }

    /// The same, but the caller looks at whether the account may be used.
    pub(super) fn prove_even_if_disabled(
        &self,
        user: &str,
        key: &str,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<AccountRecord, RegistrationError> {
        let name = AccountName::parse(user).map_err(|_| RegistrationError::NotAuthorized)?;
        let record = self.account(&name)?;
        if !self.is_key_of(&name, record.as_ref(), key, now_unix_ms, rng)? {
            return Err(RegistrationError::NotAuthorized);
        }
        record.ok_or(RegistrationError::NotAuthorized)
    }

    /// Whether this is the account's key. Counts against the account's tries if not, also if there is no such account.
    pub(super) fn is_key_of(
        &self,
        name: &AccountName,
        record: Option<&AccountRecord>,
        key: &str,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<bool, RegistrationError> {
        let quick = record.map(|record| record.credentials.check_plain(key));
        if quick == Some(PlainCheck::Right) {
            return Ok(true);
        }
        self.limits().take(self.policy.per_key(), &name.to_string(), now_unix_ms)?;
        let is_right = match record {
            Some(record) if quick == Some(PlainCheck::Slow) => record.credentials.check_plain_slowly(key),
            _ => check_in_vain(key, rng),
        };
        if is_right {
            self.limits().give_back(self.policy.per_key(), &name.to_string())?;
        }
        Ok(is_right)
    }
}

/// As much work as a password's check, and always wrong.
fn check_in_vain(key: &str, rng: &mut (impl CryptoRng + ?Sized)) -> bool {
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    let mut nobody = Credentials::derive("", 0, Derivation { iterations: 1, quick_plain: false }, salt);
    nobody.iterations = ITERATIONS;
    std::hint::black_box(nobody.check_plain_slowly(key));
    false
}
