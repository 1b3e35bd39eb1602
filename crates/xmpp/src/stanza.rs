//! One top-level element, validated in one pass and shown as a borrowed view (RFC 6120 §8, RFC 6121 §4.7, §5.2).
//!
//! Called by the edge for each frame, and by the services for what they get from other shards or the store. The checking is
//! [`crate::validate`]'s; here is what one asks of the result. Nothing is copied; text is only built where it holds references.

use crate::element::{Bindings, ElementRef, ElementSpan, Ns};
use crate::error::{StanzaCondition, StreamCondition};
use crate::escape::{self, value_is};
use crate::ns;
use crate::scan::Span;
use crate::validate::{StartTag, Validator};
use crate::write::StanzaError;
use smallvec::SmallVec;
use std::borrow::Cow;

mod header;
mod husk;
mod prefixes;

pub use header::StreamHeader;
pub use husk::Husk;
pub use prefixes::Prefixes;

/// What a top-level element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>` in `jabber:client`.
    Message,
    /// `<presence/>` in `jabber:client`.
    Presence,
    /// `<iq/>` in `jabber:client`.
    Iq,
    /// Anything else, by name and namespace.
    Nonza,
}

impl Kind {
    fn of(name: &str, ns: &str) -> Self {
        let kind = match name {
            "message" => Self::Message,
            "presence" => Self::Presence,
            "iq" => Self::Iq,
            _ => return Self::Nonza,
        };
        if value_is(ns, ns::CLIENT) { kind } else { Self::Nonza }
    }

    /// The element's name; empty for [`Kind::Nonza`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
            Self::Nonza => "",
        }
    }
}

/// RFC 6121 §5.2.2. An unknown value counts as `normal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the values")]
pub enum MessageType {
    Normal,
    Chat,
    Groupchat,
    Headline,
    Error,
}

impl MessageType {
    pub(crate) fn of(text: Option<&str>) -> Self {
        match text {
            Some("chat") => Self::Chat,
            Some("groupchat") => Self::Groupchat,
            Some("headline") => Self::Headline,
            Some("error") => Self::Error,
            _ => Self::Normal,
        }
    }
}

/// RFC 6121 §4.7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the values")]
pub enum PresenceType {
    /// No type attribute.
    Available,
    Unavailable,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Probe,
    Error,
}

impl PresenceType {
    pub(crate) fn of(text: Option<&str>) -> Option<Self> {
        Some(match text {
            None => Self::Available,
            Some("unavailable") => Self::Unavailable,
            Some("subscribe") => Self::Subscribe,
            Some("subscribed") => Self::Subscribed,
            Some("unsubscribe") => Self::Unsubscribe,
            Some("unsubscribed") => Self::Unsubscribed,
            Some("probe") => Self::Probe,
            Some("error") => Self::Error,
            Some(_) => return None,
        })
    }
}

/// RFC 6120 §8.2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the values")]
pub enum IqType {
    Get,
    Set,
    Result,
    Error,
}

impl IqType {
    pub(crate) fn of(text: &str) -> Option<Self> {
        Some(match text {
            "get" => Self::Get,
            "set" => Self::Set,
            "result" => Self::Result,
            "error" => Self::Error,
            _ => return None,
        })
    }
}

/// Why an element is not accepted. Before there is a session each ends the stream; in one it does so only if the element
/// has no [`Husk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not well-formed XML, or not UTF-8.
    #[error("not well-formed")]
    NotWellFormed,
    /// Well-formed, but not namespace-well-formed in itself, or a stanza that has a prefix.
    #[error("bad namespace prefix")]
    BadNamespacePrefix,
    /// Comment, processing instruction, DTD, entity beyond the five (RFC 6120 §11.1), or something legal that is known to
    /// break clients' parsers (a carriage return as such in an attribute value).
    #[error("comments, processing instructions, DTDs and entities are not allowed")]
    Restricted,
    /// Too deep, too many attributes or namespace prefixes, too large.
    #[error("too large in some respect")]
    TooLarge,
}

impl ParseError {
    /// The error that answers a stanza which is refused for this (RFC 6120 §8.3.3).
    pub fn stanza_error(self) -> StanzaError<'static> {
        let (condition, text) = match self {
            Self::NotWellFormed => (StanzaCondition::BadRequest, "not well-formed"),
            Self::BadNamespacePrefix => {
                (StanzaCondition::BadRequest, "a namespace prefix is not declared in the stanza")
            }
            Self::Restricted => (StanzaCondition::BadRequest, "an entity or character that is not allowed"),
            Self::TooLarge => {
                (StanzaCondition::PolicyViolation, "too large, too deep, or too many or too long parts")
            }
        };
        StanzaError::new(condition).with_text(text)
    }

    /// The stream error to answer with.
    pub fn condition(self) -> StreamCondition {
        match self {
            Self::NotWellFormed => StreamCondition::NotWellFormed,
            Self::BadNamespacePrefix => StreamCondition::BadNamespacePrefix,
            Self::Restricted => StreamCondition::RestrictedXml,
            Self::TooLarge => StreamCondition::PolicyViolation,
        }
    }
}

/// A top-level element that is fully validated: whoever gets its bytes can parse them.
#[derive(Debug, Clone)]
pub struct Stanza<'a> {
    doc: &'a str,
    kind: Kind,
    root: ElementSpan,
    /// The root's own bindings.
    bindings: Bindings,
    children: SmallVec<[ElementSpan; 4]>,
    pub(crate) attrs: RootAttrs,
}

/// The attributes of the root that matter, as they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct RootAttrs {
    pub(crate) to: Span,
    pub(crate) from: Span,
    pub(crate) id: Span,
    pub(crate) type_attr: Span,
    pub(crate) lang: Span,
    /// `xmlns:…='…'`, whole.
    pub(crate) declarations: SmallVec<[Span; 1]>,
}

impl RootAttrs {
    fn collect(validator: &Validator<'_>) -> Self {
        let doc = validator.doc();
        let mut found = Self::default();
        for attr in &validator.attrs {
            match attr.name.bytes(doc) {
                b"to" => found.to = attr.value,
                b"from" => found.from = attr.value,
                b"id" => found.id = attr.value,
                b"type" => found.type_attr = attr.value,
                b"xml:lang" => found.lang = attr.value,
                _ if attr.name.prefix(doc) == Some("xmlns") => found.declarations.push(attr.whole()),
                _ => {}
            }
        }
        found
    }
}

/// What a child element is called, before it is looked into.
pub struct ChildName<'a> {
    doc: &'a str,
    span: ElementSpan,
}

impl<'a> ChildName<'a> {
    /// Its local name.
    pub fn local(&self) -> &'a str {
        self.span.name.local(self.doc)
    }

    /// Its namespace as it stands in the document: may hold references.
    pub(crate) fn raw_ns(&self) -> &'a str {
        self.span.ns.of(self.doc)
    }

    /// Whether it is in this namespace.
    pub fn is_in(&self, ns: &str) -> bool {
        value_is(self.span.ns.of(self.doc), ns)
    }
}

/// The start tag of a stanza, and what goes on behind it.
pub(crate) struct Start<'a> {
    validator: Validator<'a>,
    tag: StartTag,
    root: ElementSpan,
    pub(crate) kind: Kind,
    pub(crate) attrs: RootAttrs,
}

impl<'a> Start<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut validator = Validator::new(bytes)?;
        match bytes {
            [b'<', b'?' | b'!', ..] => return Err(ParseError::Restricted),
            [b'<', ..] => validator.pos = 1,
            _ => return Err(ParseError::NotWellFormed),
        }
        let tag = validator.start_tag(Ns::CLIENT, true)?;
        let root = tag.span(0, validator.pos);
        let doc = validator.doc();
        let ns = root.ns.of(doc);
        // RFC 6120 §4.8.5: what is of a content namespace has no prefix, and `stream` is the stream's.
        if root.name.prefix(doc).is_some_and(|prefix| is_reserved(prefix, ns)) {
            return Err(ParseError::BadNamespacePrefix);
        }
        let kind = Kind::of(root.name.local(doc), ns);
        let attrs = RootAttrs::collect(&validator);
        Ok(Self { validator, tag, root, kind, attrs })
    }

    /// The stanza that begins so, and nothing behind it.
    pub(crate) fn whole(self) -> Result<Stanza<'a>, ParseError> {
        let Self { mut validator, tag, mut root, kind, attrs } = self;
        let doc = validator.doc();
        let bindings = validator.bindings.iter().copied().collect();
        let mut children = SmallVec::new();
        if !tag.is_empty {
            root.content_end = validator.content(&tag, &mut children)? as u32;
        }
        root.end = validator.pos as u32;
        validator.skip_space();
        if validator.pos < doc.len() {
            return Err(ParseError::NotWellFormed);
        }
        Ok(Stanza { doc, kind, root, bindings, children, attrs })
    }

    fn doc(&self) -> &'a str {
        self.validator.doc()
    }

    pub(crate) fn type_attr(&self) -> Option<Cow<'a, str>> {
        let span = self.attrs.type_attr;
        (!span.is_none()).then(|| escape::attr_value(span.of(self.doc())))
    }

    /// The `>` of the start tag.
    pub(crate) fn tag_end(&self) -> usize {
        self.validator.pos - 1
    }
}

impl<'a> Stanza<'a> {
    /// Validates one element that is all of `bytes` (white space may follow). Without an own `xmlns` it is in
    /// `jabber:client`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Start::read(bytes)?.whole()
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// All its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        Span { start: 0, end: self.root.end }.of(self.doc).as_bytes()
    }

    pub(crate) fn doc(&self) -> &'a str {
        self.doc
    }

    pub(crate) fn root_span(&self) -> ElementSpan {
        self.root
    }

    /// Its local name.
    pub fn name(&self) -> &'a str {
        self.root.name.local(self.doc)
    }

    /// Its namespace.
    pub fn ns(&self) -> Cow<'a, str> {
        escape::attr_value(self.root.ns.of(self.doc))
    }

    /// Whether it has this name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name() == name && value_is(self.root.ns.of(self.doc), ns)
    }

    fn value(&self, span: Span) -> Option<Cow<'a, str>> {
        (!span.is_none()).then(|| escape::attr_value(span.of(self.doc)))
    }

    /// The `to` attribute, as text.
    pub fn to(&self) -> Option<Cow<'a, str>> {
        self.value(self.attrs.to)
    }

    /// The `from` attribute, as text.
    pub fn from(&self) -> Option<Cow<'a, str>> {
        self.value(self.attrs.from)
    }

    /// The `id` attribute, as text.
    pub fn id(&self) -> Option<Cow<'a, str>> {
        self.value(self.attrs.id)
    }

    /// The `type` attribute, as text.
    pub fn type_attr(&self) -> Option<Cow<'a, str>> {
        self.value(self.attrs.type_attr)
    }

    /// The `xml:lang` attribute, as text.
    pub fn lang(&self) -> Option<Cow<'a, str>> {
        self.value(self.attrs.lang)
    }

    /// Any other attribute without prefix.
    pub fn attr(&self, name: &str) -> Option<Cow<'a, str>> {
        self.root().attr(name)
    }

    /// The type of a message.
    pub fn message_type(&self) -> MessageType {
        MessageType::of(self.type_attr().as_deref())
    }

    /// The type of a presence; `None` if it is not one that exists (bad-request).
    pub fn presence_type(&self) -> Option<PresenceType> {
        PresenceType::of(self.type_attr().as_deref())
    }

    /// The type of an iq; `None` if there is none or it is not one that exists (bad-request).
    pub fn iq_type(&self) -> Option<IqType> {
        IqType::of(&self.type_attr()?)
    }

    /// The element itself, for reading.
    pub fn root(&self) -> ElementRef<'a> {
        // The root's bindings are in `bindings` already: not to be collected a second time.
        ElementRef::new(self.doc, ElementSpan { has_bindings: false, ..self.root }, &self.bindings)
    }

    /// Its child elements, in order. No scanning: they were found when it was parsed.
    pub fn children(&self) -> impl ExactSizeIterator<Item = ElementRef<'a>> + '_ {
        self.children.iter().map(|&span| ElementRef::new(self.doc, span, &self.bindings))
    }

    /// What its child elements are called.
    pub(crate) fn child_names(&self) -> impl Iterator<Item = ChildName<'a>> + '_ {
        self.children.iter().map(|&span| ChildName { doc: self.doc, span })
    }

    /// How many child elements it has.
    pub fn child_count(&self) -> usize {
        self.children.len()
    }

    fn find(&self, name: &str, ns: &str) -> Option<&ElementSpan> {
        let is =
            |span: &&ElementSpan| span.name.local(self.doc) == name && value_is(span.ns.of(self.doc), ns);
        self.children.iter().find(is)
    }

    /// The first child element with this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<ElementRef<'a>> {
        self.find(name, ns).map(|&span| ElementRef::new(self.doc, span, &self.bindings))
    }

    /// Whether there is a child element with this name and namespace.
    pub fn has_child(&self, name: &str, ns: &str) -> bool {
        self.find(name, ns).is_some()
    }

    /// Whether there is a child element in this namespace, whatever its name (chat states, markers, hints).
    pub fn has_child_in(&self, ns: &str) -> bool {
        self.children.iter().any(|span| value_is(span.ns.of(self.doc), ns))
    }

    /// The child elements whose name and namespace the closure wants. What is not wanted costs next to nothing.
    pub fn children_named<'s>(
        &'s self,
        wanted: impl Fn(&ChildName<'a>) -> bool + 's,
    ) -> impl Iterator<Item = ElementRef<'a>> + 's {
        let is_wanted = move |span: &&ElementSpan| wanted(&ChildName { doc: self.doc, span: **span });
        self.children.iter().filter(is_wanted).map(|&span| ElementRef::new(self.doc, span, &self.bindings))
    }

    /// Everything between start and end tag, as it came.
    pub fn payload(&self) -> &'a [u8] {
        Span { start: self.root.head_end, end: self.root.content_end }.of(self.doc).as_bytes()
    }
}

/// Whether no root of this namespace may have this prefix.
fn is_reserved(prefix: &str, ns: &str) -> bool {
    let is_streams = value_is(ns, ns::STREAMS);
    (prefix == "stream") != is_streams || [ns::CLIENT, ns::SERVER].iter().any(|content| value_is(ns, content))
}

#[cfg(test)]
mod tests;
