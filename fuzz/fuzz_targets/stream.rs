//! A whole connection from its first byte to the session, with the edge's part played. The checks are shared with
//! `crates/xmpp/tests/drive.rs`.
#![no_main]

#[path = "../../crates/xmpp/tests/drive/stream.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    drive::drive(input);
});
