//! One element: what we accept, rxml accepts and sees alike, before and after rewriting; what we call not well-formed,
//! it does too.
#![no_main]

#[path = "../../crates/xmpp/tests/oracle/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    check::check_stanza(input);
    let _ = chaski_xmpp::StreamHeader::parse(input);
});
