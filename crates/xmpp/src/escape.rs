//! Character data: legal characters (XML 1.0 §2.2), references and the five entities (§4.1, §4.6), and the
//! normalisation of line ends (§2.11) and attribute values (§3.3.3). Called by the readers and by [`mod@crate::write`].

use crate::stanza::ParseError;
use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// Whether XML 1.0 allows this character.
pub(crate) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether XML 1.0 allows every character of this UTF-8 text.
pub(crate) fn is_legal(text: &[u8]) -> bool {
    // Written so that it becomes vector code: no early exit.
    let is_control = |b: u8| (b < 0x20) & (b != b'\t') & (b != b'\n') & (b != b'\r');
    let (control, lead) =
        text.iter().fold((false, false), |(control, lead), &b| (control | is_control(b), lead | (b == 0xEF)));
    !(control || lead && has_noncharacter(text))
}

/// U+FFFE and U+FFFF.
#[cold]
fn has_noncharacter(text: &[u8]) -> bool {
    text.windows(3).any(|w| w[0] == 0xEF && w[1] == 0xBF && w[2] >= 0xBE)
}

/// Reads the reference at the beginning of `text` (which begins with `&`): its character and its length.
pub(crate) fn reference(text: &[u8]) -> Result<(char, usize), ParseError> {
    // The longest that means anything is "&#x10FFFF;" but leading zeros are legal: bound them all the same.
    let semicolon = memchr(b';', text.get(..32).unwrap_or(text)).ok_or(ParseError::NotWellFormed)?;
    let name = &text[1..semicolon];
    let c = match name {
        b"lt" => '<',
        b"gt" => '>',
        b"amp" => '&',
        b"apos" => '\'',
        b"quot" => '"',
        [b'#', b'x', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        [first, ..] if first.is_ascii_alphabetic() || *first == b'_' => return Err(ParseError::Restricted),
        _ => return Err(ParseError::NotWellFormed),
    };
    Ok((c, semicolon + 1))
}

fn number(digits: &[u8], radix: u32) -> Result<char, ParseError> {
    let mut value = 0u32;
    for &digit in digits {
        let digit = char::from(digit).to_digit(radix).ok_or(ParseError::NotWellFormed)?;
        value = (value.saturating_mul(radix)).saturating_add(digit);
    }
    // No digits leave U+0000, which is not legal either.
    char::from_u32(value).filter(|&c| is_char(c)).ok_or(ParseError::NotWellFormed)
}

/// The value of an attribute, from what stands between its quotes in a validated document.
pub(crate) fn attr_value(raw: &str) -> Cow<'_, str> {
    if !has_specials(raw) {
        return Cow::Borrowed(raw);
    }
    let is_special = |b: &u8| matches!(b, b'&' | b'\t' | b'\n' | b'\r');
    match raw.as_bytes().iter().position(is_special) {
        None => Cow::Borrowed(raw),
        Some(at) => Cow::Owned(resolve(raw, at, " ", true)),
    }
}

/// Character data of a validated document, outside of CDATA.
pub(crate) fn text_value(raw: &str) -> Cow<'_, str> {
    match memchr2(b'&', b'\r', raw.as_bytes()) {
        None => Cow::Borrowed(raw),
        Some(at) => Cow::Owned(resolve(raw, at, "\n", true)),
    }
}

/// The content of a CDATA section of a validated document.
pub(crate) fn cdata_value(raw: &str) -> Cow<'_, str> {
    match memchr(b'\r', raw.as_bytes()) {
        None => Cow::Borrowed(raw),
        Some(at) => Cow::Owned(resolve(raw, at, "\n", false)),
    }
}

/// Resolves references (if asked for) and turns line ends (and, for attributes, other white space) into `white`.
fn resolve(raw: &str, plain: usize, white: &str, references: bool) -> String {
    let mut value = String::with_capacity(raw.len());
    let (head, mut rest) = raw.split_at(plain);
    value.push_str(head);
    while let Some(c) = rest.chars().next() {
        let mut len = c.len_utf8();
        match c {
            '&' if references => match reference(rest.as_bytes()) {
                Ok((c, taken)) => {
                    value.push(c);
                    len = taken;
                }
                Err(_) => value.push('&'),
            },
            '\r' => {
                value.push_str(white);
                len += usize::from(rest.as_bytes().get(1) == Some(&b'\n'));
            }
            '\t' | '\n' if white == " " => value.push(' '),
            _ => value.push(c),
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    value
}

/// Whether the attribute value that stands as `raw` in a validated document is `expected`.
pub(crate) fn value_is(raw: &str, expected: &str) -> bool {
    // Resolving makes nothing longer, so most questions end here.
    if raw.len() < expected.len() {
        return false;
    }
    raw == expected || (has_specials(raw) && attr_value(raw) == expected)
}

fn has_specials(raw: &str) -> bool {
    // Without early exit: vector code.
    raw.bytes().fold(false, |found, b| found | (b == b'&') | (b < b' '))
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// How many bytes at the beginning, eight at a time, hold nothing that means anything in an attribute value or has to be
/// escaped. Text with blanks falls out of it early; addresses, ids and most values don't.
pub(crate) fn plain_prefix(text: &[u8]) -> usize {
    let (chunks, _) = text.as_chunks::<8>();
    8 * chunks.iter().take_while(|chunk| is_plain(u64::from_le_bytes(**chunk))).count()
}

/// Whether none of these eight bytes does.
fn is_plain(word: u64) -> bool {
    // The classical tests for "some byte of the word is 0" and "is less than n", for 7-bit n. Bytes from 0x28 upwards
    // mean nothing, but for '<' (0x3C), '>' (0x3E) and what may be the beginning of a noncharacter (0xEF).
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let low = word.wrapping_sub(ONES * 0x28) & !word;
    (low | zero((word | (ONES * 2)) ^ (ONES * 0x3E)) | zero(word ^ (ONES * 0xEF))) & HIGHS == 0
}

/// Appends `text` so that it reads back as it is, in content and between either quotes. Characters that XML does not
/// allow become U+FFFD: what we write must never break a client's stream.
pub(crate) fn escape_into(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let plain = plain_prefix(bytes);
    // The last eight bytes at once, some of them for the second time.
    if bytes.last_chunk().is_some_and(|last| bytes.len() - plain < 8 && is_plain(u64::from_le_bytes(*last))) {
        return out.extend_from_slice(bytes);
    }
    let mut done = 0;
    for (at, &b) in bytes.iter().enumerate().skip(plain) {
        let replacement: &[u8] = match b {
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'&' => b"&amp;",
            b'\'' => b"&apos;",
            b'"' => b"&quot;",
            b'\t' => b"&#9;",
            b'\n' => b"&#10;",
            b'\r' => b"&#13;",
            0..0x20 => "\u{FFFD}".as_bytes(),
            0xEF if bytes[at..].starts_with(b"\xEF\xBF\xBE") || bytes[at..].starts_with(b"\xEF\xBF\xBF") => {
                out.extend_from_slice(&bytes[done..at]);
                out.extend_from_slice("\u{FFFD}".as_bytes());
                done = at + 3;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[done..at]);
        out.extend_from_slice(replacement);
        done = at + 1;
    }
    out.extend_from_slice(&bytes[done..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve_or_are_refused() {
        assert_eq!(reference(b"&amp;x"), Ok(('&', 5)));
        assert_eq!(reference(b"&#x1F600;"), Ok(('😀', 9)));
        assert_eq!(reference(b"&#0010;"), Ok(('\n', 7)));
        for bad in
            ["&#0;", "&#;", "&#x;", "&#xD800;", "&#xFFFE;", "&#x110000;", "&;", "& ;", "&amp", "&#X41;"]
        {
            assert_eq!(reference(bad.as_bytes()), Err(ParseError::NotWellFormed), "{bad}");
        }
        assert_eq!(reference(b"&nbsp;"), Err(ParseError::Restricted));
    }

    #[test]
    fn values_are_normalised() {
        assert_eq!(attr_value("a\r\n\tb&#9;&#13;"), "a  b\t\r");
        assert_eq!(text_value("a\r\nb\rc\td&#13;&lt;"), "a\nb\nc\td\r<");
        assert_eq!(cdata_value("a&amp;\r\n"), "a&amp;\n");
        assert!(value_is("urn:xmpp:s&#105;d:0", "urn:xmpp:sid:0"));
        assert!(!value_is("urn:xmpp:s&#105;d:1", "urn:xmpp:sid:0"));
    }

    #[test]
    fn legality() {
        assert!(is_legal("a\t\r\n é \u{FFFD} \u{E000} 😀 \u{7F}".as_bytes()));
        for bad in ["\0", "a\u{1}", "\u{FFFE}", "x\u{FFFF}y"] {
            assert!(!is_legal(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn plain_bytes_are_told_by_eights() {
        assert_eq!(plain_prefix(b"+15551230001@chaski.example/phone"), 32);
        for special in "<>&'\"\t\n\r \0\u{FFFE}".chars() {
            for at in 0..8 {
                let text = format!("01234567{}{special}01234567", &"abcdefg"[..at]);
                assert_eq!(plain_prefix(text.as_bytes()), 8, "{text:?}");
            }
        }
        assert_eq!(plain_prefix("日本語éñ\u{7F}012345".as_bytes()), 16);
    }

    #[test]
    fn what_is_escaped_reads_back() {
        let text = "<a b='c' d=\"e\">&\t\r\n é\u{1}\u{FFFE}\u{FFFF}z";
        let mut out = Vec::new();
        escape_into(text, &mut out);
        assert!(is_legal(&out));
        let raw = String::from_utf8(out).unwrap();
        let expected = text.replace(['\u{1}', '\u{FFFE}', '\u{FFFF}'], "\u{FFFD}");
        assert_eq!(attr_value(&raw), expected);
        assert_eq!(text_value(&raw), expected);
    }
}
