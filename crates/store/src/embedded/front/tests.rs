//! Reads that SQLite answers late: the other threads are played by hand.

use super::*;
use crate::embedded::database::{Found, Waiting};
use crate::embedded::readers::{Jobs, Taker};
use crate::embedded::sqlite_writer::{ToSqlite, Waiter};
use crate::embedded::{Options, journal::writer};
use crate::{Entry, MessageId, Sender, ShardIndex};
use std::sync::mpsc::{Receiver, channel};

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
        let waiting = [(romeo(), Waiting { messages, bytes: 10 * messages, last })];
        let front = Front::new(shared.clone(), link.clone(), waiting.into_iter(), Vec::new());
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
    hands.tell(Event::Deleted { seqs, rows: vec![] });
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
    hands.shared.spill_upto.store(1, Ordering::Release);
    hands.tell(Event::Purged { account: AccountId::from_bits(6), number: 0 });
    let Ok(ToSqlite::Spill { slice, .. }) = hands.at_sqlite.try_recv() else { panic!("nothing moved") };
    assert_eq!(slice.iter().map(|(_, entry)| entry.seq.0).collect::<Vec<_>>(), [moved]);
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
