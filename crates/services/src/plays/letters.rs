//! Letters that no owner has sent: whatever can be read brings no shard down, and the next login finds it at work.

use super::*;
use crate::data::Data;
use crate::effects::letter::{Envelope, Letter};
use crate::testing::Stage;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_letter_brings_a_shard_down(seeds in prop::collection::vec(any::<u64>(), 1..40)) {
        let mut stage = Stage::new(2);
        stage.leave_unjudged("nobody has promised anything of letters that nobody has sent");
        stage.arrive(ROMEO, "orchard");
        stage.arrive(JULIET, "balcony");
        for seed in seeds {
            let letter = Letter::any(&mut StdRng::seed_from_u64(seed));
            stage.call((seed % 2) as u16, |room, ctx| room.envelope(ctx, Envelope::new(room.owner.desk.here, letter)));
            stage.settle();
        }
        stage.pass(30_000);
        let nurse = stage.login(NURSE, "garden");
        prop_assert!(stage.session(nurse).is_some());
    }
}
