//! An answer that waits until its session has been sent what waits in the mailbox.

use chaski_store::Seq;
use chaski_xmpp::Stored;

/// An answer that waits for the mailbox.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) stanza: Stored,
    /// The last entry that it waits for; known once a later entry has been appended.
    pub(crate) last: Option<Seq>,
}
