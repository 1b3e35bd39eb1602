//! TLS records after the handshake, compared with rustls. The checks are shared with `crates/tls/tests/records.rs`.
#![no_main]

#[path = "../../crates/tls/tests/drive/records.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    drive::drive(input);
});
