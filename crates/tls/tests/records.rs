//! The session against rustls, record by record: the fuzzer's corpus and random steps.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "drive/records.rs"]
mod drive;

use proptest::prelude::*;

#[test]
fn the_corpus_makes_no_difference() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/records");
    let mut inputs = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        drive::drive(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn steps_make_no_difference(input in prop::collection::vec(any::<u8>(), 1..200)) {
        drive::drive(&input);
    }
}
