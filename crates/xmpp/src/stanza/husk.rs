//! What is left of a stanza that is not accepted: its start tag, as far as an answer needs it (RFC 6120 §8.3).
//!
//! Called by the edge for an element that is over a bound, or that [`Stanza::parse`] refuses. Promises: a husk is a whole
//! stanza that anybody may parse, without content, and small; and who has one may trust in where the element ended. An
//! element whose tags do not fit together has none: nobody can say what its sender took for its end.

use super::{Kind, Stanza};
use crate::escape::{self, value_is};
use crate::jid::JidRef;
use crate::ns;
use crate::write::{self, Header};
use memchr::{memchr, memmem};
use smallvec::SmallVec;
use std::borrow::Cow;

/// Most bytes of an attribute's value that is kept; a longer one is left out.
const MAX_VALUE_BYTES: usize = 4096;

/// See the file's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Husk(Box<[u8]>);

impl Husk {
    /// Of a whole element. `None`: it is no stanza, or its tags do not fit together.
    pub fn of_whole(element: &[u8]) -> Option<Self> {
        is_balanced(element).then(|| Self::of_beginning(element)).flatten()
    }

    /// Of an element that begins with these bytes, of which the start tag may be a part. `None`: it is no stanza.
    pub fn of_beginning(bytes: &[u8]) -> Option<Self> {
        let name = name(bytes.strip_prefix(b"<")?);
        let kind = match name {
            b"message" => Kind::Message,
            b"presence" => Kind::Presence,
            b"iq" => Kind::Iq,
            _ => return None,
        };
        let (mut to, mut id, mut kind_of_it, mut ns) = (None, None, None, None);
        let mut pos = 1 + name.len();
        while let Part::Attribute { name, value, end } = part(bytes, pos)? {
            let place = match name {
                b"to" => &mut to,
                b"id" => &mut id,
                b"type" => &mut kind_of_it,
                b"xmlns" => &mut ns,
                _ => &mut None,
            };
            *place = place.take().or(Some(value));
            pos = end;
        }
        if ns.is_some_and(|ns| !std::str::from_utf8(ns).is_ok_and(|ns| value_is(ns, ns::CLIENT))) {
            return None;
        }
        let mut scratch = String::new();
        let to = to.and_then(text).filter(|to| JidRef::parse(to, &mut scratch).is_ok());
        let (id, kind_of_it) = (id.and_then(text), kind_of_it.and_then(text));
        let header =
            Header { from: None, to: to.as_deref(), id: id.as_deref(), type_attr: kind_of_it.as_deref() };
        let mut out = Vec::new();
        write::stanza(&mut out, kind, &header, b"");
        Some(Self(out.into()))
    }

    /// The bytes of that stanza.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a stanza without content.
    pub fn stanza(&self) -> Option<Stanza<'_>> {
        Stanza::parse(&self.0).ok()
    }
}

/// The text of an attribute's value, if it has one and is not too long.
fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let raw = std::str::from_utf8(value).ok().filter(|raw| raw.len() <= MAX_VALUE_BYTES)?;
    let mut rest = raw.as_bytes();
    while let Some(at) = memchr(b'&', rest) {
        rest = &rest[at + escape::reference(&rest[at..]).ok()?.1..];
    }
    escape::is_legal(value).then(|| escape::attr_value(raw))
}

/// What stands in a start tag.
enum Part<'a> {
    Attribute {
        name: &'a [u8],
        value: &'a [u8],
        end: usize,
    },
    /// Its end: where what follows begins.
    Close {
        end: usize,
        is_empty: bool,
    },
    /// The bytes are over before it is.
    Cut,
}

/// What comes at `pos`, in a start tag behind its name. `None`: nothing that belongs into one.
fn part(bytes: &[u8], pos: usize) -> Option<Part<'_>> {
    let start = skip_space(bytes, pos);
    let rest = bytes.get(start..).unwrap_or_default();
    match rest {
        [] | [b'/'] => return Some(Part::Cut),
        [b'>', ..] => return Some(Part::Close { end: start + 1, is_empty: false }),
        [b'/', b'>', ..] => return Some(Part::Close { end: start + 2, is_empty: true }),
        _ => {}
    }
    let name = name(rest);
    let equals = skip_space(bytes, start + name.len());
    match bytes.get(equals) {
        None => return Some(Part::Cut),
        Some(b'=') if !name.is_empty() => {}
        Some(_) => return None,
    }
    let open = skip_space(bytes, equals + 1);
    let quote = match bytes.get(open) {
        None => return Some(Part::Cut),
        Some(&quote @ (b'"' | b'\'')) => quote,
        Some(_) => return None,
    };
    let value = &bytes[open + 1..];
    Some(match memchr(quote, value) {
        Some(length) => Part::Attribute { name, value: &value[..length], end: open + 2 + length },
        None => Part::Cut,
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip_space(bytes: &[u8], pos: usize) -> usize {
    let rest = bytes.get(pos..).unwrap_or_default();
    pos + rest.iter().position(|&byte| !is_space(byte)).unwrap_or(rest.len())
}

/// The bytes up to what can't be in a name.
fn name(bytes: &[u8]) -> &[u8] {
    let is_end =
        |&byte: &u8| is_space(byte) || matches!(byte, b'/' | b'>' | b'=' | b'<' | b'"' | b'\'' | b'?' | b'!');
    &bytes[..bytes.iter().position(is_end).unwrap_or(bytes.len())]
}

/// Whether all of this is one element (white space may follow) in which each tag has its partner.
fn is_balanced(element: &[u8]) -> bool {
    let mut open: SmallVec<[&[u8]; 8]> = SmallVec::new();
    let mut pos = 0;
    while let Some(end) = markup(element, pos, &mut open) {
        if open.is_empty() {
            return skip_space(element, end) == element.len();
        }
        let Some(at) = element.get(end..).and_then(|rest| memchr(b'<', rest)) else { return false };
        pos = end + at;
    }
    false
}

/// Takes the tag or CDATA section at `pos`. Where it ends; `None` if there is none, or it has no partner.
fn markup<'a>(element: &'a [u8], pos: usize, open: &mut SmallVec<[&'a [u8]; 8]>) -> Option<usize> {
    let rest = element.get(pos..)?.strip_prefix(b"<")?;
    if let Some(tag) = rest.strip_prefix(b"/") {
        let name = name(tag);
        let end = skip_space(element, pos + 2 + name.len());
        return (open.pop()? == name && element.get(end) == Some(&b'>')).then_some(end + 1);
    }
    if let Some(content) = rest.strip_prefix(b"![CDATA[") {
        return memmem::find(content, b"]]>").map(|at| element.len() - content.len() + at + 3);
    }
    let name = Some(name(rest)).filter(|name| !name.is_empty())?;
    let mut pos = pos + 1 + name.len();
    loop {
        match part(element, pos)? {
            Part::Attribute { end, .. } => pos = end,
            Part::Close { end, is_empty } => {
                if !is_empty {
                    open.push(name);
                }
                return Some(end);
            }
            Part::Cut => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(element: &str) -> Option<String> {
        Husk::of_whole(element.as_bytes()).map(|husk| String::from_utf8(husk.0.into()).unwrap())
    }

    #[test]
    fn keeps_what_an_answer_needs() {
        for (element, husk) in [
            (
                "<message from='x' a='1' to = \"a@b/c'\" id='&lt;1&#x3e;' type='chat'><body>&nbsp;</body></message>",
                "<message to='a@b/c&apos;' id='&lt;1&gt;' type='chat'></message>",
            ),
            ("<iq type='get'\n/> ", "<iq type='get'></iq>"),
            ("<presence xmlns='jabber:client'><x:y a='>'/></presence >", "<presence></presence>"),
            // What can't be said again is left out.
            ("<message id='&nbsp;' to='@@' type='\u{1}'/>", "<message></message>"),
            ("<message id='1' id='2'><![CDATA[</x>]]></message>", "<message id='1'></message>"),
        ] {
            assert_eq!(whole(element).as_deref(), Some(husk), "{element}");
        }
        let long = format!("<message id='{}' type='chat'/>", "x".repeat(5000));
        assert_eq!(whole(&long).as_deref(), Some("<message type='chat'></message>"));
    }

    #[test]
    fn what_has_none() {
        for element in [
            "",
            "<message",
            "<message/><message/>",
            "<message><body>a</message></body>",
            "<message><body>a</message>",
            "<message a=b/>",
            "<message a/>",
            "<message 'a'='b'/>",
            "<message><!-- --></message>",
            "<message><?x?></message>",
            "<message><![CDATA[</message>",
            "<message></message x>",
            "<message>< a/></message>",
            "<message xmlns='urn:x'/>",
            "<x:message/>",
            "<r xmlns='urn:xmpp:sm:3'/>",
        ] {
            assert_eq!(whole(element), None, "{element}");
        }
    }

    #[test]
    fn a_beginning_is_read_as_far_as_it_goes() {
        let tag = "<message id='1' to='a@b' type='error' x='yyy'>";
        for end in 0..tag.len() {
            let husk = Husk::of_beginning(&tag.as_bytes()[..end]);
            let expected = match end {
                0..=7 => None,
                8..=14 => Some("<message></message>"),
                15..=23 => Some("<message id='1'></message>"),
                24..=36 => Some("<message to='a@b' id='1'></message>"),
                _ => Some("<message to='a@b' id='1' type='error'></message>"),
            };
            let shown = husk.as_ref().map(|husk| std::str::from_utf8(&husk.0).unwrap());
            assert_eq!(shown, expected, "{end}");
            assert!(husk.is_none_or(|husk| husk.stanza().is_some()));
        }
        assert_eq!(Husk::of_beginning(b"<message id='1' y>"), None);
    }
}
