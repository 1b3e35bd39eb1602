//! Randomness for loads: cheap, repeatable, no secrets. Called by the generator threads and by [`super::traffic`].

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

/// One step of SplitMix64: a number's well-mixed image.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        let out = mix(self.0);
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        out
    }

    /// Below `bound`, which must not be 0. (The bias is below one in a billion for the bounds that we have.)
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((self.next() >> 32).wrapping_mul(u64::from(bound)) >> 32) as u32
    }

    /// In (0, 1].
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Normally distributed (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept_and_the_middle_is_right() {
        let mut random = Random::new(1);
        assert!((0..1_000).all(|_| random.below(7) < 7));
        let mean = (0..10_000).map(|_| random.unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        let normal: Vec<f64> = (0..10_000).map(|_| random.normal()).collect();
        assert!((normal.iter().sum::<f64>() / 10_000.0).abs() < 0.05);
    }
}
