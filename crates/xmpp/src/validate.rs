//! The one pass over an element that decides whether it may enter the server: well-formed (XML 1.0), namespace-well-formed
//! in itself (XML names 1.0), UTF-8, no comment, processing instruction, DTD or entity (RFC 6120 §11.1), within bounds.
//!
//! Called by [`crate::stanza`]. Promises that what is accepted can be relayed as bytes into any other client's stream. Notes
//! down where the direct children are on the way. Allocates only for elements with unusually many parts.

use crate::element::{Binding, ElementSpan, NameSpan, Ns};
use crate::escape::{self, value_is};
use crate::framer::{MAX_ATTRIBUTES, MAX_DEPTH};
use crate::ns;
use crate::scan::Span;
use crate::stanza::ParseError;
use memchr::{memchr3, memmem};
use smallvec::SmallVec;
use std::borrow::Cow;

mod classes;

use classes::{CLASS, NAME, NAME_START, SPACE, VALUE_STOP, is_name, is_name_start};

/// Most namespace prefixes in scope at once. Bounds what a lookup can cost.
pub(crate) const MAX_PREFIXES: usize = 64;
/// Most bytes of an element, whoever cut it. Offsets have 32 bits.
pub(crate) const MAX_ELEMENT_BYTES: usize = 1 << 20;

/// An attribute of the start tag that was read last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttrSpan {
    pub(crate) name: NameSpan,
    /// Between the quotes.
    pub(crate) value: Span,
}

impl AttrSpan {
    /// With name and quotes.
    pub(crate) fn whole(self) -> Span {
        Span { start: self.name.start, end: self.value.end + 1 }
    }
}

/// An element whose end tag is still to come.
#[derive(Debug, Clone, Copy)]
struct Open {
    name: NameSpan,
    default_ns: Ns,
    /// How many bindings were in scope outside of it.
    outer_bindings: u32,
}

/// A start tag that has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartTag {
    pub(crate) name: NameSpan,
    pub(crate) ns: Ns,
    pub(crate) default_ns: Ns,
    pub(crate) is_empty: bool,
    has_bindings: bool,
    outer_bindings: u32,
}

/// The state of the pass.
pub(crate) struct Validator<'a> {
    doc: &'a str,
    pub(crate) pos: usize,
    open: SmallVec<[Open; 8]>,
    pub(crate) bindings: SmallVec<[Binding; 4]>,
    pub(crate) attrs: SmallVec<[AttrSpan; 8]>,
    /// Whether there may be a namespace declaration among `attrs`.
    has_xmlns: bool,
    /// Whether there is a name with a prefix among `attrs`.
    has_prefixed: bool,
}

type Valid<T> = Result<T, ParseError>;
const BAD: ParseError = ParseError::NotWellFormed;

/// Most bytes of a name, its prefix included. Parsers of clients have bounds of their own, from 8 KiB upwards.
const MAX_NAME_BYTES: usize = 1024;

impl<'a> Validator<'a> {
    /// Checks encoding, characters and size; then nothing of that needs to be looked at again.
    pub(crate) fn new(bytes: &'a [u8]) -> Valid<Self> {
        if bytes.len() > MAX_ELEMENT_BYTES {
            return Err(ParseError::TooLarge);
        }
        let doc = std::str::from_utf8(bytes).map_err(|_| BAD)?;
        if !escape::is_legal(bytes) {
            return Err(BAD);
        }
        Ok(Self {
            doc,
            pos: 0,
            open: SmallVec::new(),
            bindings: SmallVec::new(),
            attrs: SmallVec::new(),
            has_xmlns: false,
            has_prefixed: false,
        })
    }

    pub(crate) fn doc(&self) -> &'a str {
        self.doc
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.doc.as_bytes().get(self.pos).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.doc.as_bytes().get(self.pos..).unwrap_or_default()
    }

    fn expect(&mut self, text: &[u8]) -> Valid<()> {
        if !self.rest().starts_with(text) {
            return Err(BAD);
        }
        self.pos += text.len();
        Ok(())
    }

    /// Skips white space and says whether there was any.
    pub(crate) fn skip_space(&mut self) -> bool {
        let start = self.pos;
        while self.peek().is_some_and(|b| CLASS[usize::from(b)] & SPACE != 0) {
            self.pos += 1;
        }
        self.pos > start
    }

    /// A name without colon.
    fn ncname(&mut self) -> Valid<()> {
        let rest = self.rest();
        let is_start = |b: u8| CLASS[usize::from(b)] & NAME_START != 0;
        if !rest.first().is_some_and(|&b| is_start(b)) && !self.name_char(is_name_start) {
            return Err(BAD);
        }
        loop {
            let rest = self.rest();
            self.pos += rest.iter().position(|&b| CLASS[usize::from(b)] & NAME == 0).ok_or(BAD)?;
            if !self.name_char(is_name) {
                return Ok(());
            }
        }
    }

    /// Takes a character beyond ASCII, if there is one and it is of this class.
    fn name_char(&mut self, is_allowed: impl Fn(char) -> bool) -> bool {
        let is_ascii = self.peek().is_none_or(|b| b < 0x80);
        let next =
            if is_ascii { None } else { self.doc.get(self.pos..).and_then(|rest| rest.chars().next()) };
        match next {
            Some(c) if is_allowed(c) => {
                self.pos += c.len_utf8();
                true
            }
            _ => false,
        }
    }

    /// A name with or without prefix.
    fn name(&mut self) -> Valid<NameSpan> {
        let start = self.pos;
        self.ncname()?;
        let mut local = start;
        if self.peek() == Some(b':') {
            self.pos += 1;
            local = self.pos;
            self.ncname()?;
        }
        if self.pos - start > MAX_NAME_BYTES {
            return Err(ParseError::TooLarge);
        }
        Ok(NameSpan { start: start as u32, local: local as u32, end: self.pos as u32 })
    }

    /// The quoted value of an attribute. A literal carriage return is refused: it can be meant only as `&#13;`, and
    /// there is a parser under clients (rxml 0.14) that takes it for an error.
    fn value(&mut self) -> Valid<Span> {
        let quote = self.peek().filter(|&b| b == b'"' || b == b'\'').ok_or(BAD)?;
        self.pos += 1;
        let start = self.pos;
        loop {
            let rest = self.rest();
            let plain = escape::plain_prefix(rest);
            let stop = rest[plain..].iter().position(|&b| CLASS[usize::from(b)] & VALUE_STOP != 0);
            self.pos += plain + stop.ok_or(BAD)?;
            match self.rest() {
                [b'&', ..] => self.pos += escape::reference(self.rest())?.1,
                [b'<', ..] => return Err(BAD),
                [b'\r', ..] => return Err(ParseError::Restricted),
                [byte, ..] => {
                    self.pos += 1;
                    if *byte == quote {
                        return Ok(Span::new(start, self.pos - 1));
                    }
                }
                [] => return Err(BAD),
            }
        }
    }

    /// The start tag whose `<` has been read. Leaves its attributes in `attrs`; its bindings stay in scope until
    /// [`Self::leave`].
    pub(crate) fn start_tag(&mut self, outer_ns: Ns, is_root: bool) -> Valid<StartTag> {
        let name = self.name()?;
        self.attrs.clear();
        (self.has_xmlns, self.has_prefixed) = (false, false);
        let is_empty = loop {
            let spaced = self.skip_space();
            match self.peek().ok_or(BAD)? {
                b'>' => {
                    self.pos += 1;
                    break false;
                }
                b'/' => {
                    self.expect(b"/>")?;
                    break true;
                }
                _ if spaced => self.attribute()?,
                _ => return Err(BAD),
            }
        };
        let outer_bindings = self.bindings.len() as u32;
        let mut default_ns = outer_ns;
        if self.has_xmlns {
            default_ns = self.declarations(outer_ns)?;
        }
        if self.has_prefixed {
            self.check_prefixed_attrs()?;
        }
        let has_bindings = self.bindings.len() as u32 > outer_bindings;
        let ns = match name.prefix(self.doc) {
            None => default_ns,
            Some(prefix) => self.resolve(prefix, is_root)?,
        };
        Ok(StartTag { name, ns, default_ns, is_empty, has_bindings, outer_bindings })
    }

    fn attribute(&mut self) -> Valid<()> {
        let name = self.name()?;
        self.skip_space();
        self.expect(b"=")?;
        self.skip_space();
        let value = self.value()?;
        let text = name.bytes(self.doc);
        if self.attrs.iter().any(|other| other.name.bytes(self.doc) == text) {
            return Err(BAD);
        }
        self.has_xmlns |= text.starts_with(b"xmlns");
        self.has_prefixed |= name.local > name.start;
        if self.attrs.len() == MAX_ATTRIBUTES {
            return Err(ParseError::TooLarge);
        }
        self.attrs.push(AttrSpan { name, value });
        Ok(())
    }

    /// Takes up the namespace declarations among `attrs`, and returns the default namespace that applies.
    fn declarations(&mut self, outer_ns: Ns) -> Valid<Ns> {
        let mut default_ns = outer_ns;
        for &AttrSpan { name, value } in &self.attrs {
            let uri = value.of(self.doc);
            if name.of(self.doc) == "xmlns" {
                if value_is(uri, ns::XML) || value_is(uri, ns::XMLNS) {
                    return Err(ParseError::BadNamespacePrefix);
                }
                default_ns = Ns::at(value);
            } else if name.prefix(self.doc) == Some("xmlns") {
                let prefix = name.local(self.doc);
                let is_xml = prefix == "xml";
                if uri.is_empty()
                    || prefix == "xmlns"
                    || is_xml != value_is(uri, ns::XML)
                    || value_is(uri, ns::XMLNS)
                {
                    return Err(ParseError::BadNamespacePrefix);
                }
                if self.bindings.len() == MAX_PREFIXES {
                    return Err(ParseError::TooLarge);
                }
                self.bindings.push(Binding { prefix: Span { start: name.local, end: name.end }, uri: value });
            }
        }
        Ok(default_ns)
    }

    /// Checks that the prefixes of attributes are declared and that no two attributes have the same expanded name.
    fn check_prefixed_attrs(&self) -> Valid<()> {
        let mut seen: SmallVec<[(&str, Cow<'_, str>); 2]> = SmallVec::new();
        for attr in &self.attrs {
            let Some(prefix) = attr.name.prefix(self.doc).filter(|&prefix| prefix != "xmlns") else {
                continue;
            };
            let ns = escape::attr_value(self.resolve(prefix, false)?.of(self.doc));
            let expanded = (attr.name.local(self.doc), ns);
            if seen.contains(&expanded) {
                return Err(BAD);
            }
            seen.push(expanded);
        }
        Ok(())
    }

    fn resolve(&self, prefix: &str, is_root_name: bool) -> Valid<Ns> {
        if let Some(binding) =
            self.bindings.iter().rev().find(|binding| binding.prefix.of(self.doc) == prefix)
        {
            return Ok(Ns::at(binding.uri));
        }
        match prefix {
            "xml" => Ok(Ns::XML),
            // Declared by the stream header, which a stanza that is relayed leaves behind: good for nonzas only.
            "stream" if is_root_name => Ok(Ns::STREAMS),
            _ => Err(ParseError::BadNamespacePrefix),
        }
    }

    /// Opens a non-empty element.
    fn enter(&mut self, tag: &StartTag) {
        let StartTag { name, default_ns, outer_bindings, .. } = *tag;
        self.open.push(Open { name, default_ns, outer_bindings });
    }

    /// The content and end tag of the root, whose start tag has been read. Direct children go into `children`.
    /// Returns where its end tag begins.
    pub(crate) fn content(
        &mut self,
        root: &StartTag,
        children: &mut SmallVec<[ElementSpan; 4]>,
    ) -> Valid<usize> {
        self.enter(root);
        while let Some(&top) = self.open.last() {
            self.text()?;
            let at = self.pos;
            self.pos += 1;
            match self.peek().ok_or(BAD)? {
                b'/' => {
                    self.end_tag(top)?;
                    match self.open.len() {
                        0 => return Ok(at),
                        1 => finish(children, at, self.pos),
                        _ => {}
                    }
                }
                b'!' => self.cdata()?,
                b'?' => return Err(ParseError::Restricted),
                _ => self.child(at, top.default_ns, children)?,
            }
        }
        Err(BAD)
    }

    /// Text and references, up to the next `<`.
    fn text(&mut self) -> Valid<()> {
        loop {
            let at = memchr3(b'<', b'&', b']', self.rest()).ok_or(BAD)?;
            self.pos += at;
            match self.rest() {
                [b'<', ..] => return Ok(()),
                [b'&', ..] => self.pos += escape::reference(self.rest())?.1,
                [b']', b']', b'>', ..] => return Err(BAD),
                _ => self.pos += 1,
            }
        }
    }

    /// A start tag inside the root, at `at`.
    fn child(&mut self, at: usize, outer_ns: Ns, children: &mut SmallVec<[ElementSpan; 4]>) -> Valid<()> {
        if self.open.len() == MAX_DEPTH {
            return Err(ParseError::TooLarge);
        }
        let tag = self.start_tag(outer_ns, false)?;
        if self.open.len() == 1 {
            children.push(tag.span(at, self.pos));
        }
        if tag.is_empty {
            self.bindings.truncate(tag.outer_bindings as usize);
        } else {
            self.enter(&tag);
        }
        Ok(())
    }

    /// The end tag of `top`, behind its `<`.
    fn end_tag(&mut self, top: Open) -> Valid<()> {
        self.pos += 1;
        self.expect(top.name.bytes(self.doc))?;
        self.skip_space();
        self.expect(b">")?;
        self.bindings.truncate(top.outer_bindings as usize);
        self.open.pop();
        Ok(())
    }

    /// A CDATA section, behind its `<`.
    fn cdata(&mut self) -> Valid<()> {
        let is_markup = matches!(self.rest(), [_, b'-', b'-', ..] | [_, b'A'..=b'Z', ..]);
        self.expect(b"![CDATA[").map_err(|error| if is_markup { ParseError::Restricted } else { error })?;
        self.pos += memmem::find(self.rest(), b"]]>").ok_or(BAD)? + 3;
        Ok(())
    }
}

impl StartTag {
    /// The element that begins at `start` and whose start tag ends at `head_end`; whole if it is empty.
    pub(crate) fn span(&self, start: usize, head_end: usize) -> ElementSpan {
        ElementSpan {
            start: start as u32,
            head_end: head_end as u32,
            content_end: head_end as u32,
            end: head_end as u32,
            name: self.name,
            ns: self.ns,
            default_ns: self.default_ns,
            has_bindings: self.has_bindings,
        }
    }
}

/// A direct child's end tag was found.
fn finish(children: &mut SmallVec<[ElementSpan; 4]>, content_end: usize, end: usize) {
    if let Some(child) = children.last_mut() {
        child.content_end = content_end as u32;
        child.end = end as u32;
    }
}
