//! The prefixes that a stream header declares for all that follows (XML names 1.0; RFC 6120 §4.8.5), and the form of an
//! element that takes them along.
//!
//! Kept by the edge for each TCP stream whose header declares more than it must; called for an element that
//! [`Stanza::parse`](super::Stanza::parse) refuses with [`ParseError::BadNamespacePrefix`](super::ParseError), and for no
//! other. Promises: what it gives out declares in its own start tag whatever it needs, so that it can be stored, relayed and
//! read by somebody else; of the element nothing is changed but that. Bounded: a stream costs no more than it may.

use crate::element::Binding;
use crate::escape::{attr_value, escape_into};
use crate::ns;
use crate::scan;
use memchr::memchr_iter;
use smallvec::SmallVec;

/// Most prefixes of a header that are kept. What is beyond counts as not declared.
const PREFIXES_MAX: usize = 16;
/// Most bytes of them together, names and namespaces.
const BYTES_MAX: usize = 2048;

/// A declaration as it is put into a start tag, and how long its prefix is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Declared {
    /// ` xmlns:p='…'`
    text: Box<str>,
    prefix_end: usize,
}

const BEFORE_PREFIX: &str = " xmlns:";

impl Declared {
    fn new(prefix: &str, raw_uri: &str) -> Self {
        let mut text = format!("{BEFORE_PREFIX}{prefix}='").into_bytes();
        escape_into(&attr_value(raw_uri), &mut text);
        text.push(b'\'');
        let text = String::from_utf8(text).unwrap_or_default().into();
        Self { text, prefix_end: BEFORE_PREFIX.len() + prefix.len() }
    }

    fn prefix(&self) -> &str {
        self.text.get(BEFORE_PREFIX.len()..self.prefix_end).unwrap_or_default()
    }
}

/// See the file's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefixes(Box<[Declared]>);

impl Prefixes {
    /// What a header declares beside `stream`, which every header does. `None`: nothing.
    pub(super) fn of_header(doc: &str, bindings: &[Binding]) -> Option<Self> {
        let mut bytes = 0;
        let kept: Box<[Declared]> = bindings
            .iter()
            .filter(|binding| !matches!(binding.prefix.of(doc), "stream" | "xml"))
            .map(|binding| Declared::new(binding.prefix.of(doc), binding.uri.of(doc)))
            .take(PREFIXES_MAX)
            .take_while(|declared| {
                bytes += declared.text.len();
                bytes <= BYTES_MAX
            })
            .collect();
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The element of a TCP stream with the declarations in its start tag that it takes from the header (`stream` is in each,
    /// `more` in some). `None`: it takes none, or is no element.
    pub fn bring_along(more: Option<&Self>, element: &[u8]) -> Option<Vec<u8>> {
        let doc = std::str::from_utf8(element).ok().filter(|doc| doc.starts_with('<'))?;
        let stream = Declared::new("stream", ns::STREAMS);
        let mut declared: SmallVec<[&Declared; 4]> = more.iter().flat_map(|more| &more.0).collect();
        declared.push(&stream);
        let tag = scan::tag(doc, 0);
        let own = |prefix: &str| {
            scan::attrs(doc, tag.name.end as usize)
                .any(|(name, _)| name.of(doc).strip_prefix("xmlns:") == Some(prefix))
        };
        declared.retain(|declared| !own(declared.prefix()));
        let mut taken: SmallVec<[&Declared; 4]> = SmallVec::new();
        for prefix in used(element) {
            if let Some(at) = declared.iter().position(|declared| declared.prefix().as_bytes() == prefix) {
                taken.push(declared.swap_remove(at));
            }
        }
        if taken.is_empty() {
            return None;
        }
        let added: usize = taken.iter().map(|declared| declared.text.len()).sum();
        let (head, tail) = element.split_at(tag.name.end as usize);
        let mut out = Vec::with_capacity(element.len() + added);
        out.extend_from_slice(head);
        taken.iter().for_each(|declared| out.extend_from_slice(declared.text.as_bytes()));
        out.extend_from_slice(tail);
        Some(out)
    }
}

/// What stands before a colon where a tag's or an attribute's name can begin. May hold text that looks like it: a declaration
/// that nobody needs does no harm.
fn used(element: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_end = |byte: &u8| matches!(byte, b'<' | b'/' | b' ' | b'\t' | b'\r' | b'\n' | b':' | b'>');
    let mut last = 0;
    memchr_iter(b':', element).filter_map(move |colon| {
        // No byte is looked at twice.
        let before = element.get(last..colon).unwrap_or_default();
        last = colon;
        let start = before.iter().rposition(is_end)?;
        before.get(start + 1..).filter(|prefix| !prefix.is_empty() && before[start] != b'>')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stanza, StreamHeader};
    use proptest::prelude::*;

    fn header(declarations: &str) -> Option<Box<Prefixes>> {
        let text = format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'{declarations}>"
        );
        StreamHeader::parse(text.as_bytes()).unwrap().prefixes
    }

    fn brought(prefixes: Option<&Prefixes>, element: &str) -> Option<String> {
        let bytes = Prefixes::bring_along(prefixes, element.as_bytes())?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn what_is_used_is_declared_in_the_start_tag_and_nothing_else() {
        let prefixes = header(" xmlns:x='jabber:x:data' xmlns:q='u&apos;&#118;' xmlns:not='n'");
        for (element, expected) in [
            ("<iq id='1'><x:x/></iq>", "<iq xmlns:x='jabber:x:data' id='1'><x:x/></iq>"),
            ("<x:a/>", "<x:a xmlns:x='jabber:x:data'/>"),
            (
                "<a q:b=''><c x:d=''/></a>",
                "<a xmlns:q='u&apos;v' xmlns:x='jabber:x:data' q:b=''><c x:d=''/></a>",
            ),
            (
                "<a>\n<stream:b></stream:b></a>",
                "<a xmlns:stream='http://etherx.jabber.org/streams'>\n<stream:b></stream:b></a>",
            ),
            (
                "<a xmlns:q='own'><q:b x:y=''/></a>",
                "<a xmlns:x='jabber:x:data' xmlns:q='own'><q:b x:y=''/></a>",
            ),
        ] {
            let made = brought(prefixes.as_deref(), element).unwrap_or_default();
            assert_eq!(made, expected);
            Stanza::parse(made.as_bytes()).unwrap();
        }
        let iq = brought(prefixes.as_deref(), "<iq><x:x/></iq>").unwrap();
        assert!(Stanza::parse(iq.as_bytes()).unwrap().has_child("x", "jabber:x:data"));
        for nothing in
            ["<a/>", "<a><y:b/></a>", "<a xmlns:x='own'><x:b/><z:c/></a>", "x:y", "", "<", ":", "<a>:</a>"]
        {
            assert_eq!(brought(prefixes.as_deref(), nothing), None, "{nothing}");
        }
        assert_eq!(brought(None, "<a><x:b/></a>"), None);
    }

    #[test]
    fn an_ordinary_header_costs_nothing_and_none_costs_much() {
        assert_eq!(header(""), None);
        let many: String = (0..40).map(|n| format!(" xmlns:p{n}='u'")).collect();
        assert_eq!(header(&many).map(|kept| kept.0.len()), Some(PREFIXES_MAX));
        let long = format!(" xmlns:a='u' xmlns:b='{}' xmlns:c='u'", "x".repeat(BYTES_MAX));
        assert_eq!(header(&long).map(|kept| kept.0.len()), Some(1));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_the_same_but_for_declarations(
            bytes in prop::collection::vec(prop::sample::select(b"<>/x='\" aq:&\xC3\xA9".to_vec()), 0..40)
        ) {
            let prefixes = header(" xmlns:x='jabber:x:data' xmlns:q='urn:q'");
            if let Some(made) = Prefixes::bring_along(prefixes.as_deref(), &bytes) {
                let text = String::from_utf8(made).unwrap();
                let less = text.replace(" xmlns:x='jabber:x:data'", "").replace(" xmlns:q='urn:q'", "");
                prop_assert_eq!(less.as_bytes(), &bytes);
            }
        }
    }
}
