//! Single failures of a disk and unlucky moments, each made on purpose on a simulated disk.

#![allow(clippy::unwrap_used, reason = "a test may")]

use chaski_store::conformance::Rig;
use chaski_store::embedded::simulation::{Cut, SimulatedClock, SimulatedDisk, Stepped, Who};
use chaski_store::embedded::{self, Disk, Open, OpenError, Options};
use chaski_store::mailbox::ReadStart;
use chaski_store::{
    AccountId, Append, Completion, Engine, Entry, MessageId, ReadLimit, Sender, Seq, ShardIndex, ShardStore,
    StoreError, Ticket,
};
use std::path::PathBuf;
use std::sync::Arc;

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

fn options(disk: &SimulatedDisk) -> Options {
    Options {
        clock: Arc::new(SimulatedClock::default()),
        disk: Arc::new(disk.clone()),
        preallocate_bytes: 4096,
        reserve_bytes: 0,
        contacts_reserve_bytes: 0,
        commit_interval_us: 0,
        ..Options::default()
    }
}

fn data(disk: &SimulatedDisk) -> PathBuf {
    let data = disk.root().join("data");
    disk.make_directory(&data).unwrap();
    disk.sync_directory(&disk.root()).unwrap();
    data
}

/// An engine whose turns are taken by hand, and its only front.
struct Hand {
    engine: Stepped,
    front: Box<dyn ShardStore>,
    completions: Vec<Completion>,
}

impl Hand {
    fn open(disk: &SimulatedDisk, options: Options) -> Self {
        let engine = Stepped::open(&data(disk), options).unwrap();
        let front = engine.attach(ShardIndex(0), 1, Arc::new(|| ()));
        Self { engine, front, completions: Vec::new() }
    }

    fn append(&mut self, id: u128) {
        let stanza = format!("<message id='{id}'><body>message number {id}</body></message>").into_bytes();
        let append = Append {
            account: romeo(),
            id: MessageId(id),
            accepted_unix_ms: 0,
            stanza: stanza.into(),
            sender: Sender::contact(romeo()),
            ticket: Ticket(id),
        };
        self.front.append(append).unwrap();
    }

    fn turns(&mut self, whose: &[Who]) {
        self.front.flush();
        for &who in whose {
            self.engine.step(who);
        }
        self.front.poll(&mut self.completions);
    }
}

fn everything() -> ReadLimit {
    ReadLimit { messages: 100, bytes: usize::MAX }
}

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
