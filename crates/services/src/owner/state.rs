//! The state of an owner: the accounts in memory, the desk, and what waits for the store or for other places. The methods of
//! [`Owner`] are in the files beside this one; they are called by [`crate::shard::Shard`] and by each other.

pub(crate) mod asked;
pub(crate) mod books;
pub(crate) mod media;
pub(crate) mod pending;
pub(crate) mod removals;

use super::desk::Desk;
use super::directory::{Bounds, Directory};
use super::dispatch;
use super::metrics::OwnerMetrics;
use crate::effects::turn::command::Reply;
use crate::realm::Realm;
use asked::AskedOfOthers;
use books::Books;
use chaski_store::{AccountId, ShardIndex};
use media::AskedOfIndex;
use pending::Pending;
use removals::Removals;
use slab::Slab;
use std::collections::VecDeque;
use std::sync::Arc;

/// See the module.
pub(crate) struct Owner {
    pub(crate) desk: Desk,
    pub(crate) directory: Directory,
    pub(crate) books: Books,
    /// Commands that wait for the store.
    pub(crate) commands: Slab<Pending>,
    pub(crate) removals: Removals,
    /// Questions to the index of media that are under way.
    pub(crate) asked_of_index: Slab<AskedOfIndex>,
    /// Requests that wait until notices of new keys are durable.
    pub(crate) notices: Slab<Reply<()>>,
    /// Requests that wait for answers from other places.
    pub(crate) asked: AskedOfOthers,
    /// Accounts that were removed lately, with the generation of their last key.
    pub(crate) removed: VecDeque<(AccountId, u32)>,
    /// Where the sender's full JID is written. Empty between uses.
    pub(crate) from: String,
}

impl Owner {
    /// An empty shard. Its metrics are registered with `registry`.
    pub(crate) fn new(
        index: ShardIndex,
        realm: Arc<Realm>,
        registry: &mut chaski_telemetry::Registry,
    ) -> Self {
        let metrics = Arc::new(OwnerMetrics::default());
        registry.register(metrics.clone());
        let room_metrics = dispatch::metrics(registry);
        Self {
            directory: Directory::new(Bounds::of(&realm.limits), &realm.secrets.root),
            desk: Desk::new(index, realm, (metrics, room_metrics)),
            books: Books::new(),
            commands: Slab::new(),
            removals: Removals::default(),
            asked_of_index: Slab::new(),
            notices: Slab::new(),
            asked: AskedOfOthers::default(),
            removed: VecDeque::new(),
            from: String::new(),
        }
    }
}
