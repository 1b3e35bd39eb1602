//! What a turn sends to other shards, and what they did not take.
//!
//! Each place that owns accounts is a destination of its own: what waits for one that is full or dead takes no room from the
//! others. Acceptances are collected per destination and leave once a turn. One whose queue is full gives an envelope back: what
//! can be refused is refused by the caller; acceptances, answers and errors wait here in order, bounded, and are tried
//! again at the end of each turn.
//!
//! What is lost when too much waits for a destination: first what nobody counts on (a farewell, a hint, the answer of another
//! client), and only when as much again waits, answers of ours. An error takes with it what settles its message, so that its
//! sender has neither and sends it again. Acceptances are never lost: they join those that wait already, and there are no more
//! of them than the senders' sessions may have unsettled.

use super::{Envelope, Letter, Origin};
use crate::context::Context;
use crate::places::{Place, Places};
use std::collections::VecDeque;

/// See the module.
pub(crate) struct Outgoing {
    /// In the order of [`Places::owners`].
    destinations: Vec<Destination>,
    /// Envelopes that may wait for one destination.
    limit: usize,
    /// How many wait for all together.
    count: usize,
}

struct Destination {
    place: Place,
    /// Of this turn.
    settled: Vec<Origin>,
    /// What it did not take, in order.
    waiting: VecDeque<Envelope>,
}

impl Outgoing {
    pub(crate) fn new(places: &Places, limit: usize) -> Self {
        let destination =
            |place: &Place| Destination { place: *place, settled: Vec::new(), waiting: VecDeque::new() };
        Self { destinations: places.owners().iter().map(destination).collect(), limit, count: 0 }
    }

    /// A message of this origin, which is at the place of this number, is settled; without one it is of a run that is over,
    /// and nobody waits. Those of the own shard are taken by [`Self::take_own`].
    pub(crate) fn settled(&mut self, place: Option<usize>, origin: Origin) {
        if let Some(destination) = place.and_then(|place| self.destinations.get_mut(place)) {
            destination.settled.push(origin);
        }
    }

    /// The acceptances for sessions at the place of this number.
    pub(crate) fn take_own(&mut self, place: usize) -> Vec<Origin> {
        self.destinations.get_mut(place).map(|own| std::mem::take(&mut own.settled)).unwrap_or_default()
    }

    /// Gives back the vector of [`Self::take_own`], so that its memory is used again.
    pub(crate) fn return_own(&mut self, place: usize, mut batch: Vec<Origin>) {
        batch.clear();
        if let Some(own) = self.destinations.get_mut(place).filter(|own| own.settled.is_empty()) {
            own.settled = batch;
        }
    }

    /// Sends something that must not be lost to the place of this number. False: it is lost, too much waits already.
    pub(crate) fn reliably(&mut self, ctx: &mut Context<'_>, place: usize, letter: Letter) -> bool {
        let Some(destination) = self.destinations.get_mut(place) else { return false };
        let waited = destination.waiting.len();
        let is_sent = destination.send(ctx, letter, self.limit);
        self.count += destination.waiting.len() - waited;
        is_sent
    }

    /// Sends the collected acceptances and what has waited.
    pub(crate) fn flush(&mut self, ctx: &mut Context<'_>) {
        for destination in &mut self.destinations {
            destination.retry(ctx);
            let batch = std::mem::take(&mut destination.settled);
            if !batch.is_empty() {
                destination.send(ctx, Letter::Settled(batch), self.limit);
            }
        }
        self.count = self.destinations.iter().map(|destination| destination.waiting.len()).sum();
    }

    /// Whether something waits for the place of this number: presence that comes later must not pass it by.
    pub(crate) fn has_waiting(&self, place: usize) -> bool {
        self.destinations.get(place).is_some_and(|destination| !destination.waiting.is_empty())
    }

    /// How many envelopes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.count
    }
}

impl Destination {
    /// False: it is lost, too much waits already.
    fn send(&mut self, ctx: &mut Context<'_>, letter: Letter, limit: usize) -> bool {
        let mut envelope = Envelope::new(self.place, letter);
        // Behind what waits for the same place already, so that the order stays.
        if self.waiting.is_empty() {
            match ctx.wire.forward(envelope) {
                Ok(()) => return true,
                Err(back) => envelope = back,
            }
        }
        let room = match (&envelope.letter, self.waiting.back_mut().map(|last| &mut last.letter)) {
            (Letter::Settled(more), Some(Letter::Settled(batch))) => {
                batch.extend_from_slice(more);
                return true;
            }
            (Letter::Settled(_), _) => true,
            (letter, _) if is_awaited(letter) => self.waiting.len() < 2 * limit,
            _ => self.waiting.len() < limit,
        };
        if room {
            self.waiting.push_back(envelope);
        }
        room
    }

    fn retry(&mut self, ctx: &mut Context<'_>) {
        while let Some(envelope) = self.waiting.pop_front() {
            if let Err(envelope) = ctx.wire.forward(envelope) {
                self.waiting.push_front(envelope);
                return;
            }
            if self.waiting.is_empty() {
                // A storm's capacity must not stay for ever.
                self.waiting = VecDeque::new();
            }
        }
    }
}

/// Whether somebody waits for just this: the sender of a message, a login, a command.
fn is_awaited(letter: &Letter) -> bool {
    match letter {
        Letter::Parcel(parcel) => parcel.settles.is_some(),
        Letter::Settled(_) | Letter::Verdict { .. } | Letter::Answer { .. } => true,
        Letter::Tell(_)
        | Letter::Login(_)
        | Letter::Tiding(_)
        | Letter::Asked(_)
        | Letter::Look(_)
        | Letter::LookAtAll => false,
    }
}
