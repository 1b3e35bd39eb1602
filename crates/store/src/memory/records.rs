//! Records in memory, for programs and the HTTP side.

use super::{State, lock};
use crate::records::{Put, Records, Revision, Table, Versioned};
use crate::{AccountId, StoreError};
use std::sync::{Arc, Mutex};

/// Blocking access.
pub(super) struct MemoryRecords {
    pub(super) state: Arc<Mutex<State>>,
}

impl Records for MemoryRecords {
    fn get(&self, table: Table, key: &str) -> Result<Option<Versioned>, StoreError> {
        Ok(lock(&self.state).get(table, key))
    }

    fn put_if(
        &self,
        table: Table,
        key: &str,
        value: &[u8],
        expected: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        lock(&self.state).set_if(table, key, Some(value.to_vec()), expected)
    }

    fn delete_if(&self, table: Table, key: &str, expected: Revision) -> Result<(), StoreError> {
        lock(&self.state).set_if(table, key, None, Some(expected)).map(drop)
    }

    fn put_all(&self, batch: Vec<Put>) -> Result<(), StoreError> {
        lock(&self.state).set_all(batch);
        Ok(())
    }

    fn clear(&self, accounts: &[AccountId]) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        for &account in accounts {
            state.mailboxes.remove(&account);
            state.books.clear(account);
            state.media.clear(account);
            state.purge_records(account);
        }
        Ok(())
    }

    fn scan(&self, table: Table, after: &str, limit: usize) -> Result<Vec<(String, Versioned)>, StoreError> {
        let state = lock(&self.state);
        let start = std::ops::Bound::Excluded((table, after.to_owned()));
        // The empty key is no key, so that excluding it begins at the start of the table.
        let records = state.records.range((start, std::ops::Bound::Unbounded));
        let of_table = records.take_while(|((of, _), _)| *of == table);
        Ok(of_table.take(limit).map(|((_, key), record)| (key.clone(), record.clone())).collect())
    }
}
