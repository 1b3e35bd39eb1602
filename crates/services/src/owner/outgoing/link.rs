//! What goes from one place to another: in order, each once, and none lost while both places live.
//!
//! A link between places is an ordered stream that may be cut: then what was under way is lost, and nobody may know how much had
//! arrived. So letters are numbered, in two [`Lane`]s: acceptances, and all other letters, which acceptances may overtake. The
//! sender keeps a letter until the receiver has acknowledged it. The receiver takes letters in the order of their numbers
//! ([`Heard`]): one that it has already is dropped; one before which others are missing is dropped too, and the receiver says
//! from which number it wants them again. The sender goes back to that number and sends everything from there on. So nothing
//! overtakes what was sent before it, whatever was lost (docs/promises.md, M3), and nothing is done twice. A sender that has had
//! no acknowledgement for a while says up to which number it has sent ([`Letter::Tally`]), at growing pauses, so that a loss at
//! the end is noticed too.
//!
//! A receiver's acknowledgement goes with whatever is sent the other way, else within a tick. Pure; owned by [`super::Outgoing`].

use crate::effects::letter::{Letter, Origin, RoutedStanza};
use crate::effects::presence::{PresenceBroadcast, Probes};
use std::collections::VecDeque;

/// The lane of acceptances.
pub(super) const SETTLEMENTS: usize = 0;
/// The lane of all other letters.
pub(super) const LETTERS: usize = 1;
/// After so many letters at most the receiver acknowledges, so that the sender need not keep more.
const TAKEN_MAX: u32 = 256;
/// What a letter counts against the bound in bytes, in addition to its stanza.
const LETTER_BYTES: usize = 256;

/// The sender's half of a lane.
#[derive(Default)]
pub(super) struct Lane {
    /// Letters that are not acknowledged, in order.
    kept: VecDeque<Kept>,
    /// How many letters were acknowledged before these.
    seen: u64,
    /// How many of the letters in `kept` are under way, counted from the first.
    under_way: usize,
    /// The highest number that was ever under way.
    sent: u64,
    bytes: usize,
}

struct Kept {
    /// `None`: the letter was sent, and is never sent again.
    letter: Option<Letter>,
    bytes: usize,
}

impl Lane {
    /// Keeps a letter that is to be sent after all others.
    pub(super) fn push(&mut self, letter: Letter) {
        let is_last_unsent = self.seen + self.kept.len() as u64 > self.sent;
        if let Letter::Settled(more) = &letter
            && let Some(Kept { letter: Some(Letter::Settled(batch)), bytes }) = self.kept.back_mut()
            && is_last_unsent
        {
            batch.extend_from_slice(more);
            let more = size_of::<Origin>() * more.len();
            (self.bytes, *bytes) = (self.bytes + more, *bytes + more);
            return;
        }
        self.keep(Some(letter));
    }

    fn keep(&mut self, letter: Option<Letter>) {
        let bytes = letter.as_ref().map_or(0, Letter::size);
        self.bytes += bytes;
        self.kept.push_back(Kept { letter, bytes });
    }

    /// Notes that a letter has been sent while nothing waited before it: keeps this copy of it.
    pub(super) fn has_sent(&mut self, copy: Option<Letter>) {
        self.keep(copy);
        self.went();
    }

    /// The number of the next letter to be sent, and the letter, or [`Letter::Gone`] if it is never sent again.
    pub(super) fn next(&mut self) -> Option<(u64, Letter)> {
        let number = self.next_number();
        let next = self.kept.get_mut(self.under_way)?;
        let letter = match &next.letter {
            None => Letter::Gone,
            Some(letter) => match letter.copy() {
                Some(copy) => copy,
                // There is no copy of this letter: it is put back if the link does not take it.
                None => next.letter.take().unwrap_or(Letter::Gone),
            },
        };
        Some((number, letter))
    }

    /// The number of the next letter to be sent.
    pub(super) fn next_number(&self) -> u64 {
        self.seen + self.under_way as u64 + 1
    }

    /// The link has taken the next letter.
    pub(super) fn went(&mut self) {
        self.under_way += 1;
        self.sent = self.sent.max(self.seen + self.under_way as u64);
    }

    /// The link has not taken the next letter.
    pub(super) fn put_back(&mut self, letter: Letter) {
        if let Some(next) = self.kept.get_mut(self.under_way).filter(|_| !matches!(letter, Letter::Gone)) {
            next.letter.get_or_insert(letter);
        }
    }

    /// The receiver has acknowledged all letters up to this number. Returns whether that is news.
    pub(super) fn note_seen(&mut self, number: u64) -> bool {
        let count = number.min(self.sent).saturating_sub(self.seen);
        for _ in 0..count {
            self.bytes -= self.kept.pop_front().map_or(0, |kept| kept.bytes);
        }
        self.seen += count;
        self.under_way = self.under_way.saturating_sub(count as usize);
        if count > 0 && self.kept.is_empty() && self.kept.capacity() > KEPT_CAPACITY {
            // A burst must not leave its capacity allocated for ever.
            self.kept = VecDeque::new();
        }
        count > 0
    }

    /// The receiver misses the letter after the last acknowledged one: all from there on are sent again. Returns how many.
    pub(super) fn go_back(&mut self) -> usize {
        std::mem::take(&mut self.under_way)
    }

    /// The highest number that was ever under way.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether a letter was sent and is not acknowledged.
    pub(super) fn is_unseen(&self) -> bool {
        self.sent > self.seen
    }

    /// How many letters the link has not taken.
    pub(super) fn waiting(&self) -> usize {
        self.kept.len() - self.under_way
    }

    /// How many letters are kept, and their bytes.
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.kept.len(), self.bytes)
    }
}

/// The capacity that an empty lane keeps.
const KEPT_CAPACITY: usize = 1_024;

/// The receiver's half of a lane.
#[derive(Default)]
pub(super) struct Heard {
    /// The number up to which no letter is missing.
    pub(super) last: u64,
    /// How many letters were taken since the last acknowledgement.
    untold: u32,
    /// The acknowledgement is to be sent at once.
    pub(super) is_due: bool,
    /// The acknowledgement is to say that letters are missing.
    pub(super) wants: bool,
    /// The letters that are missing have been asked for.
    has_asked: bool,
}

impl Heard {
    /// A letter with this number has come. Returns whether it is the next in order.
    pub(super) fn take(&mut self, number: u64) -> bool {
        if number == self.last + 1 {
            self.last = number;
            self.untold += 1;
            self.is_due |= self.untold >= TAKEN_MAX;
            self.has_asked = false;
            return true;
        }
        self.is_due = true;
        if number > self.last && !std::mem::replace(&mut self.has_asked, true) {
            self.wants = true;
        }
        false
    }

    /// The sender says up to which number it has sent.
    pub(super) fn tally(&mut self, sent: u64) {
        self.is_due = true;
        if sent > self.last {
            (self.wants, self.has_asked) = (true, true);
        }
    }

    /// Whether there is something to acknowledge.
    pub(super) fn is_untold(&self) -> bool {
        self.untold > 0 || self.is_due
    }

    /// The acknowledgement has been sent.
    pub(super) fn told(&mut self) {
        (self.untold, self.is_due, self.wants) = (0, false, false);
    }
}

impl Letter {
    /// The lane in which a letter goes.
    pub(super) fn lane(&self) -> usize {
        if matches!(self, Self::Settled(_)) { SETTLEMENTS } else { LETTERS }
    }

    /// Whether a letter is kept until it is acknowledged, and taken in order. For any other letter, its asker has a time limit or
    /// looks again by itself.
    pub(super) fn is_kept(&self) -> bool {
        matches!(
            self,
            Self::RoutedStanza(_) | Self::PresenceBroadcast(_) | Self::Probes(_) | Self::Settled(_)
        )
    }

    /// A copy of a letter that is kept.
    pub(crate) fn copy(&self) -> Option<Self> {
        match self {
            Self::RoutedStanza(routed) => Some(Self::RoutedStanza(Box::new(RoutedStanza::clone(routed)))),
            Self::PresenceBroadcast(tell) => {
                Some(Self::PresenceBroadcast(Box::new(PresenceBroadcast::clone(tell))))
            }
            Self::Probes(probes) => Some(Self::Probes(Box::new(Probes::clone(probes)))),
            Self::Settled(origins) => Some(Self::Settled(origins.clone())),
            _ => None,
        }
    }

    /// What a letter counts against the bound in bytes.
    fn size(&self) -> usize {
        match self {
            Self::RoutedStanza(routed) => LETTER_BYTES + routed.stanza.len(),
            Self::PresenceBroadcast(tell) => LETTER_BYTES + tell.stanza.len() + size_of_val(&*tell.to),
            Self::Probes(probes) => LETTER_BYTES + size_of_val(&*probes.to),
            Self::Settled(origins) => size_of_val(&**origins),
            _ => LETTER_BYTES,
        }
    }
}

#[cfg(test)]
mod tests;
