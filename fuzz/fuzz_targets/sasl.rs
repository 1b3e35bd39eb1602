//! SASL exchanges with arbitrary messages, both sides. The checks are shared with `crates/xmpp/tests/drive.rs`.
#![no_main]

#[path = "../../crates/xmpp/tests/drive/sasl.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| drive::drive(input));
