//! The elements of XEP-0198: reading and writing.

use crate::element::ElementRef;
use crate::error::StanzaCondition;
use crate::ns;
use crate::write::Writer;
use std::borrow::Cow;

/// Longest id of a session that a client may name.
const PREVID_BYTES_MAX: usize = 256;

/// What a peer says, either side's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nonza<'a> {
    /// `<enable/>`
    Enable {
        /// Whether the session is to be resumable.
        resume: bool,
        /// For how many seconds, if the client has a wish.
        max: Option<u32>,
    },
    /// `<enabled/>`
    Enabled {
        /// The session's id, if it can be resumed.
        id: Option<Cow<'a, str>>,
        /// Whether it can be resumed.
        resume: bool,
        /// For how many seconds.
        max: Option<u32>,
    },
    /// `<r/>`
    Request,
    /// `<a/>`
    Ack {
        /// Stanzas handled.
        h: u32,
    },
    /// `<resume/>`
    Resume {
        /// Which session.
        previd: Cow<'a, str>,
        /// Stanzas handled.
        h: u32,
    },
    /// `<resumed/>`
    Resumed {
        /// Which session.
        previd: Cow<'a, str>,
        /// Stanzas handled.
        h: u32,
    },
    /// `<failed/>`
    Failed {
        /// Stanzas handled of the lost session, if that is known.
        h: Option<u32>,
    },
}

/// An element of the namespace that is none of XEP-0198's or lacks what it must have: bad-request for a client that
/// asked for something, else the stream error bad-format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed stream management element")]
pub struct Malformed;

impl<'a> Nonza<'a> {
    /// Reads an element. `None` if it is of another namespace.
    pub fn parse(element: &ElementRef<'a>) -> Option<Result<Self, Malformed>> {
        (element.ns() == ns::SM).then(|| Self::parse_ours(element).ok_or(Malformed))
    }

    /// Reads `<r/>` or `<a/>` in the plain words in which clients write them: nothing but `xmlns` and `h`, no references. They are half of
    /// what a server is sent, so it is worth knowing them without parsing. `None`: anything else, which [`Self::parse`] is for.
    pub fn parse_plain(bytes: &[u8]) -> Option<Self> {
        let (is_ack, mut rest) = match bytes {
            [b'<', b'a', b' ', rest @ ..] => (true, rest),
            [b'<', b'r', b' ', rest @ ..] => (false, rest),
            _ => return None,
        };
        let (mut h, mut is_ours) = (None, false);
        loop {
            rest = match rest {
                b"/>" => break,
                [b'x', b'm', b'l', b'n', b's', b'=', value @ ..] if !is_ours => {
                    let (value, rest) = quoted(value)?;
                    is_ours = value == ns::SM.as_bytes();
                    rest
                }
                [b'h', b'=', value @ ..] if is_ack && h.is_none() => {
                    let (value, rest) = quoted(value)?;
                    h = Some(parse_number(std::str::from_utf8(value).ok()?)?);
                    rest
                }
                _ => return None,
            };
            rest = match rest {
                [b' ', rest @ ..] => rest,
                _ if rest == b"/>" => rest,
                _ => return None,
            };
        }
        match (is_ours, is_ack, h) {
            (true, true, Some(h)) => Some(Self::Ack { h }),
            (true, false, None) => Some(Self::Request),
            _ => None,
        }
    }

    fn parse_ours(element: &ElementRef<'a>) -> Option<Self> {
        let number = |name: &str| match element.attr(name) {
            None => Some(None),
            Some(text) => parse_number(&text).map(Some),
        };
        let previd = || element.attr("previd").filter(|id| (1..=PREVID_BYTES_MAX).contains(&id.len()));
        // Some clients ask for less than a day in strange units: a wish that can't be read is no wish.
        let max = || number("max").flatten();
        Some(match element.name() {
            "enable" => Self::Enable { resume: flag(element)?, max: max() },
            "enabled" => Self::Enabled { id: element.attr("id"), resume: flag(element)?, max: max() },
            "r" => Self::Request,
            "a" => Self::Ack { h: number("h")?? },
            "resume" => Self::Resume { previd: previd()?, h: number("h")?? },
            "resumed" => Self::Resumed { previd: previd()?, h: number("h")?? },
            "failed" => Self::Failed { h: number("h")? },
            _ => return None,
        })
    }
}

/// What stands between the quotes at the beginning of `text`, and what is behind them.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (quote, rest) = text.split_first().filter(|(quote, _)| matches!(quote, b'\'' | b'"'))?;
    let end = rest.iter().position(|byte| byte == quote)?;
    Some((&rest[..end], &rest[end + 1..]))
}

/// `xs:boolean`, false if absent.
fn flag(element: &ElementRef<'_>) -> Option<bool> {
    match element.attr("resume").as_deref() {
        None | Some("false" | "0") => Some(false),
        Some("true" | "1") => Some(true),
        Some(_) => None,
    }
}

/// `xs:unsignedInt`, digits only.
fn parse_number(text: &str) -> Option<u32> {
    (text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Appends `<a/>`.
pub fn write_ack(out: &mut Vec<u8>, h: u32) {
    out.extend_from_slice(b"<a xmlns='urn:xmpp:sm:3' h='");
    out.extend_from_slice(itoa::Buffer::new().format(h).as_bytes());
    out.extend_from_slice(b"'/>");
}

/// Appends `<r/>`.
pub fn write_request(out: &mut Vec<u8>) {
    out.extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
}

/// Appends `<enable/>` that asks for a resumable session or not.
pub fn write_enable(out: &mut Vec<u8>, resume: bool) {
    let mut writer = Writer::new(out);
    writer.open_ns("enable", ns::SM).attr_opt("resume", resume.then_some("true")).close();
}

/// Appends `<enabled/>`: resumable under `id` for `max_s` seconds, or not resumable.
pub fn write_enabled(out: &mut Vec<u8>, resume: Option<(&str, u32)>) {
    let mut writer = Writer::new(out);
    writer.open_ns("enabled", ns::SM);
    if let Some((id, max_s)) = resume {
        writer.attr("id", id).attr("resume", "true").attr("max", &max_s.to_string());
    }
    writer.close();
}

/// Appends `<resume/>`.
pub fn write_resume(out: &mut Vec<u8>, previd: &str, h: u32) {
    let mut writer = Writer::new(out);
    writer.open_ns("resume", ns::SM).attr("previd", previd).attr("h", &h.to_string()).close();
}

/// Appends `<resumed/>`.
pub fn write_resumed(out: &mut Vec<u8>, previd: &str, h: u32) {
    let mut writer = Writer::new(out);
    writer.open_ns("resumed", ns::SM).attr("previd", previd).attr("h", &h.to_string()).close();
}

/// Appends `<failed/>` with the reason, and what was handled of a session that is lost if that is known.
pub fn write_failed(out: &mut Vec<u8>, condition: StanzaCondition, h: Option<u32>) {
    let h = h.map(|h| h.to_string());
    let mut writer = Writer::new(out);
    writer.open_ns("failed", ns::SM).attr_opt("h", h.as_deref());
    writer.open_ns(condition.name(), ns::STANZA_ERRORS).close().close();
}

/// Appends the stream error of [`super::TooHigh`] (XEP-0198 §4). `standalone` as in [`crate::write::stream_error`].
pub fn too_high_error(out: &mut Vec<u8>, h: u32, sent: u32, standalone: bool) {
    let (h, sent) = (h.to_string(), sent.to_string());
    let mut writer = Writer::new(out);
    writer.open("stream:error");
    if standalone {
        writer.attr("xmlns:stream", ns::STREAMS);
    }
    writer.open_ns("undefined-condition", ns::STREAM_ERRORS).close();
    writer.open_ns("handled-count-too-high", ns::SM).attr("h", &h).attr("send-count", &sent).close().close();
}
