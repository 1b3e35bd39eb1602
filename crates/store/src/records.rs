//! The records contract: small documents by table and key, with compare-and-set.

use crate::StoreError;

/// What kind of record. Each is a SQLite table (or a KV bucket in a cluster) of (key, revision, JSON value).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Credentials and standing of an account, by [`crate::AccountId::record_key`].
    Accounts,
    /// The account's roster, one document, by the same key.
    Rosters,
    /// Registrations that wait for their PIN, by registration id.
    Registrations,
    /// Limits against guessing and pumping, by limiter and subject.
    Limits,
    /// What an account's owner has chosen: privacy and the block list, one document by the account's key.
    Settings,
    /// The index of an account's personal eventing nodes, one document by the account's key.
    Nodes,
    /// What is too large or too rarely needed to be in memory with the account, by the account's key, `/` and more.
    Items,
    /// What accounts have reported to the operator, one document by the reporter's key.
    Reports,
    /// How far the readers of an account's mailbox have come ([`crate::cursors`]), by the account's key. Engines write them, nobody else.
    Cursors,
    /// Accounts that are being removed, by their key: the record is gone, and the rest is on its way out.
    Removals,
}

impl Table {
    /// Every table, for engines and migrations.
    pub const ALL: [Self; 10] = [
        Self::Accounts,
        Self::Rosters,
        Self::Registrations,
        Self::Limits,
        Self::Settings,
        Self::Nodes,
        Self::Items,
        Self::Reports,
        Self::Cursors,
        Self::Removals,
    ];

    /// The tables in which an account leaves something besides its record, by its key or by keys under it. The mark of its
    /// removal is among them: it goes with the rest.
    pub const OWN: [Self; 7] = [
        Self::Rosters,
        Self::Settings,
        Self::Nodes,
        Self::Items,
        Self::Reports,
        Self::Cursors,
        Self::Removals,
    ];

    /// The table of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The table's name in SQLite, in the journal and in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Rosters => "rosters",
            Self::Registrations => "registrations",
            Self::Limits => "limits",
            Self::Settings => "settings",
            Self::Nodes => "nodes",
            Self::Items => "items",
            Self::Reports => "reports",
            Self::Cursors => "cursors",
            Self::Removals => "removals",
        }
    }
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
        matches!(self, Self::Tables(tables) if tables.contains(&Table::Rosters))
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

/// When the present key of an account was made, as its record in [`Table::Accounts`] says; 0 if it does not. The only thing in a record that an
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

    /// Drops everything that is kept under these accounts but their records in [`Table::Accounts`]: mailbox, records, phone
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
