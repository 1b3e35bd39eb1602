//! Who has accounts looked up in the store, and what waits because its asker has many look-ups under way already.
//!
//! The store reads so many accounts a second, whoever asks. So one asker has few look-ups under way at a time, and what it
//! asks beyond that waits in its own line, in order and bounded by bytes; beyond the bound it is refused. All stanzas together
//! leave room for logins, and those who have not proved who they are leave room for those who have. Kept by
//! [`super::Directory`].
//!
//! Nothing here depends on whether an account exists: a look-up that is made only so that a refusal takes as long as for
//! nobody counts like one that loads an account. Work waits rather than being refused, because a bound that is reached after
//! so many look-ups would tell by one error more or less whether a number had needed one.

use super::keyed::Keyed;
use super::{Bounds, Work};
use crate::account::network::{Network, WIDER};
use chaski_store::AccountId;
use std::collections::{HashMap, VecDeque};

/// What a piece of work that waits counts besides its stanza.
const WORK_BYTES: usize = 256;

/// On whose behalf an account is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    /// The account itself: somebody who has proved to be its owner, or an answer to what it has asked.
    Own,
    /// Somebody who comes from elsewhere than a session: HTTP, the operator, a login from nobody knows where.
    Outside,
    /// Somebody in this network who has not logged in.
    Network(Network),
    /// A stanza of this account's sessions, or what a room posts on its behalf.
    Account(AccountId),
    /// The same for last items of nodes, for which nobody waits and whose order does not matter.
    News(AccountId),
}

impl Work {
    /// On whose behalf it is, being work for account `id`.
    pub(crate) fn asker(&self, id: AccountId) -> Asker {
        match self {
            Self::RoutedStanza(routed) if routed.by == id => Asker::Own,
            Self::RoutedStanza(routed) => Asker::Account(routed.by),
            Self::PepNotification(pep_notification) => Asker::News(pep_notification.asker()),
            Self::Login(question) if question.proved.is_some() => Asker::Own,
            Self::Login(question) if !question.network.is_unknown() => Asker::Network(question.network),
            Self::Login(_) | Self::Command(_) => Asker::Outside,
        }
    }

    /// What it counts while it waits.
    pub(super) fn waiting_bytes(&self) -> usize {
        match self {
            Self::RoutedStanza(routed) => WORK_BYTES + routed.stanza.len(),
            _ => WORK_BYTES,
        }
    }
}

/// See the module.
pub(super) struct Askers {
    table: HashMap<Asker, Asking, Keyed>,
    /// Those of whom something waits that may go on as soon as there is room, each once; apart by the room that they have, so that
    /// those who have none left keep no others waiting.
    ready: [VecDeque<Asker>; CLASSES],
    /// Which of them is asked first the next time.
    first: usize,
    under_way: usize,
    waiting: usize,
    waiting_bytes: usize,
}

/// One asker. In the table only while it has a look-up under way or something waits.
#[derive(Default)]
struct Asking {
    under_way: usize,
    waiting: VecDeque<(AccountId, Work)>,
    waiting_bytes: usize,
    is_ready: bool,
}

impl Askers {
    pub(super) fn new(secret: &[u8; 16]) -> Self {
        Self {
            table: HashMap::with_hasher(Keyed::new(secret)),
            ready: Default::default(),
            first: 0,
            under_way: 0,
            waiting: 0,
            waiting_bytes: 0,
        }
    }

    /// Whether a look-up may begin for this asker; it counts until [`Self::ended`].
    pub(super) fn begin(&mut self, asker: Asker, bounds: &Bounds) -> bool {
        if self.under_way >= room(asker, bounds) {
            return false;
        }
        if is_bounded(asker) {
            let asking = self.table.entry(asker).or_default();
            if asking.under_way >= most_of(asker, bounds) {
                return false;
            }
            asking.under_way += 1;
        }
        self.under_way += 1;
        true
    }

    /// One that must not be refused has begun: something is being made or cleared.
    pub(super) fn begun(&mut self) {
        self.under_way += 1;
    }

    /// A look-up for this asker has ended.
    pub(super) fn ended(&mut self, asker: Asker) {
        self.under_way -= 1;
        let Some(asking) = self.table.get_mut(&asker) else { return };
        asking.under_way -= 1;
        if !asking.waiting.is_empty() {
            if !std::mem::replace(&mut asking.is_ready, true) {
                self.ready[class(asker)].push_back(asker);
            }
        } else if asking.under_way == 0 {
            self.table.remove(&asker);
        }
    }

    /// Has work wait until its asker may have one more under way, behind what waits already. The work again: too much waits.
    pub(super) fn wait(
        &mut self,
        asker: Asker,
        (id, work): (AccountId, Work),
        bounds: &Bounds,
    ) -> Option<Work> {
        let bytes = work.waiting_bytes();
        let most = match asker {
            Asker::Account(_) | Asker::Network(_) => bounds.waiting_bytes,
            // Of which stanzas must find some room.
            Asker::News(_) => bounds.waiting_bytes / 2,
            Asker::Own | Asker::Outside => 0,
        };
        if self.waiting_bytes + bytes > most {
            return Some(work);
        }
        let asking = self.table.entry(asker).or_default();
        if asking.waiting_bytes + bytes > bounds.waiting_bytes_per_asker {
            return Some(work);
        }
        asking.waiting.push_back((id, work));
        asking.waiting_bytes += bytes;
        self.waiting += 1;
        self.waiting_bytes += bytes;
        if asking.under_way < most_of(asker, bounds) && !std::mem::replace(&mut asking.is_ready, true) {
            self.ready[class(asker)].push_back(asker);
        }
        None
    }

    /// Whether something of this account waits, so that what it sends next waits, too.
    pub(super) fn has_waiting(&self, account: AccountId) -> bool {
        self.waiting > 0
            && self.table.get(&Asker::Account(account)).is_some_and(|asking| !asking.waiting.is_empty())
    }

    /// What may go on now: one piece of each asker in turn.
    pub(super) fn next(&mut self, bounds: &Bounds) -> Option<(AccountId, Work)> {
        self.first = (self.first + 1) % CLASSES;
        (0..CLASSES).find_map(|class| self.next_of((self.first + class) % CLASSES, bounds))
    }

    fn next_of(&mut self, class: usize, bounds: &Bounds) -> Option<(AccountId, Work)> {
        while let Some(asker) = self.ready[class].pop_front() {
            if self.under_way >= room(asker, bounds) {
                self.ready[class].push_front(asker);
                return None;
            }
            let Some(asking) = self.table.get_mut(&asker) else { continue };
            asking.is_ready = false;
            if asking.under_way >= most_of(asker, bounds) {
                continue;
            }
            let Some((id, work)) = asking.waiting.pop_front() else { continue };
            let bytes = work.waiting_bytes();
            asking.waiting_bytes -= bytes;
            if !asking.waiting.is_empty() {
                asking.is_ready = true;
                self.ready[class].push_back(asker);
            } else if asking.under_way == 0 {
                self.table.remove(&asker);
            }
            self.waiting -= 1;
            self.waiting_bytes -= bytes;
            return Some((id, work));
        }
        None
    }

    /// Work that waits.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

/// Kinds of askers that have a line.
const CLASSES: usize = 3;

/// Which of them it is.
fn class(asker: Asker) -> usize {
    match asker {
        Asker::News(_) => 0,
        Asker::Account(_) => 1,
        Asker::Network(_) | Asker::Own | Asker::Outside => 2,
    }
}

fn is_bounded(asker: Asker) -> bool {
    matches!(asker, Asker::Account(_) | Asker::News(_) | Asker::Network(_))
}

/// How many of its own it may have under way.
fn most_of(asker: Asker, bounds: &Bounds) -> usize {
    match asker {
        // Behind one address there may be many people.
        Asker::Network(_) => bounds.per_asker.saturating_mul(WIDER as usize),
        _ => bounds.per_asker,
    }
}

/// How many look-ups may be under way for this asker to begin one.
fn room(asker: Asker, bounds: &Bounds) -> usize {
    let part = match asker {
        Asker::Own => bounds.loading,
        Asker::Outside | Asker::Network(_) => bounds.loading - bounds.loading / 8,
        Asker::Account(_) => bounds.loading / 2,
        Asker::News(_) => bounds.loading / 8,
    };
    part.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::letter::{Handling, RoutedStanza};
    use chaski_xmpp::Stored;

    const BOUNDS: Bounds = Bounds {
        loading: 16,
        parked: 4,
        parked_bytes: 1_000,
        parked_bytes_shard: 1_000,
        idle: 4,
        per_asker: 3,
        waiting_bytes_per_asker: 4 * (WORK_BYTES + 10),
        waiting_bytes: 6 * (WORK_BYTES + 10),
        looked: 4,
    };

    fn account(number: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + number).expect("a number")
    }

    fn asker(number: u64) -> Asker {
        Asker::Account(account(number))
    }

    fn work(to: u64) -> (AccountId, Work) {
        let stanza = Stored::of("<message/>");
        (account(to), Work::RoutedStanza(RoutedStanza::new(account(to), None, stanza, Handling::Relay)))
    }

    #[test]
    fn one_asker_has_few_under_way_and_all_of_them_leave_room_for_logins() {
        let mut askers = Askers::new(&[7; 16]);
        for number in 1..=3 {
            let begun = (0..4).filter(|_| askers.begin(asker(number), &BOUNDS)).count();
            assert_eq!(begun, if number < 3 { 3 } else { 2 }, "asker {number}");
        }
        assert!(!askers.begin(asker(9), &BOUNDS) && !askers.begin(Asker::News(account(9)), &BOUNDS));
        assert_eq!((0..16).filter(|_| askers.begin(Asker::Outside, &BOUNDS)).count(), 6);
        assert_eq!((0..16).filter(|_| askers.begin(Asker::Own, &BOUNDS)).count(), 2);
    }

    #[test]
    fn what_waits_goes_on_in_order_and_in_turn_and_is_bounded() {
        let mut askers = Askers::new(&[7; 16]);
        for number in [1, 1, 1, 2, 2, 2, 3, 3] {
            assert!(askers.begin(asker(number), &BOUNDS));
        }
        let waited = (0..5).filter(|to| askers.wait(asker(1), work(10 + to), &BOUNDS).is_none()).count();
        assert_eq!(waited, 4, "so much of one");
        let waited = (0..5).filter(|to| askers.wait(asker(2), work(20 + to), &BOUNDS).is_none()).count();
        assert_eq!(waited, 2, "so much of all");
        assert!(askers.has_waiting(account(1)) && !askers.has_waiting(account(3)));
        assert!(askers.next(&BOUNDS).is_none(), "nobody has room");
        for number in [1, 2, 1, 2] {
            askers.ended(asker(number));
        }
        let went: Vec<_> = std::iter::from_fn(|| askers.next(&BOUNDS)).map(|(to, _)| to).collect();
        assert_eq!(
            went,
            [10, 20, 11, 21, 12, 13].map(account),
            "what needs no look-up does not stop the rest"
        );
        assert_eq!((askers.waiting(), askers.waiting_bytes), (0, 0));
        for number in [1, 2, 3, 3] {
            askers.ended(asker(number));
        }
        assert!(askers.table.is_empty() && askers.under_way == 0);
    }

    #[test]
    fn who_waits_for_others_alone_is_let_on_when_they_end() {
        let mut askers = Askers::new(&[7; 16]);
        while askers.begin(Asker::Own, &BOUNDS) {}
        assert!(!askers.begin(asker(1), &BOUNDS));
        assert!(askers.wait(asker(1), work(10), &BOUNDS).is_none());
        (0..8).for_each(|_| askers.ended(Asker::Own));
        assert!(askers.next(&BOUNDS).is_none(), "logins fill more than stanzas may");
        askers.ended(Asker::Own);
        assert!(askers.next(&BOUNDS).is_some());
    }
}
