//! The memory engine's mailboxes: what waits in them and of whom, what may come in, and how it goes; and their contract over that.

use super::{MemoryShard, Staged, State, lock};
use crate::mailbox::{Append, Appended, Charge, Entry, Gap, ReadLimit, ReadStart, Seq, Usage};
use crate::shard_store::{Completion, Ticket};
use crate::shares::{Count, Sender, Standing, hash};
use crate::{AccountId, Cursors, Mailboxes, Reader, StoreError};
use std::collections::BTreeMap;

/// What is charged and not stored is forgotten after this.
const UNSTORED_MS: u64 = 30 * 24 * 3_600_000;

impl State {
    /// What waits in a mailbox of those whom `of` picks.
    fn waiting(&self, account: AccountId, of: impl Fn(Option<&Sender>) -> bool) -> Count {
        let entries = self.mailboxes.get(&account).into_iter().flatten();
        let picked = entries.filter(|(seq, _)| of(self.senders.get(seq)));
        picked.fold(Count::default(), |mut count, (_, entry)| {
            count.add(entry.stanza.len());
            count
        })
    }

    /// Whether a message may come into a mailbox in which, of its sender, `unstored` was charged besides.
    pub(super) fn admit(
        &self,
        account: AccountId,
        sender: Sender,
        unstored: Count,
        size: usize,
    ) -> Result<(), StoreError> {
        if self.is_scarce && !sender.may_use_last_room() {
            return Err(StoreError::Full);
        }
        let all = self.waiting(account, |_| true);
        let own =
            self.waiting(account, |of| of.is_some_and(|of| of.account == sender.account)).plus(unstored);
        let is_stranger = |of: &Sender| of.standing == Standing::Stranger;
        let strangers = self.waiting(account, |of| of.is_some_and(is_stranger));
        let mut admitted = self.bounds.has_room(all, size);
        if self.bounds.is_shared(all.plus(unstored), size) {
            admitted = admitted.and_then(|()| self.bounds.has_share(sender.standing, own, strangers, size));
        }
        admitted.map_err(|_| StoreError::MailboxFull)
    }

    pub(super) fn usage(&self, account: AccountId) -> Usage {
        let entries = self.mailboxes.get(&account).into_iter().flat_map(BTreeMap::values);
        entries.fold(Usage::default(), |usage, entry| Usage {
            messages: usage.messages + 1,
            bytes: usage.bytes + entry.stanza.len() as u64,
        })
    }

    pub(super) fn remove(&mut self, account: AccountId, seq: Seq) -> bool {
        let Some(mailbox) = self.mailboxes.get_mut(&account) else { return false };
        let removed = mailbox.remove(&seq).is_some();
        self.senders.remove(&seq);
        if mailbox.is_empty() {
            self.mailboxes.remove(&account);
        }
        removed
    }

    pub(super) fn expire(&mut self, account: AccountId, before_unix_ms: u64) {
        let Some(mailbox) = self.mailboxes.get_mut(&account) else { return };
        let is_old = |entry: &Entry| entry.gap.is_none() && entry.accepted_unix_ms < before_unix_ms;
        let lost: Vec<Entry> =
            mailbox.extract_if(.., |_, entry| is_old(entry)).map(|(_, entry)| entry).collect();
        let Some(seq) = lost.last().map(|entry| entry.seq) else { return };
        lost.iter().for_each(|entry| _ = self.senders.remove(&entry.seq));
        let known: Vec<Entry> =
            mailbox.extract_if(.., |_, entry| entry.gap.is_some()).map(|(_, gap)| gap).collect();
        let gaps = lost.iter().map(|entry| Gap::of(entry.accepted_unix_ms));
        let all = gaps.chain(known.iter().filter_map(|entry| entry.gap)).reduce(Gap::join);
        mailbox.extend(all.map(|gap| (seq, gap.entry(seq))));
        self.untold_gaps.push(account);
    }

    pub(super) fn read(&self, account: AccountId, after: Seq, limit: ReadLimit) -> (Vec<Entry>, bool) {
        let Some(mailbox) = self.mailboxes.get(&account) else { return (Vec::new(), false) };
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for entry in
            mailbox.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded)).map(|(_, e)| e)
        {
            bytes += entry.stanza.len();
            let full = entries.len() >= limit.messages || bytes > limit.bytes;
            if full && !entries.is_empty() {
                return (entries, true);
            }
            entries.push(entry.clone());
        }
        (entries, false)
    }

    pub(super) fn put_back(&mut self, account: AccountId, mailbox: BTreeMap<Seq, Entry>) {
        if !mailbox.is_empty() {
            self.mailboxes.entry(account).or_default().extend(mailbox);
        }
    }

    /// Charges a message that is not kept.
    pub(super) fn charge(&mut self, charge: Charge) -> Result<(), StoreError> {
        let Charge { account, sender, size, now_unix_ms, .. } = charge;
        let hash = hash(0, account, sender.account);
        let unstored = self.unstored.of(hash, now_unix_ms, UNSTORED_MS);
        self.admit(account, sender, unstored, size)?;
        self.unstored.add(hash, size, now_unix_ms, UNSTORED_MS);
        Ok(())
    }
}

impl Mailboxes for MemoryShard {
    fn append(&mut self, append: Append) -> Result<Appended, StoreError> {
        let Append { account, id, accepted_unix_ms, stanza, sender, ticket } = append;
        let mut state = lock(&self.state);
        if let Some((of, _)) = state
            .mailboxes
            .get(&account)
            .and_then(|mailbox| mailbox.iter().find(|(_, entry)| entry.gap.is_none() && entry.id == id))
        {
            self.staged.push(Staged::Repeat { account, of: *of, ticket });
            return Ok(Appended::Duplicate);
        }
        state.admit(account, sender, Count::default(), stanza.len())?;
        state.last_seq += 1;
        let seq = Seq(state.last_seq);
        state.senders.insert(seq, sender);
        state
            .mailboxes
            .entry(account)
            .or_default()
            .insert(seq, Entry { seq, id, accepted_unix_ms, stanza, gap: None });
        self.staged.push(Staged::Append { account, seq, ticket, acked: false });
        Ok(Appended::Queued(seq))
    }

    fn charge(&mut self, charge: Charge) -> Result<(), StoreError> {
        lock(&self.state).charge(charge)?;
        let Charge { account, ticket, .. } = charge;
        self.staged.push(Staged::Charge { account, ticket });
        Ok(())
    }

    fn read(&mut self, account: AccountId, after: Seq, limit: ReadLimit, ticket: Ticket) -> ReadStart {
        let state = lock(&self.state);
        if state.delay_reads {
            self.staged.push(Staged::Read { account, after, limit, ticket });
            return ReadStart::Pending;
        }
        let (entries, more) = state.read(account, after, limit);
        ReadStart::Ready { entries, more }
    }

    fn ack(&mut self, account: AccountId, seqs: &[Seq]) {
        let mut state = lock(&self.state);
        for &seq in seqs {
            state.remove(account, seq);
            for staged in &mut self.staged {
                if let Staged::Append { account: owner, seq: waiting, acked, .. } = staged {
                    *acked |= *owner == account && *waiting == seq;
                }
            }
        }
        drop(state);
        // Not even by a read that was under way. Sequence numbers are unique over all accounts here.
        for completion in &mut self.ready {
            if let Completion::Read { result: Ok((entries, _)), .. } = completion {
                entries.retain(|entry| !seqs.contains(&entry.seq));
            }
        }
        self.complete_acked(account);
    }

    fn usage(&self, account: AccountId) -> Usage {
        lock(&self.state).usage(account)
    }

    fn add_reader(&mut self, account: AccountId, reader: Reader, from: Seq) {
        lock(&self.state).cursors.entry(account).or_default().add(reader, from);
    }

    fn advance(&mut self, account: AccountId, reader: Reader, upto: Seq) {
        let mut state = lock(&self.state);
        let newest = Seq(state.last_seq);
        state.cursors.entry(account).or_default().advance(reader, upto.min(newest));
        drop(state);
        self.release(account);
    }

    fn remove_reader(&mut self, account: AccountId, reader: Reader) {
        lock(&self.state).cursors.entry(account).or_default().remove(reader);
        self.release(account);
    }

    fn cursors(&self, account: AccountId) -> Cursors {
        lock(&self.state).cursors.get(&account).cloned().unwrap_or_default()
    }
}
