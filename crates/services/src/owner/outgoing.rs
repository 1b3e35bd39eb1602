//! Letters to other shards: those of this turn, those that a link has not taken, and those that were sent and are not yet
//! acknowledged.
//!
//! Each place that owns accounts is a destination of its own, so what waits for a destination that is full, dead or cut off takes
//! no room from the others. Acceptances are collected per destination and leave once a turn, before all other letters. The order
//! of the others, and how they are sent again until the other side has them, is described in [`link`].
//!
//! Every letter has a [`Class`], which says what becomes of it when too much waits or is kept for its destination. Presence is
//! dropped first; then what can be refused with an error: requests, then messages. A destination that has been silent for a while
//! ([`SILENT_MS`]) gets no more presence or requests. A message for it is kept nevertheless, and its sender gets neither `<a/>`
//! nor an error until the message has arrived: its client may have sent it for the second time, the first copy may have arrived,
//! and an error would say that nothing of it is kept (docs/promises.md, M5). Letters that must arrive have as much room again;
//! this shard's answers to logins and commands have twice as much. Acceptances, and errors that settle a message, are never lost:
//! there are never more of them than messages that the senders' sessions wait for.
//!
//! Time is counted in ticks here, each of bounded length: a process that was stopped for a while must not take the others for
//! dead.

mod link;

use crate::effects::letter::{Envelope, LANES, Letter, Origin, Stamp};
use crate::owner::context::Context;
use crate::places::{Place, Places};
use crate::realm::Limits;
use link::{Heard, LETTERS, Lane, SETTLEMENTS};
use std::array::from_fn;

/// A sender that has had no acknowledgement for so long asks for one: well beyond a tick and a busy turn, so that it seldom asks
/// in vain,
pub(super) const ASK_MS: u64 = 2_000;
/// and then at pauses that double up to this: this is what a dead place costs.
const ASK_MS_MAX: u64 = 16_000;
/// A destination without a word for so long is silent: presence is dropped and requests are refused. By then what was lost on the
/// link has been asked for.
const SILENT_MS: u64 = 5_000;
/// How often the links are looked after.
const TICK_MS: u64 = 250;
/// The most that one tick counts.
const TICK_MS_MAX: u64 = 1_000;

/// What becomes of a letter that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Presence for which later presence makes up: dropped.
    Presence,
    /// A request, or a message that is not stored: refused with an error, also while the destination is silent.
    Request,
    /// A message that is stored: refused with an error only if there is no room at all.
    Mail,
    /// `unavailable`, a step of a subscription, or an answer of another client: has twice the room.
    Must,
    /// The answer of this shard to a login or command that somebody waits for: has three times the room.
    Awaited,
    /// A letter that settles a message: never lost.
    Settling,
}

/// See the module.
pub(crate) struct Outgoing {
    /// One for each place, in the order of [`Places::owners`].
    destinations: Vec<Destination>,
    bounds: Bounds,
    /// How many letters wait because no link has taken them.
    waiting: usize,
    ticked_ms: u64,
}

/// The bounds for each destination.
#[derive(Clone, Copy)]
struct Bounds {
    /// Letters that its link did not take.
    waiting: usize,
    /// Letters that are not yet acknowledged, those under way included.
    kept: usize,
    /// The bytes of those letters.
    bytes: usize,
}

struct Destination {
    here: Place,
    place: Place,
    /// Acceptances of this turn, for messages of that place's sessions.
    settled: Vec<Origin>,
    lanes: [Lane; LANES],
    heard: [Heard; LANES],
    /// For how long nothing was heard while something was under way, in counted ticks.
    silent_ms: u64,
    /// When `silent_ms` reaches this, the destination is asked what it has.
    ask_at_ms: u64,
    ask_every_ms: u64,
}

/// The state of all links of a shard, for metrics and dumps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// Letters that their receivers have not acknowledged.
    pub(crate) kept: usize,
    pub(crate) bytes: usize,
    /// Destinations that are silent.
    pub(crate) silent: usize,
}

/// What a letter from another place means for the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Came {
    /// The letter is the next in order, and to be opened.
    pub(crate) is_next: bool,
    /// How many letters of this shard will be sent again.
    pub(crate) again: usize,
}

impl Outgoing {
    pub(crate) fn new(places: &Places, here: Place, limits: &Limits) -> Self {
        let bounds = Bounds {
            waiting: limits.undelivered_envelopes,
            kept: limits.kept_envelopes,
            bytes: limits.kept_envelope_bytes,
        };
        let destinations = places.owners().iter().map(|place| Destination::new(here, *place)).collect();
        Self { destinations, bounds, waiting: 0, ticked_ms: 0 }
    }

    /// A message of this origin is accepted or refused. `place` is the number of the place that the origin's session is at;
    /// `None`: it was of an earlier run, and nobody waits. Those of this shard itself are taken by [`Self::take_own`].
    pub(crate) fn settled(&mut self, place: Option<usize>, origin: Origin) {
        if let Some(destination) = place.and_then(|place| self.destinations.get_mut(place)) {
            destination.settled.push(origin);
        }
    }

    /// Whether there are acceptances for sessions at the place of this number.
    pub(crate) fn has_own(&self, place: usize) -> bool {
        self.destinations.get(place).is_some_and(|own| !own.settled.is_empty())
    }

    /// Takes the acceptances for sessions at the place of this number.
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

    /// Sends a letter to the place of this number, behind what waits for it. Fails if there is no room for a letter of its class.
    pub(crate) fn post(
        &mut self,
        ctx: &mut Context<'_>,
        place: usize,
        letter: Letter,
        class: Class,
    ) -> Result<(), Letter> {
        let Some(destination) = self.destinations.get_mut(place) else { return Err(letter) };
        let waited = destination.waiting();
        let posted = destination.post(ctx, letter, class, self.bounds);
        self.waiting = self.waiting + destination.waiting() - waited;
        posted
    }

    /// A letter has come from the place of this number: notes what it acknowledges, and whether it is the next in order.
    pub(crate) fn came(&mut self, place: usize, stamp: &Stamp, letter: &Letter) -> Came {
        let Some(destination) = self.destinations.get_mut(place) else {
            return Came { is_next: false, again: 0 };
        };
        let waited = destination.waiting();
        let came = destination.came(stamp, letter);
        self.waiting = self.waiting + destination.waiting() - waited;
        came
    }

    /// Sends the collected acceptances, and what has waited.
    pub(crate) fn flush(&mut self, ctx: &mut Context<'_>) {
        self.waiting = 0;
        // Letters to this place itself never get here.
        for destination in
            self.destinations.iter_mut().filter(|destination| destination.place != destination.here)
        {
            destination.flush(ctx);
            self.waiting += destination.waiting();
        }
    }

    /// Looks after the links, at most every [`TICK_MS`].
    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>) {
        let elapsed_ms = ctx.now_ms.saturating_sub(self.ticked_ms);
        if elapsed_ms >= TICK_MS {
            self.ticked_ms = ctx.now_ms;
            let elapsed_ms = elapsed_ms.min(TICK_MS_MAX);
            self.destinations.iter_mut().for_each(|destination| destination.tick(ctx, elapsed_ms));
        }
    }

    /// How many letters wait because no destination has taken them.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How much is kept for all destinations.
    pub(crate) fn level(&self) -> Level {
        let mut level = Level::default();
        for destination in &self.destinations {
            for (kept, bytes) in destination.lanes.iter().map(Lane::kept) {
                level.kept += kept;
                level.bytes += bytes;
            }
            level.silent += usize::from(destination.is_silent());
        }
        level
    }
}

impl Destination {
    fn new(here: Place, place: Place) -> Self {
        Self {
            here,
            place,
            settled: Vec::new(),
            lanes: Default::default(),
            heard: Default::default(),
            silent_ms: 0,
            ask_at_ms: ASK_MS,
            ask_every_ms: ASK_MS,
        }
    }

    fn post(
        &mut self,
        ctx: &mut Context<'_>,
        letter: Letter,
        class: Class,
        bounds: Bounds,
    ) -> Result<(), Letter> {
        if self.lanes[LETTERS].waiting() > 0 {
            self.send_on(ctx, LETTERS);
        }
        if !self.keeps(class, bounds) {
            return Err(letter);
        }
        let mut letter = letter;
        if self.lanes[LETTERS].waiting() == 0 {
            let copy = letter.copy();
            match self.send(ctx, self.lanes[LETTERS].next_number(), letter) {
                Ok(()) => {
                    self.lanes[LETTERS].has_sent(copy);
                    return Ok(());
                }
                Err(back) => letter = back,
            }
        }
        if !self.may_wait(class, bounds) {
            return Err(letter);
        }
        self.lanes[LETTERS].push(letter);
        Ok(())
    }

    /// Whether one more letter of this class may be kept until it is acknowledged.
    fn keeps(&self, class: Class, bounds: Bounds) -> bool {
        let (kept, bytes) = self.lanes[LETTERS].kept();
        let has_room = |halves: usize| {
            let most = |bound: usize| bound.saturating_mul(halves) / 2;
            kept < most(bounds.kept) && bytes < most(bounds.bytes)
        };
        match class {
            Class::Presence => has_room(1) && !self.is_silent(),
            Class::Request => has_room(2) && !self.is_silent(),
            Class::Mail => has_room(2),
            Class::Must => has_room(4),
            Class::Awaited => has_room(6),
            Class::Settling => true,
        }
    }

    /// Whether a letter of this class that the link has not taken may wait.
    fn may_wait(&self, class: Class, bounds: Bounds) -> bool {
        let waiting = self.lanes[LETTERS].waiting();
        match class {
            // Presence waits only behind other letters that wait, so that it does not overtake them.
            Class::Presence => waiting > 0 && waiting < bounds.waiting,
            Class::Request | Class::Mail => false,
            Class::Must => waiting < bounds.waiting,
            Class::Awaited => waiting < bounds.waiting.saturating_mul(2),
            Class::Settling => true,
        }
    }

    fn came(&mut self, stamp: &Stamp, letter: &Letter) -> Came {
        let mut again = 0;
        for (lane, (seen, wants)) in self.lanes.iter_mut().zip(stamp.seen.into_iter().zip(stamp.wants)) {
            if lane.note_seen(seen) {
                (self.silent_ms, self.ask_at_ms, self.ask_every_ms) = (0, ASK_MS, ASK_MS);
            }
            if wants {
                again += lane.go_back();
            }
        }
        let is_next = match letter {
            Letter::Seen => false,
            Letter::Tally(sent) => {
                self.heard.iter_mut().zip(sent).for_each(|(heard, sent)| heard.tally(*sent));
                false
            }
            // A letter that is never sent again need not be in order: nothing waits behind it.
            letter => self.heard[letter.lane()].take(stamp.number) || !letter.is_kept(),
        };
        Came { is_next, again }
    }

    fn flush(&mut self, ctx: &mut Context<'_>) {
        let batch = std::mem::take(&mut self.settled);
        if !batch.is_empty() {
            self.lanes[SETTLEMENTS].push(Letter::Settled(batch));
        }
        if self.send_on(ctx, SETTLEMENTS) {
            self.send_on(ctx, LETTERS);
        }
        if self.heard.iter().any(|heard| heard.is_due) {
            _ = self.send(ctx, 0, Letter::Seen);
        }
    }

    fn tick(&mut self, ctx: &mut Context<'_>, elapsed_ms: u64) {
        if self.heard.iter().any(Heard::is_untold) {
            _ = self.send(ctx, 0, Letter::Seen);
        }
        if !self.lanes.iter().any(Lane::is_unseen) {
            (self.silent_ms, self.ask_at_ms, self.ask_every_ms) = (0, ASK_MS, ASK_MS);
            return;
        }
        self.silent_ms += elapsed_ms;
        if self.silent_ms >= self.ask_at_ms {
            self.ask_every_ms = (2 * self.ask_every_ms).min(ASK_MS_MAX);
            self.ask_at_ms = self.silent_ms + self.ask_every_ms;
            let sent = from_fn(|lane| self.lanes[lane].sent());
            _ = self.send(ctx, 0, Letter::Tally(sent));
        }
    }

    /// Sends what waits in a lane as long as the link takes it. Returns whether nothing is left.
    fn send_on(&mut self, ctx: &mut Context<'_>, lane: usize) -> bool {
        while let Some((number, letter)) = self.lanes[lane].next() {
            if let Err(letter) = self.send(ctx, number, letter) {
                self.lanes[lane].put_back(letter);
                return false;
            }
            self.lanes[lane].went();
        }
        true
    }

    fn send(&mut self, ctx: &mut Context<'_>, number: u64, letter: Letter) -> Result<(), Letter> {
        let stamp = Stamp {
            from: self.here,
            number,
            seen: from_fn(|lane| self.heard[lane].last),
            wants: from_fn(|lane| self.heard[lane].wants),
        };
        ctx.wire.forward(Envelope::stamped(self.place, stamp, letter)).map_err(|envelope| envelope.letter)?;
        self.heard.iter_mut().for_each(Heard::told);
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.lanes.iter().map(Lane::waiting).sum()
    }

    fn is_silent(&self) -> bool {
        self.silent_ms >= SILENT_MS
    }
}
