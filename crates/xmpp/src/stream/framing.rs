//! The two encodings of a stream: one XML document over TCP (RFC 6120), one document per WebSocket message (RFC 7395).
//! The states write through this and don't know which it is.

use crate::error::StreamCondition;
use crate::sm::{self, TooHigh};
use crate::websocket::{self, Open};
use crate::write::Writer;
use crate::{ns, write};

/// How elements are put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// RFC 6120: `<stream:stream>` around everything.
    Tcp,
    /// RFC 7395: `<open/>`, `<close/>`, every element stands alone.
    WebSocket,
}

/// Where outgoing pieces go. Each call is one header, one element or one footer, complete with its namespaces: one
/// WebSocket message.
pub trait Outlet {
    /// Takes a piece.
    fn put(&mut self, piece: &[u8]);
}

/// TCP: one after the other.
impl Outlet for Vec<u8> {
    fn put(&mut self, piece: &[u8]) {
        self.extend_from_slice(piece);
    }
}

/// Piece by piece.
impl Outlet for Vec<Vec<u8>> {
    fn put(&mut self, piece: &[u8]) {
        self.push(piece.to_vec());
    }
}

/// A stream header, from either side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `from`
    pub from: Option<&'a str>,
    /// `to`
    pub to: Option<&'a str>,
    /// `id`
    pub id: Option<&'a str>,
    /// `xml:lang`
    pub lang: Option<&'a str>,
}

impl Framing {
    /// Writes a stream header or `<open/>`.
    pub fn write_header(self, header: &Attributes<'_>, out: &mut dyn Outlet) {
        let mut piece = Vec::with_capacity(256);
        match self {
            Self::Tcp => write_stream(header, &mut piece),
            Self::WebSocket => {
                let open = Open {
                    to: header.to.map(Into::into),
                    from: header.from.map(Into::into),
                    id: header.id.map(Into::into),
                    version: Some("1.0".into()),
                    lang: header.lang.map(Into::into),
                };
                websocket::write_open(&mut piece, &open);
            }
        }
        out.put(&piece);
    }

    /// Writes the end of the stream.
    pub fn write_footer(self, out: &mut dyn Outlet) {
        match self {
            Self::Tcp => out.put(b"</stream:stream>"),
            Self::WebSocket => {
                let mut piece = Vec::new();
                websocket::write_close(&mut piece, None);
                out.put(&piece);
            }
        }
    }

    /// Writes a stream error.
    pub fn write_error(self, condition: StreamCondition, text: Option<&str>, out: &mut dyn Outlet) {
        let mut piece = Vec::with_capacity(256);
        write::stream_error(&mut piece, condition, text, self == Self::WebSocket);
        out.put(&piece);
    }

    pub(super) fn write_features(self, features: &str, out: &mut dyn Outlet) {
        let mut piece = Vec::with_capacity(features.len() + 128);
        let mut writer = Writer::new(&mut piece);
        writer.open("stream:features");
        if self == Self::WebSocket {
            writer.attr("xmlns:stream", ns::STREAMS);
        }
        writer.raw(features.as_bytes()).close();
        drop(writer);
        out.put(&piece);
    }

    /// What the start tag of a stanza of our own must declare.
    pub fn stanza_ns(self) -> Option<&'static str> {
        (self == Self::WebSocket).then_some(ns::CLIENT)
    }
}

fn write_stream(header: &Attributes<'_>, piece: &mut Vec<u8>) {
    piece.extend_from_slice(b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='");
    piece.extend_from_slice(ns::STREAMS.as_bytes());
    piece.extend_from_slice(b"' version='1.0'");
    let attributes = [("id", header.id), ("from", header.from), ("to", header.to), ("xml:lang", header.lang)];
    for (name, value) in attributes {
        let Some(value) = value else { continue };
        piece.push(b' ');
        piece.extend_from_slice(name.as_bytes());
        piece.extend_from_slice(b"='");
        write::escape(value, piece);
        piece.push(b'\'');
    }
    piece.push(b'>');
}

/// Ends a stream whose client has acknowledged what it was never sent (XEP-0198 §4).
pub fn end_too_high(framing: Framing, error: TooHigh, out: &mut dyn Outlet) {
    let mut piece = Vec::with_capacity(256);
    sm::too_high_error(&mut piece, error.h, error.sent, framing == Framing::WebSocket);
    out.put(&piece);
    framing.write_footer(out);
}

/// Ends a stream whose header is out, with an error or in peace: for after the negotiation.
pub fn end(framing: Framing, error: Option<(StreamCondition, Option<&str>)>, out: &mut dyn Outlet) {
    if let Some((condition, text)) = error {
        framing.write_error(condition, text, out);
    }
    framing.write_footer(out);
}
