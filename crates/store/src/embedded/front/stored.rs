//! What SQLite holds of the mailboxes whose accounts are here: number, identity, size and sender of each message, so that one that is sent again is known,
//! usage is known, and senders keep their shares, without a question to SQLite.
//!
//! It comes with the account's load, and goes when the account leaves ([`ShardStore::leave`](crate::ShardStore::leave)): nothing here is of who is away, and
//! nothing is looked at when the store is opened. Between the two the front knows of every change itself. A load takes a while, so what
//! went meanwhile is kept apart ([`Loads`]) and left out of what it brings. 32 bytes a message, bounded by a mailbox's bounds. Owned by the
//! [`tail`](super::tail) (with the mailbox) and by the front (the loads).

use super::shares::{Mark, Senders};
use super::tail::MixBuild;
use crate::embedded::database::{Kept, Waiting};
use crate::embedded::link::Loss;
use crate::shares::Count;
use crate::{AccountId, Cursors, MessageId, Seq};
use std::collections::HashMap;

/// One mailbox's part in SQLite.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// In order of identity.
    messages: Vec<Kept>,
    bytes: u32,
    gap: Option<Seq>,
    /// The highest number that was ever here.
    last: Seq,
    /// SQLite could not say what it holds: it is asked by whoever reads, up to `last`.
    is_unknown: bool,
}

impl Stored {
    /// Of a mailbox that could not be read, of which SQLite may hold something up to this number.
    pub(super) fn unknown(upto: Seq) -> Self {
        Self { last: upto, is_unknown: true, ..Self::default() }
    }

    /// Whether SQLite has nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.gap.is_none() && !self.is_unknown
    }

    /// How much waits there. A gap counts as one message of no bytes.
    pub(super) fn count(&self) -> Count {
        let messages = self.messages.len() + usize::from(self.gap.is_some());
        Count { messages: u32::try_from(messages).unwrap_or(u32::MAX), bytes: self.bytes }
    }

    /// The highest number that was ever here.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// The number of the message of this identity.
    pub(super) fn find(&self, id: MessageId) -> Option<Seq> {
        let id = id.0.to_be_bytes();
        let at = self.messages.partition_point(|kept| kept.id < id);
        self.messages.get(at).filter(|kept| kept.id == id).map(|kept| kept.seq)
    }

    /// All numbers, in no order.
    pub(super) fn seqs(&self) -> impl Iterator<Item = Seq> {
        self.messages.iter().map(|kept| kept.seq).chain(self.gap)
    }

    /// Who has sent each, as far as that is known, and its size.
    pub(super) fn senders(&self) -> impl Iterator<Item = (Option<Mark>, usize)> {
        self.messages.iter().map(sender)
    }

    /// These are there now, those that were known before among them.
    pub(super) fn add(&mut self, found: impl IntoIterator<Item = Kept>, senders: &mut Senders) {
        let known = self.messages.len();
        for kept in found {
            let (place, known) = ((kept.id, kept.seq), &self.messages[..known]);
            if known.binary_search_by_key(&place, |of| (of.id, of.seq)).is_err() {
                self.last = self.last.max(kept.seq);
                self.bytes = self.bytes.saturating_add(kept.size);
                let (mark, size) = sender(&kept);
                senders.add(mark, size);
                self.messages.push(kept);
            }
        }
        self.messages.sort_unstable();
    }

    /// A gap is there, or none.
    pub(super) fn set_gap(&mut self, gap: Option<Seq>) {
        self.gap = gap;
        self.last = self.last.max(gap.unwrap_or_default());
    }

    /// Those for which `is_gone` are there no more.
    pub(super) fn remove(&mut self, is_gone: impl Fn(Seq) -> bool, senders: &mut Senders) {
        self.messages.retain(|kept| {
            let goes = is_gone(kept.seq);
            if goes {
                self.bytes = self.bytes.saturating_sub(kept.size);
                let (mark, size) = sender(kept);
                senders.sub(mark, size);
            }
            !goes
        });
        self.gap = self.gap.filter(|gap| !is_gone(*gap));
    }
}

fn sender(kept: &Kept) -> (Option<Mark>, usize) {
    (kept.mark.map(Mark::from_bits), kept.size as usize)
}

/// The loads of mailboxes that are under way.
#[derive(Default)]
pub(super) struct Loads {
    of: HashMap<AccountId, Loading, MixBuild>,
}

/// An account whose mailbox is being read, once or more often at a time.
#[derive(Default)]
struct Loading {
    count: u32,
    /// Deleted since the first of them began: these, messages or gaps,
    deleted: Vec<Seq>,
    /// and all up to this.
    upto: Seq,
    /// Messages lost meanwhile, and the gap that is in their place and in that of the one before it.
    lost: Vec<Seq>,
    gap: Option<Seq>,
    /// The account has left again: what comes is not kept.
    is_away: bool,
}

impl Loads {
    /// SQLite is asked what waits for an account, of which a purge that is on its way takes all up to here, and the cursors.
    pub(super) fn begin(&mut self, account: AccountId, purged: Option<Seq>) {
        let loading = self.of.entry(account).or_default();
        loading.upto = loading.upto.max(purged.unwrap_or_default());
        loading.count += 1;
        loading.is_away = false;
    }

    /// This one was acknowledged, and waits there no more.
    pub(super) fn deleted(&mut self, account: AccountId, seq: Seq) {
        if let Some(loading) = self.of.get_mut(&account) {
            loading.deleted.push(seq);
        }
    }

    /// Nothing up to this number waits there any more.
    pub(super) fn all_gone(&mut self, account: AccountId, upto: Seq) {
        if let Some(loading) = self.of.get_mut(&account) {
            loading.upto = loading.upto.max(upto);
        }
    }

    /// Messages are lost, and a gap is in their place.
    pub(super) fn lost(&mut self, Loss { account, seqs, .. }: &Loss, gap: Seq) {
        if let Some(loading) = self.of.get_mut(account) {
            loading.lost.extend_from_slice(seqs);
            loading.gap = Some(gap);
        }
    }

    /// The account is here no more.
    pub(super) fn leave(&mut self, account: AccountId) {
        if let Some(loading) = self.of.get_mut(&account) {
            loading.is_away = true;
        }
    }

    /// SQLite has answered: what of that still waits; `None` if the account has left meanwhile.
    pub(super) fn end(&mut self, account: AccountId, mut found: Waiting) -> Option<Waiting> {
        let loading = self.of.get_mut(&account)?;
        loading.count -= 1;
        loading.deleted.sort_unstable();
        loading.lost.sort_unstable();
        let is_gone = |seq: Seq| seq <= loading.upto || loading.deleted.binary_search(&seq).is_ok();
        found.messages.retain(|kept| !is_gone(kept.seq) && loading.lost.binary_search(&kept.seq).is_err());
        found.gap = loading.gap.or(found.gap).filter(|seq| !is_gone(*seq));
        if loading.upto > Seq(0) {
            found.cursors = Cursors::default();
        }
        let is_away = loading.is_away;
        if loading.count == 0 {
            self.of.remove(&account);
        }
        (!is_away).then_some(found)
    }

    /// How many mailboxes are being read.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gap;
    use crate::shares::Sender;

    fn romeo() -> AccountId {
        AccountId::from_bits(5)
    }

    fn kept(n: u64) -> Kept {
        // Identities are in no order of numbers.
        let mark = Mark::of(7, romeo(), Sender::stranger(AccountId::from_bits(n)));
        Kept { id: u128::from(1_000 - n).to_be_bytes(), seq: Seq(n), size: 10, mark: Some(mark.to_bits()) }
    }

    fn known(stored: &Stored) -> Vec<u64> {
        let id = |n: u64| MessageId(u128::from(1_000 - n));
        (0..20).filter(|&n| stored.find(id(n)) == Some(Seq(n))).collect()
    }

    fn found(numbers: &[u64], gap: Option<u64>) -> Waiting {
        Waiting {
            messages: numbers.iter().map(|&n| kept(n)).collect(),
            gap: gap.map(Seq),
            ..Waiting::default()
        }
    }

    #[test]
    fn what_comes_and_what_goes_is_known_and_counted_once() {
        let (mut stored, mut senders) = (Stored::default(), Senders::default());
        stored.add([3, 1, 2].map(kept), &mut senders);
        stored.add([2, 4].map(kept), &mut senders);
        stored.set_gap(Some(Seq(5)));
        assert_eq!((known(&stored), stored.count()), (vec![1, 2, 3, 4], Count { messages: 5, bytes: 40 }));
        assert_eq!(senders.strangers(), Count { messages: 4, bytes: 40 });
        stored.remove(|seq| [1, 3, 9].contains(&seq.0), &mut senders);
        assert_eq!((known(&stored), stored.count().messages), (vec![2, 4], 3));
        assert_eq!(senders.strangers(), Count { messages: 2, bytes: 20 });
        stored.remove(|seq| seq <= Seq(5), &mut senders);
        assert!(stored.is_empty());
        assert_eq!((stored.last(), senders.strangers()), (Seq(5), Count::default()));
    }

    #[test]
    fn what_went_while_sqlite_was_read_does_not_come_back() {
        let mut loads = Loads::default();
        let numbers = |found: Option<Waiting>| {
            let found = found.expect("it is here");
            (found.messages.iter().map(|kept| kept.seq.0).collect::<Vec<_>>(), found.gap.map(|seq| seq.0))
        };
        loads.begin(romeo(), None);
        loads.deleted(romeo(), Seq(4));
        loads.deleted(romeo(), Seq(2));
        loads.begin(romeo(), None);
        assert_eq!(numbers(loads.end(romeo(), found(&[1, 2, 3, 4, 5], Some(9)))), (vec![1, 3, 5], Some(9)));
        loads.all_gone(romeo(), Seq(3));
        loads.lost(&Loss { seqs: vec![Seq(11), Seq(6)], ..Loss::of(romeo(), Seq(6), Gap::of(0)) }, Seq(11));
        let read = found(&[1, 2, 3, 4, 5, 6, 11], Some(9));
        assert_eq!(numbers(loads.end(romeo(), read)), (vec![5], Some(11)));
        assert_eq!(loads.len(), 0);
    }

    #[test]
    fn who_left_while_sqlite_was_read_is_not_here() {
        let mut loads = Loads::default();
        loads.begin(romeo(), None);
        loads.leave(romeo());
        assert!(loads.end(romeo(), found(&[1], None)).is_none());
        loads.begin(romeo(), None);
        loads.leave(romeo());
        loads.begin(romeo(), None);
        assert!(loads.end(romeo(), found(&[1], None)).is_some(), "it has come back");
    }
}
