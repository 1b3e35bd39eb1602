//! Limits against guessing codes and against earning from SMS (pumping), durable in `LIMITS`.
//!
//! Each limiter is a bucket in the form of GCRA: one point in time per subject, at which the bucket will be full
//! again. A missing record is a full bucket, so a record may be dropped once that time is past
//! ([`Limits::purge`]), which bounds the table by what the global limiter lets in. Subjects (numbers, networks) stand in the table only as
//! keyed hashes. Called by [`registration`](super::registration), off the shards' threads.
//!
//! All of these limiters **fail closed**: if the store does not answer, the request is refused as unavailable, since the
//! registration itself could not be written either. For clients without a known address see [`network_subject`].

use crate::allowance::LIMITS;
use crate::allowance::{Allowance, Bucket, record_key};
use chaski_store::{Records, StoreError, Table, records::Put};
use std::net::IpAddr;

/// Tries of a compare-and-set before a limiter counts as overloaded.
const TRIES_MAX: usize = 8;
/// Records looked at in one step of [`Limits::purge`].
const PURGE_BATCH: usize = 500;
/// In thousandths.
const ONE: u32 = 1_000;

/// A limiter: its name and subject are the record's key, its allowance is configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limiter {
    /// Begins the record's key.
    pub name: &'static str,
    /// The rate and burst.
    pub allowance: Allowance,
    /// What one use costs, in thousandths of what the allowance counts: messages have different prices.
    pub thousandths: u32,
}

impl Limiter {
    /// A limiter of which each use takes one.
    pub const fn of(name: &'static str, allowance: Allowance) -> Self {
        Self { name, allowance, thousandths: ONE }
    }

    /// This limiter, of which each use takes so many thousandths.
    pub const fn priced(self, thousandths: u32) -> Self {
        Self { thousandths, ..self }
    }

    /// After how long as much as one use takes is available again.
    fn cost_ms(self) -> u64 {
        let cost = u128::from(self.allowance.interval_ms) * u128::from(self.thousandths);
        u64::try_from(cost.div_ceil(u128::from(ONE))).unwrap_or(u64::MAX)
    }

    fn take_from(self, bucket: Bucket, now_unix_ms: u64) -> Result<Bucket, LimitError> {
        bucket
            .take_for(self.cost_ms(), self.allowance, now_unix_ms)
            .map_err(|retry_after_ms| LimitError::Reached { limiter: self.name, retry_after_ms })
    }
}

/// Why a limiter refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Too much: again after this time.
    #[error("limit '{limiter}' is reached for another {retry_after_ms} ms")]
    Reached {
        /// Its name.
        limiter: &'static str,
        /// How long to wait.
        retry_after_ms: u64,
    },
    /// The store did not answer, or too many others take from the same bucket now.
    #[error("limits can't be checked: {0}")]
    Unavailable(String),
}

impl From<StoreError> for LimitError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// The limiters' table.
pub struct Limits<'a> {
    records: &'a dyn Records,
    secret: [u8; 16],
}

impl<'a> Limits<'a> {
    /// Over the store's records; `secret` is [`chaski_store::Engine::secrets`].
    pub fn new(records: &'a dyn Records, secret: [u8; 16]) -> Self {
        Self { records, secret }
    }

    /// Takes one from each bucket, or none if one of them is empty. Only in a race with other requests may some buckets be
    /// charged although a later one refuses; that errs on the side of refusing.
    pub fn take_all(&self, wanted: &[(Limiter, &str)], now_unix_ms: u64) -> Result<(), LimitError> {
        for (limiter, subject) in wanted {
            self.peek(*limiter, subject, now_unix_ms)?;
        }
        wanted.iter().try_for_each(|(limiter, subject)| self.take(*limiter, subject, now_unix_ms))
    }

    /// Whether one could be taken.
    pub fn peek(&self, limiter: Limiter, subject: &str, now_unix_ms: u64) -> Result<(), LimitError> {
        let (bucket, _) = self.read(&self.key(limiter, subject))?;
        limiter.take_from(bucket, now_unix_ms).map(drop)
    }

    /// Takes one; durable on return.
    pub fn take(&self, limiter: Limiter, subject: &str, now_unix_ms: u64) -> Result<(), LimitError> {
        self.change(limiter, subject, |bucket| limiter.take_from(bucket, now_unix_ms))
    }

    /// Puts back one that was taken in vain.
    pub fn give_back(&self, limiter: Limiter, subject: &str) -> Result<(), LimitError> {
        self.change(limiter, subject, |bucket| Ok(bucket.give_back_for(limiter.cost_ms())))
    }

    fn change(
        &self,
        limiter: Limiter,
        subject: &str,
        step: impl Fn(Bucket) -> Result<Bucket, LimitError>,
    ) -> Result<(), LimitError> {
        let key = self.key(limiter, subject);
        for _ in 0..TRIES_MAX {
            let (bucket, revision) = self.read(&key)?;
            let json = step(bucket)?.to_json();
            match self.records.put_if(LIMITS, &key, &json, revision) {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LimitError::Unavailable("too many requests at once for the same limit".to_owned()))
    }

    fn read(&self, key: &str) -> Result<(Bucket, Option<chaski_store::Revision>), LimitError> {
        let Some(found) = self.records.get(LIMITS, key)? else { return Ok((Bucket::default(), None)) };
        let bucket = serde_json::from_slice(&found.value)
            .map_err(|_| LimitError::Unavailable(format!("the record of limit '{key}' is damaged")))?;
        Ok((bucket, Some(found.revision)))
    }

    fn key(&self, limiter: Limiter, subject: &str) -> String {
        record_key(&self.secret, limiter.name, subject)
    }

    /// Drops the records of buckets that are full again. Called every few minutes.
    pub fn purge(&self, now_unix_ms: u64) -> Result<usize, StoreError> {
        purge(self.records, LIMITS, |value| {
            serde_json::from_slice::<Bucket>(value).is_ok_and(|bucket| bucket.is_full(now_unix_ms))
        })
    }
}

/// Deletes the records of `table` whose value is `expired`, batch by batch. A bucket that is charged at the same moment may be
/// deleted with the charge: then one use too many is allowed.
pub(super) fn purge(
    records: &dyn Records,
    table: Table,
    expired: impl Fn(&[u8]) -> bool,
) -> Result<usize, StoreError> {
    let (mut after, mut dropped) = (String::new(), 0);
    loop {
        let page = records.scan(table, &after, PURGE_BATCH)?;
        let Some((last, _)) = page.last() else { return Ok(dropped) };
        after = last.clone();
        let mut batch = Vec::new();
        for (key, seen) in page {
            if expired(&seen.value) {
                batch.push(Put { table, key, value: None });
            }
        }
        dropped += batch.len();
        if !batch.is_empty() {
            records.put_all(batch)?;
        }
    }
}

/// The client's network as a limiter's subject: IPv4 by /24, IPv6 by /56 (what a household gets). Requests whose
/// address is unknown share one subject, so that this limiter fails closed for them together.
pub fn network_subject(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        Some(IpAddr::V6(v6)) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{:x}::/56", d & 0xff00)
        }
    }
}

/// The network of somebody who has many networks: IPv6 by /48 (what a site gets, or anybody from a tunnel broker). IPv4 as in
/// [`network_subject`]: whoever has a /24 has many addresses.
pub fn wide_network_subject(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(v6)) => {
            let [a, b, c, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
        near => network_subject(near),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_store::Engine;
    use chaski_store::memory::MemoryEngine;

    const THREE_A_MINUTE_APART: Limiter = Limiter::of("test", Allowance { burst: 3, interval_ms: 60_000 });

    #[test]
    fn a_burst_then_one_at_a_time() {
        let engine = MemoryEngine::new();
        let records = engine.records();
        let limits = Limits::new(&*records, [1; 16]);
        for _ in 0..3 {
            assert_eq!(limits.take(THREE_A_MINUTE_APART, "a", 1_000_000), Ok(()));
        }
        let refused = Err(LimitError::Reached { limiter: "test", retry_after_ms: 50_000 });
        assert_eq!(limits.take(THREE_A_MINUTE_APART, "a", 1_010_000), refused);
        assert_eq!(limits.peek(THREE_A_MINUTE_APART, "a", 1_010_000), refused);
        assert_eq!(limits.take(THREE_A_MINUTE_APART, "b", 1_010_000), Ok(()), "subjects are apart");
        assert_eq!(limits.take(THREE_A_MINUTE_APART, "a", 1_060_000), Ok(()));
        assert!(limits.take(THREE_A_MINUTE_APART, "a", 1_060_000).is_err());
        limits.give_back(THREE_A_MINUTE_APART, "a").unwrap();
        assert_eq!(limits.take(THREE_A_MINUTE_APART, "a", 1_060_000), Ok(()));
    }

    #[test]
    fn all_or_none() {
        let engine = MemoryEngine::new();
        let records = engine.records();
        let limits = Limits::new(&*records, [1; 16]);
        let one = Limiter::of("one", Allowance { burst: 1, interval_ms: 1000 });
        limits.take(one, "x", 0).unwrap();
        for _ in 0..5 {
            assert!(limits.take_all(&[(THREE_A_MINUTE_APART, "x"), (one, "x")], 0).is_err());
        }
        assert_eq!(limits.take_all(&[(THREE_A_MINUTE_APART, "x"), (one, "y")], 0), Ok(()));
    }

    #[test]
    fn subjects_are_hashed_and_full_buckets_dropped() {
        let engine = MemoryEngine::new();
        let records = engine.records();
        let limits = Limits::new(&*records, [1; 16]);
        limits.take(THREE_A_MINUTE_APART, "+15551230001", 0).unwrap();
        let stored = records.scan(LIMITS, "", 10).unwrap();
        assert_eq!(stored.len(), 1);
        assert!(stored[0].0.starts_with("test/") && !stored[0].0.contains("5551230001"));
        assert_eq!(limits.purge(59_999).unwrap(), 0);
        assert_eq!(limits.purge(60_000).unwrap(), 1);
        assert_eq!(records.scan(LIMITS, "", 10).unwrap().len(), 0);
    }

    #[test]
    fn networks() {
        let subject = |text: &str| network_subject(Some(text.parse().unwrap()));
        assert_eq!(subject("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(subject("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(subject("2001:db8:1:2ff::1"), "2001:db8:1:200::/56");
        assert_eq!(subject("2001:db8:1:2aa:5::"), subject("2001:db8:1:2ff::1"));
        assert_ne!(subject("2001:db8:1:3aa::1"), subject("2001:db8:1:2ff::1"));
        assert_eq!(network_subject(None), "unknown");
        let wide = |text: &str| wide_network_subject(Some(text.parse().unwrap()));
        assert_eq!(wide("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(wide("2001:db8:1:2ff::1"), "2001:db8:1::/48");
        assert_eq!(wide("2001:db8:1:aaff::1"), wide("2001:db8:1:2ff::1"));
        assert_ne!(wide("2001:db8:2:2ff::1"), wide("2001:db8:1:2ff::1"));
    }

    #[test]
    fn what_costs_more_takes_more() {
        let engine = MemoryEngine::new();
        let records = engine.records();
        let limits = Limits::new(&*records, [1; 16]);
        let cheap = THREE_A_MINUTE_APART.priced(500);
        for _ in 0..6 {
            assert_eq!(limits.take(cheap, "a", 0), Ok(()));
        }
        let refused = |retry_after_ms| Err(LimitError::Reached { limiter: "test", retry_after_ms });
        assert_eq!(limits.take(cheap, "a", 0), refused(30_000));
        assert_eq!(limits.take(THREE_A_MINUTE_APART.priced(2_500), "a", 0), refused(150_000));
        limits.give_back(cheap, "a").unwrap();
        assert_eq!(limits.take(cheap, "a", 0), Ok(()));
        assert_eq!(limits.take(THREE_A_MINUTE_APART.priced(2_500), "b", 0), Ok(()));
        assert_eq!(limits.take(THREE_A_MINUTE_APART, "b", 0), refused(30_000));
    }
}
