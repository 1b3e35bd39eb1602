//! How often a busy shard has a turn: what comes within a millisecond is dealt with together.
//!
//! A turn costs its wake-up, and each client that it writes to a segment, however little there is to do. So a shard that is busy begins
//! turns at least a *gap* apart: what has come meanwhile is one turn's work, several stanzas for one client one write. A shard that
//! has little to do has no gap, and one that has more to do than fits into it has turns that are longer. In between the gap grows with
//! the part of its time that the shard spends in turns. What a gap costs is latency, up to its length at each shard that a stanza passes
//! (docs/performance.md). So nobody is to be able to have others wait: what accounts do beyond their share, and who is still logging in,
//! is no load here.
//!
//! Owned by the shard's event loop. No clock of its own.

use std::time::{Duration, Instant};

/// How long is looked back at once.
const WINDOW: Duration = Duration::from_millis(20);
/// A shard that is in turns for less than this part of its time has no gap, in thousandths,
const IDLE: u64 = 40;
/// and one that is for more than this has the whole of it.
const BUSY: u64 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    gap_max: Duration,
    gap: Duration,
    /// The part of time spent in turns lately, in thousandths.
    busy: u64,
    /// In this window.
    spent: Duration,
    since: Instant,
}

/// A turn that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    /// What of it went to those who are logging in.
    pub(super) strangers_took: Duration,
    /// Some account has spent its share, and more of the turn may have been its than can be told.
    pub(super) has_debtors: bool,
}

impl Turn {
    /// How much of it is a reason to space turns.
    fn load(&self) -> Duration {
        match self.has_debtors {
            true => Duration::ZERO,
            false => self.ended.duration_since(self.begun).saturating_sub(self.strangers_took),
        }
    }
}

impl Pace {
    /// Of a shard that has done nothing yet. `gap_max` of zero: turns follow each other as events come.
    pub(super) fn new(gap_max: Duration, now: Instant) -> Self {
        Self { gap_max, gap: Duration::ZERO, busy: 0, spent: Duration::ZERO, since: now }
    }

    /// A turn is over.
    pub(super) fn turned(&mut self, turn: Turn) {
        self.spent += turn.load();
        let ended = turn.ended;
        let elapsed = ended.duration_since(self.since);
        if elapsed < WINDOW {
            return;
        }
        let share = 1_000 * self.spent.as_micros() as u64 / elapsed.as_micros().max(1) as u64;
        // After a long quiet nothing of what was before it counts.
        self.busy = if elapsed > 10 * WINDOW { share } else { (self.busy + share) / 2 };
        (self.spent, self.since) = (Duration::ZERO, ended);
        let grown = self.busy.clamp(IDLE, BUSY) - IDLE;
        self.gap = self.gap_max * grown as u32 / (BUSY - IDLE) as u32;
    }

    /// How long the next turn is to be put off, if the last one has begun then.
    pub(super) fn pause(&self, begun: Instant, now: Instant) -> Option<Duration> {
        let pause = (begun + self.gap).saturating_duration_since(now);
        (!pause.is_zero()).then_some(pause)
    }

    /// The gap now.
    pub(super) fn gap(&self) -> Duration {
        self.gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP_MAX: Duration = Duration::from_millis(1);

    fn turn(begun: Instant, turn_us: u64) -> Turn {
        let ended = begun + Duration::from_micros(turn_us);
        Turn { begun, ended, strangers_took: Duration::ZERO, has_debtors: false }
    }

    /// Such turns, one in each millisecond, for so long; what the gap is then.
    fn gap_of(pace: &mut Pace, now: &mut Instant, ms: u32, turn: impl Fn(Instant) -> Turn) -> Duration {
        for _ in 0..ms {
            pace.turned(turn(*now));
            *now += Duration::from_millis(1);
        }
        pace.gap()
    }

    /// The same with turns of so many microseconds.
    fn gap(pace: &mut Pace, now: &mut Instant, turn_us: u64, ms: u32) -> Duration {
        gap_of(pace, now, ms, |begun| turn(begun, turn_us))
    }

    #[test]
    fn the_gap_grows_with_the_load_and_goes_with_it() {
        let mut now = super::super::now();
        let mut pace = Pace::new(GAP_MAX, now);
        assert_eq!(gap(&mut pace, &mut now, 30, 500), Duration::ZERO, "three in a hundred is idle");
        let some = gap(&mut pace, &mut now, 70, 500);
        assert!(some > GAP_MAX / 3 && some < GAP_MAX * 2 / 3, "{some:?}");
        assert_eq!(gap(&mut pace, &mut now, 200, 500), GAP_MAX);
        assert_eq!(gap(&mut pace, &mut now, 30, 200), Duration::ZERO);
        gap(&mut pace, &mut now, 200, 500);
        now += Duration::from_secs(1);
        pace.turned(turn(now, 50));
        assert_eq!(pace.gap(), Duration::ZERO, "after a quiet second it is gone at once");
    }

    #[test]
    fn nobody_who_takes_more_than_a_share_has_others_wait() {
        let mut now = super::super::now();
        let mut pace = Pace::new(GAP_MAX, now);
        let owing = gap_of(&mut pace, &mut now, 500, |begun| Turn { has_debtors: true, ..turn(begun, 400) });
        assert_eq!(owing, Duration::ZERO);
        let strangers_took = Duration::from_micros(380);
        let strangers = gap_of(&mut pace, &mut now, 500, |begun| Turn { strangers_took, ..turn(begun, 400) });
        assert_eq!(strangers, Duration::ZERO);
        assert_eq!(gap(&mut pace, &mut now, 400, 500), GAP_MAX, "what the others do is a load as before");
    }

    #[test]
    fn a_turn_is_put_off_until_the_last_one_began_a_gap_ago() {
        let mut now = super::super::now();
        let mut pace = Pace::new(GAP_MAX, now);
        assert_eq!(pace.pause(now, now), None);
        gap(&mut pace, &mut now, 300, 500);
        assert_eq!(pace.pause(now, now + GAP_MAX / 4), Some(GAP_MAX * 3 / 4));
        assert_eq!(pace.pause(now, now + GAP_MAX), None, "long turns follow each other");
        assert_eq!(Pace::new(Duration::ZERO, now).pause(now, now), None);
    }
}
