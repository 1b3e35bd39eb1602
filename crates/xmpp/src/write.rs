//! Writing XML into a `Vec<u8>`: escaping, elements, and the usual answers (RFC 6120 §4.9, §8.2.3, §8.3; XEP-0203,
//! XEP-0359).
//!
//! Called by everybody who answers. Promises well-formed output whatever text is given; names and raw XML are the caller's.

use crate::datetime;
use crate::error::{ErrorType, StanzaCondition, StreamCondition};
use crate::escape::escape_into;
use crate::ns;
use crate::stanza::{Kind, Stanza};
use smallvec::SmallVec;

/// Appends `text` escaped for element content and for attribute values in either quote.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    escape_into(text, out);
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

    /// Writes the `>` that a start tag still lacks.
    fn end_tag_head(&mut self) {
        if std::mem::take(&mut self.in_tag) {
            self.out.push(b'>');
        }
    }

    /// Begins an element.
    pub fn open(&mut self, name: &'o str) -> &mut Self {
        self.end_tag_head();
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        self.open.push(name);
        self.in_tag = true;
        self
    }

    /// Begins an element with `xmlns`.
    pub fn open_ns(&mut self, name: &'o str, ns: &str) -> &mut Self {
        self.open(name).attr("xmlns", ns)
    }

    /// Adds an attribute to the element just begun. Ignored behind its content: there it has no place.
    pub fn attr(&mut self, name: &str, value: &str) -> &mut Self {
        debug_assert!(self.in_tag, "an attribute behind content");
        if self.in_tag {
            self.out.push(b' ');
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"='");
            escape_into(value, self.out);
            self.out.push(b'\'');
        }
        self
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
        if !text.is_empty() {
            self.end_tag_head();
            escape_into(text, self.out);
        }
        self
    }

    /// Adds well-formed XML as it is.
    pub fn raw(&mut self, xml: &[u8]) -> &mut Self {
        if !xml.is_empty() {
            self.end_tag_head();
            self.out.extend_from_slice(xml);
        }
        self
    }

    /// Ends the innermost element.
    pub fn close(&mut self) -> &mut Self {
        let Some(name) = self.open.pop() else { return self };
        if self.in_tag && !matches!(name, "message" | "presence" | "iq") {
            self.in_tag = false;
            self.out.extend_from_slice(b"/>");
            return self;
        }
        self.end_tag_head();
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'>');
        self
    }

    /// Adds an element with nothing but text (or nothing), e.g. `<name>text</name>`.
    pub fn leaf(&mut self, name: &'o str, text: &str) -> &mut Self {
        self.open(name).text(text).close()
    }

    /// Ends every element that is open.
    pub fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close();
        }
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

impl Header<'_> {
    /// Begins the stanza with these attributes.
    pub fn open(&self, writer: &mut Writer<'_>, kind: Kind) {
        writer.open(kind.name()).attr_opt("from", self.from).attr_opt("to", self.to);
        writer.attr_opt("id", self.id).attr_opt("type", self.type_attr);
    }
}

/// Appends `<kind from to id type>payload</kind>`. `payload` is well-formed XML in `jabber:client` context.
pub fn stanza(out: &mut Vec<u8>, kind: Kind, header: &Header<'_>, payload: &[u8]) {
    let mut writer = Writer::new(out);
    header.open(&mut writer, kind);
    writer.raw(payload).close();
}

/// Appends the result of an iq: `from` is whom the request addressed (`None`: the account itself, implied), `to` its sender.
pub fn iq_result(
    out: &mut Vec<u8>,
    request: &Stanza<'_>,
    from: Option<&str>,
    to: Option<&str>,
    payload: &[u8],
) {
    let id = request.id();
    let header = Header { from, to, id: id.as_deref(), type_attr: Some("result") };
    stanza(out, Kind::Iq, &header, payload);
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
    /// A specification's own condition beside the RFC's (RFC 6120 §8.3.4): its name and its namespace.
    pub specific: Option<(&'static str, &'static str)>,
    /// More of a specification's own, as whole XML; empty for none.
    pub detail: &'a [u8],
}

impl<'a> StanzaError<'a> {
    /// The condition with its default type and no text.
    pub const fn new(condition: StanzaCondition) -> Self {
        let error_type = condition.default_type();
        Self { condition, error_type, text: None, by: None, specific: None, detail: &[] }
    }

    /// With a text.
    pub const fn with_text(self, text: &'a str) -> Self {
        Self { text: Some(text), ..self }
    }

    /// With a specification's own condition.
    pub const fn with_specific(self, name: &'static str, ns: &'static str) -> Self {
        Self { specific: Some((name, ns)), ..self }
    }

    /// With elements of a specification's own, as whole XML.
    pub const fn with_detail(self, detail: &'a [u8]) -> Self {
        Self { detail, ..self }
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
    let id = original.id();
    let mut writer = Writer::new(out);
    Header { from, to, id: id.as_deref(), type_attr: Some("error") }.open(&mut writer, original.kind());
    write_error(&mut writer, error);
    writer.close();
}

/// Appends `<error type=…>…</error>` alone.
pub fn error_element(out: &mut Vec<u8>, error: &StanzaError<'_>) {
    write_error(&mut Writer::new(out), error);
}

fn write_error(writer: &mut Writer<'_>, error: &StanzaError<'_>) {
    writer.open("error").attr_opt("by", error.by).attr("type", error.error_type.name());
    writer.open_ns(error.condition.name(), ns::STANZA_ERRORS).close();
    if let Some(text) = error.text {
        writer.open_ns("text", ns::STANZA_ERRORS).text(text).close();
    }
    if let Some((name, ns)) = error.specific {
        writer.open_ns(name, ns).close();
    }
    writer.raw(error.detail).close();
}

/// Appends `<stream:error>…</stream:error>`, with `xmlns:stream` declared if `standalone` (WebSocket).
pub fn stream_error(out: &mut Vec<u8>, condition: StreamCondition, text: Option<&str>, standalone: bool) {
    let mut writer = Writer::new(out);
    writer.open("stream:error").attr_opt("xmlns:stream", standalone.then_some(ns::STREAMS));
    writer.open_ns(condition.name(), ns::STREAM_ERRORS).close();
    if let Some(text) = text {
        writer.open_ns("text", ns::STREAM_ERRORS).text(text).close();
    }
    writer.close();
}

/// Appends `<delay xmlns='urn:xmpp:delay' from=… stamp=…/>` (XEP-0203).
pub fn delay(out: &mut Vec<u8>, from: &str, stamp_unix_ms: u64) {
    // Written by hand: it is made for every message that comes out of a backlog.
    out.extend_from_slice(b"<delay xmlns='urn:xmpp:delay' from='");
    escape_into(from, out);
    out.extend_from_slice(b"' stamp='");
    datetime::write(stamp_unix_ms, out);
    out.extend_from_slice(b"'/>");
}

/// Appends `<stanza-id xmlns='urn:xmpp:sid:0' by=… id=…/>` (XEP-0359), the id as 32 hex digits.
pub fn stanza_id(out: &mut Vec<u8>, by: &str, id: u128) {
    out.extend_from_slice(b"<stanza-id xmlns='urn:xmpp:sid:0' by='");
    escape_into(by, out);
    out.extend_from_slice(b"' id='");
    // Without a table, so that it becomes vector code.
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    let mut hex = [0; 32];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(id.to_be_bytes()) {
        pair[0] = digit(byte >> 4);
        pair[1] = digit(byte & 0xF);
    }
    out.extend_from_slice(&hex);
    out.extend_from_slice(b"'/>");
}

/// XML written by the closure; elements still open at its end are closed.
pub fn xml(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut out);
    write(&mut writer);
    writer.close_all();
    drop(writer);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_nested_elements() {
        let found = text(|out| {
            let mut writer = Writer::new(out);
            writer.open("iq").attr("id", "a'b").open_ns("query", "n").leaf("name", "x<y").leaf("os", "");
            writer.raw(b"<z/>").close_all();
        });
        assert_eq!(found, "<iq id='a&apos;b'><query xmlns='n'><name>x&lt;y</name><os/><z/></query></iq>");
        assert_eq!(text(|out| stanza(out, Kind::Presence, &Header::default(), b"")), "<presence></presence>");
    }

    #[test]
    fn answers_keep_kind_and_id() {
        let request = Stanza::parse(b"<iq type='get' id='&lt;1'><ping xmlns='urn:xmpp:ping'/></iq>").unwrap();
        let found = text(|out| iq_result(out, &request, Some("a"), None, b"<x/>"));
        assert_eq!(found, "<iq from='a' id='&lt;1' type='result'><x/></iq>");
        let message = Stanza::parse(b"<message id='m'><body/></message>").unwrap();
        let error = StanzaError::new(StanzaCondition::ResourceConstraint).with_text("full");
        assert_eq!(
            text(|out| error_reply(out, &message, Some("b"), Some("a"), &error)),
            "<message from='b' to='a' id='m' type='error'><error type='wait'>\
             <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>full</text></error></message>"
        );
        let specific =
            StanzaError::new(StanzaCondition::NotAcceptable).with_specific("blocked", ns::BLOCKING_ERRORS);
        let found = text(|out| error_element(out, &specific));
        assert!(found.ends_with("<blocked xmlns='urn:xmpp:blocking:errors'/></error>"), "{found}");
    }

    #[test]
    fn stream_errors_can_stand_alone() {
        let found = text(|out| stream_error(out, StreamCondition::Conflict, None, true));
        let stanza = Stanza::parse(found.as_bytes()).unwrap();
        assert!(stanza.is("error", ns::STREAMS) && stanza.has_child("conflict", ns::STREAM_ERRORS));
        let bare = text(|out| stream_error(out, StreamCondition::Conflict, Some("t"), false));
        assert!(bare.starts_with("<stream:error><conflict "), "{bare}");
    }

    #[test]
    fn delay_and_stanza_id() {
        assert_eq!(
            text(|out| delay(out, "a.b", 1_000)),
            "<delay xmlns='urn:xmpp:delay' from='a.b' stamp='1970-01-01T00:00:01Z'/>"
        );
        assert_eq!(
            text(|out| stanza_id(out, "+1@b", 0xAB)),
            "<stanza-id xmlns='urn:xmpp:sid:0' by='+1@b' id='000000000000000000000000000000ab'/>"
        );
    }
}
