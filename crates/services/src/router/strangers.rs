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
//! answered is dropped; what leaves two sides with different ideas if it is lost ([`super::receive::must_arrive`]) has four times as much
//! room. Owned by the shard's desk. Specification: none; RFC 6120 §10.1 for the order.

use super::receive::must_arrive;
use super::{Handling, Parcel, Refuse};
use crate::book::acquaintances;
use crate::context::{Context, Limits};
use crate::presence::Tell;
use crate::shard::Shard;
use chaski_store::AccountId;
use chaski_xmpp::Kind;
use std::collections::{HashMap, VecDeque};

/// What a waiting stanza counts besides its bytes.
const PARCEL_BYTES: usize = 256;
/// So much more room has what must not be lost.
const HARD: usize = 4;
/// All senders together have the room of so many.
const FULL_SENDERS: usize = 64;
/// Bytes for each stanza that may wait: most are small.
const BYTES_EACH: usize = 1_024;

/// See the module.
#[derive(Default)]
pub(crate) struct Strangers {
    /// By sender. None is empty.
    queues: HashMap<AccountId, Queue>,
    /// Whose stanzas wait, each once, in the order of their turns.
    turns: VecDeque<AccountId>,
    count: usize,
    bytes: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Parcel>,
    bytes: usize,
}

fn size(parcel: &Parcel) -> usize {
    PARCEL_BYTES + parcel.stanza.len()
}

impl Strangers {
    /// Takes a stanza in. An error: there is no room for it.
    fn push(&mut self, parcel: Parcel, limits: &Limits) -> Result<(), Box<Parcel>> {
        let most = limits.strangers_waiting * if must_arrive(&parcel) { HARD } else { 1 };
        let bytes = size(&parcel);
        let (count, taken) =
            self.queues.get(&parcel.by).map_or((0, 0), |queue| (queue.waiting.len(), queue.bytes));
        let is_full = |count: usize, bytes: usize, of: usize| {
            count >= most * of || (count > 0 && bytes > most * of * BYTES_EACH)
        };
        if is_full(count, taken + bytes, 1) || is_full(self.count, self.bytes + bytes, FULL_SENDERS) {
            return Err(Box::new(parcel));
        }
        let turns = &mut self.turns;
        let queue = self.queues.entry(parcel.by).or_insert_with(|| {
            turns.push_back(parcel.by);
            Queue::default()
        });
        queue.bytes += bytes;
        queue.waiting.push_back(parcel);
        self.bytes += bytes;
        self.count += 1;
        Ok(())
    }

    /// Whether something of this sender waits for this recipient.
    fn has(&self, by: AccountId, to: AccountId) -> bool {
        !self.queues.is_empty()
            && self.queues.get(&by).is_some_and(|queue| queue.waiting.iter().any(|parcel| parcel.to == to))
    }

    /// Takes out what this sender has waiting for these recipients, in order.
    fn take(&mut self, by: AccountId, is_for: impl Fn(AccountId) -> bool) -> Vec<Parcel> {
        let Some(queue) = self.queues.get_mut(&by) else { return Vec::new() };
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut queue.waiting).into_iter().partition(|parcel| is_for(parcel.to));
        queue.waiting = left.into();
        let bytes: usize = taken.iter().map(size).sum();
        queue.bytes -= bytes;
        self.bytes -= bytes;
        self.count -= taken.len();
        if queue.waiting.is_empty() {
            self.queues.remove(&by);
            self.turns.retain(|known| *known != by);
        }
        taken
    }

    /// All that the next sender may have done in one tick.
    fn next(&mut self) -> Option<(AccountId, Vec<Parcel>)> {
        let by = *self.turns.front()?;
        Some((by, self.take(by, |_| true)))
    }

    /// Stanzas and bytes that wait.
    pub(crate) fn level(&self) -> (usize, usize) {
        (self.count, self.bytes)
    }
}

impl Shard {
    /// Has a stanza wait if a stranger must not learn from its time. What is returned waits for nothing.
    pub(super) fn unhurried(&mut self, ctx: &mut Context<'_>, parcel: Parcel) -> Option<Parcel> {
        if let Handling::Mail { .. } = parcel.handling {
            if self.desk.strangers.has(parcel.by, parcel.to) {
                let before = self.desk.strangers.take(parcel.by, |to| to == parcel.to);
                before.into_iter().for_each(|parcel| self.send_on(ctx, parcel));
            }
            return Some(parcel);
        }
        let may_tell = match parcel.handling {
            Handling::Relay => true,
            // Posted by the sender's presence room; answers and errors are for who has asked.
            _ => parcel.kind() == Kind::Presence && parcel.by != parcel.to,
        };
        if self.desk.realm.limits.strangers_waiting == 0 || !may_tell {
            return Some(parcel);
        }
        let is_behind = self.desk.strangers.has(parcel.by, parcel.to);
        let sender = self.directory.present(parcel.by);
        if !is_behind && !sender.is_some_and(|own| acquaintances::is_stranger(own, parcel.to, ctx.unix_ms)) {
            return Some(parcel);
        }
        match self.desk.strangers.push(parcel, &self.desk.realm.limits) {
            Ok(()) => self.note_strangers(),
            Err(parcel) if parcel.kind() == Kind::Presence => self.desk.metrics.presence_dropped_total.inc(),
            Err(parcel) => {
                if parcel.kind() == Kind::Message {
                    self.desk.metrics.messages_dropped_total.inc();
                }
                self.refuse(*parcel, Refuse::Busy);
            }
        }
        None
    }

    /// A presence goes out to many of whom some were strangers just now: what waits for these goes before it.
    pub(super) fn hurry_before(&mut self, ctx: &mut Context<'_>, tell: &Tell) {
        if self.desk.strangers.queues.contains_key(&tell.by) {
            let before = self.desk.strangers.take(tell.by, |to| tell.to.contains(&to));
            before.into_iter().for_each(|parcel| self.send_on(ctx, parcel));
        }
    }

    /// The tick has come: all of one sender's goes, and is charged to it. Whether others wait.
    pub(crate) fn strangers_turn(&mut self, ctx: &mut Context<'_>) -> bool {
        if let Some((by, parcels)) = self.desk.strangers.next() {
            self.desk.work = 0;
            parcels.into_iter().for_each(|parcel| self.send_on(ctx, parcel));
            let units = std::mem::take(&mut self.desk.work);
            self.charge_account(by, units);
        }
        self.note_strangers();
        !self.desk.strangers.queues.is_empty()
    }

    /// The shard is about to stop, and there will be no tick: all goes now.
    pub fn carry_before_stop(&mut self, ctx: &mut Context<'_>) {
        while self.strangers_turn(ctx) {}
        self.settle(ctx);
    }

    /// An account is removed: nothing of it comes any more, but that it has gone.
    pub(crate) fn forget_what_waits(&mut self, ctx: &mut Context<'_>, by: AccountId) {
        let ends = self.desk.strangers.take(by, |_| true).into_iter().filter(must_arrive);
        ends.for_each(|parcel| self.send_on(ctx, parcel));
        self.note_strangers();
    }

    fn note_strangers(&self) {
        let (count, bytes) = self.desk.strangers.level();
        self.desk.metrics.strangers_waiting.set(count as i64);
        self.desk.metrics.strangers_bytes.set(bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_xmpp::Stored;

    fn account(number: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + number).expect("a number")
    }

    fn parcel(by: u64, to: u64, stanza: &str) -> Parcel {
        Parcel::new(account(to), None, Stored::of(stanza), Handling::Relay).sent_by(account(by))
    }

    fn numbers(parcels: &[Parcel]) -> Vec<u64> {
        parcels.iter().map(|parcel| parcel.to.phone_number().expect("a number") - 15_551_230_000).collect()
    }

    #[test]
    fn senders_take_turns_and_what_is_for_one_recipient_can_be_taken_out() {
        let (mut strangers, limits) =
            (Strangers::default(), Limits { strangers_waiting: 10, ..Limits::default() });
        for to in [5, 6, 5, 7] {
            strangers.push(parcel(1, to, "<message/>"), &limits).expect("there is room");
        }
        strangers.push(parcel(2, 5, "<message/>"), &limits).expect("there is room");
        assert!(strangers.has(account(1), account(7)) && !strangers.has(account(2), account(7)));
        assert_eq!(numbers(&strangers.take(account(1), |to| to == account(5))), [5, 5]);
        let (by, rest) = strangers.next().expect("some are left");
        assert_eq!((by, numbers(&rest)), (account(1), vec![6, 7]));
        assert_eq!(strangers.next().map(|(by, _)| by), Some(account(2)));
        assert!(strangers.next().is_none() && strangers.level() == (0, 0) && strangers.turns.is_empty());
    }

    #[test]
    fn one_sender_and_all_together_are_bounded_and_an_end_has_more_room() {
        let (mut strangers, limits) =
            (Strangers::default(), Limits { strangers_waiting: 4, ..Limits::default() });
        let taken = |strangers: &mut Strangers, by: u64, stanza: &str, count: u64| {
            (0..count).filter(|to| strangers.push(parcel(by, 100 + to, stanza), &limits).is_ok()).count()
        };
        assert_eq!(taken(&mut strangers, 1, "<message/>", 20), 4);
        assert_eq!(taken(&mut strangers, 1, "<presence type='unavailable'/>", 20), 12, "four times as many");
        let large = format!("<message>{}</message>", "x".repeat(3_000));
        assert_eq!(taken(&mut strangers, 2, &large, 20), 1, "bytes are counted, too");
        let others: usize = (3..200).map(|by| taken(&mut strangers, by, "<message/>", 4)).sum();
        assert_eq!(others + 17, 4 * FULL_SENDERS);
        assert_eq!(strangers.level().0, 4 * FULL_SENDERS);
    }
}
