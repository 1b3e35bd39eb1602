//! Open-loop arithmetic: when things are due at a rate, whatever became of the earlier ones.
//!
//! The times are the *intended* ones: a generator or server that stalls does not move them, so latencies counted from
//! them leave nothing out (coordinated omission).

/// A sequence of intended times.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    start_us: u64,
    per_s: f64,
    done: u64,
}

impl Pace {
    /// From `start_us` on, `per_s` times a second.
    pub(crate) fn new(start_us: u64, per_s: f64) -> Self {
        Self { start_us, per_s, done: 0 }
    }

    /// When the next is due; `None`: never.
    pub(crate) fn next_us(&self) -> Option<u64> {
        (self.per_s > 0.0).then(|| self.start_us + (self.done as f64 * 1e6 / self.per_s) as u64)
    }

    /// Takes one that is due by `now_us`: its intended time.
    pub(crate) fn take(&mut self, now_us: u64) -> Option<u64> {
        let due_us = self.next_us().filter(|&due_us| due_us <= now_us)?;
        self.done += 1;
        Some(due_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_moves_no_intended_time() {
        let mut pace = Pace::new(1_000, 1_000.0);
        assert_eq!(pace.take(999), None);
        assert_eq!(pace.take(1_000), Some(1_000));
        assert_eq!(pace.take(1_000), None);
        assert_eq!(pace.next_us(), Some(2_000));
        let late: Vec<u64> = std::iter::from_fn(|| pace.take(4_500)).collect();
        assert_eq!(late, [2_000, 3_000, 4_000]);
    }

    #[test]
    fn odd_rates_do_not_drift() {
        let mut pace = Pace::new(0, 2_160.0);
        let count = std::iter::from_fn(|| pace.take(9_999_999)).count();
        assert_eq!(count, 21_600);
        assert_eq!(Pace::new(0, 0.0).next_us(), None);
    }
}
