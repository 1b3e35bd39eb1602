//! What an operator may do with accounts, with a running server or on a data directory that no server uses.
//!
//! With a server, everything goes through the account's owner (one owner), an import too: it makes no account over what another
//! one left. Without one the records are written here, after whatever was left under the names was cleared. Everything here
//! blocks: never call it on a shard's thread or in an async task.

mod files;
mod inspect;
mod slot;

use super::protocol::{AccountView, Answer, ClockView, JumpView, NewKey, Reply, Request, SessionView};
use chaski_services::account::credentials::Salting;
use chaski_services::account::name::AccountName;
use chaski_services::account::record::{AccountRecord, RecordError};
use chaski_services::effects::owners::Owners;
use chaski_services::effects::turn::command;
use chaski_services::effects::turn::command::{
    Expected, Kick, Kicked, ListSessions, Refusal, RemoveAccount, SessionSummary, SetAccount, ShowAccount,
};
use chaski_services::rooms::blocking::{Report, Reports};
use chaski_store::media::slot::SlotKeys;
use chaski_store::records::{Put, Versioned};
use chaski_store::time::Standing;
use chaski_store::time::plausible::NotAccepted;
use chaski_store::{Now, Records, StoreError, Table, Time};
use std::sync::Arc;

pub use files::Files;

/// Accounts looked at for one page of sessions.
const PAGE: usize = 1_000;
/// Reporters on one page: their reports fit into a line.
const REPORTERS_PAGE: usize = 6;
/// How often an operation is tried again after a conflict.
const TRIES: usize = 100;

/// See the module.
pub struct Desk {
    records: Arc<dyn Records>,
    owners: Option<Owners>,
    domain: String,
    salting: Salting,
    time: Arc<Time>,
    slot_keys: Option<SlotKeys>,
    files: Option<Box<dyn Files>>,
}

/// Why something was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeskError {
    /// The owner refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The record can't be read or is another name's.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// The machine's clock has nothing to be accepted.
    #[error("{0}")]
    Clock(#[from] NotAccepted),
    /// The files can't be looked at.
    #[error("the files can't be looked at: {0}")]
    Media(String),
    /// There is no such file, or nothing of what was to be undone.
    #[error("{0}")]
    NoFile(String),
    /// The request makes no sense.
    #[error("{0}")]
    NotUnderstood(String),
    /// The request needs a running server that serves files.
    #[error("no server is running that serves files")]
    NoMedia,
    /// The request needs a running server.
    #[error("no server is running")]
    NoServer,
}

impl DeskError {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(Refusal::NoSuchAccount) => "no-such-account",
            Self::Refused(Refusal::Conflict) | Self::Store(StoreError::Conflict) | Self::Clock(_) => {
                "conflict"
            }
            Self::Record(_) => "damaged",
            Self::NoFile(_) => "no-such-file",
            Self::NotUnderstood(_) => "bad-request",
            _ => "unavailable",
        }
    }
}

impl Desk {
    /// A desk. `owners`: the shards of the running server; `None`: no server is running, and this process has locked the data
    /// directory.
    pub fn new(
        records: Arc<dyn Records>,
        owners: Option<Owners>,
        (domain, salting): (&str, Salting),
        time: Arc<Time>,
    ) -> Self {
        let (slot_keys, files) = (None, None);
        Self { records, owners, domain: domain.into(), salting, time, slot_keys, files }
    }

    /// With upload slots under these keys.
    pub fn granting(self, slot_keys: SlotKeys) -> Self {
        Self { slot_keys: Some(slot_keys), ..self }
    }

    /// With files to look at.
    #[must_use]
    pub fn with_files(self, files: Option<Box<dyn Files>>) -> Self {
        Self { files, ..self }
    }

    /// Does what a client asks for.
    pub fn answer(&self, request: Request) -> Answer {
        match self.perform(request) {
            Ok(reply) => Answer::Ok(reply),
            Err(error) => Answer::refused(error.code(), error.to_string()),
        }
    }

    fn perform(&self, request: Request) -> Result<Reply, DeskError> {
        match request {
            Request::Status => {
                Ok(Reply::Status { domain: self.domain.clone(), version: env!("CARGO_PKG_VERSION").into() })
            }
            Request::Salting => Ok(Reply::Salting { bytes: self.salting.0 }),
            Request::AccountPut(new) => self.put(&new),
            Request::AccountImport { accounts } => self.import(accounts),
            Request::AccountRemove { name } => self.remove(&name),
            Request::AccountShow { name } => self.show(&name),
            Request::SessionList { name: Some(name), .. } => self.sessions_of(&name),
            Request::SessionList { name: None, after } => self.sessions(after),
            Request::SessionKick { name, resource } => self.kick(&name, resource),
            Request::Trace { .. } | Request::DumpAccount { .. } | Request::DumpShard { .. } => {
                self.inspect(request)
            }
            Request::ReportList { after } => self.reports(&after.unwrap_or_default()),
            Request::MediaSlot { name, size, media_type, file_name } => {
                self.slot(&name, size, (media_type, file_name))
            }
            Request::MediaCheck { .. }
            | Request::MediaStat { .. }
            | Request::MediaRemove { .. }
            | Request::MediaBlock { .. }
            | Request::MediaUnblock { .. }
            | Request::MediaBlocks { .. } => self.files(request),
            Request::ClockShow => Ok(Reply::Clock(self.time.standing().into())),
            Request::ClockAccept => Ok(Reply::Accepted { by_ms: self.time.accept()? }),
        }
    }

    fn put(&self, new: &NewKey) -> Result<Reply, DeskError> {
        for _ in 0..TRIES {
            let done = if self.owners.is_some() { self.put_by_owner(new) } else { self.put_directly(new) };
            match done {
                Err(DeskError::Refused(Refusal::Conflict) | DeskError::Store(StoreError::Conflict)) => {}
                Err(error) => return Err(error),
                Ok(replaced) => return Ok(Reply::Put { replaced }),
            }
        }
        Err(Refusal::Conflict.into())
    }

    fn put_by_owner(&self, new: &NewKey) -> Result<bool, DeskError> {
        let account = new.name.account();
        let owners = self.owners()?;
        let (record, expected) = match owners.ask(account, ShowAccount) {
            Ok(command::AccountView { record, .. }) => {
                let expected = Expected::Generation(record.generation());
                (self.with_new_key(Some(*record), new)?, expected)
            }
            Err(Refusal::NoSuchAccount) => (self.with_new_key(None, new)?, Expected::Absent),
            Err(refusal) => return Err(refusal.into()),
        };
        owners.ask(account, SetAccount { record: Box::new(record), expected })?;
        Ok(expected != Expected::Absent)
    }

    fn put_directly(&self, new: &NewKey) -> Result<bool, DeskError> {
        let key = new.name.account().record_key();
        let present = self.records.get(Table::ACCOUNTS, &key)?;
        let record = self.with_new_key(present.as_ref().map(read).transpose()?, new)?;
        let revision = present.as_ref().map(|present| present.revision);
        if present.is_none() {
            self.records.clear(&[new.name.account()])?;
        }
        self.records.put_if(Table::ACCOUNTS, &key, &record.to_json(), revision)?;
        Ok(present.is_some())
    }

    fn with_new_key(&self, present: Option<AccountRecord>, new: &NewKey) -> Result<AccountRecord, DeskError> {
        let mut credentials = new.credentials.clone();
        let now = self.time.unix_ms();
        match present {
            None => {
                let credentials = credentials.of_new_account(&mut rand::rng());
                Ok(AccountRecord::new(new.name.clone(), credentials, now))
            }
            Some(record) => {
                record.belongs_to(&new.name)?;
                credentials.generation = record.generation().wrapping_add(1).max(1);
                Ok(record.with_key(credentials, now))
            }
        }
    }

    fn import(&self, accounts: Vec<NewKey>) -> Result<Reply, DeskError> {
        let replaced = match self.owners {
            Some(_) => self.import_by_owners(&accounts)?,
            None => self.import_directly(&accounts)?,
        };
        Ok(Reply::Imported { created: accounts.len() - replaced, replaced })
    }

    /// Imports all accounts by commands to their owners. Returns how many existed before.
    fn import_by_owners(&self, accounts: &[NewKey]) -> Result<usize, DeskError> {
        let (mut asked, mut are_there) = (Vec::with_capacity(accounts.len()), Vec::new());
        for new in accounts {
            let account = new.name.account();
            let present = self.records.get(Table::ACCOUNTS, &account.record_key())?;
            let present = present.as_ref().map(read).transpose()?;
            let expected = match &present {
                Some(record) => Expected::Generation(record.generation()),
                None => Expected::Absent,
            };
            are_there.push(present.is_some());
            let record = Box::new(self.with_new_key(present, new)?);
            asked.push((account, SetAccount { record, expected }));
        }
        let mut replaced = 0;
        let outcomes = self.owners()?.ask_all(asked);
        for ((outcome, new), is_there) in outcomes.into_iter().zip(accounts).zip(are_there) {
            match outcome {
                Ok(()) => replaced += usize::from(is_there),
                // The account was made, removed or changed since it was looked at, or is in the list twice.
                Err(Refusal::Conflict | Refusal::NoSuchAccount) => {
                    let put = self.put(new)?;
                    replaced += usize::from(matches!(put, Reply::Put { replaced: true }));
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(replaced)
    }

    /// Imports all accounts in one transaction, while no server is running. Returns how many existed before.
    fn import_directly(&self, accounts: &[NewKey]) -> Result<usize, DeskError> {
        let (mut batch, mut made) = (Vec::with_capacity(accounts.len()), Vec::new());
        for new in accounts {
            let account = new.name.account();
            let key = account.record_key();
            let present = self.records.get(Table::ACCOUNTS, &key)?.as_ref().map(read).transpose()?;
            if present.is_none() {
                made.push(account);
            }
            let record = self.with_new_key(present, new)?;
            batch.push(Put { table: Table::ACCOUNTS, key, value: Some(record.to_json()) });
        }
        let replaced = accounts.len() - made.len();
        self.records.clear(&made)?;
        self.records.put_all(batch)?;
        Ok(replaced)
    }

    fn remove(&self, name: &AccountName) -> Result<Reply, DeskError> {
        match self.stored(name) {
            // The account may be being removed: its owner answers when that is over.
            Ok(_) | Err(DeskError::Refused(Refusal::NoSuchAccount)) => {}
            Err(error) => return Err(error),
        }
        let owners = self.owners.as_ref().ok_or(DeskError::NoServer)?;
        owners.ask(name.account(), RemoveAccount)?;
        Ok(Reply::Removed)
    }

    fn show(&self, name: &AccountName) -> Result<Reply, DeskError> {
        let stored = self.stored(name)?;
        let Some(owners) = &self.owners else {
            return Ok(Reply::Account(Box::new(view(&stored, Vec::new(), None, self.time.now()))));
        };
        let shown = owners.ask(name.account(), ShowAccount)?;
        let waiting = Some((shown.waiting_messages, shown.waiting_bytes));
        Ok(Reply::Account(Box::new(view(&shown.record, shown.sessions, waiting, self.time.now()))))
    }

    /// The record, if it is there and this name's.
    fn stored(&self, name: &AccountName) -> Result<AccountRecord, DeskError> {
        let found = self.records.get(Table::ACCOUNTS, &name.account().record_key())?;
        let record = read(&found.ok_or(Refusal::NoSuchAccount)?)?;
        record.belongs_to(name)?;
        Ok(record)
    }

    fn sessions_of(&self, name: &AccountName) -> Result<Reply, DeskError> {
        self.stored(name)?;
        let sessions = self.owners()?.ask(name.account(), ListSessions)?;
        Ok(Reply::Sessions { sessions: sessions.into_iter().map(SessionView::from).collect(), next: None })
    }

    fn sessions(&self, after: Option<String>) -> Result<Reply, DeskError> {
        let page = self.records.scan(Table::ACCOUNTS, &after.unwrap_or_default(), PAGE)?;
        let next = (page.len() == PAGE).then(|| page.last().map(|(key, _)| key.clone())).flatten();
        let accounts = page.iter().filter_map(|(_, found)| Some(read(found).ok()?.name.account()));
        let outcomes = self.owners()?.ask_all(accounts.map(|account| (account, ListSessions)));
        let mut sessions = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(some) => sessions.extend(some.into_iter().map(SessionView::from)),
                Err(Refusal::NoSuchAccount) => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(Reply::Sessions { sessions, next })
    }

    fn kick(&self, name: &AccountName, resource: Option<String>) -> Result<Reply, DeskError> {
        self.stored(name)?;
        let Kicked { sessions } = self.owners()?.ask(name.account(), Kick { resource })?;
        Ok(Reply::Kicked { sessions })
    }

    fn reports(&self, after: &str) -> Result<Reply, DeskError> {
        let page = self.records.scan(chaski_services::rooms::blocking::REPORTS, after, REPORTERS_PAGE)?;
        let next = (page.len() == REPORTERS_PAGE).then(|| page.last().map(|(key, _)| key.clone())).flatten();
        let now = self.time.now();
        let reports = page.iter().flat_map(|(_, found)| Reports::from_document(Some(&found.value)).reports);
        let reports = reports.map(|report| Report { unix_ms: now.shown(report.unix_ms), ..report }).collect();
        Ok(Reply::Reports { reports, next })
    }

    /// What only a server's owners can do.
    fn owners(&self) -> Result<&Owners, Refusal> {
        self.owners.as_ref().ok_or_else(|| Refusal::Unavailable("no server is running".into()))
    }
}

fn read(found: &Versioned) -> Result<AccountRecord, RecordError> {
    AccountRecord::from_json(&found.value)
}

fn view(
    record: &AccountRecord,
    sessions: Vec<SessionSummary>,
    waiting: Option<(u64, u64)>,
    now: Now,
) -> AccountView {
    AccountView {
        name: record.name.clone(),
        created_unix_ms: now.shown(record.created_unix_ms),
        registered_unix_ms: now.shown(record.registered_unix_ms),
        seen_unix_ms: now.shown(record.seen_unix_ms),
        key_generation: record.generation(),
        iterations: record.credentials.iterations,
        disabled: record.disabled,
        device_name: record.device_name.clone(),
        waiting_messages: waiting.map(|(messages, _)| messages),
        waiting_bytes: waiting.map(|(_, bytes)| bytes),
        sessions: sessions.into_iter().map(SessionView::from).collect(),
    }
}

impl From<Standing> for ClockView {
    fn from(standing: Standing) -> Self {
        let Standing { wall_unix_ms, shown_unix_ms, age_unix_ms, doubt } = standing;
        let jump = doubt.map(|doubt| JumpView {
            by_ms: doubt.by_ms,
            ran_ms: doubt.ran_ms,
            believed_in_ms: standing.believed_in_ms().unwrap_or_default(),
            ages: doubt.stopped && doubt.by_ms > 0,
        });
        Self { wall_unix_ms, shown_unix_ms, age_unix_ms, jump }
    }
}

impl From<SessionSummary> for SessionView {
    fn from(summary: SessionSummary) -> Self {
        Self {
            jid: summary.full_jid,
            available: summary.available,
            priority: summary.priority,
            hibernating: summary.hibernating,
            unacknowledged: summary.unacknowledged,
        }
    }
}
