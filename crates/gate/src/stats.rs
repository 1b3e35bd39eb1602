//! Medians, spreads, and what a message costs.
//!
//! Pure. Called by: the report and the rates. Promises: of nothing there is no figure.

use serde::Serialize;

/// Several runs' figures, in one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The smallest.
    pub(crate) min: f64,
    /// The middle one, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The largest.
    pub(crate) max: f64,
}

impl Spread {
    /// `None` if there are no figures.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[half - 1], sorted[half])
        } else {
            sorted[half]
        };
        Some(Self { min, median, max })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:.0} ({:.0} to {:.0})", self.median, self.min, self.max)
    }
}

/// Seconds of a processor over messages, in µs each.
pub(crate) fn us_each(cpu_s: f64, messages: f64) -> Option<f64> {
    (messages > 0.0).then(|| cpu_s / messages * 1e6)
}

/// What one more message costs, in µs, between two loads that are given as processor seconds a second and messages a second.
pub(crate) fn us_further((slow_cpu, slow): (f64, f64), (fast_cpu, fast): (f64, f64)) -> Option<f64> {
    (fast > slow).then(|| (fast_cpu - slow_cpu) / (fast - slow) * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0]), Some(Spread { min: 3.0, median: 3.0, max: 3.0 }));
        assert_eq!(Spread::of([9.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
    }

    #[test]
    fn costs() {
        assert_eq!(us_each(1.0, 8000.0), Some(125.0));
        assert_eq!(us_each(1.0, 0.0), None);
        // 0.8 of a processor at 4,000/s, 1.0 at 8,000/s: 50 µs each further message.
        assert!(us_further((0.8, 4000.0), (1.0, 8000.0)).is_some_and(|cost| (cost - 50.0).abs() < 1e-9));
        assert_eq!(us_further((0.8, 4000.0), (1.0, 4000.0)), None);
    }
}
