//! The account that a number had before: what its owner shard says of it, what proves that it is the same person's, and how
//! it is taken away if it is not.
//!
//! Called by [`super::confirm`]; what is decided stands in [`super::continuity`]. Promises: nobody is answered with a key
//! before what was to go is gone and every contact who was to be told has the notice in their mailbox. Wherever it is
//! interrupted, nobody has the new key, and the next one who registers finishes it: contacts may be told once too often,
//! never once too little.

use super::continuity::{Former, Proof, Terms, Verdict, decide};
use super::{Confirmation, Network, Registrar, RegistrationError, Table};
use crate::account::fast_tokens::Mint;
use crate::account::name::AccountName;
use crate::account::nodes::Nodes;
use crate::account::record::{AccountRecord, RegistrationLock};
use crate::account::settings::{AccountKind, Settings};
use crate::effects::turn::command::{
    AccountView, Contacts, NewKey, Refusal, RemoveSilent, ShowAccount, ShowContacts,
};
use crate::rooms::accounts::limits::LimitError;
use chaski_store::records::Put;

/// Without its PIN a registration lock gives way after this time of silence.
const LOCK_MS: u64 = 7 * 24 * 3_600_000;

/// An account as its owner shard knows it now.
pub(super) struct Present {
    pub(super) record: AccountRecord,
    is_online: bool,
}

/// What came with a right code, and was right as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proved {
    proof: Proof,
    /// Of the key that it was right for.
    generation: Option<u32>,
}

/// Why a proof is none. Which of the proofs it was is known to who gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    LockPin,
    Proof,
}

impl Present {
    pub(super) fn verdict(&self, proved: Proved, terms: Terms, now_unix_ms: u64) -> Verdict {
        // Somebody else has registered since it was looked at: it proves nothing of the key that they have.
        let is_current = proved.generation == Some(self.record.generation());
        let proof = if is_current { proved.proof } else { Proof::Code };
        let former = Former {
            seen_unix_ms: self.record.seen_unix_ms.max(self.record.registered_unix_ms),
            is_online: self.is_online,
            has_lock: self.record.lock.is_some(),
        };
        decide(former, proof, terms, now_unix_ms)
    }
}

impl Registrar {
    pub(super) fn terms(&self) -> Terms {
        Terms { lock_ms: LOCK_MS, recycled_after_ms: self.policy.recycled_after_ms }
    }

    /// The number's account. Its owner is asked and not the store: only it knows who is online, and the tokens given lately.
    pub(super) fn present(&self, name: &AccountName) -> Result<Option<Present>, RegistrationError> {
        match self.owners.ask(name.account(), ShowAccount) {
            Ok(AccountView { record, sessions, .. }) => {
                record.belongs_to(name).map_err(|error| RegistrationError::Unavailable(error.to_string()))?;
                Ok(Some(Present { record: *record, is_online: !sessions.is_empty() }))
            }
            Err(Refusal::NoSuchAccount) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// What a right code's confirmation proves besides the number. A proof for an account that is not there is as wrong as
    /// one for an account that is, and takes as long.
    pub(super) fn weigh(
        &self,
        name: &AccountName,
        present: Option<&Present>,
        confirmation: &Confirmation<'_>,
        now_unix_ms: u64,
    ) -> Result<Result<Proved, Wrong>, RegistrationError> {
        let network = confirmation.network.map_or(Network::UNKNOWN, Network::of);
        let record = present.map(|present| &present.record);
        let mut proof = Proof::Code;
        if let Some(key) = confirmation.previous_key {
            if !self.is_key_of(name, record, key, network, now_unix_ms)? {
                return Ok(Err(Wrong::Proof));
            }
            proof = Proof::PreviousKey;
        }
        if let Some(token) = confirmation.device_token {
            let is_right = |record: &AccountRecord| {
                let (account, generation) = (name.account(), record.generation());
                let mint = Mint { secret: &self.secret, account, generation };
                record.tokens.holds(mint, token, now_unix_ms)
            };
            if !record.is_some_and(is_right) {
                return Ok(Err(Wrong::Proof));
            }
            proof = Proof::DeviceToken;
        }
        if let (Some(pin), Some(lock)) =
            (confirmation.lock_pin, record.and_then(|record| record.lock.as_ref()))
        {
            if !self.opens(name, lock, pin, now_unix_ms)? {
                return Ok(Err(Wrong::LockPin));
            }
            proof = Proof::LockPin;
        }
        Ok(Ok(Proved { proof, generation: record.map(AccountRecord::generation) }))
    }

    /// Whether this is the lock's PIN. Wrong ones are counted over all registrations of the number and for long: each of those has five
    /// guesses, and a PIN of four digits would not last.
    fn opens(
        &self,
        name: &AccountName,
        lock: &RegistrationLock,
        pin: &str,
        now_unix_ms: u64,
    ) -> Result<bool, RegistrationError> {
        let (limits, limiter, subject) = (self.limits(), self.policy.per_lock(), name.to_string());
        // Taken first: of many that come at once none is looked at for nothing.
        limits.take(limiter, &subject, now_unix_ms).map_err(|error| match error {
            LimitError::Reached { retry_after_ms, .. } => {
                self.metrics.lock_pins_refused_total.inc();
                RegistrationError::TooManyLockPins { retry_after_ms }
            }
            error @ LimitError::Unavailable(_) => error.into(),
        })?;
        let is_right = lock.opens(&self.secret, pin);
        if is_right {
            limits.give_back(limiter, &subject)?;
        }
        Ok(is_right)
    }

    /// The contacts of a number's account are told that its key is new, and have that durably. `is_new`: the account is as well.
    pub(super) fn tell_contacts(
        &self,
        name: &AccountName,
        is_new: bool,
        now_unix_ms: u64,
    ) -> Result<(), RegistrationError> {
        let AccountName::Phone(number) = *name else { return Ok(()) };
        let Contacts { by_books, by_subscription } = match self.owners.ask(name.account(), ShowContacts) {
            Ok(contacts) => contacts,
            Err(Refusal::NoSuchAccount) => return Ok(()),
            Err(refusal) => return Err(refusal.into()),
        };
        let told = |is_by_books| NewKey { number, unix_ms: now_unix_ms, is_new, is_by_books };
        let by_books = by_books.into_iter().map(|contact| (contact, told(true)));
        let contacts = by_books.chain(by_subscription.into_iter().map(|contact| (contact, told(false))));
        let outcomes = self.owners.ask_all(contacts);
        let untold = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        self.metrics.contacts_told_total.add((outcomes.len() - untold) as u64);
        if untold > 0 {
            // Gone meanwhile, or their mailboxes are full. It must not be in their power to keep a number from its owner.
            self.metrics.contacts_not_told_total.add(untold as u64);
            tracing::warn!(account = ?name, untold, "contacts were not told of a new key");
        }
        Ok(())
    }

    /// Everything of the account goes, unless somebody has come since it was looked at ([`Refusal::Conflict`]).
    pub(super) fn take_away(&self, present: &Present) -> Result<(), Refusal> {
        let (generation, seen_unix_ms) = (present.record.generation(), present.record.seen_unix_ms);
        let request = RemoveSilent { generation, seen_unix_ms };
        match self.owners.ask(present.record.name.account(), request) {
            Ok(()) | Err(Refusal::NoSuchAccount) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// What others were shown of an account, as records of the account that takes its place.
    pub(super) fn profile(&self, name: &AccountName) -> Result<Vec<Put>, RegistrationError> {
        let key = name.account().record_key();
        let damaged = |error: &dyn std::fmt::Display| {
            tracing::error!(account = ?name, %error, "what an account has published or set can't be read; it goes");
        };
        let mut puts = Vec::new();
        if let Some(found) = self.records.get(Table::Settings, &key)? {
            match Settings::from_document(&found.value, AccountKind::of(name.account())) {
                Ok(settings) => {
                    puts.push((Table::Settings, key.clone(), settings.without_people().to_document()))
                }
                Err(error) => damaged(&error),
            }
        }
        let Some(found) = self.records.get(Table::Nodes, &key)? else { return Ok(as_puts(puts)) };
        match Nodes::from_document(&found.value) {
            Ok(nodes) => {
                let shown = nodes.shown();
                for item in shown.item_keys(&key) {
                    if let Some(found) = self.records.get(Table::Items, &item)? {
                        puts.push((Table::Items, item, found.value));
                    }
                }
                puts.extend(shown.to_document().map(|document| (Table::Nodes, key, document)));
            }
            Err(error) => damaged(&error),
        }
        Ok(as_puts(puts))
    }
}

fn as_puts(puts: Vec<(Table, String, Vec<u8>)>) -> Vec<Put> {
    puts.into_iter().map(|(table, key, value)| Put { table, key, value: Some(value) }).collect()
}
