//! One top-level element, validated in one pass and shown as a borrowed view. To be filled in.

use crate::{
    element::{Children, ElementRef},
    error::StreamCondition,
};
use std::borrow::Cow;

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

/// RFC 6120 §8.2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the values")]
pub enum IqType {
    Get,
    Set,
    Result,
    Error,
}

/// Why an element is not accepted. Each ends the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not well-formed XML, or not UTF-8.
    #[error("not well-formed")]
    NotWellFormed,
    /// Well-formed, but not namespace-well-formed in itself, or a root with a prefix.
    #[error("bad namespace prefix")]
    BadNamespacePrefix,
    /// Comment, processing instruction, DTD or entity beyond the five (RFC 6120 §11.1).
    #[error("comments, processing instructions, DTDs and entities are not allowed")]
    Restricted,
    /// Too deep, too many attributes or namespace prefixes, too large.
    #[error("too large in some respect")]
    TooLarge,
}

impl ParseError {
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
    bytes: &'a [u8],
    kind: Kind,
}

impl<'a> Stanza<'a> {
    /// Validates one element that is all of `bytes`. Without an own `xmlns` it is in `jabber:client`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let _ = bytes;
        todo!()
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// All its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its local name.
    pub fn name(&self) -> &'a str {
        todo!()
    }

    /// Its namespace.
    pub fn ns(&self) -> Cow<'a, str> {
        todo!()
    }

    /// Whether it has this name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        let _ = (name, ns);
        todo!()
    }

    /// The `to` attribute, as text.
    pub fn to(&self) -> Option<Cow<'a, str>> {
        todo!()
    }

    /// The `from` attribute, as text.
    pub fn from(&self) -> Option<Cow<'a, str>> {
        todo!()
    }

    /// The `id` attribute, as text.
    pub fn id(&self) -> Option<Cow<'a, str>> {
        todo!()
    }

    /// The `type` attribute, as text.
    pub fn type_attr(&self) -> Option<Cow<'a, str>> {
        todo!()
    }

    /// The `xml:lang` attribute, as text.
    pub fn lang(&self) -> Option<Cow<'a, str>> {
        todo!()
    }

    /// Any other attribute without prefix.
    pub fn attr(&self, name: &str) -> Option<Cow<'a, str>> {
        self.root().attr(name)
    }

    /// The type of a message.
    pub fn message_type(&self) -> MessageType {
        todo!()
    }

    /// The type of a presence; `None` if it is not one that exists (bad-request).
    pub fn presence_type(&self) -> Option<PresenceType> {
        todo!()
    }

    /// The type of an iq; `None` if there is none or it is not one that exists (bad-request).
    pub fn iq_type(&self) -> Option<IqType> {
        todo!()
    }

    /// The element itself, for reading.
    pub fn root(&self) -> ElementRef<'a> {
        todo!()
    }

    /// Its child elements, in order.
    pub fn children(&self) -> Children<'a> {
        self.root().children()
    }

    /// How many child elements it has.
    pub fn child_count(&self) -> usize {
        todo!()
    }

    /// The first child element with this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<ElementRef<'a>> {
        let _ = (name, ns);
        todo!()
    }

    /// Whether there is a child element with this name and namespace.
    pub fn has_child(&self, name: &str, ns: &str) -> bool {
        let _ = (name, ns);
        todo!()
    }

    /// Everything between start and end tag, as it came.
    pub fn payload(&self) -> &'a [u8] {
        todo!()
    }
}

/// A stream header (RFC 6120 §4.7), validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHeader<'a> {
    /// The element's local name: must be `stream`.
    pub name: &'a str,
    /// The element's prefix: must be `stream` (RFC 6120 §4.8.5, bad-namespace-prefix).
    pub prefix: Option<&'a str>,
    /// The element's namespace: must be [`crate::ns::STREAMS`] (invalid-namespace).
    pub ns: Cow<'a, str>,
    /// The default namespace it declares: must be [`crate::ns::CLIENT`] (invalid-namespace).
    pub default_ns: Option<Cow<'a, str>>,
    /// `to`
    pub to: Option<Cow<'a, str>>,
    /// `from`
    pub from: Option<Cow<'a, str>>,
    /// `id` (on a server's header).
    pub id: Option<Cow<'a, str>>,
    /// `version`
    pub version: Option<Cow<'a, str>>,
    /// `xml:lang`
    pub lang: Option<Cow<'a, str>>,
}

impl<'a> StreamHeader<'a> {
    /// Parses a [`crate::framer::FrameKind::StreamOpen`] frame.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let _ = bytes;
        todo!()
    }
}
