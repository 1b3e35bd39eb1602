//! What the writer writes. Against a disk that fails: `tests/embedded/failing_disk.rs`.

use super::*;
use crate::embedded::journal::roll::Roll;
use crate::embedded::journal::scan::Scanned;
use crate::embedded::metrics::FrontMetrics;
use crate::embedded::readers::Jobs;
use crate::embedded::{Options, SystemDisk};
use crate::{AccountId, Append, MessageId, ShardIndex, Ticket};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};

struct Bench {
    dir: tempfile::TempDir,
    link: Arc<Link>,
    woken: Receiver<()>,
    to_journal: Sender<ToJournal>,
    thread: Option<std::thread::JoinHandle<()>>,
    last: u64,
}

const SECRET: [u8; 16] = [9; 16];

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (to_journal, receiver) = channel();
        let options = Options { preallocate_bytes: 4096, ack_linger_ms: 1, tick_ms: 1, ..Options::default() };
        let shared = Arc::new(Shared {
            time: crate::Time::begin(options.clock.clone(), None),
            options,
            epoch: 1,
            sender_key: 7,
            spill_upto: Default::default(),
            stopped: AtomicBool::new(false),
            health: Arc::default(),
            arrears: Arc::default(),
            overlay: Arc::default(),
            revisions: Default::default(),
            links: Default::default(),
            to_journal: to_journal.clone(),
            to_sqlite: channel().0,
            to_readers: Jobs::new().0,
        });
        let (wake, woken) = channel();
        let wake = std::sync::Mutex::new(wake);
        let waker: crate::Waker = Arc::new(move || wake.lock().unwrap().send(()).unwrap_or(()));
        let link = Arc::new(Link::new(ShardIndex(0), 1, waker, Arc::new(FrontMetrics::default())));
        let (journal, seed) = (dir.path().join("journal"), Seed::of(&SECRET));
        std::fs::create_dir(&journal).unwrap();
        let roll =
            RollFile::create(&SystemDisk, &journal, seed, &Roll { segments: vec![], next: 1 }).unwrap();
        let metrics = Arc::new(JournalMetrics::default());
        // Nobody drives him: the writer does all itself.
        let caretaker = Arc::new(Caretaker::new(
            Arc::new(SystemDisk),
            journal.clone(),
            (4096, Duration::from_millis(1)),
            metrics.clone(),
        ));
        let place =
            Place { journal, seed, next_segment: 1, next_frame: 5, roll, kept: Vec::new(), caretaker };
        let writer = Writer::new(shared, receiver, place, metrics);
        let thread = Some(std::thread::spawn(|| writer.run()));
        Self { dir, link, woken, to_journal, thread, last: 0 }
    }

    /// Submits a message and returns its batch's outcome.
    fn append(&mut self) -> Result<u64, StoreError> {
        self.last += 1;
        let account = AccountId::from_bits(5);
        let stanza = (*b"<message></message>").into();
        let (id, sender, ticket) = (MessageId(1), crate::Sender::contact(account), Ticket(0));
        let append = Append { account, id, accepted_unix_ms: 0, stanza, sender, ticket };
        let mut buffers = Buffers::default();
        format::encode_append(&mut buffers.appends, Seq(self.last), &append);
        format::encode_ack(&mut buffers.acks, account, &[Seq(self.last)]);
        let batch = Batch {
            link: self.link.clone(),
            buffers,
            messages: 1,
            last: Seq(self.last),
            effects: Vec::new(),
            cursors: BTreeMap::new(),
            is_awaited: false,
        };
        self.to_journal.send(ToJournal::Batch(batch)).unwrap();
        self.woken.recv().unwrap();
        let mut events = Vec::new();
        self.link.take(&mut events);
        match events.pop() {
            Some(Event::Journal { outcome, .. }) => outcome,
            _ => panic!("no outcome"),
        }
    }

    fn stop(&mut self) {
        self.to_journal.send(ToJournal::Stop).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }

    /// Appends and acknowledgements in the only segment.
    fn records(&self) -> (usize, usize) {
        let path = super::super::segment_path(&self.dir.path().join("journal"), 1);
        let scanned = Scanned::read(&SystemDisk, &path, Seed::of(&SECRET), u64::MAX).unwrap();
        assert_eq!(scanned.damage, None);
        let (mut appends, mut acks) = (0, 0);
        for payload in scanned.payloads() {
            format::records(payload, |record| match record {
                format::Record::Append { .. } => appends += 1,
                _ => acks += 1,
            });
        }
        (appends, acks)
    }
}

#[test]
fn acknowledgements_alone_are_written_in_the_end() {
    let mut bench = Bench::new();
    bench.append().unwrap();
    let mut buffers = Buffers::default();
    format::encode_ack(&mut buffers.acks, AccountId::from_bits(6), &[Seq(7), Seq(8)]);
    let batch = Batch {
        link: bench.link.clone(),
        buffers,
        messages: 0,
        last: Seq(1),
        effects: Vec::new(),
        cursors: BTreeMap::new(),
        is_awaited: false,
    };
    bench.to_journal.send(ToJournal::Batch(batch)).unwrap();
    bench.stop();
    assert_eq!(bench.records(), (1, 3));
}
