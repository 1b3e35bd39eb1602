//! Presence that sessions send: requests and agreements until all contacts are made, or status updates at a rate.

use super::Generator;
use crate::accounts::Number;
use crate::engine::mark::{Mark, write_status, write_subscription};
use crate::engine::pace::Pace;
use crate::engine::session::State;
use crate::engine::traffic::Acquaint;

/// How many sessions are tried when the one whose turn it is can't send.
const TRIES: u32 = 8;

/// What is told, and when.
pub(super) struct Telling {
    pub(super) pace: Pace,
    pub(super) what: What,
}

pub(super) enum What {
    /// Session by session, contact by contact; `next` counts both.
    Acquaint {
        plan: Acquaint,
        next: u64,
    },
    Status,
}

impl Generator {
    /// Tells what is due at this time.
    pub(super) fn tell(&mut self, intended_us: u64) {
        let Some(Telling { what, .. }) = &mut self.telling else { return };
        match what {
            What::Acquaint { plan, next } => {
                let count = self.sessions.len() as u64;
                // Everybody's first contact, then everybody's second: nobody gets many at once.
                let (index, which) = ((*next % count) as u32, (*next / count) as u32);
                *next += 1;
                let plan = *plan;
                if which >= plan.contacts {
                    self.telling = None;
                    return;
                }
                self.acquaint(index, which, plan);
            }
            What::Status => self.tell_status(intended_us),
        }
    }

    fn acquaint(&mut self, index: u32, which: u32, plan: Acquaint) {
        let to = Number(plan.contact(self.base + index, which));
        write_subscription(&mut self.buffers.out, to, &self.shared.setup.wishes.domain, plan.kind);
        self.tell_and_flush(index);
        self.counters.subscriptions += 1;
    }

    fn tell_status(&mut self, intended_us: u64) {
        let count = self.sessions.len() as u32;
        let is_live = |index: &u32| self.sessions[*index as usize].state == State::Live;
        let mut random = || self.random.below(count.max(1));
        let Some(index) = (0..TRIES).map(|_| random()).find(is_live) else {
            self.counters.unsent += 1;
            return;
        };
        let number = self.counters.presence_sent as u32;
        let mark = Mark { run: self.shared.setup.run, intended_us, number };
        write_status(&mut self.buffers.out, mark);
        self.tell_and_flush(index);
        self.counters.presence_sent += 1;
    }

    fn tell_and_flush(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        session.sent = session.sent.wrapping_add(1);
        self.is_unpublished = true;
        self.flush(index);
    }

    /// A status update has arrived.
    pub(super) fn told(&mut self, mark: Mark) {
        if mark.run == self.shared.setup.run {
            self.counters.presence += 1;
            self.batch.delivery.push(self.now_us.saturating_sub(mark.intended_us));
        }
    }
}
