//! What clients send, and what they are told of it (M1, M5, M6, M8).

use super::Checker;
use super::accounts::State;
use super::messages::{Fate, Index, Message, Void};
use super::streams::Sent;
use crate::event::{Account, Content, Letter, Session};
use crate::verdict::Rule;

impl Checker {
    pub(super) fn sent(&mut self, session: Session, letter: Option<&Letter>) {
        let Some(stream) = self.streams.get(&session) else { return };
        let (account, is_managed) = (stream.account, stream.is_managed);
        let void = self.void(stream).map(|(void, _)| void);
        let message = letter.map(|letter| self.sent_message(account, session, letter, void));
        if is_managed && let Some(stream) = self.streams.get_mut(&session) {
            stream.sent.push_back(Sent { message, is_refused: false });
        }
    }

    fn sent_message(
        &mut self,
        from: Account,
        session: Session,
        letter: &Letter,
        void: Option<Void>,
    ) -> Index {
        let life = self.life_of(letter.to);
        let recipient = self.life(life);
        let (is_blocked, may_be_blocked) =
            (recipient.blocks.contains(&from), recipient.may_block.contains(&from));
        let for_nobody = recipient.state == State::Nobody && !recipient.is_leaving();
        let known = letter.content.identity.and_then(|_| self.sent_before(from, letter, life));
        if let Some(index) = known {
            // What may have been dropped because its sender was blocked counts from now on, when he is not.
            let was_dropped = |message: &&mut Message| {
                (message.is_blocked || message.may_be_blocked) && !is_blocked && !message.was_shown()
            };
            if let Some(message) = self.message_mut(index).filter(was_dropped)
                && message.fate == Fate::Accepted
            {
                (message.fate, message.covered_at) = (Fate::Open, 0);
            }
            // Of one that was refused nothing is owed: it is as if it were sent for the first time.
            let is_anew =
                self.message(index).is_some_and(|message| matches!(message.fate, Fate::Refused { .. }));
            self.sent_again(index, session, void);
            if let Some(message) = self.message_mut(index) {
                message.may_be_blocked |= may_be_blocked;
                message.is_unsure = may_be_blocked && (is_anew || message.is_unsure);
                message.is_blocked = is_blocked && (is_anew || message.is_blocked);
                message.for_nobody = for_nobody && (is_anew || message.for_nobody);
            }
            return index;
        }
        let index = self.add_message(from, session, letter, life);
        if let Some(message) = self.message_mut(index) {
            (message.is_blocked, message.for_nobody, message.void) = (is_blocked, for_nobody, void);
            (message.may_be_blocked, message.is_unsure) = (may_be_blocked, may_be_blocked);
        }
        index
    }

    fn sent_before(&self, from: Account, letter: &Letter, life: u32) -> Option<Index> {
        let alike = self.alike(from, letter.content);
        let of_life = |index: &&Index| self.message(**index).is_some_and(|message| message.life == life);
        alike.iter().rfind(of_life).copied()
    }

    /// A message is sent again, under its own identity and with equal bytes.
    fn sent_again(&mut self, index: Index, session: Session, void: Option<Void>) {
        let (at, epoch) = (self.position, self.epoch);
        let Some(message) = self.message_mut(index) else { return };
        (message.again_at, message.again) = (at, (session, at));
        message.sends = message.sends.saturating_add(1);
        let before = if message.open_epoch == epoch { message.open } else { 0 };
        (message.open, message.open_epoch) = (before.saturating_add(1), epoch);
        if message.gone.is_some() {
            message.renew();
        }
        if message.fate != Fate::Accepted {
            message.last = (session, at);
        }
        if matches!(message.fate, Fate::Refused { .. }) {
            message.fate = Fate::Open;
        }
        // It was good before: it may be shown for that.
        if void.is_none() {
            message.void = None;
        }
    }

    pub(super) fn covered(&mut self, session: Session, h: u32) {
        let provisional =
            self.streams.get_mut(&session).map(|stream| std::mem::take(&mut stream.provisional));
        provisional.unwrap_or_default().into_iter().for_each(|index| self.judge_acceptance(index));
        self.cover(session, h, false);
    }

    /// `<a h/>`, or the `h` of a resumption, behind which errors may still come.
    pub(super) fn cover(&mut self, session: Session, h: u32, is_provisional: bool) {
        let Some(stream) = self.streams.get_mut(&session) else { return };
        if !stream.is_managed || stream.is_over {
            return;
        }
        let count = h.wrapping_sub(stream.covered) as usize;
        if count > stream.sent.len() {
            let (before, began_at, open) = (stream.covered, stream.began_at, stream.sent.len());
            return self.broken(Rule::WrongCount, &[began_at], || {
                format!("h='{h}' after h='{before}', when {open} stanzas were not covered")
            });
        }
        stream.covered = h;
        let covered: Vec<Sent> = stream.sent.drain(..count).collect();
        for Sent { message, is_refused } in covered {
            if let Some(message) = message.and_then(|index| self.message_mut(index)) {
                message.settled();
            }
            if let (Some(index), false) = (message, is_refused) {
                self.accepted(index);
                match self.streams.get_mut(&session).filter(|_| is_provisional) {
                    Some(stream) => stream.provisional.push(index),
                    None => self.judge_acceptance(index),
                }
            }
        }
    }

    fn accepted(&mut self, index: Index) {
        let (now_ms, at, epoch) = (self.now_ms, self.position, self.epoch);
        let Some(message) = self.message_mut(index) else { return };
        let sent_at = message.last.1;
        if let Some(void) = message.void.take() {
            let rule = if void == Void::Removed { Rule::RemovedSends } else { Rule::OldKeySends };
            return self.broken(rule, &[sent_at], || "what a void session has sent was accepted".into());
        }
        if matches!(message.fate, Fate::Open) {
            message.fate = Fate::Accepted;
            (message.covered_at, message.covered_ms, message.covered_epoch) = (at, now_ms, epoch);
        }
        let (life, is_awaited) = (message.life, message.is_awaited());
        let life = self.life_mut(life);
        let is_owed = is_awaited && !life.may_be_without(sent_at);
        if is_owed && matches!(life.state, State::Alive | State::Unknown) {
            life.waits.insert(index);
        }
    }

    /// No error can come any more.
    fn judge_acceptance(&mut self, index: Index) {
        let Some(message) = self.message(index) else { return };
        let sent_at = message.last.1;
        if message.for_nobody && message.is_kept && message.fate == Fate::Accepted {
            self.broken(Rule::AcceptedForNobody, &[sent_at], || {
                "a message for a number that is nobody's was accepted, and no error came".into()
            });
        }
    }

    pub(super) fn refused(
        &mut self,
        session: Session,
        (to, content): (Account, Option<Content>),
        is_bound: bool,
    ) {
        let Some(stream) = self.streams.get(&session) else { return };
        let from = stream.account;
        let is_meant = |message: &Message| {
            message.to == to
                && content.is_none_or(|content| message.from == from && message.content == content)
        };
        let sent = stream.sent.iter().filter(|sent| !sent.is_refused).filter_map(|sent| sent.message);
        // What a resumption has covered may still be refused, once.
        let is_open = |message: &Message| is_meant(message) && message.fate == Fate::Accepted;
        let covered = stream.provisional.iter().copied();
        let covered = covered.filter(|&index| self.message(index).is_some_and(is_open));
        let mut under_way: Vec<Index> =
            sent.filter(|&index| self.message(index).is_some_and(is_meant)).chain(covered).collect();
        under_way.sort_unstable();
        under_way.dedup();
        match (&under_way[..], content) {
            ([index], _) => self.refuse(session, *index, is_bound),
            // One of them was refused, and nobody can say which.
            ([_, _, ..], _) => self.unclear(session, &under_way),
            ([], Some(content)) => {
                let mut alike = self.alike(from, content);
                alike.retain(|&index| self.message(index).is_some_and(|message| message.to == to));
                match alike[..] {
                    [index] => self.refuse(session, index, is_bound),
                    _ => self.unclear(session, &alike),
                }
            }
            ([], None) => {}
        }
    }

    fn unclear(&mut self, session: Session, all: &[Index]) {
        for &index in all {
            let stream = self.streams.get(&session);
            let is_provisional = stream.is_some_and(|stream| stream.provisional.contains(&index));
            if let Some(message) = self.message_mut(index)
                && (message.fate == Fate::Open || is_provisional && message.fate == Fate::Accepted)
            {
                message.fate = Fate::Unclear;
            }
        }
    }

    fn refuse(&mut self, session: Session, index: Index, is_bound: bool) {
        let (now_ms, at, epoch) = (self.now_ms, self.position, self.epoch);
        if let Some(stream) = self.streams.get_mut(&session)
            && let Some(sent) =
                stream.sent.iter_mut().find(|sent| sent.message == Some(index) && !sent.is_refused)
        {
            sent.is_refused = true;
        }
        let is_provisional =
            self.streams.get(&session).is_some_and(|stream| stream.provisional.contains(&index));
        let Some(message) = self.message(index) else { return };
        let (sent_at, covered_at) = (message.last.1, message.covered_at);
        // Of an account whose removal was asked for it may say that there is none, or was none.
        let life = self.life(message.life);
        let may_be_nobody = life.is_leaving() || life.may_be_without(sent_at);
        if message.is_blocked && !is_bound && !may_be_nobody {
            self.broken(Rule::BlockedTold, &[sent_at], || "a blocked sender was told by an error".into());
        }
        let Some(message) = self.message_mut(index) else { return };
        match message.fate {
            // The first was accepted, and that is good for both.
            Fate::Accepted if message.again_at != 0 && !is_provisional => {}
            Fate::Accepted if !is_provisional => {
                self.broken(Rule::RefusedAfterAccepted, &[sent_at, covered_at], || {
                    "an error came for a message that was accepted".into()
                })
            }
            _ if message.may_be_blocked && message.again_at != 0 => message.fate = Fate::Unclear,
            // Another sending of it may be under way, and is not what was refused.
            _ if message.is_under_way_again(epoch) && message.open > 1 => message.fate = Fate::Unclear,
            _ => {
                // A resumption may have covered it before.
                (message.fate, message.covered_at) = (Fate::Refused { at_ms: now_ms, at }, 0);
                let life = message.life;
                self.life_mut(life).waits.remove(&index);
                self.may_leave(index);
            }
        }
    }

    pub(super) fn quiet(&mut self, session: Session) {
        let Some(stream) = self.streams.get(&session) else { return };
        let (count, began_at) = (stream.sent.len(), stream.began_at);
        if stream.is_managed && !stream.is_over && stream.epoch == self.epoch && count > 0 {
            self.broken(Rule::NotCounted, &[began_at], || {
                format!("{count} stanzas were sent and never counted in h")
            });
        }
    }
}
