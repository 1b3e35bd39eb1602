//! Deadlines: logins that take too long, silent clients, ended streams whose output nobody takes; and asking the kernel whether a
//! peer without stream management has acknowledged what was sent.
//!
//! A client is alive if it has sent something, or if its TCP has acknowledged the probe: a client that only listens need not
//! answer white space (RFC 6120 §4.6.1).

use super::EventLoop;
use crate::c2s::connection::{Connection, Stage};
use crate::c2s::socket::Socket;
use crate::timers::Fired;
use chaski_services::wire::{Closed, ConnId};
use chaski_xmpp::StreamCondition;
use chaski_xmpp::websocket::encode_ping;
use std::os::fd::AsRawFd;

/// Deadlines handled in one turn.
const DEADLINES_PER_TURN: usize = 128;
/// Connections whose acknowledgements are looked up in one poll; the rest follow in the next.
const CONFIRMATIONS_PER_POLL: usize = 4096;

impl EventLoop {
    pub(super) fn take_deadlines(&mut self) {
        let before = self.clients.wheel.now();
        if self.buffers.fired.is_empty() && self.clients.wheel.tick_at(self.rooms.now_ms) == before {
            return;
        }
        let mut fired = std::mem::take(&mut self.buffers.fired);
        while self.clients.wheel.advance(self.rooms.now_ms, &mut fired) {}
        // Clients that have logged in together are silent together: the others are handled in the next turn.
        let count = fired.len().min(DEADLINES_PER_TURN);
        for conn in fired.drain(..count) {
            let Some(connection) = self.clients.table.get_mut(conn) else { continue };
            if self.clients.wheel.fire(conn, &mut connection.deadline) == Fired::Due {
                self.due(conn);
            }
        }
        if fired.is_empty() {
            // A burst must not leave its capacity allocated for ever.
            fired.shrink_to(DEADLINES_PER_TURN);
        }
        self.buffers.fired = fired;
        if self.clients.wheel.now() != before {
            // Where accepting had to pause for lack of descriptors, there may be some again.
            self.listeners.iter_mut().for_each(|listener| listener.ready = true);
        }
    }

    fn due(&mut self, conn: ConnId) {
        match self.clients.table.get(conn).map(|connection| &connection.stage) {
            Some(Stage::Handshake) => {
                self.metrics.login_timeouts_total.inc();
                self.lost(conn);
            }
            Some(Stage::Login(_)) => {
                self.metrics.login_timeouts_total.inc();
                let is_handshaking =
                    self.clients.table.get(conn).is_some_and(|connection| connection.is_handshaking());
                if is_handshaking {
                    self.lost(conn);
                } else {
                    self.fail(conn, StreamCondition::ConnectionTimeout, None);
                }
            }
            Some(Stage::Live(_)) => self.silent(conn),
            Some(Stage::Ending) => {
                self.clients.remove(conn);
            }
            None => {}
        }
    }

    /// A session's deadline is due: checks whether the client was silent, and whether it is alive.
    fn silent(&mut self, conn: ConnId) {
        let timing = self.clients.timing;
        let now = self.clients.wheel.now();
        let idle_ticks = self.clients.wheel.ticks(timing.idle_timeout_ms);
        let Some(connection) = self.clients.table.get_mut(conn) else { return };
        let silent_ticks = now - connection.heard_tick.min(now);
        if silent_ticks < idle_ticks {
            let rest_ms = u64::from(idle_ticks - silent_ticks) * timing.tick_ms;
            return self.clients.set_deadline(conn, rest_ms);
        }
        if !connection.flags.probed {
            connection.flags.probed = true;
            self.probe(conn);
            return self.clients.set_deadline(conn, timing.probe_timeout_ms);
        }
        connection.flags.probed = false;
        if connection.unsent_bytes() == 0 && unacknowledged_bytes(&connection.socket) == 0 {
            connection.heard_tick = now;
            return self.clients.set_deadline(conn, timing.idle_timeout_ms);
        }
        self.metrics.idle_cuts_total.inc();
        self.leave(conn, Closed::Lost);
        self.clients.end_stream(conn, Some((StreamCondition::ConnectionTimeout, None)));
    }

    fn probe(&mut self, conn: ConnId) {
        self.metrics.probes_total.inc();
        let is_websocket = self.clients.table.get(conn).is_some_and(|connection| connection.flags.websocket);
        if is_websocket {
            let mut ping = Vec::new();
            encode_ping(&mut ping, b"");
            self.clients.put(conn, &ping);
        } else {
            self.clients.put(conn, b" ");
        }
    }

    /// Tells the owner for which of its connections the peer's TCP has acknowledged everything.
    pub(super) fn poll_confirmations(&mut self) {
        if self.clients.confirming.is_empty() || self.rooms.now_ms < self.next_confirm_ms {
            return;
        }
        self.next_confirm_ms = self.rooms.now_ms + self.clients.timing.confirm_poll_ms;
        for _ in 0..self.clients.confirming.len().min(CONFIRMATIONS_PER_POLL) {
            let Some(conn) = self.clients.confirming.pop_front() else { return };
            let Some(connection) = self.clients.table.get_mut(conn) else { continue };
            let Stage::Live(session) = connection.stage else { continue };
            if is_confirmed(connection) {
                connection.flags.confirming = false;
                self.metrics.confirmed_total.inc();
                self.rooms.call(&mut self.clients, |shard, ctx| shard.confirmed(ctx, session));
            } else {
                self.clients.confirming.push_back(conn);
            }
        }
    }
}

pub(super) fn is_confirmed(connection: &Connection) -> bool {
    connection.unsent_bytes() == 0 && unacknowledged_bytes(&connection.socket) == 0
}

/// Bytes in the socket's send queue that the peer's TCP has not acknowledged (tcp(7), `SIOCOUTQ`). If the kernel can't tell, this
/// is not 0, so that nothing is taken for delivered.
fn unacknowledged_bytes(socket: &Socket) -> libc::c_int {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (the same number as SIOCOUTQ) writes one c_int through the pointer, which is valid for it, and
    // the descriptor is open as long as `socket` is borrowed, or is -1, which the call refuses.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { bytes } else { libc::c_int::MAX }
}
