//! Where a file is, said in XMPP: slots to upload it to (XEP-0363, and docs/protocol.md "Uploads"), and messages that share it
//! (XEP-0066 for everybody; XEP-0447 with 0446 and 0264 for who shows more of it).
//!
//! Called by `chaski-chat`. Pure.

use crate::message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaski_xmpp::write::{self, Header, Writer};
use chaski_xmpp::{Kind, Stanza, ns};

/// XEP-0447.
const SHARING: &str = "urn:xmpp:sfs:0";
/// XEP-0446.
const METADATA: &str = "urn:xmpp:file:metadata:0";
/// XEP-0264.
const THUMBS: &str = "urn:xmpp:thumbs:1";
/// XEP-0103.
const URL_DATA: &str = "http://jabber.org/protocol/url-data";
/// XEP-0428.
const FALLBACK: &str = "urn:xmpp:fallback:0";
/// How wide a small picture is, for those who draw one before they fetch the whole.
const THUMBNAIL_WIDTH: u32 = 256;

/// A file that is to be shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// What it is called.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
    /// What it is.
    pub media_type: &'static str,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
}

/// What the service for uploads does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Largest file, if it says so.
    pub max_file_bytes: Option<u64>,
    /// It can be told a hash, and makes small pictures.
    pub is_chaski: bool,
}

/// Where to put a file, and where it is found then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Where to put it.
    pub put: String,
    /// Headers that are to be sent along.
    pub headers: Vec<(String, String)>,
    /// Where it is found.
    pub get: String,
    /// Nothing needs to be put: it is there.
    pub is_finished: bool,
}

/// Asks what the service does.
pub fn ask_service(host: &str, id: &str) -> Vec<u8> {
    request(host, id, |writer| _ = writer.open_ns("query", ns::DISCO_INFO).close())
}

/// Asks for a slot. The hash is said to whoever knows what to do with it.
pub fn ask_slot(host: &str, id: &str, file: &Shared, service: &Service) -> Vec<u8> {
    let (size, hash) = (file.size.to_string(), STANDARD.encode(file.sha256));
    request(host, id, |writer| {
        writer.open_ns("request", ns::UPLOAD).attr("filename", &file.name).attr("size", &size);
        writer.attr("content-type", file.media_type);
        if service.is_chaski {
            writer.open_ns("content", ns::MEDIA).open_ns("hash", ns::HASHES).attr("algo", "sha-256");
            writer.text(&hash).close().close();
        }
        writer.close();
    })
}

fn request(host: &str, id: &str, content: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut payload = Vec::new();
    content(&mut Writer::new(&mut payload));
    let mut out = Vec::new();
    let header = Header { from: None, to: Some(host), id: Some(id), type_attr: Some("get") };
    write::stanza(&mut out, Kind::Iq, &header, &payload);
    out
}

/// Reads what the service says of itself; `None`: it is no such service, or there is none.
pub fn read_service(answer: &Stanza<'_>) -> Option<Service> {
    let query = answer.child("query", ns::DISCO_INFO)?;
    let mut service = Service::default();
    let mut is_one = false;
    for child in query.children() {
        if child.is("feature", ns::DISCO_INFO) {
            let var = child.attr("var").unwrap_or_default();
            is_one |= var == ns::UPLOAD;
            service.is_chaski |= var == ns::MEDIA;
        }
        let fields = child.children().filter(|field| field.is("field", ns::DATA_FORMS));
        for field in fields.filter(|field| field.attr("var").as_deref() == Some("max-file-size")) {
            let most = field.child("value", ns::DATA_FORMS);
            service.max_file_bytes = most.and_then(|value| value.text().trim().parse().ok());
        }
    }
    is_one.then_some(service)
}

/// Reads a slot, or why there is none.
pub fn read_slot(answer: &Stanza<'_>) -> Result<Slot, String> {
    let Some(slot) = answer.child("slot", ns::UPLOAD) else { return Err(refusal(answer)) };
    let url = |name| Some(slot.child(name, ns::UPLOAD)?.attr("url")?.into_owned());
    let (Some(put), Some(get)) = (url("put"), url("get")) else {
        return Err("its answer names no URL".into());
    };
    let put_element = slot.child("put", ns::UPLOAD);
    // No other may be sent (XEP-0363 §5).
    let allowed = ["authorization", "cookie", "expires"];
    let headers = put_element.iter().flat_map(|put| put.children()).filter_map(|header| {
        let name = header.attr("name")?.to_ascii_lowercase();
        let value = header.text().replace(['\r', '\n'], "");
        allowed.contains(&name.as_str()).then_some((name, value))
    });
    let headers = headers.collect();
    Ok(Slot { put, get, headers, is_finished: slot.child("finished", ns::MEDIA).is_some() })
}

/// Why there is none, for a person.
fn refusal(answer: &Stanza<'_>) -> String {
    let Some(error) = answer.child("error", ns::CLIENT) else { return "its answer is none".into() };
    let said = error.child("text", ns::STANZA_ERRORS).map(|text| text.text().into_owned());
    let condition = error.children().find(|child| child.ns() == ns::STANZA_ERRORS && child.name() != "text");
    let why = said.or_else(|| condition.map(|condition| condition.name().to_owned()));
    let why = why.unwrap_or_else(|| "it does not say why".into());
    match error.child("retry", ns::UPLOAD).and_then(|retry| Some(retry.attr("stamp")?.into_owned())) {
        Some(stamp) => format!("{why}; it can be tried again at {stamp}"),
        None => why,
    }
}

/// A message that shares a file which can be had at this URL.
pub fn message(to: &str, id: &str, url: &str, file: &Shared, service: &Service) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    let mut writer = Writer::new(&mut out);
    let header = Header { from: None, to: Some(to), id: Some(id), type_attr: Some("chat") };
    header.open(&mut writer, Kind::Message);
    writer.leaf("body", url);
    writer.open_ns("x", message::OOB).leaf("url", url).close();
    let is_shown = ["image/", "audio/", "video/"].iter().any(|kind| file.media_type.starts_with(kind));
    writer.open_ns("file-sharing", SHARING);
    writer.attr("disposition", if is_shown { "inline" } else { "attachment" });
    writer.open_ns("file", METADATA);
    writer.leaf("media-type", file.media_type).leaf("name", &file.name);
    writer.leaf("size", &file.size.to_string());
    writer.open_ns("hash", ns::HASHES).attr("algo", "sha-256").text(&STANDARD.encode(file.sha256)).close();
    if service.is_chaski && has_thumbnail(file.media_type) {
        writer.open_ns("thumbnail", THUMBS).attr("uri", &format!("{url}?w={THUMBNAIL_WIDTH}")).close();
    }
    writer.close().open("sources").open_ns("url-data", URL_DATA).attr("target", url).close().close().close();
    // For whoever shows the file, the text is the file once more.
    writer.open_ns("fallback", FALLBACK).attr("for", SHARING).open("body").close().close();
    writer.open_ns("request", ns::RECEIPTS).close();
    writer.open_ns("markable", ns::MARKERS).close();
    writer.close();
    drop(writer);
    out
}

fn has_thumbnail(media_type: &str) -> bool {
    matches!(media_type, "image/jpeg" | "image/png" | "image/webp" | "image/gif")
}

/// What a file is, by its name: which is what other clients go by too.
pub fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "svg" => "image/svg+xml",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "m4a" => "audio/mp4",
        "mp3" => "audio/mpeg",
        "aac" => "audio/aac",
        "amr" => "audio/amr",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "3gp" => "video/3gpp",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Shared {
        Shared { name: "a & b.jpg".into(), size: 5, media_type: media_type("a & b.JPG"), sha256: [7; 32] }
    }

    #[test]
    fn a_hash_is_said_to_whoever_knows_it() {
        let theirs = Service::default();
        let ours = Service { is_chaski: true, ..Service::default() };
        let ask = |service| String::from_utf8(ask_slot("upload.x", "i", &file(), service)).unwrap();
        assert!(ask(&ours).contains("<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>BwcH"), "{}", ask(&ours));
        assert!(!ask(&theirs).contains("hash") && ask(&theirs).contains("filename='a &amp; b.jpg' size='5'"));
        let shared = message("+1@x", "i", "https://x/1/a.jpg", &file(), &ours);
        let read = message::Received::read(&Stanza::parse(&shared).unwrap()).unwrap();
        assert_eq!(
            (read.link.as_deref(), read.body.as_deref()),
            (Some("https://x/1/a.jpg"), read.link.as_deref())
        );
        assert!(read.markable && read.wants_receipt);
        let text = String::from_utf8(shared).unwrap();
        assert!(
            text.contains("<thumbnail xmlns='urn:xmpp:thumbs:1' uri='https://x/1/a.jpg?w=256'/>"),
            "{text}"
        );
        let plain = String::from_utf8(message("+1@x", "i", "https://x/1/a.jpg", &file(), &theirs)).unwrap();
        assert!(!plain.contains("thumbnail"));
    }

    #[test]
    fn services_slots_and_refusals_are_read() {
        let info = b"<iq type='result' id='i'><query xmlns='http://jabber.org/protocol/disco#info'>\
            <feature var='urn:xmpp:http:upload:0'/><feature var='urn:chaski:media:0'/><x xmlns='jabber:x:data' type='result'>\
            <field var='max-file-size'><value>100</value></field></x></query></iq>";
        let service = read_service(&Stanza::parse(info).unwrap()).unwrap();
        assert_eq!(service, Service { max_file_bytes: Some(100), is_chaski: true });
        assert_eq!(read_service(&Stanza::parse(b"<iq type='error' id='i'/>").unwrap()), None);
        let slot = b"<iq type='result' id='i'><slot xmlns='urn:xmpp:http:upload:0'><put url='https://x/p'>\
            <header name='Cookie'>a\nb</header><header name='X-Evil'>c</header></put><get url='https://x/g'/></slot></iq>";
        let slot = read_slot(&Stanza::parse(slot).unwrap()).unwrap();
        assert_eq!(
            (slot.put.as_str(), slot.get.as_str(), slot.is_finished),
            ("https://x/p", "https://x/g", false)
        );
        assert_eq!(slot.headers, [("cookie".to_owned(), "ab".to_owned())]);
        let full = b"<iq type='error' id='i'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
            <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>too much</text><retry xmlns='urn:xmpp:http:upload:0' stamp='T'/></error></iq>";
        let why = read_slot(&Stanza::parse(full).unwrap()).unwrap_err();
        assert_eq!(why, "too much; it can be tried again at T");
    }
}
