//! The quota against walking the number space: how many numbers that are new to it an account may ask about, by contact sync and
//! by first stanzas together ([`super::acquaintances`]).
//!
//! A bucket of `LIMITS` ([`crate::rooms::accounts::limits`]). Contact sync writes it in the transaction that adds the
//! numbers, so that it holds across crashes. A number that is in the phone book costs nothing. A number that was removed and is
//! added again counts as new: otherwise removing numbers would be a way to ask about others. For a first stanza the bucket is
//! written afterwards, one write at a time: the stanza must not wait for the disk, and a crash gives back what was spent in the
//! moment before. The bucket's key is a keyed hash of the number. The bucket outlives the account until it is full again:
//! otherwise removing and making the account again would be a way around it.
//!
//! While the account is in memory, its [`Purse`] is the truth, whether contact sync or a first stanza was written last.

use crate::allowance::LIMITS;
use crate::allowance::{Allowance, Bucket, record_key};
use crate::knobs::knobs;
use crate::realm::Realm;
use chaski_store::AccountId;
use chaski_store::records::Put;

/// The prefix of the keys in `LIMITS`.
pub(crate) const NAME: &str = "contacts";
/// First stanzas that are let through before the bucket has been read: they must not wait for the disk. A client that brings its
/// contacts along sends dozens at once.
const UNREAD_MAX: u32 = 128;

knobs! {
    /// How many numbers an account may ask about.
    pub(crate) struct ContactSyncKnobs("contact_sync") {
        /// Numbers of one phone book, and how many an account may ask about at once; beyond: the sync is refused.
        numbers: 50_000 in 1..=1_000_000,
        /// After which time, in milliseconds, an account may ask about one more number that is not in its book.
        refill_ms: 600_000 in 1..=86_400_000,
    }
}

/// The quota of an account: its burst and its refill rate.
pub(crate) fn allowance(knobs: &ContactSyncKnobs) -> Allowance {
    let burst = u32::try_from(knobs.numbers.get()).unwrap_or(u32::MAX);
    Allowance { burst, interval_ms: knobs.refill_ms.get() }
}

/// An account's quota as its owner keeps it in memory.
#[derive(Debug, Default)]
pub(crate) struct Purse {
    bucket: Bucket,
    /// The bucket has been read from the store.
    is_read: bool,
    /// How much was taken before the bucket was read.
    unread: u32,
    /// The bucket is being read or written,
    is_under_way: bool,
    /// and more was taken since that began.
    is_stale: bool,
}

impl Purse {
    /// Takes one number from the quota. An error: how long until there is one again.
    pub(crate) fn take(&mut self, allowance: Allowance, now_unix_ms: u64) -> Result<(), u64> {
        if self.is_read {
            self.bucket = self.bucket.take_many(1, allowance, now_unix_ms)?;
        } else if self.unread < UNREAD_MAX {
            self.unread += 1;
        } else {
            return Err(0);
        }
        self.is_stale = true;
        Ok(())
    }

    /// Begins to read or write the bucket. Returns whether the record has to be read first; `None`: that is under way already.
    pub(crate) fn begin(&mut self) -> Option<bool> {
        if self.is_under_way {
            return None;
        }
        (self.is_under_way, self.is_stale) = (true, false);
        Some(!self.is_read)
    }

    /// The record was read; `None`: it did not have to be. Returns the bucket to be written.
    pub(crate) fn opened(
        &mut self,
        record: Option<Option<&[u8]>>,
        allowance: Allowance,
        now_unix_ms: u64,
    ) -> Bucket {
        if let Some(record) = record {
            self.note(bucket(record));
            let unread = u64::from(std::mem::take(&mut self.unread));
            self.bucket = self.bucket.take_at_most(unread, allowance, now_unix_ms);
            self.is_read = true;
        }
        self.is_stale = false;
        self.bucket
    }

    /// The bucket was written, or could not be. Returns whether it has to be written again.
    pub(crate) fn closed(&mut self, is_written: bool) -> bool {
        self.is_under_way = false;
        is_written && self.is_stale
    }

    /// A bucket of the same account was written: the emptier of the two counts.
    fn note(&mut self, bucket: Bucket) {
        self.bucket = self.bucket.emptier(bucket);
    }
}

/// A damaged record counts as a full bucket: only the server writes it, and nobody could repair it otherwise.
fn bucket(record: Option<&[u8]>) -> Bucket {
    record.and_then(Bucket::from_json).unwrap_or_default()
}

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
        record_key(&realm.secrets.root, NAME, &account.record_key())
    }

    /// The quota as its record and the purse have it.
    pub(crate) fn read(
        realm: &Realm,
        account: AccountId,
        record: Option<&[u8]>,
        purse: Option<&Purse>,
    ) -> Self {
        let known = purse.map_or_else(Bucket::default, |purse| purse.bucket);
        let bucket = bucket(record).emptier(known);
        let allowance = allowance(realm.knobs.of());
        Self { key: Self::key(realm, account), bucket, allowance, waived: false }
    }

    /// The numbers were paid for already, so this sync takes nothing.
    pub(crate) fn waive(&mut self) {
        self.waived = true;
    }

    /// Whether so many numbers could be taken; if not, how long until then.
    pub(crate) fn check(&self, numbers: usize, now_unix_ms: u64) -> Result<(), u64> {
        if self.waived {
            return Ok(());
        }
        self.bucket.take_many(numbers as u64, self.allowance, now_unix_ms).map(drop)
    }

    /// Whether taking so many numbers takes anything from the quota.
    pub(crate) fn is_charged(&self, numbers: usize) -> bool {
        numbers > 0 && !self.waived
    }

    /// Takes so many numbers, and returns the record to be written.
    pub(crate) fn take(&mut self, numbers: usize, now_unix_ms: u64, purse: &mut Purse) -> Option<Put> {
        if !self.is_charged(numbers) {
            return None;
        }
        // The quota was checked for the whole sync before. A clock that was set back since, or what was taken by first stanzas
        // meanwhile, must not make the sync lose its remaining numbers.
        let before = self.bucket.emptier(purse.bucket);
        self.bucket = before.take_at_most(numbers as u64, self.allowance, now_unix_ms);
        purse.note(self.bucket);
        Some(Put { table: LIMITS, key: self.key.clone(), value: Some(self.bucket.to_json()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn all_at_once_then_six_an_hour() {
        let realm = Realm::new("chaski.example", 1, [1; 16]);
        let account = AccountId::phone(15_551_230_001).unwrap();
        let mut quota = Quota::read(&realm, account, None, None);
        assert_eq!(quota.check(50_000, NOW), Ok(()));
        assert!(quota.check(50_001, NOW).is_err());
        let put = quota.take(50_000, NOW, &mut Purse::default()).unwrap();
        assert_eq!(quota.check(1, NOW), Err(600_000));
        let quota = Quota::read(&realm, account, put.value.as_deref(), None);
        assert_eq!(quota.check(1, NOW), Err(600_000), "as it was written");
        assert_eq!(quota.check(6, NOW + 3_600_000), Ok(()));
        assert_eq!(quota.check(7, NOW + 3_600_000), Err(600_000));
        assert_eq!(quota.check(0, NOW), Ok(()));
    }

    #[test]
    fn a_purse_is_opened_once_and_charged_for_what_was_taken_before() {
        let allowance = Allowance { burst: 200, interval_ms: 1_000 };
        let mut purse = Purse::default();
        let taken = (0..1_000).filter(|_| purse.take(allowance, NOW).is_ok()).count();
        assert_eq!(taken, UNREAD_MAX as usize, "before it is known what is left");
        assert_eq!((purse.begin(), purse.begin()), (Some(true), None));
        purse.opened(Some(None), allowance, NOW);
        let taken = (0..1_000).filter(|_| purse.take(allowance, NOW).is_ok()).count();
        assert_eq!(taken, 200 - UNREAD_MAX as usize);
        assert!(purse.closed(true), "to be written again");
        assert_eq!(purse.begin(), Some(false), "and not read again");
        let written = purse.opened(None, allowance, NOW);
        assert!(!purse.closed(true));
        assert!(written.take_many(1, allowance, NOW).is_err());
    }

    #[test]
    fn neither_way_of_asking_gives_back_what_the_other_has_taken() {
        let realm = Realm::new("chaski.example", 1, [1; 16]);
        let account = AccountId::phone(15_551_230_001).unwrap();
        let allowance = allowance(realm.knobs.of());
        let mut purse = Purse::default();
        let mut quota = Quota::read(&realm, account, None, Some(&purse));
        purse.take(allowance, NOW).unwrap();
        assert_eq!(purse.begin(), Some(true));
        // A sync is written between the reading of the record and its arrival.
        quota.take(49_990, NOW, &mut purse).unwrap();
        purse.opened(Some(None), allowance, NOW);
        (0..9).for_each(|_| purse.take(allowance, NOW).unwrap());
        assert!(purse.take(allowance, NOW).is_err());
        assert!(Quota::read(&realm, account, None, Some(&purse)).check(1, NOW).is_err());
    }
}
