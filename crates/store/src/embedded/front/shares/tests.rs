//! What is counted of a sender beside what is true, whatever happens to the messages.

use super::*;
use crate::shares::{Bounds, Shares};
use proptest::prelude::*;

const SENDERS: u64 = 200;

#[derive(Debug, Clone)]
enum Step {
    /// So many of one sender come.
    Come { sender: u64, count: usize, size: usize },
    /// Some go.
    Go { from: prop::sample::Index, count: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..SENDERS, 1usize..40, 1usize..3_000).prop_map(|(sender, count, size)| Step::Come { sender, count, size }),
        3 => (any::<prop::sample::Index>(), 1usize..120).prop_map(|(from, count)| Step::Go { from, count }),
    ]
}

/// A mailbox as the front keeps it, and the truth.
struct World {
    bounds: Bounds,
    senders: Senders,
    /// Who has sent each message, as far as the front knows, and its size.
    waiting: Vec<(Sender, bool, usize)>,
}

fn sender(number: u64) -> Sender {
    let account = AccountId::from_bits(15_551_230_000 + number);
    if number.is_multiple_of(3) { Sender::contact(account) } else { Sender::stranger(account) }
}

fn mark(sender: Sender) -> Mark {
    Mark::of(7, AccountId::from_bits(5), sender)
}

fn mark_of((sender, is_known, size): &(Sender, bool, usize)) -> (Option<Mark>, usize) {
    (is_known.then(|| mark(*sender)), *size)
}

impl World {
    /// A mailbox in which messages wait of which nobody knows any more who has sent them.
    fn new(unknown: usize) -> Self {
        let bounds = Bounds::new(1_000, 1 << 20, Shares::default());
        let mut world = Self { bounds, senders: Senders::default(), waiting: Vec::new() };
        for number in 0..unknown as u64 {
            world.waiting.push((sender(number % SENDERS), false, 100));
            world.senders.add(None, 100);
        }
        world
    }

    fn of(&self, picks: impl Fn(&Sender) -> bool) -> Count {
        let mut count = Count::default();
        self.waiting.iter().filter(|(of, ..)| picks(of)).for_each(|(.., size)| count.add(*size));
        count
    }

    fn all(&self) -> Count {
        self.of(|_| true)
    }

    fn own(&self, sender: Sender) -> Count {
        self.senders.own(mark(sender), self.all(), self.bounds.unshared)
    }

    /// As the front admits, without refusing.
    fn come(&mut self, sender: Sender, size: usize) {
        if self.bounds.is_shared(self.all(), size) && !self.senders.has_table() {
            self.senders.begin(self.waiting.iter().map(mark_of));
        }
        self.senders.add(Some(mark(sender)), size);
        self.waiting.push((sender, true, size));
    }

    fn go(&mut self, which: std::ops::Range<usize>) {
        for gone in self.waiting.drain(which) {
            let (mark, size) = mark_of(&gone);
            self.senders.sub(mark, size);
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Come { sender: number, count, size } => {
                (0..count).for_each(|_| self.come(sender(number), size));
            }
            Step::Go { from, count } => {
                let at = from.index(self.waiting.len().max(1)).min(self.waiting.len());
                self.go(at..(at + count).min(self.waiting.len()));
            }
        }
        if self.senders.has_table() && self.all().is_within(self.bounds.unshared.half()) {
            self.senders.end();
        }
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
                let (own, truth) = (world.own(sender), world.of(|of| of.account == sender.account));
                prop_assert!(truth.is_within(own), "{sender:?}: {truth:?} counted as {own:?}");
                prop_assert!(own.is_within(world.all()));
            }
        }
    }

    #[test]
    fn strangers_together_are_not_held_to_have_less_even_after_a_crash(
        unknown in 0usize..400,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(unknown);
        for step in steps {
            world.run(step);
            let truth = world.of(|of| of.standing == Standing::Stranger);
            let counted = world.senders.strangers();
            prop_assert!(truth.is_within(counted), "{truth:?} counted as {counted:?}");
        }
    }
}

/// What has been acknowledged is nobody's, and with all of it known nobody is held to have more than the truth and what shares a place.
#[test]
fn what_is_counted_goes_with_the_message() {
    let mut world = World::new(0);
    (0..300).for_each(|_| world.come(sender(1), 100));
    assert_eq!(world.own(sender(1)).messages, 300);
    world.go(50..250);
    assert_eq!((world.own(sender(1)).messages, world.senders.strangers().messages), (100, 100));
}

/// After a crash nobody is refused for what others may have sent, but for a little.
#[test]
fn what_nobody_is_known_to_have_sent_counts_little_against_a_contact() {
    let mut world = World::new(400);
    (0..10).for_each(|_| world.come(sender(3), 100));
    assert_eq!(world.own(sender(3)).messages, world.bounds.unshared.messages + 10);
    assert_eq!(world.senders.strangers().messages, 400);
}
