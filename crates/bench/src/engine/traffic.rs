//! Who writes what to whom, and when: decided by each generator thread for its own sessions.
//!
//! A *share* is what one thread has of the run's sessions; session indexes are of the share, account indexes of the run.

use super::mark::BODY_BYTES_MAX;
use super::pace::Pace;
use super::random::{Random, mix};

/// Contacts of an account, and the favourites among them (the model for mixed load).
const CONTACTS: u32 = 50;
const FAVOURITES: u32 = 5;
/// How many in a hundred messages go to a favourite.
const TO_FAVOURITES_PERCENT: u32 = 80;

/// How long the texts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Fixed(usize),
    /// Log-normal with a median of 30 bytes and a mean of 80.
    Messenger,
}

impl Body {
    pub(crate) fn bytes(self, random: &mut Random) -> usize {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Messenger => {
                // mean = median · exp(σ²/2)
                let sigma = (2.0 * (80.0_f64 / 30.0).ln()).sqrt();
                (30.0 * (sigma * random.normal()).exp()).clamp(1.0, BODY_BYTES_MAX as f64) as usize
            }
        }
    }
}

/// What a thread is told to do.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// Sessions 2n write to 2n+1, with so many messages on the way.
    Closed { pairs: u32, in_flight: u32, body: Body },
    /// Messages at a rate, whatever became of the earlier ones.
    Open { per_s: f64, who: Who, body: Body, typing_per_message: f64 },
    /// Subscriptions at a rate, until all contacts have been asked or told.
    Acquaint(Acquaint, f64),
    /// Status updates at a rate, from random sessions.
    Presence { per_s: f64 },
}

/// Who becomes whose contact: in a ring of all accounts, the nearest on both sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acquaint {
    pub(crate) accounts: u32,
    pub(crate) contacts: u32,
    /// `subscribe` or `subscribed`.
    pub(crate) kind: &'static str,
}

impl Acquaint {
    /// One of an account's contacts.
    pub(crate) fn contact(&self, account: u32, which: u32) -> u32 {
        let distance = which / 2 + 1;
        let on = if which.is_multiple_of(2) { distance } else { self.accounts - distance };
        (account + on) % self.accounts
    }
}

/// Between whom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    /// Sessions 2n write to 2n+1, by turns.
    Pairs { pairs: u32 },
    /// The same, and every other message goes to one of the sessions from `first` to `end`, by turns.
    PairsAndOthers { pairs: u32, first: u32, end: u32 },
    /// Anybody of the share to a contact among all accounts.
    Contacts { accounts: u32 },
}

/// A message to be sent: from which session, to which account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// An open loop under way.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) pace: Pace,
    pub(crate) body: Body,
    typing_per_message: f64,
    typing_owed: f64,
    who: Who,
    turn: u32,
}

impl Open {
    pub(crate) fn new(start_us: u64, per_s: f64, who: Who, body: Body, typing_per_message: f64) -> Self {
        Self { pace: Pace::new(start_us, per_s), body, typing_per_message, typing_owed: 0.0, who, turn: 0 }
    }

    /// The session from which on they are cut now and then; the others stay.
    pub(crate) fn first_cut(&self) -> u32 {
        match self.who {
            Who::PairsAndOthers { first, .. } => first,
            Who::Pairs { .. } | Who::Contacts { .. } => u32::MAX,
        }
    }

    /// Picks sender and recipient in a share that begins with the account `base` and has `count` sessions.
    pub(crate) fn letter(&mut self, base: u32, count: u32, random: &mut Random) -> Letter {
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let pair = |n: u32, pairs: u32| {
            let from = n % pairs.max(1) * 2;
            Letter { from, to: base + from + 1 }
        };
        match self.who {
            Who::Pairs { pairs } => pair(turn, pairs),
            Who::PairsAndOthers { pairs, first, end } if turn % 2 == 1 && first < end => {
                let from = pair(turn / 2, pairs).from;
                Letter { from, to: base + first + turn / 2 % (end - first) }
            }
            Who::PairsAndOthers { pairs, .. } => pair(turn / 2, pairs),
            Who::Contacts { accounts } => {
                let from = random.below(count.max(1));
                Letter { from, to: contact_of(base + from, accounts, random) }
            }
        }
    }

    /// How many typing notifications go with the next message.
    pub(crate) fn typing(&mut self) -> u32 {
        self.typing_owed += self.typing_per_message;
        let whole = self.typing_owed.floor();
        self.typing_owed -= whole;
        whole as u32
    }
}

fn contact_of(account: u32, accounts: u32, random: &mut Random) -> u32 {
    let is_favourite = random.below(100) < TO_FAVOURITES_PERCENT;
    let which = if is_favourite {
        random.below(FAVOURITES)
    } else {
        FAVOURITES + random.below(CONTACTS - FAVOURITES)
    };
    let contact =
        (mix(u64::from(account) * u64::from(CONTACTS) + u64::from(which)) % u64::from(accounts)) as u32;
    if contact == account { (contact + 1) % accounts } else { contact }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn texts_are_as_long_as_in_a_messenger() {
        let mut random = Random::new(3);
        let mut lengths: Vec<usize> = (0..20_000).map(|_| Body::Messenger.bytes(&mut random)).collect();
        lengths.sort_unstable();
        let (median, mean) = (lengths[10_000], lengths.iter().sum::<usize>() / lengths.len());
        assert!((27..=33).contains(&median) && (70..=90).contains(&mean), "{median} {mean}");
    }

    #[test]
    fn most_messages_go_to_few_contacts() {
        let mut open = Open::new(0, 1.0, Who::Contacts { accounts: 1_000 }, Body::Fixed(1), 0.0);
        let mut random = Random::new(1);
        let mut by_pair: HashMap<(u32, u32), u32> = HashMap::new();
        for _ in 0..10_000 {
            let letter = open.letter(500, 2, &mut random);
            assert!(letter.from < 2 && letter.to != 500 + letter.from && letter.to < 1_000);
            *by_pair.entry((letter.from, letter.to)).or_default() += 1;
        }
        let mut counts: Vec<u32> = by_pair.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let most: u32 = counts.iter().take(10).sum();
        assert!((7_800..8_400).contains(&most), "{most}");
    }

    #[test]
    fn contacts_are_mutual_and_as_many_as_said() {
        let plan = Acquaint { accounts: 11, contacts: 10, kind: "subscribe" };
        let of = |account| (0..plan.contacts).map(|which| plan.contact(account, which)).collect::<Vec<_>>();
        for account in 0..plan.accounts {
            let mut contacts = of(account);
            assert!(contacts.iter().all(|contact| of(*contact).contains(&account)));
            contacts.sort_unstable();
            contacts.dedup();
            assert!(contacts.len() == 10 && !contacts.contains(&account));
        }
    }

    #[test]
    fn pairs_and_others_take_turns() {
        let who = Who::PairsAndOthers { pairs: 2, first: 4, end: 6 };
        let mut open = Open::new(0, 1.0, who, Body::Fixed(1), 1.25);
        let mut random = Random::new(1);
        let letters: Vec<(u32, u32)> =
            (0..6).map(|_| open.letter(100, 6, &mut random)).map(|letter| (letter.from, letter.to)).collect();
        assert_eq!(letters, [(0, 101), (0, 104), (2, 103), (2, 105), (0, 101), (0, 104)]);
        let typing: Vec<u32> = (0..4).map(|_| open.typing()).collect();
        assert_eq!(typing.iter().sum::<u32>(), 5);
    }
}
