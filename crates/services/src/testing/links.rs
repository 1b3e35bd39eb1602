//! The ways between the shards of a stage: well, slow, cut, or cut now and then.
//!
//! A way is an ordered stream: what it brings comes in the order in which it was sent, and what is lost is all that was under way
//! when it was cut, and all that is sent until it is mended. Nobody at either end is told. Letters for different shards, and of
//! different shards, overtake each other at random. What comes twice is what its sender has sent twice; besides, a flaky way brings some
//! letters twice by itself, as a sender does that did not hear that they had arrived.

use super::Stage;
use crate::effects::letter::Envelope;
use rand::Rng;

/// How a way from one shard to another is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Everything arrives.
    Well,
    /// Nothing arrives before it is well again.
    Slow,
    /// What was under way is lost, and so is what is sent.
    Down,
    /// It is cut and mended again and again, and brings some letters twice.
    Flaky,
}

/// One in so many letters of a flaky way is lost, with all behind it; as many come twice.
const FLAKY_ODDS: u64 = 8;
/// What is not seen after so many seconds never will be.
const SECONDS_MAX: u32 = 120;

impl Stage {
    /// How the way from one shard to another is from now on.
    pub fn set_link(&mut self, from: u16, to: u16, link: Link) {
        if link == Link::Down {
            self.outside.envelopes.remove(&(from, to));
        }
        self.outside.has_had_bad_links |= link != Link::Well;
        self.outside.links.insert((from, to), link);
        self.settle();
    }

    /// All ways are well from now on.
    pub fn mend_links(&mut self) {
        self.outside.links.clear();
        self.settle();
    }

    /// Lets time pass until every letter has arrived. The ways are well.
    pub(super) fn await_letters(&mut self) {
        for _ in 0..SECONDS_MAX {
            if self.shards.iter().all(|shard| shard.owner.desk.outgoing.level().kept == 0) {
                break;
            }
            self.pass(1_000);
        }
    }

    /// Letters that shards have sent to each other so far.
    pub fn letters(&self) -> u64 {
        self.outside.letters
    }

    /// Letters that their senders keep, of all shards.
    pub fn letters_kept(&self) -> usize {
        self.shards.iter().map(|shard| shard.owner.desk.outgoing.level().kept).sum()
    }

    /// Whether envelopes stay under way.
    pub fn hold_envelopes(&mut self, held: bool) {
        self.outside.envelopes_held = held;
    }

    /// Whether this shard refuses envelopes.
    pub fn deafen(&mut self, shard: u16, deaf: bool) {
        self.outside.deaf.retain(|known| *known != shard);
        if deaf {
            self.outside.deaf.push(shard);
        }
    }

    /// One letter arrives, or is lost on its way. Whether there was one.
    pub(super) fn deliver_envelope(&mut self) -> bool {
        if self.outside.envelopes_held {
            return false;
        }
        self.outside.envelopes.retain(|_, queue| !queue.is_empty());
        let links = &self.outside.links;
        let is_slow = |pair| links.get(pair) == Some(&Link::Slow);
        let pairs: Vec<(u16, u16)> =
            self.outside.envelopes.keys().filter(|pair| !is_slow(pair)).copied().collect();
        if pairs.is_empty() {
            return false;
        }
        let pair = pairs[(self.rng.next_u64() % pairs.len() as u64) as usize];
        let Some(queue) = self.outside.envelopes.get_mut(&pair) else { return false };
        let is_flaky = links.get(&pair) == Some(&Link::Flaky);
        match if is_flaky { self.rng.next_u64() % FLAKY_ODDS } else { FLAKY_ODDS } {
            0 => queue.clear(),
            odds => {
                let Some(envelope) = queue.pop_front() else { return false };
                let again = if odds == 1 { envelope.copy() } else { None };
                [Some(envelope), again]
                    .into_iter()
                    .flatten()
                    .for_each(|envelope| self.arrive_at(pair.1, envelope));
            }
        }
        true
    }

    fn arrive_at(&mut self, shard: u16, envelope: Envelope) {
        self.call(shard, |room, ctx| room.envelope(ctx, envelope));
    }
}
