//! What the peer has sent: how many stanzas came, and how many of them are handled.
//!
//! A message is handled when it is durable; until then it is *held* and `h` stops short of it. An `<r/>` is answered
//! when everything that came before it is handled. After a resumption the peer sends again what was not handled, while
//! the first copies may still be on their way to the disk: each copy has an index of its own, so that what becomes of the
//! first says nothing of the second.

use std::collections::VecDeque;

/// The place of a received stanza among all that ever came in its session, modulo 2^32. What is sent again after a
/// resumption is counted again: no index is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StanzaIndex(u32);

impl StanzaIndex {
    /// As a number, to be kept where no type can be (a store's ticket).
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The inverse of [`to_bits`](Self::to_bits).
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// The inbound counter.
#[derive(Debug, Default)]
pub struct Inbound {
    /// How many have come, those that were sent again counted again: the newest index.
    received: u32,
    /// How many of them count for nothing, because they were not handled before a resumption: `received` less this is
    /// what the peer counts.
    void: u32,
    /// The oldest that is held, if `is_holding`. One is the usual number, and needs no memory.
    oldest: u32,
    is_holding: bool,
    /// Somebody waits for the answer to an `<r/>`: the first of them asked at this index, the last at that.
    is_asked: bool,
    asked_first: u32,
    asked_last: u32,
    /// What else is held, in order of arrival.
    #[expect(clippy::box_collection, reason = "rare, and every idle session would carry the larger size")]
    others: Option<Box<VecDeque<u32>>>,
}

impl Inbound {
    /// At zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// At a count, to test what happens around 2^32.
    #[cfg(test)]
    pub(super) fn at(received: u32) -> Self {
        Self { received, ..Self::default() }
    }

    /// Counts a stanza that has arrived. Unless [`hold`](Self::hold) follows, it counts as handled at once.
    pub fn received(&mut self) -> StanzaIndex {
        self.received = self.received.wrapping_add(1);
        StanzaIndex(self.received)
    }

    /// Holds back `h` before this stanza. To be called before the next stanza is counted; later calls are ignored,
    /// since `h` may have been sent.
    pub fn hold(&mut self, index: StanzaIndex) {
        if index.0 != self.received || self.newest_held() == Some(index.0) {
            return;
        }
        if self.is_holding {
            self.others.get_or_insert_default().push_back(index.0);
        } else {
            (self.is_holding, self.oldest) = (true, index.0);
        }
    }

    /// This stanza's handling is finished. Returns the `h` to be sent now, if an `<r/>` has been waiting for it. What
    /// is not held, because it was sent before a resumption, changes nothing.
    pub fn release(&mut self, index: StanzaIndex) -> Option<u32> {
        if self.is_holding && self.oldest == index.0 {
            let next = self.others.as_mut().and_then(|others| others.pop_front());
            (self.is_holding, self.oldest) = (next.is_some(), next.unwrap_or_default());
        } else if let Some(others) = &mut self.others {
            // Distances to `received` order the indexes, also around 2^32.
            let received = self.received;
            let age = received.wrapping_sub(index.0);
            let place = others.partition_point(|&held| received.wrapping_sub(held) > age);
            if others.get(place) == Some(&index.0) {
                others.remove(place);
            }
        }
        self.others.take_if(|others| others.is_empty());
        self.answer_due()
    }

    /// An `<r/>` has arrived. Returns the `h` to be sent now, unless something before it is held.
    pub fn request(&mut self) -> Option<u32> {
        if !std::mem::replace(&mut self.is_asked, true) {
            self.asked_first = self.received;
        }
        self.asked_last = self.received;
        self.answer_due()
    }

    /// How many stanzas are handled, without a gap, modulo 2^32.
    pub fn h(&self) -> u32 {
        self.handled().wrapping_sub(self.void)
    }

    /// How many stanzas are held: for a bound.
    pub fn held(&self) -> usize {
        usize::from(self.is_holding) + self.others.as_ref().map_or(0, |others| others.len())
    }

    /// The peer resumes, told this `h`: it sends everything after it again, and counts on from there. What was held is
    /// forgotten; its release, should it still come, counts for nothing: what is sent in its place has its own.
    pub fn resume(&mut self) -> u32 {
        let h = self.h();
        self.void = self.received.wrapping_sub(h);
        (self.is_holding, self.is_asked, self.others) = (false, false, None);
        h
    }

    /// The connection is lost: who asked is gone. The next connection asks anew.
    pub fn forget_requests(&mut self) {
        self.is_asked = false;
    }

    /// The last index before which nothing is held.
    fn handled(&self) -> u32 {
        if self.is_holding { self.oldest.wrapping_sub(1) } else { self.received }
    }

    fn newest_held(&self) -> Option<u32> {
        let newest = self.others.as_ref().and_then(|others| others.back().copied());
        newest.or(self.is_holding.then_some(self.oldest))
    }

    fn answer_due(&mut self) -> Option<u32> {
        if !self.is_asked {
            return None;
        }
        let handled = self.handled();
        let behind = |point: u32| self.received.wrapping_sub(point) < self.received.wrapping_sub(handled);
        if behind(self.asked_first) {
            return None;
        }
        // One answer for all that it satisfies. For those in between the counts weren't kept: the next step answers.
        self.is_asked = behind(self.asked_last);
        self.asked_first = handled.wrapping_add(1);
        Some(self.h())
    }
}
