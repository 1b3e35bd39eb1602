//! The part of a stage whose shards keep things as a server does: by the real embedded engine, on a disk that fills up, fails and loses its
//! power. The engine's threads take their turns when the stage says so, so that a seed repeats a play.

use super::Stage;
use chaski_store::embedded::Disk as _;
use chaski_store::embedded::Options;
use chaski_store::embedded::simulation::{Cut, SimulatedClock, SimulatedDisk, Stepped, Who, seed_randomness};
use chaski_store::{ShardIndex, ShardStore, Table};
use std::sync::Arc;

/// So often are the engine's threads given a turn before nothing is taken to be under way: a question goes through all of them.
const ROUNDS: usize = 3;

/// So long may the engine rest after a failure before it tries again.
const RESTS_MS: u64 = 12_000;

/// The disk, and the engine on it.
pub(super) struct OnDisk {
    disk: SimulatedDisk,
    clock: Arc<SimulatedClock>,
    /// `None`: between two runs.
    engine: Option<Stepped>,
    /// What the next power cut leaves.
    seed: u64,
}

impl OnDisk {
    pub(super) fn new(seed: u64) -> Self {
        seed_randomness(seed);
        let mut on_disk = Self { disk: SimulatedDisk::default(), clock: Arc::default(), engine: None, seed };
        on_disk.open();
        on_disk
    }

    fn open(&mut self) {
        let data = self.disk.root().join("data");
        self.disk.make_directory(&data).expect("a directory");
        self.disk.sync_directory(&self.disk.root()).expect("a disk that is well");
        let options = Options {
            clock: self.clock.clone(),
            disk: Arc::new(self.disk.clone()),
            preallocate_bytes: 4_096,
            reserve_bytes: 0,
            contacts_reserve_bytes: 0,
            commit_interval_us: 0,
            // A play's clock stands still within a second, and has nothing to do with the engine's.
            apply_linger_ms: 0,
            delete_linger_ms: 0,
            ack_linger_ms: 0,
            expire_after_ms: u64::MAX / 4,
            readers: 1,
            // In every other play everything moves to SQLite as soon as it can.
            mailbox_cache_bytes: if self.seed.is_multiple_of(2) {
                Options::default().mailbox_cache_bytes
            } else {
                1
            },
            ..Options::default()
        };
        self.engine = Some(Stepped::open(&data, options).expect("what a cut leaves can be opened"));
    }

    fn engine(&mut self) -> &mut Stepped {
        self.engine.as_mut().expect("it is open")
    }

    pub(super) fn attach(&mut self, shard: ShardIndex, shards: u16) -> Box<dyn ShardStore> {
        self.engine().attach(shard, shards, Arc::new(|| {}))
    }

    /// Every thread has a turn.
    fn step(&mut self) {
        [Who::Journal, Who::Sqlite, Who::Reader, Who::Reader, Who::Caretaker]
            .into_iter()
            .for_each(|who| self.engine().step(who));
    }

    /// The process has ended, or the power has gone: what the disk holds then. To be called before fronts and engine are dropped.
    pub(super) fn cut(&mut self) -> SimulatedDisk {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.disk.after_cut(&mut Cut::of(self.seed))
    }

    /// The engine opens again on what a cut has left.
    pub(super) fn open_on(&mut self, left: SimulatedDisk) {
        self.engine = None;
        self.disk = left;
        self.open();
    }

    /// Nothing fails any more, and there is room.
    pub(super) fn recover(&self) {
        self.disk.fail_nothing();
        self.disk.set_size(None, false);
    }

    pub(super) fn pass(&self, ms: u64) {
        self.clock.advance_ms(ms);
    }

    pub(super) fn record(&mut self, table: Table, key: &str) -> Option<Vec<u8>> {
        self.engine().record(table, key)
    }

    pub(super) fn metric(&mut self, name: &str) -> i64 {
        self.engine().metric(name)
    }

    pub(super) fn records(&mut self, table: Table) -> Vec<Vec<u8>> {
        self.engine().records(table)
    }
}

impl Stage {
    /// A stage with these limits whose shards keep things on a disk. The seed decides what power cuts leave.
    pub fn on_disk(shards: u16, limits: crate::realm::Limits, seed: u64) -> Self {
        let mut stage = Self::with_limits(shards, limits);
        stage.disk = Some(OnDisk::new(seed));
        stage.start();
        stage
    }

    /// The disk has room for no more than so many bytes beyond what is used; `None`: for as much as there may be.
    pub fn limit_disk(&mut self, bytes: Option<u64>) {
        if let Some(OnDisk { disk, .. }) = &self.disk {
            disk.set_size(bytes.map(|bytes| disk.used() + bytes), false);
        }
    }

    /// A metric of the engine on the disk.
    pub fn disk_metric(&mut self, name: &str) -> i64 {
        self.disk.as_mut().map_or(0, |disk| disk.metric(name))
    }

    /// The disk is well, and the engine has noticed.
    pub fn mend_disk(&mut self) {
        if let Some(disk) = &self.disk {
            disk.recover();
            self.pass(RESTS_MS);
        }
    }

    /// The so-manieth sync from now fails, once.
    pub fn fail_sync(&mut self, syncs: u64) {
        const EIO: i32 = 5;
        if let Some(OnDisk { disk, .. }) = &self.disk {
            disk.fail_sync_in(syncs, EIO);
        }
    }

    /// The engine's threads have their turns, until nothing comes of them any more. Whether anything did.
    pub(super) fn step_disk(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..ROUNDS {
            let Some(disk) = &mut self.disk else { return false };
            disk.step();
            for shard in 0..self.realm.shards() {
                moved |= self.complete(shard);
            }
            if moved {
                break;
            }
        }
        moved
    }
}
