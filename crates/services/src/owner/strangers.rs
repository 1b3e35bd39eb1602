//! Stanzas for strangers that wait for their shard's next tick: the queues, one for each sender. They are handled in
//! `owner/router/strangers`.

use crate::effects::letter::RoutedStanza;
use crate::realm::Limits;
use chaski_store::AccountId;
use std::collections::{HashMap, VecDeque};

/// What a waiting stanza counts in bytes, in addition to its own.
const ROUTED_BYTES: usize = 256;
/// Stanzas that must not be lost have so many times the room.
const HARD: usize = 4;
/// The bound for all senders together is that of so many full queues.
const FULL_SENDERS: usize = 64;
/// Bytes of room for each stanza that may wait: most are small.
const BYTES_EACH: usize = 1_024;

/// See the module.
#[derive(Default)]
pub(crate) struct Strangers {
    /// The queues by sender. None is empty.
    pub(crate) queues: HashMap<AccountId, Queue>,
    /// Senders whose stanzas wait, each once, in the order of their turns.
    pub(crate) turns: VecDeque<AccountId>,
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) waiting: VecDeque<RoutedStanza>,
    pub(crate) bytes: usize,
}

fn size(routed: &RoutedStanza) -> usize {
    ROUTED_BYTES + routed.stanza.len()
}

impl Strangers {
    /// Queues a stanza. An error: there is no room for it.
    pub(crate) fn push(&mut self, routed: RoutedStanza, limits: &Limits) -> Result<(), Box<RoutedStanza>> {
        let most = limits.strangers_waiting * if routed.must_arrive() { HARD } else { 1 };
        let bytes = size(&routed);
        let (count, taken) =
            self.queues.get(&routed.by).map_or((0, 0), |queue| (queue.waiting.len(), queue.bytes));
        let is_full = |count: usize, bytes: usize, of: usize| {
            count >= most * of || (count > 0 && bytes > most * of * BYTES_EACH)
        };
        if is_full(count, taken + bytes, 1) || is_full(self.count, self.bytes + bytes, FULL_SENDERS) {
            return Err(Box::new(routed));
        }
        let turns = &mut self.turns;
        let queue = self.queues.entry(routed.by).or_insert_with(|| {
            turns.push_back(routed.by);
            Queue::default()
        });
        queue.bytes += bytes;
        queue.waiting.push_back(routed);
        self.bytes += bytes;
        self.count += 1;
        Ok(())
    }

    /// Whether a stanza of this sender waits for this recipient.
    pub(crate) fn has(&self, by: AccountId, to: AccountId) -> bool {
        !self.queues.is_empty()
            && self.queues.get(&by).is_some_and(|queue| queue.waiting.iter().any(|routed| routed.to == to))
    }

    /// Takes out this sender's stanzas for these recipients, in order.
    pub(crate) fn take(&mut self, by: AccountId, is_for: impl Fn(AccountId) -> bool) -> Vec<RoutedStanza> {
        let Some(queue) = self.queues.get_mut(&by) else { return Vec::new() };
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut queue.waiting).into_iter().partition(|routed| is_for(routed.to));
        queue.waiting = left.into();
        let bytes: usize = taken.iter().map(size).sum();
        queue.bytes -= bytes;
        self.bytes -= bytes;
        self.count -= taken.len();
        if queue.waiting.is_empty() {
            self.queues.remove(&by);
            self.turns.retain(|known| *known != by);
        }
        taken
    }

    /// Takes out all stanzas of the next sender, for one tick.
    pub(crate) fn next(&mut self) -> Option<(AccountId, Vec<RoutedStanza>)> {
        let by = *self.turns.front()?;
        Some((by, self.take(by, |_| true)))
    }

    /// Stanzas and bytes that wait.
    pub(crate) fn level(&self) -> (usize, usize) {
        (self.count, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::letter::Handling;
    use chaski_xmpp::Stored;

    fn account(number: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + number).expect("a number")
    }

    fn routed(by: u64, to: u64, stanza: &str) -> RoutedStanza {
        RoutedStanza::new(account(to), None, Stored::of(stanza), Handling::Relay).sent_by(account(by))
    }

    fn numbers(routed: &[RoutedStanza]) -> Vec<u64> {
        routed.iter().map(|routed| routed.to.phone_number().expect("a number") - 15_551_230_000).collect()
    }

    #[test]
    fn senders_take_turns_and_what_is_for_one_recipient_can_be_taken_out() {
        let (mut strangers, limits) =
            (Strangers::default(), Limits { strangers_waiting: 10, ..Limits::default() });
        for to in [5, 6, 5, 7] {
            strangers.push(routed(1, to, "<message/>"), &limits).expect("there is room");
        }
        strangers.push(routed(2, 5, "<message/>"), &limits).expect("there is room");
        assert!(strangers.has(account(1), account(7)) && !strangers.has(account(2), account(7)));
        assert_eq!(numbers(&strangers.take(account(1), |to| to == account(5))), [5, 5]);
        let (by, rest) = strangers.next().expect("some are left");
        assert_eq!((by, numbers(&rest)), (account(1), vec![6, 7]));
        assert_eq!(strangers.next().map(|(by, _)| by), Some(account(2)));
        assert!(strangers.next().is_none() && strangers.level() == (0, 0) && strangers.turns.is_empty());
    }

    #[test]
    fn one_sender_and_all_together_are_bounded_and_an_end_has_more_room() {
        let (mut strangers, limits) =
            (Strangers::default(), Limits { strangers_waiting: 4, ..Limits::default() });
        let taken = |strangers: &mut Strangers, by: u64, stanza: &str, count: u64| {
            (0..count).filter(|to| strangers.push(routed(by, 100 + to, stanza), &limits).is_ok()).count()
        };
        assert_eq!(taken(&mut strangers, 1, "<message/>", 20), 4);
        assert_eq!(taken(&mut strangers, 1, "<presence type='unavailable'/>", 20), 12, "four times as many");
        let large = format!("<message>{}</message>", "x".repeat(3_000));
        assert_eq!(taken(&mut strangers, 2, &large, 20), 1, "bytes are counted, too");
        let others: usize = (3..200).map(|by| taken(&mut strangers, by, "<message/>", 4)).sum();
        assert_eq!(others + 17, 4 * FULL_SENDERS);
        assert_eq!(strangers.level().0, 4 * FULL_SENDERS);
    }
}
