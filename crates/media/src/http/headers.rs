//! What is said of a file besides its bytes. Pure.
//!
//! Shown in a browser's window are pictures made of dots, sound and moving pictures. All else is offered to be saved: what may hold a
//! script (HTML, SVG, XML, PDF) would run as a page of ours.

use axum::http::{HeaderMap, HeaderValue, header};
use chaski_store::media::{Reference, file_name};

/// The pictures that are shown.
const PICTURES: [&str; 9] = ["apng", "avif", "bmp", "gif", "heic", "jpeg", "jxl", "png", "webp"];
const A_YEAR_S: u64 = 365 * 86_400;

/// The headers of a file, or of the news that a client has it already.
pub(super) fn of(reference: &Reference, now_unix_ms: u64) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    let mut put = |name, value: &str| {
        // Types and names were made fit when the slot was; what is not is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, &reference.media_type);
    put(header::CONTENT_DISPOSITION, &disposition(reference));
    put(header::ETAG, &etag(reference));
    put(header::CACHE_CONTROL, &caching(reference, now_unix_ms));
    put(header::ACCEPT_RANGES, "bytes");
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    put(header::REFERRER_POLICY, "no-referrer");
    headers
}

/// The reference's, not the content's: whoever has two URLs can't tell by it whether they lead to one object.
pub(super) fn etag(reference: &Reference) -> String {
    format!("\"{:x}-{:x}\"", reference.created_unix_ms, reference.content.size)
}

/// Whether a list of entity tags (RFC 9110 §13.1.2) has this one.
pub(super) fn has_tag(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// What is there does not change until it ends. No cache that many use keeps it: what is removed is to be gone.
fn caching(reference: &Reference, now_unix_ms: u64) -> String {
    let left_s = reference.expires_unix_ms.map_or(A_YEAR_S, |at| at.saturating_sub(now_unix_ms) / 1_000);
    format!("private, max-age={}, immutable", left_s.min(A_YEAR_S))
}

fn is_shown(media_type: &str) -> bool {
    match media_type.split_once('/') {
        Some(("image", kind)) => PICTURES.contains(&kind),
        Some(("audio" | "video", kind)) => !kind.contains("xml") && !kind.contains("mpegurl"),
        _ => false,
    }
}

/// RFC 6266, with the name as RFC 8187 has it, and without what is not ASCII for those who know only that.
fn disposition(reference: &Reference) -> String {
    let kind = if is_shown(&reference.media_type) { "inline" } else { "attachment" };
    let name = &reference.file_name;
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !"\"\\%".contains(c) || c == ' ' { c } else { '_' })
        .collect();
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", file_name::encoded(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_store::AccountId;
    use chaski_store::media::{Content, Name, ObjectId, Purpose};

    fn reference(media_type: &str, file_name: &str) -> Reference {
        Reference {
            name: Name(7),
            owner: AccountId::service("bot"),
            content: Content { sha256: [1; 32], size: 255 },
            object: ObjectId(9),
            place: "".into(),
            media_type: media_type.into(),
            file_name: file_name.into(),
            purpose: Purpose::Message,
            created_unix_ms: 4_096,
            expires_unix_ms: Some(100_000),
        }
    }

    #[test]
    fn only_what_holds_no_script_is_shown() {
        for shown in ["image/jpeg", "image/webp", "audio/ogg", "video/mp4"] {
            assert!(disposition(&reference(shown, "a")).starts_with("inline; "), "{shown}");
        }
        for saved in [
            "image/svg+xml",
            "text/html",
            "application/pdf",
            "application/octet-stream",
            "text/xml",
            "image/x-unknown",
            "video/x+xml",
            "text/javascript",
            "multipart/mixed",
            "",
            "IMAGE/JPEG2",
        ] {
            assert!(disposition(&reference(saved, "a")).starts_with("attachment; "), "{saved}");
        }
    }

    #[test]
    fn names_are_said_twice() {
        let said = disposition(&reference("image/png", "Grüße 100%.png"));
        assert_eq!(
            said,
            "inline; filename=\"Gr__e 100_.png\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20100%25.png"
        );
        let headers = of(&reference("image/png", "Grüße.png"), 40_000);
        assert_eq!(headers[header::ETAG], "\"1000-ff\"");
        assert_eq!(headers[header::CACHE_CONTROL], "private, max-age=60, immutable");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "default-src 'none'; sandbox");
        assert!(headers.len() == 8, "{headers:?}");
    }

    #[test]
    fn tags_are_found_in_lists() {
        for list in ["\"a\"", "\"b\", \"a\"", "W/\"a\"", "*", " \"a\" "] {
            assert!(has_tag(list, "\"a\""), "{list}");
        }
        for list in ["", "a", "\"A\"", "\"b\", W/\"c\""] {
            assert!(!has_tag(list, "\"a\""), "{list}");
        }
    }
}
