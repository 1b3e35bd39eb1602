//! What clients send to strangers and no message is: it waits for the next tick of its shard, and only then does anybody look for whom it is.
//!
//! Whether a number has an account, and how that is there, decides how much work a stanza for it is, and so when the `<a/>` comes that
//! answers an `<r/>` behind it. That is a microsecond, and who asks ten thousand times sees it (`chaski bench oracle`); with a hundred
//! stanzas in one turn even sooner. So none of that work is done in the turn in which a stranger's stanza has come, and a sender has few
//! of them done in one tick. First messages may tell, and wait for nothing (docs/promises.md, P1).
//!
//! What one sender sends to one recipient stays in order: a message takes with it what waits before it, and the rest stands behind.
//!
//! Bounds: stanzas and bytes of one sender, and of all. Beyond, requests are refused, without a look at whom they are for, and what is never
//! answered is dropped; what leaves two sides with different ideas if it is lost ([`RoutedStanza::must_arrive`]) has four times as much
//! room. Owned by the shard's desk. Specification: none; RFC 6120 §10.1 for the order.

use super::Refuse;
use crate::account::first_stanza;
use crate::effects::letter::{Handling, RoutedStanza};
use crate::effects::presence::PresenceBroadcast;
use crate::owner::context::Context;
use crate::owner::state::Owner;
use chaski_store::AccountId;
use chaski_xmpp::Kind;

impl Owner {
    /// Has a stanza wait if a stranger must not learn from its time. What is returned waits for nothing.
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
            // Posted by the sender's presence room; answers and errors are for who has asked.
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

    /// A presence goes out to many of whom some were strangers just now: what waits for these goes before it.
    pub(crate) fn hurry_before(&mut self, ctx: &mut Context<'_>, tell: &PresenceBroadcast) {
        if self.desk.strangers.queues.contains_key(&tell.by) {
            let before = self.desk.strangers.take(tell.by, |to| tell.to.contains(&to));
            before.into_iter().for_each(|routed| self.send_on(ctx, routed));
        }
    }

    /// The tick has come: all of one sender's goes, and is charged to it. Whether others wait.
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

    /// The shard is about to stop, and there will be no tick: all goes now.
    pub(crate) fn carry_before_stop(&mut self, ctx: &mut Context<'_>) {
        while self.strangers_turn(ctx) {}
        self.settle(ctx);
    }

    /// An account is removed: nothing of it comes any more, but that it has gone.
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
