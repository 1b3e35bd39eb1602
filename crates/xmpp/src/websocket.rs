//! WebSocket for XMPP: the frame codec of RFC 6455 (server side) and the framing of RFC 7395.
//!
//! Called by the edge for connections to `/ws`. Pure: the caller keeps the bytes and does what the events say. Bounds: a
//! message, whole or in fragments, has at most as many bytes as the decoder was told; control frames have 125. In a session
//! ([`Decoder::set_max_skipped`]) a larger message is read to its end, and no more of it is kept than its beginning.

use crate::ns;
use crate::stanza::{ParseError, Stanza};
use crate::write::Writer;
use sha1::{Digest, Sha1};
use std::borrow::Cow;

/// Why the connection is closed (RFC 6455 §7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// Done.
    Normal = 1000,
    /// The server stops.
    GoingAway = 1001,
    /// The peer broke the protocol.
    Protocol = 1002,
    /// A message of a kind that is not accepted (binary).
    Unacceptable = 1003,
    /// Text that is not UTF-8.
    InvalidData = 1007,
    /// Policy.
    Policy = 1008,
    /// The message is too large.
    TooLarge = 1009,
    /// The server failed.
    Internal = 1011,
}

/// What the peer has sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A whole text message, checked to be UTF-8.
    Text(&'b str),
    /// A text message that was larger than the bound (never without [`Decoder::set_max_skipped`]).
    Excess {
        /// Its beginning, not checked in any way: for [`crate::Husk::of_beginning`].
        beginning: &'b [u8],
        /// How long it was.
        bytes: usize,
    },
    /// Answer with [`encode_pong`] and the same payload.
    Ping(&'b [u8]),
    /// The answer to a ping.
    Pong(&'b [u8]),
    /// The peer closes: answer with [`encode_close`] and the same code, then close the socket. No more events follow.
    Close(Option<u16>),
}

/// The peer broke the protocol: answer with [`encode_close`] and this code, then close the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("WebSocket protocol violation: {0:?}")]
pub struct Violation(pub CloseCode);

impl Violation {
    const PROTOCOL: Self = Self(CloseCode::Protocol);
}

/// Reads frames of one client. Holds the pieces of a fragmented message and nothing else.
#[derive(Debug)]
pub struct Decoder {
    max_bytes: usize,
    /// Most bytes of a message that is read to its end and not kept; 0: none is.
    max_skipped: usize,
    /// What has come of a fragmented message, or the beginning of one that is too large.
    fragments: Vec<u8>,
    /// How long a message that is too large has become.
    skipped: usize,
    /// What is still to come of the frame at hand of such a message.
    rest: Rest,
    state: Fragmented,
}

/// A frame whose payload is not kept.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    bytes: usize,
    /// As it applies to the next byte.
    mask: [u8; 4],
    fin: bool,
}

/// Most bytes of the beginning of a message that is too large.
const BEGINNING_BYTES: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fragmented {
    /// No fragmented message is under way.
    No,
    /// More fragments are to come.
    Open,
    /// The message was given out and is to be dropped.
    Done,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// A frame's header.
struct FrameHead {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Where the payload begins.
    start: usize,
    /// Where it ends.
    end: usize,
}

impl Decoder {
    /// With a bound on a message's bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            max_skipped: 0,
            fragments: Vec::new(),
            skipped: 0,
            rest: Rest::default(),
            state: Fragmented::No,
        }
    }

    /// From now on a message over the bound ends nothing, unless it has more than so many bytes.
    pub fn set_max_skipped(&mut self, max_skipped: usize) {
        self.max_skipped = max_skipped;
    }

    /// Changes the bound.
    pub fn set_max_bytes(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// Looks for the next event at the beginning of `buf` (payload is unmasked in place). Returns how many bytes to
    /// consume and the event, if any: `(0, None)` means more bytes are needed; `(n, None)` means a fragment was taken, call again.
    pub fn next<'b>(&'b mut self, buf: &'b mut [u8]) -> Result<(usize, Option<Event<'b>>), Violation> {
        if self.state == Fragmented::Done {
            self.state = Fragmented::No;
            self.fragments = Vec::new();
            self.skipped = 0;
        }
        if self.rest.bytes > 0 {
            return Ok(self.skip(buf));
        }
        let Some(head) = self.head(buf)? else { return Ok((0, None)) };
        if head.opcode < CLOSE && (self.skipped > 0 || head.end - head.start > self.room()) {
            return Ok(self.skip_frame(&head, buf));
        }
        let Some(payload) = buf.get_mut(head.start..head.end) else { return Ok((0, None)) };
        unmask(payload, head.mask);
        let payload: &'b [u8] = payload;
        let event = match head.opcode {
            CLOSE => Some(Event::Close(close_code(payload)?)),
            PING => Some(Event::Ping(payload)),
            PONG => Some(Event::Pong(payload)),
            TEXT if head.fin => Some(Event::Text(text(payload)?)),
            _ => {
                self.fragments.extend_from_slice(payload);
                self.state = if head.fin { Fragmented::Done } else { Fragmented::Open };
                if head.fin { Some(Event::Text(text(&self.fragments)?)) } else { None }
            }
        };
        Ok((head.end, event))
    }

    /// How many more bytes the message at hand may have.
    fn room(&self) -> usize {
        self.max_bytes.saturating_sub(self.fragments.len())
    }

    /// A frame with which, or before which, its message has become too large.
    fn skip_frame<'b>(&'b mut self, head: &FrameHead, buf: &mut [u8]) -> (usize, Option<Event<'b>>) {
        let length = head.end - head.start;
        if self.skipped == 0 {
            self.skipped = self.fragments.len();
            self.fragments.truncate(BEGINNING_BYTES);
            self.fragments.shrink_to_fit();
        }
        self.skipped += length;
        self.rest = Rest { bytes: length, mask: head.mask, fin: head.fin };
        let (taken, event) = self.skip(buf.get_mut(head.start..).unwrap_or_default());
        (head.start + taken, event)
    }

    /// Takes what there is of such a frame's payload.
    fn skip<'b>(&'b mut self, buf: &mut [u8]) -> (usize, Option<Event<'b>>) {
        let taken = self.rest.bytes.min(buf.len());
        let kept = taken.min(BEGINNING_BYTES.saturating_sub(self.fragments.len()));
        unmask(&mut buf[..kept], self.rest.mask);
        self.fragments.extend_from_slice(&buf[..kept]);
        self.rest.mask.rotate_left(taken % 4);
        self.rest.bytes -= taken;
        let is_over = self.rest.bytes == 0;
        if is_over {
            self.state = if self.rest.fin { Fragmented::Done } else { Fragmented::Open };
        }
        let event = Event::Excess { beginning: &self.fragments, bytes: self.skipped };
        (taken, (is_over && self.rest.fin).then_some(event))
    }

    /// Reads and checks a frame's header (RFC 6455 §5.2). `None`: more bytes are needed.
    fn head(&self, buf: &[u8]) -> Result<Option<FrameHead>, Violation> {
        let &[first, second, ref rest @ ..] = buf else { return Ok(None) };
        let (fin, opcode) = (first & FIN != 0, first & 0x0F);
        self.check_opcode(fin, opcode, first & 0x70, second)?;
        let short = second & 0x7F;
        let (len, start) = match (short, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
            (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10),
            (126 | 127, _) => return Ok(None),
            _ => (u64::from(short), 2),
        };
        // The shortest form must be used, and the topmost bit be 0.
        let least = [0, 126, 1 << 16][usize::from(start > 2) + usize::from(start > 4)];
        if len < least || len >> 63 != 0 {
            return Err(Violation::PROTOCOL);
        }
        let room = match self.skipped {
            0 => self.room().max(self.max_skipped.saturating_sub(self.fragments.len())),
            skipped => self.max_skipped.saturating_sub(skipped),
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if opcode < CLOSE && len > room {
            return Err(Violation(CloseCode::TooLarge));
        }
        let Some(&[a, b, c, d]) = buf.get(start..start + 4) else { return Ok(None) };
        Ok(Some(FrameHead { fin, opcode, mask: [a, b, c, d], start: start + 4, end: start + 4 + len }))
    }

    fn check_opcode(&self, fin: bool, opcode: u8, reserved: u8, second: u8) -> Result<(), Violation> {
        let in_fragments = self.state == Fragmented::Open;
        let is_in_place = match opcode {
            CONTINUATION => in_fragments,
            TEXT => !in_fragments,
            BINARY if !in_fragments => return Err(Violation(CloseCode::Unacceptable)),
            CLOSE | PING | PONG => fin && second & 0x7F <= 125,
            _ => false,
        };
        if is_in_place && reserved == 0 && second & MASKED != 0 { Ok(()) } else { Err(Violation::PROTOCOL) }
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let mut chunks = payload.chunks_exact_mut(4);
    for chunk in &mut chunks {
        for (byte, key) in chunk.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask) {
        *byte ^= key;
    }
}

fn text(payload: &[u8]) -> Result<&str, Violation> {
    std::str::from_utf8(payload).map_err(|_| Violation(CloseCode::InvalidData))
}

/// RFC 6455 §5.5.1 and §7.4.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [a, b, reason @ ..] => {
            text(reason)?;
            let code = u16::from_be_bytes([*a, *b]);
            let is_valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if is_valid { Ok(Some(code)) } else { Err(Violation::PROTOCOL) }
        }
        _ => Err(Violation::PROTOCOL),
    }
}

/// Appends a text frame whose payload is these pieces together.
pub fn encode_text(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    let len = pieces.iter().map(|piece| piece.len()).sum();
    out.reserve(len + 10);
    encode_head(out, TEXT, len);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

fn encode_head(out: &mut Vec<u8>, opcode: u8, len: usize) {
    out.push(FIN | opcode);
    match len {
        0..=125 => out.push(len as u8),
        126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

fn encode_control(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    let payload = payload.get(..125).unwrap_or(payload);
    encode_head(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a ping (payload at most 125 bytes).
pub fn encode_ping(out: &mut Vec<u8>, payload: &[u8]) {
    encode_control(out, PING, payload);
}

/// Appends a pong (payload at most 125 bytes).
pub fn encode_pong(out: &mut Vec<u8>, payload: &[u8]) {
    encode_control(out, PONG, payload);
}

/// Appends a close frame.
pub fn encode_close(out: &mut Vec<u8>, code: Option<u16>) {
    match code {
        Some(code) => encode_control(out, CLOSE, &code.to_be_bytes()),
        None => encode_control(out, CLOSE, &[]),
    }
}

/// The `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
pub fn accept_key(key: &str) -> String {
    use base64::Engine as _;
    let digest =
        Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// What a text message of the sub-protocol `xmpp` is (RFC 7395 §3).
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives on the stack for one turn; a box would cost more")]
pub enum Message<'a> {
    /// `<open/>`
    Open(Open<'a>),
    /// `<close/>`
    Close,
    /// Anything else.
    Element(Stanza<'a>),
}

/// `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' …/>`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Open<'a> {
    /// `to`
    pub to: Option<Cow<'a, str>>,
    /// `from`
    pub from: Option<Cow<'a, str>>,
    /// `id`
    pub id: Option<Cow<'a, str>>,
    /// `version`
    pub version: Option<Cow<'a, str>>,
    /// `xml:lang`
    pub lang: Option<Cow<'a, str>>,
}

/// Parses a text message.
pub fn parse_message(text: &str) -> Result<Message<'_>, ParseError> {
    let element = Stanza::parse(text.as_bytes())?;
    if element.is("open", ns::FRAMING) {
        return Ok(Message::Open(Open {
            to: element.to(),
            from: element.from(),
            id: element.id(),
            version: element.attr("version"),
            lang: element.lang(),
        }));
    }
    let is_close = element.is("close", ns::FRAMING);
    Ok(if is_close { Message::Close } else { Message::Element(element) })
}

/// Appends `<open …/>`.
pub fn write_open(out: &mut Vec<u8>, open: &Open<'_>) {
    let mut writer = Writer::new(out);
    writer
        .open_ns("open", ns::FRAMING)
        .attr_opt("from", open.from.as_deref())
        .attr_opt("to", open.to.as_deref());
    writer.attr_opt("id", open.id.as_deref()).attr_opt("version", open.version.as_deref());
    writer.attr_opt("xml:lang", open.lang.as_deref()).close();
}

/// Appends `<close …/>`, with `see-other-uri` if given.
pub fn write_close(out: &mut Vec<u8>, see_other_uri: Option<&str>) {
    Writer::new(out).open_ns("close", ns::FRAMING).attr_opt("see-other-uri", see_other_uri).close();
}

#[cfg(test)]
mod tests;
