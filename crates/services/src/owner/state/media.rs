//! What the index of media was asked.

use crate::effects::turn::media_index::Then;
use crate::ticket::Stay;
use chaski_store::AccountId;

/// One that is under way.
pub(crate) struct AskedOfIndex {
    pub(crate) account: (AccountId, Stay),
    pub(crate) then: Then,
}
