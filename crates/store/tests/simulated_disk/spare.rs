//! What goes into the spare segment of a disk that is full to the last byte, and what does not.

use crate::hand::{Hand, everything, options, romeo};
use chaski_store::embedded::Options;
use chaski_store::embedded::simulation::{Cut, SimulatedClock, SimulatedDisk, Who};
use chaski_store::mailbox::ReadStart;
use chaski_store::{Completion, Reader, Seq, StoreError, Ticket};
use std::sync::Arc;

const PHONE: Reader = Reader(1);
const DESK: Reader = Reader(2);
const EIO: i32 = 5;
const TURNS: [Who; 3] = [Who::Journal, Who::Journal, Who::Journal];

struct Full {
    disk: SimulatedDisk,
    clock: Arc<SimulatedClock>,
    hand: Hand,
    kept: Vec<u128>,
    next: u128,
}

impl Full {
    /// Messages wait, there is a spare, and the last byte is taken.
    fn new() -> Self {
        let (disk, clock) = (SimulatedDisk::default(), Arc::new(SimulatedClock::default()));
        let mut hand = Hand::open(&disk, Self::options(&disk, &clock));
        hand.load();
        hand.turns(&TURNS);
        let mut full = Self { disk, clock, hand, kept: Vec::new(), next: 0 };
        (0..10).for_each(|_| full.say().expect("room"));
        full.disk.set_size(Some(full.disk.used()), false);
        full
    }

    fn options(disk: &SimulatedDisk, clock: &Arc<SimulatedClock>) -> Options {
        Options { clock: clock.clone(), ack_linger_ms: 0, ..options(disk) }
    }

    fn say(&mut self) -> Result<(), StoreError> {
        let id = self.next;
        self.next += 1;
        self.hand.append(id);
        self.hand.turns(&TURNS);
        let outcome = self.hand.completions.drain(..).find_map(|completion| match completion {
            Completion::Committed(ticket) if ticket == Ticket(id) => Some(Ok(())),
            Completion::Refused(ticket, error) if ticket == Ticket(id) => Some(Err(error)),
            _ => None,
        });
        let outcome = outcome.expect("an answer");
        if outcome.is_ok() {
            self.kept.push(id);
        }
        outcome
    }

    /// Nothing more fits into the segment at hand, nor into the disk.
    fn exhaust(&mut self) {
        while self.say().is_ok() {}
        let taken = self.spares_taken();
        while self.spares_taken() == taken {
            self.acknowledge();
        }
    }

    /// The oldest message is acknowledged.
    fn acknowledge(&mut self) {
        let seq = waiting(&mut self.hand).first().expect("one").0;
        self.hand.front.ack(romeo(), &[seq]);
        self.kept.remove(0);
        self.hand.turns(&TURNS);
    }

    /// The power is cut, and what is left are these.
    fn check(&self) {
        let mut hand = self.after_a_cut();
        hand.load();
        let found: Vec<u128> = waiting(&mut hand).into_iter().map(|(_, id)| id).collect();
        assert_eq!(found, self.kept);
    }

    fn after_a_cut(&self) -> Hand {
        let left = self.disk.after_cut(&mut Cut::losing_all());
        Hand::open(&left, Self::options(&left, &self.clock))
    }

    fn spares_taken(&self) -> i64 {
        self.hand.engine.metric("chaski_journal_spares_taken_total")
    }
}

fn waiting(hand: &mut Hand) -> Vec<(Seq, u128)> {
    match hand.front.read(romeo(), Seq(0), everything(), Ticket(999)) {
        ReadStart::Ready { entries, .. } => entries.iter().map(|entry| (entry.seq, entry.id.0)).collect(),
        ReadStart::Pending => {
            hand.turns(&[Who::Reader, Who::Reader]);
            let read = hand.completions.drain(..).find_map(|completion| match completion {
                Completion::Read { result: Ok((entries, _)), .. } => Some(entries),
                _ => None,
            });
            read.expect("an answer").iter().map(|entry| (entry.seq, entry.id.0)).collect()
        }
    }
}

#[test]
fn acknowledgements_go_into_it_and_new_messages_do_not() {
    let mut full = Full::new();
    full.exhaust();
    full.check();
    (0..10).for_each(|_| assert!(matches!(full.say(), Err(StoreError::Full))));
    full.acknowledge();
    full.check();
    full.disk.set_size(None, false);
    full.say().expect("there is room again");
    full.check();
}

/// Cursors are acknowledgements of one reader, and go where these go.
#[test]
fn cursors_go_into_it() {
    let mut full = Full::new();
    let seqs: Vec<Seq> = waiting(&mut full.hand).into_iter().map(|(seq, _)| seq).collect();
    let front = &mut full.hand.front;
    [PHONE, DESK].into_iter().for_each(|reader| front.add_reader(romeo(), reader, Seq(0)));
    full.hand.turns(&TURNS);
    full.exhaust();
    let kept = full.kept.len();
    full.hand.front.advance(romeo(), PHONE, seqs[9]);
    full.hand.turns(&TURNS);
    full.hand.front.advance(romeo(), DESK, seqs[8]);
    full.kept.retain(|id| *id > 8);
    assert!(full.kept.len() <= kept);
    full.hand.turns(&TURNS);
    full.check();
    let mut hand = full.after_a_cut();
    hand.load();
    let cursors: Vec<_> = hand.front.cursors(romeo()).iter().collect();
    assert_eq!(cursors, [(PHONE, seqs[9]), (DESK, seqs[8])]);
}

#[test]
fn it_stays_open_as_long_as_there_is_no_other() {
    let mut full = Full::new();
    full.exhaust();
    full.acknowledge();
    full.clock.advance_ms(Options::default().segment_age_ms + 1);
    full.hand.turns(&TURNS);
    full.acknowledge();
    full.check();
    full.disk.set_size(None, false);
    full.clock.advance_ms(Options::default().tick_ms);
    full.hand.turns(&TURNS);
    full.disk.set_size(Some(full.disk.used()), false);
    full.exhaust();
    full.acknowledge();
    full.check();
    assert_eq!(full.spares_taken(), 2, "it was made again");
}

#[test]
fn what_a_failed_sync_left_in_doubt_is_written_into_it() {
    let mut full = Full::new();
    full.disk.fail_sync_in(0, EIO);
    full.say().expect("it goes on");
    assert_eq!(full.spares_taken(), 1);
    full.check();
}
