//! Jumps one by one, and any sequence of them.

use super::*;
use proptest::prelude::*;

const HOUR_MS: u64 = 3_600_000;
/// Some day of the program's life.
const BEGIN: u64 = UNSET_BEFORE_MS + 300 * DAY_MS;

/// A machine with two clocks, and the server on it.
struct Machine {
    now_ms: u64,
    wall_unix_ms: u64,
    time: PlausibleTime,
}

impl Machine {
    fn at(wall_unix_ms: u64) -> Self {
        let reading = Reading { now_ms: 5_000, wall_unix_ms };
        Self { now_ms: 5_000, wall_unix_ms, time: PlausibleTime::first(reading) }
    }

    fn reading(&self) -> Reading {
        Reading { now_ms: self.now_ms, wall_unix_ms: self.wall_unix_ms }
    }

    /// The server runs for so long.
    fn run(&mut self, ms: u64) -> Option<Change> {
        self.now_ms += ms;
        self.wall_unix_ms += ms;
        self.time.observe(self.reading())
    }

    /// Somebody sets the wall clock while the server runs.
    fn jump(&mut self, by_ms: i64) -> Option<Change> {
        self.wall_unix_ms = self.wall_unix_ms.saturating_add_signed(by_ms);
        self.time.observe(self.reading())
    }

    /// The server stops, the wall clock goes on by so much, and another process with another monotonic clock starts.
    fn restart(&mut self, wall_by_ms: i64) {
        self.wall_unix_ms = self.wall_unix_ms.saturating_add_signed(wall_by_ms);
        self.now_ms = 77;
        self.time = PlausibleTime::again(&self.time.to_text(), self.reading()).expect("its own text");
    }

    fn age(&self) -> u64 {
        self.time.unix_ms()
    }

    fn shown(&self) -> u64 {
        self.time.unix_ms().saturating_add_signed(self.time.shown_by_ms())
    }
}

const DAYS_31: i64 = 31 * DAY_MS as i64;

#[test]
fn time_passes_and_small_corrections_are_shown_but_age_nothing() {
    let mut machine = Machine::at(BEGIN);
    assert_eq!(machine.run(HOUR_MS), None);
    assert_eq!((machine.age(), machine.shown()), (BEGIN + HOUR_MS, BEGIN + HOUR_MS));
    assert_eq!(machine.jump(-90_000), None);
    assert_eq!((machine.age(), machine.shown()), (BEGIN + HOUR_MS, machine.wall_unix_ms));
    machine.restart(10 * 60_000);
    assert_eq!((machine.age(), machine.shown()), (BEGIN + HOUR_MS + 10 * 60_000, machine.wall_unix_ms));
}

#[test]
fn a_start_31_days_ahead_changes_nothing_and_is_forgotten_when_the_clock_is_set_right() {
    let mut machine = Machine::at(BEGIN);
    machine.restart(DAYS_31);
    let doubt = machine.time.doubt().expect("in doubt");
    assert_eq!((doubt.by_ms, doubt.stopped), (DAYS_31, true));
    machine.run(70_000);
    assert_eq!((machine.age(), machine.shown()), (BEGIN + 70_000, BEGIN + 70_000));
    machine.restart(-DAYS_31 + 1_000);
    assert_eq!((machine.time.doubt(), machine.age()), (None, BEGIN + 71_000));
}

#[test]
fn a_jump_is_believed_after_a_day_of_running_counted_over_restarts() {
    let mut machine = Machine::at(BEGIN);
    machine.restart(DAYS_31);
    machine.run(20 * HOUR_MS);
    machine.restart(HOUR_MS as i64);
    let before = machine.age();
    assert_eq!(machine.run(4 * HOUR_MS - 1), None);
    assert_eq!(machine.age(), before + 4 * HOUR_MS - 1);
    // What the wall clock says by then, also of the second stop.
    let by_ms = DAYS_31 + HOUR_MS as i64;
    assert_eq!(machine.run(1), Some(Change::Believed { by_ms }));
    assert_eq!((machine.age(), machine.shown()), (machine.wall_unix_ms, machine.wall_unix_ms));
}

#[test]
fn a_long_stop_is_a_jump_that_the_operator_accepts() {
    let mut machine = Machine::at(BEGIN);
    machine.restart(DAYS_31);
    assert_eq!(machine.time.accept(machine.reading()), Ok(DAYS_31));
    assert_eq!((machine.age(), machine.time.doubt()), (machine.wall_unix_ms, None));
    assert_eq!(machine.time.accept(machine.reading()), Err(NotAccepted::NoDoubt));
}

#[test]
fn a_jump_while_the_server_runs_ages_nothing_even_when_it_is_believed() {
    for by_ms in [DAYS_31, -DAYS_31] {
        let mut machine = Machine::at(BEGIN);
        assert!(matches!(machine.jump(by_ms), Some(Change::Doubted(Doubt { stopped: false, .. }))));
        assert_eq!(machine.shown(), BEGIN);
        assert_eq!(machine.time.accept(machine.reading()), Ok(by_ms));
        assert_eq!((machine.age(), machine.shown()), (BEGIN, machine.wall_unix_ms));
        machine.restart(0);
        assert_eq!((machine.age(), machine.time.doubt()), (BEGIN, None));
    }
}

#[test]
fn a_clock_that_comes_back_is_in_no_doubt() {
    let mut machine = Machine::at(BEGIN);
    machine.jump(DAYS_31);
    machine.run(HOUR_MS);
    assert_eq!(machine.jump(-DAYS_31), Some(Change::Agreed));
    // Another jump begins anew.
    machine.jump(DAYS_31);
    machine.run(23 * HOUR_MS + HOUR_MS / 2);
    assert!(machine.time.doubt().is_some());
    assert!(matches!(machine.jump(DAYS_31), Some(Change::Doubted(_))));
    assert_eq!(machine.run(23 * HOUR_MS), None);
}

#[test]
fn what_was_accepted_before_the_clock_was_ever_set_does_not_age_when_it_is() {
    for restarts in [false, true] {
        let mut machine = Machine::at(60_000);
        assert_eq!(machine.age(), UNSET_BEFORE_MS);
        machine.run(3 * DAY_MS);
        assert!(machine.time.doubt().is_some(), "1970 is never believed");
        assert_eq!(machine.time.accept(machine.reading()), Err(NotAccepted::Unset));
        let by_ms = BEGIN as i64;
        match restarts {
            true => machine.restart(by_ms),
            false => assert!(matches!(machine.jump(by_ms), Some(Change::Set { .. }))),
        }
        assert_eq!(machine.age(), UNSET_BEFORE_MS + 3 * DAY_MS);
        assert_eq!((machine.shown(), machine.time.doubt()), (machine.wall_unix_ms, None));
    }
}

#[test]
fn starts_one_day_ahead_each_add_one_day_altogether() {
    let mut machine = Machine::at(BEGIN);
    for _ in 0..40 {
        machine.restart(23 * HOUR_MS as i64);
        machine.run(60_000);
    }
    assert_eq!(machine.age(), BEGIN + DAY_MS + 40 * 60_000);
    assert_eq!(machine.shown(), machine.wall_unix_ms);
    machine.run(DAY_MS);
    let before = machine.age();
    machine.restart(HOUR_MS as i64);
    assert_eq!(machine.age(), before + HOUR_MS, "a day of running later it is believed again");
}

#[test]
fn only_its_own_text_is_read() {
    let reading = Reading { now_ms: 0, wall_unix_ms: BEGIN };
    for text in ["", "x", "1 2 3", "1 2 3 4 1 5", "1 2 99999999999 4 1", "1 2 3 4 1 5 6 1 9"] {
        assert_eq!(PlausibleTime::again(text, reading), None, "{text}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Run(u64),
    Jump(i64),
    Set(u64),
    Restart(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let by = prop_oneof![
        -3 * DAY_MS as i64..3 * DAY_MS as i64,
        -100 * DAYS_31..100 * DAYS_31,
        Just(23 * HOUR_MS as i64),
        Just(DAYS_31),
    ];
    let wall = prop_oneof![Just(0), Just(60_000), any::<u64>(), BEGIN..2 * BEGIN];
    prop_oneof![
        4 => (0..2 * HOUR_MS).prop_map(Step::Run),
        2 => by.clone().prop_map(Step::Jump),
        1 => wall.prop_map(Step::Set),
        3 => by.prop_map(Step::Restart),
    ]
}

proptest! {
    /// Whatever the wall clock does: in less than a day of running nothing ages by more than that and a day; while the
    /// server runs, by exactly what it runs; nothing ever grows younger.
    #[test]
    fn no_clock_makes_time_pass(steps in prop::collection::vec(step(), 1..60)) {
        let mut machine = Machine::at(BEGIN);
        let mut ran_ms = 0;
        for step in steps {
            let before = machine.age();
            match step {
                Step::Run(ms) if ran_ms + ms < DAY_MS => {
                    machine.run(ms);
                    ran_ms += ms;
                    prop_assert_eq!(machine.age(), before + ms);
                }
                Step::Run(_) => {}
                Step::Jump(by_ms) => {
                    machine.jump(by_ms);
                    prop_assert_eq!(machine.age(), before);
                }
                Step::Set(wall_unix_ms) => {
                    machine.wall_unix_ms = wall_unix_ms;
                    machine.time.observe(machine.reading());
                    prop_assert_eq!(machine.age(), before);
                }
                Step::Restart(by_ms) => machine.restart(by_ms),
            }
            machine.wall_unix_ms = machine.wall_unix_ms.min(u64::MAX / 2);
            prop_assert!(machine.age() >= before, "never back");
            prop_assert!(machine.age() <= BEGIN + ran_ms + DAY_MS, "{} of {ran_ms}", machine.age() - BEGIN);
        }
    }

    #[test]
    fn what_is_kept_is_read_back(steps in prop::collection::vec(step(), 0..20)) {
        let mut machine = Machine::at(BEGIN);
        for step in steps {
            match step {
                Step::Run(ms) => drop(machine.run(ms)),
                Step::Jump(by_ms) | Step::Restart(by_ms) => drop(machine.jump(by_ms)),
                Step::Set(_) => {}
            }
        }
        let read = PlausibleTime::from_text(&machine.time.to_text(), machine.now_ms);
        prop_assert_eq!(read, Some(machine.time));
    }
}
