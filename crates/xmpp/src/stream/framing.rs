//! The two encodings of a stream: one XML document over TCP (RFC 6120), one document per WebSocket message (RFC 7395).
//! The states write through this and don't know which it is.

use crate::error::StreamCondition;

/// How elements are put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// RFC 6120: `<stream:stream>` around everything.
    Tcp,
    /// RFC 7395: `<open/>`, `<close/>`, every element stands alone.
    WebSocket,
}

/// Where outgoing pieces go. Each call is one header, one element or one footer: one WebSocket message.
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

/// Ends a stream whose header is out, with an error or in peace: for after the negotiation.
pub fn end(framing: Framing, error: Option<(StreamCondition, Option<&str>)>, out: &mut dyn Outlet) {
    let _ = (framing, error, out);
    todo!()
}
