//! Cuts a TCP byte stream into top-level elements (RFC 6120 §4). To be filled in.

use crate::error::StreamCondition;

/// Most bytes of one element before authentication.
pub const MAX_BYTES_BEFORE_AUTH: u32 = 8 * 1024;
/// Most bytes of one element after authentication.
pub const MAX_BYTES: u32 = 256 * 1024;
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

/// The scanning state of one stream.
#[derive(Debug, Clone)]
pub struct Framer {
    max_bytes: u32,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// At the beginning of a stream, with the bound that applies before authentication.
    pub fn new() -> Self {
        Self { max_bytes: MAX_BYTES_BEFORE_AUTH }
    }

    /// Sets the bound on an element's bytes. Takes effect at once.
    pub fn set_max_bytes(&mut self, max_bytes: u32) {
        self.max_bytes = max_bytes;
    }

    /// Expects a new stream header (after STARTTLS and after SASL). Call it between frames only.
    pub fn restart(&mut self) {
        todo!()
    }

    /// Looks for the next frame. `buf` must begin where the last frame ended, and hold at least what it held in the
    /// last call that returned `None`. `None`: more bytes are needed.
    pub fn next(&mut self, buf: &[u8]) -> Result<Option<Frame>, FrameError> {
        let _ = buf;
        todo!()
    }

    /// Whether an element has begun and not ended (for deadlines on slow senders).
    pub fn in_element(&self) -> bool {
        todo!()
    }
}
