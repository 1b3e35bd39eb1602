//! The records contract: small documents by table and key, with compare-and-set.

use crate::StoreError;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// A kind of records, by its name. Declared by whoever keeps them, as a constant beside their document: to an engine a record is a key and a document.
///
/// Names are for good: they stand in the journal and are those of SQLite's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table(&'static str);

impl Table {
    /// Credentials and standing of an account, by [`crate::AccountId::record_key`]. Engines ask it whether there is an account, and since when it has its key.
    pub const ACCOUNTS: Self = Self::new("accounts");

    /// Accounts that are being removed, by their key: the record is gone, and the rest is on its way out.
    pub const REMOVALS: Self = Self::new("removals");

    /// How far the readers of an account's mailbox have come ([`crate::cursors`]), by the account's key. Engines write them, nobody else.
    pub const CURSORS: Self = Self::new("cursors");

    /// With this kind an account's phone book is loaded, too: what the document says is made of both.
    pub(crate) const BESIDE_BOOK: Self = Self::new("rosters");

    /// The kinds of the directories that there are which are under no account's key. All others but [`Table::ACCOUNTS`] are an account's own: by its key
    /// or by keys under it, and they go with it.
    pub(crate) const OF_SERVER: [Self; 2] = [Self::new("limits"), Self::new("registrations")];

    /// The kind of this name: one to 32 letters from a to z and underscores. Anything else doesn't compile as a constant.
    pub const fn new(name: &'static str) -> Self {
        assert!(
            is_name(name.as_bytes()),
            "a kind of records is called by 1 to 32 letters from a to z and underscores"
        );
        Self(name)
    }

    /// The kind of a name that was read somewhere. A name that is new is kept for the life of the process, so there are at most [`NAMES_MAX`] of these.
    pub fn named(name: &str) -> Option<Self> {
        static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        if !is_name(name.as_bytes()) {
            return None;
        }
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Some(Self(known));
        }
        if names.len() >= NAMES_MAX {
            return None;
        }
        let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
        names.insert(name);
        Some(Self(name))
    }

    /// The table's name in SQLite, in the journal and in documents.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Whether its records are under the keys of accounts, and go with them.
    pub(crate) fn is_own(self) -> bool {
        self != Self::ACCOUNTS && !Self::OF_SERVER.contains(&self)
    }
}

/// Most names of kinds that are read in the life of a process.
pub const NAMES_MAX: usize = 256;

const fn is_name(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        if !(name[at].is_ascii_lowercase() || name[at] == b'_') {
            return false;
        }
        at += 1;
    }
    !name.is_empty() && name.len() <= 32
}

/// Changes with each write of a record; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// A record's value and its revision. Values are JSON text, so that an operator can read them by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The document.
    pub value: Vec<u8>,
    /// Its revision.
    pub revision: Revision,
}

/// Which records are to be read together.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// An account's documents in these tables, by [`crate::AccountId::record_key`].
    Tables(&'static [Table]),
    /// Any records of the account.
    Keys(Vec<(Table, String)>),
}

impl Wanted {
    /// Whether the account's phone book is read with it.
    pub(crate) fn has_book(&self) -> bool {
        matches!(self, Self::Tables(tables) if tables.contains(&Table::BESIDE_BOOK))
    }

    /// Each record asked for, in order.
    pub(crate) fn each(&self, account: crate::AccountId, mut read: impl FnMut(Table, &str)) {
        match self {
            Self::Tables(tables) => {
                let key = account.record_key();
                tables.iter().for_each(|&table| read(table, &key));
            }
            Self::Keys(keys) => keys.iter().for_each(|(table, key)| read(*table, key)),
        }
    }
}

/// When the present key of an account was made, as its record in [`Table::ACCOUNTS`] says; 0 if it does not. The only thing in a record that an
/// engine reads: what was agreed under one key is compared with it in the transaction that makes it so ([`crate::media::Edit::Store`]).
pub(crate) fn registered_unix_ms(account: &[u8]) -> u64 {
    let record: Option<serde_json::Value> = serde_json::from_slice(account).ok();
    record.and_then(|record| record.get("registered_unix_ms")?.as_u64()).unwrap_or(0)
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Which table.
    pub table: Table,
    /// Which record.
    pub key: String,
    /// The document, or `None` to delete it.
    pub value: Option<Vec<u8>>,
}

/// Blocking access to records. Shared by threads; never called on a shard's thread.
pub trait Records: Send + Sync {
    /// The record, if there is one.
    fn get(&self, table: Table, key: &str) -> Result<Option<Versioned>, StoreError>;

    /// Writes the record if its revision is still `expected` (`None`: if there is none). Durable on return.
    fn put_if(
        &self,
        table: Table,
        key: &str,
        value: &[u8],
        expected: Option<Revision>,
    ) -> Result<Revision, StoreError>;

    /// Deletes the record if its revision is still `expected`.
    fn delete_if(&self, table: Table, key: &str, expected: Revision) -> Result<(), StoreError>;

    /// Writes a batch without looking at revisions, in one transaction. For imports and expiry.
    fn put_all(&self, batch: Vec<Put>) -> Result<(), StoreError>;

    /// Up to `limit` records in key order, beginning after `after` (`""` for the start).
    fn scan(&self, table: Table, after: &str, limit: usize) -> Result<Vec<(String, Versioned)>, StoreError>;

    /// Drops everything that is kept under these accounts but their records in [`Table::ACCOUNTS`]: mailbox, records, phone
    /// book, in one transaction. For programs that have the directory to themselves; refused while a shard is attached, whose
    /// [`crate::ShardStore::purge`] does it then.
    fn clear(&self, accounts: &[crate::AccountId]) -> Result<(), StoreError>;
}

/// The contract of records, as one shard sees it: never blocks. Only the owner of an account may call it for that account.
pub trait AccountRecords {
    /// Writes (or with `None` deletes) an account's record. Saves of one account become durable in order.
    /// `expected` is the revision last seen (`None`: there must be no record); a mismatch is
    /// [`StoreError::Conflict`].
    fn save(
        &mut self,
        account: crate::AccountId,
        table: Table,
        value: Option<Vec<u8>>,
        expected: Option<Revision>,
        ticket: crate::Ticket,
    );

    /// Asks for any records of an account: its own keys, or keys that begin with its key and `/`.
    fn fetch(&mut self, account: crate::AccountId, keys: Vec<(Table, String)>, ticket: crate::Ticket);

    /// Writes and deletes records of an account in one transaction, without looking at what is there: for what nobody but
    /// the account's owner writes. Becomes durable in order with the account's saves, and fetches see it.
    fn put(&mut self, account: crate::AccountId, puts: Vec<Put>, ticket: crate::Ticket);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_its_name_and_only_what_can_be_one_is() {
        assert_eq!(Table::named("rosters"), Some(Table::new("rosters")));
        assert_eq!(Table::named("of_a_room").map(Table::name), Some("of_a_room"));
        for no in ["", "Rosters", "a b", "a;drop table accounts", "é", &"x".repeat(33)] {
            assert_eq!(Table::named(no), None, "{no}");
        }
    }

    #[test]
    fn marks_and_cursors_go_with_an_account_and_its_record_does_not() {
        let own = [Table::REMOVALS, Table::CURSORS, Table::new("of_a_room")].map(Table::is_own);
        let others = [Table::ACCOUNTS, Table::new("limits"), Table::new("registrations")].map(Table::is_own);
        assert_eq!((own, others), ([true; 3], [false; 3]));
    }
}
