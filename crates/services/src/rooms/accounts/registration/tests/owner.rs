//! What stands for the owner shards: the store's records, and a list of who was told what.

use super::*;
use crate::account::nodes::NODES;
use crate::account::settings::SETTINGS;
use crate::effects::turn::command::{AccountView, Action, Arrive, Command, Contacts, RemoveSilent};
use chaski_store::records::Put;

/// Stands for the owner shard: writes the record if the generation is the expected one.
pub(super) struct Owner {
    records: Arc<dyn Records>,
    pub(super) refuse: Mutex<Option<Refusal>>,
    /// Everybody's contacts.
    pub(super) contacts: Mutex<Vec<AccountId>>,
    pub(super) told: Mutex<Vec<(AccountId, NewKey)>>,
    /// Somebody comes when the account is to be removed.
    pub(super) comes_back_at: Mutex<Option<u64>>,
}

impl Owner {
    pub(super) fn new(records: Arc<dyn Records>) -> Self {
        let (refuse, contacts, told) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { records, refuse, contacts, told, comes_back_at: Mutex::default() }
    }

    fn find(&self, account: AccountId) -> Result<Option<(AccountRecord, Revision)>, Refusal> {
        let found = self.records.get(Table::ACCOUNTS, &account.record_key()).unwrap();
        let read = |found: chaski_store::Versioned| match AccountRecord::from_json(&found.value) {
            Ok(record) => Ok((record, found.revision)),
            Err(error) => Err(Refusal::Unavailable(error.to_string())),
        };
        found.map(read).transpose()
    }

    fn write(&self, record: &AccountRecord, revision: Option<Revision>) {
        let key = record.name.account().record_key();
        self.records.put_if(Table::ACCOUNTS, &key, &record.to_json(), revision).unwrap();
    }

    pub(super) fn owners(self: &Arc<Self>) -> Owners {
        let owner = self.clone();
        Owners::new(move |command| owner.give(command))
    }

    fn give(&self, command: Command) {
        let account = command.whom.account;
        match command.action {
            Action::ShowAccount(_, reply) => reply.answer(self.show(account)),
            Action::Contacts(_, reply) => {
                let by_books = self.contacts.lock().unwrap().clone();
                reply.answer(Ok(Contacts { by_books, by_subscription: Vec::new() }));
            }
            Action::TellOfKey(key, reply) => {
                self.told.lock().unwrap().push((account, key));
                reply.answer(Ok(()));
            }
            Action::RemoveSilent(request, reply) => reply.answer(self.remove_silent(account, request)),
            Action::Arrive(request, reply) => reply.answer(self.arrive(account, request)),
            Action::SetAccount(request, reply) => reply.answer(self.set_account(account, request)),
            _ => panic!("registration asks for nothing else"),
        }
    }

    fn show(&self, account: AccountId) -> Result<AccountView, Refusal> {
        let (record, _) = self.find(account)?.ok_or(Refusal::NoSuchAccount)?;
        let (record, sessions) = (Box::new(record), Vec::new());
        Ok(AccountView { record, sessions, waiting_messages: 0, waiting_bytes: 0 })
    }

    fn remove_silent(&self, account: AccountId, request: RemoveSilent) -> Result<(), Refusal> {
        let (mut record, revision) = self.find(account)?.ok_or(Refusal::NoSuchAccount)?;
        if let Some(now) = self.comes_back_at.lock().unwrap().take() {
            record.seen_unix_ms = now;
            self.write(&record, Some(revision));
        }
        if (record.generation(), record.seen_unix_ms) != (request.generation, request.seen_unix_ms) {
            return Err(Refusal::Conflict);
        }
        let key = account.record_key();
        let (_, revision) = self.find(account)?.unwrap();
        self.records.delete_if(Table::ACCOUNTS, &key, revision).unwrap();
        for table in [SETTINGS, NODES] {
            self.records.put_all(vec![Put { table, key: key.clone(), value: None }]).unwrap();
        }
        Ok(())
    }

    fn arrive(&self, account: AccountId, Arrive { record, puts }: Arrive) -> Result<(), Refusal> {
        if self.find(account)?.is_some() {
            return Err(Refusal::Conflict);
        }
        self.records.put_all(puts).unwrap();
        self.write(&record, None);
        Ok(())
    }

    fn set_account(&self, account: AccountId, request: SetAccount) -> Result<(), Refusal> {
        if let Some(refusal) = self.refuse.lock().unwrap().take() {
            return Err(refusal);
        }
        let found = self.find(account)?;
        let generation = found.as_ref().map(|(record, _)| record.generation());
        let as_expected = match request.expected {
            Expected::Any => true,
            Expected::Absent => generation.is_none(),
            Expected::Generation(expected) => generation == Some(expected),
        };
        if !as_expected {
            return Err(Refusal::Conflict);
        }
        self.write(&request.record, found.map(|(_, revision)| revision));
        Ok(())
    }
}
