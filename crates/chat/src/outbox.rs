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
}

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

    /// The server accepted the message with this number. True: that is news.
    pub fn accepted(&mut self, number: u64) -> bool {
        let message = self.messages.iter_mut().find(|message| message.number == number);
        message.is_some_and(|message| message.raise(Mark::Accepted))
    }

    /// `from` has received the message with this id. Its number, if that is news.
    pub fn delivered(&mut self, from: &str, id: &str) -> Option<u64> {
        let message = self.messages.iter_mut().find(|message| message.is(from, id))?;
        message.raise(Mark::Delivered).then_some(message.number)
    }

    /// `from` has seen the message with this id and all before it (XEP-0333 §5). The numbers for which that is news.
    pub fn read(&mut self, from: &str, id: &str) -> Vec<u64> {
        let Some(last) = self.messages.iter().find(|message| message.is(from, id)).map(|m| m.number) else {
            return Vec::new();
        };
        let seen = self.messages.iter_mut().filter(|message| message.number <= last && message.to == from);
        seen.filter_map(|message| message.raise(Mark::Read).then_some(message.number)).collect()
    }

    /// The number of the message to `from` that came back.
    pub fn refused(&self, from: &str, id: &str) -> Option<u64> {
        self.messages.iter().find(|message| message.is(from, id)).map(|message| message.number)
    }
}

impl Message {
    fn is(&self, to: &str, id: &str) -> bool {
        self.id == id && self.to == to
    }

    fn raise(&mut self, mark: Mark) -> bool {
        let is_news = mark > self.mark;
        self.mark = self.mark.max(mark);
        is_news
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
        assert!(outbox.accepted(one) && !outbox.accepted(one));
        assert_eq!(outbox.delivered("+2@x", "a"), None);
        assert_eq!(outbox.delivered("+1@x", "a"), Some(one));
        assert_eq!(outbox.read("+1@x", "b"), [one, two]);
        assert_eq!((outbox.delivered("+1@x", "b"), outbox.read("+1@x", "a")), (None, vec![]));
        assert!(outbox.accepted(other) && outbox.refused("+2@x", "c") == Some(other));
    }

    #[test]
    fn old_messages_are_forgotten() {
        let mut outbox = Outbox::default();
        for n in 0..=MESSAGES_MAX {
            outbox.sent(&n.to_string(), "+1@x");
        }
        assert_eq!((outbox.messages.len(), outbox.delivered("+1@x", "0")), (MESSAGES_MAX, None));
    }
}
