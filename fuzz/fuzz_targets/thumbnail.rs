//! A picture, whatever it is, through header, limits, decoder and encoder, as a worker does it: an answer, and a thumbnail of the promised size.
#![no_main]

use chaski_media::thumbnail::{Limits, picture};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let limits = Limits { pixels: 1 << 20, memory_bytes: 64 << 20, ..Limits::default() };
    let made = picture::make(std::io::Cursor::new(input), input.len() as u64, 64, &limits);
    if let Ok(made) = made {
        assert!(made.bytes.len() < 64 << 10, "{}", made.bytes.len());
    }
});
