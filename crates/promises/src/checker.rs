//! Reads a history, event by event, and says which promises it breaks.
//!
//! It knows nothing of a server but what was seen. What an observer can't know it does not judge: a message without `<a/>` and
//! without an error may be kept or not; what was accepted is missed only once an account is [drained](Event::Drained). Memory
//! is bounded: of each message some hundred bytes, until an hour after the last device has acknowledged it (or its sender has
//! got the error); of each session what is unacknowledged on it.
//! Called by every observer. Specification: docs/promises.md, whose promises are named by each [`Rule`].

mod accounts;
mod few;
mod judging;
mod lookups;
mod messages;
mod sending;
mod showing;
mod streams;

use crate::event::{Account, Device, Event, Session};
use crate::verdict::{Rule, Verdict};
use accounts::{Life, Person};
use few::Few;
use messages::Message;
use std::collections::{HashMap, VecDeque};
use streams::Stream;

/// What the promises leave to an operator, and what an observer knows of its own precision.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// For so long a lost session can be resumed.
    pub resume_ms: u64,
    /// A number that was seen so lately is still its owner's (A3).
    pub seen_within_ms: u64,
    /// So old do messages become (M7).
    pub expiry_ms: u64,
    /// So soon is what is gone on no disk (M4, A2).
    pub erased_within_ms: u64,
    /// How far events of different clients may be out of order because of how they were observed.
    pub slack_ms: u64,
    /// So long after a message is gone it is remembered.
    pub forget_after_ms: u64,
    /// Rules that the server can't keep yet. The observer says why.
    pub off: &'static [Rule],
    /// So many verdicts are told; the others are counted.
    pub verdicts_max: usize,
}

const DAY_MS: u64 = 86_400_000;

impl Default for Knobs {
    fn default() -> Self {
        Self {
            resume_ms: 300_000,
            seen_within_ms: 30 * DAY_MS,
            expiry_ms: 30 * DAY_MS,
            erased_within_ms: 60_000,
            slack_ms: 0,
            forget_after_ms: 3_600_000,
            off: &[],
            verdicts_max: 100,
        }
    }
}

/// What is known of a device.
#[derive(Debug)]
struct Place {
    /// Connections that were lost or ended, sessions that began.
    faults: u32,
    /// The newest session.
    session: Session,
}

/// First showings on a device, of one sender's messages for one recipient.
#[derive(Debug, Default)]
struct Order {
    /// The latest sending of what was shown, of any session.
    latest: u32,
    /// The same, by the sender's session.
    by_session: Few<(Session, u32)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Checker {
    knobs: Knobs,
    now_ms: u64,
    /// The place in the history of the event at hand, from 1: 0 stands for never.
    position: u32,
    /// How many crashes there were.
    epoch: u32,
    people: HashMap<Account, Person>,
    lives: Vec<Life>,
    streams: HashMap<Session, Stream>,
    places: Vec<Place>,
    place_of: HashMap<Device, u32>,
    messages: Vec<Option<Message>>,
    free: Vec<u32>,
    /// By sender and content.
    by_content: HashMap<u64, Few<u32>>,
    /// By sender, recipient and identity: the first of the messages that have it.
    by_identity: HashMap<u64, messages::Known>,
    orders: HashMap<(u64, u32), Order>,
    /// What may be forgotten, and when.
    leaving: VecDeque<(u64, u32)>,
    verdicts: Vec<Verdict>,
    verdicts_total: u64,
}

impl Checker {
    /// Nothing is known yet.
    pub fn new(knobs: Knobs) -> Self {
        Self { knobs, ..Self::default() }
    }

    /// The next event. Time that goes back stands still.
    pub fn see(&mut self, at_ms: u64, event: Event) {
        self.now_ms = self.now_ms.max(at_ms);
        self.position = self.position.saturating_add(1);
        self.forget();
        match event {
            Event::Registered { account, key, proof, silent_ms, lock } => {
                self.registered(account, key, (proof, silent_ms, lock));
            }
            Event::KeyChanged { account, key } => self.key_changed(account, key),
            Event::Removing { account } => self.removing(account),
            Event::Removed { account } => self.removed(account),
            Event::Moved { from, to } => self.moved(from, to),
            Event::Blocking { by, whom } => self.blocking(by, whom),
            Event::Blocked { by, whom } => self.blocked(by, whom),
            Event::Unblocked { by, whom } => self.unblocked(by, whom),
            Event::Began { session, account, device, key } => self.began(session, account, device, key),
            Event::Managed { session } => self.managed(session),
            Event::Resumed { session, key, h, arrived } => self.resumed(session, key, h, arrived),
            Event::ResumeRefused { session } => self.over(session, None, true),
            Event::Lost { session, missing } => self.lost(session, missing),
            Event::Ended { session, cause } => self.over(session, cause, false),
            Event::Crashed { .. } => self.epoch += 1,
            Event::Sent { session, letter } => self.sent(session, letter.as_ref()),
            Event::Covered { session, h } => self.covered(session, h),
            Event::Refused { session, to, content, is_bound } => {
                self.refused(session, (to, content), is_bound)
            }
            Event::Shown { session, showing } => self.shown(session, showing.as_ref()),
            Event::Acknowledged { session, h } => self.acknowledged(session, h),
            Event::Confirmed { session } => self.confirmed(session),
            Event::Receipted { session, from, content } => self.receipted(session, from, content),
            Event::Gap { session, cause, notice } => self.gap(session, cause, notice),
            Event::Looked { account, from, content, found } => self.looked(account, from, content, found),
            Event::Quiet { session } => self.quiet(session),
            Event::Drained { account } => self.drained(account),
        }
    }

    /// The first broken promises.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// How many there were.
    pub fn verdicts_total(&self) -> u64 {
        self.verdicts_total
    }

    /// How many messages are remembered.
    pub fn remembered(&self) -> usize {
        self.messages.len() - self.free.len()
    }

    /// How many stanzas of a session are not covered.
    pub fn uncovered(&self, session: Session) -> usize {
        self.streams.get(&session).map_or(0, |stream| stream.sent.len())
    }

    /// How many accepted messages an account has not been shown.
    pub fn waiting(&self, account: Account) -> usize {
        self.people.get(&account).map_or(0, |person| self.lives[person.life as usize].waits.len())
    }

    /// A promise is broken, by the event at hand and by those of these positions.
    fn broken(&mut self, rule: Rule, before: &[u32], text: impl FnOnce() -> String) {
        if self.knobs.off.contains(&rule) {
            return;
        }
        self.verdicts_total += 1;
        if self.verdicts.len() < self.knobs.verdicts_max {
            let known = before.iter().filter(|&&position| position != 0);
            let mut events: Vec<u64> = known.map(|&position| u64::from(position - 1)).collect();
            events.push(u64::from(self.position - 1));
            events.sort_unstable();
            events.dedup();
            self.verdicts.push(Verdict { rule, events, text: text() });
        }
    }
}

/// Judges a whole history.
pub fn judge(knobs: Knobs, history: &[crate::Timed]) -> Vec<Verdict> {
    let mut checker = Checker::new(knobs);
    for timed in history {
        checker.see(timed.at_ms, timed.event);
    }
    checker.verdicts
}

#[cfg(test)]
mod tests;
