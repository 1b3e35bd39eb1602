//! Whatever happens to connections, sessions, disk, process, clock and accounts, on either side of a message: every promise of
//! docs/promises.md is kept. The stage judges; this play only makes trouble, and behaves as good clients do.
//!
//! `PROPTEST_CASES=5000 cargo test -p chaski-services --lib plays::chaos` runs so many seeds of each of the two tests.

mod actor;

use super::*;
use crate::realm::Limits;
use crate::testing::{Link, Stage};
use crate::wire::Closed;
use actor::Actor;
use proptest::prelude::*;

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A sender says something new.
    Say {
        sender: usize,
    },
    /// A sender says one of the last again, under the same id. `changed`: with other bytes, as one that encrypts anew.
    Repeat {
        sender: usize,
        back: usize,
        changed: bool,
    },
    /// A client acknowledges all but the last so many.
    Acknowledge {
        who: usize,
        but: u32,
    },
    /// A client logs in, with stream management at once or not yet.
    Arrive {
        who: usize,
        managed: bool,
    },
    /// It enables stream management.
    Manage {
        who: usize,
    },
    /// Its TCP confirms what was written.
    Confirm {
        who: usize,
    },
    /// The last so many stanzas written to it have not arrived.
    Lose {
        who: usize,
        clean: bool,
        missing: u32,
    },
    /// It goes on, with the key that it had.
    Resume {
        who: usize,
    },
    Priority {
        device: usize,
        negative: bool,
    },
    HoldStore(bool),
    DelayReads(bool),
    /// How the way is from one shard to the other.
    Link {
        from: u16,
        link: Link,
    },
    Pass {
        seconds: u64,
    },
    Stall {
        device: usize,
        bytes: usize,
    },
    Crash,
    /// The disk has room for so many more bytes, or for any.
    Room(Option<u64>),
    /// A sync of the disk fails, so many from now.
    FailSync(u64),
    /// The wall clock is set.
    Jump {
        days: i64,
    },
    Block {
        sender: usize,
    },
    Unblock {
        sender: usize,
    },
    Remove {
        account: usize,
    },
    /// The account is made, or gets a new key.
    Register {
        account: usize,
    },
}

/// The recipient's two devices, then the senders.
const ACTORS: [(&str, &str); 4] = [(ROMEO, "orchard"), (ROMEO, "street"), (JULIET, "home"), (NURSE, "home")];
const DEVICES: usize = 2;
const ACCOUNTS: [&str; 3] = [ROMEO, JULIET, NURSE];

/// What happens to messages and connections.
fn traffic() -> BoxedStrategy<Event> {
    let sender = 0usize..2;
    let who = 0usize..ACTORS.len();
    prop_oneof![
        10 => sender.clone().prop_map(|sender| Event::Say { sender }),
        2 => (sender, 0usize..4).prop_map(|(sender, back)| Event::Repeat { sender, back, changed: false }),
        7 => (who.clone(), 0u32..4).prop_map(|(who, but)| Event::Acknowledge { who, but }),
        4 => (who.clone(), any::<bool>()).prop_map(|(who, late)| Event::Arrive { who, managed: !late || who >= DEVICES }),
        4 => (0..DEVICES).prop_map(|who| Event::Manage { who }),
        4 => (0..DEVICES).prop_map(|who| Event::Confirm { who }),
        4 => (who.clone(), prop::bool::weighted(0.2), 0u32..5)
            .prop_map(|(who, clean, missing)| Event::Lose { who, clean, missing }),
        5 => who.prop_map(|who| Event::Resume { who }),
        1 => (0..DEVICES, any::<bool>()).prop_map(|(device, negative)| Event::Priority { device, negative }),
        1 => any::<bool>().prop_map(Event::HoldStore),
        1 => any::<bool>().prop_map(Event::DelayReads),
        4 => (0u16..2, prop_oneof![3 => Just(Link::Well), 2 => Just(Link::Slow), 2 => Just(Link::Down), 3 => Just(Link::Flaky)])
            .prop_map(|(from, link)| Event::Link { from, link }),
        1 => prop_oneof![3 => 1u64..5, 1 => 250u64..400].prop_map(|seconds| Event::Pass { seconds }),
        1 => (0..DEVICES, prop_oneof![Just(0usize), Just(300 << 10)])
            .prop_map(|(device, bytes)| Event::Stall { device, bytes }),
        1 => Just(Event::Crash),
    ]
    .boxed()
}

/// And to accounts and the clock.
fn anything() -> BoxedStrategy<Event> {
    let account = 0..ACCOUNTS.len();
    prop_oneof![
        30 => traffic(),
        1 => (-40i64..40).prop_map(|days| Event::Jump { days }),
        2 => (0usize..2).prop_map(|sender| Event::Block { sender }),
        2 => (0usize..2).prop_map(|sender| Event::Unblock { sender }),
        1 => account.clone().prop_map(|account| Event::Remove { account }),
        2 => account.prop_map(|account| Event::Register { account }),
        1 => (0usize..2, 0usize..4).prop_map(|(sender, back)| Event::Repeat { sender, back, changed: true }),
    ]
    .boxed()
}

/// And to the disk.
fn disk() -> BoxedStrategy<Event> {
    prop_oneof![
        40 => anything(),
        2 => Just(Event::Crash),
        2 => prop::option::of(0u64..100_000).prop_map(Event::Room),
        2 => (0u64..6).prop_map(Event::FailSync),
    ]
    .boxed()
}

struct Play {
    stage: Stage,
    actors: [Actor; 4],
    said: u64,
    generations: [u32; 3],
}

impl Play {
    /// `handed_over`: letters are, instead of being written and read on their way.
    fn new(handed_over: bool) -> Self {
        let mut stage = Stage::with_limits(2, limits());
        if handed_over {
            stage.hand_letters_over();
        }
        Self::on(stage)
    }

    /// On the real engine, and a disk of which a seed decides what is left when its power goes.
    fn on_disk(seed: u64) -> Self {
        // Who has no session leaves memory as soon as another comes, so that what waits is counted anew at most logins.
        Self::on(Stage::on_disk(2, Limits { idle_accounts: 0, ..limits() }, seed))
    }

    fn on(mut stage: Stage) -> Self {
        for local in ACCOUNTS {
            stage.set_account(local, 1).unwrap();
        }
        let actors = ACTORS.map(|(local, resource)| Actor::new(local, resource));
        assert_ne!(stage.owner(ROMEO), stage.owner(NURSE), "the play needs people apart");
        let mut play = Self { stage, actors, said: 0, generations: [1; 3] };
        play.senders_arrive();
        play
    }

    fn senders_arrive(&mut self) {
        for sender in DEVICES..ACTORS.len() {
            self.arrive(sender, true);
        }
    }

    fn generation(&self, who: usize) -> u32 {
        let local = ACTORS[who].0;
        ACCOUNTS.iter().position(|known| *known == local).map_or(1, |index| self.generations[index])
    }

    fn arrive(&mut self, who: usize, managed: bool) {
        // A login waits for the store.
        self.stage.hold_store(false);
        let generation = self.generation(who);
        self.actors[who].arrive(&mut self.stage, generation, managed);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Say { sender } => {
                self.said += 1;
                self.actors[DEVICES + sender].say(&mut self.stage, self.said);
            }
            Event::Repeat { sender, back, changed } => {
                self.said += 1;
                let changed = changed.then_some(self.said);
                self.actors[DEVICES + sender].repeat(&mut self.stage, back, changed);
            }
            Event::Acknowledge { who, but } => self.actors[who].acknowledge(&mut self.stage, but),
            Event::Arrive { who, managed } => self.arrive(who, managed),
            Event::Manage { who } => self.actors[who].manage(&mut self.stage),
            Event::Confirm { who } => self.actors[who].confirm(&mut self.stage),
            Event::Lose { who, clean, missing } => {
                let why = if clean { Closed::Clean } else { Closed::Lost };
                self.actors[who].lose(&mut self.stage, why, missing);
            }
            Event::Resume { who } => self.actors[who].resume(&mut self.stage),
            Event::Priority { device, negative } => {
                let priority = if negative { -1 } else { 1 };
                let presence = format!("<presence><priority>{priority}</priority></presence>");
                self.actors[device].send(&mut self.stage, &presence);
            }
            Event::Block { sender } => self.block("block", sender),
            Event::Unblock { sender } => self.block("unblock", sender),
            event => self.befall(event),
        }
        self.listen();
    }

    /// What happens to all.
    fn befall(&mut self, event: Event) {
        match event {
            Event::HoldStore(hold) => self.stage.hold_store(hold),
            Event::Room(bytes) => self.stage.limit_disk(bytes),
            Event::FailSync(syncs) => self.stage.fail_sync(syncs),
            Event::DelayReads(delay) => self.stage.engine.delay_reads(delay),
            Event::Link { from, link } => self.stage.set_link(from, 1 - from, link),
            Event::Pass { seconds } => {
                for _ in 0..seconds {
                    self.stage.pass(1_000);
                    self.listen();
                }
            }
            Event::Stall { device, bytes } => {
                if let Some(client) = self.actors[device].client() {
                    self.stage.set_unsent_bytes(client, bytes);
                }
            }
            Event::Crash => {
                self.listen();
                self.stage.crash();
                self.stage.hold_store(false);
                self.actors.iter_mut().for_each(Actor::crashed);
                self.senders_arrive();
            }
            Event::Jump { days } => self.stage.shown_by_ms = days * 86_400_000,
            Event::Remove { account } => {
                _ = self.stage.begin_remove_account(ACCOUNTS[account]);
            }
            Event::Register { account } => {
                // Its answer is waited for.
                self.stage.hold_store(false);
                self.stage.mend_disk();
                self.stage.mend_links();
                // What was sent to whoever had the number before is told by its time.
                self.stage.pass(2_000);
                self.listen();
                let generation = self.generations[account] + 1;
                if self.stage.set_account(ACCOUNTS[account], generation).is_ok() {
                    self.generations[account] = generation;
                }
            }
            _ => {}
        }
    }

    fn block(&mut self, command: &str, sender: usize) {
        let item = format!("<item jid='{}'/>", jid(ACTORS[DEVICES + sender].0));
        let list = format!("<{command} xmlns='urn:xmpp:blocking'>{item}</{command}>");
        self.said += 1;
        let request = format!("<iq type='set' id='list-{}'>{list}</iq>", self.said);
        self.actors[0].send(&mut self.stage, &request);
    }

    fn listen(&mut self) {
        for actor in &mut self.actors {
            actor.listen(&mut self.stage);
        }
    }

    fn run(mut self, events: Vec<Event>) {
        for event in events {
            self.happen(event);
        }
        // Everybody is well, takes what is left, and is judged.
        self.stage.end();
    }
}

fn limits() -> Limits {
    Limits { window_messages: 4, live_messages: 6, ..Default::default() }
}

fn config() -> ProptestConfig {
    // The environment says how many, if it says anything.
    let cases =
        if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { 150 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A removal is carried out and the answer lost in the crash; whom the account had blocked sends again what was not accepted, and is
/// told what anybody is told of nobody. That was once judged as if it were about the block.
#[test]
fn who_was_blocked_is_told_that_the_account_is_gone() {
    for managed in [false, true] {
        for renewed in [None, Some(0), Some(2)] {
            let mut events = vec![Event::Arrive { who: 0, managed }, Event::Block { sender: 0 }];
            events.extend(renewed.map(|account| Event::Register { account }));
            let to_the_end = [Event::Say { sender: 0 }, Event::Remove { account: 0 }, Event::Crash];
            events.push(Event::HoldStore(true));
            events.extend(to_the_end);
            Play::new(false).run(events);
        }
    }
}

/// Two messages for nobody are refused while their sender is lost, one of them under an id that was said before with other bytes: of
/// that error nobody can tell by the id which it is for. That was once judged as if it had not come.
#[test]
fn what_is_refused_while_its_sender_is_lost_is_told() {
    let (sender, who, missing) = (0, DEVICES, 0);
    let mut events = vec![Event::Say { sender }, Event::Say { sender }, Event::Remove { account: 0 }];
    events.extend([Event::HoldStore(true), Event::Say { sender }]);
    events.push(Event::Repeat { sender, back: 0, changed: true });
    events.push(Event::Lose { who, clean: false, missing });
    events.extend([Event::Arrive { who: 0, managed: true }, Event::Resume { who }]);
    Play::new(false).run(events);
}

/// A message is sent twice, the second copy is under way for long, and its recipient's number begins a new life meanwhile. The copy is
/// refused then, while its sender's next session has sent the message once more, which is accepted: the error is not that one's.
#[test]
fn an_error_is_told_to_the_session_that_sent_the_message_and_to_no_other() {
    let who = DEVICES + 1;
    let link = |link| Event::Link { from: 0, link };
    let mut events = vec![Event::Say { sender: 1 }, link(Link::Slow)];
    events.extend([Event::Repeat { sender: 1, back: 0, changed: false }, link(Link::Down)]);
    events.extend([Event::Pass { seconds: 254 }, Event::Register { account: 0 }]);
    events.extend([Event::Remove { account: 0 }, Event::Register { account: 0 }]);
    events.push(Event::Arrive { who, managed: true });
    Play::new(false).run(events);
}

/// What is said while its sender is blocked is dropped; when it is said again, and that is under way while the block ends, it comes behind
/// what was said before that. It was once judged as if it stood where the first was said.
#[test]
fn what_is_said_again_while_a_block_ends_stands_where_it_was_said_again() {
    let (sender, back, changed) = (1, 0, false);
    let mut events = vec![Event::Arrive { who: 0, managed: true }, Event::Block { sender }];
    events.extend([Event::Say { sender }, Event::Link { from: 0, link: Link::Slow }, Event::Say { sender }]);
    events.extend([Event::Repeat { sender, back, changed }, Event::Unblock { sender }]);
    Play::new(false).run(events);
}

/// Who was blocked is told by an error that an account is gone whose removal was under way when he wrote, also after it was made anew.
#[test]
fn what_was_said_to_an_account_that_is_going_may_be_refused_later() {
    let (who, link) = (DEVICES, |link| Event::Link { from: 1, link });
    let mut events = vec![Event::Arrive { who: 0, managed: true }, link(Link::Slow)];
    events.extend([Event::Block { sender: 0 }, Event::Remove { account: 0 }, Event::Say { sender: 0 }]);
    events.extend([Event::Lose { who, clean: false, missing: 1 }, link(Link::Down)]);
    events.extend([Event::Register { account: 0 }, Event::Resume { who }]);
    Play::new(false).run(events);
}

/// A resumption covers a message, and the error for it comes behind that. Said again, it stands where it is said then: it was once judged as
/// if it had been accepted before what was said meanwhile.
#[test]
fn what_was_refused_behind_a_resumption_and_is_said_again_stands_there() {
    let (sender, who, missing) = (1, DEVICES + 1, 0);
    let mut events = vec![Event::Remove { account: 0 }, Event::Say { sender }];
    events.extend([Event::Lose { who, clean: false, missing }, Event::Register { account: 0 }]);
    events.extend([Event::Resume { who }, Event::Say { sender }, Event::Arrive { who: 0, managed: true }]);
    events.push(Event::Repeat { sender, back: 0, changed: false });
    events.insert(0, Event::Link { from: 0, link: Link::Flaky });
    Play::new(false).run(events);
}

/// What another device has acknowledged meanwhile still waits for a session that was lost before it, and is written again when that
/// session is lost once more. That was once judged as if it came from nowhere.
#[test]
fn what_waits_for_a_lost_session_comes_after_each_of_its_losses() {
    let lose = |missing| Event::Lose { who: 1, clean: false, missing };
    let mut events = vec![Event::Arrive { who: 1, managed: true }, lose(0), Event::Say { sender: 0 }];
    events.extend([Event::Arrive { who: 0, managed: false }, Event::Confirm { who: 0 }]);
    events.extend([Event::Resume { who: 1 }, lose(2), Event::Resume { who: 1 }]);
    Play::new(false).run(events);
}

/// A disk that is full to the last byte takes acknowledgements all the same: what they were for does not come back with a crash, behind what
/// was shown after it.
#[test]
fn what_is_acknowledged_on_a_full_disk_stays_so() {
    let (say, full) = (Event::Say { sender: 0 }, Event::Room(Some(0)));
    let mut events = vec![Event::Crash, say, say, Event::Register { account: 0 }, full];
    events.extend([Event::Repeat { sender: 0, back: 0, changed: false }, Event::Pass { seconds: 1 }]);
    events.extend([Event::Arrive { who: 1, managed: true }, say, Event::Acknowledge { who: 1, but: 2 }]);
    events.extend([Event::Arrive { who: 0, managed: true }, Event::Crash]);
    events.push(Event::Arrive { who: 0, managed: true });
    Play::on_disk(225_379_489_161_815_366).run(events);
}

/// The same where a sync has failed besides, so that the segment at hand is given up.
#[test]
fn what_is_acknowledged_on_a_full_disk_that_fails_stays_so() {
    let mut events = vec![Event::Room(Some(0)), Event::Say { sender: 1 }, Event::Say { sender: 0 }];
    events.extend([Event::FailSync(0), Event::Arrive { who: 1, managed: true }]);
    events.push(Event::Acknowledge { who: 1, but: 0 });
    events.extend([Event::Repeat { sender: 0, back: 0, changed: false }, Event::Crash]);
    Play::on_disk(1_765_905_194_348_503_838).run(events);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_promise_is_kept(handed_over: bool, events in prop::collection::vec(anything(), 1..100)) {
        Play::new(handed_over).run(events);
    }

    #[test]
    fn nothing_is_lost_and_order_is_kept(handed_over: bool, events in prop::collection::vec(traffic(), 1..100)) {
        Play::new(handed_over).run(events);
    }

    /// The same on the real engine: journal, SQLite and readers, each turn of whose threads is taken by hand.
    #[test]
    fn every_promise_is_kept_on_a_disk(seed: u64, events in prop::collection::vec(disk(), 1..60)) {
        Play::on_disk(seed).run(events);
    }
}
