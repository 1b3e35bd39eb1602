//! Answers that are sent behind what waits in the mailbox.
//!
//! A client without an archive has no other sign that all that waited has come: Conversations sends a ping without `to` after its
//! initial presence, and until that is answered it lets no call ring of those that it is told of. A mailbox that is read in windows
//! comes for as long as the client takes to acknowledge it, so the answer waits for what was there when it was asked.
//! Called by `shard` with the answer, and by `mailbox` where a session comes further. Promises: the answer comes behind each
//! message that waited, and does not wait for those that came later. Bound: [`ANSWERS_MAX`] of a session; those beyond
//! are sent at once, and all are while the mailbox can't be read: a client that hears nothing comes back, which helps nobody. A session that has kept up pays nothing, and the others one pointer ([`super::Held`]).

use crate::account::session::behind::Behind;
use crate::account::session::{Progress, Session};
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use crate::realm::Pressure;
use chaski_store::Seq;
use chaski_xmpp::Stored;

/// Most answers of one session that wait for its mailbox.
const ANSWERS_MAX: usize = 4;

impl Session {
    /// Sends an answer behind what waits for the client in the mailbox.
    pub(crate) fn send_behind_mail(&mut self, desk: &mut Desk, ctx: &mut Context<'_>, stanza: Stored) {
        let has_kept_up = self.progress == Progress::Live;
        let is_read = ctx.pressure < Pressure::Backlog;
        if has_kept_up || !is_read || self.behind().len() >= ANSWERS_MAX {
            return self.send(desk, ctx, stanza);
        }
        desk.metrics.answers_behind_mail_total.inc();
        self.held.get_or_insert_default().behind.push(Behind { stanza, last: None });
    }

    fn behind(&self) -> &[Behind] {
        self.held.as_ref().map_or(&[], |held| &held.behind)
    }

    /// An entry has come into the mailbox, which those answers need not wait for.
    pub(crate) fn note_appended(&mut self, seq: Seq) {
        let Some(held) = &mut self.held else { return };
        for behind in held.behind.iter_mut().filter(|behind| behind.last.is_none()) {
            behind.last = Some(Seq(seq.0.saturating_sub(1)));
        }
    }

    /// The mailbox can't be read for now: sends what waits for that.
    pub(crate) fn answer_anyway(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        let waiting = self.held.as_mut().map(|held| std::mem::take(&mut held.behind)).unwrap_or_default();
        self.held.take_if(|held| held.is_empty());
        for Behind { stanza, .. } in waiting {
            self.send(desk, ctx, stanza);
        }
    }

    /// The session has come further in its mailbox: sends the answers that waited for that.
    pub(crate) fn came_further(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        while let Some(first) = self.behind().first() {
            let is_due = match self.progress {
                Progress::Live => true,
                Progress::Behind(after) => first.last.is_some_and(|last| after >= last),
                Progress::Reading { .. } => false,
            };
            let Some(held) = self.held.as_mut().filter(|_| is_due) else { return };
            let Behind { stanza, .. } = held.behind.remove(0);
            self.held.take_if(|held| held.is_empty());
            self.send(desk, ctx, stanza);
        }
    }
}
