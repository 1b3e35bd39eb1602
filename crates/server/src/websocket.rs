//! Stanzas on WebSocket connections (RFC 7395): each element is one text frame and stands alone.
//!
//! Called by [`crate::c2s`] when it writes and by the event loop when it reads. The frame codec and the parsing of
//! `<open/>` and `<close/>` are `chaski_xmpp::websocket`'s.

use chaski_xmpp::websocket::{CloseCode, encode_close, encode_text};

const CLIENT_XMLNS: &[u8] = b" xmlns='jabber:client'";

/// Appends one element as a WebSocket frame. The shard writes elements that are in the default namespace of a TCP stream; in a
/// frame of its own an element has to declare that namespace (RFC 7395 §3.3.3).
pub(crate) fn write_element(buffer: &mut Vec<u8>, element: &[&[u8]]) {
    let (name_end, has_xmlns) = look_at_tag(element.iter().copied().flatten().copied());
    if has_xmlns {
        return encode_text(buffer, element);
    }
    let mut pieces = Vec::with_capacity(element.len() + 2);
    let mut before = 0;
    for piece in element {
        let end = before + piece.len();
        if (before..end).contains(&name_end) {
            let (head, tail) = piece.split_at(name_end - before);
            pieces.extend([head, CLIENT_XMLNS, tail]);
        } else {
            pieces.push(piece);
        }
        before = end;
    }
    encode_text(buffer, &pieces);
}

/// Appends a close frame.
pub(crate) fn close(buffer: &mut Vec<u8>) {
    encode_close(buffer, Some(CloseCode::Normal as u16));
}

/// Where the element's name ends, and whether its start tag declares a default namespace. The element was written
/// by the server itself or has been validated, so it begins with a well-formed start tag.
fn look_at_tag(bytes: impl Iterator<Item = u8>) -> (usize, bool) {
    let mut name_end = None;
    let mut quote = None;
    let mut matched = 0;
    for (at, byte) in bytes.enumerate() {
        if let Some(open) = quote {
            if byte == open {
                quote = None;
            }
            continue;
        }
        match byte {
            b'"' | b'\'' => quote = Some(byte),
            b'>' => return (name_end.unwrap_or(at), false),
            b'/' if name_end.is_none() && at > 0 => name_end = Some(at),
            b' ' | b'\t' | b'\r' | b'\n' => {
                name_end = name_end.or(Some(at));
            }
            _ => {}
        }
        matched = match (matched, byte) {
            (_, b' ' | b'\t' | b'\r' | b'\n') if matched != XMLNS.len() => 1,
            (XMLNS_END, b'=') => return (name_end.unwrap_or(at), true),
            (seen @ 1..XMLNS_END, byte) if byte == XMLNS[seen] => seen + 1,
            (XMLNS_END, b' ' | b'\t' | b'\r' | b'\n') => XMLNS_END,
            _ => 0,
        };
    }
    (name_end.unwrap_or(0), true)
}

/// White space (any), then the attribute's name.
const XMLNS: &[u8] = b" xmlns";
const XMLNS_END: usize = XMLNS.len();

#[cfg(test)]
mod tests {
    use super::*;

    fn written(element: &[&[u8]]) -> String {
        let mut buffer = Vec::new();
        write_element(&mut buffer, element);
        // A short server frame has a header of two bytes.
        String::from_utf8(buffer[2..].to_vec()).unwrap()
    }

    #[test]
    fn the_namespace_is_added_where_it_lacks() {
        let cases: [(&[&[u8]], &str); 8] = [
            (&[b"<iq id='1'/>"], "<iq xmlns='jabber:client' id='1'/>"),
            (&[b"<iq/>"], "<iq xmlns='jabber:client'/>"),
            (&[b"<message>", b"x</message>"], "<message xmlns='jabber:client'>x</message>"),
            (&[b"<mess", b"age ", b"to='a'></message>"], "<message xmlns='jabber:client' to='a'></message>"),
            (&[b"<r xmlns='urn:xmpp:sm:3'/>"], "<r xmlns='urn:xmpp:sm:3'/>"),
            (&[b"<r\n xmlns = \"urn:xmpp:sm:3\"/>"], "<r\n xmlns = \"urn:xmpp:sm:3\"/>"),
            (
                &[b"<iq a=' xmlns=' xmlns:b='c'><q xmlns='d'/></iq>"],
                "<iq xmlns='jabber:client' a=' xmlns=' xmlns:b='c'><q xmlns='d'/></iq>",
            ),
            (&[b"<iq yxmlns='>'/>"], "<iq xmlns='jabber:client' yxmlns='>'/>"),
        ];
        for (element, expected) in cases {
            assert_eq!(written(element), expected);
        }
    }
}
