//! What a generator keeps of a session: little, because it keeps millions.

use super::login::Login;
use super::mark::Mark;
use super::purse::Ticket;
use super::secure::Secure;
use chaski_xmpp::Framer;
use mio::net::TcpStream;
use std::collections::VecDeque;

/// Servers may add to what clients may send.
const ELEMENT_BYTES_MAX: u32 = 1 << 20;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    #[default]
    Away,
    Connecting,
    /// TLS.
    Handshake,
    Login,
    Live,
}

/// See the module. No buffer while nothing is half way.
#[expect(clippy::box_collection, reason = "nearly always absent: one word each, not three")]
pub(crate) struct Session {
    pub(crate) socket: Option<TcpStream>,
    pub(crate) framer: Framer,
    pub(crate) secure: Option<Secure>,
    /// While it logs in.
    pub(crate) arrival: Option<Box<Arrival>>,
    /// The beginning of an element.
    pub(crate) partial: Option<Box<[u8]>>,
    /// What a full socket did not take.
    pub(crate) pending: Option<Box<Vec<u8>>>,
    /// Its messages that wait for acceptance.
    pub(crate) unaccepted: Option<Box<VecDeque<Unaccepted>>>,
    /// For resumption.
    pub(crate) id: Option<Box<str>>,
    /// By which it comes back (XEP-0484).
    pub(crate) token: Option<Box<String>>,
    /// By which its next TLS session takes up this one.
    pub(crate) ticket: Option<Ticket>,
    /// Stanzas handled, and sent (XEP-0198).
    pub(crate) handled: u32,
    pub(crate) sent: u32,
    /// In a closed loop: messages sent, accepted and arrived back or at the peer.
    pub(crate) written: u32,
    pub(crate) accepted: u32,
    pub(crate) got: u32,
    /// The last of its peer's messages that has arrived, by its number from 1.
    pub(crate) latest: u32,
    pub(crate) state: State,
    pub(crate) is_managed: bool,
    /// It was asked what it has got: which time that was, by a number that wraps.
    pub(crate) owes_ack: bool,
    pub(crate) debt: u8,
    /// Stanzas handled since it has last said so, up to 255.
    pub(crate) unacked: u8,
    /// It is on the list of those who may write more.
    pub(crate) is_due: bool,
    /// It was cut by us and is not back yet.
    pub(crate) was_cut: bool,
}

/// A login under way.
pub(crate) struct Arrival {
    pub(crate) login: Option<Login>,
    pub(crate) started_us: u64,
}

/// A message that waits for acceptance; from this it can be written again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unaccepted {
    /// It is accepted when the server has handled so many stanzas.
    pub(crate) at: u32,
    pub(crate) to: u32,
    pub(crate) body_bytes: u32,
    pub(crate) mark: Mark,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            socket: None,
            framer: framer(),
            secure: None,
            arrival: None,
            partial: None,
            pending: None,
            unaccepted: None,
            id: None,
            token: None,
            ticket: None,
            handled: 0,
            sent: 0,
            written: 0,
            accepted: 0,
            got: 0,
            latest: 0,
            state: State::Away,
            is_managed: false,
            owes_ack: false,
            debt: 0,
            unacked: 0,
            is_due: false,
            was_cut: false,
        }
    }
}

fn framer() -> Framer {
    let mut framer = Framer::new();
    framer.set_max_bytes(ELEMENT_BYTES_MAX);
    framer
}

impl Session {
    /// The connection is gone: what belongs to it goes, what a resumption needs stays.
    pub(crate) fn disconnect(&mut self) -> Option<TcpStream> {
        self.framer = framer();
        self.secure = None;
        self.arrival = None;
        self.partial = None;
        self.pending = None;
        self.owes_ack = false;
        self.unacked = 0;
        self.state = State::Away;
        self.socket.take()
    }

    /// Takes the server's count of what it has handled: the messages that are accepted by it.
    pub(crate) fn accept(&mut self, h: u32, mut each: impl FnMut(Mark)) {
        let Some(waiting) = self.unaccepted.as_mut() else { return };
        // Counters wrap (XEP-0198 §4): what is not ahead of `h` is handled.
        while let Some(first) = waiting.front()
            && h.wrapping_sub(first.at) < u32::MAX / 2
        {
            each(first.mark);
            self.accepted = self.accepted.wrapping_add(1);
            waiting.pop_front();
        }
        if waiting.is_empty() {
            self.unaccepted = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 168, "{}", size_of::<Session>());
    }

    #[test]
    fn acceptance_follows_the_count_even_when_it_wraps() {
        let mark = |number| Mark { run: 1, intended_us: 0, number };
        let waiting = [u32::MAX, 0, 3].map(|at| Unaccepted {
            at,
            to: 0,
            body_bytes: 0,
            mark: mark(at.wrapping_add(1)),
        });
        let mut session =
            Session { unaccepted: Some(Box::new(waiting.into_iter().collect())), ..Session::default() };
        let mut seen = Vec::new();
        session.accept(1, |mark| seen.push(mark.number));
        assert_eq!(seen, [0, 1]);
        session.accept(2, |mark| seen.push(mark.number));
        assert_eq!((seen.len(), session.accepted), (2, 2));
        session.accept(3, |mark| seen.push(mark.number));
        assert_eq!(seen, [0, 1, 4]);
        assert!(session.unaccepted.is_none());
    }
}
