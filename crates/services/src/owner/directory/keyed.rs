//! The hash of the directory's tables: one multiplication with a secret, for keys that strangers choose.
//!
//! Any sender decides which numbers are looked up, so the hash must not be foreseeable; every stanza causes several look-ups, so
//! it must be cheap. Only for keys that are one or two integers.

use std::hash::{BuildHasher, Hasher};

/// Makes hashers with the process' secret.
#[derive(Debug, Clone)]
pub(crate) struct Keyed([u64; 2]);

impl Keyed {
    pub(crate) fn new(secret: &[u8; 16]) -> Self {
        let secret = u128::from_le_bytes(*secret);
        // The factor is odd, so that multiplying loses no bit of a key.
        Self([secret as u64, (secret >> 64) as u64 | 1])
    }
}

impl BuildHasher for Keyed {
    type Hasher = Mix;

    fn build_hasher(&self) -> Mix {
        Mix { state: self.0[0], factor: self.0[1] }
    }
}

/// See the module.
pub(crate) struct Mix {
    state: u64,
    factor: u64,
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.state ^ value) * u128::from(self.factor ^ 0x9E37_79B9_7F4A_7C15);
        self.state = product as u64 ^ (product >> 64) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn consecutive_numbers_spread_over_all_bits() {
        let keyed = Keyed::new(&[7; 16]);
        let hashes: Vec<u64> = (15_551_230_000_u64..15_551_234_096).map(|n| keyed.hash_one(n)).collect();
        let low: HashSet<u64> = hashes.iter().map(|hash| hash % 4096).collect();
        let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        // A random function leaves e^-1 of the places empty.
        assert!(low.len() > 2_300, "{}", low.len());
        assert_eq!(high.len(), 128);
        assert_ne!(keyed.hash_one(1_u64), Keyed::new(&[8; 16]).hash_one(1_u64));
    }
}
