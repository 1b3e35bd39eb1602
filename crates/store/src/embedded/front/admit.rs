//! Whether a message is taken: room in its mailbox, in its sender's share of that, on the disk and in memory.
//!
//! Called by the front for each append and charge, before anything is changed. Counts why something is refused; a sender
//! is told less.

use super::shares::Mark;
use super::{Front, Mailbox};
use crate::embedded::link::closed_error;
use crate::mailbox::Charge;
use crate::shares::{Count, Over, Sender, hash};
use crate::{AccountId, StoreError};

impl Front {
    /// Whether there is room for a message of this size; else it is counted why not.
    pub(super) fn admit(
        &mut self,
        mailbox: AccountId,
        sender: Sender,
        mark: Mark,
        size: usize,
    ) -> Result<(), StoreError> {
        if self.shared.is_stopped() {
            return Err(closed_error());
        }
        if let Some(error) = self.shared.health.refusal() {
            self.metrics.refused_failing_total.inc();
            return Err(error);
        }
        if !sender.may_use_last_room() && self.shared.health.is_scarce() {
            self.metrics.refused_scarce_total.inc();
            return Err(StoreError::Full);
        }
        self.admit_to_mailbox(mailbox, sender, mark, size)?;
        let options = &self.shared.options;
        if self.buffers.appends.len() + size > options.queue_bytes
            || self.tail.bytes + size > 2 * self.cache_bytes
        {
            self.metrics.refused_overload_total.inc();
            return Err(StoreError::Overloaded);
        }
        Ok(())
    }

    /// Whether the mailbox has room, and the sender's share of it.
    fn admit_to_mailbox(
        &mut self,
        account: AccountId,
        sender: Sender,
        mark: Mark,
        size: usize,
    ) -> Result<(), StoreError> {
        let waiting = self.tail.mailbox(account).map(Mailbox::waiting).unwrap_or_default();
        if !self.bounds.is_shared(waiting, size) {
            return Ok(());
        }
        if !self.tail.mailbox(account).is_some_and(|mailbox| mailbox.senders.has_table()) {
            self.tail.begin_senders(account, self.shared.options.sender_tables);
        }
        let (mailbox, unshared) = (self.tail.mailbox(account), self.bounds.unshared);
        let strangers = mailbox.map(|mailbox| mailbox.senders.strangers()).unwrap_or_default();
        let own = mailbox.map(|mailbox| mailbox.senders.own(mark, waiting, unshared)).unwrap_or_default();
        let bounds = self.bounds;
        let room = bounds.has_room(waiting, size);
        let over = room.and_then(|()| bounds.has_share(sender.standing, own, strangers, size));
        over.map_err(|over| self.over(over))
    }

    /// Whether there would be room for a message of which only its sender is charged, and charges it.
    pub(super) fn admit_charge(&mut self, charge: Charge) -> Result<(), StoreError> {
        let Charge { account, sender, size, now_unix_ms, .. } = charge;
        let mark = Mark::of(self.shared.sender_key, account, sender);
        self.admit(account, sender, mark, size)?;
        let hash = hash(self.shared.sender_key, account, sender.account);
        let expire_after_ms = self.shared.options.expire_after_ms;
        let unstored = self.unstored.of(hash, now_unix_ms, expire_after_ms);
        let (mailbox, unshared) = (self.tail.mailbox(account), self.bounds.unshared);
        let waiting = mailbox.map(Mailbox::waiting).unwrap_or_default();
        if self.bounds.is_shared(waiting.plus(unstored), size) {
            let own = mailbox.map(|mailbox| mailbox.senders.own(mark, waiting, unshared)).unwrap_or_default();
            let (own, strangers) = (own.plus(unstored), Count::default());
            let share = self.bounds.has_share(sender.standing, own, strangers, size);
            share.map_err(|over| self.over(over))?;
        }
        self.unstored.add(hash, size, now_unix_ms, expire_after_ms);
        self.metrics.charged_total.inc();
        self.batch_charges = true;
        Ok(())
    }

    /// A mailbox or a share is full: the sender is told the same.
    fn over(&self, over: Over) -> StoreError {
        match over {
            Over::Mailbox => self.metrics.refused_mailbox_total.inc(),
            Over::Strangers => self.metrics.refused_strangers_total.inc(),
            Over::Sender => self.metrics.refused_share_total.inc(),
        }
        StoreError::MailboxFull
    }
}
