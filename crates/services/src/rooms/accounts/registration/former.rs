//! The account that a number had before: what its owner says of it, what proves that it is the same person's, and how it is taken
//! away if it is not.
//!
//! Called by [`super::confirm`]; the decision is made in [`super::continuity`]. Promises: no client gets a key before everything
//! that had to go is gone and each contact that had to be told has the notice in its mailbox. If this is interrupted anywhere, no
//! client has the new key, and the next registration finishes it: contacts may be told once too often, but never too seldom.

use super::continuity::{Former, Proof, Terms, Verdict, decide};
use super::{Confirmation, Network, Registrar, RegistrationError, Table};
use crate::account::fast_tokens::Mint;
use crate::account::name::AccountName;
use crate::account::nodes::ITEMS;
use crate::account::nodes::NODES;
use crate::account::nodes::Nodes;
use crate::account::record::{AccountRecord, RegistrationLock};
use crate::account::settings::SETTINGS;
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

/// The proof that came with a right code and was right as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proved {
    proof: Proof,
    /// The generation of the key for which the proof was right.
    generation: Option<u32>,
}

/// Which kind of proof was wrong; the client knows which it has given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    LockPin,
    Proof,
}

impl Present {
    pub(super) fn verdict(&self, proved: Proved, terms: Terms, now_unix_ms: u64) -> Verdict {
        // If another registration has replaced the key since the proof was checked, the proof says nothing about the new key.
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

    /// The number's account. The owner is asked and not the store: only the owner knows which sessions exist and which tokens
    /// were given lately.
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

    /// What a confirmation with a right code proves besides the number. For a number without an account a proof is wrong, too,
    /// and takes as long to check.
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
                self.secrets.good(now_unix_ms).any(|secret| {
                    record.tokens.holds(Mint { secret, account, generation }, token, now_unix_ms)
                })
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

    /// Whether this is the lock's PIN. Wrong PINs are counted over all registrations of the number and for long: each
    /// registration has five guesses, so a PIN of four digits would not last otherwise.
    fn opens(
        &self,
        name: &AccountName,
        lock: &RegistrationLock,
        pin: &str,
        now_unix_ms: u64,
    ) -> Result<bool, RegistrationError> {
        let (limits, limiter, subject) = (self.limits(), self.policy.per_lock(), name.to_string());
        // The try is charged before the PIN is checked, so that of many at the same time none is checked for free.
        limits.take(limiter, &subject, now_unix_ms).map_err(|error| match error {
            LimitError::Reached { retry_after_ms, .. } => {
                self.metrics.lock_pins_refused_total.inc();
                RegistrationError::TooManyLockPins { retry_after_ms }
            }
            error @ LimitError::Unavailable(_) => error.into(),
        })?;
        let is_right = lock.opens(&self.secrets.root, pin);
        if is_right {
            limits.give_back(limiter, &subject)?;
        }
        Ok(is_right)
    }

    /// Tells the contacts of a number's account that its key is new, and returns when that is durable. `is_new`: the account is
    /// new, too.
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
            // These contacts are gone, or their mailboxes are full. They must not be able to keep a number from its owner.
            self.metrics.contacts_not_told_total.add(untold as u64);
            tracing::warn!(account = ?name, untold, "contacts were not told of a new key");
        }
        Ok(())
    }

    /// Deletes everything of the account, unless it was used since it was looked at ([`Refusal::Conflict`]).
    pub(super) fn take_away(&self, present: &Present) -> Result<(), Refusal> {
        let (generation, seen_unix_ms) = (present.record.generation(), present.record.seen_unix_ms);
        let request = RemoveSilent { generation, seen_unix_ms };
        match self.owners.ask(present.record.name.account(), request) {
            Ok(()) | Err(Refusal::NoSuchAccount) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// What others were shown of an account, as records for the account that takes its place.
    pub(super) fn profile(&self, name: &AccountName) -> Result<Vec<Put>, RegistrationError> {
        let key = name.account().record_key();
        let damaged = |error: &dyn std::fmt::Display| {
            tracing::error!(account = ?name, %error, "what an account has published or set can't be read; it goes");
        };
        let mut puts = Vec::new();
        if let Some(found) = self.records.get(SETTINGS, &key)? {
            match Settings::from_document(&found.value, AccountKind::of(name.account())) {
                Ok(settings) => puts.push((SETTINGS, key.clone(), settings.without_people().to_document())),
                Err(error) => damaged(&error),
            }
        }
        let Some(found) = self.records.get(NODES, &key)? else { return Ok(as_puts(puts)) };
        match Nodes::from_document(&found.value) {
            Ok(nodes) => {
                let shown = nodes.shown();
                for item in shown.item_keys(&key) {
                    if let Some(found) = self.records.get(ITEMS, &item)? {
                        puts.push((ITEMS, item, found.value));
                    }
                }
                puts.extend(shown.to_document().map(|document| (NODES, key, document)));
            }
            Err(error) => damaged(&error),
        }
        Ok(as_puts(puts))
    }
}

fn as_puts(puts: Vec<(Table, String, Vec<u8>)>) -> Vec<Put> {
    puts.into_iter().map(|(table, key, value)| Put { table, key, value: Some(value) }).collect()
}
