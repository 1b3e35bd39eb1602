//! The stored and relayed form of a stanza: a new start tag, the payload untouched.
//!
//! Called by the router before it stores or relays. The form is made so that what is added later needs no parsing: it
//! begins with the stanza's name and a space (WebSocket puts `xmlns` there) and ends with an end tag (`<delay/>` goes
//! before it, XEP-0203). XEP-0359 §5: a stanza-id that a sender forged in our name must not pass.

use crate::escape::escape_into;
use crate::ns;
use crate::scan::Span;
use crate::stanza::{Kind, Stanza};
use memchr::memrchr;
use std::ops::Range;

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attr<'r> {
    /// As it came, or absent if it was.
    #[default]
    Keep,
    /// Absent.
    Drop,
    /// This text (escaped when written).
    Set(&'r str),
}

/// How a stanza is changed. `xml:lang` and `xmlns:*` are always kept, other attributes and `xmlns` dropped.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rewrite<'r> {
    /// The sender.
    pub from: Attr<'r>,
    /// The recipient.
    pub to: Attr<'r>,
    /// The stanza's id.
    pub id: Attr<'r>,
    /// The stanza's type.
    pub type_attr: Attr<'r>,
    /// Well-formed elements to be put right after the start tag, in order.
    pub extra: &'r [&'r [u8]],
    /// Ranges of children (from [`crate::ElementRef::range`]) to leave out, in order.
    pub skip: &'r [Range<usize>],
}

/// Appends the changed stanza to `out`. The result begins `<message `, `<presence ` or `<iq ` (a nonza keeps its name),
/// declares no default namespace and ends with an explicit end tag.
pub fn rewrite(stanza: &Stanza<'_>, change: &Rewrite<'_>, out: &mut Vec<u8>) {
    let doc = stanza.doc();
    let root = stanza.root_span();
    let name = match stanza.kind() {
        Kind::Nonza => root.name.of(doc),
        kind => kind.name(),
    };
    let added: usize = change.extra.iter().map(|element| element.len()).sum();
    out.reserve(doc.len() + added + 128);
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    let tag_start = out.len();
    attr(doc, " from=", change.from, stanza.attrs.from, out);
    attr(doc, " to=", change.to, stanza.attrs.to, out);
    attr(doc, " id=", change.id, stanza.attrs.id, out);
    attr(doc, " type=", change.type_attr, stanza.attrs.type_attr, out);
    attr(doc, " xml:lang=", Attr::Keep, stanza.attrs.lang, out);
    for declaration in &stanza.attrs.declarations {
        out.push(b' ');
        out.extend_from_slice(declaration.of(doc).as_bytes());
    }
    if out.len() == tag_start {
        out.push(b' ');
    }
    out.push(b'>');
    for element in change.extra {
        out.extend_from_slice(element);
    }
    payload(stanza, change.skip, out);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

fn attr(doc: &str, prefix: &str, change: Attr<'_>, original: Span, out: &mut Vec<u8>) {
    match change {
        Attr::Set(text) => {
            out.extend_from_slice(prefix.as_bytes());
            out.push(b'\'');
            escape_into(text, out);
            out.push(b'\'');
        }
        Attr::Keep if !original.is_none() => {
            out.extend_from_slice(prefix.as_bytes());
            // With its own quotes, as it came: it may hold the other ones.
            let quoted = Span { start: original.start - 1, end: original.end + 1 };
            out.extend_from_slice(quoted.of(doc).as_bytes());
        }
        Attr::Keep | Attr::Drop => {}
    }
}

/// What is between start and end tag, without the ranges to skip.
fn payload(stanza: &Stanza<'_>, skip: &[Range<usize>], out: &mut Vec<u8>) {
    let bytes = stanza.bytes();
    let root = stanza.root_span();
    let end = root.content_end as usize;
    let mut pos = root.head_end as usize;
    for range in skip {
        out.extend_from_slice(bytes.get(pos..range.start.min(end)).unwrap_or_default());
        pos = pos.max(range.end);
    }
    out.extend_from_slice(bytes.get(pos..end).unwrap_or_default());
}

/// Ranges of children, usually none.
pub type Ranges = smallvec::SmallVec<[Range<usize>; 2]>;

/// The children `<stanza-id xmlns='urn:xmpp:sid:0' by='…'/>` for whose `by` the closure says yes: they were forged.
pub fn stanza_ids(stanza: &Stanza<'_>, is_ours: impl Fn(&str) -> bool) -> Ranges {
    let is_forged = |by: Option<std::borrow::Cow<'_, str>>| by.is_some_and(|by| is_ours(&by));
    if !stanza.has_child("stanza-id", ns::STANZA_ID) {
        return Ranges::new();
    }
    stanza
        .children()
        .filter(|child| child.is("stanza-id", ns::STANZA_ID) && is_forged(child.attr("by")))
        .map(|child| child.range())
        .collect()
}

/// Where a `<delay/>` (or any child) can be put into a stanza in stored form: before its end tag.
pub fn delay_split(stored: &[u8]) -> usize {
    // An end tag holds no other `<`.
    memrchr(b'<', stored).unwrap_or(stored.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(input: &str, change: &Rewrite<'_>) -> String {
        let mut out = Vec::new();
        rewrite(&Stanza::parse(input.as_bytes()).unwrap(), change, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(Stanza::parse(text.as_bytes()).is_ok(), "{text}");
        text
    }

    #[test]
    fn replaces_the_start_tag_and_keeps_the_payload() {
        let input = "<message xmlns='jabber:client' xmlns:x=\"u'v\" other='o' type='chat'\n to='b' from='forged' \
                     id=\"it's &lt;\" xml:lang='en'> <body>a &amp; b</body><x:y/>\n</message>";
        let change = Rewrite {
            from: Attr::Set("a@b/<'>"),
            to: Attr::Keep,
            extra: &[b"<e/>", b"<f/>"],
            ..Rewrite::default()
        };
        assert_eq!(
            rewritten(input, &change),
            "<message from='a@b/&lt;&apos;&gt;' to='b' id=\"it's &lt;\" type='chat' xml:lang='en' xmlns:x=\"u'v\">\
             <e/><f/> <body>a &amp; b</body><x:y/>\n</message>"
        );
    }

    #[test]
    fn an_empty_stanza_gets_an_end_tag() {
        assert_eq!(rewritten("<presence/>", &Rewrite::default()), "<presence ></presence>");
        let drop = Rewrite { id: Attr::Drop, type_attr: Attr::Set("error"), ..Rewrite::default() };
        assert_eq!(rewritten("<iq id='1' type='get'/>", &drop), "<iq type='error'></iq>");
    }

    #[test]
    fn forged_stanza_ids_are_left_out() {
        let input = "<message xmlns:s='urn:xmpp:si&#100;:0'><stanza-id xmlns='urn:xmpp:sid:0' by='me' id='1'/>\
                     <stanza-id xmlns='urn:xmpp:sid:0' by='room' id='2'/><body/><s:stanza-id by='&#109;e' id='3'>x\
                     </s:stanza-id><stanza-id by='me'/></message>";
        let stanza = Stanza::parse(input.as_bytes()).unwrap();
        let forged = stanza_ids(&stanza, |by| by == "me");
        assert_eq!(forged.len(), 2);
        assert_eq!(
            rewritten(input, &Rewrite { skip: &forged, ..Rewrite::default() }),
            "<message xmlns:s='urn:xmpp:si&#100;:0'><stanza-id xmlns='urn:xmpp:sid:0' by='room' id='2'/><body/>\
             <stanza-id by='me'/></message>"
        );
    }

    #[test]
    fn a_child_can_be_put_before_the_end_tag() {
        let stored = rewritten("<message to='b'><body>x</body></message>", &Rewrite::default());
        let (head, tail) = stored.split_at(delay_split(stored.as_bytes()));
        assert_eq!(format!("{head}<delay/>{tail}"), "<message to='b'><body>x</body><delay/></message>");
        assert_eq!(delay_split(b""), 0);
    }
}
