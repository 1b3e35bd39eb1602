//! Something that is asked of the index of media, or changed in it, and what happens then.

use super::Turn;
use crate::account::Account;
use chaski_store::StoreError;
use chaski_store::media::{Answer, Edit, Query};

/// Something that is asked of the index of media, or changed in it, and what happens then.
pub struct MediaRequest {
    pub(crate) ask: Ask,
    pub(crate) then: Then,
}

pub(crate) enum Ask {
    Query(Query),
    Edit(Edit),
}

/// Goes on with the index' answer. Not called if the account has left memory meanwhile.
pub(crate) type Then = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Result<Answer, StoreError>) + Send>;
