//! How many look-ups in the store each asker may have under way, and the work that waits because its asker has too many.
//!
//! The store reads a limited number of accounts a second, whoever asks. So each asker has few look-ups under way at a time.
//! Further work waits in the asker's own line, in order and bounded by bytes; beyond that bound it is refused. Look-ups for
//! stanzas leave some of the total for logins, and look-ups for clients that have not authenticated leave some for those that
//! have. Kept by [`super::Directory`].
//!
//! Nothing here depends on whether an account exists: a look-up that is made only so that a refusal takes as long as for a number
//! without an account counts like one that loads an account. Work waits instead of being refused at once, because a bound reached
//! after a known number of look-ups would tell, by one error more or less, whether a number had needed a look-up.

use super::keyed::Keyed;
use super::{Bounds, Work};
use crate::account::network::{Network, WIDER};
use chaski_store::AccountId;
use std::collections::{HashMap, VecDeque};

/// What each piece of waiting work counts against the bound in bytes, in addition to its stanza.
const WORK_BYTES: usize = 256;

/// On whose behalf an account is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    /// The account itself: a login that has proved to be its owner's, or the answer to a request of the account.
    Own,
    /// HTTP, the operator, or a login whose network address is not known.
    Outside,
    /// Clients in this network that have not authenticated.
    Network(Network),
    /// This account: a stanza of its sessions, or what a room posts on its behalf.
    Account(AccountId),
    /// This account, for the last items of PEP nodes: nobody waits for them, and their order does not matter.
    News(AccountId),
}

impl Work {
    /// On whose behalf this work for account `id` is done.
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

    /// What this work counts against the bound in bytes while it waits.
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
    /// Askers with waiting work that may go on as soon as the total allows it, each once. There is one list for each class of
    /// askers, so that askers of a class whose part of the total is used up do not keep the others waiting.
    ready: [VecDeque<Asker>; CLASSES],
    /// The class of askers that comes first the next time.
    first: usize,
    under_way: usize,
    waiting: usize,
    waiting_bytes: usize,
}

/// The state of one asker. In the table only while a look-up of it is under way or work of it waits.
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

    /// Counts a look-up that must not be refused: an account is being made or cleared.
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

    /// Has work wait in its asker's line until the asker may have one more look-up under way. Returns the work if too much waits.
    pub(super) fn wait(
        &mut self,
        asker: Asker,
        (id, work): (AccountId, Work),
        bounds: &Bounds,
    ) -> Option<Work> {
        let bytes = work.waiting_bytes();
        let most = match asker {
            Asker::Account(_) | Asker::Network(_) => bounds.waiting_bytes,
            // Half of the bound, so that stanzas find room.
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

    /// Whether a stanza of this account waits, so that its next one has to wait, too.
    pub(super) fn has_waiting(&self, account: AccountId) -> bool {
        self.waiting > 0
            && self.table.get(&Asker::Account(account)).is_some_and(|asking| !asking.waiting.is_empty())
    }

    /// The next work that may go on: one piece of each asker in turn.
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

/// How many classes of askers there are, by their part of the total.
const CLASSES: usize = 3;

/// The class of an asker.
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

/// How many look-ups one asker may have under way.
fn most_of(asker: Asker, bounds: &Bounds) -> usize {
    match asker {
        // Many people may share one network address.
        Asker::Network(_) => bounds.per_asker.saturating_mul(WIDER as usize),
        _ => bounds.per_asker,
    }
}

/// The total of look-ups under way up to which this asker may begin one more.
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
