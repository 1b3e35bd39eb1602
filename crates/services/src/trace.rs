//! What an owner does for one account, as it happens, for an operator who looks for a lost message (`chaski ctl trace`).
//!
//! An account is traced for as long as somebody asks for what happened since ([`command::Trace`](crate::effects::turn::command::Trace)); otherwise
//! noting something is one comparison. Called by whatever of the shard does something for an account. Bounded: [`TRACED_MAX`] accounts of a shard, of each the
//! last [`EVENTS_MAX`] events, for [`FORGET_MS`] after the last question. Promises (docs/promises.md, P4): no content, no number but the
//! one that is traced, and never with whom it has to do: sessions are told by numbers of their shard.

use chaski_store::AccountId;
use std::collections::VecDeque;

/// Events of an account, for who asks for those after a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TracePage {
    /// What has happened, oldest first.
    pub events: Vec<TraceEvent>,
    /// The number of the last.
    pub next: u64,
    /// So many before these were too many to be kept.
    pub missed: u64,
}

/// Something that an owner has done for an account. Names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEvent {
    /// When, Unix time in milliseconds.
    pub unix_ms: u64,
    /// What.
    pub what: String,
}

/// Accounts of a shard that are traced at the same time; the one that was asked for longest ago makes room.
const TRACED_MAX: usize = 8;
/// Events kept of each; the oldest go, and how many is told.
const EVENTS_MAX: usize = 1_024;
/// Nobody looks any more.
const FORGET_MS: u64 = 30_000;

/// The accounts of a shard that are traced.
#[derive(Debug, Default)]
pub(crate) struct Traces(Vec<Traced>);

#[derive(Debug)]
struct Traced {
    account: AccountId,
    events: VecDeque<TraceEvent>,
    /// How many have gone before these.
    gone: u64,
    asked_ms: u64,
}

impl Traces {
    /// What has happened behind the event of this number (0: none yet). The account is traced from now on.
    pub(crate) fn since(&mut self, account: AccountId, after: u64, now_ms: u64) -> TracePage {
        let place = match self.0.iter().position(|traced| traced.account == account) {
            Some(place) => place,
            None => self.begin(account, now_ms),
        };
        let traced = &mut self.0[place];
        traced.asked_ms = now_ms;
        // A number that was never given is of an earlier trace.
        let after = if after > traced.next() { 0 } else { after };
        let missed = traced.gone.saturating_sub(after);
        let skipped = after.saturating_sub(traced.gone) as usize;
        let events = traced.events.iter().skip(skipped).cloned().collect();
        TracePage { events, next: traced.next(), missed }
    }

    fn begin(&mut self, account: AccountId, now_ms: u64) -> usize {
        if self.0.len() >= TRACED_MAX
            && let Some(oldest) = (0..self.0.len()).min_by_key(|&place| self.0[place].asked_ms)
        {
            self.0.swap_remove(oldest);
        }
        self.0.push(Traced { account, events: VecDeque::new(), gone: 0, asked_ms: now_ms });
        self.0.len() - 1
    }

    /// Notes what happens to an account, if it is traced.
    #[inline]
    pub(crate) fn note(&mut self, account: AccountId, unix_ms: u64, what: impl FnOnce() -> String) {
        if !self.0.is_empty() {
            self.note_if_traced(account, unix_ms, what);
        }
    }

    #[cold] // So that what does not happen takes no room where everything passes.
    fn note_if_traced(&mut self, account: AccountId, unix_ms: u64, what: impl FnOnce() -> String) {
        if let Some(traced) = self.0.iter_mut().find(|traced| traced.account == account) {
            if traced.events.len() >= EVENTS_MAX {
                traced.events.pop_front();
                traced.gone += 1;
            }
            traced.events.push_back(TraceEvent { unix_ms, what: what() });
        }
    }

    /// Forgets what nobody asks for any more.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        self.0.retain(|traced| now_ms < traced.asked_ms + FORGET_MS);
    }
}

impl Traced {
    fn next(&self) -> u64 {
        self.gone + self.events.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + number).unwrap()
    }

    fn texts(page: &TracePage) -> Vec<&str> {
        page.events.iter().map(|event| event.what.as_str()).collect()
    }

    #[test]
    fn who_asks_gets_what_has_happened_since_and_how_much_was_too_much() {
        let mut traces = Traces::default();
        traces.note(account(1), 5, || unreachable!("nobody looks"));
        assert_eq!(traces.since(account(1), 0, 0), TracePage::default());
        traces.note(account(2), 5, || unreachable!("nor at this one"));
        traces.note(account(1), 5, || "one".into());
        traces.note(account(1), 6, || "two".into());
        let page = traces.since(account(1), 0, 0);
        assert_eq!((texts(&page), page.next, page.missed), (vec!["one", "two"], 2, 0));
        assert_eq!(traces.since(account(1), page.next, 0).events, []);
        for number in 0..EVENTS_MAX as u64 + 3 {
            traces.note(account(1), number, || number.to_string());
        }
        let page = traces.since(account(1), page.next, 0);
        assert_eq!((page.events.len(), page.missed), (EVENTS_MAX, 3));
        assert_eq!(texts(&page)[0], "3");
    }

    #[test]
    fn nobody_is_traced_for_ever_and_few_at_once() {
        let mut traces = Traces::default();
        for number in 0..TRACED_MAX as u64 + 1 {
            traces.since(account(number), 0, number);
        }
        assert_eq!(traces.0.len(), TRACED_MAX);
        assert!(!traces.0.iter().any(|traced| traced.account == account(0)), "the oldest");
        traces.tick(FORGET_MS + 2);
        assert_eq!(traces.0.len(), TRACED_MAX - 2);
        // Whoever asks on with a number of before begins anew.
        assert_eq!(traces.since(account(0), 7, FORGET_MS).missed, 0);
    }
}
