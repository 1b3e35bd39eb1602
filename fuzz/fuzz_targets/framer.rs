//! A stream's bytes: chunking changes nothing, and every element cut out passes the checks of `stanza`.
//! The first byte chooses the chunks' size.
#![no_main]

#[path = "../../crates/xmpp/tests/oracle/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((&chunk, stream)) = input.split_first() {
        check::check_framer(stream, usize::from(chunk));
    }
});
