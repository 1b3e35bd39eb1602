//! A lane over ways that lose, delay and double: everything arrives once and in order, and in the end nothing is kept.

use super::*;
use proptest::prelude::*;

/// What may happen to a pair of places, of which one sends numbers to the other.
#[derive(Debug, Clone, Copy)]
enum Event {
    Send,
    /// One letter arrives; what answers it is under way.
    Arrive,
    /// So does one answer.
    Answer,
    /// The way is cut: what was under way is lost.
    Cut,
    CutBack,
    /// The sender has had no word for a while.
    Ask,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        5 => Just(Event::Send),
        5 => Just(Event::Arrive),
        5 => Just(Event::Answer),
        1 => Just(Event::Cut),
        1 => Just(Event::CutBack),
        1 => Just(Event::Ask),
    ];
    prop::collection::vec(event, 0..200)
}

#[derive(Default)]
struct Pair {
    lane: Lane,
    heard: Heard,
    under_way: VecDeque<(u64, Letter)>,
    answers: VecDeque<(u64, bool)>,
    said: u64,
    taken: Vec<u64>,
}

impl Pair {
    fn flush(&mut self) {
        while let Some((number, letter)) = self.lane.next() {
            self.under_way.push_back((number, letter));
            self.lane.went();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Send => {
                self.said += 1;
                let stanza = chaski_xmpp::Stored::of(format!("<message id='{}'/>", self.said));
                let to = chaski_store::AccountId::phone(15_551_230_001).expect("a number");
                let routed = RoutedStanza::new(to, None, stanza, crate::effects::letter::Handling::Quiet);
                self.lane.push(Letter::RoutedStanza(Box::new(routed)));
            }
            Event::Arrive => match self.under_way.pop_front() {
                Some((_, Letter::Tally(sent))) => self.heard.tally(sent[LETTERS]),
                Some((number, letter)) => {
                    let Letter::RoutedStanza(routed) = letter else { panic!("routed alone") };
                    if self.heard.take(number) {
                        let id = routed.stanza.id().expect("it has one");
                        self.taken.push(id.parse().expect("a number"));
                    }
                }
                None => {}
            },
            Event::Answer => {
                if let Some((seen, wants)) = self.answers.pop_front() {
                    self.lane.note_seen(seen);
                    if wants {
                        self.lane.go_back();
                    }
                }
            }
            Event::Cut => self.under_way.clear(),
            Event::CutBack => self.answers.clear(),
            Event::Ask => self.under_way.push_back((0, Letter::Tally([0, self.lane.sent()]))),
        }
        self.flush();
        if self.heard.is_untold() {
            self.answers.push_back((self.heard.last, self.heard.wants));
            self.heard.told();
        }
    }
}

proptest! {
    #[test]
    fn everything_arrives_once_and_in_order(events in events()) {
        let mut pair = Pair::default();
        events.into_iter().for_each(|event| pair.happen(event));
        let asked = [Event::Ask, Event::Arrive, Event::Answer];
        for event in asked.into_iter().cycle().take(3_000) {
            pair.happen(event);
        }
        prop_assert_eq!(&pair.taken, &(1..=pair.said).collect::<Vec<_>>());
        prop_assert_eq!(pair.lane.kept(), (0, 0));
    }
}

#[test]
fn acceptances_that_wait_become_one_letter_and_those_under_way_do_not() {
    let mut lane = Lane::default();
    let settled = || Letter::Settled(Vec::new());
    lane.push(settled());
    lane.push(settled());
    assert_eq!(lane.kept().0, 1);
    assert!(matches!(lane.next(), Some((1, Letter::Settled(_)))));
    lane.went();
    lane.push(settled());
    assert_eq!((lane.kept().0, lane.waiting()), (2, 1));
    // The same when both are to be sent again: their numbers are given.
    lane.next();
    lane.went();
    lane.go_back();
    lane.push(settled());
    assert_eq!((lane.kept().0, lane.waiting()), (3, 3));
}

#[test]
fn what_is_not_sent_again_leaves_its_number() {
    let mut lane = Lane::default();
    lane.push(Letter::LookAtAll);
    let Some((1, letter @ Letter::LookAtAll)) = lane.next() else { panic!("it is there") };
    lane.put_back(letter);
    assert!(matches!(lane.next(), Some((1, Letter::LookAtAll))), "the link had not taken it");
    lane.went();
    lane.go_back();
    assert!(matches!(lane.next(), Some((1, Letter::Gone))));
}
