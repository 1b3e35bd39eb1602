//! What other threads have sent: envelopes, connections, commands, verified passwords, the order to stop.

use super::{Arrival, ENVELOPES_PER_TURN, EventLoop};
use crate::c2s::connection::{Asked, Connection, Stage};
use crate::c2s::socket::Socket;
use crate::descriptors::Carried;
use chaski_services::wire::{Closed, ConnId};
use chaski_xmpp::StreamCondition;

impl EventLoop {
    pub(super) fn take_arrivals(&mut self) {
        let mut envelopes = Vec::new();
        let mut arrivals = Vec::new();
        self.inbox.take(&mut envelopes, &mut arrivals);
        if envelopes.is_empty() && arrivals.is_empty() && self.envelopes.is_empty() {
            return;
        }
        self.envelopes.extend(envelopes);
        let count = self.envelopes.len().min(ENVELOPES_PER_TURN);
        for envelope in self.envelopes.drain(..count) {
            self.rooms.call(&mut self.clients, |shard, ctx| shard.envelope(ctx, envelope));
        }
        self.inbox.envelopes_done(count);
        for arrival in arrivals {
            self.arrived(arrival);
        }
    }

    /// Takes the socket of an arrival into this shard's descriptor table.
    fn unpack(&mut self, carried: Carried) -> Option<Socket> {
        let descriptor = match carried {
            Carried::Here(descriptor) => Some(descriptor),
            Carried::Passage(ticket) => {
                if !self.sockets.contains_key(&ticket)
                    && let Some(passage) = &self.passage
                {
                    // The socket was sent before the record, so it is there.
                    passage[usize::from(self.index)].take(&mut self.sockets);
                }
                self.sockets.remove(&ticket)
            }
        };
        if descriptor.is_none() {
            self.metrics.refused_total.inc();
            tracing::warn!(
                shard = self.index,
                "no descriptor for a connection that has moved: raise the open-files limit"
            );
        }
        descriptor.map(Socket::from)
    }

    fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Moved { mut connection, socket } => {
                if let Some(socket) = self.unpack(socket) {
                    connection.socket = socket;
                    self.moved_in(*connection);
                }
            }
            Arrival::WebSocket { upgraded, socket } => {
                if let Some(socket) = self.unpack(socket) {
                    self.adopt_websocket(*upgraded, socket);
                }
            }
            Arrival::Command(command) => {
                self.rooms.call(&mut self.clients, |shard, ctx| shard.command(ctx, command));
            }
            Arrival::Verified { conn, is_right } => self.verified(conn, is_right),
            Arrival::Stop { deadline_ms } => self.begin_stop(deadline_ms),
        }
    }

    /// Takes over a connection that has authenticated on another shard.
    fn moved_in(&mut self, mut connection: Connection) {
        if let Stage::Login(login) = &mut connection.stage {
            login.asked = Asked::Nothing;
        }
        let has_room = self.has_room_for(connection.network);
        let Ok(conn) = self.clients.add(connection, self.clients.timing.login_deadline_ms) else {
            self.metrics.refused_total.inc();
            return;
        };
        if self.stop_at_ms.is_some() {
            self.dismiss(conn);
            return;
        }
        if !has_room {
            self.metrics.refused_total.inc();
            self.fail(conn, StreamCondition::ResourceConstraint, Some("the server is full, try again later"));
            return;
        }
        self.grant_wishes(conn);
        self.clients.queue(conn);
        self.go_on(conn);
    }

    fn begin_stop(&mut self, deadline_ms: u64) {
        if self.stop_at_ms.is_some() {
            return;
        }
        self.stop_at_ms = Some(self.rooms.now_ms + deadline_ms);
        for listener in &mut self.listeners {
            // This fails only if the listener was never registered. It is dropped below, which closes the port.
            let _ = self.poll.registry().deregister(&mut listener.socket);
        }
        self.listeners.clear();
        tracing::info!(shard = self.index, connections = self.clients.table.len(), "stopping");
        self.rooms.call(&mut self.clients, |shard, ctx| shard.carry_before_stop(ctx));
        for conn in self.clients.table.ids() {
            self.dismiss(conn);
        }
    }

    /// Closes a client's stream because the server stops.
    fn dismiss(&mut self, conn: ConnId) {
        match self.clients.table.get(conn).map(|connection| &connection.stage) {
            Some(Stage::Live(_)) => {
                self.leave(conn, Closed::Lost);
                self.clients.end_stream(conn, Some((StreamCondition::SystemShutdown, None)));
            }
            Some(Stage::Login(_) | Stage::Handshake) => {
                self.fail(conn, StreamCondition::SystemShutdown, None);
            }
            Some(Stage::Ending) | None => {}
        }
    }
}
