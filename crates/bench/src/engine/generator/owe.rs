//! Acknowledgements that sessions owe (XEP-0198 §4): they ride on what a session writes next, since a segment that carries nothing else
//! costs server and generator as much as a message.
//!
//! What has waited for [`ACK_DELAY_US`] goes alone, and what covers [`UNACKED_MAX`] stanzas at once, so that a server whose window is small
//! waits for nobody. Before another traffic, before an answer to the run and at the end everything owed is paid. The list of debts is
//! in order, because all wait equally long, and no longer than the share has sessions: what does not fit is paid at once.

use super::Generator;

/// How long an acknowledgement waits for something to ride on.
const ACK_DELAY_US: u64 = 250_000;
/// One that covers so many stanzas does not wait.
pub(super) const UNACKED_MAX: u8 = 8;

/// What a session owes, and when it is due: void if the session has paid it meanwhile.
pub(super) struct Debt {
    due_us: u64,
    index: u32,
    number: u8,
}

impl Generator {
    /// The server asks what the session has got.
    pub(super) fn owe(&mut self, index: u32) {
        let has_room = self.debts.len() < self.sessions.len();
        let session = &mut self.sessions[index as usize];
        if session.owes_ack {
            return;
        }
        session.owes_ack = true;
        session.debt = session.debt.wrapping_add(1);
        if has_room {
            let due_us = self.now_us + ACK_DELAY_US;
            self.debts.push_back(Debt { due_us, index, number: session.debt });
        } else {
            session.unacked = UNACKED_MAX;
        }
    }

    /// Appends what the session owes to what it has to say.
    pub(super) fn pay(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        if session.owes_ack {
            session.owes_ack = false;
            session.unacked = 0;
            chaski_xmpp::sm::write_ack(&mut self.buffers.out, session.handled);
        }
    }

    /// When the first debt is due.
    pub(super) fn pay_us(&self) -> Option<u64> {
        self.debts.front().map(|debt| debt.due_us)
    }

    /// Pays what is due by then, by writes of their own.
    pub(super) fn pay_due(&mut self, by_us: u64) {
        while let Some(&Debt { index, number, .. }) = self.debts.front().filter(|debt| debt.due_us <= by_us) {
            self.debts.pop_front();
            let session = &self.sessions[index as usize];
            if session.owes_ack && session.debt == number {
                self.pay(index);
                self.flush(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Generator, Inbox, Shared};
    use super::*;
    use crate::engine::ledger::Ledger;
    use crate::engine::session::State;
    use crate::engine::{Clock, Command, Setup, Transport, Wishes};
    use crate::load::Way;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::Duration;

    /// A generator whose sessions are live; and the other ends of their connections.
    fn live(sessions: u32) -> (Generator, Vec<TcpStream>) {
        let wishes = Wishes {
            domain: "localhost".into(),
            starttls: false,
            stream_management: true,
            presence: false,
            way: Way::Classic,
            mechanism: None,
        };
        let setup = Setup {
            targets: Vec::new(),
            transport: Transport::Plain,
            wishes,
            seed: 1,
            run: 1,
            login_timeout: Duration::from_secs(60),
            own_descriptors: false,
        };
        let shared = Arc::new(Shared { setup, ledger: Ledger::new(), clock: Clock::start() });
        let inbox = Arc::new(Inbox::new().unwrap());
        let mut generator = Generator::new(shared, inbox, 0, 0..sessions).unwrap();
        generator.now_us = 0;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ends = Vec::new();
        for session in &mut generator.sessions {
            let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            socket.set_nonblocking(true).unwrap();
            session.socket = Some(mio::net::TcpStream::from_std(socket));
            session.state = State::Live;
            session.is_managed = true;
            ends.push(listener.accept().unwrap().0);
        }
        generator.counters.live = sessions.into();
        (generator, ends)
    }

    fn stanzas(generator: &mut Generator, index: u32, count: usize) {
        (0..count).for_each(|_| generator.stanza(index, b"<message type='chat'/>"));
        generator.stanza(index, b"<r xmlns='urn:xmpp:sm:3'/>");
        generator.flush(index);
    }

    /// All that was written to a connection, which ends with it.
    fn all(generator: &mut Generator, index: u32, end: &mut TcpStream) -> String {
        generator.ended(index);
        let mut text = String::new();
        end.read_to_string(&mut text).unwrap();
        text
    }

    fn ack(h: u32) -> String {
        format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
    }

    #[test]
    fn an_acknowledgement_rides_on_the_next_write() {
        let (mut generator, mut ends) = live(2);
        stanzas(&mut generator, 0, 3);
        generator.buffers.out.extend_from_slice(b"<presence/>");
        generator.flush(0);
        generator.pay_due(u64::MAX);
        assert_eq!(all(&mut generator, 0, &mut ends[0]), format!("<presence/>{}", ack(3)));
    }

    #[test]
    fn what_finds_nothing_to_ride_on_goes_alone_when_it_is_due() {
        let (mut generator, mut ends) = live(2);
        stanzas(&mut generator, 0, 1);
        // Paid, and asked again later: the first debt's time is not the second's.
        generator.buffers.out.extend_from_slice(b" ");
        generator.flush(0);
        generator.now_us = 1_000;
        stanzas(&mut generator, 0, 1);
        generator.pay_due(ACK_DELAY_US);
        assert_eq!((generator.pay_us(), generator.sessions[0].owes_ack), (Some(ACK_DELAY_US + 1_000), true));
        generator.pay_due(ACK_DELAY_US + 1_000);
        assert_eq!((generator.pay_us(), generator.sessions[0].owes_ack), (None, false));
        assert_eq!(all(&mut generator, 0, &mut ends[0]), format!(" {}{}", ack(1), ack(2)));
    }

    #[test]
    fn a_loop_of_many_messages_does_not_wait() {
        let (mut generator, mut ends) = live(2);
        stanzas(&mut generator, 0, usize::from(UNACKED_MAX) - 1);
        assert!(generator.sessions[0].owes_ack);
        generator.stanza(0, b"<message type='chat'/>");
        generator.flush(0);
        assert_eq!(all(&mut generator, 0, &mut ends[0]), ack(UNACKED_MAX.into()));
    }

    #[test]
    fn nothing_is_owed_beyond_the_traffic() {
        for command in [Command::Traffic(None), Command::Answer(1), Command::Stop] {
            let (mut generator, mut ends) = live(2);
            stanzas(&mut generator, 0, 1);
            stanzas(&mut generator, 1, 2);
            generator.ended(0);
            generator.obey(command);
            assert_eq!(all(&mut generator, 1, &mut ends[1]), ack(2));
            assert_eq!(all(&mut generator, 0, &mut ends[0]), "", "a connection that is gone owes nothing");
            assert_eq!(generator.pay_us(), None);
        }
    }

    #[test]
    fn there_are_no_more_debts_than_sessions() {
        let (mut generator, mut ends) = live(1);
        stanzas(&mut generator, 0, 1);
        generator.buffers.out.extend_from_slice(b" ");
        generator.flush(0);
        stanzas(&mut generator, 0, 1);
        assert_eq!(generator.debts.len(), 1);
        assert_eq!(all(&mut generator, 0, &mut ends[0]), format!(" {}{}", ack(1), ack(2)));
    }
}
