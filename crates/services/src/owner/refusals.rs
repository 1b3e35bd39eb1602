//! Stanzas for one account that are refused as for a number without an account.

use super::directory::Asker;
use crate::effects::letter::RoutedStanza;

/// Stanzas for one account that are refused when the store has looked the account up.
pub(crate) struct Refusals {
    /// On whose behalf the store looks it up.
    pub(crate) asker: Asker,
    pub(crate) waiting: Vec<RoutedStanza>,
    pub(crate) bytes: usize,
}
