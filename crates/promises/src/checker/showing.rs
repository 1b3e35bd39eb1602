//! What clients get and acknowledge (M2 to M6, A1 to A3, P2).

use super::Checker;
use super::accounts::State;
use super::messages::{Fate, Gone, Index, Known, Mark, Reached, Void, identity_key};
use super::streams::Written;
use crate::event::{Account, Content, Session, Showing};
use crate::verdict::Rule;

impl Checker {
    pub(super) fn shown(&mut self, session: Session, showing: Option<&Showing>) {
        let Some(stream) = self.streams.get(&session) else { return };
        let (place, began_at) = (stream.place, stream.began_at);
        let session_of = (began_at, stream.resumed_at);
        if let Some((void, at)) = self.void(stream) {
            let rule = if void == Void::Removed { Rule::RemovedLives } else { Rule::OldKeyReads };
            self.broken(rule, &[began_at, at], || "a stanza came on a session that is void".into());
        }
        let found = showing.and_then(|showing| self.find_shown(session, showing));
        let mut written = Written { message: found, mark: None, order: None, is_passed: false };
        if let (Some(index), Some(showing)) = (found, showing) {
            self.judge_content(index);
            if self.message(index).is_some_and(|message| message.is_kept) {
                self.judge_stanza_id(index, showing);
                written.mark = self.message(index).and_then(|message| message.mark(place));
                self.judge_copy(index, place, written.mark, session_of);
                let is_first = written.mark.is_none_or(|mark| mark.reached == Reached::Written);
                written.order = is_first.then(|| self.judge_order(index, place));
                self.note_shown(index, place);
            }
        }
        if let Some(stream) = self.streams.get_mut(&session) {
            stream.written.push_back(written);
        }
    }

    /// Which message it is.
    fn find_shown(&mut self, session: Session, showing: &Showing) -> Option<Index> {
        let stream = self.streams.get(&session)?;
        let (account, life, began_at) = (stream.account, stream.life, stream.began_at);
        let alike = self.alike(showing.from, showing.content);
        let of_life = |index: &&Index| self.message(**index).is_some_and(|message| message.life == life);
        let own: Vec<Index> = alike.iter().filter(of_life).copied().collect();
        if let Some(chosen) = self.choose(&own, showing) {
            return Some(chosen);
        }
        let Some(&other) = alike.last() else {
            self.broken(Rule::NeverSent, &[began_at], || {
                "a message was shown that its sender is not known to have sent, or long gone".into()
            });
            return None;
        };
        let message = self.message(other)?;
        let (sent_at, former, shown_from) = (message.first.1, message.life, message.covered_at);
        let (rule, text) = if !self.is_former(account, former) {
            (Rule::WrongAccount, "a message was shown to an account that it was not for")
        } else if matches!(self.life(former).state, State::Removed { .. }) {
            (Rule::RemovedInherited, "a removed account's message was shown to who has its number now")
        } else {
            (
                Rule::WrongHeir,
                "a message was shown to somebody who has its recipient's number without the right to it",
            )
        };
        self.broken(rule, &[sent_at, shown_from], || text.into());
        None
    }

    /// Of messages that look the same: the one that was shown with this stanza-id, else the first that was not shown yet.
    fn choose(&self, own: &[Index], showing: &Showing) -> Option<Index> {
        let with = |wanted: &dyn Fn(&super::Message) -> bool| {
            own.iter().copied().find(|&index| self.message(index).is_some_and(wanted))
        };
        let shown = showing.stanza_id;
        with(&|message| message.stanza_id.is_some() && message.stanza_id == shown)
            .or_else(|| {
                with(&|message| message.stanza_id.is_none() && !matches!(message.fate, Fate::Refused { .. }))
            })
            .or_else(|| with(&|message| message.stanza_id.is_none()))
            .or_else(|| own.last().copied())
    }

    fn judge_content(&mut self, index: Index) {
        let (now_ms, slack_ms) = (self.now_ms, self.knobs.slack_ms);
        let Some(message) = self.message(index) else { return };
        let sent_at = message.first.1;
        match message.void {
            Some(Void::OldKey) => self.broken(Rule::OldKeySends, &[sent_at], || {
                "what a session of an older key has sent was shown".into()
            }),
            Some(Void::Removed) => self.broken(Rule::RemovedSends, &[sent_at], || {
                "what a removed account's session has sent was shown".into()
            }),
            None => {}
        }
        let Some(message) = self.message(index) else { return };
        if let Fate::Refused { at_ms, at } = message.fate
            && message.is_kept
            && now_ms >= at_ms + slack_ms
        {
            self.broken(Rule::ShownAfterError, &[sent_at, at], || {
                "a message was shown after its sender had got an error for it".into()
            });
        }
        if self.message(index).is_some_and(|message| message.is_blocked) {
            self.broken(Rule::BlockedShown, &[sent_at], || "a blocked sender's message was shown".into());
        }
    }

    fn judge_stanza_id(&mut self, index: Index, showing: &Showing) {
        let Some(message) = self.message_mut(index) else { return };
        let (sent_at, shown_at) =
            (message.first.1, message.marks.as_slice().last().map_or(0, |mark| mark.at));
        let Some(stanza_id) = showing.stanza_id else {
            return self.broken(Rule::AnotherStanzaId, &[sent_at], || "a message has no stanza-id".into());
        };
        let (before, was_again) = (message.stanza_id, message.again_at != 0);
        message.stanza_id.get_or_insert(stanza_id);
        let identity =
            message.content.identity.map(|identity| identity_key(message.from, message.life, identity));
        if before.is_some_and(|before| before != stanza_id) {
            let rule = if was_again { Rule::IdentityNotKept } else { Rule::AnotherStanzaId };
            return self.broken(rule, &[sent_at, shown_at], || {
                "a message was shown again with another stanza-id".into()
            });
        }
        let Some(key) = identity else { return };
        let known = self.by_identity.entry(key).or_insert(Known { first: index, stanza_id: None });
        let (first, of_identity) = (known.first, *known.stanza_id.get_or_insert(stanza_id));
        if of_identity != stanza_id {
            let first_at = self.message(first).map_or(0, |message| message.first.1);
            self.broken(Rule::IdentityNotKept, &[first_at, sent_at], || {
                "two messages of one identity were shown with different stanza-ids".into()
            });
        }
    }

    /// A second copy comes after a fault, or because its sender has sent it again; nothing comes once it is gone.
    fn judge_copy(
        &mut self,
        index: Index,
        place: u32,
        mark: Option<Mark>,
        (began_at, resumed_at): (u32, u32),
    ) {
        let (now_ms, epoch, slack_ms) = (self.now_ms, self.epoch, self.knobs.slack_ms);
        let faults = self.places[place as usize].faults;
        let Some(message) = self.message_mut(index) else { return };
        let (sent_at, again_at, sends) = (message.first.1, message.again_at, message.sends);
        if message.is_renewed {
            return;
        }
        if let Some(gone) = message.gone {
            if gone.epoch != epoch || again_at > gone.at {
                // Back, once: it is gone again when it is acknowledged again.
                message.gone = None;
                return;
            }
            // What was written to the device before it was gone may be written again after a fault. So may what waited for a session that
            // was lost then, and be written again after the next fault (until devices are waited for, D1).
            let was_written = mark.is_some_and(|mark| {
                let before_it_was_gone = mark.at < gone.at || began_at < gone.at;
                mark.reached != Reached::Acknowledged && before_it_was_gone && mark.faults != faults
            });
            let was_waiting = mark.is_none() && began_at < gone.at && resumed_at > gone.at;
            if !was_written && !was_waiting && now_ms >= gone.at_ms + slack_ms {
                self.broken(Rule::AfterAcknowledged, &[sent_at, gone.at], || {
                    "a message was shown after the last device that is waited for had acknowledged it".into()
                });
            }
            return;
        }
        let Some(mark) = mark else { return };
        let no_fault = mark.faults == faults && mark.epoch == epoch;
        // Each sending may be kept.
        if no_fault && mark.copies >= sends && mark.reached >= Reached::Shown {
            self.broken(Rule::CopyWithoutFault, &[sent_at, mark.at], || {
                "a message was shown twice on a device, and neither a fault nor its sender is the reason"
                    .into()
            });
        }
    }

    /// A first showing on a device. Returns what the order was before.
    fn judge_order(&mut self, index: Index, place: u32) -> (u32, u32) {
        let Some(message) = self.message(index) else { return (0, 0) };
        let (flow, (first_session, first_at), covered_at) = (message.flow, message.first, message.covered_at);
        let (last_session, mut last_at) = message.last;
        let mut stands_at = covered_at;
        let life = self.life(message.life);
        // What was sent before a removal that may have been carried out, and again after it, is the second copy, if there are not both.
        let may_be_the_second = first_at < life.may_begin_at && message.again_at > life.may_begin_at;
        if life.may_be_half_gone(self.epoch) || may_be_the_second {
            (last_at, stands_at) = (last_at.max(message.again_at), stands_at.max(message.again_at));
        }
        let order = self.order(flow, place);
        let before = order.latest;
        let of = |order: &super::Order, session: Session| {
            order.by_session.as_slice().iter().find(|known| known.0 == session).map_or(0, |known| known.1)
        };
        let (of_last, of_first) = (of(order, last_session), of(order, first_session));
        order.latest = order.latest.max(first_at);
        match order.by_session.as_mut_slice().iter_mut().find(|known| known.0 == first_session) {
            Some(known) => known.1 = known.1.max(first_at),
            None => order.by_session.push((first_session, first_at)),
        }
        let later = if of_last > last_at {
            Some(of_last)
        } else if covered_at != 0 && before > stands_at {
            Some(before)
        } else {
            None
        };
        if let Some(later) = later {
            self.broken(Rule::OutOfOrder, &[first_at, later], || {
                "a message was first shown after one that the same sender had sent later".into()
            });
        }
        (before, of_first)
    }

    fn note_shown(&mut self, index: Index, place: u32) {
        let (epoch, at, faults) = (self.epoch, self.position, self.places[place as usize].faults);
        let Some(message) = self.message_mut(index) else { return };
        let before = message.mark(place).filter(|mark| (mark.faults, mark.epoch) == (faults, epoch));
        let copies = before.map_or(0, |mark| mark.copies).saturating_add(1);
        message.set_mark(Mark { place, faults, epoch, at, copies, reached: Reached::Shown });
        let life = message.life;
        self.life_mut(life).waits.remove(&index);
    }

    pub(super) fn acknowledged(&mut self, session: Session, h: u32) {
        let Some(stream) = self.streams.get_mut(&session) else { return };
        let count = h.wrapping_sub(stream.acknowledged) as usize;
        // A client that acknowledges what it never got is not the server's fault.
        if !stream.is_managed || count > stream.written.len() {
            return;
        }
        stream.acknowledged = h;
        let place = stream.place;
        let written: Vec<Written> = stream.written.drain(..count).collect();
        self.gone(place, &written);
    }

    pub(super) fn confirmed(&mut self, session: Session) {
        let Some(stream) = self.streams.get_mut(&session) else { return };
        let place = stream.place;
        let mut written = std::mem::take(&mut stream.before);
        if !stream.is_managed {
            written.extend(std::mem::take(&mut stream.written));
        }
        self.gone(place, &written);
    }

    pub(super) fn receipted(&mut self, session: Session, from: Account, content: Content) {
        let alike = self.alike(from, content);
        let Some(stream) = self.streams.get_mut(&session) else { return };
        let place = stream.place;
        let found = stream.written.iter().position(|w| w.message.is_some_and(|index| alike.contains(&index)));
        // What was written before it has arrived before it.
        stream.written.iter_mut().take(found.unwrap_or(0)).for_each(|written| written.is_passed = true);
        if let (false, Some(written)) =
            (stream.is_managed, found.and_then(|found| stream.written.remove(found)))
        {
            self.gone(place, &[written]);
        }
    }

    /// A device has these. Sessions are not waited for yet (D5): the first acknowledgement deletes.
    fn gone(&mut self, place: u32, written: &[Written]) {
        let (at_ms, at, epoch) = (self.now_ms, self.position, self.epoch);
        for index in written.iter().filter_map(|written| written.message) {
            let Some(message) = self.message_mut(index).filter(|message| message.is_kept) else { continue };
            if let Some(mark) = message.mark(place) {
                message.set_mark(Mark { reached: Reached::Acknowledged, ..mark });
            }
            if message.gone.is_none() {
                message.gone = Some(Gone { at_ms, at, epoch });
                if message.is_under_way_again(epoch) {
                    message.renew();
                }
            }
            let life = message.life;
            self.life_mut(life).waits.remove(&index);
            self.may_leave(index);
        }
    }
}
