//! What a turn sends to other shards, and what they did not take.
//!
//! Acceptances are collected per shard and leave once a turn. A shard whose queue is full gives an envelope back: what
//! can be refused is refused by the caller; acceptances, answers and errors wait here in order, bounded, and are tried
//! again at the end of each turn.
//!
//! What is lost when too much waits: first what nobody counts on (a farewell, a hint, the answer of another client), and
//! only when as much again waits, answers of ours. An error takes with it what settles its message, so that its sender has
//! neither and sends it again. Acceptances are never lost: they join those that wait already, and there are no more of
//! them than the senders' sessions may have unsettled.

use super::{Envelope, Letter, Origin};
use crate::context::Context;
use chaski_store::ShardIndex;
use std::collections::VecDeque;

/// See the module.
pub(crate) struct Outgoing {
    settled: Vec<Vec<Origin>>,
    /// By shard, in order.
    waiting: Vec<VecDeque<Envelope>>,
    /// How many these are together.
    count: usize,
}

impl Outgoing {
    pub(crate) fn new(shards: u16) -> Self {
        Self {
            settled: (0..shards).map(|_| Vec::new()).collect(),
            waiting: (0..shards).map(|_| VecDeque::new()).collect(),
            count: 0,
        }
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
        let Some(waiting) = self.waiting.get_mut(usize::from(to.0)) else { return false };
        // Behind what waits for the same shard already, so that the order stays.
        let letter = if waiting.is_empty() {
            match ctx.wire.forward(to, Envelope(letter)) {
                Ok(()) => return true,
                Err(Envelope(letter)) => letter,
            }
        } else {
            letter
        };
        let room = match (&letter, waiting.back_mut()) {
            (Letter::Settled(more), Some(Envelope(Letter::Settled(batch)))) => {
                batch.extend_from_slice(more);
                return true;
            }
            (Letter::Settled(_), _) => true,
            (letter, _) if is_awaited(letter) => self.count < 2 * limit,
            _ => self.count < limit,
        };
        if room {
            waiting.push_back(Envelope(letter));
            self.count += 1;
        }
        room
    }

    /// Sends the collected acceptances and what has waited.
    pub(crate) fn flush(&mut self, ctx: &mut Context<'_>, limit: usize) {
        self.retry(ctx);
        for shard in 0..self.settled.len() {
            let batch = std::mem::take(&mut self.settled[shard]);
            if !batch.is_empty() {
                self.reliably(ctx, ShardIndex(shard as u16), Letter::Settled(batch), limit);
            }
        }
    }

    fn retry(&mut self, ctx: &mut Context<'_>) {
        for (shard, waiting) in self.waiting.iter_mut().enumerate() {
            while let Some(envelope) = waiting.pop_front() {
                if let Err(envelope) = ctx.wire.forward(ShardIndex(shard as u16), envelope) {
                    waiting.push_front(envelope);
                    break;
                }
                self.count -= 1;
                if waiting.is_empty() {
                    // A storm's capacity must not stay for ever.
                    *waiting = VecDeque::new();
                }
            }
        }
    }

    /// Whether something waits for this shard: presence that comes later must not pass it by.
    pub(crate) fn has_waiting(&self, to: ShardIndex) -> bool {
        self.waiting.get(usize::from(to.0)).is_some_and(|waiting| !waiting.is_empty())
    }

    /// How many envelopes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.count
    }
}

/// Whether somebody waits for just this: the sender of a message, a login, a command.
fn is_awaited(letter: &Letter) -> bool {
    match letter {
        Letter::Parcel(parcel) => parcel.settles.is_some(),
        Letter::Settled(_)
        | Letter::Credentials { .. }
        | Letter::TokenProved { .. }
        | Letter::Outcome { .. } => true,
        Letter::Tell(_)
        | Letter::CredentialsWanted { .. }
        | Letter::Tiding(_)
        | Letter::TokenClaimed { .. }
        | Letter::Command(_)
        | Letter::Look(_)
        | Letter::LookAtAll => false,
    }
}
