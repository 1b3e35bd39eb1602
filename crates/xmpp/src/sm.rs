//! Stream management (XEP-0198): counting what was handled in both directions, and its elements.
//!
//! Owns the two counters of a session. Called by the services' sessions and by our client. Promises: constant, small
//! state while nothing waits ([`Inbound`], [`Outbound`] allocate only for what is outstanding, [`Outbound::take_room`]
//! gives that back), counters wrap at
//! 2^32, and `h` never covers a stanza whose handling has not finished.

mod element;
mod inbound;
mod outbound;

pub use element::{
    Malformed, Nonza, too_high_error, write_ack, write_enable, write_enabled, write_failed, write_request,
    write_resume, write_resumed,
};
pub use inbound::{Inbound, StanzaIndex};
pub use outbound::{Acked, Full, Outbound, Room, TooHigh};

#[cfg(test)]
mod tests;
