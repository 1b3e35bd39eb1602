//! Whom besides its contacts an account in memory may write to: those it has asked about lately, and who has written to it.
//!
//! Bounded: whoever is forgotten, because newer ones have taken the place or because the account has left memory, costs one more
//! ([`super::first_stanza`]). An account that writes to contacts alone has none of it.

use super::contact_sync_quota::Purse;
use chaski_store::AccountId;

/// How many of those that it has asked about an account remembers: 16 KiB for who asks about so many. Whoever writes to more by turns
/// than are remembered pays for each again and again.
const ASKED_MAX: usize = 2_048;
/// How many of those who have written to it: 4 KiB.
const HEARD_MAX: usize = 256;
/// For how long who has written may be answered.
pub(crate) const HEARD_MS: u64 = 7 * 24 * 3_600_000;
/// Who goes on writing is noted again after this long.
pub(crate) const HEARD_AGAIN_MS: u64 = 24 * 3_600_000;

/// See the module.
#[derive(Default)]
pub(crate) struct Acquaintances {
    /// Paid for. In a ring: `oldest` is the next to be replaced once there are [`ASKED_MAX`].
    asked: Vec<AccountId>,
    oldest: usize,
    /// Who has written, and when, Unix time in milliseconds.
    heard: Vec<(AccountId, u64)>,
    pub(crate) purse: Purse,
}

impl Acquaintances {
    /// Whether an account was asked about.
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
        // While it grows this is its length, so that it grows on.
        self.oldest = (self.oldest + 1) % ASKED_MAX;
    }

    pub(crate) fn note(&mut self, by: AccountId, unix_ms: u64) {
        self.heard.retain(|(known, at)| *known != by && unix_ms.saturating_sub(*at) < HEARD_MS);
        if self.heard.len() >= HEARD_MAX {
            // In order of time, since whoever writes again goes to the end.
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
