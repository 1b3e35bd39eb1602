//! The directory: the accounts whose state is in this shard's memory, and their sessions.
//!
//! An account's records are loaded when somebody needs it; what arrives meanwhile is parked in order, bounded. An
//! account stays while it has sessions, and afterwards until newer idle ones push it out.
//! Called by `router` and `shard`. Owns the only copy of an account's live state (one owner, see ARCHITECTURE.md).

use crate::accounts::AccountRecord;
use crate::command::{Command, SessionSummary};
use crate::roster::Roster;
use crate::router::Parcel;
use crate::session::Session;
use crate::shard::rosters::RosterWrites;
use crate::wire::{Authenticated, ConnId, SessionId};
use chaski_store::{AccountId, Revision, ShardIndex};
use slab::Slab;
use std::collections::{HashMap, VecDeque};

/// A resident account: what it is, and who is online for it.
pub struct Account {
    /// Its key.
    pub id: AccountId,
    /// Its bare JID.
    pub bare: Box<str>,
    /// Its record.
    pub record: Box<AccountRecord>,
    /// The record's revision in the store.
    pub record_revision: Revision,
    /// Its roster with subscription states and the requests that wait for an answer.
    pub roster: Roster,
    /// The roster document's revision in the store, if there is one.
    pub roster_revision: Option<Revision>,
    /// Its sessions in order of binding, hibernating ones included. Few: see `Limits::sessions_per_account`.
    pub sessions: Vec<Session>,
    /// Records on their way to the store.
    pub(crate) saving: Saving,
    /// It was asked for since it was last considered for leaving memory.
    used: bool,
}

/// Which of an account's records the store is writing. One write at a time, because each has to name the revision
/// that the last one made.
#[derive(Default)]
pub(crate) struct Saving {
    /// A roster is on its way; what follows from its changes waits for that.
    pub(crate) roster: Option<Box<RosterWrites>>,
    /// The account's record is on its way.
    pub(crate) record: bool,
    /// Commands that wait for that.
    pub(crate) deferred: Vec<Command>,
}

impl Account {
    pub(crate) fn new(
        domain: &str,
        record: (Box<AccountRecord>, Revision),
        roster: (Roster, Option<Revision>),
    ) -> Self {
        let (record, record_revision) = record;
        let (roster, roster_revision) = roster;
        Self {
            id: record.name.account(),
            bare: format!("{}@{domain}", record.name).into(),
            record,
            record_revision,
            roster,
            roster_revision,
            sessions: Vec::new(),
            saving: Saving::default(),
            used: true,
        }
    }

    /// The session with this id.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// The session with this id, to be changed.
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// The session bound to this resource.
    pub fn resource(&self, resource: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| &*session.resource == resource)
    }

    /// The full JID of one of its sessions.
    pub fn full_jid(&self, session: &Session) -> String {
        format!("{}/{}", self.bare, session.resource)
    }

    pub(crate) fn summaries(&self) -> Vec<SessionSummary> {
        let summary = |session: &Session| SessionSummary {
            full_jid: self.full_jid(session),
            available: session.presence.is_available(),
            priority: session.presence.priority(),
            hibernating: session.connection().is_none(),
            unacknowledged: session.queue.len(),
        };
        self.sessions.iter().map(summary).collect()
    }

    fn is_idle(&self) -> bool {
        self.sessions.is_empty() && self.saving.roster.is_none() && !self.saving.record
    }
}

/// Something that needs an account, and waits if the account is not in memory.
pub(crate) enum Work {
    Parcel(Parcel),
    Credentials { asker: ShardIndex, conn: ConnId },
    Bind { conn: ConnId, who: Authenticated, resource: Option<Box<str>> },
    Resume { conn: ConnId, who: Authenticated, previd: Box<str>, h: u32 },
    Command(Box<Command>),
}

/// What the directory knows of an account.
enum Entry {
    /// Its records are being loaded (or made); this waits, in order.
    Loading(VecDeque<Work>),
    Present(Box<Account>),
}

/// How [`Directory::find`] found an account.
pub(crate) enum Found {
    /// In memory: here is the work back.
    Present(Work),
    /// On its way: the work is parked.
    Parked,
    /// Nowhere: the work is parked, and the caller has to load the account.
    Load,
    /// Too much waits already: here is the work back.
    Overloaded(Work),
}

/// See the module.
pub(crate) struct Directory {
    entries: HashMap<AccountId, Entry>,
    sessions: Slab<(u32, AccountId)>,
    generation: u32,
    loading: usize,
    parked: usize,
    /// Accounts without sessions, oldest first; some have got a session again or are gone.
    idle: VecDeque<AccountId>,
    limits: Bounds,
}

/// The directory's share of the limits.
pub(crate) struct Bounds {
    pub(crate) loading: usize,
    pub(crate) parked: usize,
    pub(crate) idle: usize,
}

impl Directory {
    pub(crate) fn new(limits: Bounds) -> Self {
        Self {
            entries: HashMap::new(),
            sessions: Slab::new(),
            generation: 0,
            loading: 0,
            parked: 0,
            idle: VecDeque::new(),
            limits,
        }
    }

    /// Says whether the work can be done now, and parks it if not.
    pub(crate) fn find(&mut self, account: AccountId, work: Work) -> Found {
        match self.entries.get_mut(&account) {
            Some(Entry::Present(present)) => {
                present.used = true;
                Found::Present(work)
            }
            Some(Entry::Loading(parked)) if parked.len() >= self.limits.parked => Found::Overloaded(work),
            Some(Entry::Loading(parked)) => {
                parked.push_back(work);
                self.parked += 1;
                Found::Parked
            }
            None if self.loading >= self.limits.loading => Found::Overloaded(work),
            None => {
                self.entries.insert(account, Entry::Loading(VecDeque::from([work])));
                self.loading += 1;
                self.parked += 1;
                Found::Load
            }
        }
    }

    /// The account's load has ended: takes what was parked. Without `account` it is forgotten.
    pub(crate) fn loaded(&mut self, id: AccountId, account: Option<Box<Account>>) -> VecDeque<Work> {
        let before = match account {
            Some(account) => {
                let before = self.entries.insert(id, Entry::Present(account));
                self.rest(id);
                before
            }
            None => self.entries.remove(&id),
        };
        let Some(Entry::Loading(parked)) = before else { return VecDeque::new() };
        self.loading -= 1;
        self.parked -= parked.len();
        parked
    }

    /// Whether nothing is known of the account, so that it has no session and nobody waits for it.
    pub(crate) fn is_absent(&self, account: AccountId) -> bool {
        !self.entries.contains_key(&account)
    }

    /// Whether the account is being loaded or made.
    pub(crate) fn is_loading(&self, id: AccountId) -> bool {
        matches!(self.entries.get(&id), Some(Entry::Loading(_)))
    }

    /// Keeps what arrives for an account parked from now on, until [`Self::loaded`].
    pub(crate) fn hold_back(&mut self, id: AccountId) {
        if !self.is_loading(id) {
            self.entries.insert(id, Entry::Loading(VecDeque::new()));
            self.loading += 1;
        }
    }

    /// Puts back what can't be done yet, in order.
    pub(crate) fn park_all(&mut self, id: AccountId, work: VecDeque<Work>) {
        if let Some(Entry::Loading(parked)) = self.entries.get_mut(&id) {
            self.parked += work.len();
            parked.extend(work);
        }
    }

    /// The account, if it is in memory.
    pub(crate) fn present(&mut self, id: AccountId) -> Option<&mut Account> {
        match self.entries.get_mut(&id) {
            Some(Entry::Present(account)) => Some(account),
            _ => None,
        }
    }

    /// The account that a session belongs to.
    pub(crate) fn account_of(&self, session: SessionId) -> Option<AccountId> {
        let (generation, account) = self.sessions.get(session.0 as u32 as usize)?;
        (u64::from(*generation) == session.0 >> 32).then_some(*account)
    }

    /// A session's id, never used before.
    pub(crate) fn new_session(&mut self, account: AccountId) -> SessionId {
        self.generation = self.generation.wrapping_add(1);
        let key = self.sessions.insert((self.generation, account));
        SessionId(u64::from(self.generation) << 32 | key as u64)
    }

    /// The session is gone.
    pub(crate) fn forget_session(&mut self, session: SessionId) {
        if let Some(account) = self.account_of(session) {
            self.sessions.remove(session.0 as u32 as usize);
            self.rest(account);
        }
    }

    /// Notes that an account may have become idle, and lets the oldest idle ones go if there are too many. One that
    /// was used since gets a second chance.
    fn rest(&mut self, id: AccountId) {
        self.idle.push_back(id);
        let mut chances = self.idle.len();
        while self.idle.len() > self.limits.idle {
            let Some(oldest) = self.idle.pop_front() else { return };
            // With a session again it comes back here when that ends.
            let Some(account) = self.present(oldest).filter(|account| account.sessions.is_empty()) else {
                continue;
            };
            let used = std::mem::take(&mut account.used);
            if account.is_idle() && (!used || chances == 0) {
                self.entries.remove(&oldest);
            } else if chances > 0 {
                chances -= 1;
                self.idle.push_back(oldest);
            } else {
                return self.idle.push_back(oldest);
            }
        }
    }

    /// Accounts in memory, being loaded, and work parked: for the gauges.
    pub(crate) fn levels(&self) -> (usize, usize, usize) {
        (self.entries.len() - self.loading, self.loading, self.parked)
    }
}
