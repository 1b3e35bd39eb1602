//! The stream header: the one start tag that stands without its end (RFC 6120 §4.7), with the XML declaration before it.
//! Called by the stream state machine for each [`crate::framer::FrameKind::StreamOpen`]. Promises the same checks as for stanzas.

use super::{ParseError, Prefixes};
use crate::element::Ns;
use crate::escape;
use crate::validate::Validator;
use std::borrow::Cow;

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
    /// Prefixes that it declares for the elements that follow, beside `stream`.
    pub prefixes: Option<Box<Prefixes>>,
}

impl<'a> StreamHeader<'a> {
    /// Parses a [`crate::framer::FrameKind::StreamOpen`] frame.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut validator = Validator::new(bytes)?;
        let doc = validator.doc();
        if let Some(declaration) = doc.strip_prefix("<?xml") {
            let end = declaration.find("?>").ok_or(ParseError::NotWellFormed)?;
            check_declaration(&declaration[..end])?;
            validator.pos = "<?xml".len() + end + "?>".len();
            validator.skip_space();
        }
        if validator.peek() != Some(b'<') {
            return Err(ParseError::NotWellFormed);
        }
        validator.pos += 1;
        let tag = validator.start_tag(Ns::NONE, false)?;
        if tag.is_empty || validator.pos < bytes.len() {
            return Err(ParseError::NotWellFormed);
        }
        let attr = |name: &str| {
            let found = validator.attrs.iter().find(|attr| attr.name.of(doc) == name)?;
            Some(escape::attr_value(found.value.of(doc)))
        };
        Ok(Self {
            name: tag.name.local(doc),
            prefix: tag.name.prefix(doc),
            ns: escape::attr_value(tag.ns.of(doc)),
            default_ns: attr("xmlns"),
            to: attr("to"),
            from: attr("from"),
            id: attr("id"),
            version: attr("version"),
            lang: attr("xml:lang"),
            prefixes: Prefixes::of_header(doc, &validator.bindings).map(Box::new),
        })
    }
}

/// What stands between `<?xml` and `?>`: version 1.x, and UTF-8 if an encoding is named (RFC 6120 §11.5, §11.6).
fn check_declaration(text: &str) -> Result<(), ParseError> {
    let mut names = ["version", "encoding", "standalone"].iter();
    let mut rest = text;
    let mut version = None;
    while !rest.trim_ascii_start().is_empty() {
        let trimmed = rest.trim_ascii_start();
        let (name, tail) = trimmed.split_once('=').ok_or(ParseError::NotWellFormed)?;
        let name = name.trim_ascii_end();
        let tail = tail.trim_ascii_start();
        let quote =
            tail.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(ParseError::NotWellFormed)?;
        let (value, tail) = tail[1..].split_once(quote).ok_or(ParseError::NotWellFormed)?;
        let is_right = match name {
            "version" => value.starts_with("1."),
            "encoding" => value.eq_ignore_ascii_case("utf-8"),
            "standalone" => matches!(value, "yes" | "no"),
            _ => false,
        };
        if trimmed.len() == rest.len() || !is_right || !names.any(|&known| known == name) {
            return Err(ParseError::NotWellFormed);
        }
        version = version.or(Some(name));
        rest = tail;
    }
    if version == Some("version") { Ok(()) } else { Err(ParseError::NotWellFormed) }
}
