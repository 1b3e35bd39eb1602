//! Any bytes as a letter between places: they are read or refused, and what was read can be written and read again.
//!
//! Shared by `crates/services/tests/letters.rs` and `fuzz/fuzz_targets/letters.rs`.

use chaski_services::effects::letter::Envelope;

/// Reads the input. Whether it is a letter.
pub(crate) fn drive(input: &[u8]) -> bool {
    let Ok(read) = Envelope::decode(input) else { return false };
    let (mut written, mut again) = (Vec::new(), Vec::new());
    read.encode(&mut written);
    Envelope::decode(&written).expect("what is written can be read").encode(&mut again);
    assert_eq!(again, written);
    true
}
