//! An answer that waits until its session has been sent what waits in the mailbox.

use chaski_store::Seq;
use chaski_xmpp::Stored;

/// An answer that waits.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) stanza: Stored,
    /// The last entry that it waits for, once there is a later one.
    pub(crate) last: Option<Seq>,
}
