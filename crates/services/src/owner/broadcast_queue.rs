//! Presence broadcasts for very many accounts of this shard, told piece by piece, and other stanzas that their senders have sent
//! behind them.
//!
//! One presence may be for thousands of recipients that are all online, and each costs a write to a socket: told at once, it
//! would hold up everybody. So a broadcast for more than a few recipients waits in its sender's line. At the end of each turn a
//! bounded number of recipients are told, the senders taking turns. What the sender sends to other accounts of this shard
//! meanwhile waits in the same line behind it, so that nobody sees a message, an `unavailable` or a later presence before the
//! presence that was sent first.
//!
//! Bounds: recipients that wait, of one sender and in all; beyond, presence is dropped, but never an `unavailable` that ends a
//! session. Bytes of other stanzas in one line and in all; beyond, these are refused. A stanza that may be neither dropped nor
//! refused goes at once, with everything that waits before it. Kept by the shard's desk, used by `router/broadcasts`. Pure.

use crate::effects::letter::{Handling, RoutedStanza};
use crate::effects::presence::PresenceBroadcast;
use crate::realm::Limits;
use chaski_store::AccountId;
use std::collections::{HashMap, VecDeque};

/// A broadcast for so few recipients is told at once, unless something of its sender waits.
const AT_ONCE: usize = 64;
/// Recipients told before it is the next sender's turn.
const PIECE: usize = 32;
/// What a waiting stanza counts against the bound in bytes, in addition to its own.
const ROUTED_BYTES: usize = 256;
/// So many times the bound in bytes is left for stanzas that rooms post, which are not refused.
const HARD: usize = 2;
/// The bound for all lines together is that of so many full lines.
const FULL_LINES: usize = 64;

/// See the module.
#[derive(Default)]
pub(crate) struct Lines {
    /// No line in it is empty.
    lines: HashMap<AccountId, Line>,
    /// Senders whose lines are not empty, each once, in the order of their turns.
    turns: VecDeque<AccountId>,
    recipients: usize,
    bytes: usize,
}

#[derive(Default)]
struct Line {
    standing: VecDeque<Standing>,
    recipients: usize,
    bytes: usize,
}

/// What waits in a line.
enum Standing {
    /// A presence broadcast. The first `told` recipients have been told.
    PresenceBroadcast {
        tell: PresenceBroadcast,
        told: usize,
    },
    RoutedStanza(Box<RoutedStanza>),
}

/// What is to be done with a stanza that comes.
pub(crate) enum Place<T> {
    /// Nothing waits before it: handle it now.
    Now(T),
    /// It waits in its sender's line.
    InLine,
    /// There is no room: drop or refuse it.
    Full(T),
    /// There is no room, and it must not be lost: handle it now, after everything that waits in its sender's line.
    Hurried(T),
}

/// What is taken out of a line.
pub(crate) enum Next {
    /// A presence broadcast for some of its recipients.
    PresenceBroadcast(PresenceBroadcast),
    RoutedStanza(Box<RoutedStanza>),
}

impl Lines {
    /// A presence broadcast has come for accounts of this shard.
    pub(crate) fn tell(&mut self, tell: PresenceBroadcast, limits: &Limits) -> Place<PresenceBroadcast> {
        let (count, line) = (tell.to.len(), self.lines.get(&tell.by));
        if line.is_none() && count <= AT_ONCE {
            return Place::Now(tell);
        }
        let most = limits.told_waiting;
        let of_sender = line.map_or(0, |line| line.recipients);
        if self.recipients + count > most || of_sender + count > most / 4 {
            return if tell.is_end { Place::Hurried(tell) } else { Place::Full(tell) };
        }
        self.recipients += count;
        let line = self.line(tell.by);
        line.recipients += count;
        line.standing.push_back(Standing::PresenceBroadcast { tell, told: 0 });
        Place::InLine
    }

    /// Another stanza has come for an account of this shard.
    pub(crate) fn routed(&mut self, routed: RoutedStanza, limits: &Limits) -> Place<RoutedStanza> {
        if self.lines.is_empty() {
            return Place::Now(routed);
        }
        // A stanza of an account to itself is seen by nobody else, so it need not wait.
        let line = self.lines.get_mut(&routed.by).filter(|_| routed.by != routed.to);
        let Some(line) = line else { return Place::Now(routed) };
        let bytes = ROUTED_BYTES + routed.stanza.len();
        let is_over = |of: usize| {
            let most = limits.told_line_bytes.saturating_mul(of);
            line.bytes + bytes > most || self.bytes + bytes > most.saturating_mul(FULL_LINES)
        };
        match routed.handling {
            Handling::Mail { .. } | Handling::Relay if is_over(1) => return Place::Full(routed),
            Handling::Quiet if is_over(HARD) => return Place::Hurried(routed),
            _ => {}
        }
        line.bytes += bytes;
        self.bytes += bytes;
        line.standing.push_back(Standing::RoutedStanza(Box::new(routed)));
        Place::InLine
    }

    fn line(&mut self, by: AccountId) -> &mut Line {
        let turns = &mut self.turns;
        self.lines.entry(by).or_insert_with(|| {
            turns.push_back(by);
            Line::default()
        })
    }

    /// Takes out what is next of the sender whose turn it is, for at most so many recipients, and says who that sender is. A
    /// stanza counts as one recipient.
    pub(crate) fn next(&mut self, most: usize) -> Option<(AccountId, Next)> {
        let by = self.turns.pop_front()?;
        let next = self.next_of(by, most.clamp(1, PIECE))?;
        if self.lines.contains_key(&by) {
            self.turns.push_back(by);
        }
        Some((by, next))
    }

    /// Takes out what is next of this sender, for all its recipients. Called until its line is empty, since what comes may not
    /// wait.
    pub(crate) fn hurry(&mut self, by: AccountId) -> Option<Next> {
        let next = self.next_of(by, usize::MAX);
        if !self.lines.contains_key(&by) {
            self.turns.retain(|other| *other != by);
        }
        next
    }

    fn next_of(&mut self, by: AccountId, most: usize) -> Option<Next> {
        let line = self.lines.get_mut(&by)?;
        let next = match line.standing.pop_front()? {
            Standing::PresenceBroadcast { tell, told } => {
                let end = tell.to.len().min(told.saturating_add(most));
                let piece =
                    PresenceBroadcast { to: tell.to[told..end].to_vec(), ..tell.without_recipients() };
                line.recipients -= piece.to.len();
                self.recipients -= piece.to.len();
                if end < tell.to.len() {
                    line.standing.push_front(Standing::PresenceBroadcast { tell, told: end });
                }
                Next::PresenceBroadcast(piece)
            }
            Standing::RoutedStanza(routed) => {
                let bytes = ROUTED_BYTES + routed.stanza.len();
                line.bytes -= bytes;
                self.bytes -= bytes;
                Next::RoutedStanza(routed)
            }
        };
        if line.standing.is_empty() {
            self.lines.remove(&by);
        }
        Some(next)
    }

    /// Whether no line has anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes of stanzas that wait behind presence broadcasts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Recipients that are still to be told of a broadcast.
    pub(crate) fn recipients(&self) -> usize {
        self.recipients
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::roster::Contact;
    use chaski_xmpp::Stored;

    fn account(number: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + number).expect("a number")
    }

    fn limits() -> Limits {
        Limits { told_waiting: 4_000, told_line_bytes: 10 * (ROUTED_BYTES + 10), ..Limits::default() }
    }

    fn tell(by: u64, count: usize, is_end: bool) -> PresenceBroadcast {
        let sender = Contact::from_account(account(by)).expect("a contact");
        let to = (0..count as u64).map(|number| account(1_000 + number)).collect();
        PresenceBroadcast { stanza: Stored::of("<presence/>"), is_end, by: account(by), sender, to }
    }

    fn routed(by: u64, handling: Handling) -> RoutedStanza {
        let stanza = Stored::of("<message/>");
        RoutedStanza::new(account(9), None, stanza, handling).sent_by(account(by))
    }

    #[test]
    fn few_are_told_at_once_and_many_piece_by_piece_senders_by_turns() {
        let (mut lines, limits) = (Lines::default(), limits());
        assert!(matches!(lines.tell(tell(1, AT_ONCE, false), &limits), Place::Now(_)));
        assert!(matches!(lines.tell(tell(1, 70, false), &limits), Place::InLine));
        assert!(matches!(lines.tell(tell(2, 100, false), &limits), Place::InLine));
        assert!(matches!(lines.tell(tell(1, 1, false), &limits), Place::InLine), "behind the other");
        assert!(matches!(lines.routed(routed(1, Handling::Relay), &limits), Place::InLine));
        assert!(matches!(lines.routed(routed(3, Handling::Relay), &limits), Place::Now(_)));
        let mut told = Vec::new();
        while let Some((by, next)) = lines.next(50) {
            let number = by.phone_number().expect("a number") - 15_551_230_000;
            told.push((number, if let Next::PresenceBroadcast(tell) = next { tell.to.len() } else { 0 }));
        }
        assert_eq!(told, [(1, 32), (2, 32), (1, 32), (2, 32), (1, 6), (2, 32), (1, 1), (2, 4), (1, 0)]);
        assert!(lines.is_empty() && lines.turns.is_empty() && lines.recipients() == 0);
    }

    #[test]
    fn what_finds_no_room_is_dropped_or_refused_and_an_end_goes_at_once() {
        let (mut lines, limits) = (Lines::default(), limits());
        assert!(matches!(lines.tell(tell(1, 1_000, false), &limits), Place::InLine));
        assert!(matches!(lines.tell(tell(1, 1, false), &limits), Place::Full(_)), "a fourth of all");
        assert!(matches!(lines.tell(tell(1, 1, true), &limits), Place::Hurried(_)));
        for by in 2..=4 {
            assert!(matches!(lines.tell(tell(by, 1_000, true), &limits), Place::InLine));
        }
        assert!(matches!(lines.tell(tell(5, 100, false), &limits), Place::Full(_)));
        let taken =
            (0..30).filter(|_| matches!(lines.routed(routed(1, Handling::Relay), &limits), Place::InLine));
        assert_eq!(taken.count(), 10);
        let quiet =
            (0..30).filter(|_| matches!(lines.routed(routed(1, Handling::Quiet), &limits), Place::InLine));
        assert_eq!(quiet.count(), 10, "what rooms post is not refused, and goes at once in the end");
        assert_eq!(std::iter::from_fn(|| lines.hurry(account(1))).count(), 1 + 20);
        assert_eq!((lines.recipients(), lines.turns.len(), lines.bytes()), (3_000, 3, 0));
    }

    #[test]
    fn all_lines_together_are_bounded() {
        let (mut lines, limits) = (Lines::default(), Limits { told_waiting: 1_000_000, ..limits() });
        let mut taken = 0;
        for by in 1..100 {
            assert!(matches!(lines.tell(tell(by, AT_ONCE + 1, false), &limits), Place::InLine));
            let mine = (0..30)
                .filter(|_| matches!(lines.routed(routed(by, Handling::Relay), &limits), Place::InLine));
            taken += mine.count();
        }
        assert_eq!(taken * (ROUTED_BYTES + 10), FULL_LINES * limits.told_line_bytes);
    }
}
