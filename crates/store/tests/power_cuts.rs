//! A few hundred random power cuts under the real engine; `cargo xtask power-cuts --cuts 10000` makes more of them.

use chaski_store::embedded::simulation::campaign::{self, Tally};

const SEEDS: u64 = 15;
const CUTS_PER_SEED: u64 = 20;

#[test]
fn no_promise_is_broken_by_a_power_cut() {
    let mut tally = Tally::default();
    for seed in 1..=SEEDS {
        match campaign::run(seed, CUTS_PER_SEED) {
            Ok((lived, _)) => tally.add(&lived),
            Err(broken) => panic!("{broken}\nrepeat: cargo xtask power-cuts --cuts 1 --seed {seed}"),
        }
    }
    // What the lives are for has happened in them.
    assert!(tally.cuts >= SEEDS * CUTS_PER_SEED && tally.committed > 2_000, "{tally:?}");
    assert!(tally.cuts_in_opening > 20 && tally.cuts_in_closing > 5, "{tally:?}");
    assert!(tally.cuts_in_removal > 5 && tally.cuts_in_shrinking > 0, "{tally:?}");
    assert!(tally.returned > 0 && tally.minutes > 5 && tally.full > 5, "{tally:?}");
}

#[test]
fn a_seed_repeats_a_life() {
    let life = |seed| campaign::run(seed, 5).map(|(_, events)| events).map_err(|broken| broken.to_string());
    assert_eq!(life(3), life(3));
}
