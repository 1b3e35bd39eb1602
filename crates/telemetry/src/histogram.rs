//! How long something takes, as counts by powers of two.
//!
//! A histogram has a bucket for each power of two from 16 µs to 16 s (the unit is whatever its name says; all of ours are microseconds): the
//! bounds of any two are the same, so instances are summed, and a quantile is off by at most a factor of two. Observing is two
//! additions to memory that one thread writes.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bound of the first bucket is 2 to this,
const FIRST_BITS: u32 = 4;
/// and there are so many with a bound, and one without.
const BOUNDED: usize = 21;

/// See the module.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDED + 1],
    sum: AtomicU64,
}

/// What a histogram has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    buckets: [u64; BOUNDED + 1],
    /// Of all that was observed.
    pub sum: u64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, value: u64) {
        // The bucket of what is at most its bound.
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        let bucket = bits.saturating_sub(FIRST_BITS) as usize;
        self.counts[bucket.min(BOUNDED)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts the time between two moments in milliseconds, in microseconds. 0 is no moment.
    pub fn observe_since(&self, then_ms: u64, now_ms: u64) {
        if then_ms != 0 {
            self.observe(1_000 * now_ms.saturating_sub(then_ms));
        }
    }

    /// What it has counted so far.
    pub fn get(&self) -> Counts {
        let buckets = std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed));
        Counts { buckets, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl Counts {
    /// How many were observed.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Each bound, and how many were not above it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut count = 0;
        let bounded = self.buckets.iter().take(BOUNDED).enumerate();
        bounded.map(move |(bucket, more)| {
            count += more;
            (1 << (bucket as u32 + FIRST_BITS), count)
        })
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_where_it_is_at_most_the_bound() {
        let histogram = Histogram::default();
        for value in [0, 1, 16, 17, 32, 33, 1 << 24, (1 << 24) + 1, u64::from(u32::MAX)] {
            histogram.observe(value);
        }
        let counts = histogram.get();
        let at = |bound| counts.cumulative().find(|(known, _)| *known == bound).unwrap().1;
        assert_eq!((at(16), at(32), at(64), at(1 << 23), at(1 << 24)), (3, 5, 6, 6, 7));
        assert_eq!((counts.count(), counts.cumulative().count()), (9, BOUNDED));
        assert_eq!(counts.sum, 99 + (1 << 24) + (1 << 24) + 1 + u64::from(u32::MAX));
    }

    #[test]
    fn two_are_summed() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.observe(20);
        other.observe(20);
        other.observe(100);
        let mut sum = one.get();
        sum.add(&other.get());
        assert_eq!((sum.count(), sum.sum), (3, 140));
    }
}
