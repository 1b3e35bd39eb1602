//! The promises at the door of a store: what was confirmed survives a cut of the power, what was acknowledged is gone.
//!
//! For the power cuts of `store`, which see no client: an append is what a client sends, its confirmation is the `<a/>`, what
//! is read is what a device is shown, an acknowledgement is the device's. Each mailbox is one account with one device that is
//! always there and acknowledges message by message; sender, identity and bytes are what the entry's id and bytes say. With a
//! purge begins another account, whose the mailbox is from then on. A history of these is a history of [`crate::event`], judged by
//! the same rules.

use crate::checker::{Checker, Knobs};
use crate::digest;
use crate::event::{Account, Content, Device, Event, Letter, Session, Showing, StanzaId};
use crate::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Whoever writes into mailboxes: one sender, with a session per mailbox, so that each is confirmed in its own order.
const WRITER: Account = Account(u64::MAX);

/// An append that was not covered.
#[derive(Debug)]
struct Open {
    id: u128,
    content: Content,
    is_answered: bool,
}

/// What is known of a mailbox under one account.
#[derive(Debug, Default)]
struct Mailbox {
    writer: Option<Session>,
    reader: Option<Session>,
    /// Submitted, and not covered: answers come in any order, `<a/>` in the order of sending.
    open: VecDeque<Open>,
    covered: u32,
    /// Read and not acknowledged.
    read: BTreeSet<u128>,
}

/// See the module.
#[derive(Debug)]
pub struct StoreHistory {
    checker: Checker,
    now_ms: u64,
    mailboxes: BTreeMap<Account, Mailbox>,
    /// Whose a mailbox is now, and whose each message was when it was sent.
    owner_of: BTreeMap<u64, Account>,
    sent_to: BTreeMap<(u64, u128), Account>,
    /// Purges that were not answered: whose mailbox it was till then.
    purges: Vec<(u64, u128, Account)>,
    last_account: u64,
    last_session: u64,
}

impl StoreHistory {
    /// Nothing has happened.
    pub fn new(knobs: Knobs) -> Self {
        Self {
            checker: Checker::new(knobs),
            now_ms: 0,
            mailboxes: BTreeMap::new(),
            owner_of: BTreeMap::new(),
            sent_to: BTreeMap::new(),
            purges: Vec::new(),
            last_account: 0,
            last_session: 0,
        }
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    fn see(&mut self, event: Event) {
        self.checker.see(self.now_ms, event);
    }

    fn owner(&mut self, mailbox: u64) -> Account {
        if let Some(owner) = self.owner_of.get(&mailbox) {
            return *owner;
        }
        self.last_account += 1;
        let owner = Account(self.last_account);
        self.owner_of.insert(mailbox, owner);
        owner
    }

    fn began(&mut self, account: Account, device: u64) -> Session {
        self.last_session += 1;
        let session = Session(self.last_session);
        self.see(Event::Began { session, account, device: Device(device), key: 1 });
        session
    }

    fn writer(&mut self, owner: Account) -> Session {
        if let Some(writer) = self.mailboxes.entry(owner).or_default().writer {
            return writer;
        }
        // Owners are counted from 1, so the upper half of devices is free.
        let session = self.began(WRITER, owner.0 | (1 << 63));
        self.see(Event::Managed { session });
        self.mailboxes.entry(owner).or_default().writer = Some(session);
        session
    }

    fn reader(&mut self, owner: Account) -> Session {
        if let Some(reader) = self.mailboxes.entry(owner).or_default().reader {
            return reader;
        }
        let session = self.began(owner, owner.0);
        self.mailboxes.entry(owner).or_default().reader = Some(session);
        session
    }

    fn content(id: u128, bytes: &[u8]) -> Content {
        Content { identity: Some(digest(&id.to_le_bytes())), bytes: digest(bytes) }
    }

    /// An append was submitted, and not refused at once.
    pub fn submitted(&mut self, mailbox: u64, id: u128, bytes: &[u8]) {
        let current = self.owner(mailbox);
        // What a purge that was cut has left is still whose it was, when it is sent again.
        let owner = *self.sent_to.entry((mailbox, id)).or_insert(current);
        let (session, content) = (self.writer(owner), Self::content(id, bytes));
        let letter = Letter { to: owner, resource: None, content, kept: true };
        self.see(Event::Sent { session, letter: Some(letter) });
        let open = Open { id, content, is_answered: false };
        self.mailboxes.entry(owner).or_default().open.push_back(open);
    }

    /// The oldest append of this message that was not answered is confirmed.
    pub fn confirmed(&mut self, mailbox: u64, id: u128) {
        self.answered(mailbox, id, false);
    }

    /// The oldest append of this message that was not answered is refused.
    pub fn refused(&mut self, mailbox: u64, id: u128) {
        self.answered(mailbox, id, true);
    }

    fn answered(&mut self, mailbox: u64, id: u128, is_refused: bool) {
        let Some(&owner) = self.sent_to.get(&(mailbox, id)) else { return };
        let session = self.writer(owner);
        let of = self.mailboxes.entry(owner).or_default();
        let Some(open) = of.open.iter_mut().find(|open| open.id == id && !open.is_answered) else { return };
        open.is_answered = true;
        let content = open.content;
        let count = of.open.iter().take_while(|open| open.is_answered).count();
        of.open.drain(..count);
        of.covered += count as u32;
        let h = of.covered;
        if is_refused {
            self.see(Event::Refused { session, to: owner, content: Some(content), is_bound: true });
        }
        if count > 0 {
            self.see(Event::Covered { session, h });
        }
    }

    /// An entry was read. What was read before, since the store was opened or since [`Self::rewound`], is not told again.
    pub fn read(&mut self, mailbox: u64, id: u128, bytes: &[u8]) {
        let owner = self.sent_to.get(&(mailbox, id)).copied();
        let owner = owner.unwrap_or_else(|| self.owner(mailbox));
        let session = self.reader(owner);
        if !self.mailboxes.entry(owner).or_default().read.insert(id) {
            return;
        }
        let stanza_id = Some(StanzaId(digest(&id.to_le_bytes())));
        let showing = Showing { from: WRITER, content: Self::content(id, bytes), stanza_id, delayed: false };
        self.see(Event::Shown { session, showing: Some(showing) });
    }

    /// Reading begins again from the start: whatever was read and not acknowledged has not arrived.
    pub fn rewound(&mut self, mailbox: u64) {
        let owner = self.owner(mailbox);
        self.lose(owner);
    }

    fn lose(&mut self, owner: Account) {
        let Some(of) = self.mailboxes.get_mut(&owner) else { return };
        let missing = std::mem::take(&mut of.read).len() as u32;
        if let Some(session) = of.reader.take() {
            self.see(Event::Lost { session, missing });
        }
    }

    /// An entry that was read is acknowledged.
    pub fn acknowledged(&mut self, mailbox: u64, id: u128, bytes: &[u8]) {
        let Some(&owner) = self.sent_to.get(&(mailbox, id)) else { return };
        let session = self.reader(owner);
        if self.mailboxes.entry(owner).or_default().read.remove(&id) {
            let content = Self::content(id, bytes);
            self.see(Event::Receipted { session, from: WRITER, content });
        }
    }

    /// The mailbox's purge is asked for. Whatever comes from now on is for somebody else.
    pub fn purging(&mut self, mailbox: u64, ticket: u128) {
        let owner = self.owner(mailbox);
        self.lose(owner);
        self.see(Event::Removing { account: owner });
        self.owner_of.remove(&mailbox);
        self.purges.push((mailbox, ticket, owner));
    }

    /// It is durable, and with it all that were asked for before.
    pub fn purged(&mut self, ticket: u128) {
        let Some(&(mailbox, ..)) = self.purges.iter().find(|(_, of, _)| *of == ticket) else { return };
        let done = |(of, by, _): &(u64, u128, Account)| *of == mailbox && *by <= ticket;
        let owners: Vec<Account> =
            self.purges.iter().filter(|purge| done(purge)).map(|purge| purge.2).collect();
        self.purges.retain(|purge| !done(purge));
        for account in owners {
            self.see(Event::Removed { account });
        }
    }

    /// The process (or with `power` the machine) is gone, and the store is opened again.
    pub fn cut(&mut self, power: bool) {
        self.closed();
        self.see(Event::Crashed { power });
    }

    /// The store is closed in good order. What was not answered may be kept or not.
    pub fn closed(&mut self) {
        let owners: Vec<Account> = self.mailboxes.keys().copied().collect();
        owners.into_iter().for_each(|owner| self.lose(owner));
        self.mailboxes.clear();
        // What was not answered by now is never answered.
        self.purges.clear();
    }

    /// Somebody has looked for an entry's bytes in all files.
    pub fn looked(&mut self, mailbox: u64, id: u128, bytes: &[u8], found: bool) {
        let Some(&account) = self.sent_to.get(&(mailbox, id)) else { return };
        let content = Self::content(id, bytes);
        self.see(Event::Looked { account, from: WRITER, content, found });
    }

    /// The whole mailbox was read since the last opening or [`Self::rewound`]: what did not come is lost.
    pub fn drained(&mut self, mailbox: u64) {
        let account = self.owner(mailbox);
        self.see(Event::Drained { account });
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
        history.confirmed(7, 1);
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
            history.acknowledged(7, 1, b"one");
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
    fn what_was_read_and_not_acknowledged_is_still_owed() {
        let mut history = with_two();
        history.read(7, 1, b"one");
        history.closed();
        history.drained(7);
        assert_eq!(rules(&history), [Rule::NeverShown]);
    }

    #[test]
    fn what_was_answered_out_of_order_is_covered_in_order() {
        for (is_first_answered, broken) in [(false, &[][..]), (true, &[Rule::LostInCrash])] {
            let mut history = StoreHistory::new(Knobs::default());
            (1..=3).for_each(|id| history.submitted(7, id, b"text"));
            history.confirmed(7, 2);
            if is_first_answered {
                history.refused(7, 1);
            }
            history.cut(true);
            history.drained(7);
            assert_eq!(rules(&history), broken, "before the first is answered no sender knows of the second");
        }
    }

    #[test]
    fn what_comes_back() {
        let mut history = with_two();
        history.read(7, 1, b"one");
        history.acknowledged(7, 1, b"one");
        history.rewound(7);
        history.read(7, 1, b"one");
        assert_eq!(rules(&history), [Rule::AfterAcknowledged]);
        let mut history = with_two();
        history.read(7, 1, b"one");
        history.acknowledged(7, 1, b"one");
        history.cut(true);
        history.read(7, 1, b"one");
        assert_eq!(rules(&history), [], "once after a crash");
    }

    #[test]
    fn what_a_purge_has_left() {
        let mut history = with_two();
        history.purging(7, 1);
        history.submitted(7, 3, b"three");
        history.cut(true);
        history.read(7, 1, b"one");
        history.read(7, 3, b"three");
        history.drained(7);
        assert_eq!(rules(&history), [], "it was not answered");
        history.purging(7, 2);
        history.submitted(7, 4, b"four");
        history.confirmed(7, 4);
        history.purged(2);
        history.cut(true);
        history.read(7, 4, b"four");
        assert_eq!(rules(&history), [], "what came after it is another's");
        history.read(7, 3, b"three");
        assert!(!rules(&history).is_empty());
    }

    /// Sends, and has it confirmed.
    fn accept(history: &mut StoreHistory, id: u128) {
        history.submitted(7, id, b"text");
        history.confirmed(7, id);
    }

    /// The mailbox is read from its start after a cut.
    fn cut_and_read(history: &mut StoreHistory, ids: &[u128]) {
        history.cut(true);
        history.rewound(7);
        ids.iter().for_each(|&id| history.read(7, id, b"text"));
    }

    /// A device that acknowledges the second of two has got the first before it. It is owed that still, and gets it again after
    /// the cut; whether it had come in its place was judged when it came.
    #[test]
    fn what_came_before_something_acknowledged_is_not_late_when_it_comes_again() {
        let history = |before: &[u128], after: &[u128]| {
            let mut history = StoreHistory::new(Knobs::default());
            history.submitted(7, 1, b"text");
            history.cut(true);
            // Its sender has seen no answer, and sends it again.
            accept(&mut history, 1);
            accept(&mut history, 2);
            before.iter().for_each(|&id| history.read(7, id, b"text"));
            history.acknowledged(7, 2, b"text");
            cut_and_read(&mut history, after);
            history.drained(7);
            rules(&history)
        };
        assert_eq!(history(&[1, 2], &[1]), []);
        assert_eq!(history(&[2], &[1]), [Rule::OutOfOrder], "it had not come before");
        assert_eq!(history(&[2, 1], &[1]), [Rule::OutOfOrder; 2], "it had come behind, if at all");
        assert_eq!(history(&[1, 2], &[]), [Rule::LostInCrash], "it is owed");
    }

    /// What is kept beside its first copy can outlive that in a removal that a cut has left half done.
    #[test]
    fn a_removal_that_was_cut_may_leave_the_second_copy() {
        let history = |is_repeated: bool, is_removing: bool, found: &[u128]| {
            let mut history = StoreHistory::new(Knobs::default());
            accept(&mut history, 1);
            accept(&mut history, 2);
            if is_repeated {
                accept(&mut history, 1);
            }
            accept(&mut history, 3);
            if is_removing {
                history.purging(7, 1);
            }
            cut_and_read(&mut history, found);
            rules(&history)
        };
        assert_eq!(history(true, true, &[2, 1, 3]), []);
        assert_eq!(
            history(true, true, &[2, 3, 1]),
            [Rule::OutOfOrder],
            "it was sent before the third, both times"
        );
        assert_eq!(history(true, false, &[2, 1, 3]), [Rule::OutOfOrder], "nothing takes the first copy");
        assert_eq!(history(false, true, &[2, 1, 3]), [Rule::OutOfOrder], "there is no second");
    }

    /// Before a cut nothing of a removal is half done that anybody could see.
    #[test]
    fn a_removal_without_a_cut_changes_no_order() {
        let mut history = StoreHistory::new(Knobs::default());
        [1, 2, 1].into_iter().for_each(|id| accept(&mut history, id));
        history.purging(7, 1);
        [2, 1].into_iter().for_each(|id| history.read(7, id, b"text"));
        assert_eq!(rules(&history), [Rule::OutOfOrder]);
    }

    #[test]
    fn refused_reordered_changed() {
        let mut history = with_two();
        history.refused(7, 2);
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
