//! Proving an account over HTTP: its number and its key, on each request.
//!
//! Promises: a failure says nothing but that it failed, is as much work whether there is such an account, whatever kind of
//! key it has, and counts against its network's tries ([`crate::rooms::accounts::guesses`]); nothing of it is written. Who has the right key of ours is never
//! kept waiting by failures, since such a key can't be guessed. Passwords can, and so are not even looked at once
//! the tries are used up.
//!
//! What takes milliseconds is the caller's to do, elsewhere: [`SlowClaim`].

use super::{Network, Registrar, RegistrationError};
use crate::account::credentials::{Credentials, PlainCheck};
use crate::account::name::AccountName;
use crate::account::record::AccountRecord;
use chaski_store::AccountId;
use chaski_xmpp::sasl::Salting;

/// What came of a user and a key.
#[expect(clippy::large_enum_variant, reason = "the large one is what nearly all are")]
pub enum Claim {
    /// The account is proved. It may be switched off.
    Proved(AccountRecord),
    /// Only a slow check can tell.
    Slow(SlowClaim),
}

/// A claim that is wrong, or is of a password. One try has been taken for it; [`Registrar::settle`] says what came of it.
pub struct SlowClaim {
    record: Option<Box<AccountRecord>>,
    account: AccountId,
    network: Network,
    /// Whose check is to be made: the account's, or nobody's.
    pub credentials: Box<Credentials>,
    /// Of what.
    pub key: String,
}

impl Registrar {
    /// Looks at the claim that `key` is that of `user`, an account's number or a service's name, as far as that is quick.
    pub fn claim(
        &self,
        user: &str,
        key: String,
        network: Network,
        now_unix_ms: u64,
    ) -> Result<Claim, RegistrationError> {
        let name = AccountName::parse(user).map_err(|_| RegistrationError::NotAuthorized)?;
        let record = self.account(&name)?;
        self.claim_of(&name, record, key, network, now_unix_ms)
    }

    fn claim_of(
        &self,
        name: &AccountName,
        record: Option<AccountRecord>,
        key: String,
        network: Network,
        now_unix_ms: u64,
    ) -> Result<Claim, RegistrationError> {
        let account = name.account();
        let credentials = match record.as_ref().map(|record| &record.credentials) {
            None => Credentials::decoy(&Salting::of_server(&self.secret), &name.to_string()),
            Some(credentials) => credentials.clone(),
        };
        let record = match record {
            Some(record) if credentials.check_plain(&key) == PlainCheck::Right => {
                return Ok(Claim::Proved(record));
            }
            record => record.map(Box::new),
        };
        self.guesses
            .take(network, account, now_unix_ms)
            .map_err(|retry_after_ms| RegistrationError::TooManyTries { retry_after_ms })?;
        let credentials = Box::new(credentials);
        Ok(Claim::Slow(SlowClaim { record, account, network, credentials, key }))
    }

    /// The slow check has been made; `None`: it could not be.
    pub fn settle(
        &self,
        claim: SlowClaim,
        is_right: Option<bool>,
    ) -> Result<AccountRecord, RegistrationError> {
        let SlowClaim { record, account, network, .. } = claim;
        if is_right != Some(false) {
            self.guesses.give_back(network, account);
        }
        match (is_right, record) {
            (Some(true), Some(record)) => Ok(*record),
            (Some(_), _) => Err(RegistrationError::NotAuthorized),
            (None, _) => Err(RegistrationError::Unavailable("too many keys are being checked".to_owned())),
        }
    }

    /// The same in one step, which takes milliseconds if the key is wrong or a password.
    pub fn prove(
        &self,
        user: &str,
        key: &str,
        network: Network,
        now_unix_ms: u64,
    ) -> Result<AccountRecord, RegistrationError> {
        match self.claim(user, key.to_owned(), network, now_unix_ms)? {
            Claim::Proved(record) => Ok(record),
            Claim::Slow(claim) => {
                let is_right = claim.credentials.check_plain_slowly(&claim.key);
                self.settle(claim, Some(is_right))
            }
        }
    }

    /// Whether this is the key that the account had until now. For those who have shown a right code, which bounds how often
    /// it is asked; so it may take its milliseconds here.
    pub(super) fn is_key_of(
        &self,
        name: &AccountName,
        record: Option<&AccountRecord>,
        key: &str,
        network: Network,
        now_unix_ms: u64,
    ) -> Result<bool, RegistrationError> {
        match self.claim_of(name, record.cloned(), key.to_owned(), network, now_unix_ms)? {
            Claim::Proved(_) => Ok(true),
            Claim::Slow(claim) => {
                let is_right = claim.credentials.check_plain_slowly(&claim.key);
                match self.settle(claim, Some(is_right)) {
                    Ok(_) => Ok(true),
                    Err(RegistrationError::NotAuthorized) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        }
    }
}
