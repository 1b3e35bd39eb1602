//! Charges accounts for the work done for them in a turn ([`crate::budget`]), and says how much of a connection is read.

use crate::budget::{BUDGETS_MAX, BYTES_PER_UNIT, FREE_PART, READ_MIN, of_bytes};
use crate::owner::desk::Desk;
use crate::owner::state::Owner;
use crate::wire::SessionId;
use chaski_store::AccountId;

impl Desk {
    /// Counts work for the connection or sender that is being handled.
    pub(crate) fn spend(&mut self, units: u32) {
        self.work = self.work.saturating_add(units);
    }
}

impl Owner {
    /// A turn begins in which every account has a new share. Not to be called while another shard can't keep up with what this
    /// one sends: an account that has spent its share then waits for that shard, too.
    pub(crate) fn renew_shares(&mut self) {
        self.desk.turn = self.desk.turn.wrapping_add(1);
        match self.desk.owing_turns {
            0 => {}
            1 => {
                self.desk.owing_turns = 0;
                self.desk.budgets.clear();
            }
            _ => self.desk.owing_turns -= 1,
        }
    }

    /// Whether some account has spent a share that is not renewed yet.
    pub(crate) fn has_debtors(&self) -> bool {
        self.desk.owing_turns > 0
    }

    /// How many bytes of a session's connection are to be read now; 0: its account has had its share of this turn. Work from this
    /// call until [`Self::has_read`] is charged to that account.
    pub(crate) fn readable_bytes(&mut self, session: SessionId) -> usize {
        self.desk.work = 0;
        let left = self.left(session);
        self.desk.work_most = if left == 0 { u32::MAX } else { left };
        match left {
            0 => 0,
            left => (left as usize * BYTES_PER_UNIT).max(READ_MIN),
        }
    }

    /// What is left of the share of a session's account.
    fn left(&self, session: SessionId) -> u32 {
        let (turn, share) = (self.desk.turn, self.desk.realm.limits.work_per_turn);
        match self.has_debtors() {
            false => share,
            true => {
                let account = self.directory.account_of(session);
                let budget = account.and_then(|account| self.desk.budgets.get(&account));
                budget.map_or(share, |budget| budget.left(turn, share))
            }
        }
    }

    /// Whether something is left of the share after the work done since [`Self::readable_bytes`]. Small stanzas can cost far more
    /// than their bytes say; the rest of what was received then waits for the next share.
    pub(crate) fn may_go_on(&self) -> bool {
        self.desk.work < self.desk.work_most
    }

    /// Charges the account of a session for having this many bytes read and handled.
    pub(crate) fn has_read(&mut self, session: SessionId, bytes: usize) {
        self.desk.work_most = u32::MAX;
        let units = self.desk.work.saturating_add(of_bytes(bytes));
        if units >= self.desk.realm.limits.work_per_turn / FREE_PART {
            self.charge(session, units);
        }
    }

    /// Charges the work that was done for sessions while no connection was being read.
    pub(crate) fn charge_owed(&mut self) {
        if self.desk.owed.is_empty() {
            return;
        }
        let mut owed = std::mem::take(&mut self.desk.owed);
        owed.drain(..).for_each(|(session, units)| self.charge(session, units));
        self.desk.owed = owed;
    }

    fn charge(&mut self, session: SessionId, units: u32) {
        if let Some(account) = self.directory.account_of(session) {
            self.charge_account(account, units);
        }
    }

    /// Charges an account, whichever shard its sessions are on.
    pub(crate) fn charge_account(&mut self, account: AccountId, units: u32) {
        let (turn, share) = (self.desk.turn, self.desk.realm.limits.work_per_turn);
        let budgets = &mut self.desk.budgets;
        if budgets.len() >= BUDGETS_MAX {
            budgets.retain(|_, budget| budget.at(turn, share).owed > 0);
        }
        if budgets.len() >= BUDGETS_MAX {
            budgets.clear();
        }
        let budget = budgets.entry(account).or_default();
        budget.charge(turn, share, units);
        // Shares are looked up only while some account has spent part of its share.
        self.desk.owing_turns = self.desk.owing_turns.max(budget.turns(share));
    }
}
