//! Cuts a TCP byte stream into top-level elements (RFC 6120 §4), without a buffer and without allocation.
//!
//! Owned by each TCP connection (`chaski-server`'s and `chaski-client`'s). The caller keeps the bytes; the framer keeps
//! how far it has looked, so that no byte is looked at twice however small the pieces are in which they come.
//!
//! Promises: a frame's limits depend on the bytes alone, never on how they were chunked; whatever is well-formed and
//! within the bounds is cut right. It does *not* promise that a frame is well-formed: that is [`crate::Stanza::parse`]'s
//! job. RFC 6120 §11.1 forbids comments, processing instructions and DTDs; they are refused here already.
//!
//! In a session ([`Framer::set_max_skipped`]) an element over a bound does not end the stream: too deep or with too many
//! attributes, it is cut out whole, for [`crate::Stanza::parse`] to refuse; too large, it is given out in pieces that
//! nobody has to keep, until its end is found. Of these the framer keeps the last two bytes.

use crate::error::StreamCondition;
use memchr::{memchr, memchr3};

/// Most bytes of one element before authentication.
pub const MAX_BYTES_BEFORE_AUTH: u32 = 8 * 1024;
/// Most bytes of one element after authentication.
pub const MAX_BYTES: u32 = 256 * 1024;
/// Most bytes of an element in a session that is only read to find its end.
pub const MAX_BYTES_SKIPPED: u32 = 4 << 20;
/// Deepest nesting inside one element, itself included.
pub const MAX_DEPTH: usize = 32;
/// Most attributes (namespace declarations included) of one element.
pub const MAX_ATTRIBUTES: usize = 64;

/// What stands at the beginning of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// The stream header, with the XML declaration if there was one: for [`crate::StreamHeader::parse`].
    StreamOpen,
    /// A whole top-level element: for [`crate::Stanza::parse`].
    Element,
    /// `</stream:stream>`.
    StreamClose,
    /// White space between elements (keep-alive). Nothing to do.
    Whitespace,
    /// A piece of an element that is larger than the bound (never without [`Framer::set_max_skipped`]).
    Excess(Piece),
}

/// Which piece of an element that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Its beginning, as many bytes as the bound allows: for [`crate::Husk::of_beginning`].
    First,
    /// To be thrown away.
    Middle,
    /// The same, and the element is over.
    Last,
}

/// A piece of the stream, complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// How many bytes at the buffer's beginning it takes. They must be consumed before the next call.
    pub len: usize,
}

/// Why a stream can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The element is larger than allowed.
    #[error("element too large")]
    TooLarge,
    /// The element is nested too deeply.
    #[error("element nested too deeply")]
    TooDeep,
    /// An element has too many attributes.
    #[error("too many attributes")]
    TooManyAttributes,
    /// Comment, processing instruction or DTD (RFC 6120 §11.1).
    #[error("comments, processing instructions and DTDs are not allowed")]
    Restricted,
    /// Not XML.
    #[error("not well-formed")]
    NotWellFormed,
}

impl FrameError {
    /// The stream error to answer with.
    pub fn condition(self) -> StreamCondition {
        match self {
            Self::TooLarge | Self::TooDeep | Self::TooManyAttributes => StreamCondition::PolicyViolation,
            Self::Restricted => StreamCondition::RestrictedXml,
            Self::NotWellFormed => StreamCondition::NotWellFormed,
        }
    }
}

/// Where in the syntax the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between frames.
    Between,
    /// In the XML declaration, behind `<?`.
    Declaration,
    /// Behind the XML declaration, before the header's `<`.
    AfterDeclaration,
    /// In an element's text.
    Text,
    /// Behind `<`.
    Less,
    /// In a start tag, outside of quotes.
    Tag,
    /// In an attribute value with this quote.
    Quoted(u8),
    /// In an end tag, behind `</`.
    EndTag,
    /// Behind `<!`, so many bytes of `[CDATA[` seen.
    Bang(u8),
    /// In a CDATA section.
    Cdata,
}

const CDATA_OPEN: &[u8] = b"[CDATA[";

/// The scanning state of one stream.
#[derive(Debug, Clone)]
pub struct Framer {
    max_bytes: u32,
    /// Most bytes of an element that is given out in pieces; 0: what is over a bound ends the stream.
    max_skipped: u32,
    /// Bytes of the current frame that have been looked at, and those of the pieces that were given out.
    scanned: u32,
    /// Open elements of the current frame.
    depth: u32,
    state: State,
    /// Attributes of the current start tag.
    attributes: u8,
    wants_header: bool,
    /// The current element is given out in pieces.
    skipping: bool,
    /// The last bytes of the last piece.
    behind: [u8; 2],
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

/// What one step found: where to go on, or that the frame ends there.
enum Step {
    On(usize),
    End(FrameKind, usize),
}

impl Framer {
    /// At the beginning of a stream, with the bound that applies before authentication.
    pub fn new() -> Self {
        Self {
            max_bytes: MAX_BYTES_BEFORE_AUTH,
            max_skipped: 0,
            scanned: 0,
            depth: 0,
            state: State::Between,
            attributes: 0,
            wants_header: true,
            skipping: false,
            behind: [0; 2],
        }
    }

    /// Sets the bound on an element's bytes. Takes effect at once.
    pub fn set_max_bytes(&mut self, max_bytes: u32) {
        self.max_bytes = max_bytes;
    }

    /// From now on nothing that is over a bound ends the stream, but an element of more than so many bytes: there is a
    /// session, which has to go on. Only [`Self::restart`] takes it back.
    pub fn set_max_skipped(&mut self, max_skipped: u32) {
        self.max_skipped = max_skipped;
    }

    /// Expects a new stream header (after STARTTLS and after SASL). Call it between frames only.
    pub fn restart(&mut self) {
        *self = Self { max_bytes: self.max_bytes, ..Self::new() };
    }

    /// Whether an element has begun and not ended (for deadlines on slow senders).
    pub fn in_element(&self) -> bool {
        self.state != State::Between
    }

    /// Looks for the next frame. `buf` must begin where the last frame ended, and hold at least what it held in the
    /// last call that returned `None`. `None`: more bytes are needed.
    pub fn next(&mut self, buf: &[u8]) -> Result<Option<Frame>, FrameError> {
        if self.skipping {
            return self.skip(buf);
        }
        // Nothing beyond the bound is looked at, so that the outcome does not depend on chunking.
        let bound = self.max_bytes as usize;
        let window = buf.get(..bound).unwrap_or(buf);
        if let Some((kind, len)) = self.scan(window, self.scanned as usize)? {
            return Ok(Some(self.end(kind, len)));
        }
        if buf.len() > bound {
            return self.exceed(window);
        }
        self.scanned = buf.len() as u32;
        Ok(None)
    }

    /// Looks for the end of the frame from `pos` on. The only caller of `step`, which is compiled into it: most of what framing
    /// costs would else be calls.
    fn scan(&mut self, window: &[u8], mut pos: usize) -> Result<Option<(FrameKind, usize)>, FrameError> {
        while let Some(&byte) = window.get(pos) {
            match self.step(window, pos, byte)? {
                Step::On(next) => pos = next,
                Step::End(kind, len) => return Ok(Some((kind, len))),
            }
        }
        Ok(None)
    }

    fn end(&mut self, kind: FrameKind, len: usize) -> Frame {
        (self.scanned, self.state, self.skipping) = (0, State::Between, false);
        Frame { kind, len }
    }

    /// The frame is over the bound: if it is an element, and that is no reason to end, its beginning is given out.
    fn exceed(&mut self, window: &[u8]) -> Result<Option<Frame>, FrameError> {
        let in_element = self.depth > 0 || matches!(self.state, State::Tag | State::Quoted(_));
        if self.max_skipped <= self.max_bytes || self.wants_header || !in_element {
            return Err(FrameError::TooLarge);
        }
        self.skipping = true;
        self.scanned = 0;
        Ok(Some(self.piece(Piece::First, window)))
    }

    /// The next piece of an element that is too large.
    fn skip(&mut self, buf: &[u8]) -> Result<Option<Frame>, FrameError> {
        let left = self.max_skipped.saturating_sub(self.scanned) as usize;
        let window = buf.get(..left).unwrap_or(buf);
        if let Some((_, len)) = self.scan(window, 0)? {
            return Ok(Some(self.end(FrameKind::Excess(Piece::Last), len)));
        }
        match (buf, window) {
            ([], _) => Ok(None),
            (_, []) => Err(FrameError::TooLarge),
            _ => Ok(Some(self.piece(Piece::Middle, window))),
        }
    }

    fn piece(&mut self, piece: Piece, bytes: &[u8]) -> Frame {
        self.scanned += bytes.len() as u32;
        self.behind = match *bytes {
            [.., a, b] => [a, b],
            [b] => [self.behind[1], b],
            [] => self.behind,
        };
        Frame { kind: FrameKind::Excess(piece), len: bytes.len() }
    }

    /// The byte 1 or 2 before `at`, which may have gone with a piece.
    fn before(&self, window: &[u8], at: usize, count: usize) -> u8 {
        at.checked_sub(count).map_or_else(|| self.behind[2 + at - count], |place| window[place])
    }

    fn step(&mut self, window: &[u8], pos: usize, byte: u8) -> Result<Step, FrameError> {
        let rest = &window[pos..];
        let end = window.len();
        match self.state {
            State::Text => match memchr(b'<', rest) {
                Some(at) => Ok(self.go(State::Less, pos + at + 1)),
                None => Ok(Step::On(end)),
            },
            State::Less => self.less(pos, byte),
            State::Tag => match memchr3(b'>', b'"', b'\'', rest) {
                Some(at) => self.tag(window, pos + at),
                None => Ok(Step::On(end)),
            },
            State::Quoted(quote) => match memchr(quote, rest) {
                Some(at) => Ok(self.go(State::Tag, pos + at + 1)),
                None => Ok(Step::On(end)),
            },
            State::EndTag => match memchr(b'>', rest) {
                Some(at) => self.end_tag(window, pos + at),
                None => Ok(Step::On(end)),
            },
            State::Bang(seen) => self.bang(seen, pos, byte),
            State::Cdata => match memchr(b'>', rest) {
                Some(at) if [1, 2].map(|count| self.before(window, pos + at, count)) == *b"]]" => {
                    Ok(self.go(State::Text, pos + at + 1))
                }
                Some(at) => Ok(Step::On(pos + at + 1)),
                None => Ok(Step::On(end)),
            },
            State::Between => self.between(rest, byte),
            State::Declaration => match memchr(b'>', rest) {
                Some(at) if window[..pos + at].ends_with(b"?") => {
                    Ok(self.go(State::AfterDeclaration, pos + at + 1))
                }
                Some(_) => Err(FrameError::NotWellFormed),
                None => Ok(Step::On(end)),
            },
            State::AfterDeclaration => match byte {
                b'<' => Ok(self.go(State::Less, pos + 1)),
                b' ' | b'\t' | b'\r' | b'\n' => Ok(Step::On(pos + 1)),
                _ => Err(FrameError::NotWellFormed),
            },
        }
    }

    fn go(&mut self, state: State, next: usize) -> Step {
        self.state = state;
        Step::On(next)
    }

    fn between(&mut self, rest: &[u8], byte: u8) -> Result<Step, FrameError> {
        if byte == b'<' {
            return Ok(self.go(State::Less, 1));
        }
        match rest.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            Some(0) => Err(FrameError::NotWellFormed),
            Some(len) => Ok(Step::End(FrameKind::Whitespace, len)),
            None => Ok(Step::End(FrameKind::Whitespace, rest.len())),
        }
    }

    fn less(&mut self, pos: usize, byte: u8) -> Result<Step, FrameError> {
        match byte {
            b'/' if self.wants_header => Err(FrameError::NotWellFormed),
            b'/' => Ok(self.go(State::EndTag, pos + 1)),
            b'!' => Ok(self.go(State::Bang(0), pos + 1)),
            // Only as the very first thing of a stream; a second one, behind the first, is not.
            b'?' if self.wants_header && pos == 1 => Ok(self.go(State::Declaration, pos + 1)),
            b'?' => Err(FrameError::Restricted),
            b'>' | b'<' | b'"' | b'\'' | b' ' | b'\t' | b'\r' | b'\n' => Err(FrameError::NotWellFormed),
            _ if self.depth as usize >= MAX_DEPTH && self.max_skipped == 0 => Err(FrameError::TooDeep),
            _ => {
                self.attributes = 0;
                Ok(self.go(State::Tag, pos + 1))
            }
        }
    }

    /// In a start tag, at `>` or a quote.
    fn tag(&mut self, window: &[u8], at: usize) -> Result<Step, FrameError> {
        let byte = window[at];
        if byte != b'>' {
            if usize::from(self.attributes) >= MAX_ATTRIBUTES && self.max_skipped == 0 {
                return Err(FrameError::TooManyAttributes);
            }
            self.attributes = self.attributes.saturating_add(1);
            return Ok(self.go(State::Quoted(byte), at + 1));
        }
        if self.wants_header {
            self.wants_header = false;
            return Ok(Step::End(FrameKind::StreamOpen, at + 1));
        }
        let is_empty = self.before(window, at, 1) == b'/';
        match (is_empty, self.depth) {
            (true, 0) => Ok(Step::End(FrameKind::Element, at + 1)),
            (true, _) => Ok(self.go(State::Text, at + 1)),
            (false, _) => {
                self.depth += 1;
                Ok(self.go(State::Text, at + 1))
            }
        }
    }

    /// In an end tag, at its `>`.
    fn end_tag(&mut self, window: &[u8], at: usize) -> Result<Step, FrameError> {
        match self.depth {
            0 if is_stream_close(&window[..at]) => Ok(Step::End(FrameKind::StreamClose, at + 1)),
            0 => Err(FrameError::NotWellFormed),
            1 => {
                self.depth = 0;
                Ok(Step::End(FrameKind::Element, at + 1))
            }
            _ => {
                self.depth -= 1;
                Ok(self.go(State::Text, at + 1))
            }
        }
    }

    fn bang(&mut self, seen: u8, pos: usize, byte: u8) -> Result<Step, FrameError> {
        if byte != CDATA_OPEN[usize::from(seen)] {
            let is_markup = seen == 0 && (byte == b'-' || byte.is_ascii_alphabetic());
            return Err(if is_markup { FrameError::Restricted } else { FrameError::NotWellFormed });
        }
        if self.depth == 0 {
            return Err(FrameError::NotWellFormed);
        }
        let all = usize::from(seen) + 1 == CDATA_OPEN.len();
        Ok(self.go(if all { State::Cdata } else { State::Bang(seen + 1) }, pos + 1))
    }
}

/// Whether this, without its `>`, closes a stream. Any prefix will do: the header's was checked when it came.
fn is_stream_close(tag: &[u8]) -> bool {
    let name = tag.strip_prefix(b"</").unwrap_or(tag).trim_ascii_end();
    name == b"stream" || name.ends_with(b":stream")
}

#[cfg(test)]
mod tests;
