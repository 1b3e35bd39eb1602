//! A client's WebSocket frames: no panic, no more consumed than there is, and chunking changes nothing; before a session
//! and in one, where what is too large is read to its end.
//! The first byte chooses the chunks' size.
#![no_main]

use chaski_xmpp::Husk;
use chaski_xmpp::websocket::{Decoder, Event, parse_message};

fn husk(husk: Option<Husk>) {
    assert!(husk.is_none_or(|husk| husk.stanza().is_some()), "a husk is a stanza");
}

fn events(input: &[u8], chunk: usize, (max_bytes, max_skipped): (usize, usize)) -> Vec<String> {
    let mut decoder = Decoder::new(max_bytes);
    decoder.set_max_skipped(max_skipped);
    let mut buf = Vec::new();
    let mut found = Vec::new();
    for piece in input.chunks(chunk) {
        buf.extend_from_slice(piece);
        loop {
            let available = buf.len();
            let len = match decoder.next(&mut buf) {
                Ok((len, event)) => {
                    assert!(len <= available);
                    match &event {
                        Some(Event::Text(text)) if parse_message(text).is_err() => husk(Husk::of_whole(text.as_bytes())),
                        Some(Event::Excess { beginning, .. }) => husk(Husk::of_beginning(beginning)),
                        _ => {}
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
        for bounds in [(4096, 0), (16, 300)] {
            let whole = events(frames, frames.len().max(1), bounds);
            assert_eq!(events(frames, usize::from(chunk).max(1), bounds), whole);
        }
    }
});
