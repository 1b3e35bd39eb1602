//! Writing XML into a `Vec<u8>`: escaping, elements, and the usual answers. To be filled in.

use crate::error::{ErrorType, StanzaCondition, StreamCondition};
use crate::stanza::{Kind, Stanza};
use smallvec::SmallVec;

/// Appends `text` escaped for element content and for attribute values in either quote.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    let _ = (text, out);
    todo!()
}

/// Writes elements. Names and namespaces are ours; attribute values and text are escaped.
/// `<message>`, `<presence>` and `<iq>` always get an explicit end tag, other empty elements are `<like-this/>`.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    open: SmallVec<[&'o str; 8]>,
    in_tag: bool,
}

impl<'o> Writer<'o> {
    /// Appends to `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, open: SmallVec::new(), in_tag: false }
    }

    /// Begins an element.
    pub fn open(&mut self, name: &'o str) -> &mut Self {
        let _ = (name, self.in_tag);
        todo!()
    }

    /// Begins an element with `xmlns`.
    pub fn open_ns(&mut self, name: &'o str, ns: &str) -> &mut Self {
        self.open(name).attr("xmlns", ns)
    }

    /// Adds an attribute to the element just begun.
    pub fn attr(&mut self, name: &str, value: &str) -> &mut Self {
        let _ = (name, value);
        todo!()
    }

    /// Adds an attribute if there is a value.
    pub fn attr_opt(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let _ = text;
        todo!()
    }

    /// Adds well-formed XML as it is.
    pub fn raw(&mut self, xml: &[u8]) -> &mut Self {
        let _ = (xml, &mut self.out);
        todo!()
    }

    /// Ends the innermost element.
    pub fn close(&mut self) -> &mut Self {
        let _ = &mut self.open;
        todo!()
    }

    /// Adds an element with nothing but text (or nothing), e.g. `<name>text</name>`.
    pub fn leaf(&mut self, name: &'o str, text: &str) -> &mut Self {
        self.open(name).text(text).close()
    }

    /// Ends every element that is open.
    pub fn close_all(&mut self) {
        todo!()
    }
}

/// The attributes of a stanza to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header<'a> {
    /// `from`
    pub from: Option<&'a str>,
    /// `to`
    pub to: Option<&'a str>,
    /// `id`
    pub id: Option<&'a str>,
    /// `type`
    pub type_attr: Option<&'a str>,
}

/// Appends `<kind from to id type>payload</kind>`. `payload` is well-formed XML in `jabber:client` context.
pub fn stanza(out: &mut Vec<u8>, kind: Kind, header: &Header<'_>, payload: &[u8]) {
    let _ = (out, kind, header, payload);
    todo!()
}

/// Appends the result of an iq: `from` is whom the request addressed (`None`: the account itself, implied), `to` its sender.
pub fn iq_result(
    out: &mut Vec<u8>,
    request: &Stanza<'_>,
    from: Option<&str>,
    to: Option<&str>,
    payload: &[u8],
) {
    let _ = (out, request, from, to, payload);
    todo!()
}

/// A stanza error (RFC 6120 §8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StanzaError<'a> {
    /// The condition.
    pub condition: StanzaCondition,
    /// What to do.
    pub error_type: ErrorType,
    /// Text for a person.
    pub text: Option<&'a str>,
    /// Who refused, if it is not the `from` of the error (RFC 6120 §8.3.2 `by`).
    pub by: Option<&'a str>,
}

impl<'a> StanzaError<'a> {
    /// The condition with its default type and no text.
    pub const fn new(condition: StanzaCondition) -> Self {
        Self { condition, error_type: condition.default_type(), text: None, by: None }
    }

    /// With a text.
    pub const fn with_text(self, text: &'a str) -> Self {
        Self { text: Some(text), ..self }
    }

    /// With another type.
    pub const fn with_type(self, error_type: ErrorType) -> Self {
        Self { error_type, ..self }
    }
}

impl From<StanzaCondition> for StanzaError<'static> {
    fn from(condition: StanzaCondition) -> Self {
        Self::new(condition)
    }
}

/// Appends the error that answers `original` (message, presence or iq; never answer an error with an error):
/// same kind and id, `type='error'`, these `from` and `to`.
pub fn error_reply(
    out: &mut Vec<u8>,
    original: &Stanza<'_>,
    from: Option<&str>,
    to: Option<&str>,
    error: &StanzaError<'_>,
) {
    let _ = (out, original, from, to, error);
    todo!()
}

/// Appends `<error type=…>…</error>` alone.
pub fn error_element(out: &mut Vec<u8>, error: &StanzaError<'_>) {
    let _ = (out, error);
    todo!()
}

/// Appends `<stream:error>…</stream:error>`, with `xmlns:stream` declared if `standalone` (WebSocket).
pub fn stream_error(out: &mut Vec<u8>, condition: StreamCondition, text: Option<&str>, standalone: bool) {
    let _ = (out, condition, text, standalone);
    todo!()
}

/// Appends `<delay xmlns='urn:xmpp:delay' from=… stamp=…/>` (XEP-0203).
pub fn delay(out: &mut Vec<u8>, from: &str, stamp_unix_ms: u64) {
    let _ = (out, from, stamp_unix_ms);
    todo!()
}

/// Appends `<stanza-id xmlns='urn:xmpp:sid:0' by=… id=…/>` (XEP-0359), the id as 32 hex digits.
pub fn stanza_id(out: &mut Vec<u8>, by: &str, id: u128) {
    let _ = (out, by, id);
    todo!()
}
