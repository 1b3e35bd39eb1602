//! WebSocket for XMPP: the frame codec of RFC 6455 (server side) and the framing of RFC 7395. To be filled in.

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

/// Reads frames of one client. Holds the pieces of a fragmented message and nothing else.
#[derive(Debug)]
pub struct Decoder {
    max_bytes: usize,
}

impl Decoder {
    /// With a bound on a message's bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes }
    }

    /// Changes the bound.
    pub fn set_max_bytes(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// Looks for the next event at the beginning of `buf` (payload is unmasked in place). Returns how many bytes to
    /// consume and the event, if any: `(0, None)` means more bytes are needed; `(n, None)` means a fragment was taken, call again.
    pub fn next<'b>(&'b mut self, buf: &'b mut [u8]) -> Result<(usize, Option<Event<'b>>), Violation> {
        let _ = buf;
        todo!()
    }
}

/// Appends a text frame whose payload is these pieces together.
pub fn encode_text(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    let _ = (out, pieces);
    todo!()
}

/// Appends a ping (payload at most 125 bytes).
pub fn encode_ping(out: &mut Vec<u8>, payload: &[u8]) {
    let _ = (out, payload);
    todo!()
}

/// Appends a pong (payload at most 125 bytes).
pub fn encode_pong(out: &mut Vec<u8>, payload: &[u8]) {
    let _ = (out, payload);
    todo!()
}

/// Appends a close frame.
pub fn encode_close(out: &mut Vec<u8>, code: Option<u16>) {
    let _ = (out, code);
    todo!()
}

/// The `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
pub fn accept_key(key: &str) -> String {
    let _ = key;
    todo!()
}

/// What a text message of the sub-protocol `xmpp` is (RFC 7395 §3).
#[derive(Debug)]
pub enum Message<'a> {
    /// `<open/>`
    Open(Open<'a>),
    /// `<close/>`
    Close,
    /// Anything else.
    Element(crate::Stanza<'a>),
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
pub fn parse_message(text: &str) -> Result<Message<'_>, crate::ParseError> {
    let _ = text;
    todo!()
}

/// Appends `<open …/>`.
pub fn write_open(out: &mut Vec<u8>, open: &Open<'_>) {
    let _ = (out, open);
    todo!()
}

/// Appends `<close …/>`, with `see-other-uri` if given.
pub fn write_close(out: &mut Vec<u8>, see_other_uri: Option<&str>) {
    let _ = (out, see_other_uri);
    todo!()
}
