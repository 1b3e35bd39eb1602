//! Which messages wait in SQLite, by identity: one that is sent again is known, as it would be in memory.
//!
//! Known are those of accounts that were loaded in this run, and what has moved to SQLite since: nothing is appended to the mailbox of an account
//! before it is loaded. What was acknowledged, deleted or purged while SQLite was read is left out of what it brings. Bounded by what
//! waits, 24 bytes a message. Owned by the front.

use super::tail::MixBuild;
use crate::{AccountId, MessageId, Seq};
use std::collections::HashMap;

/// See the file's head.
#[derive(Default)]
pub(super) struct Identities {
    /// In order of identity.
    of: HashMap<AccountId, Vec<(MessageId, Seq)>, MixBuild>,
    loading: Vec<Loading>,
    count: usize,
}

/// An account whose identities are being read.
struct Loading {
    account: AccountId,
    /// Gone since that began: these,
    gone: Vec<Seq>,
    /// and all up to this.
    upto: Seq,
}

impl Identities {
    /// The number of the message of this identity that waits in SQLite.
    pub(super) fn find(&self, account: AccountId, id: MessageId) -> Option<Seq> {
        let known = self.of.get(&account)?;
        known.binary_search_by_key(&id, |(id, _)| *id).ok().map(|at| known[at].1)
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// These wait in SQLite.
    pub(super) fn add(&mut self, account: AccountId, messages: impl IntoIterator<Item = (MessageId, Seq)>) {
        let known = self.of.entry(account).or_default();
        self.count -= known.len();
        known.extend(messages);
        known.sort_unstable();
        known.dedup();
        self.count += known.len();
        if known.is_empty() {
            self.of.remove(&account);
        }
    }

    /// These, in ascending order, wait there no more.
    pub(super) fn forget(&mut self, account: AccountId, seqs: &[Seq]) {
        self.retain(account, |seq| seqs.binary_search(&seq).is_err());
        for loading in self.loading.iter_mut().filter(|loading| loading.account == account) {
            loading.gone.extend_from_slice(seqs);
        }
    }

    /// Nothing up to this number waits there any more, or nobody knows what does.
    pub(super) fn forget_all(&mut self, account: AccountId, upto: Seq) {
        self.retain(account, |seq| seq > upto);
        for loading in self.loading.iter_mut().filter(|loading| loading.account == account) {
            loading.upto = loading.upto.max(upto);
        }
    }

    fn retain(&mut self, account: AccountId, keep: impl Fn(Seq) -> bool) {
        let Some(known) = self.of.get_mut(&account) else { return };
        let before = known.len();
        known.retain(|(_, seq)| keep(*seq));
        self.count -= before - known.len();
        if known.is_empty() {
            self.of.remove(&account);
        }
    }

    /// SQLite is asked what waits for an account. `gone`: acknowledged already, and not deleted there yet.
    pub(super) fn begin_load(&mut self, account: AccountId, gone: Vec<Seq>) {
        self.loading.push(Loading { account, gone, upto: Seq(0) });
    }

    /// It has answered, or has not (`None`).
    pub(super) fn loaded(&mut self, account: AccountId, found: Option<Vec<(MessageId, Seq)>>) {
        let Some(at) = self.loading.iter().position(|loading| loading.account == account) else { return };
        let Loading { mut gone, upto, .. } = self.loading.remove(at);
        gone.sort_unstable();
        let found = found.into_iter().flatten();
        self.add(account, found.filter(|(_, seq)| *seq > upto && gone.binary_search(seq).is_err()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn romeo() -> AccountId {
        AccountId::from_bits(5)
    }

    fn message(n: u64) -> (MessageId, Seq) {
        // Identities are in no order of numbers.
        (MessageId(u128::from(1_000 - n)), Seq(n))
    }

    fn known(identities: &Identities) -> Vec<u64> {
        (0..20).filter(|&n| identities.find(romeo(), message(n).0) == Some(Seq(n))).collect()
    }

    #[test]
    fn what_moves_and_what_goes_is_known() {
        let mut identities = Identities::default();
        identities.add(romeo(), [3, 1, 2].map(message));
        identities.add(romeo(), [2, 4].map(message));
        assert_eq!((known(&identities), identities.len()), (vec![1, 2, 3, 4], 4));
        identities.forget(romeo(), &[Seq(1), Seq(3), Seq(9)]);
        assert_eq!((known(&identities), identities.len()), (vec![2, 4], 2));
        identities.forget_all(romeo(), Seq(2));
        assert_eq!((known(&identities), identities.len()), (vec![4], 1));
        identities.forget_all(romeo(), Seq(u64::MAX));
        assert_eq!((identities.of.len(), identities.len()), (0, 0));
    }

    #[test]
    fn what_went_while_sqlite_was_read_does_not_come_back() {
        let mut identities = Identities::default();
        identities.begin_load(romeo(), vec![Seq(2)]);
        identities.forget(romeo(), &[Seq(4)]);
        identities.add(romeo(), [message(7)]);
        identities.loaded(romeo(), Some([1, 2, 3, 4, 5, 7].map(message).to_vec()));
        assert_eq!(known(&identities), [1, 3, 5, 7]);
        identities.begin_load(romeo(), Vec::new());
        identities.forget_all(romeo(), Seq(5));
        identities.loaded(romeo(), Some([3, 5, 7].map(message).to_vec()));
        assert_eq!(known(&identities), [7]);
        identities.begin_load(romeo(), Vec::new());
        identities.loaded(romeo(), None);
        assert!(identities.loading.is_empty());
    }
}
