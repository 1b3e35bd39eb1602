//! Random lives of the engine on a disk whose power is cut, over and over.
//!
//! One seed is one data directory: it is opened, used, cut, opened again (and cut in that, too), used, closed (cut in that,
//! too), some dozens of times. What a caller was told before each cut is held against what is found after it by [`Ledger`];
//! besides, an opening that isn't cut must succeed, service must resume once a full disk has room again, and after a
//! minute without load no byte of a message may be readable in any file, nor a key be left that opens a deleted one.

mod caller;
mod checks;

use super::ledger::{Event, Ledger, Shown};
use super::{Cut, Dice, SimulatedClock, SimulatedDisk, Stepped, Who, seed_randomness};
use crate::Secrets;
use crate::embedded::{Disk, Options, database, schema};
use crate::mailbox::Entry;
use crate::shard_store::Completion;
use crate::{AccountId, Cursors, Reader, Revision, ShardIndex, ShardStore};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// What a campaign has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Power cuts,
    pub cuts: u64,
    /// of these while the directory was being opened,
    pub cuts_in_opening: u64,
    /// while it was being closed,
    pub cuts_in_closing: u64,
    /// while segments that were off the roll waited to be removed,
    pub cuts_in_removal: u64,
    /// and one of them had been cut off in part.
    pub cuts_in_shrinking: u64,
    /// Openings that were looked through.
    pub openings: u64,
    /// Messages committed.
    pub committed: u64,
    /// Messages that came back once after a cut.
    pub returned: u64,
    /// Minutes after which nothing was to be found.
    pub minutes: u64,
    /// Times that the disk was full.
    pub full: u64,
}

impl Tally {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.cuts_in_opening += other.cuts_in_opening;
        self.cuts_in_closing += other.cuts_in_closing;
        self.cuts_in_removal += other.cuts_in_removal;
        self.cuts_in_shrinking += other.cuts_in_shrinking;
        self.openings += other.openings;
        self.committed += other.committed;
        self.returned += other.returned;
        self.minutes += other.minutes;
        self.full += other.full;
    }
}

/// A broken promise.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}, after {} cuts: {what}", tally.cuts)]
pub struct Broken {
    /// The seed that repeats it.
    pub seed: u64,
    /// What is broken.
    pub what: String,
    /// How far it came.
    pub tally: Tally,
    /// What a caller saw before.
    pub events: Vec<Event>,
}

/// Lives one seed's life until its power has been cut `cuts` times.
pub fn run(seed: u64, cuts: u64) -> Result<(Tally, Vec<Event>), Box<Broken>> {
    seed_randomness(seed);
    let mut world = World::new(seed);
    let lived = world.live(cuts);
    world.tally.returned = world.ledger.returned();
    let (tally, events) = (world.tally, world.ledger.events().to_vec());
    match lived {
        Ok(()) => Ok((tally, events)),
        Err(what) => Err(Box::new(Broken { seed, what, tally, events })),
    }
}

/// How every message begins, so that it can be looked for.
/// Two devices of everybody.
const READERS: [Reader; 2] = [Reader(1), Reader(2)];
const MARKER: &[u8] = b"wherefore art thou";
const ACCOUNTS: u64 = 4;
/// Most operations of the caretaker's in the time of a tick; he has time for more.
const CARETAKER_TURNS: usize = 8;

/// What a completion is about.
enum Asked {
    Append { account: AccountId, id: u128, place: u64 },
    Read { account: AccountId, after: u64, since: usize },
    Purge,
    Change,
    Save(AccountId),
}

/// Why a life goes on elsewhere.
enum End {
    Cut,
    Broken(String),
}

impl From<String> for End {
    fn from(what: String) -> Self {
        Self::Broken(what)
    }
}

type Lived<T = ()> = Result<T, End>;

struct World {
    dice: Dice,
    disk: SimulatedDisk,
    clock: Arc<SimulatedClock>,
    options: Options,
    ledger: Ledger,
    tally: Tally,
    engine: Option<Stepped>,
    shards: u16,
    fronts: Vec<Box<dyn ShardStore>>,
    asked: BTreeMap<u128, Asked>,
    /// Completions that something waits for.
    loaded: Vec<Completion>,
    last_ticket: u128,
    last_id: u128,
    revisions: BTreeMap<AccountId, Option<Revision>>,
    secrets: Option<Secrets>,
    /// What accounts' readers have been moved to,
    cursors: HashMap<AccountId, Cursors>,
    /// but of those that were purged in this life, by a purge that a crash may undo.
    purged: HashSet<AccountId>,
    full: bool,
}

fn account(number: u64) -> AccountId {
    AccountId::from_bits(15_550_001 + number)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let clock = Arc::new(SimulatedClock::default());
        let disk = SimulatedDisk::default();
        let options = Options {
            clock: clock.clone(),
            disk: Arc::new(disk.clone()),
            max_messages: 500,
            mailbox_cache_bytes: [600, 3_000, 4 << 20][dice.below(3)],
            cache_bytes: [4_000, 512 << 20][dice.below(2)],
            segment_bytes: [1_500, 4_000, 20_000][dice.below(3)],
            preallocate_bytes: [400, 1_024, 5_000][dice.below(3)],
            reserve_bytes: 0,
            contacts_reserve_bytes: 0,
            commit_interval_us: 0,
            frame_bytes: [700, 4 << 20][dice.below(2)],
            slice_messages: [3, 1_000][dice.below(2)],
            readers: 1,
            ..Options::default()
        };
        Self {
            dice,
            disk,
            clock,
            options,
            ledger: Ledger::default(),
            tally: Tally::default(),
            engine: None,
            shards: 1,
            fronts: Vec::new(),
            asked: BTreeMap::new(),
            loaded: Vec::new(),
            last_ticket: 0,
            last_id: 0,
            revisions: BTreeMap::new(),
            secrets: None,
            cursors: HashMap::new(),
            purged: HashSet::new(),
            full: false,
        }
    }

    fn dir(&self) -> PathBuf {
        self.disk.root().join("data")
    }

    fn live(&mut self, cuts: u64) -> Result<(), String> {
        let mut closed = false;
        if self.dice.chance(20) {
            self.make_older()?;
        }
        while self.tally.cuts < cuts {
            let lived = self.life(closed);
            closed = false;
            match lived {
                Ok(()) => closed = true,
                Err(End::Cut) => self.cut(),
                Err(End::Broken(what)) => return Err(what),
            }
        }
        Ok(())
    }

    /// The power is gone, or goes now. What is left is the next life's disk.
    fn cut(&mut self) {
        self.tally.cuts += 1;
        if let Some(engine) = &self.engine {
            self.tally.cuts_in_removal += u64::from(engine.is_removing());
            self.tally.cuts_in_shrinking += u64::from(engine.is_shrinking());
        }
        self.ledger.cut();
        let mut cut = Cut::of(self.dice.any());
        let left = self.disk.after_cut(&mut cut);
        // Whatever still runs has no power.
        self.disk.cut_in(0);
        self.fronts.clear();
        self.engine = None;
        self.disk = left;
        self.options.disk = Arc::new(self.disk.clone());
        self.asked.clear();
        self.loaded.clear();
        self.full = false;
    }

    /// An empty directory whose database an older program has made.
    fn make_older(&mut self) -> Result<(), String> {
        let migrations = self.dice.below(schema::MIGRATIONS.len() + 1);
        let made = || -> Result<(), Box<dyn std::error::Error>> {
            self.disk.make_directory(&self.dir())?;
            self.disk.sync_directory(&self.disk.root())?;
            let mut connection =
                database::connect(&self.disk, &database::path(&self.dir()), rusqlite::OpenFlags::default())?;
            connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")?;
            schema::migrate_to(&mut connection, migrations).map_err(|error| format!("{error:?}"))?;
            drop(connection);
            self.disk.sync_directory(&self.dir())?;
            Ok(())
        };
        made().map_err(|error| format!("an older database could not be made: {error}"))
    }

    /// From an opening to the end, which is a cut or a closing.
    fn life(&mut self, closed: bool) -> Lived {
        if self.dice.chance(35) {
            let within = [8, 40, 160][self.dice.below(3)];
            self.disk.cut_in(self.dice.below(within) as u64);
        }
        self.open(closed)?;
        if self.dice.chance(75) {
            let within = [10, 60, 300][self.dice.below(3)];
            self.disk.cut_in(self.dice.below(within) as u64);
        }
        let steps = [20, 100, 400][self.dice.below(3)];
        for _ in 0..self.dice.below(steps) {
            self.step()?;
        }
        if self.dice.chance(12) {
            self.settle()?;
        }
        match self.dice.chance(45) {
            true => self.close(),
            false => Err(End::Cut),
        }
    }

    fn open(&mut self, closed: bool) -> Lived {
        let opened = Stepped::open(&self.dir(), self.options.clone());
        if self.disk.is_off() {
            self.tally.cuts_in_opening += 1;
            return Err(End::Cut);
        }
        let engine = opened.map_err(|error| format!("the start is refused: {error}"))?;
        self.tally.openings += 1;
        if *self.secrets.get_or_insert(engine.secrets()) != engine.secrets() {
            return Err(End::Broken("the directory has other secrets".to_owned()));
        }
        self.nothing_is_left_over()?;
        self.shards = 1 + self.dice.below(2) as u16;
        self.ledger.attached(self.shards);
        self.fronts = (0..self.shards)
            .map(|shard| engine.attach(ShardIndex(shard), self.shards, Arc::new(|| ())))
            .collect();
        self.engine = Some(engine);
        for number in 0..ACCOUNTS {
            self.look_through(account(number), closed)?;
        }
        Ok(())
    }

    fn turn(&mut self, who: Who) -> Lived {
        if let Some(engine) = &mut self.engine {
            engine.step(who);
        }
        if self.disk.is_off() { Err(End::Cut) } else { Ok(()) }
    }

    fn step(&mut self) -> Lived {
        match self.dice.below(100) {
            0..22 => self.append(),
            22..24 => self.repeat(),
            24..32 => self.ack(),
            32..36 => self.advance(),
            36..42 => self.read(),
            42..44 => self.purge(),
            44..50 => self.change(),
            50..62 => {
                self.fronts.iter_mut().for_each(|front| front.flush());
                self.poll()
            }
            62..71 => self.turn(Who::Journal),
            71..76 => self.turn(Who::Caretaker),
            76..84 => self.turn(Who::Sqlite),
            84..92 => self.turn(Who::Reader),
            92..96 => {
                let ms = self.dice.below(300) as u64;
                self.pass(ms)
            }
            96..98 => {
                let ms = [1_000, 5_000, 16_000][self.dice.below(3)];
                self.pass(ms)
            }
            98 if self.dice.chance(20) => self.fill(),
            98 if self.dice.chance(50) => self.come_and_go(),
            _ => Ok(()),
        }
    }

    /// Time passes, and every thread gets its turns meanwhile.
    fn pass(&mut self, ms: u64) -> Lived {
        self.ledger.passed(ms);
        let mut left = ms;
        while left > 0 {
            let slice = left.min(self.options.tick_ms);
            self.clock.advance_ms(slice);
            left -= slice;
            if ms >= 1_000 {
                self.everybody()?;
                self.ledger.passed_fairly(slice);
            }
        }
        Ok(())
    }

    fn everybody(&mut self) -> Lived {
        self.fronts.iter_mut().for_each(|front| front.flush());
        for who in [Who::Journal, Who::Sqlite, Who::Reader, Who::Reader] {
            self.turn(who)?;
        }
        if self.engine.as_ref().is_some_and(Stepped::is_removing) && self.dice.chance(4) {
            // Removals are rare, and done with soon: the power goes in some.
            self.disk.cut_in(self.dice.below(12) as u64);
        }
        for _ in 0..1 + self.dice.below(CARETAKER_TURNS) {
            self.turn(Who::Caretaker)?;
        }
        self.poll()
    }

    fn close(&mut self) -> Lived {
        self.everybody()?;
        self.fronts.clear();
        if let Some(engine) = self.engine.take() {
            engine.close();
        }
        self.asked.clear();
        if self.disk.is_off() {
            self.tally.cuts_in_closing += 1;
            return Err(End::Cut);
        }
        self.ledger.closed();
        Ok(())
    }
}

fn record(of: AccountId, part: &str) -> String {
    format!("{}/{part}", of.record_key())
}

fn shown(entry: &Entry) -> Shown {
    Shown { seq: entry.seq.0, id: entry.id.0, text: entry.stanza.pieces().concat() }
}

#[cfg(test)]
mod tests;
