//! Questions to the index of media.

use crate::effects::turn::media_index::Then;
use crate::ticket::Stay;
use chaski_store::AccountId;

/// A question to the index of media that is under way.
pub(crate) struct AskedOfIndex {
    pub(crate) account: (AccountId, Stay),
    pub(crate) then: Then,
}
