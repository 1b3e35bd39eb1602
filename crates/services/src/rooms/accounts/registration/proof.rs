//! Proving an account over HTTP: each request has the account's number and its key.
//!
//! Promises: a failure says nothing but that it failed; it takes as much work whether there is such an account, and whatever kind
//! of key it has; it counts against the tries of its network ([`crate::rooms::accounts::guesses`]); nothing of it is written. A
//! client with the right key made by the server is never kept waiting by failures of others, since such a key can't be guessed. A
//! password can be guessed, and so is not even checked when the tries are used up.
//!
//! Checks that take milliseconds are made by the caller, off the shards: [`SlowClaim`].

use super::{Network, Registrar, RegistrationError};
use crate::account::credentials::{Credentials, PlainCheck};
use crate::account::name::AccountName;
use crate::account::record::AccountRecord;
use chaski_store::AccountId;
use chaski_xmpp::sasl::Salting;

/// The result of the quick check.
#[expect(clippy::large_enum_variant, reason = "the large one is what nearly all are")]
pub enum Claim {
    /// The account is proved. It may be switched off.
    Proved(AccountRecord),
    /// Only a slow check can tell whether the key is right.
    Slow(SlowClaim),
}

/// A key that is wrong or a password. One try has been charged for it; [`Registrar::settle`] has to be told the result.
pub struct SlowClaim {
    record: Option<Box<AccountRecord>>,
    account: AccountId,
    network: Network,
    /// The credentials to check against: the account's, or a decoy if there is no account.
    pub credentials: Box<Credentials>,
    /// The key to be checked.
    pub key: String,
}

impl Registrar {
    /// Checks the claim that `key` is the key of `user` (a number or a service name) as far as that is quick.
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
            None => Credentials::decoy(&Salting::of_server(&self.secrets.root), &name.to_string()),
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

    /// The slow check has been made. `None`: it could not be made.
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

    /// The quick check, and the slow one if it is needed: takes milliseconds if the key is wrong or a password.
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

    /// Whether this is the key that the account had until now. Only for clients that have confirmed a right code, which bounds
    /// how often this is called; so it may take its milliseconds here.
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
