//! Stanzas of clients for strangers, other than messages, wait for the next tick of the sender's shard. Only then is their
//! recipient looked up.
//!
//! Whether a number has an account, and what that account shows, decides how much work a stanza for it takes, and so when the
//! `<a/>` for a following `<r/>` is sent. The difference is a microsecond; a sender who asks ten thousand times can measure it
//! (`chaski bench oracle`), and sooner with a hundred stanzas in one turn. So none of that work is done in the turn in which the
//! stanza has come, and in one tick only few stanzas of one sender are handled. First messages may tell (docs/promises.md, P1)
//! and wait for nothing.
//!
//! Stanzas of one sender to one recipient stay in order: a message takes along the stanzas that wait before it, and later stanzas
//! wait behind those that wait.
//!
//! Bounds: stanzas and bytes of one sender, and of all senders. Beyond these, requests are refused without looking at their
//! recipient, and stanzas that are never answered are dropped. Stanzas whose loss would leave two clients with different states
//! ([`RoutedStanza::must_arrive`]) have four times as much room. The queue is owned by the shard's desk. Specification: none; RFC
//! 6120 §10.1 for the order.

use super::Refuse;
use crate::account::first_stanza;
use crate::effects::letter::{Handling, RoutedStanza};
use crate::effects::presence::PresenceBroadcast;
use crate::owner::context::Context;
use crate::owner::state::Owner;
use chaski_store::AccountId;
use chaski_xmpp::Kind;

impl Owner {
    /// Keeps a stanza for the next tick if the time of its handling could tell a stranger something. Returns a stanza that need
    /// not wait.
    pub(crate) fn unhurried(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) -> Option<RoutedStanza> {
        if let Handling::Mail { .. } = routed.handling {
            if self.desk.strangers.has(routed.by, routed.to) {
                let before = self.desk.strangers.take(routed.by, |to| to == routed.to);
                before.into_iter().for_each(|routed| self.send_on(ctx, routed));
            }
            return Some(routed);
        }
        let may_tell = match routed.handling {
            Handling::Relay => true,
            // The sender's presence room has posted it (directed presence or a subscription). Answers and errors go to accounts
            // that have asked, and need not wait.
            _ => routed.kind() == Kind::Presence && routed.by != routed.to,
        };
        if self.desk.realm.limits.strangers_waiting == 0 || !may_tell {
            return Some(routed);
        }
        let is_behind = self.desk.strangers.has(routed.by, routed.to);
        let sender = self.directory.present(routed.by);
        if !is_behind && !sender.is_some_and(|own| first_stanza::is_stranger(own, routed.to, ctx.unix_ms)) {
            return Some(routed);
        }
        match self.desk.strangers.push(routed, &self.desk.realm.limits) {
            Ok(()) => self.note_strangers(),
            Err(routed) if routed.kind() == Kind::Presence => self.desk.metrics.presence_dropped_total.inc(),
            Err(routed) => {
                if routed.kind() == Kind::Message {
                    self.desk.metrics.messages_dropped_total.inc();
                }
                self.refuse(*routed, Refuse::Busy);
            }
        }
        None
    }

    /// Sends what waits for the recipients of a presence broadcast before the broadcast: some of them may have been strangers a
    /// moment ago.
    pub(crate) fn hurry_before(&mut self, ctx: &mut Context<'_>, tell: &PresenceBroadcast) {
        if self.desk.strangers.queues.contains_key(&tell.by) {
            let before = self.desk.strangers.take(tell.by, |to| tell.to.contains(&to));
            before.into_iter().for_each(|routed| self.send_on(ctx, routed));
        }
    }

    /// A tick has come: sends all that waits of one sender, and charges the work to its account. Returns whether other senders
    /// have something waiting.
    pub(crate) fn strangers_turn(&mut self, ctx: &mut Context<'_>) -> bool {
        if let Some((by, routed)) = self.desk.strangers.next() {
            self.desk.work = 0;
            routed.into_iter().for_each(|routed| self.send_on(ctx, routed));
            let units = std::mem::take(&mut self.desk.work);
            self.charge_account(by, units);
        }
        self.note_strangers();
        !self.desk.strangers.queues.is_empty()
    }

    /// The shard is about to stop and gets no further tick: sends everything that waits.
    pub(crate) fn carry_before_stop(&mut self, ctx: &mut Context<'_>) {
        while self.strangers_turn(ctx) {}
        self.settle(ctx);
    }

    /// An account is removed: drops its waiting stanzas, except those that must arrive, such as `unavailable`.
    pub(crate) fn forget_what_waits(&mut self, ctx: &mut Context<'_>, by: AccountId) {
        let ends = self.desk.strangers.take(by, |_| true).into_iter().filter(RoutedStanza::must_arrive);
        ends.for_each(|routed| self.send_on(ctx, routed));
        self.note_strangers();
    }

    fn note_strangers(&self) {
        let (count, bytes) = self.desk.strangers.level();
        self.desk.metrics.strangers_waiting.set(count as i64);
        self.desk.metrics.strangers_bytes.set(bytes as i64);
    }
}
