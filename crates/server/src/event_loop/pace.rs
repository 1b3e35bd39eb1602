//! The pace of a busy shard's turns: what arrives within a millisecond is handled together.
//!
//! A turn costs a wake-up, and a TCP segment for each client that it writes to, however little there is to do. So a busy shard
//! begins its turns at least a *gap* apart: what has arrived meanwhile is one turn's work, and several stanzas for one client are
//! one write. A shard that has little to do has no gap; one that has more to do than fits into the gap has longer turns. In
//! between, the gap grows with the part of time that the shard spends in turns. A gap costs latency: up to its length at each
//! shard that a stanza passes (docs/performance.md). So that no account can make others wait, work beyond an account's share, and
//! logins, do not count as load here.
//!
//! Owned by the shard's event loop. No clock of its own: times are microseconds since the loop's origin.

use std::time::Duration;

/// The length of one measurement.
const WINDOW_US: u64 = 20_000;
/// A shard that is in turns for less than this part of its time has no gap, in thousandths,
const IDLE: u64 = 40;
/// and one that is for more than this has the whole of it.
const BUSY: u64 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    gap_max_us: u64,
    gap_us: u64,
    /// The same for the present window.
    busy: u64,
    /// In this window.
    spent_us: u64,
    since_us: u64,
}

/// A turn that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) begun_us: u64,
    pub(super) ended_us: u64,
    /// The part of the turn that was spent on logins.
    pub(super) strangers_took_us: u64,
    /// Some account has spent its share, so an unknown part of the turn was spent on that account.
    pub(super) has_debtors: bool,
}

impl Turn {
    /// How much of the turn counts as load.
    fn load_us(&self) -> u64 {
        match self.has_debtors {
            true => 0,
            false => (self.ended_us - self.begun_us).saturating_sub(self.strangers_took_us),
        }
    }
}

impl Pace {
    /// The pace of a shard that has done nothing yet. `gap_max_us` of zero: each turn begins as soon as there are events.
    pub(super) fn new(gap_max_us: u64, now_us: u64) -> Self {
        Self { gap_max_us, gap_us: 0, busy: 0, spent_us: 0, since_us: now_us }
    }

    /// A turn is over.
    pub(super) fn turned(&mut self, turn: Turn) {
        self.spent_us += turn.load_us();
        let elapsed_us = turn.ended_us - self.since_us;
        if elapsed_us < WINDOW_US {
            return;
        }
        let share = 1_000 * self.spent_us / elapsed_us;
        // After a long quiet time earlier measurements do not count.
        self.busy = if elapsed_us > 10 * WINDOW_US { share } else { (self.busy + share) / 2 };
        (self.spent_us, self.since_us) = (0, turn.ended_us);
        let grown = self.busy.clamp(IDLE, BUSY) - IDLE;
        self.gap_us = self.gap_max_us * grown / (BUSY - IDLE);
    }

    /// How long the next turn has to be put off, if the last one has begun at `begun_us`.
    pub(super) fn pause(&self, begun_us: u64, now_us: u64) -> Option<Duration> {
        let pause_us = (begun_us + self.gap_us).saturating_sub(now_us);
        (pause_us > 0).then(|| Duration::from_micros(pause_us))
    }

    /// The gap now.
    pub(super) fn gap_us(&self) -> u64 {
        self.gap_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP_MAX_US: u64 = 1_000;

    fn turn(begun_us: u64, turn_us: u64) -> Turn {
        Turn { begun_us, ended_us: begun_us + turn_us, strangers_took_us: 0, has_debtors: false }
    }

    /// Such turns, one in each millisecond, for so long; what the gap is then.
    fn gap_of(pace: &mut Pace, now_us: &mut u64, ms: u32, turn: impl Fn(u64) -> Turn) -> u64 {
        for _ in 0..ms {
            pace.turned(turn(*now_us));
            *now_us += 1_000;
        }
        pace.gap_us()
    }

    /// The same with turns of so many microseconds.
    fn gap(pace: &mut Pace, now_us: &mut u64, turn_us: u64, ms: u32) -> u64 {
        gap_of(pace, now_us, ms, |begun_us| turn(begun_us, turn_us))
    }

    #[test]
    fn the_gap_grows_with_the_load_and_goes_with_it() {
        let mut now_us = 0;
        let mut pace = Pace::new(GAP_MAX_US, now_us);
        assert_eq!(gap(&mut pace, &mut now_us, 30, 500), 0, "three in a hundred is idle");
        let some = gap(&mut pace, &mut now_us, 70, 500);
        assert!(some > GAP_MAX_US / 3 && some < GAP_MAX_US * 2 / 3, "{some:?}");
        assert_eq!(gap(&mut pace, &mut now_us, 200, 500), GAP_MAX_US);
        assert_eq!(gap(&mut pace, &mut now_us, 30, 200), 0);
        gap(&mut pace, &mut now_us, 200, 500);
        now_us += 1_000_000;
        pace.turned(turn(now_us, 50));
        assert_eq!(pace.gap_us(), 0, "after a quiet second it is gone at once");
    }

    #[test]
    fn nobody_who_takes_more_than_a_share_has_others_wait() {
        let mut now_us = 0;
        let mut pace = Pace::new(GAP_MAX_US, now_us);
        let owing = gap_of(&mut pace, &mut now_us, 500, |us| Turn { has_debtors: true, ..turn(us, 400) });
        assert_eq!(owing, 0);
        let of_strangers = |us| Turn { strangers_took_us: 380, ..turn(us, 400) };
        assert_eq!(gap_of(&mut pace, &mut now_us, 500, of_strangers), 0);
        let others = gap(&mut pace, &mut now_us, 400, 500);
        assert_eq!(others, GAP_MAX_US, "what the others do is a load as before");
    }

    #[test]
    fn a_turn_is_put_off_until_the_last_one_began_a_gap_ago() {
        let mut now_us = 0;
        let mut pace = Pace::new(GAP_MAX_US, now_us);
        assert_eq!(pace.pause(now_us, now_us), None);
        gap(&mut pace, &mut now_us, 300, 500);
        let rest = Duration::from_micros(GAP_MAX_US * 3 / 4);
        assert_eq!(pace.pause(now_us, now_us + GAP_MAX_US / 4), Some(rest));
        assert_eq!(pace.pause(now_us, now_us + GAP_MAX_US), None, "long turns follow each other");
        assert_eq!(Pace::new(0, now_us).pause(now_us, now_us), None);
    }
}
