//! Stanzas for one account that are refused as for nobody.

use super::directory::Asker;
use crate::effects::letter::Parcel;

/// Stanzas for one account that are refused once the store has looked.
pub(crate) struct Refusals {
    /// For whom it looks.
    pub(crate) asker: Asker,
    pub(crate) waiting: Vec<Parcel>,
    pub(crate) bytes: usize,
}
