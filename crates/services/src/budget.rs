//! The share of its shard's time that an account gets in a turn, whatever kinds of stanzas it is spent on.
//!
//! Work is counted in units of about a microsecond where it is done (`Desk::work`): stanzas received, stanzas routed, recipients
//! of broadcasts, bytes written, records read and written. What follows from one read of a connection is charged to its account
//! ([`crate::shard::Shard::has_read`]). An account that has spent its share of a turn is read again in later turns, and owes what
//! it has spent beyond the share. So a stanza that goes to two thousand contacts costs as much as two thousand messages. What is
//! not read waits in the client's socket.
//!
//! Shares count turns: a turn is as long as the work of all accounts in it. But there is at most one share in a millisecond:
//! otherwise an account that is alone would keep a processor busy, and every other thread of the machine would wait. An account
//! that goes on like that for seconds gets a part of the share, [`LASTING_PART`]: a phone book, a backlog or a thousand messages
//! are bursts. Called by the edge through [`crate::shard::Shard`]. A small read is not charged: so many sessions as an account
//! can have make up one share.

/// Bytes that are read for each unit that is left of a share: for small stanzas this is about what they will cost.
pub(crate) const BYTES_PER_UNIT: usize = 32;
/// The least that is read, if anything is: a connection does not wait for the next share for the sake of a few bytes.
pub(crate) const READ_MIN: usize = 1_024;
/// Bytes that cost one unit: to be decrypted, framed and parsed, or to be written.
const BYTES_PER_COST: usize = 512;
/// An answer of this size is charged to the account that gets it.
pub(crate) const LARGE_BYTES: usize = 4_096;
/// The part of a share that a read may cost without being charged: one for each session that an account has by default.
pub(crate) const FREE_PART: u32 = 16;
/// The part of each share that an account may spend in the long run,
const LASTING_PART: u32 = 4;
/// … after so many whole shares in a burst.
const BURST_SHARES: u32 = 2_000;
/// After a burst of fewer shares than this, an account's budget is soon forgotten.
const FORGIVEN_SHARES: u32 = 16;
/// The most that an account can owe: it is not silenced for longer than the other accounts are served some ten thousand times.
const OWED_SHARES_MAX: u32 = 4_096;

/// A stanza or an element of stream management taken from a client.
pub(crate) const STANZA: u32 = 2;
/// A stanza routed to another account, or handled there.
pub(crate) const CARRIED: u32 = 2;
/// A stanza written to a session.
pub(crate) const WRITTEN: u32 = 1;
/// Records read from the store, by whichever thread.
pub(crate) const READ: u32 = 60;
/// Records written to it.
pub(crate) const SAVED: u32 = 100;

/// Accounts of which a shard knows what they have spent. Beyond, accounts that owe nothing are forgotten, and then all.
pub(crate) const BUDGETS_MAX: usize = 4_096;

/// What an account has spent lately. Kept only while some account owes something, which is rare.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Budget {
    /// What was owed in the turn `turn`; each turn pays a share of it,
    pub(crate) owed: u32,
    /// and all that was spent lately; each turn pays a part of a share of it.
    lasting: u32,
    turn: u32,
}

impl Budget {
    /// The budget as it is in this turn.
    pub(crate) fn at(self, turn: u32, share: u32) -> Self {
        let turns = u64::from(turn.wrapping_sub(self.turn));
        let left = |owed: u32, paid: u64| owed.saturating_sub(u32::try_from(paid).unwrap_or(u32::MAX));
        let each = u64::from(share);
        Self {
            owed: left(self.owed, turns * each),
            lasting: left(self.lasting, turns * each / u64::from(LASTING_PART)),
            turn,
        }
    }

    pub(crate) fn charge(&mut self, turn: u32, share: u32, units: u32) {
        let now = self.at(turn, share);
        let most = share.saturating_mul(OWED_SHARES_MAX);
        self.owed = now.owed.saturating_add(units).min(most);
        self.lasting = now.lasting.saturating_add(units).min(most);
        self.turn = turn;
    }

    /// What the account may still spend in this turn.
    pub(crate) fn left(self, turn: u32, share: u32) -> u32 {
        let now = self.at(turn, share);
        let burst = share.saturating_mul(BURST_SHARES);
        share.saturating_sub(now.owed).min(burst.saturating_sub(now.lasting))
    }

    /// For how many turns the budget makes a difference.
    pub(crate) fn turns(self, share: u32) -> u32 {
        let share = share.max(1);
        let lasting = match self.lasting / share {
            0..FORGIVEN_SHARES => 0,
            _ => (u64::from(self.lasting) * u64::from(LASTING_PART) / u64::from(share)) as u32,
        };
        (self.owed / share).max(lasting) + 1
    }
}

/// What so many bytes cost.
pub(crate) fn of_bytes(bytes: usize) -> u32 {
    (bytes / BYTES_PER_COST) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_is_paid_by_a_share_each_turn() {
        let mut budget = Budget::default();
        budget.charge(u32::MAX, 100, 250);
        assert_eq!(budget.at(u32::MAX, 100).owed, 250);
        assert_eq!(budget.at(0, 100).owed, 150, "turns go round");
        budget.charge(1, 100, 30);
        assert_eq!([1, 2, 1_000_000].map(|turn| budget.at(turn, 100).owed), [80, 0, 0]);
        budget.charge(7, 100, u32::MAX);
        assert_eq!(budget.at(7, 100).owed, 100 * OWED_SHARES_MAX);
    }

    /// Spends all it may for so many turns; how much that is.
    fn spend_all(budget: &mut Budget, turns: std::ops::Range<u32>) -> u32 {
        turns
            .map(|turn| {
                let left = budget.left(turn, 100);
                budget.charge(turn, 100, left);
                left
            })
            .sum()
    }

    #[test]
    fn who_spends_all_its_shares_for_seconds_has_a_part_of_them() {
        let mut budget = Budget::default();
        assert_eq!(spend_all(&mut budget, 0..2_000), 200_000, "two seconds are a burst");
        spend_all(&mut budget, 2_000..10_000);
        assert_eq!(spend_all(&mut budget, 10_000..11_000), 100_000 / LASTING_PART);
        assert!(budget.turns(100) > 7_000, "and is not forgotten between two reads");
        assert_eq!(budget.at(14_999, 100).lasting, 100_000, "four quiet seconds");
        assert_eq!(spend_all(&mut budget, 15_000..16_000), 100_000, "pay for a second");
    }

    #[test]
    fn a_small_burst_is_forgotten_with_its_share() {
        let mut budget = Budget::default();
        budget.charge(0, 100, 450);
        assert_eq!(budget.turns(100), 5);
    }
}
