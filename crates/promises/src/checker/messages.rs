//! What is remembered of each message, found by its content; forgotten some time after it is gone.

use super::accounts::LifeIndex;
use super::few::Few;
use super::{Checker, Order};
use crate::event::{Account, Content, Letter, Session, StanzaId};
use crate::mix;

/// A message, by its place among all.
pub(super) type Index = u32;

/// What its sender knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Neither accepted nor refused: it may be kept or not.
    Open,
    /// Covered by an `<a/>`.
    Accepted,
    /// An error came.
    Refused { at_ms: u64, at: u32 },
    /// One of several was refused, and nobody can say which.
    Unclear,
}

/// How far it got on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    /// Written to a connection that was lost before it arrived.
    Written,
    /// Arrived, as something behind it was acknowledged, and still owed: it was not acknowledged itself before the connection was
    /// lost. That it comes again says nothing of the order.
    Passed,
    Shown,
    Acknowledged,
}

/// What a device has to do with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) place: u32,
    /// Faults of the device and crashes, as of the last showing.
    pub(super) faults: u32,
    pub(super) epoch: u32,
    pub(super) at: u32,
    /// How often it was shown since.
    pub(super) copies: u8,
    pub(super) reached: Reached,
}

/// When the last device that is waited for has acknowledged it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone {
    pub(super) at_ms: u64,
    pub(super) at: u32,
    pub(super) epoch: u32,
}

/// Whose session sent it after it was void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Void {
    OldKey,
    Removed,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) from: Account,
    pub(super) to: Account,
    pub(super) life: LifeIndex,
    pub(super) content: Content,
    /// Sender, recipient and resource: an order.
    pub(super) flow: u64,
    pub(super) stanza_id: Option<StanzaId>,
    /// Where it was sent first.
    pub(super) first: (Session, u32),
    /// Where it was sent last before it was accepted.
    pub(super) last: (Session, u32),
    /// Where it was sent again, for whatever reason.
    pub(super) again_at: u32,
    /// In which session it was sent last, and when.
    pub(super) again: (Session, u32),
    /// How many of its sendings no `h` covers, and may still be under way; of this run of the server.
    pub(super) open: u8,
    pub(super) open_epoch: u32,
    /// How often it was sent.
    pub(super) sends: u8,
    pub(super) fate: Fate,
    pub(super) covered_at: u32,
    pub(super) covered_ms: u64,
    pub(super) covered_epoch: u32,
    pub(super) gone: Option<Gone>,
    pub(super) marks: Few<Mark>,
    /// It was sent again when it was gone: what is new can't be told from what a lost session still has of the first.
    pub(super) is_renewed: bool,
    pub(super) is_kept: bool,
    pub(super) is_blocked: bool,
    /// It was sent, or sent again, when its sender may have been blocked: an error would be about that, and it may be dropped.
    pub(super) may_be_blocked: bool,
    /// It was never sent when he surely was not.
    pub(super) is_unsure: bool,
    /// Another message of the same identity was sent before.
    pub(super) is_beside: bool,
    /// When it was sent, its recipient's number was known to be nobody's.
    pub(super) for_nobody: bool,
    pub(super) void: Option<Void>,
}

impl Message {
    pub(super) fn mark(&self, place: u32) -> Option<Mark> {
        self.marks.as_slice().iter().find(|mark| mark.place == place).copied()
    }

    pub(super) fn set_mark(&mut self, new: Mark) {
        match self.marks.as_mut_slice().iter_mut().find(|mark| mark.place == new.place) {
            Some(mark) => *mark = new,
            None => self.marks.push(new),
        }
    }

    pub(super) fn was_shown(&self) -> bool {
        self.marks.as_slice().iter().any(|mark| mark.reached >= Reached::Shown)
    }

    /// A sending was covered, or answered: it is under way no more.
    pub(super) fn settled(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Whether one that was sent again may still be on its way to its recipient.
    pub(super) fn is_under_way_again(&self, epoch: u32) -> bool {
        self.sends > 1 && self.open > 0 && self.open_epoch == epoch
    }

    /// It is gone, and sent again: that may be dropped, or kept as a new one.
    pub(super) fn renew(&mut self) {
        (self.fate, self.covered_at, self.is_renewed) = (Fate::Open, 0, true);
        self.last = self.again;
    }

    /// Whether it would be missed.
    pub(super) fn is_awaited(&self) -> bool {
        let counts = self.is_kept && !self.is_blocked && !self.is_unsure && !self.for_nobody;
        counts && self.fate == Fate::Accepted && self.gone.is_none() && !self.was_shown()
    }
}

/// A known identity.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) first: Index,
    pub(super) stanza_id: Option<StanzaId>,
}

pub(super) fn content_key(from: Account, content: Content) -> u64 {
    let identity = content.identity.map_or(0, |identity| mix(identity ^ 0x5bd1));
    mix(mix(from.0 ^ identity).wrapping_add(content.bytes))
}

pub(super) fn identity_key(from: Account, life: LifeIndex, identity: u64) -> u64 {
    mix(mix(from.0 ^ mix(u64::from(life))).wrapping_add(identity))
}

fn flow_key(from: Account, life: LifeIndex, resource: Option<u64>) -> u64 {
    let resource = resource.map_or(0, |resource| mix(resource ^ 0x9e37));
    mix(mix(from.0 ^ mix(u64::from(life) ^ resource)).wrapping_add(1))
}

impl Checker {
    pub(super) fn message(&self, index: Index) -> Option<&Message> {
        self.messages.get(index as usize).and_then(Option::as_ref)
    }

    pub(super) fn message_mut(&mut self, index: Index) -> Option<&mut Message> {
        self.messages.get_mut(index as usize).and_then(Option::as_mut)
    }

    /// All messages of this sender with this content.
    pub(super) fn alike(&self, from: Account, content: Content) -> Vec<Index> {
        let found = self.by_content.get(&content_key(from, content));
        let all = found.map_or(&[][..], Few::as_slice).iter().copied();
        all.filter(|&index| {
            self.message(index).is_some_and(|message| message.from == from && message.content == content)
        })
        .collect()
    }

    pub(super) fn add_message(
        &mut self,
        from: Account,
        session: Session,
        letter: &Letter,
        life: LifeIndex,
    ) -> Index {
        let content = letter.content;
        let sent = (session, self.position);
        let message = Message {
            from,
            to: letter.to,
            life,
            content,
            flow: flow_key(from, life, letter.resource),
            stanza_id: None,
            first: sent,
            last: sent,
            again_at: 0,
            again: sent,
            sends: 1,
            open: 1,
            open_epoch: self.epoch,
            fate: Fate::Open,
            covered_at: 0,
            covered_ms: 0,
            covered_epoch: 0,
            gone: None,
            marks: Few::None,
            is_renewed: false,
            is_kept: letter.kept,
            is_blocked: false,
            may_be_blocked: false,
            is_unsure: false,
            is_beside: false,
            for_nobody: false,
            void: None,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.messages[index as usize] = Some(message);
                index
            }
            None => {
                self.messages.push(Some(message));
                (self.messages.len() - 1) as Index
            }
        };
        self.by_content.entry(content_key(from, content)).or_default().push(index);
        if !letter.kept {
            self.leaving.push_back((self.now_ms, index));
        } else if let Some(identity) = content.identity {
            let mut is_beside = true;
            self.by_identity.entry(identity_key(from, life, identity)).or_insert_with(|| {
                is_beside = false;
                Known { first: index, stanza_id: None }
            });
            if let Some(message) = self.message_mut(index) {
                message.is_beside = is_beside;
            }
        }
        index
    }

    /// From now on it may be forgotten, in its time.
    pub(super) fn may_leave(&mut self, index: Index) {
        self.leaving.push_back((self.now_ms, index));
    }

    pub(super) fn forget(&mut self) {
        while let Some(&(since_ms, index)) = self.leaving.front() {
            if self.now_ms - since_ms < self.knobs.forget_after_ms {
                return;
            }
            self.leaving.pop_front();
            let is_over = self.message(index).is_some_and(|message| match (message.gone, message.fate) {
                // It may have come back, and gone again later.
                (Some(gone), _) => gone.at_ms <= since_ms && !message.is_renewed,
                (None, Fate::Refused { at_ms, .. }) => at_ms <= since_ms,
                (None, _) => !message.is_kept,
            });
            if is_over {
                self.drop_message(index);
            }
        }
    }

    fn drop_message(&mut self, index: Index) {
        let Some(message) = self.messages.get_mut(index as usize).and_then(Option::take) else { return };
        self.free.push(index);
        let key = content_key(message.from, message.content);
        if let Some(alike) = self.by_content.get_mut(&key)
            && alike.retain(|known| *known != index)
        {
            self.by_content.remove(&key);
        }
        if let Some(identity) = message.content.identity {
            let key = identity_key(message.from, message.life, identity);
            if self.by_identity.get(&key).is_some_and(|known| known.first == index) {
                self.by_identity.remove(&key);
            }
        }
    }

    pub(super) fn order(&mut self, flow: u64, place: u32) -> &mut Order {
        self.orders.entry((flow, place)).or_default()
    }
}
