//! From figures to places: linear and logarithmic scales, and where their ticks go.

/// A scale of figures from `low` to `high` on a line from `from` to `to`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    is_log: bool,
}

/// The smallest figure of a logarithmic scale.
const LOG_LOW: f64 = 1e-9;
/// No scale has more ticks.
const TICKS_MAX: usize = 24;

impl Scale {
    /// From 0 to something round at or above `high`.
    pub(super) fn linear(high: f64, from: f64, to: f64) -> Self {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        let step = round_step(high / 4.0);
        Self { low: 0.0, high: (high / step).ceil() * step, from, to, is_log: false }
    }

    /// From `low` to `high` as they are.
    pub(super) fn exact(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, from, to, is_log: false }
    }

    /// Whole powers of ten around the figures.
    pub(super) fn log(figures: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, LOG_LOW);
        for figure in figures.filter(|figure| figure.is_finite() && *figure > 0.0) {
            low = low.min(figure.max(LOG_LOW));
            high = high.max(figure);
        }
        let low = if low.is_finite() { 10_f64.powf(low.log10().floor()) } else { 1.0 };
        let high = 10_f64.powf(high.log10().ceil()).max(low * 10.0);
        Self { low, high, from, to, is_log: true }
    }

    /// Where a figure is; figures outside are at the ends.
    pub(super) fn place(&self, figure: f64) -> f64 {
        let share = if self.is_log {
            (figure.max(LOG_LOW) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (figure - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Figures to be written at the scale.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let (first, last) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            return (first..=last).take(TICKS_MAX).map(|power| 10_f64.powi(power)).collect();
        }
        let step = round_step((self.high - self.low) / 4.0);
        let first = (self.low / step).ceil();
        (0..TICKS_MAX)
            .map(|index| (first + index as f64) * step)
            .take_while(|tick| *tick <= self.high + step * 1e-6)
            .collect()
    }
}

/// 1, 2 or 5 times a power of ten, at or above `rough` divided by 1.5.
fn round_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.max(1e-12).log10().floor());
    let first = rough / power;
    let step = if first <= 1.5 {
        1.0
    } else if first <= 3.0 {
        2.0
    } else if first <= 7.0 {
        5.0
    } else {
        10.0
    };
    step * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn a_linear_scale_begins_at_zero_and_ends_round() {
        let scale = Scale::linear(87.0, 0.0, 100.0);
        assert_eq!(scale.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!(close(scale.place(50.0), 50.0));
        assert!(close(scale.place(1_000.0), 100.0));
        assert_eq!(Scale::linear(0.0, 0.0, 1.0).ticks().first(), Some(&0.0));
        assert!(Scale::linear(f64::NAN, 0.0, 1.0).ticks().len() > 1);
    }

    #[test]
    fn a_scale_may_run_upwards() {
        let scale = Scale::linear(100.0, 200.0, 0.0);
        assert!(close(scale.place(0.0), 200.0));
        assert!(close(scale.place(100.0), 0.0));
    }

    #[test]
    fn a_log_scale_has_whole_decades() {
        let scale = Scale::log([6.6, 326.0].into_iter(), 0.0, 300.0);
        assert_eq!(scale.ticks(), [1.0, 10.0, 100.0, 1000.0]);
        assert!(close(scale.place(10.0), 100.0));
        assert!(close(scale.place(0.0), 0.0));
        assert_eq!(Scale::log([10.0].into_iter(), 0.0, 1.0).ticks(), [10.0, 100.0]);
        assert_eq!(Scale::log(std::iter::empty(), 0.0, 1.0).ticks().len(), 2);
    }

    #[test]
    fn ticks_are_round_and_few() {
        for high in [0.003, 0.7, 1.0, 3.3, 9.9, 12.0, 101.0, 4_999.0, 1e6, 7.7e9] {
            let ticks = Scale::linear(high, 0.0, 1.0).ticks();
            assert!((3..=8).contains(&ticks.len()), "{high}: {ticks:?}");
            assert!(*ticks.last().unwrap() >= high, "{high}: {ticks:?}");
        }
        assert_eq!(Scale::exact(0.0, 33.0, 0.0, 1.0).ticks(), [0.0, 10.0, 20.0, 30.0]);
    }
}
