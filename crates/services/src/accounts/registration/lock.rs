//! The registration lock: a PIN that its user sets, so that whoever reads their SMS can't take the number.

use super::{Registrar, RegistrationError};
use crate::accounts::{AccountName, PlainCheck, RegistrationLock};
use crate::command::{Expected, Refusal};
use rand::CryptoRng;

impl Registrar {
    /// Sets the lock's PIN, or with `None` takes the lock away. `user` is the number, `key` its key or password.
    pub fn set_lock(
        &self,
        user: &str,
        key: &str,
        pin: Option<&str>,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), RegistrationError> {
        if pin.is_some_and(|pin| !RegistrationLock::is_acceptable(pin)) {
            return Err(RegistrationError::BadLockPin);
        }
        let name = AccountName::parse(user).map_err(|_| RegistrationError::NotAuthorized)?;
        self.limits().take(self.policy.per_key(), &name.to_string(), now_unix_ms)?;
        let mut record = self.account(&name)?.ok_or(RegistrationError::NotAuthorized)?;
        let right = match record.credentials.check_plain(key) {
            PlainCheck::Right => true,
            PlainCheck::Wrong => false,
            PlainCheck::Slow => record.credentials.check_plain_slowly(key),
        };
        if !right || !name.is_phone() {
            return Err(RegistrationError::NotAuthorized);
        }
        if record.disabled {
            return Err(RegistrationError::AccountDisabled);
        }
        let expected = Expected::Generation(record.generation());
        record.lock = pin.map(|pin| RegistrationLock::make(&self.secret, pin, rng));
        self.owner.set_account(record, expected).map_err(|refusal| match refusal {
            // The key has been replaced since it was checked.
            Refusal::Conflict | Refusal::NoSuchAccount => RegistrationError::NotAuthorized,
            other => RegistrationError::Unavailable(other.to_string()),
        })
    }
}
