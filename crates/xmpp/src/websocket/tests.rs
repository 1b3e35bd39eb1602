//! WebSocket frames: masks, fragments, control frames, bounds and close codes.

use super::*;
use proptest::prelude::*;

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_head(&mut out, 0, payload.len());
    out[0] = first;
    out[1] |= MASKED;
    let mask = [0x5A, 0, 0xFF, 0x11];
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn fin(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(FIN | opcode, payload)
}

/// Feeds `input` in chunks and tells what came of it, in words.
fn events(input: &[u8], chunk: usize) -> Vec<String> {
    events_within(input, chunk, (100_000, 0))
}

/// The same with these bounds.
fn events_within(input: &[u8], chunk: usize, (max_bytes, max_skipped): (usize, usize)) -> Vec<String> {
    let mut decoder = Decoder::new(max_bytes);
    decoder.set_max_skipped(max_skipped);
    let mut buf = Vec::new();
    let mut found = Vec::new();
    for piece in input.chunks(chunk) {
        buf.extend_from_slice(piece);
        loop {
            let (len, event) = match decoder.next(&mut buf) {
                Ok((len, event)) => (len, event.map(|event| format!("{event:?}"))),
                Err(violation) => {
                    found.push(format!("{:?}", violation.0));
                    return found;
                }
            };
            buf.drain(..len);
            found.extend(event);
            if len == 0 {
                break;
            }
        }
    }
    found
}

#[test]
fn reads_messages_whole_and_in_fragments() {
    let input = [
        fin(TEXT, b"<a/>"),
        frame(TEXT, "caf\u{e9}".as_bytes().split_at(4).0),
        fin(PING, b"p"),
        frame(CONTINUATION, "\u{e9}".as_bytes().split_at(1).1),
        fin(CONTINUATION, b"!"),
        fin(TEXT, b""),
        fin(PONG, b""),
        fin(CLOSE, b"\x03\xE8bye"),
        fin(CLOSE, b""),
    ]
    .concat();
    let expected = [
        "Text(\"<a/>\")",
        "Ping([112])",
        "Text(\"café!\")",
        "Text(\"\")",
        "Pong([])",
        "Close(Some(1000))",
        "Close(None)",
    ];
    for chunk in [1, 3, input.len()] {
        assert_eq!(events(&input, chunk), expected);
    }
}

#[test]
fn violations_have_their_codes() {
    let unmasked = [0x81, 0x01, b'x'].to_vec();
    let not_shortest = [0x81, 0xFE, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5].to_vec();
    for (input, code) in [
        (unmasked, "Protocol"),
        (not_shortest, "Protocol"),
        ([0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0].to_vec(), "Protocol"),
        ([0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF].to_vec(), "Protocol"),
        ([0x81, 0xFF, 0, 0, 0, 0, 0, 2, 0, 0].to_vec(), "TooLarge"),
        ([frame(TEXT, &[b'x'; 60_000]), fin(CONTINUATION, &[b'x'; 60_000])].concat(), "TooLarge"),
        (fin(BINARY, b"x"), "Unacceptable"),
        (fin(3, b"x"), "Protocol"),
        (fin(TEXT | 0x40, b"x"), "Protocol"),
        (fin(CONTINUATION, b"x"), "Protocol"),
        ([frame(TEXT, b"x"), fin(TEXT, b"y")].concat(), "Protocol"),
        (frame(PING, b"x"), "Protocol"),
        (fin(PING, &[0; 126]), "Protocol"),
        (fin(CLOSE, b"x"), "Protocol"),
        (fin(CLOSE, b"\x03\xED"), "Protocol"),
        (fin(CLOSE, b"\x03\xE8\xFF"), "InvalidData"),
        (fin(TEXT, b"\xC3"), "InvalidData"),
    ] {
        assert_eq!(events(&input, input.len()), [code], "{:?}", &input[..input.len().min(12)]);
    }
}

#[test]
fn in_a_session_a_message_too_large_is_read_to_its_end() {
    let long = "y".repeat(BEGINNING_BYTES + 10_000);
    let kept = &long.as_bytes()[..BEGINNING_BYTES];
    let excess = |beginning: &[u8], bytes| format!("{:?}", Event::Excess { beginning, bytes });
    for (input, expected) in [
        (fin(TEXT, b"123456789"), vec![excess(b"123456789", 9)]),
        // It becomes too large with its second fragment, and an empty one ends it.
        (
            [frame(TEXT, b"12345"), frame(CONTINUATION, b"6789"), fin(PING, b""), fin(CONTINUATION, b"")]
                .concat(),
            vec!["Ping([])".to_owned(), excess(b"123456789", 9)],
        ),
        (
            [frame(TEXT, long.as_bytes()), fin(CONTINUATION, b"z"), fin(TEXT, b"<a/>")].concat(),
            vec![excess(kept, long.len() + 1), "Text(\"<a/>\")".to_owned()],
        ),
        // Not UTF-8, which nobody looks at.
        (fin(TEXT, &[0xFF; 9]), vec![excess(&[0xFF; 9], 9)]),
        (
            [frame(TEXT, &[b'x'; 60]), fin(CONTINUATION, &[b'x'; 60_000])].concat(),
            vec!["TooLarge".to_owned()],
        ),
        ([frame(TEXT, b""), fin(CONTINUATION, &[b'x'; 50_001])].concat(), vec!["TooLarge".to_owned()]),
        ([frame(TEXT, b"123456789"), fin(TEXT, b"x")].concat(), vec!["Protocol".to_owned()]),
    ] {
        for chunk in [1, 7, input.len()] {
            assert_eq!(events_within(&input, chunk, (8, 50_000)), expected);
        }
    }
}

#[test]
fn writes_frames_of_each_length_form() {
    let mut out = Vec::new();
    encode_text(&mut out, &[b"a", b"bc"]);
    assert_eq!(out, [0x81, 3, b'a', b'b', b'c']);
    for (len, head) in [(126, vec![0x81, 126, 0, 126]), (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0])] {
        out.clear();
        encode_text(&mut out, &[&vec![b'x'; len]]);
        assert_eq!((out.len(), &out[..head.len()]), (head.len() + len, head.as_slice()));
    }
    out.clear();
    encode_close(&mut out, Some(CloseCode::TooLarge as u16));
    assert_eq!(out, [0x88, 2, 0x03, 0xF1]);
}

#[test]
fn accept_key_of_the_specification() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn framing_elements() {
    let mut out = Vec::new();
    let open = Open { to: Some("a.b".into()), version: Some("1.0".into()), ..Open::default() };
    write_open(&mut out, &open);
    let text = String::from_utf8(out).unwrap();
    assert!(matches!(parse_message(&text), Ok(Message::Open(read)) if read == open));
    let mut out = Vec::new();
    write_close(&mut out, None);
    assert_eq!(out, b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
    assert!(matches!(parse_message(std::str::from_utf8(&out).unwrap()), Ok(Message::Close)));
    assert!(matches!(parse_message("<iq/>"), Ok(Message::Element(_))));
    assert!(parse_message("<?xml version='1.0'?><iq/>").is_err());
}

proptest! {
    #[test]
    fn chunking_changes_nothing(input in prop::collection::vec(any::<u8>(), 0..80), chunk in 1usize..10) {
        prop_assert_eq!(events(&input, chunk), events(&input, 80));
        let frames = [frame(TEXT, &input), frame(CONTINUATION, &input), fin(CONTINUATION, &input)].concat();
        for bounds in [(30, 100), (100, 1000), (500, 0)] {
            prop_assert_eq!(events_within(&frames, chunk, bounds), events_within(&frames, 1000, bounds));
        }
    }

    #[test]
    fn text_comes_through(text in "\\PC{0,300}", chunk in 1usize..50) {
        prop_assert_eq!(events(&fin(TEXT, text.as_bytes()), chunk), [format!("{:?}", Event::Text(&text))]);
    }
}
