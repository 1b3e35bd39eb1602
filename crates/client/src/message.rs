//! Chat messages: writing them, and reading what matters to a person (RFC 6121 §5, XEP-0066, 0080, 0184, 0203, 0333, 0359).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaski_xmpp::write::{self, Header, Writer};
use chaski_xmpp::{Kind, Stanza, ns};

/// XEP-0066: a link out of band.
pub const OOB: &str = "jabber:x:oob";
/// XEP-0080.
pub const GEOLOC: &str = "http://jabber.org/protocol/geoloc";

/// An id that nobody else uses, long enough for servers to know a message again by it.
pub fn new_id() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 15]>())
}

/// A text, which asks for a receipt and for a displayed marker.
pub fn chat(to: &str, id: &str, body: &str) -> Vec<u8> {
    write_message(to, id, |writer| {
        writer.leaf("body", body);
        writer.open_ns("request", ns::RECEIPTS).close();
        writer.open_ns("markable", ns::MARKERS).close();
    })
}

/// A link to a file or voice note, in the form that other clients show.
pub fn link(to: &str, id: &str, url: &str) -> Vec<u8> {
    write_message(to, id, |writer| {
        writer.leaf("body", url);
        writer.open_ns("x", OOB).leaf("url", url).close();
        writer.open_ns("request", ns::RECEIPTS).close();
        writer.open_ns("markable", ns::MARKERS).close();
    })
}

/// Says that the message `about` has arrived on this device (XEP-0184).
pub fn receipt(to: &str, id: &str, about: &str) -> Vec<u8> {
    write_message(to, id, |writer| {
        writer.open_ns("received", ns::RECEIPTS).attr("id", about).close();
    })
}

/// Says that a person has seen `about` and everything before it (XEP-0333).
pub fn displayed(to: &str, id: &str, about: &str) -> Vec<u8> {
    write_message(to, id, |writer| {
        writer.open_ns("displayed", ns::MARKERS).attr("id", about).close();
    })
}

/// Available presence, which is what makes messages come.
pub fn presence() -> Vec<u8> {
    let mut out = Vec::new();
    write::stanza(&mut out, Kind::Presence, &Header::default(), b"");
    out
}

fn write_message(to: &str, id: &str, content: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut out);
    Header { from: None, to: Some(to), id: Some(id), type_attr: Some("chat") }
        .open(&mut writer, Kind::Message);
    content(&mut writer);
    writer.close();
    drop(writer);
    out
}

/// What a message says. Texts are as they came: whoever shows them must take care of control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Full or bare JID of the sender.
    pub from: String,
    /// The sender's id.
    pub id: Option<String>,
    /// The text.
    pub body: Option<String>,
    /// The recipient's server's id (XEP-0359), by our own account.
    pub stanza_id: Option<String>,
    /// When it was accepted, if it has waited (XEP-0203).
    pub delayed: Option<String>,
    /// It wants a receipt.
    pub wants_receipt: bool,
    /// It wants a displayed marker.
    pub markable: bool,
    /// It is a receipt for this id.
    pub receipt_for: Option<String>,
    /// It says that this id has been displayed.
    pub displayed: Option<String>,
    /// It carries a link out of band.
    pub link: Option<String>,
    /// It carries a place: latitude and longitude.
    pub place: Option<(String, String)>,
    /// It is an error: condition and text.
    pub error: Option<(String, Option<String>)>,
}

impl Received {
    /// Reads a message; `None` if it is no message.
    pub fn read(stanza: &Stanza<'_>) -> Option<Self> {
        if stanza.kind() != Kind::Message {
            return None;
        }
        let own = |value: std::borrow::Cow<'_, str>| value.into_owned();
        let mut read = Self {
            from: stanza.from().map(own).unwrap_or_default(),
            id: stanza.id().map(own),
            ..Self::default()
        };
        let to = stanza.to().unwrap_or_default();
        let account = chaski_xmpp::jid::JidRef::split(&to);
        for child in stanza.children() {
            let id = || child.attr("id").map(own);
            match child.name() {
                "body" if child.ns() == ns::CLIENT => {
                    read.body = read.body.or(Some(child.text().into_owned()))
                }
                "request" => read.wants_receipt |= child.ns() == ns::RECEIPTS,
                "markable" => read.markable |= child.ns() == ns::MARKERS,
                "received" if child.ns() == ns::RECEIPTS => read.receipt_for = id(),
                "displayed" if child.ns() == ns::MARKERS => read.displayed = id(),
                "stanza-id" if child.ns() == ns::STANZA_ID && is_ours(&child, &account) => {
                    read.stanza_id = id()
                }
                "delay" if child.ns() == ns::DELAY => read.delayed = child.attr("stamp").map(own),
                "x" if child.ns() == OOB => {
                    read.link = child.child("url", OOB).map(|url| url.text().trim().to_owned());
                }
                "geoloc" if child.ns() == GEOLOC => read.place = place(&child),
                "error" if stanza.type_attr().as_deref() == Some("error") => read.error = Some(error(&child)),
                _ => {}
            }
        }
        Some(read)
    }
}

/// Whether a stanza-id was given by our own account.
fn is_ours(child: &chaski_xmpp::ElementRef<'_>, account: &chaski_xmpp::JidRef<'_>) -> bool {
    let by = child.attr("by").unwrap_or_default();
    let by = chaski_xmpp::jid::JidRef::split(&by);
    (by.local, by.domain, by.resource) == (account.local, account.domain, None)
}

fn place(geoloc: &chaski_xmpp::ElementRef<'_>) -> Option<(String, String)> {
    let part = |name| Some(geoloc.child(name, GEOLOC)?.text().trim().to_owned());
    Some((part("lat")?, part("lon")?))
}

fn error(element: &chaski_xmpp::ElementRef<'_>) -> (String, Option<String>) {
    let (mut condition, mut text) = (None, None);
    for child in element.children().filter(|child| child.ns() == ns::STANZA_ERRORS) {
        match child.name() {
            "text" => text = Some(child.text().into_owned()),
            name => condition = condition.or(Some(name.to_owned())),
        }
    }
    (condition.unwrap_or_else(|| "undefined-condition".into()), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Received {
        Received::read(&Stanza::parse(bytes).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let text = read(&chat("+1@x", "id-1", "Ñandú & <b>"));
        assert_eq!((text.id.as_deref(), text.body.as_deref()), (Some("id-1"), Some("Ñandú & <b>")));
        assert!(text.wants_receipt && text.markable && text.receipt_for.is_none());
        assert_eq!(read(&receipt("+1@x", "id-2", "id-1")).receipt_for.as_deref(), Some("id-1"));
        assert_eq!(read(&displayed("+1@x", "id-3", "id-1")).displayed.as_deref(), Some("id-1"));
        let note = read(&link("+1@x", "id-4", "https://x/voice.ogg"));
        assert_eq!(note.link, note.body);
        assert!(Received::read(&Stanza::parse(&presence()).unwrap()).is_none());
        assert!(new_id().len() >= 8 && new_id() != new_id());
    }

    #[test]
    fn only_our_own_servers_id_counts() {
        let message = |by: &str| {
            format!(
                "<message to='+1@x/phone' from='+2@x/a'><stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='s'/>\
                 <delay xmlns='urn:xmpp:delay' stamp='2024-01-01T00:00:00Z'/></message>"
            )
        };
        assert_eq!(read(message("+1@x").as_bytes()).stanza_id.as_deref(), Some("s"));
        assert_eq!(read(message("+2@x").as_bytes()).stanza_id, None);
        assert_eq!(read(message("+1@x").as_bytes()).delayed.as_deref(), Some("2024-01-01T00:00:00Z"));
    }

    #[test]
    fn errors_and_places() {
        let error = read(
            b"<message type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
              <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>full</text></error></message>",
        );
        assert_eq!(error.error, Some(("resource-constraint".into(), Some("full".into()))));
        let place = read(
            b"<message><geoloc xmlns='http://jabber.org/protocol/geoloc'><lat>-13.5</lat><lon>-71.9</lon></geoloc></message>",
        );
        assert_eq!(place.place, Some(("-13.5".into(), "-71.9".into())));
    }
}
