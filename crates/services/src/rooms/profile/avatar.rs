//! The PEP items for a picture that came with a vCard (XEP-0398 §3.1).
//!
//! Pure.

use crate::account::photo::{Picture, is_shown};
use chaski_xmpp::ns;

/// The payloads for a picture that came with a vCard: data and metadata.
pub(super) fn payloads(picture: &Picture, mime: &str) -> (String, String) {
    let (text, id) = (&picture.text, picture.id());
    let data = format!("<data xmlns='{}'>{text}</data>", ns::AVATAR_DATA);
    let mime = picture.image.map_or(mime, |image| image.mime);
    let mut escaped = Vec::new();
    chaski_xmpp::write::escape(if is_shown(mime) { mime } else { "image/png" }, &mut escaped);
    let mime = String::from_utf8_lossy(&escaped);
    let size = picture.image.map(|image| format!(" width='{}' height='{}'", image.width, image.height));
    let metadata = format!(
        "<metadata xmlns='{}'><info id='{id}' bytes='{}' type='{mime}'{}/></metadata>",
        ns::AVATAR_METADATA,
        picture.bytes,
        size.unwrap_or_default()
    );
    (data, metadata)
}

/// The metadata of an account that shows no avatar (XEP-0084 §4.2.3).
pub(super) const NONE: &str = "<metadata xmlns='urn:xmpp:avatar:metadata'/>";
