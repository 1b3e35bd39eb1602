//! Acquaintances: to whom an account may write freely, and that the first stanza to anybody else costs as much as a number of
//! a phone book.
//!
//! Whatever can come back as "there is nobody", or have the other's client answer by itself, tells whether a number is
//! registered: messages of all kinds (a receipt is one), requests, presence that asks or shows. So the first of these to a
//! number draws on the quota of contact sync ([`super::quota`]), and over it is refused before anybody has looked, in the
//! same words whether there is somebody or not (docs/promises.md, P1). What tells nothing (answers, errors, taking something
//! back) draws on nothing.
//!
//! Free are contacts (in the phone book, or a subscription or a request in either direction), who has written within a week,
//! service accounts, and whom the account has asked about lately. Members of a common group will be, by [`is_free`].
//!
//! Owns what an account in memory knows of these. Bounded: whoever is forgotten, because newer ones have taken the place or
//! because the account has left memory, costs one more. An account that writes to contacts alone has none of it.
//! Called by the router; the quota is written by [`crate::shard`] (`books/asking`).

use super::quota::Purse;
use crate::accounts::limits::Allowance;
use crate::directory::Account;
use crate::roster::Contact;
use chaski_store::AccountId;

/// How many of those that it has asked about an account remembers: 16 KiB for who asks about so many. Whoever writes to more by turns
/// than are remembered pays for each again and again.
const ASKED_MAX: usize = 2_048;
/// How many of those who have written to it: 4 KiB.
const HEARD_MAX: usize = 256;
/// For how long who has written may be answered.
const HEARD_MS: u64 = 7 * 24 * 3_600_000;
/// Who goes on writing is noted again after this long.
const HEARD_AGAIN_MS: u64 = 24 * 3_600_000;

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

/// Whether an account may write to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It costs nothing.
    Free,
    /// It was paid for just now: the purse is to be written.
    Paid,
    /// There is nothing left to pay with, or it is not known yet what is left: the purse is to be read.
    Refused,
}

/// Asks for leave to write to somebody. Who is known costs a look-up in memory.
pub(crate) fn ask(account: &mut Account, whom: AccountId, allowance: Allowance, unix_ms: u64) -> Leave {
    if is_free(account, whom, unix_ms) {
        return Leave::Free;
    }
    let acquaintances = account.acquaintances.get_or_insert_default();
    if acquaintances.purse.take(allowance, unix_ms).is_err() {
        return Leave::Refused;
    }
    acquaintances.remember(whom);
    Leave::Paid
}

fn is_free(account: &Account, whom: AccountId, unix_ms: u64) -> bool {
    let Some(number) = whom.phone_number().filter(|_| account.id.phone_number().is_some()) else {
        return true; // Operators make service accounts, and answer for them.
    };
    if whom == account.id || is_contact(account, number) {
        return true;
    }
    let known = account.acquaintances.as_deref();
    known.is_some_and(|known| known.asked.contains(&whom) || known.has_heard(whom, unix_ms, HEARD_MS))
}

/// Whether somebody is nobody's business of the account yet: no contact, and has not written to it lately. What it has paid for
/// may tell that somebody is registered, and no more.
pub(crate) fn is_stranger(account: &Account, whom: AccountId, unix_ms: u64) -> bool {
    let Some(number) = whom.phone_number().filter(|_| account.id.phone_number().is_some()) else {
        return false;
    };
    let has_written =
        account.acquaintances.as_deref().is_some_and(|it| it.has_heard(whom, unix_ms, HEARD_MS));
    whom != account.id && !is_contact(account, number) && !has_written
}

fn is_contact(account: &Account, number: u64) -> bool {
    let state = account.roster.state(&Contact::Phone(number));
    state.is_booked() || state.to() || state.from() || state.pending_in() || state.pending_out()
}

/// Somebody has written to the account: it may answer.
pub(crate) fn heard(account: &mut Account, by: AccountId, unix_ms: u64) {
    let Some(number) = by.phone_number().filter(|_| by != account.id) else { return };
    let known = account.acquaintances.as_deref();
    let is_noted = known.is_some_and(|known| known.has_heard(by, unix_ms, HEARD_AGAIN_MS));
    if !is_noted && !is_contact(account, number) {
        account.acquaintances.get_or_insert_default().note(by, unix_ms);
    }
}

impl Acquaintances {
    fn has_heard(&self, whom: AccountId, unix_ms: u64, within_ms: u64) -> bool {
        self.heard.iter().any(|(by, at)| *by == whom && unix_ms.saturating_sub(*at) < within_ms)
    }

    fn remember(&mut self, whom: AccountId) {
        match self.asked.get_mut(self.oldest).filter(|_| self.oldest < ASKED_MAX) {
            Some(place) => *place = whom,
            None => self.asked.push(whom),
        }
        // While it grows this is its length, so that it grows on.
        self.oldest = (self.oldest + 1) % ASKED_MAX;
    }

    fn note(&mut self, by: AccountId, unix_ms: u64) {
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
