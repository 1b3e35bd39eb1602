//! What accounts have had done in a turn is charged to their shares ([`crate::budget`]), and how much of a connection is read.

use crate::budget::{BUDGETS_MAX, BYTES_PER_UNIT, FREE_PART, READ_MIN, of_bytes};
use crate::owner::desk::Desk;
use crate::owner::state::Owner;
use crate::wire::SessionId;
use chaski_store::AccountId;

impl Desk {
    /// Counts work.
    pub(crate) fn spend(&mut self, units: u32) {
        self.work = self.work.saturating_add(units);
    }
}

impl Owner {
    /// A turn in which every account has its share begins. Not to be called while another shard can't keep up with what this one
    /// sends it: then who has spent its share waits for that shard, too.
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

    /// How much is to be read of a session's connection now; 0: its account has had its share of this turn. What is done between
    /// this and [`Self::has_read`] is done for it.
    pub(crate) fn readable_bytes(&mut self, session: SessionId) -> usize {
        self.desk.work = 0;
        let left = self.left(session);
        self.desk.work_most = if left == 0 { u32::MAX } else { left };
        match left {
            0 => 0,
            left => (left as usize * BYTES_PER_UNIT).max(READ_MIN),
        }
    }

    /// What is left of a session's account's share.
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

    /// Whether what was dealt with since [`Self::readable_bytes`] leaves something of the share: small stanzas can cost far more
    /// than their bytes say, and what is left of them then waits for the next share, unread.
    pub(crate) fn may_go_on(&self) -> bool {
        self.desk.work < self.desk.work_most
    }

    /// So many bytes of a session's connection have been read and dealt with.
    pub(crate) fn has_read(&mut self, session: SessionId, bytes: usize) {
        self.desk.work_most = u32::MAX;
        let units = self.desk.work.saturating_add(of_bytes(bytes));
        if units >= self.desk.realm.limits.work_per_turn / FREE_PART {
            self.charge(session, units);
        }
    }

    /// Charges what was done for sessions while none was read.
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

    /// Charges an account, wherever its sessions are.
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
        // What is left of a share is looked at as long as somebody has spent some of it.
        self.desk.owing_turns = self.desk.owing_turns.max(budget.turns(share));
    }
}
