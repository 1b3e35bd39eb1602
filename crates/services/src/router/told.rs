//! A presence for many accounts on its way: one envelope for each shard, and from there to each account.

use super::{Envelope, Handling, Letter, Parcel};
use crate::context::Context;
use crate::directory::Work;
use crate::presence::{self, Tell};
use crate::shard::Shard;
use chaski_store::AccountId;

impl Shard {
    /// Carries it to the owners of its recipients.
    pub(crate) fn fan_out(&mut self, ctx: &mut Context<'_>, mut tell: Tell) {
        let shards = self.desk.realm.shards;
        let mut to = std::mem::take(&mut tell.to);
        // Most are away. Who is not costs a write besides.
        self.desk.spend(to.len() as u32 / 4);
        to.sort_unstable_by_key(|account| account.shard(shards).0);
        for part in to.chunk_by(|a, b| a.shard(shards) == b.shard(shards)) {
            let Some(owner) = part.first().map(|account| account.shard(shards)) else { continue };
            if owner == self.desk.index {
                part.iter().for_each(|account| self.hear(ctx, *account, &tell));
                continue;
            }
            let letter = Letter::Tell(Box::new(Tell { to: part.to_vec(), ..tell.clone() }));
            if tell.is_end || self.desk.outgoing.has_waiting(owner) {
                self.reliably(ctx, owner, letter);
            } else if ctx.wire.forward(owner, Envelope(letter)).is_err() {
                self.desk.metrics.presence_dropped_total.add(part.len() as u64);
            }
        }
    }

    /// It has come to the owner of an account.
    pub(crate) fn hear(&mut self, ctx: &mut Context<'_>, id: AccountId, tell: &Tell) {
        if let Some(account) = self.directory.present(id)
            && account.settings.is_none()
        {
            presence::hear(&mut self.desk, ctx, account, tell);
        } else if !self.directory.is_absent(id)
            && let Some(stanza) = tell.stanza_for(&mut self.desk, id)
        {
            let parcel = Parcel::new(id, None, stanza, Handling::Quiet);
            self.with_account(ctx, id, Work::Parcel(parcel));
        }
    }
}
