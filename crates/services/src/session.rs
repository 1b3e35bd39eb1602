//! A session: one bound resource of an account, from bind until its end, over one connection or several in turn.
//!
//! Owns what the protocol keeps per client: the connection, stream management (XEP-0198), what was delivered and not
//! yet acknowledged, and its presence. Called by `shard`, `router`, `mailbox`; `presence` and `roster` see
//! [`Session::id`], [`Session::resource`] and [`Session::presence`].

use crate::presence::SessionPresence;
use crate::wire::{ConnId, SessionId};

/// A session. Kept small: an idle one is most of what a shard's memory holds.
pub struct Session {
    /// Its id, unique within its shard's life.
    pub id: SessionId,
    /// The resource.
    pub resource: Box<str>,
    /// Its presence, kept by the presence room.
    pub presence: SessionPresence,
    /// Its connection; `None` while it hibernates.
    pub(crate) conn: Option<ConnId>,
}
