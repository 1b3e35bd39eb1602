//! The one time of a process: what every stamp is made of, and what every age is measured by.
//!
//! Owned by the engine, which keeps it with the data ([`crate::Engine::time`]); read by shards once a turn, by HTTP and the admin
//! socket. [`plausible`] decides what to believe; here are the real clocks, the log, and a way to read without a lock.
//! Promise: [`Time::now`] costs one read of the machine's monotonic clock while the wall clock is believed, and once in `NEAR_MS` one of
//! the wall clock.

pub mod plausible;

use crate::embedded::Clock;
use plausible::{Change, DAY_MS, Doubt, NotAccepted, PlausibleTime, Reading};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The wall clock may be off by this before anybody looks closer; it is read as often.
const NEAR_MS: u64 = 10;
/// While the wall clock is in doubt it is looked at this often.
const LOOK_MS: u64 = 1_000;

chaski_telemetry::metrics! {
    /// The time.
    pub struct TimeMetrics("chaski_clock") {
        /// How far a jump that is not believed has taken the machine's clock ahead of what is (negative: behind); 0: none.
        ahead_ms: Gauge,
        /// Jumps noticed.
        jumps_total: Counter,
    }
}

/// Called after a change, to have it kept. `true`: returns when it is durable.
pub type Keeper = Box<dyn Fn(bool) + Send + Sync>;

/// See the module.
pub struct Time {
    clock: Arc<dyn Clock>,
    state: Mutex<PlausibleTime>,
    /// Age time less the monotonic clock.
    ahead_ms: AtomicI64,
    shown_by_ms: AtomicI64,
    /// When the wall clock is read next.
    look_at_ms: AtomicU64,
    keeper: OnceLock<Keeper>,
    metrics: Arc<TimeMetrics>,
}

/// One moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Age time: stamps are made of it, and ages are differences of it.
    pub unix_ms: u64,
    /// What is added to a stamp, of any age, when it is shown.
    pub shown_by_ms: i64,
}

/// What an operator wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The machine's clock.
    pub wall_unix_ms: u64,
    /// What the server shows.
    pub shown_unix_ms: u64,
    /// What it measures ages by.
    pub age_unix_ms: u64,
    /// The jump that is not believed, if there is one.
    pub doubt: Option<Doubt>,
}

impl Standing {
    /// After how much more running the jump is believed.
    pub fn believed_in_ms(&self) -> Option<u64> {
        self.doubt.map(|doubt| DAY_MS.saturating_sub(doubt.ran_ms))
    }
}

impl Time {
    /// Begins, with what was kept when the data was open last.
    pub fn begin(clock: Arc<dyn Clock>, kept: Option<&str>) -> Arc<Self> {
        let reading = read(&*clock);
        let again = kept.map(|kept| PlausibleTime::again(kept, reading).ok_or(kept));
        let state = match again {
            Some(Ok(again)) => again,
            Some(Err(kept)) => {
                tracing::warn!(kept, "the time of the last run can't be read: the machine's clock is taken");
                PlausibleTime::first(reading)
            }
            None => PlausibleTime::first(reading),
        };
        let jump = state.doubt().map(Change::Doubted);
        let time = Self {
            clock,
            ahead_ms: AtomicI64::new(0),
            shown_by_ms: AtomicI64::new(0),
            look_at_ms: AtomicU64::new(0),
            keeper: OnceLock::new(),
            metrics: Arc::default(),
            state: Mutex::new(state),
        };
        time.publish(&time.lock());
        jump.into_iter().for_each(|jump| time.say(jump));
        Arc::new(time)
    }

    /// This moment.
    pub fn now(&self) -> Now {
        let now_ms = self.clock.now_ms();
        let now = self.at(now_ms);
        if now_ms < self.look_at_ms.load(Ordering::Relaxed) {
            return now;
        }
        let wall_unix_ms = self.clock.unix_ms();
        if wall_unix_ms.abs_diff(now.shown(now.unix_ms)) <= NEAR_MS {
            self.look_at_ms.store(now_ms + NEAR_MS, Ordering::Relaxed);
            return now;
        }
        self.look(Reading { now_ms, wall_unix_ms });
        self.at(now_ms)
    }

    /// This moment's age time.
    pub fn unix_ms(&self) -> u64 {
        self.now().unix_ms
    }

    /// What an operator wants to know.
    pub fn standing(&self) -> Standing {
        let reading = read(&*self.clock);
        self.look(reading);
        let now = self.at(reading.now_ms);
        Standing {
            wall_unix_ms: reading.wall_unix_ms,
            shown_unix_ms: now.shown(now.unix_ms),
            age_unix_ms: now.unix_ms,
            doubt: self.lock().doubt(),
        }
    }

    /// The operator says that the machine's clock is right. By how much it had jumped; durable on return.
    pub fn accept(&self) -> Result<i64, NotAccepted> {
        let mut state = self.lock();
        let by_ms = state.accept(read(&*self.clock))?;
        self.publish(&state);
        drop(state);
        self.say(Change::Believed { by_ms });
        self.keep(true);
        Ok(by_ms)
    }

    /// What is counted.
    pub fn metrics(&self) -> Arc<TimeMetrics> {
        self.metrics.clone()
    }

    /// Who keeps changes. Once.
    pub fn kept_by(&self, keeper: Keeper) {
        // A second one would be a mistake of ours; the first goes on.
        let _ = self.keeper.set(keeper);
    }

    /// What is to be kept.
    pub fn to_text(&self) -> String {
        self.look(read(&*self.clock));
        self.lock().to_text()
    }

    fn look(&self, reading: Reading) {
        let mut state = self.lock();
        let change = state.observe(reading);
        let next_ms = if state.doubt().is_some() { reading.now_ms + LOOK_MS } else { 0 };
        self.look_at_ms.store(next_ms, Ordering::Relaxed);
        self.publish(&state);
        drop(state);
        if let Some(change) = change {
            self.say(change);
            self.keep(false);
        }
    }

    fn at(&self, now_ms: u64) -> Now {
        Now {
            unix_ms: now_ms.saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed)),
            shown_by_ms: self.shown_by_ms.load(Ordering::Relaxed),
        }
    }

    fn publish(&self, state: &PlausibleTime) {
        let ahead_ms = (state.unix_ms() as i64).saturating_sub(state.at_ms() as i64);
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        self.shown_by_ms.store(state.shown_by_ms(), Ordering::Relaxed);
        self.metrics.ahead_ms.set(state.doubt().map_or(0, |doubt| doubt.by_ms));
    }

    fn say(&self, change: Change) {
        self.metrics.jumps_total.add(u64::from(matches!(change, Change::Doubted(_))));
        match change {
            Change::Doubted(Doubt { by_ms, .. }) => tracing::warn!(
                by_hours = hours(by_ms),
                "the machine's clock has jumped, or the server was stopped for long: nothing ages by that before the server has \
             run for 24 hours. If the clock is right, say so: chaski ctl clock accept. If not, set it: timedatectl set-ntp true"
            ),
            Change::Agreed => tracing::info!("the machine's clock is plausible again"),
            Change::Believed { by_ms } => {
                tracing::warn!(by_hours = hours(by_ms), "the machine's clock is believed from now on");
            }
            Change::Set { by_ms } => {
                tracing::info!(by_hours = hours(by_ms), "the machine's clock, which was not set, is set now");
            }
        }
    }

    fn keep(&self, durably: bool) {
        if let Some(keeper) = self.keeper.get() {
            keeper(durably);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PlausibleTime> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    /// A stamp as it is shown.
    pub fn shown(self, unix_ms: u64) -> u64 {
        unix_ms.saturating_add_signed(self.shown_by_ms)
    }
}

/// A clock that is moved by hand, for tests and simulation.
#[derive(Debug)]
pub struct HandClock {
    now_ms: AtomicU64,
    wall_unix_ms: AtomicU64,
}

impl HandClock {
    /// Stands still at this wall time.
    pub fn at(wall_unix_ms: u64) -> Self {
        Self { now_ms: AtomicU64::new(0), wall_unix_ms: AtomicU64::new(wall_unix_ms) }
    }

    /// Time passes.
    pub fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
        self.wall_unix_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub fn set(&self, wall_unix_ms: u64) {
        self.wall_unix_ms.store(wall_unix_ms, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn unix_ms(&self) -> u64 {
        self.wall_unix_ms.load(Ordering::SeqCst)
    }
}

fn read(clock: &dyn Clock) -> Reading {
    Reading { now_ms: clock.now_ms(), wall_unix_ms: clock.unix_ms() }
}

fn hours(by_ms: i64) -> i64 {
    by_ms / 3_600_000
}
