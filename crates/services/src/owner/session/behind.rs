//! Answers that are sent behind what waits in the mailbox.
//!
//! A client without a message archive has no sign that everything which waited for it has arrived. Conversations sends a ping
//! without `to` after its initial presence and takes the answer for that sign: until then no call rings. A mailbox is read in
//! windows and so takes as long as the client takes to acknowledge it; therefore the answer to such a ping is sent behind all
//! messages that were in the mailbox when the ping came.
//! Called by [`crate::owner`]'s `call` with the answer, and by [`crate::owner::mailbox`] where a session has read further.
//! Promises: the answer comes behind each message that waited, and does not wait for messages that came later. Bound:
//! [`ANSWERS_MAX`] answers of a session; further ones are sent at once, and so are all answers while the mailbox can't be read,
//! since a client that gets no answer reconnects, which helps nobody. This costs nothing for a session that has kept up, and one
//! pointer for the others ([`crate::account::session::Held`]).

use crate::account::session::behind::Behind;
use crate::account::session::{Progress, Session};
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use crate::realm::Pressure;
use chaski_store::Seq;
use chaski_xmpp::Stored;

/// Most answers of one session that wait until its mailbox has been read.
const ANSWERS_MAX: usize = 4;

impl Session {
    /// Sends an answer behind the messages that wait for the client in the mailbox.
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

    /// A message has been appended to the mailbox: answers that already wait need not wait for it.
    pub(crate) fn note_appended(&mut self, seq: Seq) {
        let Some(held) = &mut self.held else { return };
        for behind in held.behind.iter_mut().filter(|behind| behind.last.is_none()) {
            behind.last = Some(Seq(seq.0.saturating_sub(1)));
        }
    }

    /// The mailbox can't be read for now: sends the answers that wait for it.
    pub(crate) fn answer_anyway(&mut self, desk: &mut Desk, ctx: &mut Context<'_>) {
        let waiting = self.held.as_mut().map(|held| std::mem::take(&mut held.behind)).unwrap_or_default();
        self.held.take_if(|held| held.is_empty());
        for Behind { stanza, .. } in waiting {
            self.send(desk, ctx, stanza);
        }
    }

    /// The session has been sent more of its mailbox: sends the answers that have waited for that.
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
