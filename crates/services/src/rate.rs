//! How fast one account may have messages stored, over all of its sessions.
//!
//! A bucket of bytes in the form of GCRA: one point in time at which it will be full again. Each message that has to be stored
//! takes its own bytes, and those that the server adds, from the bucket before it is accepted. The recipient makes no difference:
//! neither who it is nor whether it is online or has acknowledged the message. So a sender learns nothing from the rate, and the
//! server need not keep count of deleted messages. The rate has to be generous enough for the fastest honest sender: what one
//! sender can leave in a single mailbox is bounded by [shares](chaski_store::shares).
//!
//! Owned by the sender's account while that is in memory, and full when the account is loaded. Called by the router. Pure.

use crate::realm::Limits;
use chaski_store::AccountId;

/// What the server adds to a message that it stores: roughly the sender's JID and the stanza-id.
const ADDED_BYTES: u64 = 128;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StoredRate {
    /// On the clock of [`crate::owner::context::Context::now_ms`]. A time before now: the bucket is full.
    full_at_us: u64,
}

/// Too much was stored lately: the message is to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFast;

/// Whether a sender has used up more than half of what may be stored at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IsHeavy(pub(crate) bool);

impl StoredRate {
    /// Takes a message of so many bytes.
    pub(crate) fn take(
        &mut self,
        limits: &Limits,
        account: AccountId,
        now_ms: u64,
        bytes: usize,
    ) -> Result<IsHeavy, TooFast> {
        let per_s = limits.stored_bytes_per_s;
        let is_free = account.phone_number().is_none() && !limits.services_have_rate;
        if per_s == 0 || is_free {
            return Ok(IsHeavy(false));
        }
        let us = |bytes: u64| bytes.saturating_mul(1_000_000) / per_s;
        let (now_us, burst_us) = (now_ms.saturating_mul(1_000), us(limits.stored_burst_bytes));
        let owed_us = self.full_at_us.saturating_sub(now_us).saturating_add(us(bytes as u64 + ADDED_BYTES));
        if owed_us > burst_us {
            return Err(TooFast);
        }
        self.full_at_us = now_us.saturating_add(owed_us);
        Ok(IsHeavy(owed_us > burst_us / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { stored_burst_bytes: 10_000, stored_bytes_per_s: 1_000, ..Limits::default() }
    }

    fn phone() -> AccountId {
        AccountId::phone(15_551_230_001).unwrap()
    }

    const SIZE: usize = 1_000 - ADDED_BYTES as usize;

    #[test]
    fn a_burst_then_as_much_as_time_gives_back() {
        let (mut rate, limits, now_ms) = (StoredRate::default(), limits(), 5_000);
        let taken: Vec<_> = (0..10).map(|_| rate.take(&limits, phone(), now_ms, SIZE)).collect();
        assert_eq!(taken[4], Ok(IsHeavy(false)));
        assert_eq!(taken[5], Ok(IsHeavy(true)), "more than half is used up");
        assert_eq!(taken[9], Ok(IsHeavy(true)));
        assert_eq!(rate.take(&limits, phone(), now_ms, SIZE), Err(TooFast));
        assert_eq!(rate.take(&limits, phone(), now_ms + 999, SIZE), Err(TooFast));
        assert!(rate.take(&limits, phone(), now_ms + 1_000, SIZE).is_ok());
        assert_eq!(rate.take(&limits, phone(), now_ms + 1_000, 1), Err(TooFast), "a small one counts, too");
        let all = (0..20).filter(|_| rate.take(&limits, phone(), now_ms + 3_600_000, SIZE).is_ok());
        assert_eq!(all.count(), 10, "rest does not add up to more than a burst");
    }

    #[test]
    fn operators_accounts_have_no_rate_unless_they_are_to() {
        let (mut rate, mut limits) = (StoredRate::default(), limits());
        let bot = AccountId::service("bot");
        assert!((0..100).all(|_| rate.take(&limits, bot, 0, SIZE) == Ok(IsHeavy(false))));
        limits.services_have_rate = true;
        assert!(!(0..100).all(|_| rate.take(&limits, bot, 0, SIZE).is_ok()));
        limits.stored_bytes_per_s = 0;
        assert!((0..100).all(|_| rate.take(&limits, phone(), 0, SIZE) == Ok(IsHeavy(false))));
    }

    /// What loads do from single accounts must not meet it: 20,000 messages of 200 bytes a second for ten seconds.
    #[test]
    fn the_fastest_honest_sender_does_not_meet_it() {
        let (mut rate, limits) = (StoredRate::default(), Limits::default());
        let refused = (0..200_000u64).filter(|n| rate.take(&limits, phone(), n / 20, 200).is_err());
        assert_eq!(refused.count(), 0);
    }
}
