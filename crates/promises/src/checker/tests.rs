//! The checker accepts what is good.

use super::*;
use crate::model::play;

#[test]
fn what_the_model_does_is_good() {
    for seed in 0..2_000 {
        let history = play::history(seed, 150);
        let verdicts = judge(Knobs::default(), &history);
        if let Some(verdict) = verdicts.first() {
            for (place, timed) in history.iter().enumerate() {
                println!("{place} {timed:?}");
            }
            panic!("seed {seed}: {verdict}");
        }
    }
}
