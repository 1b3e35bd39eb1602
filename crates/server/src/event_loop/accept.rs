//! Accepting connections: a bounded number in a turn, bounded per shard and per client address; and which connection that has not
//! logged in has to make room ([`crate::c2s::guests`]).

use super::EventLoop;
use crate::c2s::connection::{Asked, Connection, Login, Stage};
use crate::c2s::socket::Socket;
use crate::c2s::transport::TlsSession;
use crate::edge::ListenerTls;
use crate::event_loop::Upgraded;
use chaski_services::account::network::Network;
use chaski_services::effects::login::Questions;
use chaski_services::realm::Pressure;
use chaski_xmpp::sasl::ChannelBindings;
use chaski_xmpp::stream::{Framing, Negotiation, Security};
use chaski_xmpp::websocket::Decoder;
use mio::net::TcpStream;
use rand::{Rng, RngExt};
use std::io::{self, Write};
use std::net::SocketAddr;

/// After so many seconds a refused client should try again.
const RETRY_AFTER_S: std::ops::Range<u32> = 15..90;

impl EventLoop {
    pub(super) fn accept(&mut self) {
        for index in 0..self.listeners.len() {
            let mut budget = self.clients.limits.accepts_per_turn;
            while self.listeners[index].ready && budget > 0 && !self.is_crowded() {
                budget -= 1;
                match self.listeners[index].socket.accept() {
                    Ok((socket, peer)) => {
                        let tls = self.listeners[index].tls;
                        self.accepted(socket, peer, tls);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.listeners[index].ready = false;
                    }
                    Err(error) => self.accept_failed(index, &error),
                }
            }
        }
    }

    fn accept_failed(&mut self, index: usize, error: &io::Error) {
        self.metrics.accept_errors_total.inc();
        match error.raw_os_error() {
            // No descriptor or no memory is left: the connection stays in the backlog, and `take_deadlines` tries again.
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                self.listeners[index].ready = false;
                tracing::warn!(shard = self.index, %error, "can't accept connections for now");
            }
            // The peer gave up while it waited; the next one may be fine.
            _ => tracing::debug!(shard = self.index, %error, "accept failed"),
        }
    }

    fn accepted(&mut self, socket: TcpStream, peer: SocketAddr, tls: ListenerTls) {
        let network = Network::of(peer.ip());
        if !self.has_room_for(network) || !self.has_room_for_guest(network) {
            return self.refuse(socket, tls);
        }
        self.metrics.accepted_total.inc();
        let mut connection = Connection::new(socket, Stage::Handshake, network);
        match tls {
            ListenerTls::Direct => match self.tls_session() {
                Some(session) => connection.tls = Some(session),
                None => return,
            },
            ListenerTls::StartTls => connection.stage = self.login(Framing::Tcp, Security::StartTls),
            ListenerTls::Terminated => {
                let security = Security::Secured(ChannelBindings::NONE);
                connection.stage = self.login(Framing::Tcp, security);
            }
        }
        self.admit(connection);
    }

    fn admit(&mut self, connection: Connection) {
        if let Err(error) = self.clients.add(connection, self.clients.timing.login_deadline_ms) {
            self.metrics.refused_total.inc();
            tracing::warn!(shard = self.index, %error, "can't watch a connection");
        }
    }

    /// Refuses a connection: one write says that there is no room and when to try again, then it is closed. Nothing is kept of
    /// it.
    fn refuse(&mut self, mut socket: TcpStream, tls: ListenerTls) {
        self.metrics.refused_total.inc();
        let farewell = match tls {
            // Before a TLS handshake there is no stream that could carry an error, and the cost of the handshake is what has to
            // be saved.
            ListenerTls::Direct => TLS_ALERT.to_vec(),
            ListenerTls::StartTls | ListenerTls::Terminated => {
                // The times are spread, so that clients that were refused together do not come back together.
                let seconds = self.rooms.rng.random_range(RETRY_AFTER_S);
                full(&self.realm.domain, seconds).into_bytes()
            }
        };
        // The socket of a new connection takes so few bytes; if not, the peer is gone.
        let _ = socket.write(&farewell);
    }

    /// Whether there is room for one more connection of a network, logged in or not.
    pub(super) fn has_room_for(&self, network: Network) -> bool {
        let limits = &self.clients.limits;
        let of_address = self.clients.addresses.get(&network).copied().unwrap_or(0) as usize;
        self.rooms.pressure < Pressure::Connections
            && self.clients.table.len() < limits.connections_per_shard
            && (network.is_unknown() || of_address < limits.connections_per_address)
    }

    /// Whether there may be one more connection that has not logged in.
    pub(super) fn has_place(&self) -> bool {
        self.clients.guests.len() < self.clients.limits.guests
    }

    /// Whether accepting has to wait, although a guest of the network with most guests was asked to go.
    fn is_crowded(&mut self) -> bool {
        if self.has_place() {
            return false;
        }
        let tick = self.clients.wheel.now();
        // No guest grows older within a tick.
        if self.paused_tick == Some(tick) {
            return true;
        }
        let greediest = self.clients.guests.greediest();
        if greediest.is_some_and(|network| self.oust(network)) {
            return false;
        }
        self.paused_tick = Some(tick);
        self.metrics.guests_paused_total.inc();
        true
    }

    /// Whether there is room for one more guest of this network, if need be the room of the network's oldest guest.
    fn has_room_for_guest(&mut self, network: Network) -> bool {
        let is_full = !network.is_unknown()
            && self.clients.guests.of(network) >= self.clients.limits.guests_per_network;
        if is_full && !self.oust(network) {
            self.metrics.guests_refused_total.inc();
            return false;
        }
        true
    }

    /// Closes the oldest guest of a network, if it has had its time: when everybody reconnects, a login that has begun may
    /// finish.
    fn oust(&mut self, network: Network) -> bool {
        let Some((conn, since)) = self.clients.oldest_guest(network) else { return false };
        let patience = self.clients.wheel.ticks(self.clients.timing.guest_patience_ms);
        if self.clients.wheel.now().saturating_sub(since) < patience {
            return false;
        }
        self.metrics.guests_ousted_total.inc();
        self.lost(conn);
        true
    }

    pub(super) fn tls_session(&mut self) -> Option<Box<TlsSession>> {
        let session = TlsSession::new(self.identity()?);
        session.inspect_err(|error| tracing::warn!(%error, "can't begin TLS")).ok().map(Box::new)
    }

    /// The state of a login at the beginning of a stream.
    pub(super) fn login(&mut self, framing: Framing, security: Security) -> Stage {
        let mut seed = [0; 32];
        self.rooms.rng.fill_bytes(&mut seed);
        let negotiation = Negotiation::new(self.settings.clone(), framing, security, seed);
        Stage::Login(Box::new(Login {
            negotiation,
            asked: Asked::Nothing,
            questions: Questions::default(),
            candidate: None,
            proving: None,
            username: String::new(),
            tried_at_ms: None,
            wishes: None,
            early: Vec::new(),
        }))
    }

    /// Takes over a connection that HTTP has upgraded.
    pub(super) fn adopt_websocket(&mut self, upgraded: Upgraded, socket: Socket) {
        let Upgraded { peer, tls, mut leftover, protected } = upgraded;
        let network = peer.map_or(Network::UNKNOWN, Network::of);
        if self.stop_at_ms.is_some()
            || !self.has_room_for(network)
            || self.is_crowded()
            || !self.has_room_for_guest(network)
        {
            self.metrics.refused_total.inc();
            return;
        }
        self.metrics.accepted_total.inc();
        let mut connection = Connection::new(socket, Stage::Handshake, network);
        let mut tls = tls.map(|inner| Box::new(TlsSession::established(inner)));
        let security = match &mut tls {
            Some(tls) => {
                if tls.leftover(&mut leftover).is_err() {
                    return;
                }
                Security::Secured(tls.channel_bindings())
            }
            None if protected => Security::Secured(ChannelBindings::NONE),
            // RFC 7395 has no STARTTLS: a connection without TLS may not authenticate.
            None => {
                self.metrics.refused_total.inc();
                return;
            }
        };
        connection.tls = tls;
        connection.stage = self.login(Framing::WebSocket, security);
        let max_bytes = self.clients.limits.element_bytes_before_auth;
        connection.websocket = Some(Box::new(Decoder::new(max_bytes)));
        connection.flags.websocket = true;
        let deadline_ms = self.clients.timing.login_deadline_ms;
        if let Ok(conn) = self.clients.add(connection, deadline_ms) {
            self.consume(conn, &leftover);
        }
    }
}

/// A fatal `internal_error` alert (RFC 8446 §6) in a record of its own.
const TLS_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// A stream that ends with an error at once (RFC 6120 §4.9.3.17), with a hint for programs and a text for people.
fn full(domain: &str, seconds: u32) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         from='{domain}' version='1.0'><stream:error>\
         <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>the server is full, try again in \
         {seconds} seconds</text>\
         <retry-after xmlns='urn:chaski:retry:0' seconds='{seconds}'/></stream:error></stream:stream>"
    )
}
