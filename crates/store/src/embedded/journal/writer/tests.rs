//! The writer against a disk that fails.

use super::*;
use crate::embedded::Options;
use crate::embedded::journal::scan::Scanned;
use crate::embedded::metrics::FrontMetrics;
use crate::{AccountId, Append, MessageId, ShardIndex, Ticket};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};

struct Bench {
    dir: tempfile::TempDir,
    shared: Arc<Shared>,
    link: Arc<Link>,
    woken: Receiver<()>,
    to_journal: Sender<ToJournal>,
    faults: Arc<segment::Faults>,
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
            spill_upto: Default::default(),
            stopped: AtomicBool::new(false),
            links: Default::default(),
            to_journal: to_journal.clone(),
            to_sqlite: channel().0,
            to_readers: channel().0,
        });
        let (wake, woken) = channel();
        let wake = std::sync::Mutex::new(wake);
        let waker: crate::Waker = Arc::new(move || wake.lock().unwrap().send(()).unwrap_or(()));
        let link = Arc::new(Link::new(ShardIndex(0), 1, waker, Arc::new(FrontMetrics::default())));
        let writer = Writer::new(
            shared.clone(),
            receiver,
            dir.path().to_owned(),
            Seed::of(&SECRET),
            1,
            Arc::new(JournalMetrics::default()),
        );
        let faults = writer.faults.clone();
        let thread = Some(std::thread::spawn(|| writer.run()));
        Self { dir, shared, link, woken, to_journal, faults, thread, last: 0 }
    }

    /// Submits a message and returns its batch's outcome.
    fn append(&mut self) -> Result<u64, StoreError> {
        self.last += 1;
        let account = AccountId::from_bits(5);
        let stanza = (*b"<message></message>").into();
        let append = Append { account, id: MessageId(1), accepted_unix_ms: 0, stanza, ticket: Ticket(0) };
        let mut buffers = Buffers::default();
        format::encode_append(&mut buffers.appends, Seq(self.last), &append);
        format::encode_ack(&mut buffers.acks, account, &[Seq(self.last)]);
        let batch =
            Batch { link: self.link.clone(), buffers, messages: 1, last: Seq(self.last), is_awaited: false };
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
        let path = super::super::segment_path(self.dir.path(), 1);
        let scanned = Scanned::read(&crate::embedded::disk::SystemDisk, &path, Seed::of(&SECRET)).unwrap();
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

fn set(fault: &std::sync::atomic::AtomicI32, code: i32) {
    fault.store(code, Ordering::SeqCst);
}

#[test]
fn a_failed_sync_stops_the_engine() {
    let mut bench = Bench::new();
    assert_eq!(bench.append().unwrap(), 1);
    set(&bench.faults.sync, libc::EIO);
    assert!(matches!(bench.append(), Err(StoreError::Failed(_))));
    assert!(bench.shared.is_stopped());
    // The disk is well again, and is not trusted.
    assert!(matches!(bench.append(), Err(StoreError::Failed(_))));
    bench.stop();
    assert!(bench.records().0 < 3);
}

#[test]
fn a_failed_write_stops_the_engine() {
    let mut bench = Bench::new();
    set(&bench.faults.write, libc::EIO);
    assert!(matches!(bench.append(), Err(StoreError::Failed(_))));
    assert!(bench.shared.is_stopped());
    bench.stop();
}

#[test]
fn a_full_disk_refuses_appends_and_keeps_acknowledgements() {
    let mut bench = Bench::new();
    bench.append().unwrap();
    set(&bench.faults.write, libc::ENOSPC);
    assert!(matches!(bench.append(), Err(StoreError::Full)));
    assert!(!bench.shared.is_stopped());
    bench.append().unwrap();
    bench.stop();
    assert_eq!(bench.records(), (2, 3));
}

#[test]
fn acknowledgements_alone_are_written_in_the_end() {
    let mut bench = Bench::new();
    bench.append().unwrap();
    let mut buffers = Buffers::default();
    format::encode_ack(&mut buffers.acks, AccountId::from_bits(6), &[Seq(7), Seq(8)]);
    let batch = Batch { link: bench.link.clone(), buffers, messages: 0, last: Seq(1), is_awaited: false };
    bench.to_journal.send(ToJournal::Batch(batch)).unwrap();
    bench.stop();
    assert_eq!(bench.records(), (1, 3));
}
