//! The second half of a registration: the client confirms the code, and the number's account gets a key.

use super::begin::cut;
use super::continuity::Verdict;
use super::former::{Present, Proved, Wrong};
use super::session::{Guess, Session};
use super::{Confirmation, Kept, Registered, Registrar, RegistrationError, TRIES_MAX, Table, check_id};
use crate::account::credentials::{Credentials, Derivation, make_key};
use crate::account::name::AccountName;
use crate::account::phone::Phone;
use crate::account::record::AccountRecord;
use crate::effects::turn::command::{Arrive, Expected, Refusal};
use crate::rooms::accounts::registration::REGISTRATIONS;
use crate::rooms::accounts::verification::{hash_code, normalise_code};
use chaski_store::records::Put;
use chaski_store::{Revision, StoreError};
use rand::CryptoRng;
use std::net::IpAddr;

/// Bytes of a password that a client chose.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 12..=512;
/// A race for an account's record is with the operator or another registration, and so rare.
const RECORD_TRIES_MAX: usize = 3;

/// A key to be given to a number.
struct NewSecret<'a> {
    name: AccountName,
    secret: &'a str,
    derivation: Derivation,
    device_name: Option<String>,
    now_unix_ms: u64,
}

/// What earlier tries have done for a registration: it must be neither repeated nor lost.
#[derive(Default)]
struct Progress {
    contacts_told: bool,
    /// What is kept of an account that has been taken away, to be written with the next account's record.
    rest: Option<(AccountRecord, Vec<Put>)>,
    /// The generation of the account that was taken away.
    taken_away: Option<u32>,
}

impl Registrar {
    /// A client confirms the code: makes a fresh key for the number.
    pub fn confirm(
        &self,
        id: &str,
        confirmation: Confirmation<'_>,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Registered, RegistrationError> {
        check_id(id)?;
        let (phone, proved) = self.redeem(id, &confirmation, now_unix_ms)?;
        let (key, name) = (make_key(rng), AccountName::Phone(phone.number()));
        let device_name = confirmation.device_name.map(cut);
        let new = NewSecret { name, secret: &key, derivation: Derivation::KEY, device_name, now_unix_ms };
        let kept = self.install(&new, proved, rng).inspect_err(|_| self.restore(id))?;
        Ok(Registered { phone, key, kept })
    }

    /// A client that chooses its own password confirms the code (Quicksy).
    pub fn confirm_password(
        &self,
        number: &str,
        (code, network): (&str, Option<IpAddr>),
        password: &str,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Registered, RegistrationError> {
        let phone = Phone::parse(number)?;
        let id = self.number_id(phone, network);
        if !PASSWORD_BYTES.contains(&password.len()) || password.contains('\0') {
            return Err(RegistrationError::BadPassword);
        }
        self.join_by_number(&id, phone, network, now_unix_ms)?;
        let confirmation = Confirmation { code, network, ..Confirmation::default() };
        let (phone, proved) = self.redeem(&id, &confirmation, now_unix_ms)?;
        let (name, derivation) = (AccountName::Phone(phone.number()), Derivation::PASSWORD);
        let new = NewSecret { name, secret: password, derivation, device_name: None, now_unix_ms };
        let kept = self.install(&new, proved, rng).inspect_err(|_| self.restore(&id))?;
        Ok(Registered { phone, key: String::new(), kept })
    }

    /// Checks the code, and spends a guess if it is wrong or the registration if it is right. Which of the two is durable before
    /// the client learns it, and each of several calls that race each other is counted.
    pub(super) fn redeem(
        &self,
        id: &str,
        confirmation: &Confirmation<'_>,
        now_unix_ms: u64,
    ) -> Result<(Phone, Proved), RegistrationError> {
        let code = normalise_code(confirmation.code).ok_or(RegistrationError::NotACode)?;
        for _ in 0..TRIES_MAX {
            let (session, revision) = self.find(id)?.ok_or(RegistrationError::Unknown)?;
            session.check_open(now_unix_ms)?;
            let found = (session, revision);
            let verdict = match found.0.host.clone() {
                None => self.try_own(id, found, &code, confirmation, now_unix_ms)?,
                Some(host) => self.try_joined((id, &host), found, &code, confirmation, now_unix_ms)?,
            };
            if let Some(verdict) = verdict {
                if verdict.is_err() {
                    self.metrics.wrong_guesses_total.inc();
                }
                return verdict;
            }
        }
        Err(RegistrationError::Unavailable("too many tries at once for one registration".to_owned()))
    }

    /// Checks a code that the registration itself has sent. `None`: another call was quicker, and the check has to be repeated.
    fn try_own(
        &self,
        id: &str,
        (mut session, revision): (Session, Revision),
        code: &str,
        confirmation: &Confirmation<'_>,
        now_unix_ms: u64,
    ) -> Result<Option<Redeemed>, RegistrationError> {
        let guess = session.guess(&hash_code(&self.secrets.root, id, code), now_unix_ms)?;
        let verdict = match self.judge(guess, session.phone, confirmation, now_unix_ms)? {
            Ok(redeemed) => {
                session.set_used(true);
                Ok(redeemed)
            }
            Err(miss) => Err(miss.error(session.spend_guess())),
        };
        Ok(self.swap(id, &session, revision)?.then_some(verdict))
    }

    /// Checks a code of the host registration. Only the host decides whether it is right, since several registrations share it.
    fn try_joined(
        &self,
        (id, host_id): (&str, &str),
        (mut session, revision): (Session, Revision),
        code: &str,
        confirmation: &Confirmation<'_>,
        now_unix_ms: u64,
    ) -> Result<Option<Redeemed>, RegistrationError> {
        let host = self.find(host_id)?;
        let hash = hash_code(&self.secrets.root, host_id, code);
        let guess = host.as_ref().map_or(Guess::Wrong, |(host, _)| host.joined_guess(&hash, now_unix_ms));
        let judged = self.judge(guess, session.phone, confirmation, now_unix_ms)?;
        if let Some((mut host, revision)) = host {
            match &judged {
                Ok(_) => host.set_used(true),
                Err(_) => host.spend_joined_guess(),
            }
            if !self.swap(host_id, &host, revision)? {
                return Ok(None);
            }
        }
        let verdict = match judged {
            Ok(redeemed) => {
                session.set_used(true);
                Ok(redeemed)
            }
            Err(miss) => Err(miss.error(session.spend_guess())),
        };
        // If this write fails, the joined registration keeps one guess too many; the host has counted it.
        if let Err(error) = self.swap(id, &session, revision) {
            tracing::warn!(%error, "a guess was not counted where it was made");
        }
        Ok(Some(verdict))
    }

    fn judge(
        &self,
        guess: Guess,
        number: u64,
        confirmation: &Confirmation<'_>,
        now_unix_ms: u64,
    ) -> Result<Result<(Phone, Proved), Miss>, RegistrationError> {
        if guess == Guess::Wrong {
            return Ok(Err(Miss::Code));
        }
        let phone = Phone::parse(&format!("+{number}"))?;
        let proved = self.gate(phone, confirmation, now_unix_ms)?;
        Ok(proved.map(|proved| (phone, proved)).map_err(Miss::Proof))
    }

    /// Writes a registration unless it has been changed since it was read. Returns whether it was written.
    fn swap(&self, id: &str, session: &Session, revision: Revision) -> Result<bool, RegistrationError> {
        match self.records.put_if(REGISTRATIONS, id, &session.to_json(), Some(revision)) {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What the confirmation proves besides the number. An error: this is not enough for the account to get a new key.
    fn gate(
        &self,
        phone: Phone,
        confirmation: &Confirmation<'_>,
        now_unix_ms: u64,
    ) -> Result<Result<Proved, Wrong>, RegistrationError> {
        let name = AccountName::Phone(phone.number());
        let present = self.present(&name)?;
        if let Some(Present { record, .. }) = &present
            && record.disabled
            && record.moving_to().is_none()
        {
            return Err(RegistrationError::AccountDisabled);
        }
        let weighed = self.weigh(&name, present.as_ref(), confirmation, now_unix_ms)?;
        if let (Some(present), Ok(proved)) = (&present, weighed) {
            check_unlocked(present.verdict(proved, self.terms(), now_unix_ms))?;
        }
        Ok(weighed)
    }

    /// Gives the number's account the secret; makes the account if there is none, or if the present one is taken for another
    /// person's. Returns what was kept of the present one.
    fn install(
        &self,
        new: &NewSecret<'_>,
        proved: Proved,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Kept, RegistrationError> {
        let mut progress = Progress::default();
        for _ in 0..RECORD_TRIES_MAX {
            match self.try_to_install(new, proved, &mut progress, rng) {
                Ok(Ok(kept)) => {
                    self.metrics.registered_total.inc();
                    tracing::info!(account = ?new.name, ?kept, "a number was registered");
                    return Ok(kept);
                }
                Ok(Err(Refusal::Conflict | Refusal::NoSuchAccount)) => {}
                Ok(Err(refusal)) => return Err(refusal.into()),
                Err(error) => return Err(error),
            }
        }
        Err(RegistrationError::Unavailable("the account is being changed by somebody else".to_owned()))
    }

    /// One try of [`Self::install`]. The decision about the account is made anew in each try, since the account may have been
    /// used meanwhile.
    fn try_to_install(
        &self,
        new: &NewSecret<'_>,
        proved: Proved,
        progress: &mut Progress,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Result<Kept, Refusal>, RegistrationError> {
        let Some(present) = self.present(&new.name)? else { return Ok(self.make(new, progress, rng)) };
        let verdict = present.verdict(proved, self.terms(), new.now_unix_ms);
        check_unlocked(verdict)?;
        let Some(record) = self.settled(present.record.clone())? else {
            return Ok(self.make(new, progress, rng));
        };
        if verdict == Verdict::KeepAll {
            let expected = Expected::Generation(record.generation());
            let record = new.in_place_of(record, self.salt(&new.name));
            if let Err(refusal) = self.set_account(record, expected) {
                return Ok(Err(refusal));
            }
            // If this fails, the client gets no key, and the next registration tells the contacts.
            self.tell_contacts(&new.name, false, new.now_unix_ms)?;
            return Ok(Ok(Kept::All));
        }
        if verdict == Verdict::KeepProfile {
            let rest = AccountRecord { lock: None, ..record.clone() };
            progress.rest = Some((rest, self.profile(&new.name)?));
        }
        if !std::mem::replace(&mut progress.contacts_told, true) {
            // This is done before the account is taken away: its contacts are known only as long as it exists.
            self.tell_contacts(&new.name, true, new.now_unix_ms)?;
        }
        if let Err(refusal) = self.take_away(&present) {
            progress.rest = None;
            return Ok(Err(refusal));
        }
        self.metrics.taken_away_total.inc();
        progress.taken_away = Some(record.generation());
        Ok(self.make(new, progress, rng))
    }

    /// Makes an account where none is.
    fn make(
        &self,
        new: &NewSecret<'_>,
        progress: &mut Progress,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Kept, Refusal> {
        if let Some((rest, puts)) = &progress.rest {
            let record = Box::new(new.in_place_of(rest.clone(), self.salt(&new.name)));
            let request = Arrive { record, puts: puts.clone() };
            return self.owners.ask(new.name.account(), request).map(|()| Kept::Profile);
        }
        // A client that has proved the key of the previous account must not get in, so the generation is another one.
        let credentials = match progress.taken_away {
            Some(generation) => new.credentials(generation, self.salt(&new.name)),
            None => new.credentials(0, self.salt(&new.name)).of_new_account(rng),
        };
        let mut record = AccountRecord::new(new.name.clone(), credentials, new.now_unix_ms);
        record.device_name.clone_from(&new.device_name);
        self.set_account(record, Expected::Absent).map(|()| Kept::Nothing)
    }

    /// No key was made after all: the code can be confirmed again. If even that can't be written, the client has to begin anew.
    pub(super) fn restore(&self, id: &str) {
        let restored = self.unuse(id).and_then(|host| host.map_or(Ok(None), |host| self.unuse(&host)));
        if let Err(error) = restored {
            tracing::warn!(%error, "a registration that failed can't be restored");
        }
    }

    /// Marks the registration as not used. Returns the host whose codes it shares, if it does.
    fn unuse(&self, id: &str) -> Result<Option<String>, RegistrationError> {
        let Some((mut session, revision)) = self.find(id)? else { return Ok(None) };
        session.set_used(false);
        self.write(id, &session, Some(revision))?;
        Ok(session.host)
    }

    /// The account's record as the store has it.
    pub(super) fn account(&self, name: &AccountName) -> Result<Option<AccountRecord>, RegistrationError> {
        let Some(found) = self.records.get(Table::ACCOUNTS, &name.account().record_key())? else {
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

/// What came of a code.
type Redeemed = Result<(Phone, Proved), RegistrationError>;

/// What was wrong, so that a guess is spent.
enum Miss {
    Code,
    Proof(Wrong),
}

impl Miss {
    fn error(self, guesses_left: u32) -> RegistrationError {
        match (self, guesses_left) {
            (_, 0) => RegistrationError::Dead,
            (Self::Code, guesses_left) => RegistrationError::WrongCode { guesses_left },
            (Self::Proof(Wrong::LockPin), guesses_left) => RegistrationError::WrongLockPin { guesses_left },
            (Self::Proof(Wrong::Proof), guesses_left) => RegistrationError::WrongProof { guesses_left },
        }
    }
}

fn check_unlocked(verdict: Verdict) -> Result<(), RegistrationError> {
    match verdict {
        Verdict::Locked { retry_after_ms } => Err(RegistrationError::Locked { retry_after_ms }),
        Verdict::KeepAll | Verdict::KeepProfile | Verdict::KeepNothing => Ok(()),
    }
}

impl NewSecret<'_> {
    fn credentials(&self, former: u32, salt: [u8; 16]) -> Credentials {
        Credentials::derive(self.secret, former.wrapping_add(1).max(1), self.derivation, salt)
    }

    /// The record with this key, in place of the record of the account that had the number.
    fn in_place_of(&self, record: AccountRecord, salt: [u8; 16]) -> AccountRecord {
        let credentials = self.credentials(record.generation(), salt);
        AccountRecord {
            device_name: self.device_name.clone(),
            ..record.with_key(credentials, self.now_unix_ms)
        }
    }
}
