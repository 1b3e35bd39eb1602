//! The promises at the door of a store: what was confirmed survives a cut of the power, what was acknowledged is gone.
//!
//! For the power cuts of `store`, which see no client: an append is what a client sends, its confirmation is the `<a/>`, what
//! is read is what a device is shown, an acknowledgement is the device's. Each mailbox is one account with one device that is
//! always there; sender, identity and bytes are what the entry's id and bytes say. A history of these is a history of
//! [`crate::event`], judged by the same rules.

use crate::checker::{Checker, Knobs};
use crate::digest;
use crate::event::{Account, Content, Device, Event, Letter, Session, Showing, StanzaId};
use crate::verdict::Verdict;
use std::collections::{BTreeMap, VecDeque};

/// Whoever writes into mailboxes: one sender, with a session per mailbox, so that each is confirmed in its own order.
const WRITER: Account = Account(u64::MAX);

/// What is known of a mailbox.
#[derive(Debug, Default)]
struct Mailbox {
    writer: Option<Session>,
    reader: Option<Session>,
    /// Submitted and not answered.
    open: VecDeque<(u128, Content)>,
    confirmed: u32,
    /// Read and not acknowledged, in the order of reading.
    read: Vec<(u128, Showing)>,
    acknowledged: u32,
}

/// See the module.
#[derive(Debug)]
pub struct StoreHistory {
    checker: Checker,
    now_ms: u64,
    mailboxes: BTreeMap<u64, Mailbox>,
    last_session: u64,
}

impl StoreHistory {
    /// Nothing has happened.
    pub fn new(knobs: Knobs) -> Self {
        let checker = Checker::new(knobs);
        Self { checker, now_ms: 0, mailboxes: BTreeMap::new(), last_session: 0 }
    }

    /// The time as the test has it.
    pub fn at(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    fn see(&mut self, event: Event) {
        self.checker.see(self.now_ms, event);
    }

    fn began(&mut self, account: Account, device: u64) -> Session {
        self.last_session += 1;
        let session = Session(self.last_session);
        self.see(Event::Began { session, account, device: Device(device), key: 1 });
        self.see(Event::Managed { session });
        session
    }

    fn writer(&mut self, mailbox: u64) -> Session {
        if let Some(writer) = self.mailboxes.entry(mailbox).or_default().writer {
            return writer;
        }
        // Mailboxes are accounts, which are less than 2^63.
        let session = self.began(WRITER, mailbox | (1 << 63));
        self.mailboxes.entry(mailbox).or_default().writer = Some(session);
        session
    }

    fn reader(&mut self, mailbox: u64) -> Session {
        if let Some(reader) = self.mailboxes.entry(mailbox).or_default().reader {
            return reader;
        }
        let session = self.began(Account(mailbox), mailbox);
        self.mailboxes.entry(mailbox).or_default().reader = Some(session);
        session
    }

    fn content(id: u128, bytes: &[u8]) -> Content {
        Content { identity: Some(digest(&id.to_le_bytes())), bytes: digest(bytes) }
    }

    /// An append was submitted, and not refused at once.
    pub fn submitted(&mut self, mailbox: u64, id: u128, bytes: &[u8]) {
        let (session, content) = (self.writer(mailbox), Self::content(id, bytes));
        let letter = Letter { to: Account(mailbox), resource: None, content, kept: true };
        self.see(Event::Sent { session, letter: Some(letter) });
        self.mailboxes.entry(mailbox).or_default().open.push_back((id, content));
    }

    /// The oldest append of the mailbox that was not answered is confirmed.
    pub fn confirmed(&mut self, mailbox: u64) {
        let session = self.writer(mailbox);
        let of = self.mailboxes.entry(mailbox).or_default();
        if of.open.pop_front().is_some() {
            of.confirmed += 1;
            let h = of.confirmed;
            self.see(Event::Covered { session, h });
        }
    }

    /// The oldest append of the mailbox that was not answered is refused.
    pub fn refused(&mut self, mailbox: u64) {
        let session = self.writer(mailbox);
        let of = self.mailboxes.entry(mailbox).or_default();
        if let Some((_, content)) = of.open.pop_front() {
            of.confirmed += 1;
            let h = of.confirmed;
            self.see(Event::Refused { session, to: Account(mailbox), content: Some(content) });
            self.see(Event::Covered { session, h });
        }
    }

    /// An entry was read, for the first time since the store was opened or since [`Self::rewound`].
    pub fn read(&mut self, mailbox: u64, id: u128, bytes: &[u8]) {
        let session = self.reader(mailbox);
        let stanza_id = Some(StanzaId(digest(&id.to_le_bytes())));
        let showing = Showing { from: WRITER, content: Self::content(id, bytes), stanza_id, delayed: false };
        self.see(Event::Shown { session, showing: Some(showing) });
        self.mailboxes.entry(mailbox).or_default().read.push((id, showing));
    }

    /// Reading begins again from the start.
    pub fn rewound(&mut self, mailbox: u64) {
        let session = self.reader(mailbox);
        let of = self.mailboxes.entry(mailbox).or_default();
        of.read.clear();
        (of.reader, of.acknowledged) = (None, 0);
        self.see(Event::Lost { session, missing: 0 });
    }

    /// Everything that was read up to and with this entry is acknowledged.
    pub fn acknowledged(&mut self, mailbox: u64, id: u128) {
        let session = self.reader(mailbox);
        let of = self.mailboxes.entry(mailbox).or_default();
        let Some(place) = of.read.iter().position(|(known, _)| *known == id) else { return };
        of.read.drain(..=place);
        of.acknowledged += place as u32 + 1;
        let h = of.acknowledged;
        self.see(Event::Acknowledged { session, h });
    }

    /// The mailbox's purge is about to be asked for.
    pub fn purging(&mut self, mailbox: u64) {
        self.see(Event::Removing { account: Account(mailbox) });
    }

    /// It is durable. Whoever has the mailbox from now on is somebody else.
    pub fn purged(&mut self, mailbox: u64) {
        self.see(Event::Removed { account: Account(mailbox) });
        self.see(Event::Registered {
            account: Account(mailbox),
            key: 1,
            proof: false,
            silent_ms: 0,
            lock: crate::Lock::None,
        });
        self.mailboxes.remove(&mailbox);
    }

    /// The process (or with `power` the machine) is gone, and the store is opened again.
    pub fn cut(&mut self, power: bool) {
        self.see(Event::Crashed { power });
        self.mailboxes.clear();
    }

    /// Somebody has looked for an entry's bytes in all files.
    pub fn looked(&mut self, mailbox: u64, id: u128, bytes: &[u8], found: bool) {
        let content = Self::content(id, bytes);
        self.see(Event::Looked { account: Account(mailbox), from: WRITER, content, found });
    }

    /// The whole mailbox was read since the last cut or [`Self::rewound`]: what did not come is lost.
    pub fn drained(&mut self, mailbox: u64) {
        self.see(Event::Drained { account: Account(mailbox) });
    }

    /// What is broken so far.
    pub fn verdicts(&self) -> &[Verdict] {
        self.checker.verdicts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;

    fn rules(history: &StoreHistory) -> Vec<Rule> {
        history.verdicts().iter().map(|verdict| verdict.rule).collect()
    }

    fn with_two() -> StoreHistory {
        let mut history = StoreHistory::new(Knobs::default());
        history.submitted(7, 1, b"one");
        history.submitted(7, 2, b"two");
        history.confirmed(7);
        history
    }

    #[test]
    fn what_was_confirmed_survives_and_what_was_not_may() {
        for survives in [false, true] {
            let mut history = with_two();
            history.cut(true);
            history.read(7, 1, b"one");
            if survives {
                history.read(7, 2, b"two");
            }
            history.acknowledged(7, 1);
            history.drained(7);
            assert_eq!(rules(&history), []);
        }
    }

    #[test]
    fn what_was_confirmed_and_is_lost() {
        let mut history = with_two();
        history.cut(true);
        history.drained(7);
        assert_eq!(rules(&history), [Rule::LostInCrash]);
    }

    #[test]
    fn what_comes_back() {
        let mut history = with_two();
        history.read(7, 1, b"one");
        history.acknowledged(7, 1);
        history.rewound(7);
        history.read(7, 1, b"one");
        assert_eq!(rules(&history), [Rule::AfterAcknowledged]);
        let mut history = with_two();
        history.read(7, 1, b"one");
        history.acknowledged(7, 1);
        history.cut(true);
        history.read(7, 1, b"one");
        assert_eq!(rules(&history), [], "once after a crash");
    }

    #[test]
    fn what_a_purge_has_left() {
        let mut history = with_two();
        history.purging(7);
        history.cut(true);
        history.read(7, 1, b"one");
        assert_eq!(rules(&history), [], "it was not answered");
        history.purging(7);
        history.purged(7);
        history.cut(true);
        history.read(7, 1, b"one");
        assert_eq!(rules(&history), [Rule::RemovedInherited]);
    }

    #[test]
    fn refused_reordered_changed() {
        let mut history = with_two();
        history.refused(7);
        history.read(7, 2, b"two");
        assert_eq!(rules(&history), [Rule::ShownAfterError]);
        let mut history = with_two();
        history.read(7, 2, b"two");
        history.read(7, 1, b"one");
        assert_eq!(rules(&history), [Rule::OutOfOrder]);
        let mut history = with_two();
        history.read(7, 1, b"0ne");
        assert_eq!(rules(&history), [Rule::NeverSent]);
    }
}
