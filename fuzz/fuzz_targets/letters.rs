//! Letters between places, as they come from a link. The checks are shared with `crates/services/tests/letters.rs`.
#![no_main]

#[path = "../../crates/services/tests/drive/letters.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    drive::drive(input);
});
