//! The second half of a registration: the code comes back, and the number gets a key.

use super::session::{Guess, Session};
use super::{
    Confirmation, Registered, Registrar, RegistrationError, TRIES_MAX, Table, check_id, cut, number_id,
};
use crate::accounts::phone::Phone;
use crate::accounts::verification::{hash_code, normalise_code};
use crate::accounts::{AccountName, AccountRecord, Credentials, Derivation, make_key};
use crate::command::{Expected, Refusal};
use rand::CryptoRng;

/// Without its PIN a registration lock gives way after this time of silence.
const SILENCE_MS: u64 = 7 * 24 * 3_600_000;
/// Bytes of a password that a client chose.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 12..=512;
/// A race for an account's record is with the operator or another registration: rare.
const RECORD_TRIES_MAX: usize = 3;

/// How a right code meets the account's registration lock.
pub(super) enum Gate {
    /// There is none, or it was opened.
    Open,
    /// It has given way to silence, and is gone.
    Fallen,
    WrongPin,
}

impl Registrar {
    /// The code has come: makes a fresh key for the number.
    pub fn confirm(
        &self,
        id: &str,
        confirmation: Confirmation<'_>,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Registered, RegistrationError> {
        check_id(id)?;
        let (phone, gate) = self.redeem(id, &confirmation, now_unix_ms)?;
        let key = make_key(rng);
        let device = confirmation.device_name.map(cut);
        let outcome = self.install(phone, &key, Derivation::KEY, device, gate, now_unix_ms, rng);
        let created = outcome.inspect_err(|_| self.restore(id))?;
        Ok(Registered { phone, key, created })
    }

    /// The code has come from a client that chooses its own password (Quicksy).
    pub fn confirm_password(
        &self,
        number: &str,
        code: &str,
        password: &str,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Registered, RegistrationError> {
        let id = number_id(Phone::parse(number)?);
        if !PASSWORD_BYTES.contains(&password.len()) || password.contains('\0') {
            return Err(RegistrationError::BadPassword);
        }
        let confirmation = Confirmation { code, ..Confirmation::default() };
        let (phone, gate) = self.redeem(&id, &confirmation, now_unix_ms)?;
        let outcome = self.install(phone, password, Derivation::PASSWORD, None, gate, now_unix_ms, rng);
        let created = outcome.inspect_err(|_| self.restore(&id))?;
        Ok(Registered { phone, key: String::new(), created })
    }

    /// Checks the code and spends either a guess or the registration; which, is durable before anybody learns it, and
    /// of calls that race each other each is counted.
    pub(super) fn redeem(
        &self,
        id: &str,
        confirmation: &Confirmation<'_>,
        now_unix_ms: u64,
    ) -> Result<(Phone, Gate), RegistrationError> {
        let code = normalise_code(confirmation.code).ok_or(RegistrationError::NotACode)?;
        let hash = hash_code(&self.secret, id, &code);
        for _ in 0..TRIES_MAX {
            let (mut session, revision) = self.find(id)?.ok_or(RegistrationError::Unknown)?;
            let guess = session.guess(&hash, now_unix_ms)?;
            let phone = Phone::parse(&format!("+{}", session.phone))?;
            let verdict = match guess {
                Guess::Right => match self.gate(phone, confirmation.lock_pin, now_unix_ms)? {
                    Gate::WrongPin => Err(wrong_lock_pin(session.spend_guess())),
                    gate => {
                        session.set_used(true);
                        Ok((phone, gate))
                    }
                },
                Guess::Wrong => Err(wrong_code(session.spend_guess())),
            };
            match self.records.put_if(Table::Registrations, id, &session.to_json(), Some(revision)) {
                Ok(_) => {
                    if verdict.is_err() {
                        self.metrics.wrong_guesses_total.inc();
                    }
                    return verdict;
                }
                Err(chaski_store::StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RegistrationError::Unavailable("too many tries at once for one registration".to_owned()))
    }

    fn gate(&self, phone: Phone, pin: Option<&str>, now_unix_ms: u64) -> Result<Gate, RegistrationError> {
        let Some(record) = self.account(&AccountName::Phone(phone.number()))? else { return Ok(Gate::Open) };
        if record.disabled && record.moving_to().is_none() {
            return Err(RegistrationError::AccountDisabled);
        }
        let Some(lock) = &record.lock else { return Ok(Gate::Open) };
        match pin {
            Some(pin) if lock.opens(&self.secret, pin) => Ok(Gate::Open),
            Some(_) => Ok(Gate::WrongPin),
            None => {
                let active = record.seen_unix_ms.max(record.registered_unix_ms);
                let retry_after_ms = (active + SILENCE_MS).saturating_sub(now_unix_ms);
                if retry_after_ms == 0 {
                    return Ok(Gate::Fallen);
                }
                Err(RegistrationError::Locked { retry_after_ms })
            }
        }
    }

    /// Gives the number's account the secret, making the account if there is none. True if it was made.
    #[expect(clippy::too_many_arguments, reason = "one caller's flow, cut in two for length")]
    fn install(
        &self,
        phone: Phone,
        secret: &str,
        derivation: Derivation,
        device_name: Option<String>,
        gate: Gate,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<bool, RegistrationError> {
        let name = AccountName::Phone(phone.number());
        for _ in 0..RECORD_TRIES_MAX {
            let present = self.account(&name)?.map(|record| self.settled(record)).transpose()?.flatten();
            let created = present.is_none();
            let generation = present.as_ref().map_or(1, |record| record.generation().wrapping_add(1).max(1));
            let credentials = Credentials::derive(secret, generation, derivation, rng);
            let (mut record, expected) = match present {
                None => {
                    let credentials = credentials.of_new_account();
                    (AccountRecord::new(name.clone(), credentials, now_unix_ms), Expected::Absent)
                }
                Some(record) => {
                    let expected = Expected::Generation(record.generation());
                    (record.with_key(credentials, now_unix_ms), expected)
                }
            };
            record.device_name = device_name.clone();
            if matches!(gate, Gate::Fallen) {
                record.lock = None;
            }
            match self.owner.set_account(record, expected) {
                Ok(()) => {
                    self.metrics.registered_total.inc();
                    tracing::info!(account = ?phone, created, generation, "a number was registered");
                    return Ok(created);
                }
                Err(Refusal::Conflict | Refusal::NoSuchAccount) => {}
                Err(refusal) => return Err(RegistrationError::Unavailable(refusal.to_string())),
            }
        }
        Err(RegistrationError::Unavailable("the account is being changed by somebody else".to_owned()))
    }

    /// No key was made after all: the code may be given again. If even that can't be written, the client begins anew.
    pub(super) fn restore(&self, id: &str) {
        let outcome = self.find(id).and_then(|found| {
            let Some((mut session, revision)) = found else { return Ok(()) };
            Session::set_used(&mut session, false);
            self.write(id, &session, Some(revision)).map(drop)
        });
        if let Err(error) = outcome {
            tracing::warn!(%error, "a registration that failed can't be restored");
        }
    }

    /// The account's record as the store has it.
    pub(super) fn account(&self, name: &AccountName) -> Result<Option<AccountRecord>, RegistrationError> {
        let Some(found) = self.records.get(Table::Accounts, &name.account().record_key())? else {
            return Ok(None);
        };
        let record = AccountRecord::from_json(&found.value)
            .and_then(|record| record.belongs_to(name).map(|()| record))
            .map_err(|error| {
                tracing::error!(account = ?name, %error, "an account's record can't be read");
                RegistrationError::Unavailable(error.to_string())
            })?;
        Ok(Some(record))
    }
}

fn wrong_code(guesses_left: u32) -> RegistrationError {
    match guesses_left {
        0 => RegistrationError::Dead,
        guesses_left => RegistrationError::WrongCode { guesses_left },
    }
}

fn wrong_lock_pin(guesses_left: u32) -> RegistrationError {
    match guesses_left {
        0 => RegistrationError::Dead,
        guesses_left => RegistrationError::WrongLockPin { guesses_left },
    }
}
