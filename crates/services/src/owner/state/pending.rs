//! A command that waits for the store.

use crate::effects::turn::command::Reply;
use chaski_store::AccountId;

/// A command that waits for the store.
pub(crate) struct Pending {
    pub(crate) account: AccountId,
    pub(crate) reply: Reply<()>,
}
