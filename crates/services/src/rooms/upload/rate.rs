//! How many slots one account may ask for, and for how many bytes, over all of its sessions.
//!
//! Two buckets, each kept as the point in time at which it will be full again (GCRA). Kept in the account while that is in
//! memory, and full when the account is loaded: what an account can have in total is bounded by its quota, which the index keeps.
//! Pure.

use crate::realm::uploads::Uploads;

const HOUR_MS: u64 = 3_600_000;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    slots_full_at_ms: u64,
    bytes_full_at_ms: u64,
}

impl Rate {
    /// Takes one slot. An error: in how many milliseconds there will be one.
    pub(crate) fn take_slot(&mut self, uploads: &Uploads, now_ms: u64) -> Result<(), u64> {
        let (burst, per_hour) = (u64::from(uploads.slots_burst), u64::from(uploads.slots_per_hour));
        take(&mut self.slots_full_at_ms, now_ms, 1, (burst, per_hour))
    }

    /// Takes so many bytes. An error: in how many milliseconds there will be so many.
    pub(crate) fn take_bytes(&mut self, uploads: &Uploads, now_ms: u64, bytes: u64) -> Result<(), u64> {
        // The largest file has to fit, whatever the operator has configured.
        let burst = uploads.burst_bytes.max(uploads.max_file_bytes);
        take(&mut self.bytes_full_at_ms, now_ms, bytes, (burst, uploads.bytes_per_hour))
    }
}

fn take(full_at_ms: &mut u64, now_ms: u64, amount: u64, (burst, per_hour): (u64, u64)) -> Result<(), u64> {
    if per_hour == 0 {
        return Ok(());
    }
    let ms = |amount: u64| {
        let exact = u128::from(amount) * u128::from(HOUR_MS);
        u64::try_from(exact.div_ceil(u128::from(per_hour))).unwrap_or(u64::MAX)
    };
    let owed_ms = full_at_ms.saturating_sub(now_ms).saturating_add(ms(amount));
    match owed_ms.saturating_sub(ms(burst)) {
        0 => {
            *full_at_ms = now_ms.saturating_add(owed_ms);
            Ok(())
        }
        wait_ms => Err(wait_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uploads() -> Uploads {
        let uploads = Uploads::new("u", "https://u", [1; 16]);
        Uploads {
            slots_burst: 3,
            slots_per_hour: 60,
            burst_bytes: 100,
            bytes_per_hour: 3_600,
            max_file_bytes: 50,
            ..uploads
        }
    }

    #[test]
    fn so_many_at_once_and_then_one_a_minute() {
        let (uploads, mut rate) = (uploads(), Rate::default());
        let start_ms = 5_000_000;
        for _ in 0..3 {
            assert_eq!(rate.take_slot(&uploads, start_ms), Ok(()));
        }
        assert_eq!(rate.take_slot(&uploads, start_ms), Err(60_000));
        assert_eq!(rate.take_slot(&uploads, start_ms + 59_000), Err(1_000));
        assert_eq!(rate.take_slot(&uploads, start_ms + 60_000), Ok(()));
        assert_eq!(rate.take_slot(&uploads, start_ms + 60_000), Err(60_000));
    }

    #[test]
    fn bytes_have_a_rate_too_and_the_largest_file_fits() {
        let (uploads, mut rate) = (uploads(), Rate::default());
        assert_eq!(rate.take_bytes(&uploads, 0, 60), Ok(()));
        assert_eq!(rate.take_bytes(&uploads, 0, 50), Err(10_000), "what was refused takes nothing");
        assert_eq!(rate.take_bytes(&uploads, 10_000, 50), Ok(()));
        let narrow = Uploads { burst_bytes: 1, ..uploads };
        assert_eq!(Rate::default().take_bytes(&narrow, 0, 50), Ok(()));
        let free = Uploads { bytes_per_hour: 0, slots_per_hour: 0, ..narrow };
        assert_eq!(rate.take_bytes(&free, 0, u64::MAX).and(rate.take_slot(&free, 0)), Ok(()));
    }
}
