//! Stanzas that a live session receives: counted, timed, answered.

use super::Generator;
use crate::accounts::Number;
use crate::engine::ledger::Fate;
use crate::engine::mark::{Mark, Seen, attribute, see};
use crate::engine::session::State;
use std::io::Write;

/// How much of a stream error is told.
const STREAM_ERROR_BYTES: usize = 300;

impl Generator {
    pub(super) fn stanza(&mut self, index: u32, frame: &[u8]) {
        let seen = see(frame);
        self.is_unpublished = true;
        let session = &mut self.sessions[index as usize];
        match seen {
            Seen::Request => self.owe(index),
            Seen::Ack(h) => self.accept(index, h),
            Seen::StreamError => {
                let said = String::from_utf8_lossy(frame.get(..STREAM_ERROR_BYTES).unwrap_or(frame));
                self.lose(index, &format!("the server ends the stream: {said}"));
            }
            Seen::Other => {}
            Seen::Message(_) | Seen::Status(_) | Seen::Refused(_) | Seen::Question | Seen::Stanza => {
                session.handled = session.handled.wrapping_add(1);
                session.unacked = session.unacked.saturating_add(1);
                self.counters.deliveries += 1;
                match seen {
                    Seen::Message(mark) => {
                        let is_astray = self.is_astray(index, frame);
                        self.delivered(index, mark, is_astray);
                    }
                    Seen::Status(mark) => self.told(mark),
                    Seen::Refused(number) => self.refused(index, number),
                    Seen::Question => self.answer(index, frame),
                    _ => {}
                }
            }
        }
    }

    /// Whether a stanza is for another account than the session's.
    fn is_astray(&self, index: u32, frame: &[u8]) -> bool {
        let to = attribute(frame, b"to").map(|to| to.split(|byte| *byte == b'@').next().unwrap_or_default());
        to.is_some_and(|to| !Number(self.base + index).is(to))
    }

    fn delivered(&mut self, index: u32, mark: Mark, is_astray: bool) {
        if mark.run != self.shared.setup.run {
            return;
        }
        self.counters.astray += u64::from(is_astray);
        let is_first = self.shared.ledger.note(mark.number, Fate::Delivered);
        if is_first {
            self.counters.delivered += 1;
            let latency_us = self.now_us.saturating_sub(mark.intended_us);
            if self.open.as_ref().is_some_and(|open| index >= open.first_cut()) {
                self.batch.delivery_to_cut.push(latency_us);
            } else {
                self.batch.delivery.push(latency_us);
            }
        } else {
            self.counters.duplicates += 1;
        }
        if let Some(closed) = &self.closed
            && index % 2 == 1
            && index / 2 < closed.pairs
        {
            let session = &mut self.sessions[index as usize];
            session.got = session.got.wrapping_add(1);
            if is_first {
                self.counters.out_of_order += u64::from(mark.number < session.latest);
                session.latest = mark.number + 1;
            }
            self.make_due(index - 1);
        }
    }

    fn refused(&mut self, index: u32, number: u32) {
        if !self.shared.ledger.note(number, Fate::Refused) {
            return;
        }
        self.counters.refused += 1;
        if self.closed.is_some() {
            // It is on its way no more.
            if let Some(receiver) = self.sessions.get_mut(index as usize + 1) {
                receiver.got = receiver.got.wrapping_add(1);
            }
            self.make_due(index);
        }
    }

    /// The server has handled so many stanzas of the session.
    pub(super) fn accept(&mut self, index: u32, h: u32) {
        let Self { sessions, shared, counters, batch, now_us, .. } = self;
        sessions[index as usize].accept(h, |mark| {
            if shared.ledger.note(mark.number, Fate::Accepted) {
                counters.accepted += 1;
                batch.acceptance.push(now_us.saturating_sub(mark.intended_us));
            }
        });
        if self.closed.is_some() {
            self.make_due(index);
        }
    }

    pub(super) fn make_due(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        if session.state == State::Live && !std::mem::replace(&mut session.is_due, true) {
            self.due.push(index);
        }
    }

    /// Pings are answered; what else a server may ask a phone is not known to it.
    fn answer(&mut self, index: u32, frame: &[u8]) {
        let Some(id) = attribute(frame, b"id") else { return };
        let out = &mut self.buffers.out;
        let is_ping = memchr::memmem::find(frame, b"urn:xmpp:ping").is_some();
        out.extend_from_slice(b"<iq id='");
        out.extend(id.iter().filter(|&&byte| byte != b'\''));
        let rest: &[u8] = if is_ping {
            b"' type='result'/>"
        } else {
            b"' type='error'><error type='cancel'>\
              <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        };
        out.write_all(rest).expect("a vector takes everything");
        let session = &mut self.sessions[index as usize];
        session.sent = session.sent.wrapping_add(1);
    }
}
