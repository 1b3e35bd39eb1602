//! Whether the person who registers a number is the one who had it before, and what becomes of the account if that is not
//! certain.
//!
//! Operators give numbers to other people after some months of silence. A code proves the number and not the person, so what it
//! opens depends on how long the number has been silent. What only the person can have (the lock's PIN, the old key, a device's
//! token) proves the person at any time. Pure; called by [`super::confirm`]. docs/registration.md has the table.

/// The strongest proof that came with a right code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing: the number is proved, the person is not.
    Code,
    /// The registration lock's PIN.
    LockPin,
    /// The key that was good until now.
    PreviousKey,
    /// A device's token (XEP-0484) of that key.
    DeviceToken,
}

/// What is known of an account for the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Former {
    /// When the account was last used, within some hours; 0: that was never noted.
    pub(super) seen_unix_ms: u64,
    /// A session is connected, or can be resumed.
    pub(super) is_online: bool,
    /// A registration lock is set.
    pub(super) has_lock: bool,
}

/// How long a silence has which consequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// For so long, a lock whose PIN is not given keeps the number from being registered.
    pub(super) lock_ms: u64,
    /// A number that was silent for longer may belong to another person.
    pub(super) recycled_after_ms: u64,
}

/// What becomes of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same person registers: everything stays.
    KeepAll,
    /// Perhaps the same person: what was shown to others stays (profile, settings); messages, contacts, block list and bookmarks
    /// go.
    KeepProfile,
    /// Another person registers: everything goes.
    KeepNothing,
    /// Nothing happens before the lock lapses.
    Locked {
        /// After how long the lock lapses, if the number stays silent.
        retry_after_ms: u64,
    },
}

/// Decides. `now_unix_ms` is plausible time: a clock that jumps must not make everybody's number silent.
///
/// An account of which nothing was ever noted counts as seen just now: it is not known to have been silent.
pub(super) fn decide(former: Former, proof: Proof, terms: Terms, now_unix_ms: u64) -> Verdict {
    if proof != Proof::Code {
        return Verdict::KeepAll;
    }
    let is_unknown = former.seen_unix_ms == 0;
    // A time in the future is the mistake of a clock, and does not count as silence.
    let silent_ms = match former.is_online || is_unknown {
        true => 0,
        false => now_unix_ms.saturating_sub(former.seen_unix_ms),
    };
    if former.has_lock && silent_ms < terms.lock_ms {
        return Verdict::Locked { retry_after_ms: terms.lock_ms - silent_ms };
    }
    if silent_ms > terms.recycled_after_ms {
        return Verdict::KeepNothing;
    }
    if former.has_lock { Verdict::KeepProfile } else { Verdict::KeepAll }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{KeepAll, KeepNothing, KeepProfile};
    use super::*;
    use proptest::prelude::*;

    const DAY_MS: u64 = 24 * 3_600_000;
    const NOW: u64 = 20_000 * DAY_MS;
    const TERMS: Terms = Terms { lock_ms: 7 * DAY_MS, recycled_after_ms: 30 * DAY_MS };

    fn silent(ms: u64, has_lock: bool) -> Former {
        Former { seen_unix_ms: NOW - ms, is_online: false, has_lock }
    }

    #[test]
    fn the_table() {
        let locked = |retry_after_ms| Verdict::Locked { retry_after_ms };
        for (former, expected) in [
            (silent(0, false), KeepAll),
            (silent(30 * DAY_MS, false), KeepAll),
            (silent(30 * DAY_MS + 1, false), KeepNothing),
            (silent(0, true), locked(7 * DAY_MS)),
            (silent(7 * DAY_MS - 1, true), locked(1)),
            (silent(7 * DAY_MS, true), KeepProfile),
            (silent(30 * DAY_MS, true), KeepProfile),
            (silent(30 * DAY_MS + 1, true), KeepNothing),
            (Former { is_online: true, ..silent(300 * DAY_MS, false) }, KeepAll),
            (Former { is_online: true, ..silent(300 * DAY_MS, true) }, locked(7 * DAY_MS)),
            (Former { seen_unix_ms: 0, ..silent(0, false) }, KeepAll),
            (Former { seen_unix_ms: 0, ..silent(0, true) }, locked(7 * DAY_MS)),
            (Former { seen_unix_ms: NOW + DAY_MS, ..silent(0, false) }, KeepAll),
        ] {
            assert_eq!(decide(former, Proof::Code, TERMS, NOW), expected, "{former:?}");
            for proof in [Proof::LockPin, Proof::PreviousKey, Proof::DeviceToken] {
                assert_eq!(decide(former, proof, TERMS, NOW), KeepAll, "{former:?} {proof:?}");
            }
        }
    }

    /// How much of the account is kept. A lock keeps it from everybody.
    fn kept(verdict: Verdict) -> u8 {
        match verdict {
            KeepNothing => 0,
            KeepProfile => 1,
            KeepAll => 2,
            Verdict::Locked { .. } => 3,
        }
    }

    proptest! {
        /// Longer silence never opens more, whatever the terms; and a lock never gives more to who has only the code.
        #[test]
        fn silence_takes_away(
            seen in 1u64..NOW, earlier in 1u64..NOW, lock_ms in 0..60 * DAY_MS,
            recycled_after_ms in 0..60 * DAY_MS, has_lock: bool,
        ) {
            let terms = Terms { lock_ms, recycled_after_ms };
            let at = |seen_unix_ms, has_lock| {
                decide(Former { seen_unix_ms, is_online: false, has_lock }, Proof::Code, terms, NOW)
            };
            let (early, late) = (seen.min(earlier), seen.max(earlier));
            prop_assert!(kept(at(early, has_lock)) <= kept(at(late, has_lock)));
            match at(seen, true) {
                Verdict::Locked { retry_after_ms } => {
                    prop_assert!(retry_after_ms > 0 && retry_after_ms <= lock_ms);
                }
                verdict => prop_assert!(kept(verdict) <= kept(at(seen, false)) && verdict != KeepAll),
            }
            // Whoever waits as long as told is not told to wait again.
            if let Verdict::Locked { retry_after_ms } = at(seen, true) {
                let former = Former { seen_unix_ms: seen, is_online: false, has_lock: true };
                let later = decide(former, Proof::Code, terms, NOW + retry_after_ms);
                prop_assert!(kept(later) < 3);
            }
        }
    }
}
