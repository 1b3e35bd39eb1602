//! Plausible time as a state machine: what the server believes, given what the machine's clocks say. Pure.
//!
//! Two numbers. *Age time* is what durable stamps are made of and compared with: it advances with the monotonic clock while
//! the server runs, whatever the wall clock does, and is never set back; a start adds what the wall clock says has passed
//! since the last run. *Shown time* is age time and an offset: what people and clients are shown; it follows the
//! wall clock. So the age of a message is what has passed since it was accepted, and a clock that is set right also sets
//! right how old stamps are shown.
//!
//! A jump of the wall clock by more than a day is in *doubt*: it changes nothing until the server has run with it for 24
//! hours (counted over restarts), or the operator accepts it. If it came while the server ran, believing it
//! changes what is shown: the monotonic clock knows what has passed. If it came while no server ran, and forwards, age time
//! follows: nobody knows better, and a long stop looks the same.
//!
//! Promises: age time never goes back; within any 24 hours of running, and unless a jump is accepted, it advances by at most
//! what the monotonic clock does and one day, however often the server starts and whatever the wall clock says; a wall clock
//! that was never set (before the program's year) is never believed, and when it is set nothing ages by that.
//! Called by [`super::Time`].

/// What a wall clock may be off without anybody being asked, and how long a jump waits.
pub const DAY_MS: u64 = 86_400_000;
/// 2026-01-01. The program is younger: a wall clock that says less was never set.
pub const UNSET_BEFORE_MS: u64 = 1_767_225_600_000;

/// What the machine's clocks say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The monotonic clock, from any origin.
    pub now_ms: u64,
    /// The wall clock, Unix time.
    pub wall_unix_ms: u64,
}

/// A jump of the wall clock that is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// How far the wall clock was ahead of shown time when it was noticed; negative: behind.
    pub by_ms: i64,
    /// How long the server has run since.
    pub ran_ms: u64,
    /// It came while no server ran.
    pub stopped: bool,
}

/// What an observation changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The wall clock has jumped.
    Doubted(Doubt),
    /// It is back where it was believed to be.
    Agreed,
    /// The jump is believed now.
    Believed {
        /// How far it was.
        by_ms: i64,
    },
    /// A clock that had never been set is set.
    Set {
        /// By how much.
        by_ms: i64,
    },
}

/// Why there is nothing to accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// The wall clock is believed.
    #[error("the machine's clock is believed: there is nothing to accept")]
    NoDoubt,
    /// It was never set.
    #[error("the machine's clock is before 2026: set it first")]
    Unset,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlausibleTime {
    /// The monotonic clock at the last observation.
    at_ms: u64,
    /// Age time then.
    unix_ms: u64,
    /// Shown time less age time.
    shown_by_ms: i64,
    /// What starts have added lately, at most a day,
    leapt_ms: u64,
    /// and how long the server has run since the first of them.
    leapt_ran_ms: u64,
    /// The wall clock has been seen set.
    is_set: bool,
    doubt: Option<Doubt>,
}

impl PlausibleTime {
    /// At the first start with this data.
    pub fn first(reading: Reading) -> Self {
        let mut first = Self {
            at_ms: reading.now_ms,
            unix_ms: reading.wall_unix_ms.max(UNSET_BEFORE_MS),
            shown_by_ms: 0,
            leapt_ms: 0,
            leapt_ran_ms: 0,
            is_set: reading.wall_unix_ms >= UNSET_BEFORE_MS,
            doubt: None,
        };
        first.look(reading.wall_unix_ms, 0, true);
        first
    }

    /// At another start, with what [`Self::to_text`] has written before. `None`: it is not of that form.
    pub fn again(kept: &str, reading: Reading) -> Option<Self> {
        let mut time = Self::from_text(kept, reading.now_ms)?;
        time.look(reading.wall_unix_ms, 0, true);
        Some(time)
    }

    /// The machine's clocks say this now.
    pub fn observe(&mut self, reading: Reading) -> Option<Change> {
        let ran_ms = reading.now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(reading.now_ms);
        self.unix_ms = self.unix_ms.saturating_add(ran_ms);
        if self.leapt_ms > 0 {
            self.leapt_ran_ms = self.leapt_ran_ms.saturating_add(ran_ms);
            if self.leapt_ran_ms >= DAY_MS {
                (self.leapt_ms, self.leapt_ran_ms) = (0, 0);
            }
        }
        self.look(reading.wall_unix_ms, ran_ms, false)
    }

    /// The operator says that the wall clock is right. By how much it had jumped.
    pub fn accept(&mut self, reading: Reading) -> Result<i64, NotAccepted> {
        self.observe(reading);
        match self.doubt {
            None => Err(NotAccepted::NoDoubt),
            Some(_) if reading.wall_unix_ms < UNSET_BEFORE_MS => Err(NotAccepted::Unset),
            Some(doubt) => Ok(self.believe(doubt, reading.wall_unix_ms)),
        }
    }

    /// Age time at the last observation.
    pub fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    /// What is added to a stamp when it is shown.
    pub fn shown_by_ms(&self) -> i64 {
        self.shown_by_ms
    }

    /// The monotonic clock at the last observation.
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// The jump that is not believed, if there is one.
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    fn look(&mut self, wall_unix_ms: u64, ran_ms: u64, stopped: bool) -> Option<Change> {
        let by_ms = self.wall_ahead_ms(wall_unix_ms);
        if wall_unix_ms < UNSET_BEFORE_MS {
            return self.doubt_it(by_ms, ran_ms, stopped);
        }
        if !self.is_set {
            (self.is_set, self.doubt) = (true, None);
            self.show_by(by_ms);
            return Some(Change::Set { by_ms });
        }
        if by_ms.unsigned_abs() <= DAY_MS {
            if stopped {
                self.leap(by_ms);
            }
            self.show_by(self.wall_ahead_ms(wall_unix_ms));
            return self.doubt.take().map(|_| Change::Agreed);
        }
        let change = self.doubt_it(by_ms, ran_ms, stopped);
        match self.doubt {
            Some(doubt) if doubt.ran_ms >= DAY_MS => {
                Some(Change::Believed { by_ms: self.believe(doubt, wall_unix_ms) })
            }
            _ => change,
        }
    }

    /// The same jump goes on, or this is another.
    fn doubt_it(&mut self, by_ms: i64, ran_ms: u64, stopped: bool) -> Option<Change> {
        if let Some(doubt) = &mut self.doubt
            && doubt.by_ms.abs_diff(by_ms) <= DAY_MS
        {
            doubt.ran_ms = doubt.ran_ms.saturating_add(ran_ms);
            return None;
        }
        let doubt = Doubt { by_ms, ran_ms: 0, stopped };
        self.doubt = Some(doubt);
        Some(Change::Doubted(doubt))
    }

    fn believe(&mut self, doubt: Doubt, wall_unix_ms: u64) -> i64 {
        let by_ms = self.wall_ahead_ms(wall_unix_ms);
        match u64::try_from(by_ms) {
            Ok(ahead_ms) if doubt.stopped => self.unix_ms = self.unix_ms.saturating_add(ahead_ms),
            _ => self.show_by(by_ms),
        }
        self.doubt = None;
        by_ms
    }

    /// A start: time has passed, as far as that has not been said too often.
    fn leap(&mut self, by_ms: i64) {
        let step_ms = u64::try_from(by_ms).unwrap_or(0).min(DAY_MS - self.leapt_ms);
        self.unix_ms = self.unix_ms.saturating_add(step_ms);
        self.leapt_ms += step_ms;
    }

    fn show_by(&mut self, by_ms: i64) {
        self.shown_by_ms = self.shown_by_ms.saturating_add(by_ms);
    }

    fn wall_ahead_ms(&self, wall_unix_ms: u64) -> i64 {
        let whole = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        whole(wall_unix_ms).saturating_sub(whole(self.unix_ms)).saturating_sub(self.shown_by_ms)
    }

    /// What is kept for the next start: numbers in the order of the fields.
    pub fn to_text(&self) -> String {
        let doubt = self.doubt.map_or_else(String::new, |doubt| {
            format!(" {} {} {}", doubt.by_ms, doubt.ran_ms, u8::from(doubt.stopped))
        });
        let Self { unix_ms, shown_by_ms, leapt_ms, leapt_ran_ms, .. } = self;
        format!("{unix_ms} {shown_by_ms} {leapt_ms} {leapt_ran_ms} {}{doubt}", u8::from(self.is_set))
    }

    fn from_text(text: &str, at_ms: u64) -> Option<Self> {
        let mut words = text.split(' ');
        let unix_ms = words.next()?.parse().ok()?;
        let shown_by_ms = words.next()?.parse().ok()?;
        let leapt_ms = words.next()?.parse().ok().filter(|ms| *ms <= DAY_MS)?;
        let leapt_ran_ms = words.next()?.parse().ok()?;
        let is_set = words.next()? == "1";
        let doubt = match words.next() {
            None => None,
            Some(by_ms) => Some(Doubt {
                by_ms: by_ms.parse().ok()?,
                ran_ms: words.next()?.parse().ok()?,
                stopped: words.next()? == "1",
            }),
        };
        words.next().is_none().then_some(Self {
            at_ms,
            unix_ms,
            shown_by_ms,
            leapt_ms,
            leapt_ran_ms,
            is_set,
            doubt,
        })
    }
}

#[cfg(test)]
mod tests;
