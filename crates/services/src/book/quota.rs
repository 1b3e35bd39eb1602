//! The quota against walking the number space: how many numbers an account may ask about that it has not asked about.
//!
//! A bucket of `Table::Limits` ([`crate::accounts::limits`]), written in the transaction that adds the numbers, so that it holds
//! across crashes. A number that is in the book costs nothing; one that was removed and comes again counts as new,
//! else removing would be a way to ask about others. The bucket's key is a keyed hash of the number, and it outlives the account until it is full again:
//! otherwise removing and making the account again would be a way around it.

use crate::accounts::limits::{Allowance, Bucket, record_key};
use crate::context::Realm;
use chaski_store::records::Put;
use chaski_store::{AccountId, Table};

/// Begins the keys.
pub(crate) const NAME: &str = "contacts";

/// An account's quota while one sync is under way.
pub(crate) struct Quota {
    key: String,
    bucket: Bucket,
    allowance: Allowance,
    waived: bool,
}

impl Quota {
    /// The key of an account's quota.
    pub(crate) fn key(realm: &Realm, account: AccountId) -> String {
        record_key(&realm.secret, NAME, &account.record_key())
    }

    /// From its record. A damaged one counts as full: only we write it, and nobody could repair it otherwise.
    pub(crate) fn read(realm: &Realm, account: AccountId, record: Option<&[u8]>) -> Self {
        let limits = &realm.limits;
        let burst = u32::try_from(limits.book_numbers).unwrap_or(u32::MAX);
        let allowance = Allowance { burst, interval_ms: limits.book_refill_ms };
        let bucket = record.and_then(Bucket::from_json).unwrap_or_default();
        Self { key: Self::key(realm, account), bucket, allowance, waived: false }
    }

    /// The numbers are paid for already.
    pub(crate) fn waive(&mut self) {
        self.waived = true;
    }

    /// Whether so many could be taken; if not, for how long.
    pub(crate) fn check(&self, numbers: usize, now_unix_ms: u64) -> Result<(), u64> {
        if self.waived {
            return Ok(());
        }
        self.bucket.take_many(numbers as u64, self.allowance, now_unix_ms).map(drop)
    }

    /// Takes so many, and the record that says so.
    pub(crate) fn take(&mut self, numbers: usize, now_unix_ms: u64) -> Option<Put> {
        if numbers == 0 || self.waived {
            return None;
        }
        // Checked for all of the sync before; a clock that was set back in between must not lose the rest.
        self.bucket =
            self.bucket.take_many(numbers as u64, self.allowance, now_unix_ms).unwrap_or(self.bucket);
        Some(Put { table: Table::Limits, key: self.key.clone(), value: Some(self.bucket.to_json()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_at_once_then_six_an_hour() {
        let realm = Realm::new("chaski.example", 1, [1; 16]);
        let account = AccountId::phone(15_551_230_001).unwrap();
        let mut quota = Quota::read(&realm, account, None);
        let now = 1_700_000_000_000;
        assert_eq!(quota.check(50_000, now), Ok(()));
        assert!(quota.check(50_001, now).is_err());
        let put = quota.take(50_000, now).unwrap();
        assert_eq!(quota.check(1, now), Err(600_000));
        let quota = Quota::read(&realm, account, put.value.as_deref());
        assert_eq!(quota.check(1, now), Err(600_000), "as it was written");
        assert_eq!(quota.check(6, now + 3_600_000), Ok(()));
        assert_eq!(quota.check(7, now + 3_600_000), Err(600_000));
        assert_eq!(quota.check(0, now), Ok(()));
    }
}
