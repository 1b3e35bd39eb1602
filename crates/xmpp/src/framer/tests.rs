//! The framer: cutting, chunking, bounds, and what ends a stream.

use super::*;
use FrameKind::{Element, Excess, StreamClose, StreamOpen, Whitespace};
use proptest::prelude::*;

const HEADER: &str = "<?xml version='1.0'?>\n<stream:stream to='a>b' xmlns='jabber:client'>";

/// Runs the framer over `input` given in chunks of these sizes (the rest at once); joins runs of white space.
fn frames(input: &[u8], chunks: &[usize], max_bytes: u32) -> (Vec<(FrameKind, Vec<u8>)>, Option<FrameError>) {
    frames_skipping(input, chunks, max_bytes, 0)
}

/// The same in a session that skips so much. The pieces of an element are joined, but for those of one that has no end.
fn frames_skipping(
    input: &[u8],
    chunks: &[usize],
    max_bytes: u32,
    max_skipped: u32,
) -> (Vec<(FrameKind, Vec<u8>)>, Option<FrameError>) {
    let mut framer = Framer::new();
    framer.set_max_bytes(max_bytes);
    framer.set_max_skipped(max_skipped);
    let mut found: Vec<(FrameKind, Vec<u8>)> = Vec::new();
    let (mut start, mut end) = (0, 0usize);
    for &chunk in chunks.iter().chain([&usize::MAX]) {
        end = end.saturating_add(chunk).min(input.len());
        loop {
            match framer.next(&input[start..end]) {
                Err(error) => {
                    found.pop_if(|(kind, _)| matches!(kind, Excess(Piece::First | Piece::Middle)));
                    return (found, Some(error));
                }
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let bytes = &input[start..start + frame.len];
                    match found.last_mut() {
                        Some((kind @ Excess(Piece::First | Piece::Middle), run)) => {
                            *kind = frame.kind;
                            run.extend_from_slice(bytes);
                        }
                        Some((Whitespace, run)) if frame.kind == Whitespace => run.extend_from_slice(bytes),
                        _ => found.push((frame.kind, bytes.to_vec())),
                    }
                    start += frame.len;
                }
            }
        }
    }
    found.pop_if(|(kind, _)| matches!(kind, Excess(Piece::First | Piece::Middle)));
    (found, None)
}

fn kinds(input: &str) -> Result<Vec<FrameKind>, FrameError> {
    let (found, error) = frames(input.as_bytes(), &[], 1000);
    error.map_or_else(|| Ok(found.into_iter().map(|(kind, _)| kind).collect()), Err)
}

fn in_stream(input: &str) -> Result<Vec<FrameKind>, FrameError> {
    kinds(&format!("{HEADER}{input}")).map(|kinds| kinds[1..].to_vec())
}

#[test]
fn cuts_a_stream() {
    let input = format!("{HEADER} \n<a><b x='>\"</a>'/><![CDATA[</a>]]]]></a><c/></stream:stream>");
    assert_eq!(kinds(&input), Ok(vec![StreamOpen, Whitespace, Element, Element, StreamClose]));
}

#[test]
fn a_header_may_come_without_declaration_and_again_after_restart() {
    let mut framer = Framer::new();
    let header = b"<stream:stream>";
    assert_eq!(framer.next(header), Ok(Some(Frame { kind: StreamOpen, len: header.len() })));
    framer.restart();
    assert_eq!(framer.next(HEADER.as_bytes()), Ok(Some(Frame { kind: StreamOpen, len: HEADER.len() })));
}

#[test]
fn refuses_what_is_restricted() {
    use FrameError::{NotWellFormed, Restricted};
    for (input, error) in [
        ("<a><!-- c --></a>", Restricted),
        ("<!-- c -->", Restricted),
        ("<!DOCTYPE a>", Restricted),
        ("<a><?php ?></a>", Restricted),
        ("<?xml version='1.0'?>", Restricted),
        ("<![CDATA[x]]>", NotWellFormed),
        ("<a><![cdata[x]]></a>", NotWellFormed),
        ("text", NotWellFormed),
        ("</a>", NotWellFormed),
        ("< a/>", NotWellFormed),
        ("<>", NotWellFormed),
    ] {
        assert_eq!(in_stream(input), Err(error), "{input}");
    }
    assert_eq!(kinds("</stream:stream>"), Err(NotWellFormed));
    assert_eq!(kinds("<?xml version='1.0'?><?xml version='1.0'?>"), Err(Restricted));
    assert_eq!(kinds("<?xml version='1.0'><stream:stream>"), Err(NotWellFormed));
}

#[test]
fn bounds_bytes_depth_and_attributes() {
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert_eq!(in_stream(&nested(32)), Ok(vec![Element]));
    assert_eq!(in_stream(&nested(33)), Err(FrameError::TooDeep));
    let wide = |attributes: usize| format!("<a{}/>", " b='c'".repeat(attributes));
    assert_eq!(in_stream(&wide(64)), Ok(vec![Element]));
    assert_eq!(in_stream(&wide(65)), Err(FrameError::TooManyAttributes));
    let long = |bytes: usize| format!("<a>{}</a>", "x".repeat(bytes - 7));
    assert_eq!(in_stream(&long(1000)), Ok(vec![Element]));
    assert_eq!(in_stream(&long(1001)), Err(FrameError::TooLarge));
    assert_eq!(in_stream(&" ".repeat(5000)).map(|kinds| kinds.contains(&Element)), Ok(false));
}

#[test]
fn an_endless_element_is_refused_without_its_end() {
    let mut framer = Framer::new();
    let input = format!("<a b='{}", "x".repeat(9000));
    assert_eq!(framer.next(&input.as_bytes()[..8192]), Ok(None));
    assert_eq!(framer.next(&input.as_bytes()[..8193]), Err(FrameError::TooLarge));
}

#[test]
fn in_a_session_what_is_too_large_is_given_out_in_pieces() {
    let mut framer = Framer::new();
    framer.set_max_skipped(100);
    assert_eq!(framer.next(b"<stream>").unwrap().map(|frame| frame.kind), Some(StreamOpen));
    framer.set_max_bytes(10);
    let piece = |piece, len| Ok(Some(Frame { kind: Excess(piece), len }));
    // Nothing is decided before the bound is passed.
    assert_eq!(framer.next(b"<a b='3456"), Ok(None));
    assert_eq!(framer.next(b"<a b='34567"), piece(Piece::First, 10));
    assert_eq!(framer.next(b""), Ok(None));
    assert_eq!(framer.next(b"7/>'"), piece(Piece::Middle, 4));
    assert_eq!(framer.next(b" /"), piece(Piece::Middle, 2));
    assert_eq!(framer.next(b"><b"), piece(Piece::Last, 1));
    assert!(!framer.in_element());
    // The end of a CDATA section in three pieces.
    for (bytes, expected) in [
        (&b"<a><![CDATA[x"[..], piece(Piece::First, 10)),
        (b"A[x>]", piece(Piece::Middle, 5)),
        (b"]", piece(Piece::Middle, 1)),
        (b"></a> ", piece(Piece::Last, 5)),
        (b" ", Ok(Some(Frame { kind: Whitespace, len: 1 }))),
        (b"<a/>", Ok(Some(Frame { kind: Element, len: 4 }))),
        (b"<a>45678901234", piece(Piece::First, 10)),
        (&[b'x'; 100], piece(Piece::Middle, 90)),
        (b"x", Err(FrameError::TooLarge)),
    ] {
        assert_eq!(framer.next(bytes), expected, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn in_a_session_depth_and_attributes_are_left_to_the_parser() {
    let nested = "<a>".repeat(300) + &"</a>".repeat(300);
    let wide = format!("<a{}/>", " b='c'".repeat(300));
    for element in [nested, wide] {
        let input = format!("{HEADER}{element}<b/>");
        let (found, error) = frames_skipping(input.as_bytes(), &[], 5000, 10_000);
        assert_eq!(error, None);
        assert_eq!(found[1..], [(Element, element.into_bytes()), (Element, b"<b/>".to_vec())]);
    }
}

#[test]
fn what_is_no_element_is_not_skipped() {
    for end in ["</stream:stream", "<", "</"] {
        let input = format!("{HEADER}{end}{}", " ".repeat(100));
        let (_, error) = frames_skipping(input.as_bytes(), &[], HEADER.len() as u32, 1000);
        assert!(error.is_some(), "{end}");
    }
    let header = format!("<stream:stream a='{}'>", "x".repeat(100));
    assert_eq!(frames_skipping(header.as_bytes(), &[], 50, 1000).1, Some(FrameError::TooLarge));
}

#[test]
fn is_small() {
    assert!(std::mem::size_of::<Framer>() <= 32);
}

/// Pieces that make XML-like input with a good chance of being almost right.
fn xmlish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec!["<a>", "</a>", "<b x='1'/>", "text", " ", "</stream:stream>", "\n"]),
        1 => prop::sample::select(vec!["<", ">", "/", "'", "\"", "<![CDATA[", "]]>", "]", "<!--", "<?", "?>", "é", "&lt;"]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| HEADER.to_owned() + &pieces.concat())
}

proptest! {
    #[test]
    fn chunking_changes_nothing(
        input in xmlish(),
        chunks in prop::collection::vec(0usize..9, 0..60),
        max_bytes in 60u32..200,
    ) {
        let whole = frames(input.as_bytes(), &[], max_bytes);
        prop_assert_eq!(frames(input.as_bytes(), &chunks, max_bytes), whole.clone());
        let single = vec![1; input.len()];
        prop_assert_eq!(frames(input.as_bytes(), &single, max_bytes), whole);
        let whole = frames_skipping(input.as_bytes(), &[], max_bytes, 150);
        prop_assert_eq!(frames_skipping(input.as_bytes(), &chunks, max_bytes, 150), whole.clone());
        prop_assert_eq!(frames_skipping(input.as_bytes(), &single, max_bytes, 150), whole);
    }
}
