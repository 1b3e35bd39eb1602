//! Reads that SQLite answers late: the other threads are played by hand.

use super::*;
use crate::embedded::database::{Found, Kept, Waiting};
use crate::embedded::link::{Loaded, Loss};
use crate::embedded::readers::{Jobs, Taker};
use crate::embedded::sqlite_writer::{ToSqlite, Waiter};
use crate::embedded::{Options, journal::writer};
use crate::{Entry, Gap, MessageId, Sender, ShardIndex};
use std::sync::mpsc::{Receiver, channel};

/// What SQLite says of a mailbox.
fn waiting(seqs: impl IntoIterator<Item = u64>) -> Waiting {
    let kept = |seq| Kept { id: u128::from(seq).to_be_bytes(), seq: Seq(seq), size: 10, mark: None };
    Waiting { messages: seqs.into_iter().map(kept).collect(), ..Waiting::default() }
}

struct Hands {
    front: Front,
    link: Arc<Link>,
    shared: Arc<Shared>,
    at_journal: Receiver<ToJournal>,
    at_sqlite: Receiver<ToSqlite>,
    at_readers: Taker,
}

fn romeo() -> AccountId {
    AccountId::from_bits(5)
}

const ALL: ReadLimit = ReadLimit { messages: 99, bytes: usize::MAX };

/// A message as SQLite brings it.
fn entry(seq: u64) -> Entry {
    let (seq, id) = (Seq(seq), MessageId(seq.into()));
    Entry { seq, id, accepted_unix_ms: 0, stanza: (*b"<message/>").into(), gap: None }
}

impl Hands {
    /// A front of a mailbox with this much in SQLite.
    fn new(messages: u32, last: u64) -> Self {
        let ((to_journal, at_journal), (to_sqlite, at_sqlite), (to_readers, at_readers)) =
            (channel(), channel(), Jobs::new());
        let options = Options::default();
        let shared = Arc::new(Shared {
            time: crate::Time::begin(options.clock.clone(), None),
            options,
            epoch: 1,
            sender_key: 7,
            spill_upto: Default::default(),
            stopped: Default::default(),
            health: Arc::default(),
            arrears: Arc::default(),
            overlay: Arc::default(),
            revisions: Default::default(),
            links: Default::default(),
            to_journal,
            to_sqlite,
            to_readers,
        });
        let link = Arc::new(Link::new(ShardIndex(0), 1, Arc::new(|| ()), Arc::default()));
        let mut front = Front::new(shared.clone(), link.clone(), Vec::new());
        let first = last + 1 - u64::from(messages);
        front.tail.come(romeo(), Some(waiting(first..=last)));
        Self { front, link, shared, at_journal, at_sqlite, at_readers }
    }

    fn tell(&mut self, event: Event) -> Vec<Completion> {
        self.link.push(event);
        let mut completions = Vec::new();
        self.front.poll(&mut completions);
        completions
    }

    /// Begins a read that SQLite is asked for; its number.
    fn begin_read(&mut self) -> u64 {
        assert!(matches!(self.front.read(romeo(), Seq(0), ALL, Ticket(1)), ReadStart::Pending));
        match self.at_readers.try_take() {
            Some(Job::Mailbox { number, .. }) => number,
            _ => panic!("the readers were not asked"),
        }
    }

    /// SQLite's answer to that read; what the shard is told: the numbers, and whether there is more.
    fn end_read(&mut self, number: u64, seqs: &[u64]) -> (Vec<u64>, bool) {
        let entries = seqs.iter().map(|&seq| entry(seq)).collect();
        let completions =
            self.tell(Event::Read { number, result: Ok(Found { entries, ..Found::default() }) });
        let answer = completions.into_iter().find_map(|completion| match completion {
            Completion::Read { result, .. } => Some(result.unwrap()),
            _ => None,
        });
        let (entries, more) = answer.expect("an answer");
        (entries.iter().map(|entry| entry.seq.0).collect(), more)
    }

    /// Begins a load of the account.
    fn begin_load(&mut self) {
        self.front.load(romeo(), &[Table::ACCOUNTS], Ticket(5));
        assert!(matches!(self.at_readers.try_take(), Some(Job::Load { .. })), "the readers were not asked");
    }

    /// SQLite's answer to a load.
    fn end_load(&mut self, waiting: Result<Waiting, StoreError>) {
        let completion = Completion::Loaded { ticket: Ticket(5), result: Ok(Vec::new()), book: Vec::new() };
        self.tell(Event::Loaded(Box::new(Loaded { account: romeo(), waiting, completion })));
    }

    /// The number of waiting messages, and which of these are known by identity.
    fn known(&self) -> (u64, Vec<u64>) {
        let is_known = |seq: &u64| self.front.tail.by_id(romeo(), MessageId((*seq).into())).is_some();
        let next = self.front.tail.next_seq().0;
        let seqs = (0..20).chain(next - 5..next).filter(is_known).collect();
        (self.front.usage(romeo()).messages, seqs)
    }

    /// Has everything in memory begin to move to SQLite.
    fn begin_move(&mut self) -> Vec<u64> {
        self.shared.spill_upto.store(1, Ordering::Release);
        self.tell(Event::Purged { account: AccountId::from_bits(6), number: 0 });
        let Ok(ToSqlite::Spill { slice, .. }) = self.at_sqlite.try_recv() else { panic!("nothing moved") };
        slice.iter().map(|moving| moving.entry.seq.0).collect()
    }

    /// Appends a message that becomes durable in segment 1; its number.
    fn append(&mut self) -> u64 {
        let id = MessageId(u128::from(self.front.tail.next_seq().0));
        let stanza = (*b"<message/>").into();
        let (account, sender, ticket) = (romeo(), Sender::contact(romeo()), Ticket(2));
        let append = Append { account, id, accepted_unix_ms: 0, stanza, sender, ticket };
        let Ok(Appended::Queued(seq)) = self.front.append(append) else { panic!("not taken") };
        self.front.flush();
        let Ok(ToJournal::Batch(writer::Batch { buffers, .. })) = self.at_journal.try_recv() else {
            panic!("no batch")
        };
        self.tell(Event::Journal { outcome: Ok(1), buffers });
        seq.0
    }
}

#[test]
fn what_was_deleted_while_sqlite_read_is_not_shown() {
    let mut hands = Hands::new(2, 8);
    let read = hands.begin_read();
    hands.front.ack(romeo(), &[Seq(7)]);
    hands.front.flush();
    let Ok(ToSqlite::Delete { seqs, .. }) = hands.at_sqlite.try_recv() else { panic!("nothing to delete") };
    hands.tell(Event::Deleted { seqs });
    assert_eq!(hands.end_read(read, &[7, 8]), (vec![8], false));
}

#[test]
fn what_was_purged_while_sqlite_read_is_not_shown() {
    let mut hands = Hands::new(2, 8);
    let read = hands.begin_read();
    hands.front.purge(romeo(), Ticket(3));
    hands.front.flush();
    let Ok(ToJournal::Batch(batch)) = hands.at_journal.try_recv() else { panic!("no batch") };
    let Waiter::Purge { number, .. } = batch.effects[0].waiter else { panic!("nothing to purge") };
    hands.tell(Event::Journal { outcome: Ok(0), buffers: batch.buffers });
    hands.tell(Event::Purged { account: romeo(), number });
    let new = hands.append();
    assert_eq!(hands.end_read(read, &[7, 8]), (vec![new], false));
}

#[test]
fn what_was_moved_while_sqlite_read_is_not_skipped() {
    let mut hands = Hands::new(1, 7);
    let moved = hands.append();
    let read = hands.begin_read();
    assert_eq!(hands.begin_move(), [moved]);
    hands.tell(Event::Spilled { ignored: vec![] });
    let newer = hands.append();
    // SQLite was read before the move: its answer lacks what has moved, and what came later must not pass it.
    assert_eq!(hands.end_read(read, &[7]), (vec![7], true));
    let read = hands.begin_read();
    assert_eq!(hands.end_read(read, &[7, moved]), (vec![7, moved, newer], false));
}

#[test]
fn a_read_of_which_nothing_is_left_goes_on_where_more_was_moved() {
    let mut hands = Hands::new(1, 7);
    let moved = hands.append();
    let read = hands.begin_read();
    hands.shared.spill_upto.store(1, Ordering::Release);
    hands.front.ack(romeo(), &[Seq(7)]);
    hands.tell(Event::Purged { account: AccountId::from_bits(6), number: 0 });
    hands.tell(Event::Spilled { ignored: vec![] });
    let found = Found { entries: vec![entry(7)], ..Found::default() };
    let answered = hands.tell(Event::Read { number: read, result: Ok(found) });
    assert!(answered.is_empty(), "an answer that there is more, with nothing in it: {answered:?}");
    let Some(Job::Mailbox { number, after, .. }) = hands.at_readers.try_take() else {
        panic!("the readers were not asked again")
    };
    assert_eq!((after, hands.end_read(number, &[moved])), (Seq(7), (vec![moved], false)));
}

#[test]
fn of_who_has_left_nothing_is_kept_and_it_comes_back_whole() {
    let mut hands = Hands::new(2, 8);
    let moved = hands.append();
    assert_eq!(hands.begin_move(), [moved]);
    hands.front.leave(romeo());
    assert_eq!(hands.known(), (1, vec![moved]), "what is in memory only is there");
    hands.tell(Event::Spilled { ignored: vec![] });
    assert_eq!((hands.front.tail.mailboxes(), hands.front.usage(romeo())), (0, Usage::default()));
    hands.begin_load();
    hands.end_load(Ok(waiting([7, 8, moved])));
    assert_eq!(hands.known().0, 3);
    assert_eq!(hands.front.usage(romeo()).bytes, 30);
    hands.front.leave(romeo());
    assert_eq!(hands.front.tail.mailboxes(), 0);
}

#[test]
fn what_moves_while_a_mailbox_is_loaded_is_counted_once() {
    for sqlite_has_it in [false, true] {
        for answer_comes_first in [false, true] {
            let mut hands = Hands::new(1, 7);
            let moved = hands.append();
            hands.begin_move();
            hands.front.leave(romeo());
            hands.begin_load();
            let answer = waiting([7].into_iter().chain(sqlite_has_it.then_some(moved)));
            if answer_comes_first {
                hands.end_load(Ok(answer));
                hands.tell(Event::Spilled { ignored: vec![] });
            } else {
                hands.tell(Event::Spilled { ignored: vec![] });
                hands.end_load(Ok(answer));
            }
            let known = hands.known();
            assert_eq!(known, (2, vec![7, moved]), "{sqlite_has_it} {answer_comes_first}");
        }
    }
}

#[test]
fn what_is_acknowledged_while_a_mailbox_is_loaded_again_does_not_come_back() {
    for is_deleted in [false, true] {
        let mut hands = Hands::new(2, 8);
        hands.begin_load();
        hands.front.ack(romeo(), &[Seq(7)]);
        hands.front.flush();
        if is_deleted {
            let Ok(ToSqlite::Delete { seqs, .. }) = hands.at_sqlite.try_recv() else { panic!("none") };
            hands.tell(Event::Deleted { seqs });
        }
        hands.end_load(Ok(waiting([7, 8])));
        assert_eq!(hands.known(), (1, vec![8]), "{is_deleted}");
    }
}

/// SQLite can't say what it holds: it is asked by each read, and what is acknowledged is deleted.
#[test]
fn a_mailbox_that_can_not_be_loaded_is_read_all_the_same() {
    let mut hands = Hands::new(0, 7);
    let new = hands.append();
    hands.begin_load();
    hands.end_load(Err(StoreError::Overloaded));
    let read = hands.begin_read();
    assert_eq!(hands.end_read(read, &[7]), (vec![7, new], false));
    hands.front.ack(romeo(), &[Seq(7)]);
    hands.front.flush();
    assert!(matches!(hands.at_sqlite.try_recv(), Ok(ToSqlite::Delete { .. })));
    hands.front.leave(romeo());
    assert_eq!(hands.known(), (1, vec![new]));
}

#[test]
fn messages_that_are_lost_while_a_mailbox_is_loaded_leave_a_gap() {
    for is_known in [false, true] {
        let mut hands = Hands::new(if is_known { 2 } else { 0 }, 8);
        hands.begin_load();
        let mut loss = Loss::of(romeo(), Seq(7), Gap::of(0));
        loss.add(Seq(8), Gap::of(0));
        hands.tell(Event::Lost(loss));
        hands.end_load(Ok(waiting([7, 8, 9])));
        assert_eq!(hands.known(), (2, vec![9]), "the gap and 9: {is_known}");
        hands.front.ack(romeo(), &[Seq(8)]);
        assert_eq!(hands.known(), (1, vec![9]));
    }
}

#[test]
fn a_read_is_not_answered_when_the_account_has_left_meanwhile() {
    let mut hands = Hands::new(1, 7);
    let moved = hands.append();
    let number = hands.begin_read();
    hands.begin_move();
    hands.front.leave(romeo());
    hands.tell(Event::Spilled { ignored: vec![] });
    hands.begin_load();
    hands.end_load(Ok(waiting([7, moved])));
    let found = Found { entries: vec![entry(7)], ..Found::default() };
    let answered = hands.tell(Event::Read { number, result: Ok(found) });
    assert!(answered.is_empty(), "what has moved would be missed: {answered:?}");
    let read = hands.begin_read();
    assert_eq!(hands.end_read(read, &[7, moved]), (vec![7, moved], false));
}

/// A purge on its way takes what was there before it, and nothing of what comes behind it.
#[test]
fn what_comes_behind_a_purge_is_known_when_it_has_moved() {
    let mut hands = Hands::new(2, 8);
    hands.front.purge(romeo(), Ticket(3));
    hands.front.flush();
    let Ok(ToJournal::Batch(batch)) = hands.at_journal.try_recv() else { panic!("no batch") };
    let Waiter::Purge { number, .. } = batch.effects[0].waiter else { panic!("nothing to purge") };
    hands.tell(Event::Journal { outcome: Ok(0), buffers: batch.buffers });
    let new = hands.append();
    assert_eq!(hands.begin_move(), [new]);
    hands.tell(Event::Spilled { ignored: vec![] });
    assert_eq!(hands.known(), (1, vec![new]));
    let read = hands.begin_read();
    assert_eq!(hands.end_read(read, &[7, 8, new]), (vec![new], false), "SQLite has not purged it yet");
    hands.begin_load();
    hands.end_load(Ok(waiting([7, 8, new])));
    assert_eq!(hands.known(), (1, vec![new]));
    hands.tell(Event::Purged { account: romeo(), number });
    assert_eq!(hands.known(), (1, vec![new]));
}

/// SQLite may have been read before the purge came there, and its answer may come after that has ended.
#[test]
fn a_load_during_a_purge_brings_no_cursors_back() {
    let mut hands = Hands::new(2, 8);
    hands.front.purge(romeo(), Ticket(3));
    hands.front.flush();
    let Ok(ToJournal::Batch(batch)) = hands.at_journal.try_recv() else { panic!("no batch") };
    let Waiter::Purge { number, .. } = batch.effects[0].waiter else { panic!("nothing to purge") };
    hands.tell(Event::Journal { outcome: Ok(0), buffers: batch.buffers });
    hands.begin_load();
    hands.tell(Event::Purged { account: romeo(), number });
    hands.end_load(Ok(Waiting { cursors: Cursors::from_json(b"[[1,7]]"), ..waiting([7]) }));
    assert!(hands.front.cursors(romeo()).is_empty(), "whoever has the number next has other devices");
    assert_eq!(hands.known(), (0, vec![]));
}

/// However far a reader has come within a batch, and what it has alone stays.
#[test]
fn the_newest_of_a_batch_is_its_only_record_of_cursors() {
    let mut hands = Hands::new(2, 8);
    hands.begin_load();
    hands.end_load(Ok(Waiting::default()));
    let seqs = [hands.append(), hands.append()];
    let (phone, desk) = (Reader(1), Reader(2));
    [phone, desk].into_iter().for_each(|reader| hands.front.add_reader(romeo(), reader, Seq(0)));
    seqs.into_iter().for_each(|seq| hands.front.advance(romeo(), phone, Seq(seq)));
    hands.front.flush();
    let batches: Vec<_> = hands.at_journal.try_iter().collect();
    let records = batches.iter().filter_map(|of| match of {
        ToJournal::Batch(batch) => Some(batch.cursors.len()),
        _ => None,
    });
    assert_eq!(records.sum::<usize>(), 1);
    assert_eq!(hands.known().0, 4, "two were there before");
    hands.front.advance(romeo(), desk, Seq(seqs[0]));
    assert_eq!(hands.known().0, 1);
}
