//! What a turn sends to other shards, and what they did not take.
//!
//! Acceptances are collected per shard and leave once a turn. A shard whose queue is full gives an envelope back: what
//! can be refused is refused by the caller; acceptances, answers and errors wait here in order, bounded, and are tried
//! again at the end of each turn.

use super::{Envelope, Letter, Origin};
use crate::context::Context;
use chaski_store::ShardIndex;
use std::collections::VecDeque;

/// See the module.
pub(crate) struct Outgoing {
    settled: Vec<Vec<Origin>>,
    waiting: VecDeque<(ShardIndex, Envelope)>,
}

impl Outgoing {
    pub(crate) fn new(shards: u16) -> Self {
        Self { settled: (0..shards).map(|_| Vec::new()).collect(), waiting: VecDeque::new() }
    }

    /// A message of this origin is settled. Those of the own shard are taken by [`Self::take_own`].
    pub(crate) fn settled(&mut self, origin: Origin) {
        if let Some(batch) = self.settled.get_mut(usize::from(origin.shard.0)) {
            batch.push(origin);
        }
    }

    /// The acceptances for sessions of shard `index`.
    pub(crate) fn take_own(&mut self, index: ShardIndex) -> Vec<Origin> {
        self.settled.get_mut(usize::from(index.0)).map(std::mem::take).unwrap_or_default()
    }

    /// Gives back the vector of [`Self::take_own`], so that its memory is used again.
    pub(crate) fn return_own(&mut self, index: ShardIndex, mut batch: Vec<Origin>) {
        batch.clear();
        if let Some(place) = self.settled.get_mut(usize::from(index.0)).filter(|place| place.is_empty()) {
            *place = batch;
        }
    }

    /// Sends something that must not be lost. False: it is lost, too much waits already.
    pub(crate) fn reliably(
        &mut self,
        ctx: &mut Context<'_>,
        to: ShardIndex,
        letter: Letter,
        limit: usize,
    ) -> bool {
        let envelope = Envelope(letter);
        // Behind what waits for the same shard already, so that the order stays.
        let envelope = if self.has_waiting(to) {
            envelope
        } else {
            match ctx.wire.forward(to, envelope) {
                Ok(()) => return true,
                Err(envelope) => envelope,
            }
        };
        let room = self.waiting.len() < limit;
        if room {
            self.waiting.push_back((to, envelope));
        }
        room
    }

    /// Sends the collected acceptances and what has waited.
    pub(crate) fn flush(&mut self, ctx: &mut Context<'_>, limit: usize) -> usize {
        self.retry(ctx);
        let mut lost = 0;
        for shard in 0..self.settled.len() {
            let batch = std::mem::take(&mut self.settled[shard]);
            let count = batch.len();
            let to = ShardIndex(shard as u16);
            if count > 0 && !self.reliably(ctx, to, Letter::Settled(batch), limit) {
                lost += count;
            }
        }
        lost
    }

    fn retry(&mut self, ctx: &mut Context<'_>) {
        let mut full: Vec<ShardIndex> = Vec::new();
        for _ in 0..self.waiting.len() {
            let Some((shard, envelope)) = self.waiting.pop_front() else { return };
            if full.contains(&shard) {
                self.waiting.push_back((shard, envelope));
            } else if let Err(envelope) = ctx.wire.forward(shard, envelope) {
                full.push(shard);
                self.waiting.push_back((shard, envelope));
            }
        }
    }

    /// Whether something waits for this shard: presence that comes later must not pass it by.
    pub(crate) fn has_waiting(&self, to: ShardIndex) -> bool {
        self.waiting.iter().any(|(shard, _)| *shard == to)
    }

    /// How many envelopes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
