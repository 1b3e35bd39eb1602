//! A valid history looked at from above: where each message was sent, covered, shown and acknowledged, and when each session
//! was connected. For the edits, which need to know where they would break a promise for sure.

use crate::event::{Account, Content, Device, Event, Letter, Session, Timed};
use std::collections::{BTreeMap, VecDeque};

/// A message, by its sender and content.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) from: Account,
    pub(super) letter: Letter,
    pub(super) session: Session,
    /// Where it was sent.
    pub(super) sent: Vec<usize>,
    pub(super) covered: Option<usize>,
    pub(super) refused: Option<usize>,
    pub(super) shown: Vec<(usize, Session)>,
    /// Where it was first acknowledged, and on which session.
    pub(super) acknowledged: Option<(usize, Session)>,
}

/// A session's connection: from and until where in the history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) session: Session,
    pub(super) account: Account,
    pub(super) device: Device,
    pub(super) key: u32,
    pub(super) from: usize,
    pub(super) until: usize,
}

#[derive(Debug, Default)]
struct Line {
    sent: VecDeque<Option<usize>>,
    covered: u32,
    written: VecDeque<Option<usize>>,
    acknowledged: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) messages: Vec<Traced>,
    pub(super) spans: Vec<Span>,
    by_content: BTreeMap<(Account, Option<u64>, u64), usize>,
    lines: BTreeMap<Session, Line>,
    open: Vec<Span>,
}

impl Trace {
    pub(super) fn of(history: &[Timed]) -> Self {
        let mut trace = Self::default();
        for (place, timed) in history.iter().enumerate() {
            trace.connections(place, timed.event);
            trace.stanzas(place, timed.event);
        }
        let end = history.len();
        trace.close(end, |_| true);
        trace
    }

    fn close(&mut self, place: usize, which: impl Fn(&Span) -> bool) {
        let (over, open): (Vec<_>, Vec<_>) = self.open.drain(..).partition(which);
        self.spans.extend(over.into_iter().map(|span| Span { until: place, ..span }));
        self.open = open;
    }

    fn connections(&mut self, place: usize, event: Event) {
        match event {
            Event::Began { session, account, device, key } => {
                self.close(place, |span| span.device == device);
                self.open.push(Span { session, account, device, key, from: place, until: 0 });
            }
            Event::Resumed { session, .. } => {
                if let Some(span) = self.spans.iter().rfind(|span| span.session == session).copied() {
                    self.open.push(Span { from: place, ..span });
                }
            }
            Event::Lost { session, .. } | Event::Ended { session, .. } => {
                self.close(place, |span| span.session == session);
            }
            Event::Registered { account, .. }
            | Event::KeyChanged { account, .. }
            | Event::Removing { account }
            | Event::Moved { from: account, .. } => self.close(place, |span| span.account == account),
            Event::Crashed { .. } => self.close(place, |_| true),
            _ => {}
        }
    }

    fn stanzas(&mut self, place: usize, event: Event) {
        match event {
            Event::Sent { session, letter } => {
                let message = letter.and_then(|letter| self.sent(place, session, letter));
                self.lines.entry(session).or_default().sent.push_back(message);
            }
            Event::Covered { session, h } => self.covered(place, session, h),
            Event::Resumed { session, h, arrived, .. } => {
                self.covered(place, session, h);
                self.acknowledged(place, session, arrived);
                let line = self.lines.entry(session).or_default();
                line.sent.clear();
                line.written.clear();
            }
            Event::Refused { session, content: Some(content), .. } => {
                let from = self.account(session);
                if let Some(index) = self.find(from, content) {
                    self.messages[index].refused = Some(place);
                }
            }
            Event::Shown { session, showing } => {
                let message = showing.and_then(|showing| self.find(Some(showing.from), showing.content));
                if let Some(index) = message {
                    self.messages[index].shown.push((place, session));
                }
                self.lines.entry(session).or_default().written.push_back(message);
            }
            Event::Acknowledged { session, h } => self.acknowledged(place, session, h),
            Event::Lost { session, missing } => {
                let line = self.lines.entry(session).or_default();
                let left = line.written.len().saturating_sub(missing as usize);
                line.written.truncate(left);
            }
            _ => {}
        }
    }

    fn account(&self, session: Session) -> Option<Account> {
        let all = self.open.iter().chain(&self.spans);
        all.into_iter().find(|span| span.session == session).map(|span| span.account)
    }

    fn find(&self, from: Option<Account>, content: Content) -> Option<usize> {
        self.by_content.get(&(from?, content.identity, content.bytes)).copied()
    }

    fn sent(&mut self, place: usize, session: Session, letter: Letter) -> Option<usize> {
        let from = self.account(session)?;
        if let Some(index) = self.find(Some(from), letter.content) {
            self.messages[index].sent.push(place);
            return Some(index);
        }
        let index = self.messages.len();
        self.by_content.insert((from, letter.content.identity, letter.content.bytes), index);
        let (shown, sent) = (Vec::new(), vec![place]);
        let (covered, refused, acknowledged) = (None, None, None);
        self.messages.push(Traced { from, letter, session, sent, covered, refused, shown, acknowledged });
        Some(index)
    }

    fn covered(&mut self, place: usize, session: Session, h: u32) {
        let line = self.lines.entry(session).or_default();
        let count = h.wrapping_sub(line.covered) as usize;
        line.covered = h;
        for index in line.sent.drain(..count.min(line.sent.len())).flatten() {
            self.messages[index].covered.get_or_insert(place);
        }
    }

    fn acknowledged(&mut self, place: usize, session: Session, h: u32) {
        let line = self.lines.entry(session).or_default();
        let count = h.wrapping_sub(line.acknowledged) as usize;
        line.acknowledged = h;
        for index in line.written.drain(..count.min(line.written.len())).flatten() {
            self.messages[index].acknowledged.get_or_insert((place, session));
        }
    }

    /// A session of that account that is connected at this place, by preference on no device of `not`.
    pub(super) fn connected(&self, account: Account, place: usize) -> Option<Span> {
        self.spans
            .iter()
            .find(|span| span.account == account && span.from < place && place <= span.until)
            .copied()
    }

    /// How many stanzas a session has sent by now, as the server counts, and how many of them are covered.
    pub(super) fn counts(history: &[Timed], session: Session, place: usize) -> (u32, u32) {
        let (mut sent, mut covered) = (0, 0);
        for timed in &history[..place] {
            match timed.event {
                Event::Sent { session: of, .. } if of == session => sent += 1,
                Event::Covered { session: of, h } if of == session => covered = h,
                Event::Resumed { session: of, h, .. } if of == session => (sent, covered) = (h, h),
                _ => {}
            }
        }
        (sent, covered)
    }
}
