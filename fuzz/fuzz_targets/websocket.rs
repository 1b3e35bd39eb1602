//! A client's WebSocket frames: no panic, no more consumed than there is, and chunking changes nothing.
//! The first byte chooses the chunks' size.
#![no_main]

use chaski_xmpp::websocket::{Decoder, Event, parse_message};

fn events(input: &[u8], chunk: usize) -> Vec<String> {
    let mut decoder = Decoder::new(4096);
    let mut buf = Vec::new();
    let mut found = Vec::new();
    for piece in input.chunks(chunk) {
        buf.extend_from_slice(piece);
        loop {
            let available = buf.len();
            let len = match decoder.next(&mut buf) {
                Ok((len, event)) => {
                    assert!(len <= available);
                    if let Some(Event::Text(text)) = &event {
                        let _ = parse_message(text);
                    }
                    found.extend(event.map(|event| format!("{event:?}")));
                    len
                }
                Err(violation) => {
                    found.push(violation.to_string());
                    return found;
                }
            };
            if len == 0 {
                break;
            }
            buf.drain(..len);
        }
    }
    found
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((&chunk, frames)) = input.split_first() {
        let whole = events(frames, frames.len().max(1));
        assert_eq!(events(frames, usize::from(chunk).max(1)), whole);
    }
});
