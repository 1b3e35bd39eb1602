//! The way out of a shard: to its connections, and to other places.

use crate::effects::login::Verdict;
use crate::wire::{ConnId, StreamEnd};

/// The edge, as seen from the rooms. Calls never block and never fail: a connection that has just died swallows
/// what is written to it, and [`crate::shard::Shard::closed`] follows.
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

    /// Ends the stream: sends the stream error if there is one, `</stream:stream>`, then closes the socket.
    /// [`crate::shard::Shard::closed`] is not called for a connection that the rooms closed.
    fn close(&mut self, conn: ConnId, error: Option<StreamEnd>);

    /// The verdict on a [question](crate::effects::login::Question) of this number that the connection has asked. It may come late or twice.
    fn verdict(&mut self, conn: ConnId, number: u32, verdict: Verdict);

    /// Hands an envelope to [whom it is for](crate::effects::letter::Envelope::to). Gives it back if that one's queue is full; the rooms
    /// then apply their policy (drop presence, refuse messages with an error).
    fn forward(
        &mut self,
        envelope: crate::effects::letter::Envelope,
    ) -> Result<(), crate::effects::letter::Envelope>;
}
