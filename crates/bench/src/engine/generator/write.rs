//! Messages that sessions send: in a closed loop when earlier ones are done, in an open loop when they are due.

use super::tell::{Telling, What};
use super::{Closed, Generator};
use crate::accounts::Number;
use crate::engine::ledger::{BLOCK, Fate};
use crate::engine::mark::{Mark, write_message, write_typing};
use crate::engine::pace::Pace;
use crate::engine::session::{State, Unaccepted};
use crate::engine::traffic::{Open, Plan};

/// How many sessions are tried when the one whose turn it is can't send.
const TRIES: u32 = 8;
/// What an open loop leaves unaccepted per session before it does without it: a server that is overloaded must not fill our memory.
const UNACCEPTED_MAX: usize = 4_096;
/// The same for unsent bytes.
const PENDING_BYTES: usize = 64 * 1024;

impl Generator {
    pub(super) fn plan(&mut self, plan: Option<Plan>) {
        self.closed = None;
        self.open = None;
        self.telling = None;
        match plan {
            None => {}
            Some(Plan::Acquaint(plan, per_s)) => {
                let what = What::Acquaint { plan, next: 0 };
                self.telling = Some(Telling { pace: Pace::new(self.now_us, per_s), what });
            }
            Some(Plan::Presence { per_s }) => {
                let start_us = self.start_us(per_s);
                self.telling = Some(Telling { pace: Pace::new(start_us, per_s), what: What::Status });
            }
            Some(Plan::Closed { pairs, in_flight, body }) => {
                self.closed = Some(Closed { pairs, in_flight, body });
                (0..pairs).for_each(|pair| self.make_due(pair * 2));
            }
            Some(Plan::Open { per_s, who, body, typing_per_message }) => {
                let start_us = self.start_us(per_s);
                self.open = Some(Open::new(start_us, per_s, who, body, typing_per_message));
            }
        }
    }

    /// Threads begin at different points of the interval, so that together they keep the rate evenly.
    fn start_us(&mut self, per_s: f64) -> u64 {
        self.now_us + if per_s > 0.0 { (self.random.unit() * 1e6 / per_s) as u64 } else { 0 }
    }

    /// Fills a pair's window.
    pub(super) fn write_closed(&mut self, index: u32) {
        self.sessions[index as usize].is_due = false;
        let Some(Closed { pairs, in_flight, body }) = self.closed else { return };
        if index % 2 == 1 || index / 2 >= pairs {
            return;
        }
        let got = self.sessions[index as usize + 1].got;
        let session = &self.sessions[index as usize];
        if session.state != State::Live || session.pending.is_some() {
            return;
        }
        let accepted = if session.is_managed { session.accepted } else { session.written };
        let behind = session.written.wrapping_sub(accepted).max(session.written.wrapping_sub(got));
        for _ in behind..in_flight {
            let body_bytes = body.bytes(&mut self.random);
            if !self.message(index, self.base + index + 1, self.now_us, body_bytes) {
                break;
            }
        }
        self.request_and_flush(index);
    }

    /// One message whose time has come.
    pub(super) fn write_open(&mut self, intended_us: u64) {
        let Some(mut open) = self.open.take() else { return };
        let count = self.sessions.len() as u32;
        let mut letter = open.letter(self.base, count, &mut self.random);
        let mut tries = 1;
        while !self.can_send(letter.from) && tries < TRIES {
            letter = open.letter(self.base, count, &mut self.random);
            tries += 1;
        }
        match Some(letter).filter(|letter| self.can_send(letter.from)) {
            None => self.counters.unsent += 1,
            Some(letter) => {
                let typing = open.typing();
                for n in 0..typing {
                    let domain = &self.shared.setup.wishes.domain;
                    write_typing(&mut self.buffers.out, Number(letter.to), domain, n % 2 == 1);
                    let session = &mut self.sessions[letter.from as usize];
                    session.sent = session.sent.wrapping_add(1);
                }
                self.counters.typing += u64::from(typing);
                let body_bytes = open.body.bytes(&mut self.random);
                self.message(letter.from, letter.to, intended_us, body_bytes);
                self.request_and_flush(letter.from);
            }
        }
        self.is_unpublished = true;
        self.open = Some(open);
    }

    fn can_send(&self, index: u32) -> bool {
        self.sessions.get(index as usize).is_some_and(|session| {
            session.state == State::Live
                && session.unaccepted.as_ref().is_none_or(|waiting| waiting.len() < UNACCEPTED_MAX)
                && session.pending.as_ref().is_none_or(|pending| pending.len() < PENDING_BYTES)
        })
    }

    /// Appends a message of the session to what it has to say. False: the ledger is full.
    fn message(&mut self, index: u32, to: u32, intended_us: u64, body_bytes: usize) -> bool {
        let Some(number) = self.number() else { return false };
        let mark = Mark { run: self.shared.setup.run, intended_us, number };
        let domain = &self.shared.setup.wishes.domain;
        write_message(&mut self.buffers.out, Number(to), domain, mark, body_bytes);
        self.shared.ledger.note(number, Fate::Sent);
        self.counters.sent += 1;
        let session = &mut self.sessions[index as usize];
        session.written = session.written.wrapping_add(1);
        session.sent = session.sent.wrapping_add(1);
        if session.is_managed {
            let at = session.sent;
            let waiting = session.unaccepted.get_or_insert_default();
            waiting.push_back(Unaccepted { at, to, body_bytes: body_bytes as u32, mark });
        }
        true
    }

    fn number(&mut self) -> Option<u32> {
        if self.numbers.is_empty() {
            let first = self.shared.ledger.take_block()?;
            self.numbers = first..first + BLOCK;
        }
        self.numbers.next()
    }

    fn request_and_flush(&mut self, index: u32) {
        if self.sessions[index as usize].is_managed && !self.buffers.out.is_empty() {
            chaski_xmpp::sm::write_request(&mut self.buffers.out);
        }
        self.is_unpublished = true;
        self.flush(index);
    }

    /// After coming back: what was not accepted goes out again.
    pub(super) fn write_again(&mut self, index: u32) {
        let domain = &self.shared.setup.wishes.domain;
        let session = &mut self.sessions[index as usize];
        let Some(mut waiting) = session.unaccepted.take() else { return };
        for letter in waiting.iter_mut() {
            session.sent = session.sent.wrapping_add(1);
            letter.at = session.sent;
            write_message(
                &mut self.buffers.out,
                Number(letter.to),
                domain,
                letter.mark,
                letter.body_bytes as usize,
            );
        }
        if session.is_managed {
            session.unaccepted = Some(waiting);
            chaski_xmpp::sm::write_request(&mut self.buffers.out);
        }
    }
}
