//! A question to the index of uploaded media or a change of it, with the continuation.

use super::Turn;
use crate::account::Account;
use chaski_store::StoreError;
use chaski_store::media::{Answer, Edit, Query};

/// A question to the index of uploaded media or a change of it, with the continuation.
pub struct MediaRequest {
    pub(crate) ask: Ask,
    pub(crate) then: Then,
}

pub(crate) enum Ask {
    Query(Query),
    Edit(Edit),
}

/// The continuation with the index' answer. Not called if the account has left memory meanwhile.
pub(crate) type Then = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Result<Answer, StoreError>) + Send>;
