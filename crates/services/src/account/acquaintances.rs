//! The accounts, other than its contacts, that an account in memory may write to freely: those it has paid for lately, and those
//! that have written to it.
//!
//! Bounded: an account that is forgotten, because newer ones have taken its place or because the owner has left memory, has to be
//! paid for once more ([`super::first_stanza`]). An account that writes only to contacts has no entries.

use super::contact_sync_quota::Purse;
use chaski_store::AccountId;

/// How many paid accounts are remembered: 16 KiB if there are so many. An account that writes to more than these by turns pays
/// for each again and again.
const ASKED_MAX: usize = 2_048;
/// How many accounts that have written are remembered: 4 KiB.
const HEARD_MAX: usize = 256;
/// For how long an account that has written may be answered freely.
pub(crate) const HEARD_MS: u64 = 7 * 24 * 3_600_000;
/// An account that keeps writing is noted again after this time.
pub(crate) const HEARD_AGAIN_MS: u64 = 24 * 3_600_000;

/// See the module.
#[derive(Default)]
pub(crate) struct Acquaintances {
    /// Accounts that were paid for, in a ring: `oldest` is the next to be replaced once there are [`ASKED_MAX`].
    asked: Vec<AccountId>,
    oldest: usize,
    /// Accounts that have written, each with the time, in milliseconds of Unix time.
    heard: Vec<(AccountId, u64)>,
    pub(crate) purse: Purse,
}

impl Acquaintances {
    /// Whether this account was paid for.
    pub(crate) fn has_asked(&self, whom: AccountId) -> bool {
        self.asked.contains(&whom)
    }

    pub(crate) fn has_heard(&self, whom: AccountId, unix_ms: u64, within_ms: u64) -> bool {
        self.heard.iter().any(|(by, at)| *by == whom && unix_ms.saturating_sub(*at) < within_ms)
    }

    pub(crate) fn remember(&mut self, whom: AccountId) {
        match self.asked.get_mut(self.oldest).filter(|_| self.oldest < ASKED_MAX) {
            Some(place) => *place = whom,
            None => self.asked.push(whom),
        }
        // While the ring grows, `oldest` equals its length.
        self.oldest = (self.oldest + 1) % ASKED_MAX;
    }

    pub(crate) fn note(&mut self, by: AccountId, unix_ms: u64) {
        self.heard.retain(|(known, at)| *known != by && unix_ms.saturating_sub(*at) < HEARD_MS);
        if self.heard.len() >= HEARD_MAX {
            // The list is in order of time, since an account that writes again moves to the end.
            self.heard.remove(0);
        }
        self.heard.push((by, unix_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + n).unwrap()
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut known = Acquaintances::default();
        let most = ASKED_MAX as u64;
        (0..most).for_each(|n| known.remember(number(n)));
        assert!((0..most).all(|n| known.asked.contains(&number(n))));
        known.remember(number(most));
        assert!(known.asked.len() == ASKED_MAX && !known.asked.contains(&number(0)));
        assert!((1..=most).all(|n| known.asked.contains(&number(n))));
        (0..=HEARD_MAX as u64).for_each(|n| known.note(number(n), 1_000 + n));
        assert!(known.heard.len() == HEARD_MAX && !known.has_heard(number(0), 2_000, HEARD_MS));
    }

    #[test]
    fn who_has_written_is_remembered_for_a_week_since_the_last_time() {
        let mut known = Acquaintances::default();
        known.note(number(1), 1_000);
        known.note(number(1), 1_000 + HEARD_MS / 2);
        assert_eq!(known.heard.len(), 1);
        assert!(known.has_heard(number(1), 1_000 + HEARD_MS, HEARD_MS));
        assert!(!known.has_heard(number(1), 1_000 + 2 * HEARD_MS, HEARD_MS));
        known.note(number(2), 1_000 + 2 * HEARD_MS);
        assert_eq!(known.heard.len(), 1, "what is over takes no place");
    }
}
