//! The registration lock: a PIN that a user sets, so that somebody who can read the number's SMS can't take the number.

use super::{Registrar, RegistrationError};
use crate::account::record::{AccountRecord, RegistrationLock};
use crate::effects::turn::command::{Expected, Refusal};
use rand::CryptoRng;

impl Registrar {
    /// Sets the lock's PIN, or removes the lock (`None`). The key of the account with this `record` has been proved.
    pub fn set_lock(
        &self,
        mut record: AccountRecord,
        pin: Option<&str>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), RegistrationError> {
        if pin.is_some_and(|pin| !RegistrationLock::is_acceptable(pin)) {
            return Err(RegistrationError::BadLockPin);
        }
        if !record.name.is_phone() {
            return Err(RegistrationError::NotAuthorized);
        }
        if record.disabled {
            return Err(RegistrationError::AccountDisabled);
        }
        let expected = Expected::Generation(record.generation());
        record.lock = pin.map(|pin| RegistrationLock::make(&self.secrets.root, pin, rng));
        self.set_account(record, expected).map_err(|refusal| match refusal {
            // The account's key has been replaced since it was proved.
            Refusal::Conflict | Refusal::NoSuchAccount => RegistrationError::NotAuthorized,
            other => RegistrationError::Unavailable(other.to_string()),
        })
    }
}
