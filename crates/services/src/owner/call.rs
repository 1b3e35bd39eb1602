//! Calling a room: it is lent its account and a turn, and what it posted is carried out afterwards.

use crate::account::Account;
use crate::effects::letter::{Handling, RoutedStanza};
use crate::effects::turn::Turn;
use crate::effects::turn::outbox::{Outbox, Post};
use crate::owner::context::Context;
use crate::owner::directory::Resident;
use crate::owner::ledger::Step;
use crate::owner::state::Owner;

use chaski_store::AccountId;

impl Owner {
    /// Calls a room with an account in memory.
    pub(crate) fn in_room(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        room: impl FnOnce(&mut Turn<'_>, &mut Account),
    ) {
        let mut outbox = std::mem::take(&mut self.desk.outbox);
        let Some(visit) = self.visit(id) else { return };
        visit.lend(ctx, &mut outbox, room);
        self.shut_gate_behind(id, &mut outbox.posts);
        self.carry_out(ctx, Some(id), outbox);
    }

    fn carry_out(&mut self, ctx: &mut Context<'_>, id: Option<AccountId>, mut outbox: Outbox) {
        let undo = outbox.undo.take();
        let in_line = |account: &mut Resident| undo.is_some() || account.ledger.has_line();
        match id.filter(|id| self.directory.present(*id).is_some_and(in_line)) {
            Some(id) => {
                let posts = std::mem::take(&mut outbox.posts);
                let unless_saved = std::mem::take(&mut outbox.unless_saved);
                self.stand_in_line(ctx, id, Step { undo, posts, unless_saved });
            }
            None => {
                for post in outbox.posts.drain(..) {
                    self.carry_out_one(ctx, id, post);
                }
            }
        }
        self.desk.outbox = outbox;
    }

    pub(crate) fn carry_out_one(&mut self, ctx: &mut Context<'_>, id: Option<AccountId>, post: Post) {
        match post {
            Post::Session { session, stanza } => {
                let account = id.and_then(|id| self.directory.present(id));
                if let Some(session) = account.and_then(|account| account.session_mut(session)) {
                    session.send(&mut self.desk, ctx, stanza);
                }
            }
            Post::BehindMail { session, stanza } => {
                let account = id.and_then(|id| self.directory.present(id));
                if let Some(session) = account.and_then(|account| account.session_mut(session)) {
                    session.send_behind_mail(&mut self.desk, ctx, stanza);
                }
            }
            Post::Droppable { session, stanza } => {
                let account = id.and_then(|id| self.directory.present(id));
                let Some(session) = account.and_then(|account| account.session_mut(session)) else { return };
                if !session.send_droppable(&mut self.desk, ctx, &stanza) {
                    self.desk.metrics.presence_dropped_total.inc();
                }
            }
            Post::Account { to, resource, stanza } => {
                let routed = RoutedStanza::new(to, resource, stanza, Handling::Quiet);
                self.desk.routed.push_back(routed.sent_by(id.unwrap_or(to)));
            }
            Post::PresenceBroadcast(tell) => self.fan_out(ctx, tell),
            Post::Probes(probes) => self.ask_all(ctx, probes),
            Post::PepNotification(pep_notification) => self.pep_notification(pep_notification),
            Post::Command(command) => self.command_to_owner(ctx, *command),
            Post::Due(due) => self.tell_due(ctx, due),
            // Events are told to the listening rooms when the room that posts them returns ([`crate::owner::dispatch`]).
            Post::Event(_) => {}
            Post::ContactSync(wish) => self.book(ctx, *wish),
            Post::Hints(accounts) => {
                if let Some(id) = id {
                    self.hint_others(ctx, id, accounts);
                }
            }
            Post::Media(wish) => {
                if let Some(id) = id {
                    self.media_request(ctx, id, *wish);
                }
            }
            Post::Errand(errand) => {
                if let Some(id) = id {
                    self.errand(ctx, id, errand);
                }
            }
        }
    }
}
