//! A client's slot request: XEP-0363 §4 with its purposes (§6), and the announced hash or URL (docs/protocol.md "Uploads").

use super::{Refusal, Uploads};
use chaski_store::media::{Content, Digest, Purpose, Source, file_name};
use chaski_xmpp::{ElementRef, StanzaCondition, ns};

/// The media type if the client gives none, or none that is valid by RFC 2045.
const ANY_TYPE: &str = "application/octet-stream";
/// Longest media type (RFC 4288 §4.2: 127 for each part).
const TYPE_BYTES_MAX: usize = 127;

/// The slot that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) file_name: Box<str>,
    pub(super) size: u64,
    pub(super) media_type: Box<str>,
    pub(super) purpose: Purpose,
    /// The hash of the content, if the client announces it.
    pub(super) sha256: Option<Digest>,
    /// A URL from which the content can be fetched, if the client announces one.
    url: Option<Box<str>>,
}

impl Wanted {
    pub(super) fn read(request: &ElementRef<'_>, uploads: &Uploads) -> Result<Self, Refusal> {
        let bad = Refusal::Condition(StanzaCondition::BadRequest);
        let name = request.attr("filename").filter(|name| !name.is_empty()).ok_or(bad)?;
        let size = request.attr("size").and_then(|size| size.trim().parse().ok()).filter(|size| *size > 0);
        let size: u64 = size.ok_or(bad)?;
        if size > uploads.max_file_bytes {
            return Err(Refusal::TooLarge);
        }
        let (sha256, url) = match request.child("content", ns::MEDIA) {
            Some(content) => read_content(&content).ok_or(bad)?,
            None => (None, None),
        };
        Ok(Self {
            file_name: file_name::sanitised(&name).into(),
            size,
            media_type: media_type(request.attr("content-type").as_deref().unwrap_or_default()).into(),
            purpose: purpose(request)?,
            sha256,
            url,
        })
    }

    /// Where the server has the content, according to the client.
    pub(super) fn source(&self, uploads: &Uploads) -> Option<Source> {
        if let Some(url) = &self.url {
            return uploads.name_in(url).map(Source::Named);
        }
        self.sha256.map(|sha256| Source::Own(Content { sha256, size: self.size }))
    }

    /// Whether this content is the announced one, as far as the client has announced it.
    pub(super) fn is(&self, content: &Content) -> bool {
        content.size == self.size && self.sha256.is_none_or(|sha256| sha256 == content.sha256)
    }
}

/// The announced hash (XEP-0300) and URL.
fn read_content(content: &ElementRef<'_>) -> Option<(Option<Digest>, Option<Box<str>>)> {
    let hashes = content.children().filter(|child| child.is("hash", ns::HASHES));
    let mut ours = hashes.filter(|hash| hash.attr("algo").as_deref() == Some("sha-256"));
    let sha256 = match ours.next() {
        Some(hash) => {
            let digest = chaski_xmpp::sasl::base64::decode(hash.text().trim()).ok().flatten()?;
            Some(Digest::try_from(digest).ok()?)
        }
        None => None,
    };
    Some((sha256, content.attr("url").map(|url| url.as_ref().into())))
}

/// The purpose of the slot; without one it is for a message. A purpose that the server could not keep its meaning of is not
/// announced, and is refused.
fn purpose(request: &ElementRef<'_>) -> Result<Purpose, Refusal> {
    let mut purposes = request.children().filter(|child| child.ns() == ns::UPLOAD_PURPOSE);
    match purposes.next().map(|purpose| purpose.name()) {
        None | Some("message") => Ok(Purpose::Message),
        Some("profile") => Ok(Purpose::Profile),
        Some(_) => Err(Refusal::Condition(StanzaCondition::FeatureNotImplemented)),
    }
}

/// The type without its parameters, in small letters.
fn media_type(text: &str) -> String {
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match essence.split_once('/') {
        Some((kind, name)) if is_token(kind) && is_token(name) && essence.len() <= TYPE_BYTES_MAX => essence,
        _ => ANY_TYPE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_may_be() {
        for (text, read) in [
            ("image/jpeg", "image/jpeg"),
            ("Audio/OGG; codecs=opus", "audio/ogg"),
            ("image/svg+xml", "image/svg+xml"),
            ("", ANY_TYPE),
            ("image", ANY_TYPE),
            ("image/", ANY_TYPE),
            ("image/jpeg\r\nX: y", ANY_TYPE),
            ("text/html,text/plain", ANY_TYPE),
        ] {
            assert_eq!(media_type(text), read, "{text:?}");
        }
        assert_eq!(media_type(&format!("a/{}", "b".repeat(200))), ANY_TYPE);
    }
}
