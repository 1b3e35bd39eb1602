//! Reading inside a validated element without building a tree: each step scans the bytes it needs.
//!
//! Called by whoever got a [`crate::Stanza`]. Promises no panic and no recursion. Iterating over children costs one scan of
//! their bytes; looking an attribute up costs one scan of the start tag.

use crate::escape::{self, value_is};
use crate::ns;
use crate::scan::{self, Item, Span};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ops::Range;

/// A name with or without prefix, as offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameSpan {
    pub(crate) start: u32,
    /// Where the local part begins; equal to `start` if there is no prefix.
    pub(crate) local: u32,
    pub(crate) end: u32,
}

impl NameSpan {
    fn split(doc: &str, whole: Span) -> Self {
        let colon = whole.of(doc).find(':');
        Self { start: whole.start, local: whole.start + colon.map_or(0, |at| at as u32 + 1), end: whole.end }
    }

    pub(crate) fn of(self, doc: &str) -> &str {
        Span { start: self.start, end: self.end }.of(doc)
    }

    /// Without looking for the borders of characters.
    pub(crate) fn bytes(self, doc: &str) -> &[u8] {
        doc.as_bytes().get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(crate) fn local(self, doc: &str) -> &str {
        Span { start: self.local, end: self.end }.of(doc)
    }

    pub(crate) fn prefix(self, doc: &str) -> Option<&str> {
        (self.local > self.start).then(|| Span { start: self.start, end: self.local - 1 }.of(doc))
    }
}

/// A namespace: a place in the document where it is declared, or one that is known without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ns(Span);

impl Ns {
    pub(crate) const CLIENT: Self = Self::known(0);
    pub(crate) const XML: Self = Self::known(1);
    pub(crate) const STREAMS: Self = Self::known(2);
    pub(crate) const NONE: Self = Self(Span { start: 0, end: 0 });

    const fn known(index: u32) -> Self {
        Self(Span { start: u32::MAX, end: index })
    }

    /// Declared with this value.
    pub(crate) fn at(value: Span) -> Self {
        Self(value)
    }

    /// As it stands in the document: may hold references.
    pub(crate) fn of(self, doc: &str) -> &str {
        match self {
            Self::CLIENT => ns::CLIENT,
            Self::XML => ns::XML,
            Self::STREAMS => ns::STREAMS,
            Self(span) => span.of(doc),
        }
    }
}

/// A prefix that is bound to a namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding {
    pub(crate) prefix: Span,
    pub(crate) uri: Span,
}

/// The prefixes in scope, innermost last. Nearly always none.
pub(crate) type Bindings = SmallVec<[Binding; 1]>;

/// Where an element and its parts are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElementSpan {
    /// Its `<`.
    pub(crate) start: u32,
    /// Behind the `>` of its start tag.
    pub(crate) head_end: u32,
    /// The `<` of its end tag; `head_end` if it has none.
    pub(crate) content_end: u32,
    /// Behind the element.
    pub(crate) end: u32,
    pub(crate) name: NameSpan,
    pub(crate) ns: Ns,
    /// What applies to elements without prefix inside it.
    pub(crate) default_ns: Ns,
    /// Whether its start tag declares prefixes.
    pub(crate) has_bindings: bool,
}

/// An element inside a validated stanza. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ElementRef<'a> {
    doc: &'a str,
    span: ElementSpan,
    /// Its own declarations included.
    bindings: Bindings,
}

impl<'a> ElementRef<'a> {
    /// `outer` are the bindings in scope outside of it.
    pub(crate) fn new(doc: &'a str, span: ElementSpan, outer: &Bindings) -> Self {
        let mut element = Self { doc, span, bindings: outer.clone() };
        if span.has_bindings {
            element.bind_own();
        }
        element
    }

    fn bind_own(&mut self) {
        for (name, value) in self.raw_attrs() {
            let name = NameSpan::split(self.doc, name);
            if name.prefix(self.doc) == Some("xmlns") {
                self.bindings.push(Binding { prefix: Span { start: name.local, end: name.end }, uri: value });
            }
        }
    }

    fn raw_attrs(&self) -> scan::Attrs<'a> {
        scan::attrs(self.doc, self.span.name.end as usize)
    }

    /// Its local name.
    pub fn name(&self) -> &'a str {
        self.span.name.local(self.doc)
    }

    /// Its namespace; empty if it is in none.
    pub fn ns(&self) -> Cow<'a, str> {
        escape::attr_value(self.span.ns.of(self.doc))
    }

    /// Whether it has this name and namespace. The fast way to ask.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name() == name && value_is(self.span.ns.of(self.doc), ns)
    }

    /// The value of an attribute without prefix.
    pub fn attr(&self, name: &str) -> Option<Cow<'a, str>> {
        let (_, value) = self.raw_attrs().find(|(found, _)| found.of(self.doc) == name)?;
        Some(escape::attr_value(value.of(self.doc)))
    }

    /// Its own `xml:lang`.
    pub fn lang(&self) -> Option<Cow<'a, str>> {
        // No other prefix can be bound to that namespace.
        self.attr("xml:lang")
    }

    /// All attributes that are not namespace declarations: (namespace, local name, value).
    pub fn attrs(&self) -> impl Iterator<Item = (Cow<'a, str>, &'a str, Cow<'a, str>)> + '_ {
        self.raw_attrs().filter_map(|(name, value)| {
            let name = NameSpan::split(self.doc, name);
            let ns = match name.prefix(self.doc) {
                None if name.of(self.doc) == "xmlns" => return None,
                Some("xmlns") => return None,
                None => Ns::NONE,
                Some(prefix) => resolve(self.doc, &self.bindings, prefix),
            };
            let value = escape::attr_value(value.of(self.doc));
            Some((escape::attr_value(ns.of(self.doc)), name.local(self.doc), value))
        })
    }

    /// Its child elements, in order.
    pub fn children(&self) -> Children<'a> {
        Children {
            doc: self.doc,
            pos: self.span.head_end as usize,
            end: self.span.content_end as usize,
            default_ns: self.span.default_ns,
            bindings: self.bindings.clone(),
        }
    }

    /// The first child element with this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<ElementRef<'a>> {
        self.children().find(|child| child.is(name, ns))
    }

    /// The text directly inside (not that of child elements), references and CDATA resolved.
    pub fn text(&self) -> Cow<'a, str> {
        let end = self.span.content_end as usize;
        let mut pos = self.span.head_end as usize;
        let mut text = Cow::Borrowed("");
        while pos < end {
            let item = scan::next_markup(self.doc, pos);
            let (upto, next) = match item {
                Item::Start(at) => (at, element_end(self.doc, at).1),
                Item::Cdata(at) => (at, at),
                Item::End(at) => (at, end),
                Item::Over => (end, end),
            };
            join(&mut text, escape::text_value(Span::new(pos, upto).of(self.doc)));
            pos = next;
            if let Item::Cdata(at) = item {
                let (content, after) = scan::cdata(self.doc, at);
                join(&mut text, escape::cdata_value(content.of(self.doc)));
                pos = after;
            }
        }
        text
    }

    /// Its bytes from `<` to `>`, as they came. Prefixes may be declared further out.
    pub fn bytes(&self) -> &'a [u8] {
        Span { start: self.span.start, end: self.span.end }.of(self.doc).as_bytes()
    }

    /// What is between its tags, as it came.
    pub fn inner_bytes(&self) -> &'a [u8] {
        Span { start: self.span.head_end, end: self.span.content_end }.of(self.doc).as_bytes()
    }

    /// Where its bytes are in the stanza's bytes: for [`crate::rewrite::Rewrite::skip`].
    pub fn range(&self) -> Range<usize> {
        self.span.start as usize..self.span.end as usize
    }

    /// Writes it so that it can stand alone or elsewhere: as it came, with the namespace declarations that it
    /// inherits from further out added to its start tag.
    pub fn write_standalone(&self, out: &mut Vec<u8>) {
        let name_end = self.span.name.end;
        out.extend_from_slice(Span { start: self.span.start, end: name_end }.of(self.doc).as_bytes());
        let own: SmallVec<[&str; 8]> = self.raw_attrs().map(|(name, _)| name.of(self.doc)).collect();
        if !own.contains(&"xmlns") {
            declare("xmlns", self.span.default_ns.of(self.doc), out);
        }
        for (index, binding) in self.bindings.iter().enumerate() {
            let prefix = binding.prefix.of(self.doc);
            let shadowed = self.bindings[index + 1..].iter().any(|inner| inner.prefix.of(self.doc) == prefix);
            let is_own = binding.prefix.start >= self.span.start;
            if !shadowed && !is_own && prefix != "xml" {
                declare(&format!("xmlns:{prefix}"), binding.uri.of(self.doc), out);
            }
        }
        out.extend_from_slice(Span { start: name_end, end: self.span.end }.of(self.doc).as_bytes());
    }
}

fn declare(name: &str, raw: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape::escape_into(&escape::attr_value(raw), out);
    out.push(b'\'');
}

/// Appends without copying as long as there was nothing before.
fn join<'a>(text: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if text.is_empty() {
        *text = more;
    } else if !more.is_empty() {
        text.to_mut().push_str(&more);
    }
}

fn resolve(doc: &str, bindings: &Bindings, prefix: &str) -> Ns {
    match bindings.iter().rev().find(|binding| binding.prefix.of(doc) == prefix) {
        Some(binding) => Ns::at(binding.uri),
        None if prefix == "xml" => Ns::XML,
        None if prefix == "stream" => Ns::STREAMS,
        None => Ns::NONE,
    }
}

/// Where the content ends and where the element ends that begins at `start`.
fn element_end(doc: &str, start: usize) -> (usize, usize) {
    let tag = scan::tag(doc, start);
    if tag.is_empty {
        return (tag.end, tag.end);
    }
    let content_end = scan::content_end(doc, tag.end);
    (content_end, scan::end_tag_end(doc, content_end))
}

/// The child elements of an element.
#[derive(Debug, Clone)]
pub struct Children<'a> {
    doc: &'a str,
    pos: usize,
    end: usize,
    default_ns: Ns,
    bindings: Bindings,
}

impl<'a> Children<'a> {
    fn element(&self, start: usize) -> ElementRef<'a> {
        let doc = self.doc;
        let tag = scan::tag(doc, start);
        let name = NameSpan::split(doc, tag.name);
        let mut default_ns = self.default_ns;
        let mut has_bindings = false;
        for (attr, value) in scan::attrs(doc, name.end as usize) {
            match attr.of(doc) {
                "xmlns" => default_ns = Ns::at(value),
                other => has_bindings |= other.starts_with("xmlns:"),
            }
        }
        let (content_end, end) = match tag.is_empty {
            true => (tag.end, tag.end),
            false => {
                let content_end = scan::content_end(doc, tag.end);
                (content_end, scan::end_tag_end(doc, content_end))
            }
        };
        let span = ElementSpan {
            start: start as u32,
            head_end: tag.end as u32,
            content_end: content_end as u32,
            end: end as u32,
            name,
            ns: default_ns,
            default_ns,
            has_bindings,
        };
        let mut element = ElementRef::new(doc, span, &self.bindings);
        if let Some(prefix) = name.prefix(doc) {
            element.span.ns = resolve(doc, &element.bindings, prefix);
        }
        element
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = ElementRef<'a>;

    fn next(&mut self) -> Option<ElementRef<'a>> {
        while self.pos < self.end {
            match scan::next_markup(self.doc, self.pos) {
                Item::Start(at) if at < self.end => {
                    let element = self.element(at);
                    self.pos = element.span.end as usize;
                    return Some(element);
                }
                Item::Cdata(at) => self.pos = scan::cdata(self.doc, at).1,
                _ => self.pos = self.end,
            }
        }
        None
    }
}
