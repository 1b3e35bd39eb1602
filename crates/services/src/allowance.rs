//! Allowances: a rate with a burst; and the bucket that keeps the count.
//!
//! A bucket is one point in time, at which it will be full again (GCRA). Used by everything that is limited: registration,
//! logins, contact sync, first stanzas. Pure, except for the key of a bucket's record: a keyed hash, so that the store does not
//! tell which numbers or networks were counted.

use chaski_store::Table;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Limits against guessing and pumping, by limiter and subject.
pub const LIMITS: Table = Table::new("limits");

/// How much a limiter allows: `burst` at once, then one each `interval_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Most at once.
    pub burst: u32,
    /// Time after which one more is allowed.
    pub interval_ms: u64,
}

impl Allowance {
    /// `burst` at once, refilled at `per_hour`.
    pub const fn per_hour(burst: u32, per_hour: u32) -> Self {
        let per_hour = if per_hour == 0 { 1 } else { per_hour };
        Self { burst, interval_ms: 3_600_000 / per_hour as u64 }
    }

    /// So many times as much in the same time.
    pub(crate) const fn times(self, many: u32) -> Self {
        let interval_ms = self.interval_ms / many as u64;
        Self {
            burst: self.burst.saturating_mul(many),
            interval_ms: if interval_ms == 0 { 1 } else { interval_ms },
        }
    }

    /// One of so many equal parts of this allowance, and at least one at a time.
    pub(crate) const fn part(self, parts: u32) -> Self {
        let burst = self.burst / parts;
        Self {
            burst: if burst == 0 { 1 } else { burst },
            interval_ms: self.interval_ms.saturating_mul(parts as u64),
        }
    }

    pub(crate) fn span_ms(self) -> u64 {
        self.interval_ms.saturating_mul(u64::from(self.burst))
    }
}

/// A bucket's whole state: when it will be full again. Later than now: something has been taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Bucket {
    full_unix_ms: u64,
}

impl Bucket {
    /// From its record.
    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// As its record.
    pub(crate) fn to_json(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("a bucket is one number")
    }

    /// The bucket after `count` were taken at `now_unix_ms`. An error: how long to wait.
    pub(crate) fn take_many(self, count: u64, allowance: Allowance, now_unix_ms: u64) -> Result<Self, u64> {
        self.take_for(allowance.interval_ms.saturating_mul(count), allowance, now_unix_ms)
    }

    /// The bucket after as much was taken as comes back in `cost_ms`. An error: how long to wait.
    pub(crate) fn take_for(self, cost_ms: u64, allowance: Allowance, now_unix_ms: u64) -> Result<Self, u64> {
        if cost_ms == 0 {
            return Ok(self);
        }
        let span = allowance.span_ms();
        // A clock that was set back must not lock anybody out for longer than an empty bucket would.
        let full = self.full_unix_ms.clamp(now_unix_ms, now_unix_ms.saturating_add(span));
        let after = full.saturating_add(cost_ms);
        let latest = now_unix_ms.saturating_add(span);
        if after > latest { Err(after - latest) } else { Ok(Self { full_unix_ms: after }) }
    }

    /// The bucket after `count` were taken, or after all that is left was.
    pub(crate) fn take_at_most(self, count: u64, allowance: Allowance, now_unix_ms: u64) -> Self {
        let empty = Self { full_unix_ms: now_unix_ms.saturating_add(allowance.span_ms()) };
        self.take_many(count, allowance, now_unix_ms).unwrap_or(empty)
    }

    /// The emptier of two buckets.
    pub(crate) fn emptier(self, other: Self) -> Self {
        Self { full_unix_ms: self.full_unix_ms.max(other.full_unix_ms) }
    }

    /// The bucket after one was taken at `now_unix_ms`. An error: how long to wait.
    pub(crate) fn take(self, allowance: Allowance, now_unix_ms: u64) -> Result<Self, u64> {
        self.take_many(1, allowance, now_unix_ms)
    }

    /// Whether all that was ever taken has come back.
    pub(crate) fn is_full(self, now_unix_ms: u64) -> bool {
        self.full_unix_ms <= now_unix_ms
    }

    /// Puts back one that was taken in vain.
    pub(crate) fn give_back(self, allowance: Allowance) -> Self {
        self.give_back_for(allowance.interval_ms)
    }

    pub(crate) fn give_back_for(self, cost_ms: u64) -> Self {
        Self { full_unix_ms: self.full_unix_ms.saturating_sub(cost_ms) }
    }
}

/// The key of a limiter's record: its name and 128 bits of a keyed hash of the subject.
pub(crate) fn record_key(secret: &[u8; 16], name: &str, subject: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(b"limit\0");
    mac.update(name.as_bytes());
    mac.update(b"\0");
    mac.update(subject.as_bytes());
    let digest = mac.finalize().into_bytes();
    let mut key = format!("{name}/");
    for byte in &digest[..16] {
        key.push_str(&format!("{byte:02x}"));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the times of the tries: in no window of time are more granted than burst and refill allow, and
        /// whoever waits as long as told gets one.
        #[test]
        fn never_more_than_allowed(
            burst in 1u32..6,
            interval_ms in 1u64..5_000,
            gaps in proptest::collection::vec(0u64..4_000, 1..80),
        ) {
            let allowance = Allowance { burst, interval_ms };
            let (mut bucket, mut now, mut granted) = (Bucket::default(), 1_000_000u64, Vec::new());
            for gap in gaps {
                now += gap;
                match bucket.take(allowance, now) {
                    Ok(next) => { bucket = next; granted.push(now); }
                    Err(retry) => {
                        prop_assert!(retry > 0 && retry <= interval_ms);
                        prop_assert!(bucket.take(allowance, now + retry).is_ok());
                        prop_assert!(bucket.take(allowance, now + retry - 1).is_err());
                    }
                }
            }
            for (i, start) in granted.iter().enumerate() {
                for (j, end) in granted.iter().enumerate().skip(i) {
                    let most = u64::from(burst) + (end - start) / interval_ms;
                    prop_assert!((j - i + 1) as u64 <= most);
                }
            }
        }

        /// A clock set back by any amount never makes the wait longer than one interval.
        #[test]
        fn a_clock_set_back_locks_nobody_out(full in any::<u64>(), now in any::<u64>()) {
            let allowance = Allowance { burst: 5, interval_ms: 1000 };
            if let Err(retry) = (Bucket { full_unix_ms: full }).take(allowance, now) {
                prop_assert!(retry <= 1000);
            }
        }
    }
}
