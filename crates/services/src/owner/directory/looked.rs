//! Which senders were lately told that there is no account for which number: asked again, the same answer comes at once.
//!
//! An account that exists stays in memory after it was asked for. A number without an account must be remembered as well:
//! otherwise the time and the work of a second request would tell an account from none. Both kinds of refusal are in one table:
//! for an account that shows a sender nothing, the first refusal is as slow as a look-up in the store, and the next ones come
//! from this table, as for a number without an account. The table answers each sender only for what that sender was told before,
//! so that nobody learns whether others have asked.
//!
//! Kept by [`super::Directory`]. Promises: the table is bounded, and the oldest entry goes first, whatever it says; a number is
//! forgotten as soon as an account is about to be made for it; an account with an entry here does not leave memory.

use super::keyed::Keyed;
use chaski_store::AccountId;
use std::collections::{HashMap, VecDeque};

/// See the module. Keys are a sender and the account that it has asked for.
pub(super) struct Looked {
    /// The value says whether the account does not exist (true), or only shows the sender nothing (false).
    found: HashMap<(AccountId, AccountId), bool, Keyed>,
    /// Oldest first.
    order: VecDeque<(AccountId, AccountId)>,
    most: usize,
}

impl Looked {
    pub(super) fn new(most: usize, secret: &[u8; 16]) -> Self {
        Self { found: HashMap::with_hasher(Keyed::new(secret)), order: VecDeque::new(), most }
    }

    /// Remembers that this sender was told that there is nobody.
    pub(super) fn note(&mut self, asker: AccountId, id: AccountId, is_nobody: bool) {
        if self.most == 0 {
            return;
        }
        if self.found.insert((asker, id), is_nobody).is_some() {
            return;
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.found.remove(&oldest);
        }
        self.order.push_back((asker, id));
    }

    /// Whether this sender was lately told that there is nobody.
    pub(super) fn was_told(&self, asker: AccountId, id: AccountId) -> bool {
        self.found.contains_key(&(asker, id))
    }

    /// Whether this sender was lately told that there is nobody because the account does not exist.
    pub(super) fn is_nobody(&self, asker: AccountId, id: AccountId) -> bool {
        self.found.get(&(asker, id)).is_some_and(|is_nobody| *is_nobody)
    }

    /// Whether any sender was lately told that there is nobody with this number. Searches the whole table.
    pub(super) fn holds(&self, id: AccountId) -> bool {
        self.order.iter().any(|(_, told)| *told == id)
    }

    /// An account is about to be made for this number: forgets it for all senders. Searches the whole table.
    pub(super) fn forget(&mut self, id: AccountId) {
        if self.holds(id) {
            self.order.retain(|(_, told)| *told != id);
            self.found.retain(|(_, told), _| *told != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + number).expect("a number")
    }

    #[test]
    fn the_oldest_goes_first_and_a_number_that_is_taken_at_once() {
        let mut looked = Looked::new(3, &[7; 16]);
        let [a, b] = [1, 2].map(account);
        looked.note(a, account(10), true);
        looked.note(b, account(10), true);
        looked.note(a, account(11), false);
        looked.note(a, account(10), true);
        assert!(looked.is_nobody(a, account(10)) && !looked.is_nobody(a, account(11)));
        assert!(looked.was_told(a, account(11)) && !looked.was_told(b, account(11)));
        looked.note(a, account(12), true);
        assert!(!looked.was_told(a, account(10)), "told again, it keeps its place");
        assert!(looked.holds(account(10)));
        looked.forget(account(10));
        assert!(!looked.was_told(b, account(10)) && looked.was_told(a, account(11)));
        assert_eq!((looked.order.len(), looked.found.len()), (2, 2));
    }
}
