//! The way out of a shard: to its connections, and to other places.

use crate::effects::login::Verdict;
use crate::wire::{ConnId, StreamEnd};

/// The edge, as a shard sees it. Calls never block and never fail: what is written to a connection that has just died is
/// discarded, and [`crate::shard::Shard::closed`] follows.
pub trait Wire {
    /// Sends one top-level element, given in pieces that together are the whole element. It is handed to the
    /// kernel at the end of the turn, together with whatever else the turn wrote to this connection.
    fn write(&mut self, conn: ConnId, element: &[&[u8]]);

    /// Bytes written to the connection that the kernel has not taken yet (slow client).
    fn unsent_bytes(&self, conn: ConnId) -> usize;

    /// Reads nothing more from the connection, and calls [`crate::shard::Shard::writable`] whenever everything written
    /// to it has been handed to the kernel, until [`Self::go_on`]. For clients without stream management.
    fn pause(&mut self, conn: ConnId);

    /// Reads the connection again, if it was paused.
    fn go_on(&mut self, conn: ConnId);

    /// Asks for one call of [`crate::shard::Shard::confirmed`] as soon as everything written has been acknowledged by
    /// the peer's TCP (`SIOCOUTQ` is 0 and no bytes are unsent). Used for clients without 0198.
    fn confirm(&mut self, conn: ConnId);

    /// Ends the stream: sends the stream error if there is one, then `</stream:stream>`, and closes the socket.
    /// [`crate::shard::Shard::closed`] is not called for a connection that the shard has closed.
    fn close(&mut self, conn: ConnId, error: Option<StreamEnd>);

    /// The answer to the connection's [login request](crate::effects::login::Question) of this number. It may come late or twice.
    fn verdict(&mut self, conn: ConnId, number: u32, verdict: Verdict);

    /// Hands an envelope to [the place that it is for](crate::effects::letter::Envelope::to). Gives it back if the queue of that
    /// place is full; the owner then applies its policy (drop presence, refuse messages with an error).
    fn forward(
        &mut self,
        envelope: crate::effects::letter::Envelope,
    ) -> Result<(), crate::effects::letter::Envelope>;
}
