//! The mailboxes' part in memory: what was appended and is neither acknowledged nor in SQLite.
//!
//! Entries live in one slab per shard. Sequence numbers of a shard are consecutive, so a ring of slab positions finds
//! an entry by number without hashing; a mailbox is a chain through the slab in the order of numbers. An account with
//! nothing waiting has no record here at all. A message costs no allocation but its own bytes.
//!
//! Invariant: what SQLite holds of an account comes before everything that is here of it.

use super::mailbox::Mailbox;
use super::shares::Mark;
use super::stored::Stored;
use crate::embedded::Options;
use crate::embedded::database::{Kept, Moving, Waiting};
use crate::shares::Bounds;
use crate::{AccountId, Content, Entry, MessageId, Seq, Ticket};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// No slab position.
pub(super) const NONE: u32 = u32::MAX;
/// The slab is given back when it is empty and held more entries than this.
const SLAB_KEPT: usize = 4096;

/// An entry in the slab.
pub(super) struct Slot {
    pub(super) account: AccountId,
    pub(super) seq: Seq,
    pub(super) id: MessageId,
    accepted_unix_ms: u64,
    /// `None`: the slot is free, or the entry is acknowledged and only its ticket is left.
    stanza: Option<Content>,
    pub(super) ticket: Ticket,
    prev: u32,
    next: u32,
    /// On its way to SQLite.
    pub(super) spilling: bool,
    /// Who has sent it.
    pub(super) mark: Mark,
}

impl Slot {
    /// Whether the entry is acknowledged and only waits for its ticket's turn.
    pub(super) fn is_held(&self) -> bool {
        self.stanza.is_none()
    }

    /// The entry as a reader sees it.
    fn entry(&self) -> Option<Entry> {
        let stanza = self.stanza.clone()?;
        Some(Entry { seq: self.seq, id: self.id, accepted_unix_ms: self.accepted_unix_ms, stanza, gap: None })
    }
}

/// Mixes keys that nobody outside chooses: account numbers, and identities that are keyed hashes.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64 ^ (value >> 64) as u64);
    }
}

pub(super) type MixBuild = BuildHasherDefault<Mix>;

/// See the file's head.
pub(super) struct Tail {
    slots: Vec<Slot>,
    /// First of the free slots, chained by `next`.
    free: u32,
    /// Slab positions by number; the first one belongs to `base`.
    ring: VecDeque<u32>,
    base: u64,
    ids: HashMap<(AccountId, MessageId), u32, MixBuild>,
    mailboxes: HashMap<AccountId, Mailbox, MixBuild>,
    /// Bytes of all stanzas here.
    pub(super) bytes: usize,
    bounds: Bounds,
    /// Mailboxes in which single senders are counted.
    sender_tables: usize,
}

impl Tail {
    /// An empty tail whose first number will be `first`.
    pub(super) fn new(first: Seq, bounds: Bounds) -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            ring: VecDeque::new(),
            base: first.0,
            ids: HashMap::default(),
            mailboxes: HashMap::default(),
            bytes: 0,
            bounds,
            sender_tables: 0,
        }
    }

    /// The number that the next entry gets.
    pub(super) fn next_seq(&self) -> Seq {
        Seq(self.base + self.ring.len() as u64)
    }

    /// The lowest number that may still be here.
    pub(super) fn base(&self) -> Seq {
        Seq(self.base)
    }

    /// Entries here, acknowledged ones that wait for their ticket included.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn mailbox(&self, account: AccountId) -> Option<&Mailbox> {
        self.mailboxes.get(&account)
    }

    /// The account's record, made if there is none. Call [`Self::tidy`] when it may have become idle.
    pub(super) fn mailbox_mut(&mut self, account: AccountId) -> &mut Mailbox {
        self.mailboxes.entry(account).or_default()
    }

    /// Drops the account's record if it says nothing, and what it says of single senders once half of what made that matter
    /// has gone.
    pub(super) fn tidy(&mut self, account: AccountId) {
        let Some(mailbox) = self.mailboxes.get_mut(&account) else { return };
        let is_idle = mailbox.is_idle();
        if mailbox.senders.has_table()
            && (is_idle || mailbox.waiting().is_within(self.bounds.unshared.half()))
        {
            mailbox.senders.end();
            self.sender_tables -= 1;
        }
        if is_idle {
            self.mailboxes.remove(&account);
        }
    }

    /// Mailboxes of which something is known here.
    pub(super) fn mailboxes(&self) -> usize {
        self.mailboxes.len()
    }

    /// How many mailboxes count single senders.
    pub(super) fn sender_tables(&self) -> usize {
        self.sender_tables
    }

    /// Begins to count single senders in a mailbox, unless that is done or `most` do. Call
    /// [`Self::tidy`] if nothing comes into it.
    pub(super) fn begin_senders(&mut self, account: AccountId, most: usize) {
        if self.sender_tables >= most || self.mailbox_mut(account).senders.has_table() {
            return;
        }
        let mut senders = std::mem::take(&mut self.mailbox_mut(account).senders);
        let slots = std::iter::successors(self.first(account), |&at| self.after(at)).map(|at| self.slot(at));
        let in_memory = slots.filter_map(|slot| Some((Some(slot.mark), slot.stanza.as_ref()?.len())));
        let stored = self.mailbox(account).and_then(|mailbox| mailbox.stored.as_ref());
        senders.begin(in_memory.chain(stored.into_iter().flat_map(|stored| stored.senders())));
        self.mailbox_mut(account).senders = senders;
        self.sender_tables += 1;
    }

    /// The number of the message of this identity, here or in SQLite.
    pub(super) fn by_id(&self, account: AccountId, id: MessageId) -> Option<Seq> {
        if let Some(&at) = self.ids.get(&(account, id)) {
            return Some(self.slots[at as usize].seq);
        }
        self.mailbox(account)?.stored.as_ref()?.find(id)
    }

    /// These of a mailbox have moved to SQLite, and are out of here.
    pub(super) fn store(&mut self, account: AccountId, messages: Vec<Kept>) {
        if let Some(mailbox) = self.mailboxes.get_mut(&account) {
            mailbox.store(messages);
            self.tidy(account);
        }
    }

    /// These of a mailbox are in SQLite no more.
    pub(super) fn unstore(&mut self, account: AccountId, is_gone: impl Fn(Seq) -> bool) {
        if let Some(mailbox) = self.mailboxes.get_mut(&account) {
            mailbox.unstore(is_gone);
            self.tidy(account);
        }
    }

    /// These of a mailbox are lost, and a gap is in their place, if its recipient has not been told of it already.
    pub(super) fn lose(&mut self, account: AccountId, mut seqs: Vec<Seq>, gap: Option<Seq>) {
        let Some(mailbox) = self.mailboxes.get_mut(&account) else { return };
        if let Some(stored) = &mut mailbox.stored {
            seqs.sort_unstable();
            stored.remove(|seq| seqs.binary_search(&seq).is_ok(), &mut mailbox.senders);
            stored.set_gap(gap);
        }
        mailbox.unstore(|_| false);
        self.tidy(account);
    }

    /// SQLite is asked what it holds of an account: what moves there from now on is known.
    pub(super) fn begin_come(&mut self, account: AccountId) {
        if let Some(mailbox) = self.mailboxes.get_mut(&account) {
            mailbox.is_away = false;
        }
    }

    /// SQLite has said what it holds of an account. `None`: it could not.
    pub(super) fn come(&mut self, account: AccountId, waiting: Option<Waiting>) {
        match waiting {
            Some(mut waiting) => {
                // One that is about to be known as moved is here until then.
                waiting.messages.retain(|kept| self.find(kept.seq).is_none());
                self.mailbox_mut(account).come(waiting);
            }
            None => {
                let first = self.first(account).map_or(self.next_seq(), |at| self.slot(at).seq);
                self.mailbox_mut(account).stored = Some(Box::new(Stored::unknown(Seq(first.0 - 1))));
            }
        }
        self.tidy(account);
    }

    /// The account is here no more.
    pub(super) fn leave(&mut self, account: AccountId) {
        if let Some(mailbox) = self.mailboxes.get_mut(&account) {
            mailbox.leave();
            self.tidy(account);
        }
    }

    /// The entry with this number.
    pub(super) fn find(&self, seq: Seq) -> Option<u32> {
        let index = usize::try_from(seq.0.checked_sub(self.base)?).ok()?;
        self.ring.get(index).copied().filter(|&at| at != NONE)
    }

    pub(super) fn slot(&self, at: u32) -> &Slot {
        &self.slots[at as usize]
    }

    /// The number of the entry before this one in its mailbox.
    pub(super) fn before(&self, at: u32) -> Option<Seq> {
        let prev = self.slot(at).prev;
        (prev != NONE).then(|| self.slot(prev).seq)
    }

    /// The entry after this one in its mailbox.
    pub(super) fn after(&self, at: u32) -> Option<u32> {
        let next = self.slot(at).next;
        (next != NONE).then_some(next)
    }

    /// The first entry of a mailbox.
    pub(super) fn first(&self, account: AccountId) -> Option<u32> {
        self.mailbox(account).map(|mailbox| mailbox.head).filter(|&at| at != NONE)
    }

    /// The numbers of a mailbox's entries.
    pub(super) fn seqs(&self, account: AccountId) -> Vec<Seq> {
        std::iter::successors(self.first(account), |&at| self.after(at)).map(|at| self.slot(at).seq).collect()
    }

    /// The first entry of a mailbox with a number above `after`.
    pub(super) fn first_after(&self, account: AccountId, after: Seq) -> Option<u32> {
        // A reader goes on behind what it was given last, which is mostly still here.
        if let Some(at) = self.find(after)
            && self.slot(at).account == account
        {
            return self.after(at);
        }
        let mut next = self.first(account);
        while let Some(at) = next
            && self.slot(at).seq <= after
        {
            next = self.after(at);
        }
        next
    }

    /// Reads a mailbox from `next` on into `entries`, up to the limits; whether there is more.
    pub(super) fn read(
        &self,
        mut next: Option<u32>,
        limit: crate::ReadLimit,
        entries: &mut Vec<Entry>,
        mut bytes: usize,
    ) -> bool {
        while let Some(at) = next {
            if let Some(entry) = self.slot(at).entry() {
                bytes += entry.stanza.len();
                if !entries.is_empty() && (entries.len() >= limit.messages || bytes > limit.bytes) {
                    return true;
                }
                entries.push(entry);
            }
            next = self.after(at);
        }
        false
    }

    /// Adds an entry at the end of its mailbox. Returns its number and the mailbox's bytes here.
    pub(super) fn push(&mut self, append: crate::Append, mark: Mark) -> (Seq, u32) {
        let seq = self.next_seq();
        let size = append.stanza.len();
        let at = if self.free == NONE { self.slots.len() as u32 } else { self.free };
        let mailbox = self.mailboxes.entry(append.account).or_default();
        let prev = std::mem::replace(&mut mailbox.tail, at);
        match prev {
            NONE => mailbox.head = at,
            prev => self.slots[prev as usize].next = at,
        }
        mailbox.messages += 1;
        mailbox.bytes += size as u32;
        mailbox.senders.add(Some(mark), size);
        let mailbox_bytes = mailbox.bytes;
        self.bytes += size;
        self.ring.push_back(at);
        self.ids.insert((append.account, append.id), at);
        let slot = Slot {
            account: append.account,
            seq,
            id: append.id,
            accepted_unix_ms: append.accepted_unix_ms,
            stanza: Some(append.stanza),
            ticket: append.ticket,
            prev,
            next: NONE,
            spilling: false,
            mark,
        };
        match self.slots.get_mut(at as usize) {
            Some(free) => {
                self.free = free.next;
                *free = slot;
            }
            None => self.slots.push(slot),
        }
        (seq, mailbox_bytes)
    }

    /// Lets go of an acknowledged entry's bytes; it stays for its ticket, invisible to readers.
    pub(super) fn hold(&mut self, at: u32) {
        let Slot { account, stanza, mark, .. } = &mut self.slots[at as usize];
        let (account, mark) = (*account, *mark);
        let Some(size) = stanza.take().map(|stanza| stanza.len()) else { return };
        self.bytes -= size;
        if let Some(mailbox) = self.mailboxes.get_mut(&account) {
            mailbox.messages -= 1;
            mailbox.bytes -= size as u32;
            mailbox.senders.sub(Some(mark), size);
        }
    }

    /// Takes an entry out. The mailbox's record stays until [`Self::tidy`].
    pub(super) fn remove(&mut self, at: u32) {
        self.hold(at);
        let Slot { account, seq, id, prev, next, .. } = self.slots[at as usize];
        let mailbox = self.mailboxes.entry(account).or_default();
        match prev {
            NONE => mailbox.head = next,
            prev => self.slots[prev as usize].next = next,
        }
        match next {
            NONE => mailbox.tail = prev,
            next => self.slots[next as usize].prev = prev,
        }
        self.ids.remove(&(account, id));
        self.ring[(seq.0 - self.base) as usize] = NONE;
        self.slots[at as usize].next = self.free;
        self.free = at;
        while self.ring.front() == Some(&NONE) {
            self.ring.pop_front();
            self.base += 1;
        }
        if self.ring.is_empty() && self.slots.len() > SLAB_KEPT {
            self.slots = Vec::new();
            self.free = NONE;
            self.ring = VecDeque::new();
        }
    }

    /// Marks entries for SQLite and copies them into `slice`, oldest first up to number `last`, until it is full.
    pub(super) fn take_oldest(&mut self, last: Seq, slice: &mut Slice) {
        let count = (last.0 + 1).saturating_sub(self.base).min(self.ring.len() as u64) as usize;
        for index in 0..count {
            if slice.is_full() {
                return;
            }
            let at = self.ring[index];
            if at != NONE {
                slice.take(&mut self.slots[at as usize]);
            }
        }
    }

    /// The same for one mailbox.
    pub(super) fn take_mailbox(&mut self, account: AccountId, last: Seq, slice: &mut Slice) {
        let mut next = self.first(account);
        while let Some(at) = next
            && self.slot(at).seq <= last
            && !slice.is_full()
        {
            next = self.after(at);
            slice.take(&mut self.slots[at as usize]);
        }
    }
}

/// Entries on their way to SQLite in one transaction.
pub(super) struct Slice {
    messages: Vec<Moving>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

impl Slice {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            messages: Vec::new(),
            bytes: 0,
            messages_max: options.slice_messages,
            bytes_max: options.slice_bytes,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= self.messages_max || self.bytes >= self.bytes_max
    }

    pub(super) fn into_messages(self) -> Vec<Moving> {
        self.messages
    }

    fn take(&mut self, slot: &mut Slot) {
        // One that is acknowledged already needs no place there; one that was taken has it.
        if let Some(entry) = slot.entry()
            && !slot.spilling
        {
            slot.spilling = true;
            self.bytes += entry.stanza.len();
            self.messages.push(Moving { account: slot.account, entry, mark: Some(slot.mark.to_bits()) });
        }
    }
}
