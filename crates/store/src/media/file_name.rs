//! What a file may be called, and how that stands in a URL.
//!
//! The name is a client's word that ends up in URLs, headers and file dialogs of other people: nothing in it may lead elsewhere or look
//! like something else. Pure. Used where slots are made and where files are served, so that both say the same.

use std::fmt::Write as _;

/// Longest name, in bytes of UTF-8.
pub const BYTES_MAX: usize = 120;
/// Longest ending that is kept when a name is cut.
const ENDING_BYTES_MAX: usize = 16;
/// What a file without a usable name is called.
const NAMELESS: &str = "file";

/// The name as it is kept: the last part of what may be a path, without what is not shown or turns the order of letters, not hidden, and
/// not too long, with its ending. Never empty.
pub fn sanitised(wanted: &str) -> String {
    let last = wanted.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|&c| !is_unfit(c)).collect();
    match cut(trimmed(&kept)) {
        name if name.is_empty() => NAMELESS.to_owned(),
        name => name,
    }
}

fn trimmed(name: &str) -> &str {
    name.trim_matches(|c: char| c == '.' || c.is_whitespace())
}

/// Control characters, marks of direction, what has no width, and what Windows does not take in a name.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
        || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')
}

fn cut(name: &str) -> String {
    if name.len() <= BYTES_MAX {
        return name.to_owned();
    }
    let (stem, ending) = match name.rfind('.') {
        Some(dot) if name.len() - dot <= ENDING_BYTES_MAX => name.split_at(dot),
        _ => (name, ""),
    };
    let mut end = (BYTES_MAX - ending.len()).min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    let name = format!("{}{ending}", &stem[..end]);
    trimmed(&name).to_owned()
}

/// Percent-encoded (RFC 3986 §2): all but letters, digits and `-._~`.
pub fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String can't fail.
            _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The inverse of [`encoded`], also for what a client has encoded otherwise. `None`: it is not the encoding of a text.
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let ([high, low], tail) = rest.split_first_chunk::<2>()?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_lead_nowhere() {
        for (wanted, kept) in [
            ("picture.jpg", "picture.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\romeo\\letter.pdf", "letter.pdf"),
            ("..", "file"),
            ("", "file"),
            ("/", "file"),
            (".htaccess", "htaccess"),
            ("a\r\nSet-Cookie: x=y", "aSet-Cookie x=y"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("Grüße aus Köln.png", "Grüße aus Köln.png"),
            ("a\0b\u{7f}.ogg ", "ab.ogg"),
            ("\"quoted\".txt", "quoted.txt"),
        ] {
            assert_eq!(sanitised(wanted), kept, "{wanted:?}");
        }
        let long = format!("{}.jpeg", "ü".repeat(300));
        let kept = sanitised(&long);
        assert!(kept.ends_with("ü.jpeg") && kept.len() <= BYTES_MAX && kept.len() > BYTES_MAX - 3, "{kept}");
        assert_eq!(sanitised(&"a".repeat(500)).len(), BYTES_MAX);
    }

    #[test]
    fn what_is_no_encoding_is_refused() {
        for bad in ["%", "%4", "%zz", "%C3", "a%+1"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
        assert_eq!(decoded("Gr%c3%bc%C3%9Fe+%41").as_deref(), Some("Grüße+A"));
    }

    proptest! {
        #[test]
        fn a_sanitised_name_stays_as_it_is(wanted in ".{0,300}") {
            let name = sanitised(&wanted);
            prop_assert_eq!(sanitised(&name), name.clone());
            prop_assert!(!name.is_empty() && name.len() <= BYTES_MAX);
            prop_assert!(!name.contains(['/', '\\', '"', '\r', '\n', '\0']));
            let encoded = encoded(&name);
            prop_assert!(encoded.is_ascii() && !encoded.contains(['/', '?', '#', '&', ' ']));
            prop_assert_eq!(decoded(&encoded), Some(name));
        }
    }
}
