//! Stanzas for one account that are refused as for nobody.

use super::directory::Asker;
use crate::effects::letter::RoutedStanza;

/// Stanzas for one account that are refused once the store has looked.
pub(crate) struct Refusals {
    /// For whom it looks.
    pub(crate) asker: Asker,
    pub(crate) waiting: Vec<RoutedStanza>,
    pub(crate) bytes: usize,
}
