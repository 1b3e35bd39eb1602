//! What the peer has sent: how many stanzas came, and how many of them are handled.
//!
//! A message is handled when it is durable; until then it is *held* and `h` stops short of it. An `<r/>` is answered
//! when everything that came before it is handled.

use std::collections::VecDeque;

/// The place of a received stanza: the count of stanzas up to and with it, modulo 2^32.
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
    received: u32,
    held: Held,
    /// `<r/>`s that wait: the counts at the first and at the last of them.
    asked: Option<(u32, u32)>,
}

/// Stanzas whose handling isn't finished, in order of arrival. One is the usual number, and needs no memory.
#[derive(Debug, Default)]
enum Held {
    #[default]
    None,
    One(u32),
    #[expect(clippy::box_collection, reason = "rare, and every idle session would carry the larger size")]
    Many(Box<VecDeque<u32>>),
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
        if index.0 != self.received || self.held.last() == Some(index.0) {
            return;
        }
        self.held = match std::mem::take(&mut self.held) {
            Held::None => Held::One(index.0),
            Held::One(first) => Held::Many(Box::new(VecDeque::from([first, index.0]))),
            Held::Many(mut all) => {
                all.push_back(index.0);
                Held::Many(all)
            }
        };
    }

    /// This stanza's handling is finished. Returns the `h` to be sent now, if an `<r/>` has been waiting for it.
    pub fn release(&mut self, index: StanzaIndex) -> Option<u32> {
        match &mut self.held {
            Held::None => {}
            Held::One(first) if *first == index.0 => self.held = Held::None,
            Held::One(_) => {}
            Held::Many(all) => {
                // Distances to `received` order the indexes, also around 2^32; mostly it is the first.
                let received = self.received;
                let age = received.wrapping_sub(index.0);
                let place = all.partition_point(|&held| received.wrapping_sub(held) > age);
                if all.get(place) == Some(&index.0) {
                    all.remove(place);
                }
                if all.is_empty() {
                    self.held = Held::None;
                }
            }
        }
        self.answer_due()
    }

    /// An `<r/>` has arrived. Returns the `h` to be sent now, unless something before it is held.
    pub fn request(&mut self) -> Option<u32> {
        let received = self.received;
        self.asked = Some(self.asked.map_or((received, received), |(first, _)| (first, received)));
        self.answer_due()
    }

    /// How many stanzas are handled, without a gap, modulo 2^32.
    pub fn h(&self) -> u32 {
        match &self.held {
            Held::None => self.received,
            Held::One(first) => first.wrapping_sub(1),
            Held::Many(all) => all.front().map_or(self.received, |first| first.wrapping_sub(1)),
        }
    }

    /// How many stanzas are held: for a bound.
    pub fn held(&self) -> usize {
        match &self.held {
            Held::None => 0,
            Held::One(_) => 1,
            Held::Many(all) => all.len(),
        }
    }

    /// The peer resumes, told this `h`: it sends everything after it again, and counts on from there. What was held is
    /// forgotten; its release, should it still come, counts for what is sent again in its place.
    pub fn resume(&mut self) -> u32 {
        self.received = self.h();
        self.held = Held::None;
        self.asked = None;
        self.received
    }

    /// The connection is lost: who asked is gone. The next connection asks anew.
    pub fn forget_requests(&mut self) {
        self.asked = None;
    }

    fn answer_due(&mut self) -> Option<u32> {
        let (first, last) = self.asked?;
        let h = self.h();
        let behind = |point: u32| self.received.wrapping_sub(point) < self.received.wrapping_sub(h);
        if behind(first) {
            return None;
        }
        // One answer for all that it satisfies. For those in between the counts weren't kept: the next step answers.
        self.asked = behind(last).then(|| (h.wrapping_add(1), last));
        Some(h)
    }
}

impl Held {
    fn last(&self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(index) => Some(*index),
            Self::Many(all) => all.back().copied(),
        }
    }
}
