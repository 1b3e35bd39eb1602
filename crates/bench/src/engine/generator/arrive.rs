//! Sessions that come and go: from a connection to a live session, cuts, and coming back.

use super::Generator;
use crate::accounts;
use crate::engine::login::{Live, Login, Next, Own, Previous};
use crate::engine::secure::Secure;
use crate::engine::session::{Session, State};
use crate::engine::{Transport, socket};
use chaski_xmpp::sasl::client::Credentials;
use std::ops::Range;

impl Generator {
    /// The TCP connection is there.
    pub(super) fn connected(&mut self, index: u32) {
        if matches!(self.shared.setup.transport, Transport::DirectTls(_)) {
            self.begin_tls(index);
        } else {
            let session = &mut self.sessions[index as usize];
            session.state = State::Login;
            let own = own(session, self.base + index);
            let login = Login::begin(false, &self.shared.setup.wishes, &own, &mut self.buffers.out);
            if let Some(arrival) = session.arrival.as_mut() {
                arrival.login = Some(login);
            }
        }
        self.flush(index);
    }

    fn begin_tls(&mut self, index: u32) {
        let (Transport::DirectTls(tls) | Transport::StartTls(tls)) = &self.shared.setup.transport else {
            return;
        };
        let session = &mut self.sessions[index as usize];
        let tickets = (tls.takes_tickets, &mut session.ticket);
        let begun = Secure::begin(&tls.config, &tls.name, tickets, &mut self.buffers.wire);
        session.state = State::Handshake;
        match begun {
            Ok(secure) => session.secure = Some(secure),
            Err(error) => self.lose(index, &format!("TLS: {error}")),
        }
    }

    /// The TLS handshake is done.
    pub(super) fn secured(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        session.state = State::Login;
        session.framer.restart();
        let wishes = &self.shared.setup.wishes;
        let Some(mut arrival) = session.arrival.take() else { return };
        let own = own(session, self.base + index);
        match arrival.login.as_mut() {
            Some(login) => login.secured(wishes, &own, &mut self.buffers.out),
            None => arrival.login = Some(Login::begin(true, wishes, &own, &mut self.buffers.out)),
        }
        session.arrival = Some(arrival);
    }

    /// A top-level element.
    pub(super) fn element(&mut self, index: u32, frame: &[u8]) {
        let setup = &self.shared.setup;
        let session = &mut self.sessions[index as usize];
        let Some(mut arrival) = session.arrival.take_if(|arrival| arrival.login.is_some()) else {
            return self.stanza(index, frame);
        };
        let account = self.base + index;
        let credentials = || Credentials {
            username: accounts::number(account as usize),
            password: accounts::key(setup.seed, account as usize),
            authzid: None,
        };
        let own = own(session, account);
        let next = arrival
            .login
            .as_mut()
            .map(|login| login.element(frame, &setup.wishes, &own, credentials, &mut self.buffers.out));
        session.arrival = Some(arrival);
        let Some(next) = next else { return };
        match next {
            Ok(Next::More) => {}
            Ok(Next::NewStream) => session.framer.restart(),
            Ok(Next::StartTls) => self.begin_tls(index),
            Ok(Next::NotOurs) => self.stanza(index, frame),
            Ok(Next::Live(live)) => self.became_live(index, live),
            Err(error) => {
                // One that is not good any more is of no use the next time.
                session.token = None;
                self.lose(index, &error.to_string());
            }
        }
    }

    fn became_live(&mut self, index: u32, live: Live) {
        let session = &mut self.sessions[index as usize];
        let Some(arrival) = session.arrival.take() else { return };
        if let Some(mechanism) = arrival.login.and_then(|login| login.mechanism()) {
            self.batch.mechanism = Some(mechanism);
        }
        session.state = State::Live;
        session.is_managed = live.is_managed;
        self.arrivals.under_way -= 1;
        self.counters.live += 1;
        self.counters.logins += 1;
        self.batch.login.push(self.now_us - arrival.started_us);
        if std::mem::take(&mut session.was_cut) {
            self.batch.recovery.push(self.now_us.saturating_sub(self.arrivals.cut_us));
        }
        session.id = live.id;
        if let Some(token) = live.token {
            session.token = Some(token);
        }
        match live.resumed {
            Some(h) => {
                self.counters.resumed += 1;
                self.accept(index, h);
                self.sessions[index as usize].sent = h;
            }
            None => {
                session.handled = 0;
                session.sent = live.stanzas_sent;
            }
        }
        self.is_unpublished = true;
        self.write_again(index);
        if self.closed.is_some() {
            self.make_due(index);
        }
    }

    /// Cuts sessions at once, as if their network were gone, and lets them come back.
    pub(super) fn cut(&mut self, sessions: Range<u32>, resume: bool) {
        self.arrivals.cut_us = self.now_us;
        for index in sessions {
            let Some(session) = self.sessions.get_mut(index as usize) else { continue };
            if session.state != State::Live {
                continue;
            }
            if let Some(socket) = session.socket.as_ref() {
                socket::reset_on_close(socket);
            }
            session.was_cut = true;
            if !resume {
                session.id = None;
            }
            self.ended(index);
            self.arrivals.waiting.push_back(index);
        }
    }

    /// Ends the session that has been there longest, in order, and logs its account in again.
    pub(super) fn cycle_oldest(&mut self) {
        let count = self.sessions.len() as u32;
        if count == 0 {
            return;
        }
        let index = self.oldest;
        self.oldest = (index + 1) % count;
        let session = &mut self.sessions[index as usize];
        if session.state != State::Live {
            return;
        }
        session.id = None;
        session.owes_ack = session.is_managed;
        self.pay(index);
        self.buffers.out.extend_from_slice(b"</stream:stream>");
        self.flush(index);
        self.ended(index);
        self.arrivals.waiting.push_front(index);
    }
}

/// What a session has of its own.
fn own(session: &Session, account: u32) -> Own<'_> {
    let previous = session.id.as_deref().map(|id| Previous { id, h: session.handled });
    Own { account, token: session.token.as_ref().map(|token| token.as_str()), previous }
}
