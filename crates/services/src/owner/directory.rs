//! The directory: the accounts whose state is in this shard's memory, and their sessions.
//!
//! An account's records are loaded when a stanza, a login or a command needs it. What arrives for the account meanwhile is parked
//! in order, bounded; how many loads are under way is bounded for each asker ([`askers`]). An account stays in memory while it
//! has sessions, and afterwards until newer idle accounts push it out. The directory also remembers for a while who was told that
//! there is no such account ([`looked`]).
//! Called by the other files of [`crate::owner`]. Owns the only copy of an account's live state (one owner, see ARCHITECTURE.md).

mod askers;
mod keyed;
mod looked;
mod room;

pub(crate) use askers::Asker;
pub(crate) use keyed::Keyed;
pub(crate) use room::{ParkedRoom, Parking};

use super::ledger::Ledger;
use crate::account::Account;
use crate::account::nodes::NODES;
use crate::account::roster::document::ROSTERS;
use crate::account::settings::SETTINGS;
use crate::effects::letter::RoutedStanza;
use crate::effects::login;
use crate::effects::pep::PepNotification;
use crate::effects::turn::command::{Command, SessionSummary};
use crate::realm::Limits;
use crate::ticket::Stay;
use crate::wire::SessionId;
use askers::Askers;
use chaski_store::{AccountId, Table};
use looked::Looked;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};

/// The tables whose records together are an account.
pub(crate) const TABLES: &[Table] = &[Table::ACCOUNTS, ROSTERS, SETTINGS, NODES];

/// An account in this shard's memory: itself, and what its owner has under way for it.
pub(crate) struct Resident {
    pub(crate) account: Account,
    /// The changes of the account that are under way or wait.
    pub(crate) ledger: Ledger,
    /// The load that brought the account into memory. Answers of the store to requests from before that load are not for it.
    pub(crate) stay: Stay,
    /// The account was asked for since the directory last considered dropping it from memory.
    used: bool,
    /// A sender was told `service-unavailable` for this account, as if it did not exist: see [`looked`].
    is_looked: bool,
}

impl Resident {
    pub(crate) fn new(account: Account) -> Self {
        Self { account, ledger: Ledger::default(), stay: Stay::default(), used: true, is_looked: false }
    }

    pub(crate) fn summaries(&self) -> Vec<SessionSummary> {
        let summary = |session: &crate::account::session::Session| SessionSummary {
            full_jid: self.full_jid(session),
            available: session.presence.is_available(),
            priority: session.presence.priority(),
            hibernating: session.connection().is_none(),
            unacknowledged: session.queue.len(),
        };
        self.sessions.iter().map(summary).collect()
    }

    fn is_idle(&self) -> bool {
        self.sessions.is_empty() && !self.ledger.is_busy()
    }
}

impl Deref for Resident {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.account
    }
}

impl DerefMut for Resident {
    fn deref_mut(&mut self) -> &mut Account {
        &mut self.account
    }
}

/// Something that needs an account, and waits if the account is not in memory.
pub(crate) enum Work {
    RoutedStanza(RoutedStanza),
    Login(login::Question),
    PepNotification(Box<PepNotification>),
    Command(Box<Command>),
}

/// What [`Directory::find`] says of an account.
pub(crate) enum Found {
    /// The account is in memory: here is the work back.
    Present(Work),
    /// The account is being loaded, or its asker has too many loads under way: the work is parked.
    Parked,
    /// The account is not in memory: the work is parked, and the caller has to load the account.
    Load(Stay),
    /// The account does not exist, and this asker was told so before: here is the work back.
    Nobody(Work),
    /// Too much is parked already: here is the work back.
    Overloaded(Work),
}

/// Bits of a session's id that say where it is kept. The rest are its number, counted from the start.
const KEY_BITS: u32 = 24;

/// The slab key of a session.
fn key(session: SessionId) -> usize {
    (session.0 & ((1 << KEY_BITS) - 1)) as usize
}

/// See the module.
pub(crate) struct Directory {
    present: HashMap<AccountId, Box<Resident>, Keyed>,
    /// Accounts whose records are being loaded (or made), with what waits for that, in order. None is in `present`.
    loading: HashMap<AccountId, Loading, Keyed>,
    /// The number of the load that was begun last.
    loads: Stay,
    askers: Askers,
    looked: Looked,
    sessions: Slab<(u64, AccountId)>,
    /// How many sessions this shard has ever made.
    count: u64,
    /// How much is parked, including refusals that wait for a look-up in the store.
    pub(crate) room: ParkedRoom,
    /// Accounts without sessions, oldest first; some have got a session again or are gone.
    idle: VecDeque<AccountId>,
    /// Accounts that were in memory or looked up, and may not be any more: for [`Directory::next_left`].
    left: Vec<AccountId>,
    limits: Bounds,
}

/// A load, and what is parked until it ends.
#[derive(Default)]
struct Loading {
    /// The load whose answer is awaited; answers of earlier loads don't count.
    by: Stay,
    /// On whose behalf the account is loaded. `None`: the account is being made or cleared.
    asker: Option<Asker>,
    parked: VecDeque<Work>,
    parked_bytes: usize,
}

/// Those of the configured limits that the directory keeps.
pub(crate) struct Bounds {
    pub(crate) loading: usize,
    pub(crate) parked: usize,
    pub(crate) parked_bytes: usize,
    pub(crate) parked_bytes_shard: usize,
    pub(crate) idle: usize,
    pub(crate) per_asker: usize,
    pub(crate) waiting_bytes_per_asker: usize,
    pub(crate) waiting_bytes: usize,
    pub(crate) looked: usize,
}

impl Bounds {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            loading: limits.loading_accounts,
            parked: limits.parked_per_account,
            parked_bytes: limits.parked_bytes_per_account,
            parked_bytes_shard: limits.parked_bytes_shard,
            idle: limits.idle_accounts,
            per_asker: limits.loads_per_asker,
            waiting_bytes_per_asker: limits.load_waiting_bytes,
            waiting_bytes: limits.load_waiting_bytes_shard,
            // Accounts of which a sender was told that they do not exist stay in memory in addition to the idle accounts.
            looked: limits.idle_accounts / 4,
        }
    }
}

impl Directory {
    pub(crate) fn new(limits: Bounds, secret: &[u8; 16]) -> Self {
        Self {
            present: HashMap::with_hasher(Keyed::new(secret)),
            loading: HashMap::with_hasher(Keyed::new(secret)),
            loads: Stay::default(),
            askers: Askers::new(secret),
            looked: Looked::new(limits.looked, secret),
            sessions: Slab::new(),
            count: 0,
            room: ParkedRoom::of(&limits),
            idle: VecDeque::new(),
            left: Vec::new(),
            limits,
        }
    }

    /// Returns whether work can be done now, and parks it if not.
    pub(crate) fn find(&mut self, id: AccountId, work: Work) -> Found {
        if let Some(present) = self.present.get_mut(&id) {
            present.used = true;
            return Found::Present(work);
        }
        if let Some(loading) = self.loading.get_mut(&id) {
            if !self.room.take(loading.parked.len(), &mut loading.parked_bytes, Parking::of(&work)) {
                return Found::Overloaded(work);
            }
            loading.parked.push_back(work);
            return Found::Parked;
        }
        let asker = work.asker(id);
        if let Asker::Account(by) = asker
            && self.looked.is_nobody(by, id)
        {
            return Found::Nobody(work);
        }
        if !self.room.has(0, 0, Parking::of(&work)) {
            return Found::Overloaded(work);
        }
        if !self.askers.begin(asker, &self.limits) {
            return self.wait(asker, id, work);
        }
        let by = self.new_load();
        let mut loading = Loading { by, asker: Some(asker), ..Loading::default() };
        self.room.keep(&mut loading.parked_bytes, Parking::of(&work));
        loading.parked.push_back(work);
        self.loading.insert(id, loading);
        Found::Load(by)
    }

    /// Parks work behind other work of the same asker, without beginning a load.
    pub(crate) fn wait(&mut self, asker: Asker, id: AccountId, work: Work) -> Found {
        match self.askers.wait(asker, (id, work), &self.limits) {
            None => Found::Parked,
            Some(work) => Found::Overloaded(work),
        }
    }

    /// Whether an earlier stanza of this account waits in its asker's line, so that its next stanza has to wait behind it.
    pub(crate) fn is_behind(&self, by: AccountId) -> bool {
        self.askers.has_waiting(by)
    }

    /// Takes the next work that has waited in an asker's line and may go on now.
    pub(crate) fn next_waiting(&mut self) -> Option<(AccountId, Work)> {
        self.askers.next(&self.limits)
    }

    /// Whether one more look-up in the store may begin for this asker, though no account is to be loaded. If so, it counts as
    /// under way until [`Self::look_ended`].
    pub(crate) fn begin_look(&mut self, asker: Asker) -> bool {
        self.askers.begin(asker, &self.limits)
    }

    /// The store has answered the look-up that [`Self::begin_look`] allowed.
    pub(crate) fn look_ended(&mut self, asker: Asker) {
        self.askers.ended(asker);
    }

    /// Remembers that this asker was told `service-unavailable` for the account `id`, and whether that is because it does not
    /// exist.
    pub(crate) fn told_nobody(&mut self, asker: AccountId, id: AccountId, is_nobody: bool) {
        self.looked.note(asker, id, is_nobody);
        if let Some(account) = self.present(id) {
            account.is_looked = true;
        }
    }

    /// Whether this asker was lately told `service-unavailable` for the account `id`.
    pub(crate) fn was_told_nobody(&self, asker: AccountId, id: AccountId) -> bool {
        self.looked.was_told(asker, id)
    }

    /// The number of a load that begins now.
    pub(crate) fn new_load(&mut self) -> Stay {
        self.loads = Stay(self.loads.0.wrapping_add(1));
        self.loads
    }

    /// Begins a new load of an account that is [held back](Self::hold_back) or being loaded: only the answer of this load counts.
    pub(crate) fn load_again(&mut self, id: AccountId) -> Stay {
        let by = self.new_load();
        if let Some(loading) = self.loading.get_mut(&id) {
            loading.by = by;
        }
        by
    }

    /// Whether this load is the one whose answer is awaited for the account.
    pub(crate) fn is_awaited(&self, id: AccountId, load: Stay) -> bool {
        self.loading.get(&id).is_some_and(|loading| loading.by == load)
    }

    /// The account, if it has been in memory without a break since the load `stay`.
    pub(crate) fn still(&mut self, id: AccountId, stay: Stay) -> Option<&mut Resident> {
        self.present(id).filter(|account| account.stay == stay)
    }

    /// Ends an account's load: returns what was parked. Without `account`, it does not exist or could not be loaded.
    pub(crate) fn loaded(&mut self, id: AccountId, account: Option<Box<Resident>>) -> VecDeque<Work> {
        match account {
            Some(mut account) => {
                account.stay = self.loading.get(&id).map_or(self.loads, |loading| loading.by);
                self.present.insert(id, account);
                self.rest(id);
            }
            None => self.drop_from_memory(id),
        }
        let Some(loading) = self.loading.remove(&id) else { return VecDeque::new() };
        self.askers.ended(loading.asker.unwrap_or(Asker::Own));
        self.room.give_back(loading.parked.len(), loading.parked_bytes);
        loading.parked
    }

    /// The accounts in memory.
    pub(crate) fn ids(&self) -> impl Iterator<Item = AccountId> {
        self.present.keys().copied()
    }

    /// Whether the account is neither in memory nor being loaded, so that it has no session and nothing waits for it.
    pub(crate) fn is_absent(&self, account: AccountId) -> bool {
        !self.present.contains_key(&account) && !self.is_loading(account)
    }

    /// Whether the account is being loaded or made.
    pub(crate) fn is_loading(&self, id: AccountId) -> bool {
        self.loading.contains_key(&id)
    }

    /// Keeps what arrives for an account parked from now on, until [`Self::loaded`].
    pub(crate) fn hold_back(&mut self, id: AccountId) {
        self.drop_from_memory(id);
        // An account may be made now, so the number no longer counts as nobody's.
        self.looked.forget(id);
        let askers = &mut self.askers;
        self.loading.entry(id).or_insert_with(|| {
            askers.begun();
            Loading::default()
        });
        // Answers of loads that were begun before don't count any more.
        self.load_again(id);
    }

    /// Parks again, in order, work that can't be done yet.
    pub(crate) fn park_all(&mut self, id: AccountId, work: VecDeque<Work>) {
        if let Some(loading) = self.loading.get_mut(&id) {
            for work in work {
                self.room.keep(&mut loading.parked_bytes, Parking::of(&work));
                loading.parked.push_back(work);
            }
        }
    }

    /// The account, if it is in memory.
    pub(crate) fn present(&mut self, id: AccountId) -> Option<&mut Resident> {
        self.present.get_mut(&id).map(|account| &mut **account)
    }

    /// The account that a session belongs to.
    pub(crate) fn account_of(&self, session: SessionId) -> Option<AccountId> {
        let (count, account) = self.sessions.get(key(session))?;
        (*count == session.0 >> KEY_BITS).then_some(*account)
    }

    /// A session's id, never used before: 40 bits count the sessions of this run, which at a thousand a second is enough for
    /// 34 years.
    pub(crate) fn new_session(&mut self, account: AccountId) -> SessionId {
        self.count += 1;
        let key = self.sessions.insert((self.count, account));
        debug_assert!(key < 1 << KEY_BITS, "no shard has so many sessions");
        SessionId(self.count << KEY_BITS | key as u64)
    }

    /// A session has ended: forgets its id, and lets its account become idle.
    pub(crate) fn forget_session(&mut self, session: SessionId) {
        if let Some(account) = self.account_of(session) {
            self.sessions.remove(key(session));
            self.rest(account);
        }
    }

    /// Notes that an account may have become idle, and drops the oldest idle accounts from memory if there are too many. An
    /// account that was used since it became idle gets a second chance. This one stays: what it came into memory for, or what follows from the end
    /// of its session, is yet to be done.
    fn rest(&mut self, id: AccountId) {
        self.idle.push_back(id);
        let mut chances = self.idle.len();
        while self.idle.len() > self.limits.idle {
            let Some(oldest) = self.idle.pop_front() else { return };
            // An account that has a session again comes back here when that session ends.
            let Some(account) = self.present(oldest).filter(|account| account.sessions.is_empty()) else {
                continue;
            };
            let used = std::mem::take(&mut account.used);
            let (is_looked, is_idle) = (account.is_looked, account.is_idle());
            if is_looked && self.looked.holds(oldest) {
                // A sender was told that this account does not exist: asked again, the answer must come as fast as for a number
                // without an account, so the account stays in memory. These accounts are few.
                self.idle.push_back(oldest);
                if chances == 0 {
                    return;
                }
                chances -= 1;
            } else if is_idle && oldest != id && (!used || chances == 0) {
                self.drop_from_memory(oldest);
            } else if chances > 0 {
                chances -= 1;
                self.idle.push_back(oldest);
            } else {
                return self.idle.push_back(oldest);
            }
        }
    }

    fn drop_from_memory(&mut self, id: AccountId) {
        self.present.remove(&id);
        self.looked_at(id);
    }

    /// The store was asked for an account that need not be in memory.
    pub(crate) fn looked_at(&mut self, id: AccountId) {
        self.left.push(id);
    }

    /// An account that is in memory no more, each once after it has left: the store need not know its mailbox.
    pub(crate) fn next_left(&mut self) -> Option<AccountId> {
        while let Some(id) = self.left.pop() {
            if self.is_absent(id) {
                return Some(id);
            }
        }
        None
    }

    /// Accounts in memory, and those that are being loaded: for the gauges.
    pub(crate) fn levels(&self) -> (usize, usize) {
        (self.present.len(), self.loading.len())
    }

    /// Work that waits in its asker's line.
    pub(crate) fn waiting(&self) -> usize {
        self.askers.waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_in_memory_is_small() {
        // One allocation, which glibc rounds up to the next multiple of 16, less 8.
        assert!(size_of::<Resident>() <= 328, "{}", size_of::<Resident>());
    }
}
