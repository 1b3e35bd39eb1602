//! A shard's removals: which are under way, which are tried again, and the search for leftovers.

use crate::account::record::AccountRecord;
use crate::effects::turn::command::Reply;
use chaski_store::AccountId;
use chaski_store::leftovers::Place;
use chaski_store::records::Put;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A shard's removals.
#[derive(Default)]
pub(crate) struct Removals {
    pub(crate) under_way: HashMap<AccountId, Removal>,
    /// Accounts for which a step failed, and when it is tried again; in order of time.
    pub(crate) retries: VecDeque<(u64, AccountId)>,
    pub(crate) search: Search,
    /// Whether something that the search has found could not be cleared.
    pub(crate) search_failed: Arc<AtomicBool>,
}

pub(crate) struct Removal {
    pub(crate) why: Why,
    /// The command to be answered. `None`: there is none, or it has been answered.
    pub(crate) reply: Option<Reply<()>>,
}

pub(crate) enum Why {
    /// The account is in memory, and marked or about to be marked.
    Removed,
    /// There is none, and one is going to be made.
    Making(Box<Making>),
    /// There is none; something was found.
    Left,
}

/// An account that is going to be made.
pub(crate) struct Making {
    pub(crate) record: Box<AccountRecord>,
    /// What comes with it, in the same transaction.
    pub(crate) puts: Option<Vec<Put>>,
}

/// The search for leftovers of all shards. One shard does it.
pub(crate) enum Search {
    Due { at_ms: u64, from: Place },
    Reading(Place),
    Over,
}

impl Default for Search {
    fn default() -> Self {
        Self::Due { at_ms: 0, from: Place::default() }
    }
}
