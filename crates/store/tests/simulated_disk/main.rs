//! Single failures of a disk and unlucky moments, each made on purpose on a simulated disk.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod effects;
mod hand;
mod spare;

use chaski_store::conformance::Rig;
use chaski_store::embedded::simulation::{Cut, SimulatedClock, SimulatedDisk, Stepped, Who};
use chaski_store::embedded::{self, Disk, Open, OpenError, Options};
use chaski_store::mailbox::ReadStart;
use chaski_store::{AccountId, Appended, Completion, Engine, Entry, Sender, Seq, StoreError, Ticket};
use hand::{Hand, data, everything, options, romeo};
use std::sync::Arc;

#[test]
fn a_frame_in_another_ones_place_is_refused() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, options(&disk));
    for id in 1..=5 {
        hand.append(id);
        hand.turns(&[Who::Journal]);
    }
    let left = disk.after_cut(&mut Cut::losing_all());
    let journal = data(&left).join("journal");
    let segment = journal.join(left.list(&journal).unwrap().pop().unwrap());
    let content = left.read(&segment).unwrap();
    let used = content.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let (header, frame) = (64, (used - 64) / 5);
    // The third is a copy of the second, whose checksum is right.
    let second = &content[header + frame..header + 2 * frame];
    left.open(&segment, Open::Existing).unwrap().write_all_at(second, (header + 2 * frame) as u64).unwrap();
    match Stepped::open(&data(&left), options(&left)) {
        Err(OpenError::CorruptJournal { offset, .. }) => assert_eq!(offset as usize, header + 2 * frame),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a message is missing and nobody says so"),
    }
}

/// What a read shows while the messages behind it move from memory to SQLite.
#[test]
fn a_read_misses_nothing_that_moves_meanwhile() {
    let disk = SimulatedDisk::default();
    // Everything is too much for memory, and moves once it is committed.
    let mut hand = Hand::open(&disk, Options { mailbox_cache_bytes: 1, ..options(&disk) });
    (1..=3).for_each(|id| hand.append(id));
    hand.turns(&[Who::Journal]);
    hand.turns(&[Who::Sqlite]);
    (4..=5).for_each(|id| hand.append(id));
    hand.turns(&[Who::Journal]);
    assert!(matches!(hand.front.read(romeo(), Seq(0), everything(), Ticket(99)), ReadStart::Pending));
    // It reads the first three; the others move; then it hands over what it has read.
    hand.turns(&[Who::Reader]);
    hand.turns(&[Who::Sqlite]);
    hand.turns(&[Who::Reader]);
    let read = hand.completions.iter().find_map(|completion| match completion {
        Completion::Read { result: Ok((entries, more)), .. } => Some((ids(entries), *more)),
        _ => None,
    });
    match read {
        Some((found, true)) => assert_eq!(found, [1, 2, 3]),
        Some((found, false)) => assert_eq!(found, [1, 2, 3, 4, 5], "said to be all"),
        None => panic!("no answer"),
    }
}

/// A message that has moved to SQLite is sent again in the same run: no load in between could have told of it.
#[test]
fn what_has_moved_to_sqlite_is_known_when_it_is_sent_again() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, Options { mailbox_cache_bytes: 1, ..options(&disk) });
    assert!(matches!(hand.offer(1), Appended::Queued(_)));
    hand.turns(&[Who::Journal]);
    hand.turns(&[Who::Sqlite]);
    assert_eq!(hand.offer(1), Appended::Duplicate);
}

fn ids(entries: &[Entry]) -> Vec<u128> {
    entries.iter().map(|entry| entry.id.0).collect()
}

#[test]
fn the_reserve_is_refused_to_messages() {
    let disk = SimulatedDisk::default();
    let (reserve, step) = (100_000, 4096);
    let options = Options { reserve_bytes: reserve, preallocate_bytes: step, ..options(&disk) };
    let engine = embedded::open(&data(&disk), options).unwrap();
    let mut rig = Rig::new(&engine);
    let outcome = |rig: &mut Rig, id| {
        let (_, ticket) = rig.append(romeo(), id).unwrap();
        rig.outcome(ticket)
    };
    disk.set_size(Some(disk.used() + reserve + step - 1), false);
    assert!(matches!(outcome(&mut rig, 1), Err(StoreError::Full)));
    disk.set_size(Some(disk.used() + reserve + step), false);
    outcome(&mut rig, 2).unwrap();
    assert_eq!(rig.ids(romeo()), [2]);
}

#[test]
fn the_last_room_of_the_disk_is_for_contacts() {
    let disk = SimulatedDisk::default();
    let clock = Arc::new(SimulatedClock::default());
    let (kept, step) = (200_000, 4096);
    let options = Options {
        clock: clock.clone(),
        reserve_bytes: 50_000,
        contacts_reserve_bytes: kept,
        preallocate_bytes: step,
        ..options(&disk)
    };
    let engine = embedded::open(&data(&disk), options).unwrap();
    let mut rig = Rig::new(&engine);
    let (nurse, juliet) = (AccountId::from_bits(7), AccountId::from_bits(8));
    let mut last = 0;
    let mut write = |rig: &mut Rig, sender| {
        last += 1;
        let (_, ticket) = rig.append_of(sender, romeo(), last, b"<message/>")?;
        rig.outcome(ticket)
    };
    disk.set_size(Some(disk.used() + kept - 1), false);
    // It is looked at when the journal takes more of the disk: with the first message.
    write(&mut rig, Sender::contact(juliet)).unwrap();
    assert!(matches!(write(&mut rig, Sender::stranger(nurse)), Err(StoreError::Full)));
    let heavy = Sender { is_heavy: true, ..Sender::contact(juliet) };
    assert!(matches!(write(&mut rig, heavy), Err(StoreError::Full)));
    write(&mut rig, Sender::contact(juliet)).unwrap();
    assert_eq!(engine.troubles(), ["the disk is nearly full: messages of strangers are refused"]);
    // It ends by itself, without a message.
    disk.set_size(None, false);
    clock.advance_ms(1_000);
    rig.until("room for strangers", |rig| write(rig, Sender::stranger(nurse)).is_ok());
    assert_eq!(engine.troubles(), [""; 0]);
}

/// Everything of Romeo's, and that the start has left no file of the journal's behind.
fn found_after(left: &SimulatedDisk) -> Vec<u128> {
    let mut hand = Hand::open(left, options(left));
    hand.load();
    let files = left.list(&data(left).join("journal")).unwrap();
    assert!(files.is_empty(), "left over: {files:?}");
    if let ReadStart::Ready { entries, .. } = hand.front.read(romeo(), Seq(0), everything(), Ticket(99)) {
        return ids(&entries);
    }
    hand.turns(&[Who::Reader]);
    hand.turns(&[Who::Reader]);
    let found = hand.completions.iter().find_map(|completion| match completion {
        Completion::Read { result: Ok((entries, _)), .. } => Some(ids(entries)),
        _ => None,
    });
    found.expect("an answer")
}

/// A segment nobody needs is taken off the roll, cut off step by step and unlinked while a message comes; the power goes during
/// the operation `cut_at`. Whether the message was confirmed; `None`: the power lasted. What was seen on the way.
fn removal_cut_at(disk: &SimulatedDisk, cut_at: u64) -> (bool, [bool; 3]) {
    let clock = Arc::new(SimulatedClock::default());
    let small = Options { clock: clock.clone(), preallocate_bytes: 512, ..options(disk) };
    let mut hand = Hand::open(disk, small);
    let mut seqs = Vec::new();
    for id in 1..=20 {
        hand.append(id);
        hand.turns(&[Who::Journal, Who::Caretaker, Who::Caretaker]);
    }
    if let ReadStart::Ready { entries, .. } = hand.front.read(romeo(), Seq(0), everything(), Ticket(98)) {
        seqs.extend(entries.iter().map(|entry| entry.seq));
    }
    assert_eq!(seqs.len(), 20);
    hand.front.ack(romeo(), &seqs);
    hand.turns(&[Who::Journal]);
    clock.advance_ms(1_000);
    hand.turns(&[Who::Journal]);
    assert!(!hand.engine.is_removing());
    disk.cut_in(cut_at);
    clock.advance_ms(16_000);
    hand.turns(&[Who::Journal]);
    let (mut confirmed, mut seen) = (false, [false; 3]);
    for turn in 0..40 {
        let when =
            [hand.engine.is_removing() && !hand.engine.is_shrinking(), hand.engine.is_shrinking(), confirmed];
        if !disk.is_off() {
            seen = when;
        }
        if turn == 3 && !disk.is_off() {
            hand.append(100);
            hand.turns(&[Who::Journal]);
            let is_it = |one: &Completion| matches!(one, Completion::Committed(Ticket(100)));
            confirmed = hand.completions.iter().any(is_it);
        }
        hand.turns(&[Who::Caretaker]);
    }
    assert!(disk.is_off() || !hand.engine.is_removing());
    (confirmed, seen)
}

#[test]
fn a_power_cut_at_any_moment_of_a_removal_brings_nothing_back_and_leaves_nothing() {
    let (mut cut_at, mut seen) = (0, [0; 3]);
    loop {
        let disk = SimulatedDisk::default();
        let (confirmed, during) = removal_cut_at(&disk, cut_at);
        (0..3).for_each(|at| seen[at] += u32::from(during[at]));
        let cuts = (0..20).map(Cut::of).chain([Cut::losing_all()]);
        for (number, mut cut) in cuts.enumerate() {
            let found = found_after(&disk.after_cut(&mut cut));
            let expected: &[u128] = if confirmed { &[100] } else { &[] };
            assert!(
                found == expected || (!confirmed && found == [100]),
                "cut at {cut_at}, {number}: {found:?}"
            );
        }
        if !disk.is_off() {
            break;
        }
        cut_at += 1;
    }
    // Off the roll and whole; cut off in part; the message confirmed meanwhile.
    assert!(seen.iter().all(|&times| times > 1), "{seen:?} of {cut_at} cuts");
}

fn reading_of(sources: &[Arc<dyn chaski_telemetry::Source>], name: &str) -> i64 {
    let readings = sources.iter().flat_map(|source| source.metrics());
    readings.filter(|metric| metric.name == name).map(|metric| metric.number()).sum()
}

struct Held {
    disk: SimulatedDisk,
    engine: embedded::EmbeddedEngine,
    rig: Rig,
    sent: u128,
}

impl Held {
    /// An engine whose caretaker is held up in the sync of new room, while frames are still written into the old.
    fn new() -> Self {
        let disk = SimulatedDisk::default();
        let engine = embedded::open(&data(&disk), options(&disk)).unwrap();
        let mut held = Self { rig: Rig::new(&engine), disk, engine, sent: 1 };
        held.rig.append_durably(romeo(), 1);
        let (disk, spare) = (held.disk.clone(), data(&held.disk).join("journal.spare"));
        held.rig.until("the spare is made", |_| disk.length(&spare).is_ok());
        held.disk.hold_fsyncs();
        while held.reading("chaski_journal_extended_ahead_total") == 0 {
            held.sent += 1;
            held.rig.append_durably(romeo(), held.sent);
            assert!(held.sent < 60, "nobody makes room ahead of need");
        }
        held.rig.until("room is being made", |_| disk.waiting_syncs() == 1);
        held
    }

    fn reading(&self, name: &str) -> i64 {
        reading_of(&self.engine.metrics(), name)
    }

    /// Sends one that fills the old room and more.
    fn submit_large(&mut self) -> Ticket {
        self.sent += 1;
        let text = vec![b'x'; 3000];
        let (_, ticket) = self.rig.append_stanza(romeo(), self.sent, &text).unwrap();
        self.rig.turn();
        ticket
    }

    /// All that was sent is there, now and after a cut that leaves what was synced.
    fn assert_all_there(&mut self) {
        let sent: Vec<u128> = (1..=self.sent).collect();
        assert_eq!(self.rig.ids(romeo()), sent);
        assert_eq!(found_after(&self.disk.after_cut(&mut Cut::losing_all())), sent);
    }
}

#[test]
fn a_commit_that_needs_room_waits_for_who_makes_it() {
    let mut held = Held::new();
    let waits = held.reading("chaski_journal_room_waits_total");
    let ticket = held.submit_large();
    let metrics = held.engine.metrics();
    held.rig.until("it waits", |_| reading_of(&metrics, "chaski_journal_room_waits_total") > waits);
    held.disk.release_fsyncs();
    held.rig.committed(ticket);
    assert_eq!(held.reading("chaski_journal_room_waits_total"), waits + 1);
    assert_eq!(held.reading("chaski_journal_failures_total"), 0);
    held.assert_all_there();
}

#[test]
fn a_failure_to_make_room_is_the_journals_whether_somebody_waits_for_it_or_not() {
    for waits in [true, false] {
        for code in [libc::EIO, libc::ENOSPC] {
            let mut held = Held::new();
            held.disk.fail_sync_in(0, code);
            let waiting = waits.then(|| held.submit_large());
            held.disk.release_fsyncs();
            if let Some(ticket) = waiting {
                held.rig.committed(ticket);
            }
            held.sent += 1;
            held.rig.append_durably(romeo(), held.sent);
            let metrics = held.engine.metrics();
            held.rig.until("it is counted", |_| reading_of(&metrics, "chaski_journal_failures_total") > 0);
            let journal = data(&held.disk).join("journal");
            assert_eq!(held.disk.list(&journal).unwrap().len(), 2, "what failed is never written again");
            held.assert_all_there();
        }
    }
}

/// The sync of new room fails and drops a frame that was written meanwhile; the frame's own sync, which comes after, has to know.
#[test]
fn what_a_failed_sync_of_new_room_has_dropped_is_not_confirmed() {
    let mut held = Held::new();
    held.disk.hold_syncs();
    held.sent += 1;
    let (_, ticket) = held.rig.append(romeo(), held.sent).unwrap();
    held.rig.turn();
    let disk = held.disk.clone();
    held.rig.until("both syncs are under way", |_| disk.waiting_syncs() == 2);
    held.disk.fail_sync_in(0, libc::EIO);
    held.disk.release_fsyncs();
    held.rig.until("that of the room has failed", |_| disk.waiting_syncs() == 1);
    held.disk.release_syncs();
    held.rig.committed(ticket);
    held.assert_all_there();
}
