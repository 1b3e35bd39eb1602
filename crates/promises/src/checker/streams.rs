//! Sessions: what was sent and written on them and is not acknowledged, how they are lost, go on and end (M8, A1, A2).

use super::accounts::{LifeIndex, State};
use super::messages::{Index, Mark, Reached, Void};
use super::{Checker, Place};
use crate::event::{Account, Cause, Device, Session};
use crate::verdict::Rule;
use std::collections::VecDeque;

/// A stanza that the client has sent and the server has not covered.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) message: Option<Index>,
    /// It came back, or may have.
    pub(super) is_refused: bool,
}

/// A stanza that the server has written and the client has not acknowledged, and how it was before.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) message: Option<Index>,
    pub(super) mark: Option<Mark>,
    /// The order of first showings, if this was one: the latest of all and of its sender's session.
    pub(super) order: Option<(u32, u32)>,
    /// Something that was written behind it was acknowledged: it has arrived.
    pub(super) is_passed: bool,
}

/// A session as it was seen.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) account: Account,
    pub(super) life: LifeIndex,
    pub(super) place: u32,
    pub(super) key: u32,
    pub(super) began_at: u32,
    pub(super) resumed_at: u32,
    pub(super) is_managed: bool,
    pub(super) sent: VecDeque<Sent>,
    /// What a resumption covered. Errors for these may still come: they waited in the queue behind it.
    pub(super) provisional: Vec<Index>,
    /// The server's last `h`.
    pub(super) covered: u32,
    pub(super) written: VecDeque<Written>,
    /// The client's last `h`.
    pub(super) acknowledged: u32,
    /// What was written before stream management was on.
    pub(super) before: Vec<Written>,
    pub(super) lost_ms: Option<u64>,
    pub(super) epoch: u32,
    pub(super) is_over: bool,
}

impl Checker {
    pub(super) fn began(&mut self, session: Session, account: Account, device: Device, key: u32) {
        let life = self.life_of(account);
        let place = self.place(device, session);
        let known = self.life(life);
        let (state, newest, key_at) = (known.state, known.key, known.key_at);
        let stream = Stream {
            account,
            life,
            place,
            key,
            began_at: self.position,
            resumed_at: 0,
            is_managed: false,
            sent: VecDeque::new(),
            provisional: Vec::new(),
            covered: 0,
            written: VecDeque::new(),
            acknowledged: 0,
            before: Vec::new(),
            lost_ms: None,
            epoch: self.epoch,
            is_over: false,
        };
        self.streams.insert(session, stream);
        match state {
            State::Unknown => {
                let life = self.life_mut(life);
                (life.state, life.key) = (State::Alive, key);
            }
            State::Nobody => self.broken(Rule::RemovedLives, &[key_at], || {
                "a session begins for a number that has no account".into()
            }),
            _ if key < newest => self.broken(Rule::OldKeyEnters, &[key_at], || {
                format!("a session begins with key {key} after key {newest} was answered")
            }),
            _ => {}
        }
    }

    fn place(&mut self, device: Device, session: Session) -> u32 {
        match self.place_of.get(&device) {
            Some(&index) => {
                let place = &mut self.places[index as usize];
                (place.faults, place.session) = (place.faults + 1, session);
                index
            }
            None => {
                self.places.push(Place { faults: 0, session });
                let index = (self.places.len() - 1) as u32;
                self.place_of.insert(device, index);
                index
            }
        }
    }

    pub(super) fn fault(&mut self, place: u32) {
        self.places[place as usize].faults += 1;
    }

    /// Whether nothing may happen on a session any more, and since when.
    pub(super) fn void(&self, stream: &Stream) -> Option<(Void, u32)> {
        let life = self.life(stream.life);
        match life.state {
            State::Removed { at, .. } => Some((Void::Removed, at)),
            State::Replaced { at } => Some((Void::OldKey, at)),
            _ if stream.key < life.key => Some((Void::OldKey, life.key_at)),
            _ => None,
        }
    }

    pub(super) fn managed(&mut self, session: Session) {
        let Some(stream) = self.streams.get_mut(&session) else { return };
        stream.is_managed = true;
        (stream.covered, stream.acknowledged) = (0, 0);
        stream.sent.clear();
        let written = std::mem::take(&mut stream.written);
        stream.before.extend(written);
    }

    pub(super) fn resumed(&mut self, session: Session, key: u32, h: u32, arrived: u32) {
        let Some(stream) = self.streams.get_mut(&session) else { return };
        stream.key = key;
        (stream.lost_ms, stream.epoch, stream.resumed_at) = (None, self.epoch, self.position);
        let (place, began_at) = (stream.place, stream.began_at);
        if let Some((void, at)) = self.streams.get(&session).and_then(|stream| self.void(stream)) {
            let rule = if void == Void::Removed { Rule::RemovedLives } else { Rule::OldKeyEnters };
            self.broken(rule, &[began_at, at], || "a session that is void goes on".into());
        }
        self.cover(session, h, true);
        self.acknowledged(session, arrived);
        if let Some(stream) = self.streams.get_mut(&session) {
            // What is not covered the client sends again; what has not arrived the server does.
            stream.sent.clear();
            let missing = stream.written.len();
            self.take_back(session, missing);
        }
        self.fault(place);
    }

    pub(super) fn lost(&mut self, session: Session, missing: u32) {
        let now_ms = self.now_ms;
        let Some(stream) = self.streams.get_mut(&session) else { return };
        stream.lost_ms = Some(now_ms);
        let place = stream.place;
        self.take_back(session, missing as usize);
        self.fault(place);
    }

    /// The last so many stanzas that were written have not arrived.
    fn take_back(&mut self, session: Session, missing: usize) {
        for _ in 0..missing {
            let Some(stream) = self.streams.get_mut(&session) else { return };
            let place = stream.place;
            let Some(Written { message: index, mark, order, is_passed }) = stream.written.pop_back() else {
                return;
            };
            let Some(message) = index.and_then(|index| self.message_mut(index)) else { continue };
            let (flow, first, life) = (message.flow, message.first.0, message.life);
            let now = message.mark(place);
            let written = now.map(|now| Mark { reached: Reached::Written, ..now });
            if let Some(before) = mark.or(written) {
                let least = if is_passed { Reached::Passed } else { Reached::Written };
                message.set_mark(Mark { reached: before.reached.max(least), ..before });
            }
            let is_awaited = message.is_awaited();
            if let (false, Some((latest, of_session))) = (is_passed, order) {
                let order = self.order(flow, place);
                order.latest = latest;
                if let Some(known) = order.by_session.as_mut_slice().iter_mut().find(|known| known.0 == first)
                {
                    known.1 = of_session;
                }
            }
            if let (true, Some(index)) = (is_awaited, index) {
                self.life_mut(life).waits.insert(index);
            }
        }
    }

    /// A session is over for good: by itself, or by the answer to a resumption.
    pub(super) fn over(&mut self, session: Session, cause: Option<Cause>, by_answer: bool) {
        let Some(stream) = self.streams.get(&session) else { return };
        let life = self.life(stream.life);
        let timed_out = stream.lost_ms.is_some_and(|lost_ms| lost_ms + self.knobs.resume_ms <= self.now_ms);
        let is_excused = cause.is_some()
            || stream.is_over
            || timed_out
            || !stream.is_managed
            || stream.epoch != self.epoch
            || life.is_leaving()
            || self.void(stream).is_some()
            || self.places[stream.place as usize].session != session;
        let (place, began_at) = (stream.place, stream.began_at);
        if !is_excused {
            let how = if by_answer { "can't be resumed" } else { "was ended for good" };
            self.broken(Rule::EndedWithoutCause, &[began_at], || {
                format!("a session {how}, and nothing that is seen allows it")
            });
        }
        if let Some(stream) = self.streams.get_mut(&session) {
            stream.is_over = true;
            stream.sent.clear();
            stream.written.clear();
            stream.before.clear();
        }
        self.fault(place);
    }
}
