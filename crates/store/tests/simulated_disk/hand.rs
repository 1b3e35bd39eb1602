//! An engine on a simulated disk whose turns are taken by hand.

use chaski_store::embedded::simulation::{SimulatedClock, SimulatedDisk, Stepped, Who};
use chaski_store::embedded::{Disk, Options};
use chaski_store::{
    AccountId, Append, Appended, Completion, MessageId, ReadLimit, Sender, ShardIndex, ShardStore, Table,
    Ticket,
};
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

pub(crate) fn options(disk: &SimulatedDisk) -> Options {
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

pub(crate) fn data(disk: &SimulatedDisk) -> PathBuf {
    let data = disk.root().join("data");
    disk.make_directory(&data).unwrap();
    disk.sync_directory(&disk.root()).unwrap();
    data
}

/// An engine whose turns are taken by hand, and its only front.
pub(crate) struct Hand {
    pub(crate) engine: Stepped,
    pub(crate) front: Box<dyn ShardStore>,
    pub(crate) completions: Vec<Completion>,
}

impl Hand {
    pub(crate) fn open(disk: &SimulatedDisk, options: Options) -> Self {
        let engine = Stepped::open(&data(disk), options).unwrap();
        let front = engine.attach(ShardIndex(0), 1, Arc::new(|| ()));
        Self { engine, front, completions: Vec::new() }
    }

    pub(crate) fn append(&mut self, id: u128) {
        self.offer(id);
    }

    /// As [`append`](Self::append); what the front says of it.
    pub(crate) fn offer(&mut self, id: u128) -> Appended {
        let stanza = format!("<message id='{id}'><body>message number {id}</body></message>").into_bytes();
        let append = Append {
            account: romeo(),
            id: MessageId(id),
            accepted_unix_ms: 0,
            stanza: stanza.into(),
            sender: Sender::contact(romeo()),
            ticket: Ticket(id),
        };
        self.front.append(append).unwrap()
    }

    /// Loads the account, so that its mailbox is known.
    pub(crate) fn load(&mut self) {
        self.front.load(romeo(), &[Table::ACCOUNTS], Ticket(998));
        self.turns(&[Who::Reader, Who::Reader]);
        let Some(Completion::Loaded { result: Ok(_), .. }) = self.completions.pop() else {
            panic!("no answer")
        };
    }

    pub(crate) fn turns(&mut self, whose: &[Who]) {
        self.front.flush();
        for &who in whose {
            self.engine.step(who);
        }
        self.front.poll(&mut self.completions);
    }
}

pub(crate) fn everything() -> ReadLimit {
    ReadLimit { messages: 100, bytes: usize::MAX }
}
