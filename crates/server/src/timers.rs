//! A coarse timing wheel: every connection's one deadline (login, idle probe, linger), in ticks.
//!
//! Owned by a shard's event loop. Scheduling is a push, hearing from a client costs nothing: a deadline that has
//! moved away is noticed and put further back only when its old place in the wheel is reached. A deadline that moves
//! closer gets a second place; the stale one is ignored when it comes up. Nothing fires early; it fires at most one
//! tick late.

use chaski_services::wire::ConnId;
use std::collections::VecDeque;

/// Slots of the wheel. With ticks of a second it spans 34 minutes; what lies beyond waits in the last slot and is
/// put further back from there.
const SLOTS: u32 = 2048;
const NONE: u32 = u32::MAX;

/// A connection's place in time: 8 bytes in its record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// When it is due.
    due: u32,
    /// Where the wheel has it. Entries at other ticks are stale.
    entry: u32,
}

impl Default for Deadline {
    fn default() -> Self {
        Self { due: NONE, entry: NONE }
    }
}

/// What a fired entry means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fired {
    /// The deadline has come.
    Due,
    /// Not yet, or stale.
    NotYet,
}

/// The wheel of one shard.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Box<[Vec<ConnId>]>,
    /// The last tick whose slot has been emptied.
    now: u32,
    tick_ms: u64,
}

impl Wheel {
    /// Ticks of `tick_ms` (at least 1), beginning at time 0 of the shard's clock.
    pub(crate) fn new(tick_ms: u64) -> Self {
        Self { slots: vec![Vec::new(); SLOTS as usize].into(), now: 0, tick_ms: tick_ms.max(1) }
    }

    /// The tick that has passed by this time.
    pub(crate) fn tick_at(&self, now_ms: u64) -> u32 {
        u32::try_from(now_ms / self.tick_ms).unwrap_or(NONE - 1)
    }

    /// The current tick.
    pub(crate) fn now(&self) -> u32 {
        self.now
    }

    /// So many ticks are at least this long.
    pub(crate) fn ticks(&self, duration_ms: u64) -> u32 {
        u32::try_from(duration_ms.div_ceil(self.tick_ms)).unwrap_or(NONE / 2).min(NONE / 2)
    }

    /// Sets the connection's deadline to `ticks` whole ticks from now.
    pub(crate) fn set(&mut self, conn: ConnId, deadline: &mut Deadline, ticks: u32) {
        // One more: the current tick has begun already.
        self.set_at(conn, deadline, self.now.saturating_add(ticks).saturating_add(1));
    }

    fn set_at(&mut self, conn: ConnId, deadline: &mut Deadline, due: u32) {
        deadline.due = due.max(self.now + 1);
        if deadline.entry == NONE || deadline.entry > deadline.due {
            self.insert(conn, deadline);
        }
    }

    fn insert(&mut self, conn: ConnId, deadline: &mut Deadline) {
        let at = deadline.due.min(self.now + SLOTS - 1);
        deadline.entry = at;
        self.slots[(at % SLOTS) as usize].push(conn);
    }

    /// Moves the wheel on by at most one tick towards `now_ms`, and appends that tick's entries to `fired`. `true`: call again.
    pub(crate) fn advance(&mut self, now_ms: u64, fired: &mut VecDeque<ConnId>) -> bool {
        let target = self.tick_at(now_ms);
        if self.now >= target {
            return false;
        }
        self.now += 1;
        // The slot's memory goes with it: a burst of logins must not stay as capacity for ever.
        fired.extend(std::mem::take(&mut self.slots[(self.now % SLOTS) as usize]));
        self.now < target
    }

    /// Judges an entry that [`advance`](Self::advance) has yielded, and puts it further back if its deadline has moved.
    pub(crate) fn fire(&mut self, conn: ConnId, deadline: &mut Deadline) -> Fired {
        if deadline.entry > self.now {
            return Fired::NotYet;
        }
        deadline.entry = NONE;
        if deadline.due <= self.now {
            deadline.due = NONE;
            return Fired::Due;
        }
        if deadline.due != NONE {
            self.insert(conn, deadline);
        }
        Fired::NotYet
    }

    /// Milliseconds until the next tick.
    pub(crate) fn next_tick_in_ms(&self, now_ms: u64) -> u64 {
        (u64::from(self.now) + 1).saturating_mul(self.tick_ms).saturating_sub(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId(7);

    /// Runs to `now_ms` and returns the ticks at which the deadline fell due.
    fn run(wheel: &mut Wheel, deadline: &mut Deadline, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        let mut fired = VecDeque::new();
        loop {
            let more = wheel.advance(now_ms, &mut fired);
            for conn in fired.drain(..) {
                if wheel.fire(conn, deadline) == Fired::Due {
                    due.push(wheel.now());
                }
            }
            if !more {
                return due;
            }
        }
    }

    #[test]
    fn fires_once_and_not_early() {
        let (mut wheel, mut deadline) = (Wheel::new(1000), Deadline::default());
        wheel.set(CONN, &mut deadline, 3);
        assert!(run(&mut wheel, &mut deadline, 3_999).is_empty());
        assert_eq!(run(&mut wheel, &mut deadline, 20_000), [4]);
        assert!(run(&mut wheel, &mut deadline, 5_000_000).is_empty());
    }

    #[test]
    fn a_later_deadline_replaces_an_earlier_one() {
        let (mut wheel, mut deadline) = (Wheel::new(1000), Deadline::default());
        wheel.set(CONN, &mut deadline, 3);
        run(&mut wheel, &mut deadline, 2_000);
        wheel.set(CONN, &mut deadline, 10);
        assert_eq!(run(&mut wheel, &mut deadline, 60_000), [13]);
    }

    #[test]
    fn an_earlier_deadline_replaces_a_later_one() {
        let (mut wheel, mut deadline) = (Wheel::new(1000), Deadline::default());
        wheel.set(CONN, &mut deadline, 900);
        wheel.set(CONN, &mut deadline, 5);
        assert_eq!(run(&mut wheel, &mut deadline, 800_000), [6]);
        wheel.set(CONN, &mut deadline, 500);
        // The stale entry at 901 must not fire the new deadline.
        assert!(run(&mut wheel, &mut deadline, 1_000_000).is_empty());
        assert_eq!(run(&mut wheel, &mut deadline, 1_400_000), [1301]);
    }

    #[test]
    fn deadlines_beyond_the_wheel_are_kept() {
        let (mut wheel, mut deadline) = (Wheel::new(1), Deadline::default());
        wheel.set(CONN, &mut deadline, 3 * SLOTS);
        assert!(run(&mut wheel, &mut deadline, u64::from(3 * SLOTS)).is_empty());
        assert_eq!(run(&mut wheel, &mut deadline, u64::from(4 * SLOTS)), [3 * SLOTS + 1]);
    }
}
