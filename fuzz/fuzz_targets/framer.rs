//! A stream's bytes: chunking changes nothing, before a session and in one of small bounds, where what is too large is
//! skipped; and every element cut out passes the checks of `stanza`, among them that the framer ends it where it ends.
//! The first byte chooses the chunks' size.
#![no_main]

#[path = "../../crates/xmpp/tests/oracle/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((&chunk, stream)) = input.split_first() {
        check::check_framer(stream, usize::from(chunk));
    }
});
