//! What is counted of a sender beside what is true, whatever happens to the messages.

use super::*;
use crate::shares::Shares;
use proptest::prelude::*;

const SENDERS: u64 = 200;

#[derive(Debug, Clone)]
enum Step {
    /// So many of one sender come.
    Come { sender: u64, count: usize, size: usize },
    /// One that is in memory leaves it, for good or for SQLite.
    Leave { which: prop::sample::Index, to_sqlite: bool },
    /// The oldest move to SQLite.
    Spill { count: usize },
    /// Some leave SQLite.
    Read { from: prop::sample::Index, count: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..SENDERS, 1usize..40, 1usize..3_000).prop_map(|(sender, count, size)| Step::Come { sender, count, size }),
        3 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, to_sqlite)| Step::Leave { which, to_sqlite }),
        2 => (1usize..120).prop_map(|count| Step::Spill { count }),
        2 => (any::<prop::sample::Index>(), 1usize..120).prop_map(|(from, count)| Step::Read { from, count }),
    ]
}

/// A mailbox as the front keeps it, and the truth.
struct World {
    bounds: Bounds,
    senders: Senders,
    in_memory: Vec<(Sender, usize)>,
    in_sqlite: Vec<(Sender, usize)>,
    /// Of those, what the last opening has left.
    inherited: Count,
}

fn count<'a>(messages: impl IntoIterator<Item = &'a (Sender, usize)>) -> Count {
    messages.into_iter().fold(Count::default(), |mut count, (_, size)| {
        count.add(*size);
        count
    })
}

fn sender(number: u64) -> Sender {
    let account = AccountId::from_bits(15_551_230_000 + number);
    if number.is_multiple_of(3) { Sender::contact(account) } else { Sender::stranger(account) }
}

impl World {
    fn new(inherited: usize) -> Self {
        let in_sqlite: Vec<_> = (0..inherited).map(|n| (sender(n as u64 % SENDERS), 100)).collect();
        let inherited = count(&in_sqlite);
        Self {
            bounds: Bounds::new(1_000, 1 << 20, Shares::default()),
            senders: Senders::inherited(inherited),
            in_memory: Vec::new(),
            in_sqlite,
            inherited,
        }
    }

    fn all(&self) -> Count {
        count(self.in_memory.iter().chain(&self.in_sqlite))
    }

    fn mark(sender: Sender) -> Mark {
        Mark::of(7, AccountId::from_bits(5), sender)
    }

    /// As the front admits, without refusing.
    fn come(&mut self, sender: Sender, size: usize) {
        if self.bounds.is_shared(self.all(), size) && !self.senders.has_table() {
            let spilled = count(&self.in_sqlite);
            if self.senders.can_begin(spilled, &self.bounds) {
                let marks = self.in_memory.iter().map(|(of, size)| (Self::mark(*of), *size));
                self.senders.begin(marks, spilled, &self.bounds);
            }
        }
        self.senders.add(Self::mark(sender), size);
        self.in_memory.push((sender, size));
    }

    fn leave(&mut self, at: usize, to_sqlite: bool) {
        let (sender, size) = self.in_memory.remove(at);
        self.senders.sub(Self::mark(sender), size);
        if to_sqlite {
            self.senders.spill(Self::mark(sender), size);
            self.in_sqlite.push((sender, size));
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Come { sender: number, count, size } => {
                (0..count).for_each(|_| self.come(sender(number), size));
            }
            Step::Leave { which, to_sqlite } if !self.in_memory.is_empty() => {
                self.leave(which.index(self.in_memory.len()), to_sqlite);
            }
            Step::Leave { .. } => {}
            Step::Spill { count } => {
                (0..count.min(self.in_memory.len())).for_each(|_| self.leave(0, true));
            }
            Step::Read { from, count: most } => {
                let at = from.index(self.in_sqlite.len().max(1)).min(self.in_sqlite.len());
                let end = (at + most).min(self.in_sqlite.len());
                self.in_sqlite.drain(at..end);
                self.senders.spilled_is(count(&self.in_sqlite));
                self.inherited = self.inherited.at_most(count(&self.in_sqlite));
            }
        }
        if self.senders.has_table() && self.all().is_within(self.bounds.unshared.half()) {
            self.senders.end();
        }
    }

    fn of(&self, picks: impl Fn(&Sender) -> bool) -> Count {
        count(self.in_memory.iter().chain(&self.in_sqlite).filter(|(sender, _)| picks(sender)))
    }
}

proptest! {
    #[test]
    fn no_sender_is_held_to_have_less_than_the_truth(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(0);
        for step in steps {
            world.run(step);
            for number in 0..SENDERS {
                let sender = sender(number);
                let own = world.senders.own(World::mark(sender), world.all());
                let truth = world.of(|of| of.account == sender.account);
                prop_assert!(truth.is_within(own), "{sender:?}: {truth:?} counted as {own:?}");
                prop_assert!(own.is_within(world.all()));
            }
        }
    }

    #[test]
    fn strangers_together_are_not_held_to_have_less_even_after_a_restart(
        inherited in 0usize..400,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(inherited);
        for step in steps {
            world.run(step);
            let truth = world.of(|of| of.standing == Standing::Stranger);
            let counted = world.senders.strangers();
            prop_assert!(truth.is_within(counted), "{truth:?} counted as {counted:?}");
        }
    }
}

/// What everybody has acknowledged is nobody's, whatever was counted too much before.
#[test]
fn a_mailbox_read_to_its_end_is_free_again() {
    let mut world = World::new(0);
    (0..300).for_each(|_| world.come(sender(1), 100));
    world.run(Step::Spill { count: 200 });
    assert_eq!(world.senders.own(World::mark(sender(1)), world.all()).messages, 300);
    world.in_sqlite.clear();
    world.senders.spilled_is(Count::default());
    assert_eq!(world.senders.own(World::mark(sender(1)), world.all()).messages, 100);
    assert_eq!(world.senders.strangers().messages, 100);
}
