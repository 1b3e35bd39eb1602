//! Random operations against a model of a list per account, with restarts and crashes in between.

use crate::support::{copy_as_crashed, hasty, lazy};
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, EmbeddedEngine, Options};
use chaski_store::{AccountId, Appended, Engine, Entry, ReadLimit, Seq};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        account: usize,
        count: u8,
    },
    /// The same identity as one that waits.
    Repeat {
        account: usize,
        which: prop::sample::Index,
    },
    Ack {
        account: usize,
        which: Vec<prop::sample::Index>,
    },
    Read {
        account: usize,
        after: prop::sample::Index,
        messages: usize,
    },
    Purge {
        account: usize,
    },
    /// The account leaves and is loaded again.
    ComeAndGo {
        account: usize,
    },
    Turn,
    Settle,
    Restart,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let account = 0usize..3;
    prop_oneof![
        6 => (account.clone(), 1u8..8).prop_map(|(account, count)| Step::Append { account, count }),
        1 => (account.clone(), any::<prop::sample::Index>())
            .prop_map(|(account, which)| Step::Repeat { account, which }),
        4 => (account.clone(), prop::collection::vec(any::<prop::sample::Index>(), 1..5))
            .prop_map(|(account, which)| Step::Ack { account, which }),
        4 => (account.clone(), any::<prop::sample::Index>(), 1usize..9)
            .prop_map(|(account, after, messages)| Step::Read { account, after, messages }),
        1 => account.clone().prop_map(|account| Step::Purge { account }),
        3 => account.prop_map(|account| Step::ComeAndGo { account }),
        3 => Just(Step::Turn),
        2 => Just(Step::Settle),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

#[derive(Debug, Clone)]
struct Waiting {
    seq: Seq,
    id: u128,
}

struct World {
    dir: tempfile::TempDir,
    options: Options,
    open: Option<(EmbeddedEngine, Rig)>,
    model: [Vec<Waiting>; 3],
    next_id: u128,
}

fn account(index: usize) -> AccountId {
    AccountId::phone(15_550_001 + index as u64).unwrap()
}

impl World {
    fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world = Self { dir, options, open: None, model: Default::default(), next_id: 0 };
        world.open();
        world
    }

    fn open(&mut self) {
        let engine = embedded::open(self.dir.path(), self.options.clone()).unwrap();
        let mut rig = Rig::new(&engine);
        (0..3).for_each(|index| rig.load(account(index)));
        self.open = Some((engine, rig));
    }

    fn rig(&mut self) -> &mut Rig {
        &mut self.open.as_mut().unwrap().1
    }

    fn append(&mut self, to: usize, id: u128) {
        let (appended, _) = self.rig().append(account(to), id).unwrap();
        match appended {
            Appended::Queued(seq) => {
                assert!(self.model[to].last().is_none_or(|last| last.seq < seq), "numbers grow");
                assert!(self.model[to].iter().all(|waiting| waiting.id != id), "{id} waits already");
                self.model[to].push(Waiting { seq, id });
            }
            Appended::Duplicate => {
                assert!(self.model[to].iter().any(|waiting| waiting.id == id), "{id} is new");
            }
        }
    }

    fn check_usage(&mut self, of: usize) {
        let usage = self.rig().usage(account(of)).messages;
        assert_eq!(usage, self.model[of].len() as u64);
    }

    /// Waits until everything submitted is durable.
    fn settle(&mut self) {
        let id = self.next_id;
        self.next_id += 1;
        let (_, ticket) = self.rig().append(AccountId::phone(19_999_999).unwrap(), id).unwrap();
        self.rig().committed(ticket);
    }

    fn check_read(&self, of: usize, after: Seq, messages: usize, entries: &[Entry], more: bool) {
        assert!(entries.len() <= messages);
        assert!(entries.is_sorted_by(|a, b| a.seq < b.seq) && entries.iter().all(|entry| entry.seq > after));
        let waiting = self.model[of].iter().filter(|waiting| waiting.seq > after);
        // Everything up to the last one returned, or everything there is.
        let end = if more { entries.last().expect("something before more").seq } else { Seq(u64::MAX) };
        let expected: Vec<&Waiting> = waiting.filter(|waiting| waiting.seq <= end).collect();
        let mut found = entries.iter().map(|entry| (entry.seq, entry.id.0)).peekable();
        for waiting in expected {
            assert!(
                found.next_if_eq(&(waiting.seq, waiting.id)).is_some(),
                "missing {waiting:?} in {entries:?}"
            );
        }
        assert_eq!(found.next(), None, "something that should not be there");
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append { account, count } => {
                for _ in 0..*count {
                    self.next_id += 1;
                    self.append(*account, self.next_id);
                }
            }
            Step::Repeat { account, which } => {
                if let Some(waiting) = pick(&self.model[*account], which) {
                    self.append(*account, waiting.id);
                }
            }
            Step::Ack { account: of, which } => {
                let ids: Vec<u128> = which
                    .iter()
                    .filter_map(|which| pick(&self.model[*of], which))
                    .map(|waiting| waiting.id)
                    .collect();
                let (gone, left) = self.model[*of].drain(..).partition(|waiting| ids.contains(&waiting.id));
                self.model[*of] = left;
                let gone: Vec<Waiting> = gone;
                let seqs: Vec<Seq> = gone.iter().map(|waiting| waiting.seq).collect();
                self.rig().store.ack(account(*of), &seqs);
            }
            Step::Read { account: of, after, messages } => {
                let after = pick(&self.model[*of], after).map_or(Seq(0), |waiting| waiting.seq);
                let limit = ReadLimit { messages: *messages, bytes: usize::MAX };
                let (entries, more) = self.rig().read(account(*of), after, limit);
                self.check_read(*of, after, *messages, &entries, more);
            }
            Step::Purge { account: of } => {
                self.model[*of].clear();
                let ticket = self.rig().ticket();
                self.rig().store.purge(account(*of), ticket);
            }
            Step::ComeAndGo { account: of } => {
                self.rig().leave(account(*of));
                self.rig().load(account(*of));
                self.check_usage(*of);
            }
            Step::Turn => self.rig().turn(),
            Step::Settle => self.settle(),
            Step::Restart => {
                self.settle();
                let (engine, rig) = self.open.take().unwrap();
                drop(rig);
                engine.close();
                drop(engine);
                self.open();
            }
            Step::Crash => self.crash(),
        }
    }

    /// Goes on with a copy of the directory, taken while the engine runs. Only where nothing moves by itself.
    fn crash(&mut self) {
        if self.options.spill_after_ms < 1000 {
            return;
        }
        self.settle();
        let copy = tempfile::tempdir().unwrap();
        copy_as_crashed(self.dir.path(), copy.path());
        self.open = None;
        self.dir = copy;
        self.open();
    }

    fn check_all(&mut self) {
        for of in 0..3 {
            let entries = self.rig().read_all(account(of), 5);
            self.check_read(of, Seq(0), usize::MAX, &entries, false);
        }
    }
}

fn pick<'a>(waiting: &'a [Waiting], which: &prop::sample::Index) -> Option<&'a Waiting> {
    (!waiting.is_empty()).then(|| which.get(waiting))
}

fn play(options: Options, steps: &[Step]) {
    let mut world = World::new(options);
    steps.iter().for_each(|step| world.run(step));
    world.check_all();
    world.run(&Step::Restart);
    world.check_all();
    (0..3).for_each(|of| world.check_usage(of));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn in_the_journal(steps in prop::collection::vec(step(), 1..60)) {
        play(lazy(), &steps);
    }

    #[test]
    fn between_journal_and_sqlite(steps in prop::collection::vec(step(), 1..60)) {
        play(Options { mailbox_cache_bytes: 300, slice_messages: 4, segment_bytes: 2000, ..hasty() }, &steps);
    }
}
