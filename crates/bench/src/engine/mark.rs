//! What a load's stanzas look like, and how they are known again: a mark at the beginning of the text, which no server
//! changes, and looking for it by byte searches, because the generator's processor time is the server's too.

use super::digits;
use crate::accounts::Number;
use std::io::Write;

/// Identifies a message: of which run, intended when, which in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) run: u32,
    pub(crate) intended_us: u64,
    pub(crate) number: u32,
}

/// What a top-level element is to a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// `<r/>`
    Request,
    /// `<a h='…'/>`
    Ack(u32),
    /// A message of ours.
    Message(Mark),
    /// Somebody's status, of ours.
    Status(Mark),
    /// A message of ours that comes back as an error: its number.
    Refused(u32),
    /// A question that wants an answer.
    Question,
    /// Any other stanza.
    Stanza,
    /// The server ends the stream.
    StreamError,
    /// Anything else.
    Other,
}

/// Longest text.
pub(crate) const BODY_BYTES_MAX: usize = 8_000;

/// Appends a message with a text of about `body_bytes`, at least long enough for the mark.
pub(crate) fn write_message(out: &mut Vec<u8>, to: Number, domain: &str, mark: Mark, body_bytes: usize) {
    let Mark { run, intended_us, number } = mark;
    out.extend_from_slice(b"<message to='");
    to.write(out);
    out.push(b'@');
    out.extend_from_slice(domain.as_bytes());
    out.extend_from_slice(b"' type='chat' id='chb-");
    digits::write_hex(out, run);
    out.push(b'-');
    digits::write_hex(out, number);
    out.extend_from_slice(b"'><body>");
    let start = out.len();
    digits::write_hex(out, run);
    out.push(b'.');
    digits::write_decimal(out, intended_us, 1);
    out.push(b'.');
    digits::write_hex(out, number);
    out.push(b' ');
    let end = start + body_bytes.min(BODY_BYTES_MAX);
    if out.len() < end {
        out.resize(end, b'x');
    }
    out.extend_from_slice(b"</body></message>");
}

/// Appends a notification that somebody types (XEP-0085).
pub(crate) fn write_typing(out: &mut Vec<u8>, to: Number, domain: &str, is_over: bool) {
    let state = if is_over { "paused" } else { "composing" };
    write!(
        out,
        "<message to='{to}@{domain}' type='chat'><{state} xmlns='http://jabber.org/protocol/chatstates'/></message>"
    )
    .expect("a vector takes everything");
}

/// Appends a new status for everybody who may see it.
pub(crate) fn write_status(out: &mut Vec<u8>, mark: Mark) {
    let Mark { run, intended_us, number } = mark;
    write!(out, "<presence><show>away</show><status>{run:08x}.{intended_us}.{number:08x} is my status</status></presence>")
        .expect("a vector takes everything");
}

/// Appends a step of a subscription (RFC 6121 §3.1).
pub(crate) fn write_subscription(out: &mut Vec<u8>, to: Number, domain: &str, kind: &str) {
    write!(out, "<presence to='{to}@{domain}' type='{kind}'/>").expect("a vector takes everything");
}

/// Says what an element is.
pub(crate) fn see(frame: &[u8]) -> Seen {
    let name_end = frame.iter().position(|b| matches!(b, b' ' | b'/' | b'>' | b'\n')).unwrap_or(frame.len());
    match frame.get(1..name_end).unwrap_or_default() {
        b"message" => see_message(frame),
        b"r" => Seen::Request,
        b"a" => attribute(frame, b"h").and_then(number).map_or(Seen::Other, Seen::Ack),
        b"presence" => read_mark(frame, b"<status>").map_or(Seen::Stanza, Seen::Status),
        b"iq" => match attribute(frame, b"type") {
            Some(b"get" | b"set") => Seen::Question,
            _ => Seen::Stanza,
        },
        b"stream:error" | b"error" => Seen::StreamError,
        _ => Seen::Other,
    }
}

fn see_message(frame: &[u8]) -> Seen {
    let is_error = attribute(frame, b"type") == Some(b"error");
    if is_error {
        let id = attribute(frame, b"id").and_then(|id| id.strip_prefix(b"chb-"));
        let hex = id.and_then(|id| id.get(9..)).and_then(|hex| std::str::from_utf8(hex).ok());
        return hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()).map_or(Seen::Stanza, Seen::Refused);
    }
    read_mark(frame, b"<body>").map_or(Seen::Stanza, Seen::Message)
}

fn read_mark(frame: &[u8], tag: &[u8]) -> Option<Mark> {
    // Hardly a stanza has many tags, and looking for a byte needs no preparation.
    let at = memchr::memchr_iter(b'<', frame).find(|&at| frame[at..].starts_with(tag))?;
    let start = at + tag.len();
    let text = frame.get(start..)?;
    let end = text.iter().take(64).position(|&b| b == b' ')?;
    let mut parts = std::str::from_utf8(&text[..end]).ok()?.split('.');
    let hex = |part: Option<&str>| u32::from_str_radix(part?, 16).ok();
    let run = hex(parts.next())?;
    let intended_us = parts.next()?.parse().ok()?;
    Some(Mark { run, intended_us, number: hex(parts.next())? })
}

/// The value of an attribute of the start tag.
pub(crate) fn attribute<'a>(frame: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut pos = frame.iter().position(|b| matches!(b, b' ' | b'>'))?;
    loop {
        while frame.get(pos)?.is_ascii_whitespace() {
            pos += 1;
        }
        let rest = &frame[pos..];
        if matches!(rest[0], b'>' | b'/') {
            return None;
        }
        let equals = memchr::memchr(b'=', rest)?;
        let quote = *rest.get(equals + 1)?;
        let value = rest.get(equals + 2..)?;
        let end = memchr::memchr(quote, value)?;
        if &rest[..equals] == name {
            return Some(&value[..end]);
        }
        pos += equals + 2 + end + 1;
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_again() {
        let mark = Mark { run: 0xABC, intended_us: 123_456, number: 77 };
        let mut out = Vec::new();
        write_message(&mut out, Number(1), "localhost", mark, 100);
        let begin = "<message to='+19990000001@localhost' type='chat' id='chb-00000abc-0000004d'>\
                     <body>00000abc.123456.0000004d x";
        assert!(out.starts_with(begin.as_bytes()), "{}", String::from_utf8_lossy(&out));
        assert_eq!(see(&out), Seen::Message(mark));
        let body = out.len() - "</body></message>".len() - memchr::memmem::find(&out, b"<body>").unwrap() - 6;
        assert_eq!(body, 100);
        let text = String::from_utf8(out).unwrap().replace("'chat'", "\"error\"");
        assert_eq!(see(text.as_bytes()), Seen::Refused(77));
    }

    #[test]
    fn a_status_is_known_again() {
        let mark = Mark { run: 0xABC, intended_us: 123_456, number: 77 };
        let mut out = Vec::new();
        write_status(&mut out, mark);
        assert_eq!(see(&out), Seen::Status(mark));
        out.clear();
        write_subscription(&mut out, Number(1), "localhost", "subscribe");
        assert_eq!(see(&out), Seen::Stanza);
    }

    #[test]
    fn elements_are_told_apart() {
        for (frame, seen) in [
            ("<r xmlns='urn:xmpp:sm:3'/>", Seen::Request),
            ("<a xmlns=\"urn:xmpp:sm:3\" h=\"17\"/>", Seen::Ack(17)),
            ("<a xmlns='urn:xmpp:sm:3'/>", Seen::Other),
            ("<presence from='a'/>", Seen::Stanza),
            ("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", Seen::Question),
            ("<iq id='type=' type='result'/>", Seen::Stanza),
            ("<message type='chat'><body>hello</body></message>", Seen::Stanza),
            ("<message type='error' id='other'/>", Seen::Stanza),
            ("<message type='error' id='chb-'/>", Seen::Stanza),
            ("<stream:error><conflict/></stream:error>", Seen::StreamError),
            ("<success/>", Seen::Other),
            ("<message", Seen::Stanza),
            ("", Seen::Other),
        ] {
            assert_eq!(see(frame.as_bytes()), seen, "{frame}");
        }
    }
}
