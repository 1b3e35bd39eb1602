//! The checks that both the property test beside this and the fuzz targets in `/fuzz` make, with rxml as the oracle.
//!
//! What [`Stanza::parse`] accepts, an independent parser must accept inside a stream, and see the same elements, attributes
//! and text; the same holds for its rewritten form; and the framer must cut it out whole, however it is chunked.

use chaski_xmpp::framer::{FrameKind, Piece};
use chaski_xmpp::rewrite::{Attr, Rewrite, delay_split, rewrite};
use chaski_xmpp::{ElementRef, FrameError, Framer, Husk, Kind, ParseError, Stanza};
use rxml::{Event, Parse, Parser, WithOptions};

/// What every stanza stands in.
pub(crate) const HEADER: &str =
    "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>";
/// The end of it.
pub(crate) const FOOTER: &str = "</stream:stream>";

/// An element as both parsers see it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    ns: String,
    name: String,
    attrs: Vec<(String, String, String)>,
    /// All the text directly inside.
    text: String,
    children: Vec<Node>,
}

/// What rxml sees as children of the stream, or its error.
pub(crate) fn by_oracle(stream: &[u8]) -> Result<Vec<Node>, String> {
    by_oracle_whole(stream).map(|stream| stream.children)
}

fn by_oracle_whole(stream: &[u8]) -> Result<Node, String> {
    let options = rxml::Options { max_token_length: 1 << 20, ..rxml::Options::default() };
    let mut parser = Parser::with_options(options);
    let mut rest = stream;
    let mut open: Vec<Node> = vec![Node::default()];
    loop {
        match parser.parse(&mut rest, true) {
            Ok(None) => break,
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(Some(Event::StartElement(_, (ns, name), attrs))) => {
                let mut attrs: Vec<_> = attrs
                    .iter()
                    .map(|((ns, name), value)| (ns.to_string(), name.to_string(), value.clone()))
                    .collect();
                attrs.sort();
                open.push(Node { ns: ns.to_string(), name: name.to_string(), attrs, ..Node::default() });
            }
            Ok(Some(Event::EndElement(_))) => {
                let mut node = open.pop().expect("balanced");
                node.text = without_line_ends(&node.text);
                open.last_mut().expect("balanced").children.push(node);
            }
            Ok(Some(Event::Text(_, text))) => open.last_mut().expect("balanced").text.push_str(&text),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
    open.pop().expect("balanced").children.pop().ok_or_else(|| "no stream".to_owned())
}

/// The oracle gets some line ends behind `]` in CDATA sections wrong: compare text without line ends.
fn without_line_ends(text: &str) -> String {
    text.replace(['\r', '\n'], "")
}

fn node(element: &ElementRef<'_>) -> Node {
    let mut attrs: Vec<_> = element
        .attrs()
        .map(|(ns, name, value)| (ns.into_owned(), name.to_owned(), value.into_owned()))
        .collect();
    attrs.sort();
    for (ns, name, value) in &attrs {
        if ns.is_empty() {
            assert_eq!(element.attr(name).as_deref(), Some(value.as_str()));
        }
    }
    assert!(element.is(element.name(), &element.ns()));
    Node {
        ns: element.ns().into_owned(),
        name: element.name().to_owned(),
        attrs,
        text: without_line_ends(&element.text()),
        children: element.children().map(|child| node(&child)).collect(),
    }
}

fn in_stream(element: &[u8]) -> Vec<u8> {
    [HEADER.as_bytes(), element, FOOTER.as_bytes()].concat()
}

/// The one for [`Stanza`]: everything above for these bytes.
pub(crate) fn check_stanza(bytes: &[u8]) {
    let husk = Husk::of_whole(bytes);
    let left = husk.as_ref().map(|husk| husk.stanza().expect("a husk is a stanza"));
    let stanza = match Stanza::parse(bytes) {
        Ok(stanza) => stanza,
        Err(error) => return check_refusal(bytes, error),
    };
    let ours = node(&stanza.root());
    let theirs = by_oracle(&in_stream(bytes)).expect("the oracle refuses what we accept");
    assert_eq!(theirs.len(), 1);
    assert_eq!(ours, theirs[0]);
    let children: Vec<Node> = stanza.children().map(|child| node(&child)).collect();
    assert_eq!(children, ours.children);
    check_frames(bytes);
    check_skipped(bytes);
    assert_eq!(left.as_ref().map_or(Kind::Nonza, Stanza::kind), stanza.kind());
    if let Some(left) = left {
        assert_eq!((left.id(), left.type_attr()), (stanza.id(), stanza.type_attr()));
        assert!(left.to().is_none_or(|to| stanza.to().as_deref() == Some(&*to)));
    }
    check_rewrite(&stanza, &ours);
    check_standalone(&stanza);
}

/// What we call not well-formed, the oracle must not accept (what is against our bounds or rules it may).
fn check_refusal(bytes: &[u8], error: ParseError) {
    // The oracle lets the same namespace declaration stand twice in a tag, which XML 1.0 §3.1 does not.
    let repeats = bytes.windows(5).filter(|window| window == b"xmlns").count() > 1;
    // Names are checked more strictly than it does, and only those that hold something beyond ASCII.
    check_end(bytes);
    if !bytes.is_ascii()
        || error != ParseError::NotWellFormed
        || !bytes.starts_with(b"<")
        || bytes.starts_with(b"</")
        || repeats
    {
        return;
    }
    if let Ok(stream) = by_oracle_whole(&in_stream(bytes)) {
        // Text beside the element is fine inside a stream for the oracle, not for us.
        let is_one = stream.children.len() == 1 && stream.text.trim_ascii().is_empty();
        assert!(!is_one, "the oracle accepts what we refuse");
    }
}

/// What we refuse and the oracle accepts as one element (it has other bounds) ends for the framer where it ends for it.
fn check_end(bytes: &[u8]) {
    let is_one = |stream: Node| stream.children.len() == 1 && stream.text.trim_ascii().is_empty();
    if bytes.starts_with(b"<") && by_oracle_whole(&in_stream(bytes)).is_ok_and(is_one) {
        check_skipped(bytes);
    }
}

/// Of an element that is too large to be kept the framer finds the end where it is, however it is chunked, and goes on behind.
fn check_skipped(bytes: &[u8]) {
    let element = bytes.trim_ascii_end();
    let input = [HEADER.as_bytes(), element, b" ", element].concat();
    for (max_bytes, chunk) in [(2, 1), (9, 7), (40, input.len())] {
        if element.len() <= max_bytes {
            continue;
        }
        let (found, error) = frames_within(&input, chunk, (max_bytes as u32, 1 << 20));
        assert_eq!(error, None);
        let excess = (FrameKind::Excess(Piece::Last), element.to_vec());
        assert_eq!(found[1..], [excess.clone(), excess], "of {max_bytes} bytes in pieces of {chunk}");
    }
}

fn check_frames(bytes: &[u8]) {
    let input = in_stream(bytes);
    for chunk in [1, 7, input.len()] {
        let (frames, error) = frames(&input, chunk);
        assert_eq!(error, None);
        let elements: Vec<_> = frames.iter().filter(|frame| frame.0 == FrameKind::Element).collect();
        assert_eq!(elements.len(), 1);
        assert_eq!(elements[0].1, bytes.trim_ascii_end());
    }
}

/// Everything the framer cuts out of `input` in chunks of this size, white space left out.
pub(crate) fn frames(input: &[u8], chunk: usize) -> (Vec<(FrameKind, Vec<u8>)>, Option<FrameError>) {
    frames_within(input, chunk, (1 << 20, 0))
}

/// The same with bounds that apply behind the stream header. The pieces of an element that is too large are joined.
fn frames_within(
    input: &[u8],
    chunk: usize,
    (max_bytes, max_skipped): (u32, u32),
) -> (Vec<(FrameKind, Vec<u8>)>, Option<FrameError>) {
    let mut framer = Framer::new();
    framer.set_max_bytes(1 << 20);
    let mut found: Vec<(FrameKind, Vec<u8>)> = Vec::new();
    let (mut start, mut end) = (0, 0);
    while end < input.len() {
        end = (end + chunk.max(1)).min(input.len());
        loop {
            match framer.next(&input[start..end]) {
                Err(error) => return (found, Some(error)),
                Ok(None) => break,
                Ok(Some(frame)) => {
                    assert!(frame.len > 0);
                    let bytes = &input[start..start + frame.len];
                    start += frame.len;
                    match (frame.kind, found.last_mut()) {
                        (FrameKind::Whitespace, _) => {}
                        (FrameKind::Excess(Piece::Middle | Piece::Last), Some((kind, begun))) => {
                            *kind = frame.kind;
                            begun.extend_from_slice(bytes);
                        }
                        (kind, _) => found.push((kind, bytes.to_vec())),
                    }
                    if frame.kind == FrameKind::StreamOpen {
                        framer.set_max_bytes(max_bytes);
                        framer.set_max_skipped(max_skipped);
                    }
                }
            }
        }
    }
    (found, None)
}

fn check_rewrite(stanza: &Stanza<'_>, before: &Node) {
    let change = Rewrite {
        from: Attr::Set("a&b@c/'<\">"),
        extra: &[b"<stanza-id xmlns='urn:xmpp:sid:0'/>"],
        ..Rewrite::default()
    };
    let mut out = Vec::new();
    rewrite(stanza, &change, &mut out);
    let name = stanza.kind().name();
    if name.is_empty() {
        // A nonza is never relayed: its default namespace would be lost.
        return;
    }
    assert!(out.starts_with(format!("<{name} ").as_bytes()));
    assert!(out.ends_with(format!("</{name}>").as_bytes()));
    out.splice(delay_split(&out)..delay_split(&out), b"<delay xmlns='urn:xmpp:delay'/>".iter().copied());
    let again = Stanza::parse(&out).expect("what was rewritten parses");
    let after = node(&again.root());
    assert_eq!(by_oracle(&in_stream(&out)).as_deref(), Ok(std::slice::from_ref(&after)));
    assert_eq!(again.from().as_deref(), Some("a&b@c/'<\">"));
    assert_eq!((again.to(), again.id(), again.type_attr()), (stanza.to(), stanza.id(), stanza.type_attr()));
    assert_eq!(again.lang(), stanza.lang());
    assert_eq!(after.text, before.text);
    assert_eq!(after.children[1..after.children.len() - 1], before.children);
}

fn check_standalone(stanza: &Stanza<'_>) {
    for child in stanza.children().flat_map(|child| std::iter::once(child.clone()).chain(child.children())) {
        let mut out = Vec::new();
        child.write_standalone(&mut out);
        // Without a stream around it: everything it needs must be inside.
        let wrapped = [b"<x>".as_slice(), &out, b"</x>"].concat();
        assert_eq!(by_oracle(&wrapped).expect("stands alone"), [node(&child)]);
    }
}

/// Without an element whose end has not come: which pieces of it have, the chunks decide.
fn without_pieces(
    mut found: (Vec<(FrameKind, Vec<u8>)>, Option<FrameError>),
) -> (Vec<(FrameKind, Vec<u8>)>, Option<FrameError>) {
    found.0.pop_if(|(kind, _)| matches!(kind, FrameKind::Excess(Piece::First | Piece::Middle)));
    found
}

/// The one for [`Framer`]: chunking changes nothing, and nothing is lost.
pub(crate) fn check_framer(input: &[u8], chunk: usize) {
    let whole = frames(input, input.len());
    assert_eq!(frames(input, chunk), whole);
    assert_eq!(frames(input, 1), whole);
    // In a session of small bounds, too: what ends it does so at the same byte.
    for bounds in [(20, 60), (64, 1 << 20)] {
        let whole = frames_within(input, input.len(), bounds);
        assert_eq!(without_pieces(frames_within(input, chunk, bounds)), without_pieces(whole));
    }
    for (kind, bytes) in whole.0 {
        if kind == FrameKind::Element {
            check_stanza(&bytes);
        }
    }
}
