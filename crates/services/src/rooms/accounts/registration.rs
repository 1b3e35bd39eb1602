//! Registration: how somebody who can read a number's SMS gets the key of the number's account.
//!
//! Owns `REGISTRATIONS`, and through [`limits`](super::limits) `LIMITS`. Called by the HTTP side on
//! threads that may block (each call is some durable writes); the time and randomness are arguments. Writes no
//! account itself: that is done by the account's owner shard, which also ends the sessions of older keys, through [`Owners`].
//!
//! Promises, all of them across restarts and for calls that race each other:
//! - a code is right for ten minutes; all codes of a registration together can be guessed five times;
//! - a registration gives out at most one key, and with it ends every session of the number's older keys;
//! - whoever does not prove to be the person that had the number before inherits nothing of an account that was silent for long;
//! - nobody who can read a number's SMS is kept from registering it by requests of strangers in a few other networks ([`joined`]);
//! - no SMS is sent beyond the budgets of [`Policy`]; numbers reserved for fiction never get a real one.

mod begin;
mod confirm;
mod continuity;
mod error;
mod former;
mod joined;
mod lock;
mod moving;
mod policy;
mod proof;
mod session;

pub use error::RegistrationError;
pub use policy::{Policy, Prices, TestNumbers};
pub use proof::{Claim, SlowClaim};
pub use session::Standing;

use super::guesses::{Allowances, Guesses};
use super::limits::{Limits, purge};
use super::verification::Code;
use crate::account::name::AccountName;
use crate::account::network::Network;
use crate::account::phone::Phone;
use crate::account::record::AccountRecord;
use crate::effects::owners::Owners;
use crate::effects::turn::command::{Expected, Refusal, SetAccount};
use begin::Asker;
use chaski_store::{Records, Revision, Secrets, StoreError, Table};
use chaski_xmpp::sasl::Salting;
use serde::{Deserialize, Serialize};
use session::Session;
use std::net::IpAddr;
use std::sync::Arc;

/// Registrations that wait for their PIN, by registration id.
pub(crate) const REGISTRATIONS: Table = Table::new("registrations");

/// Tries of a compare-and-set before the registration counts as overloaded.
const TRIES_MAX: usize = 8;
/// Longest locale, client and device name that are kept.
const TEXT_CHARS_MAX: usize = 100;

/// How a code travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A text message.
    Sms,
    /// A call.
    Voice,
}

/// A wish to register.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The number as the client gave it.
    pub phone: &'a str,
    /// How the code is to travel.
    pub transport: Transport,
    /// The language of the text, e.g. `de` or `pt-BR`.
    pub locale: Option<&'a str>,
    /// The client's name and version, for the operator.
    pub client: Option<&'a str>,
    /// The address that the request comes from.
    pub network: Option<IpAddr>,
}

/// A code that has to be sent now. It exists in clear only here.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// To whom.
    pub phone: Phone,
    /// What.
    pub code: Code,
    /// How.
    pub transport: Transport,
    /// In which language.
    pub locale: Option<String>,
}

impl Delivery {
    /// Whether it may leave the machine: not for numbers reserved for fiction, whose code goes to the log.
    pub fn is_real(&self) -> bool {
        !self.phone.is_fictitious()
    }
}

/// A registration that waits for a code to be confirmed.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Its id.
    pub id: String,
    /// What the client may do, and when.
    pub standing: Standing,
    /// The code that must be sent now; if sending fails, call [`Registrar::delivery_failed`]. `None`: no more codes are sent to
    /// this number for a while, and the code that was sent last is right, if there was one lately.
    pub delivery: Option<Delivery>,
    asker: Asker,
    /// The registration that had sent the number's latest code before this one.
    former: Option<String>,
}

/// The code, and what else proves the number or the person.
#[derive(Debug, Clone, Copy, Default)]
pub struct Confirmation<'a> {
    /// The code as typed.
    pub code: &'a str,
    /// What the client calls its device.
    pub device_name: Option<&'a str>,
    /// The registration lock's PIN.
    pub lock_pin: Option<&'a str>,
    /// The key that the number's account had until now; it proves that this is the same person.
    pub previous_key: Option<&'a str>,
    /// A FAST token (XEP-0484) of one of the account's devices; it proves that this is the same person.
    pub device_token: Option<&'a str>,
    /// The address that the confirmation comes from.
    pub network: Option<IpAddr>,
}

/// A number has a new key.
#[derive(Clone)]
pub struct Registered {
    /// The number.
    pub phone: Phone,
    /// The key, for the client only. Empty if the client chose a password.
    pub key: String,
    /// What the account keeps of the one that the number had before.
    pub kept: Kept,
}

impl Registered {
    /// Whether the account is a new one.
    pub fn is_new(&self) -> bool {
        self.kept == Kept::Nothing
    }
}

/// What an account with a new key has of the one that the number had before. docs/registration.md says when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kept {
    /// Everything except the devices and their tokens.
    #[serde(rename = "everything")]
    All,
    /// What others were shown, and the privacy settings. No messages, contacts, block list, bookmarks.
    #[serde(rename = "profile")]
    Profile,
    /// Nothing, or the number had no account.
    #[serde(rename = "nothing")]
    Nothing,
}

chaski_telemetry::metrics! {
    /// What registration counts.
    pub struct RegistrationMetrics("chaski_registration") {
        /// Registrations begun.
        begun_total: Counter,
        /// Further codes of registrations.
        codes_again_total: Counter,
        /// Registrations that share the code that was sent to their number last.
        joined_total: Counter,
        /// Requests refused by a limit.
        limited_total: Counter,
        /// Wrong codes and wrong PINs of locks.
        wrong_guesses_total: Counter,
        /// PINs of locks not looked at, because there were too many wrong ones.
        lock_pins_refused_total: Counter,
        /// Keys given out.
        registered_total: Counter,
        /// Of those, the ones before which the account that the number had was taken away.
        taken_away_total: Counter,
        /// Contacts told that a key is new.
        contacts_told_total: Counter,
        /// Contacts not told of it, because their mailbox is full, say.
        contacts_not_told_total: Counter,
        /// Numbers changed to another one.
        numbers_changed_total: Counter,
    }
}

#[cfg(test)]
impl Begun {
    /// The code that is to be sent, with its recipient. For tests.
    pub(crate) fn sent(&self) -> &Delivery {
        self.delivery.as_ref().expect("a code is sent")
    }

    /// The code that is sent.
    pub(crate) fn code(&self) -> &Code {
        &self.sent().code
    }
}

/// Registers numbers: see the module.
pub struct Registrar {
    records: Arc<dyn Records>,
    secrets: Secrets,
    owners: Owners,
    policy: Policy,
    guesses: Arc<Guesses>,
    metrics: Arc<RegistrationMetrics>,
}

impl Registrar {
    /// Over the store's records; `secrets` are [`chaski_store::Engine::secrets`].
    pub fn new(
        records: Arc<dyn Records>,
        secrets: impl Into<Secrets>,
        owners: Owners,
        policy: Policy,
    ) -> Self {
        let secrets = secrets.into();
        let guesses = Arc::new(Guesses::new(Allowances::default(), secrets.root));
        Self { records, secrets, owners, policy, guesses, metrics: Arc::default() }
    }

    /// Counts wrong keys in these tables, which other logins use, too.
    pub fn with_guesses(self, guesses: Arc<Guesses>) -> Self {
        Self { guesses, ..self }
    }

    /// Has an account's owner write its record.
    fn set_account(&self, record: AccountRecord, expected: Expected) -> Result<(), Refusal> {
        let account = record.name.account();
        self.owners.ask(account, SetAccount { record: Box::new(record), expected })
    }

    /// The salt of an account's name.
    fn salt(&self, name: &AccountName) -> [u8; 16] {
        Salting::of_server(&self.secrets.root).salt(&name.to_string())
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<RegistrationMetrics> {
        self.metrics.clone()
    }

    /// Deletes expired registrations, and limits that are full again. Call every few minutes.
    pub fn purge(&self, now_unix_ms: u64) -> Result<usize, StoreError> {
        let over = |value: &[u8]| match Session::from_json(value) {
            Some(session) => session.is_over(now_unix_ms),
            None => !joined::is_current(value, now_unix_ms),
        };
        Ok(purge(&*self.records, REGISTRATIONS, over)? + self.limits().purge(now_unix_ms)?)
    }

    fn limits(&self) -> Limits<'_> {
        Limits::new(&*self.records, self.secrets.root)
    }

    fn hash(&self, id: &str, code: &Code) -> String {
        super::verification::hash_code(&self.secrets.root, id, code.digits())
    }

    fn find(&self, id: &str) -> Result<Option<(Session, Revision)>, RegistrationError> {
        let Some(found) = self.records.get(REGISTRATIONS, id)? else { return Ok(None) };
        // A damaged registration is of no use to anybody: it is replaced or expires.
        Ok(Session::from_json(&found.value).map(|session| (session, found.revision)))
    }

    fn write(
        &self,
        id: &str,
        session: &Session,
        expected: Option<Revision>,
    ) -> Result<Revision, RegistrationError> {
        self.records.put_if(REGISTRATIONS, id, &session.to_json(), expected).map_err(|error| match error {
            StoreError::Conflict => RegistrationError::TooSoon { retry_after_ms: 1_000 },
            other => other.into(),
        })
    }
}

/// Accepts only ids made by [`verification::make_id`](super::verification::make_id): the other records of the table are reached by number.
fn check_id(id: &str) -> Result<(), RegistrationError> {
    let base64url = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if id.len() == 22 && id.bytes().all(base64url) { Ok(()) } else { Err(RegistrationError::Unknown) }
}

#[cfg(test)]
mod tests;
