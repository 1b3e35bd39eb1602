//! Which mark each sent message has: accepted, delivered, read, or refused.

use std::collections::VecDeque;

/// Messages that are remembered. A mark for an older one is not shown.
const MESSAGES_MAX: usize = 1_000;

/// Ordered: a message only ever goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// On its way.
    Sent,
    /// The server has taken responsibility.
    Accepted,
    /// The recipient's device has it.
    Delivered,
    /// The recipient has seen it.
    Read,
    /// It came back. Nothing follows.
    Refused,
}

/// A message's number and a mark it has reached.
pub type News = (u64, Mark);

#[derive(Debug)]
struct Message {
    number: u64,
    id: String,
    to: String,
    mark: Mark,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    messages: VecDeque<Message>,
    last: u64,
}

impl Outbox {
    /// Notes a message to a bare JID; returns its number for people.
    pub fn sent(&mut self, id: &str, to: &str) -> u64 {
        if self.messages.len() == MESSAGES_MAX {
            self.messages.pop_front();
        }
        self.last += 1;
        self.messages.push_back(Message {
            number: self.last,
            id: id.into(),
            to: to.into(),
            mark: Mark::Sent,
        });
        self.last
    }

    /// The server accepted the message with this number.
    pub fn accepted(&mut self, number: u64) -> Vec<News> {
        let message = self.messages.iter_mut().find(|message| message.number == number);
        message.map(|message| message.raise(Mark::Accepted)).unwrap_or_default()
    }

    /// `from` has received the message with this id.
    pub fn delivered(&mut self, from: &str, id: &str) -> Vec<News> {
        let message = self.messages.iter_mut().find(|message| message.is(from, id));
        message.map(|message| message.raise(Mark::Delivered)).unwrap_or_default()
    }

    /// `from` has seen the message with this id and all before it (XEP-0333 §5).
    pub fn read(&mut self, from: &str, id: &str) -> Vec<News> {
        let Some(last) = self.messages.iter().find(|message| message.is(from, id)).map(|m| m.number) else {
            return Vec::new();
        };
        let seen = self.messages.iter_mut().filter(|message| message.number <= last && message.to == from);
        seen.flat_map(|message| message.raise(Mark::Read)).collect()
    }

    /// The message to `from` came back. Its number, if that is news.
    pub fn refused(&mut self, from: &str, id: &str) -> Option<u64> {
        let message = self.messages.iter_mut().find(|message| message.is(from, id))?;
        let is_news = message.mark < Mark::Refused;
        message.mark = Mark::Refused;
        is_news.then_some(message.number)
    }
}

impl Message {
    fn is(&self, to: &str, id: &str) -> bool {
        self.id == id && self.to == to
    }

    /// Up to this mark. All that is reached thereby, in order: a receipt that overtakes the server's acceptance
    /// proves it as well.
    fn raise(&mut self, mark: Mark) -> Vec<News> {
        let before = self.mark;
        self.mark = before.max(mark);
        let steps = [Mark::Accepted, Mark::Delivered, Mark::Read];
        steps
            .into_iter()
            .filter(|&step| step > before && step <= mark)
            .map(|step| (self.number, step))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_only_rise_and_only_by_the_right_hand() {
        let mut outbox = Outbox::default();
        let (one, two) = (outbox.sent("a", "+1@x"), outbox.sent("b", "+1@x"));
        let other = outbox.sent("c", "+2@x");
        use Mark::{Accepted, Delivered, Read};
        assert_eq!((outbox.accepted(one), outbox.accepted(one)), (vec![(one, Accepted)], vec![]));
        assert_eq!(outbox.delivered("+2@x", "a"), []);
        assert_eq!(outbox.delivered("+1@x", "a"), [(one, Delivered)]);
        assert_eq!(outbox.read("+1@x", "b"), [(one, Read), (two, Accepted), (two, Delivered), (two, Read)]);
        assert_eq!((outbox.delivered("+1@x", "b"), outbox.read("+1@x", "a")), (vec![], vec![]));
        assert_eq!((outbox.refused("+2@x", "c"), outbox.refused("+2@x", "c")), (Some(other), None));
        assert_eq!(outbox.accepted(other), []);
    }

    #[test]
    fn old_messages_are_forgotten() {
        let mut outbox = Outbox::default();
        for n in 0..=MESSAGES_MAX {
            outbox.sent(&n.to_string(), "+1@x");
        }
        assert_eq!((outbox.messages.len(), outbox.delivered("+1@x", "0")), (MESSAGES_MAX, vec![]));
    }
}
