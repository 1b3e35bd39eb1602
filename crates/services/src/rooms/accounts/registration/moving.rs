//! A change of number: the client proves the old number by its key, the new one by a code.
//!
//! 1. The old account is *marked* ([`AccountRecord::moving_to`]): its sessions end, and it accepts nothing any more.
//! 2. What the owner takes along is read: roster, settings, nodes, items. If messages wait, the change is given up.
//! 3. The new account is made with all of that in one transaction ([`Arrive`]). From here on the change can't be given up.
//! 4. The phone book follows; the new number is put into the phone books of those contacts that had the old one mutually; the old
//!    account is removed.
//!
//! Promises: a change that is interrupted is given up before step 3 and finished after it, by the next request of its kind or the
//! next registration of the old number. Each step may be repeated. No message is lost: those that come meanwhile are returned to
//! their senders as errors.

use super::{Confirmation, Kept, Registered, Registrar, RegistrationError};
use crate::account::contact_sync_quota;
use crate::account::credentials::{Credentials, Derivation, make_key};
use crate::account::name::AccountName;
use crate::account::nodes::ITEMS;
use crate::account::nodes::NODES;
use crate::account::record::AccountRecord;
use crate::account::roster::document::ROSTERS;
use crate::account::settings::SETTINGS;
use crate::allowance::LIMITS;
use crate::allowance::record_key;
use crate::effects::turn::command::{
    Arrive, BookChange, Expected, Leave, Leaving, Refusal, RemoveMoved, ShowAccount,
};
use chaski_store::AccountId;
use chaski_store::records::Put;
use rand::CryptoRng;

/// Items read from the store at once.
const ITEMS_PER_PAGE: usize = 64;

impl Registrar {
    /// Moves the account `old`, whose key was proved, to the number of the registration `id`.
    pub fn change_number(
        &self,
        old: AccountRecord,
        id: &str,
        confirmation: Confirmation<'_>,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Registered, RegistrationError> {
        super::check_id(id)?;
        if !old.name.is_phone() {
            return Err(RegistrationError::NotAuthorized);
        }
        if old.disabled && old.moving_to().is_none() {
            return Err(RegistrationError::AccountDisabled);
        }
        // Checked before the code is, and before anybody is logged out. It is checked again when no message can come any more.
        if !old.disabled && self.waiting(old.name.account())? > 0 {
            return Err(RegistrationError::MessagesWait);
        }
        let (phone, _) = self.redeem(id, &confirmation, now_unix_ms)?;
        let (from, to, key) = (old.name.clone(), AccountName::Phone(phone.number()), make_key(rng));
        let changed = self.change_to(old, &to, &key, now_unix_ms, rng);
        changed.and_then(|()| self.finish_move(&from, &to)).inspect_err(|_| self.restore(id))?;
        self.metrics.numbers_changed_total.inc();
        tracing::info!(old = ?from, new = ?to, "a number was changed");
        Ok(Registered { phone, key, kept: Kept::All })
    }

    /// Steps 1 to 3; or only a new key, if an earlier request has done these.
    fn change_to(
        &self,
        old: AccountRecord,
        to: &AccountName,
        key: &str,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), RegistrationError> {
        let is_again = old.moving_to().as_ref() == Some(to);
        // An interrupted change to a third number is settled first. If it was already made, the old account is no more.
        let old = if is_again { old } else { self.settled(old)?.ok_or(RegistrationError::NotAuthorized)? };
        let present = self.account(to)?;
        let generation = present.as_ref().map_or(1, |new| new.generation().wrapping_add(1).max(1));
        let credentials = Credentials::derive(key, generation, Derivation::KEY, self.salt(to));
        match present {
            None => self.move_out(old, to, credentials.of_new_account(rng), now_unix_ms),
            Some(new) if is_again && new.has_moved_from(&old.name) => {
                let expected = Expected::Generation(new.generation());
                Ok(self.set_account(new.with_key(credentials, now_unix_ms), expected)?)
            }
            Some(_) => Err(RegistrationError::NumberTaken),
        }
    }

    fn move_out(
        &self,
        old: AccountRecord,
        to: &AccountName,
        credentials: Credentials,
        now_unix_ms: u64,
    ) -> Result<(), RegistrationError> {
        let (id, expected) = (old.name.account(), Expected::Generation(old.generation()));
        self.set_account(old.clone().moving(to), expected)?;
        let record = Box::new(old.clone().moved(to.clone(), credentials, now_unix_ms));
        let made =
            self.luggage(id, to.account()).map(|puts| self.owners.ask(to.account(), Arrive { record, puts }));
        let error = match made {
            Ok(Ok(())) => return Ok(()),
            // The account may have been made nevertheless: the next request finds out.
            Ok(Err(refusal @ Refusal::Unavailable(_))) => return Err(refusal.into()),
            Ok(Err(Refusal::Conflict)) => RegistrationError::NumberTaken,
            Ok(Err(refusal)) => refusal.into(),
            Err(error) => error,
        };
        if let Err(refusal) = self.set_account(old.staying(), expected) {
            tracing::warn!(account = ?id, %refusal, "a change of number could not be given up; the next try does it");
        }
        Err(error)
    }

    /// The records that are to be written for the new number.
    fn luggage(&self, old: AccountId, new: AccountId) -> Result<Vec<Put>, RegistrationError> {
        let leaving = self.leaving(old)?;
        if leaving.waiting_messages > 0 {
            return Err(RegistrationError::MessagesWait);
        }
        let (from, to) = (old.record_key(), new.record_key());
        let put = |table, key: &str, value| Put { table, key: key.to_owned(), value };
        let mut puts = vec![put(ROSTERS, &to, Some(leaving.roster))];
        for table in [SETTINGS, NODES] {
            // A record that does not exist is written as absent, so that nothing left under the new number is inherited.
            puts.push(put(table, &to, self.records.get(table, &from)?.map(|found| found.value)));
        }
        for (key, value) in self.items(&from)? {
            puts.push(put(ITEMS, &format!("{to}{}", &key[from.len()..]), Some(value)));
        }
        let quota = |key| record_key(&self.secrets.root, contact_sync_quota::NAME, key);
        if self.records.get(LIMITS, &quota(&to))?.is_none()
            && let Some(found) = self.records.get(LIMITS, &quota(&from))?
        {
            puts.push(put(LIMITS, &quota(&to), Some(found.value)));
        }
        Ok(puts)
    }

    /// All items of an account. Their number is bounded by what its nodes may hold.
    fn items(&self, record_key: &str) -> Result<Vec<(String, Vec<u8>)>, RegistrationError> {
        let prefix = format!("{record_key}/");
        let (mut items, mut after) = (Vec::new(), prefix.clone());
        loop {
            let page = self.records.scan(ITEMS, &after, ITEMS_PER_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(items) };
            after.clone_from(last);
            for (key, found) in page {
                if !key.starts_with(&prefix) {
                    return Ok(items);
                }
                items.push((key, found.value));
            }
        }
    }

    /// Step 4 of the change.
    fn finish_move(&self, old: &AccountName, new: &AccountName) -> Result<(), RegistrationError> {
        let (AccountName::Phone(number), id) = (new, old.account()) else { return Ok(()) };
        let leaving = self.leaving(id)?;
        self.owners.ask(new.account(), BookChange::Adopt(leaving.book))?;
        for contact in leaving.mutual {
            let Some(contact) = AccountId::phone(contact) else { continue };
            let told = self.owners.ask(contact, BookChange::Adopt(vec![*number]));
            if let Err(refusal) = told {
                // The contact's phone book is full, or the contact has just been removed.
                tracing::warn!(account = ?contact, %refusal, "a contact was not told of a new number");
            }
        }
        match self.owners.ask(id, RemoveMoved) {
            Ok(()) | Err(Refusal::NoSuchAccount) => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The account for a registration of its number, after a change of number that was interrupted has been settled: finished,
    /// which leaves no account, or given up.
    pub(super) fn settled(&self, record: AccountRecord) -> Result<Option<AccountRecord>, RegistrationError> {
        let Some(to) = record.moving_to() else { return Ok(Some(record)) };
        if self.account(&to)?.is_some_and(|new| new.has_moved_from(&record.name)) {
            return self.finish_move(&record.name, &to).map(|()| None);
        }
        Ok(Some(record.staying()))
    }

    fn leaving(&self, id: AccountId) -> Result<Box<Leaving>, RegistrationError> {
        Ok(self.owners.ask(id, Leave)?)
    }

    fn waiting(&self, id: AccountId) -> Result<u64, RegistrationError> {
        Ok(self.owners.ask(id, ShowAccount)?.waiting_messages)
    }
}

impl From<Refusal> for RegistrationError {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.to_string())
    }
}
