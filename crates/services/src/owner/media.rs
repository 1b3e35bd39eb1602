//! Questions of rooms to the index of uploaded media ([`crate::rooms::upload`]): their way to the store and back.
//!
//! Bounded by [`WISHES_MAX`] for a shard; what one account asks is bounded by its rate of upload slots. If an account has left
//! memory meanwhile, its answer is dropped, since no session waits for it.

use crate::budget;
use crate::effects::turn::media_index::{Ask, MediaRequest};
use crate::owner::context::Context;
use crate::owner::state::Owner;
use crate::owner::state::media::AskedOfIndex;
use crate::ticket::Purpose;
use chaski_store::media::Answer;
use chaski_store::{AccountId, StoreError};

/// Questions and changes under way; beyond, they are refused as overloaded.
const WISHES_MAX: usize = 4_096;

impl Owner {
    pub(crate) fn media_request(&mut self, ctx: &mut Context<'_>, id: AccountId, wish: MediaRequest) {
        let Some(stay) = self.directory.present(id).map(|account| account.stay) else { return };
        let MediaRequest { ask, then } = wish;
        if self.asked_of_index.len() >= WISHES_MAX {
            self.desk.metrics.index_refused_total.inc();
            return self.in_room(ctx, id, |turn, account| then(turn, account, Err(StoreError::Overloaded)));
        }
        let key = self.asked_of_index.insert(AskedOfIndex { account: (id, stay), then });
        let ticket = Purpose::Index(key).ticket();
        match ask {
            Ask::Query(query) => {
                self.desk.spend(budget::READ);
                ctx.store.ask_media(query, ticket);
            }
            Ask::Edit(edit) => {
                self.desk.spend(budget::SAVED);
                ctx.store.edit_media(edit, ticket);
            }
        }
        self.desk.metrics.index_waiting.set(self.asked_of_index.len() as i64);
    }

    pub(crate) fn index_answered(
        &mut self,
        ctx: &mut Context<'_>,
        key: usize,
        result: Result<Answer, StoreError>,
    ) {
        let Some(AskedOfIndex { account: (id, stay), then }) = self.asked_of_index.try_remove(key) else {
            return;
        };
        self.desk.metrics.index_waiting.set(self.asked_of_index.len() as i64);
        if let Err(error) = &result {
            tracing::warn!(account = ?id, %error, "the index of media could not be asked");
        }
        if self.is_still(id, stay) {
            self.in_room(ctx, id, |turn, account| then(turn, account, result));
        }
    }
}
