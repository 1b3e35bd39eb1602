//! Drives the model at random: one seed, one valid history.

use super::Model;
use crate::event::{Account, Content, Session, Timed};
use crate::mix;

/// Numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts there.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len() as u64) as usize).copied()
    }
}

/// Numbers; the last two are nobody's at first.
const PEOPLE: u64 = 6;
const REGISTERED: u64 = 4;
const DEVICES: u64 = 2;

struct Driver {
    model: Model,
    random: Random,
    said: u64,
    /// What was sent lately, to be sent again.
    lately: Vec<(Session, Account, Content)>,
}

/// A valid history of about so many steps, in the end of which everything was drained.
pub fn history(seed: u64, steps: usize) -> Vec<Timed> {
    let mut driver = Driver { model: Model::new(), random: Random::new(seed), said: 0, lately: Vec::new() };
    for number in 0..REGISTERED {
        driver.model.register(Account(number), false);
        driver.model.begin(Account(number), 0);
    }
    for _ in 0..steps {
        driver.step();
    }
    driver.model.drain();
    driver.model.into_history()
}

impl Driver {
    fn account(&mut self) -> Account {
        Account(self.random.below(PEOPLE))
    }

    fn step(&mut self) {
        let (connected, lost) = (self.model.connected(), self.model.lost());
        let session = self.random.pick(&connected);
        match self.random.below(100) {
            0..40 => self.say(session),
            40..48 => self.say_again(session),
            48..56 => self.model.sync(),
            56..62 => session.into_iter().for_each(|session| self.model.ask(session)),
            62..72 => {
                let but = self.random.below(3) as usize;
                session.into_iter().for_each(|session| self.model.acknowledge(session, but));
            }
            72..78 => {
                let missing = self.random.below(4) as usize;
                session.into_iter().for_each(|session| self.model.lose(session, missing));
            }
            78..84 => self.random.pick(&lost).into_iter().for_each(|session| self.model.resume(session)),
            84..90 => {
                let (account, device) = (self.account(), self.random.below(DEVICES) as u32);
                self.model.begin(account, device);
            }
            90..92 => self.model.pass(1_000 + self.random.below(400_000)),
            _ => self.rare(session),
        }
        self.model.pass(10);
    }

    fn rare(&mut self, session: Option<Session>) {
        let (one, other) = (self.account(), self.account());
        match self.random.below(12) {
            0 | 1 => self.model.crash(self.random.below(2) == 0),
            2 => session.into_iter().for_each(|session| self.model.end(session)),
            3 if one != other => self.model.block(one, other),
            4 | 5 => self.model.unblock(one, other),
            6 => self.model.remove(one),
            7 | 8 if !self.model.has(one) => self.model.register(one, false),
            7 => self.model.register(one, true),
            8 => {
                self.model.pass(self.random.below(80) * 86_400_000);
                self.model.register(one, false);
            }
            9 => self.model.change_key(one),
            10 if !self.model.has(other) => self.model.change_number(one, other),
            _ => {
                self.model.begin(one, 0);
            }
        }
    }

    fn say(&mut self, session: Option<Session>) {
        let (Some(session), to) = (session, self.account()) else { return };
        self.said += 1;
        let identity = (self.random.below(4) != 0).then_some(self.said);
        let content = Content { identity, bytes: mix(self.said) };
        self.model.send(session, to, content);
        self.lately.push((session, to, content));
        if self.lately.len() > 8 {
            self.lately.remove(0);
        }
    }

    /// The same again, or under the same identity with other bytes.
    fn say_again(&mut self, session: Option<Session>) {
        let Some((first, to, content)) = self.random.pick(&self.lately) else { return };
        let Some(session) = session.filter(|session| self.model.is_same_sender(*session, first)) else {
            return;
        };
        self.said += 1;
        let bytes = if self.random.below(3) == 0 { mix(self.said) } else { content.bytes };
        self.model.send(session, to, Content { bytes, ..content });
    }
}

impl Model {
    fn is_same_sender(&self, one: Session, other: Session) -> bool {
        let account = |session| self.streams.get(&session).map(|stream| stream.account);
        account(one).is_some() && account(one) == account(other)
    }
}
