//! Client connections of one shard: their records, what waits to be written, and the implementation of [`Wire`], by which the
//! shard writes to them.
//!
//! Owned by the shard's event loop. Nothing here reads sockets or calls the shard's owner: [`crate::event_loop`] does. Answers
//! that the owner gives through [`Wire`] are queued for it. RFC 6120 (streams), RFC 7395 (WebSocket).

pub(crate) mod connection;
pub(crate) mod guests;
pub(crate) mod outbound;
pub(crate) mod socket;
pub(crate) mod table;
pub(crate) mod transport;
mod wire;

use crate::descriptors::{Carried, Passage, Ticket};
use crate::edge::{EdgeLimits, EdgeTiming};
use crate::event_loop::ShardInbox;
use crate::metrics::EdgeMetrics;
use crate::timers::{Deadline, Wheel};
use crate::websocket;
use chaski_services::account::network::Network;
use chaski_services::effects::letter::Envelope;
use chaski_services::effects::login::Verdict;
use chaski_services::wire::ConnId;
use chaski_store::ShardIndex;
use chaski_xmpp::StreamCondition;
use chaski_xmpp::sm::TooHigh;
use chaski_xmpp::stream::{self, Framing, Outlet};
use connection::{Connection, Stage};
use guests::Guests;
use mio::Interest;
use outbound::Pool;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::Arc;
use table::Table;

/// With so many envelopes waiting for it a shard counts as behind: about half a millisecond of work.
const BEHIND_ENVELOPES: usize = 128;

/// What the event loop has to do for a connection when the present call into the shard is over.
pub(crate) enum Answer {
    /// The owner's verdict on the connection's question of this number.
    Verdict(u32, Verdict),
    /// The connection is no longer paused: read it again.
    GoOn,
    /// The connection moves to this shard, now that its unread input is put aside.
    Owner(ShardIndex),
}

/// What came of writing a connection's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing follows from it.
    Fine,
    /// The connection was clogged, or is paused, and now has nothing unsent.
    Drained,
    /// The socket is broken.
    Broken,
    /// Both sides have closed the stream.
    Over,
}

/// See the module.
pub(crate) struct Clients {
    pub(crate) table: Table,
    pub(crate) wheel: Wheel,
    /// Connections to be read in this turn or the next.
    pub(crate) ready: VecDeque<ConnId>,
    /// Connections to be read that are not logged in yet. They get a bounded time in each turn.
    pub(crate) logins: VecDeque<ConnId>,
    pub(crate) answers: VecDeque<(ConnId, Answer)>,
    /// Connections for which the owner has called [`chaski_services::owner::wire::Wire::confirm`].
    pub(crate) confirming: VecDeque<ConnId>,
    /// Connections that move to another shard as soon as there is room on the way.
    pub(crate) waiting_to_move: VecDeque<(ConnId, ShardIndex)>,
    /// Connections to be cut, because too much waits to be sent on them.
    pub(crate) too_slow: Vec<ConnId>,
    /// Connections per near network.
    pub(crate) addresses: HashMap<Network, u32>,
    pub(crate) guests: Guests,
    pub(crate) metrics: Arc<EdgeMetrics>,
    pub(crate) limits: EdgeLimits,
    pub(crate) timing: EdgeTiming,
    registry: mio::Registry,
    dirty: Vec<ConnId>,
    pool: Pool,
    /// Envelopes of this turn, by shard.
    outgoing: Vec<Vec<Envelope>>,
    peers: Peers,
}

/// The ways to the other shards.
pub(crate) struct Peers {
    pub(crate) inboxes: Arc<[Arc<ShardInbox>]>,
    /// The shards' ways in for sockets, if each has a descriptor table of its own.
    pub(crate) passages: Option<Arc<[Passage]>>,
    /// The ticket of the next socket that leaves.
    pub(crate) next_ticket: Ticket,
}

impl Clients {
    pub(crate) fn new(
        registry: mio::Registry,
        peers: Peers,
        metrics: Arc<EdgeMetrics>,
        limits: EdgeLimits,
        timing: EdgeTiming,
    ) -> Self {
        Self {
            table: Table::default(),
            wheel: Wheel::new(timing.tick_ms),
            ready: VecDeque::new(),
            logins: VecDeque::new(),
            answers: VecDeque::new(),
            confirming: VecDeque::new(),
            waiting_to_move: VecDeque::new(),
            too_slow: Vec::new(),
            addresses: HashMap::new(),
            guests: Guests::default(),
            metrics,
            limits,
            timing,
            registry,
            dirty: Vec::new(),
            pool: Pool::default(),
            outgoing: peers.inboxes.iter().map(|_| Vec::new()).collect(),
            peers,
        }
    }

    /// Puts a connection into the table and the event queue, with a deadline, and has it read.
    pub(crate) fn add(&mut self, mut connection: Connection, deadline_ms: u64) -> io::Result<ConnId> {
        connection.heard_tick = self.wheel.now();
        connection.flags.queued = false;
        let (network, is_guest) = (connection.network, !connection.flags.authenticated);
        *self.addresses.entry(network).or_default() += 1;
        let conn = self.table.insert(connection);
        if is_guest {
            let table = &self.table;
            self.guests.enter(network, conn, self.wheel.now(), |conn| is_guest_of(table, conn));
            self.metrics.guests.add(1);
        }
        let record = self.table.get_mut(conn).expect("just inserted");
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.registry.register(&mut record.socket, table::token(conn), interest);
        let ticks = self.wheel.ticks(deadline_ms);
        self.wheel.set(conn, &mut record.deadline, ticks);
        if record.unsent_bytes() > 0 {
            record.flags.dirty = true;
            self.dirty.push(conn);
        }
        self.metrics.connections.add(1);
        if let Err(error) = registered {
            self.remove(conn);
            return Err(error);
        }
        Ok(conn)
    }

    /// Takes a connection out of the table and the event queue. Dropping it closes the socket.
    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        let mut connection = self.table.remove(conn)?;
        connection.deadline = Deadline::default();
        // Fails only if the socket was never registered, or is on its way to another shard.
        let _ = self.registry.deregister(&mut connection.socket);
        if !connection.flags.authenticated {
            self.guests.leave(connection.network);
            self.metrics.guests.add(-1);
        }
        if let Some(count) = self.addresses.get_mut(&connection.network) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&connection.network);
            }
        }
        if let Some(outbound) = &mut connection.outbound {
            self.metrics.unsent_bytes.add(-(outbound.counted as i64));
            outbound.counted = 0;
        }
        if matches!(connection.stage, Stage::Live(_)) {
            self.metrics.sessions.add(-1);
        }
        self.metrics.connections.add(-1);
        Some(connection)
    }

    /// The connection's client has authenticated.
    pub(crate) fn authenticated(&mut self, conn: ConnId) {
        let Some(connection) = self.table.get_mut(conn) else { return };
        if !std::mem::replace(&mut connection.flags.authenticated, true) {
            self.guests.leave(connection.network);
            self.metrics.guests.add(-1);
        }
    }

    /// The connection of this network that has been unauthenticated for longest, and the tick in which it came.
    pub(crate) fn oldest_guest(&mut self, network: Network) -> Option<(ConnId, u32)> {
        let table = &self.table;
        self.guests.oldest(network, |conn| is_guest_of(table, conn))
    }

    /// Has the connection read in this turn or the next.
    pub(crate) fn queue(&mut self, conn: ConnId) {
        let Some(connection) = self.table.get_mut(conn) else { return };
        if connection.owes_answer() {
            connection.flags.read_pending = true;
        } else if !connection.flags.queued {
            connection.flags.queued = true;
            let list = if connection.is_live() { &mut self.ready } else { &mut self.logins };
            list.push_back(conn);
        }
    }

    /// Sets the connection's deadline, from now.
    pub(crate) fn set_deadline(&mut self, conn: ConnId, after_ms: u64) {
        let ticks = self.wheel.ticks(after_ms);
        if let Some(connection) = self.table.get_mut(conn) {
            self.wheel.set(conn, &mut connection.deadline, ticks);
        }
    }

    /// Writes bytes that need no framing (in WebSocket: whole frames).
    pub(crate) fn put(&mut self, conn: ConnId, bytes: &[u8]) {
        self.append(conn, |buffer| buffer.extend_from_slice(bytes));
    }

    fn append(&mut self, conn: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.table.get_mut(conn) else { return };
        if connection.flags.too_slow {
            return;
        }
        let outbound = connection.outbound.get_or_insert_with(|| self.pool.take());
        write(&mut outbound.plain);
        if outbound.len() > self.limits.unsent_bytes {
            connection.flags.too_slow = true;
            self.too_slow.push(conn);
        }
        if !connection.flags.dirty {
            connection.flags.dirty = true;
            self.dirty.push(conn);
        }
    }

    /// Appends handshake bytes and alerts: they are encrypted already.
    pub(crate) fn put_wire(&mut self, conn: ConnId, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.append(conn, |_| {});
        let outbound = self.table.get_mut(conn).and_then(|connection| connection.outbound.as_mut());
        if let Some(outbound) = outbound {
            outbound.wire.extend_from_slice(bytes);
        }
    }

    /// Makes what is written so far final, so that it is not encrypted together with what follows.
    pub(crate) fn seal(&mut self, conn: ConnId) {
        if let Some(outbound) = self.table.get_mut(conn).and_then(|connection| connection.outbound.as_mut()) {
            outbound.seal();
        }
    }

    /// Writes the end of a stream whose header is out, and begins to close.
    pub(crate) fn end_stream(&mut self, conn: ConnId, error: Option<(StreamCondition, Option<&str>)>) {
        self.end_with(conn, error.is_some(), |framing, out| stream::end(framing, error, out));
    }

    /// Ends a stream whose client has acknowledged stanzas that it was never sent.
    pub(crate) fn end_too_high(&mut self, conn: ConnId, error: TooHigh) {
        self.end_with(conn, true, |framing, out| stream::end_too_high(framing, error, out));
    }

    fn end_with(&mut self, conn: ConnId, is_error: bool, write: impl FnOnce(Framing, &mut Pieces)) {
        let Some(connection) = self.table.get(conn) else { return };
        if matches!(connection.stage, Stage::Ending) {
            return;
        }
        self.metrics.stream_errors_total.add(u64::from(is_error));
        let mut pieces = Pieces::new(connection.framing());
        write(connection.framing(), &mut pieces);
        self.put(conn, &pieces.bytes);
        self.begin_ending(conn);
    }

    /// The last element is written: flushes, closes TLS and WebSocket, and waits, for a bounded time, for the peer's end.
    pub(crate) fn begin_ending(&mut self, conn: ConnId) {
        let Some(connection) = self.table.get_mut(conn) else { return };
        if matches!(connection.stage, Stage::Ending) {
            return;
        }
        let was_live = matches!(connection.stage, Stage::Live(_));
        connection.stage = Stage::Ending;
        connection.partial = Vec::new();
        let is_websocket = connection.flags.websocket;
        if was_live {
            self.metrics.sessions.add(-1);
        }
        if is_websocket {
            self.append(conn, websocket::close);
        } else {
            self.append(conn, |_| {});
        }
        self.set_deadline(conn, self.timing.close_linger_ms);
        // Input that was not read yet (an answer was owed) is discarded, as all further input is.
        self.queue(conn);
    }

    /// Connections that were written to since the last call.
    pub(crate) fn take_dirty(&mut self, into: &mut Vec<ConnId>) {
        into.append(&mut self.dirty);
    }

    /// Whether written output waits for the answer that a login is owed, to be sent with it in one segment ([`Self::release`]). A
    /// client that pipelines (XEP-0305, XEP-0484) waits only for that answer. The output also has to wait for an answer that
    /// comes late on purpose; otherwise its time would tell what the answer's time hides.
    pub(crate) fn is_held_back(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.table.get_mut(conn) else { return false };
        let waits = matches!(connection.stage, Stage::Login(_)) && connection.owes_answer();
        connection.flags.dirty &= !waits;
        waits
    }

    /// Sends what was held back with this turn, also if the answer itself has no bytes.
    pub(crate) fn release(&mut self, conn: ConnId) {
        if self.table.get(conn).is_some_and(|connection| connection.unsent_bytes() > 0) {
            self.append(conn, |_| {});
        }
    }

    /// Hands what was written to the kernel, with one call.
    pub(crate) fn flush(&mut self, conn: ConnId) -> Flushed {
        let Some(connection) = self.table.get_mut(conn) else { return Flushed::Fine };
        connection.flags.dirty = false;
        let Some(mut outbound) = connection.outbound.take() else { return Flushed::Fine };
        connection.encrypt(&mut outbound);
        let was_clogged = connection.flags.clogged;
        if was_clogged {
            connection.keep(outbound, &self.metrics);
            return Flushed::Fine;
        }
        if connection.send(&mut outbound, &self.metrics).is_err() {
            connection.keep(outbound, &self.metrics);
            return Flushed::Broken;
        }
        if outbound.len() > 0 {
            connection.flags.clogged = true;
            connection.keep(outbound, &self.metrics);
            return Flushed::Fine;
        }
        self.metrics.unsent_bytes.add(-(outbound.counted as i64));
        let drained = outbound.counted > 0 || connection.flags.paused;
        outbound.counted = 0;
        self.pool.give(outbound);
        connection.finish();
        if connection.flags.eof {
            return Flushed::Over;
        }
        if drained { Flushed::Drained } else { Flushed::Fine }
    }

    /// The socket takes bytes again.
    pub(crate) fn writable(&mut self, conn: ConnId) -> Flushed {
        match self.table.get_mut(conn) {
            Some(connection) if connection.flags.clogged => {
                connection.flags.clogged = false;
                self.flush(conn)
            }
            _ => Flushed::Fine,
        }
    }

    /// Hands this turn's envelopes to the other shards.
    pub(crate) fn forward_outgoing(&mut self) {
        for (batch, peer) in self.outgoing.iter_mut().zip(self.peers.inboxes.iter()) {
            if !batch.is_empty() {
                self.metrics.forwarded_total.add(batch.len() as u64);
                peer.push_envelopes(batch);
            }
        }
    }

    /// Prepares a connection's socket for its way to another shard. `WouldBlock`: try again later.
    pub(crate) fn carry(&mut self, conn: ConnId, to: ShardIndex) -> io::Result<Carried> {
        let connection = self.table.get_mut(conn).ok_or(io::ErrorKind::NotConnected)?;
        let socket = &mut connection.socket;
        let Some(passages) = &self.peers.passages else {
            let _ = self.registry.deregister(socket);
            return socket.take().map(Carried::Here).ok_or_else(|| io::ErrorKind::NotConnected.into());
        };
        let ticket = self.peers.next_ticket;
        passages[usize::from(to.0)].send(ticket, socket.descriptor()?)?;
        self.peers.next_ticket += 1;
        // The new owner may watch the socket already: here it has to be deregistered before its number is used again.
        let _ = self.registry.deregister(socket);
        drop(socket.take());
        Ok(Carried::Passage(ticket))
    }

    /// Whether a shard other than this one has so much to do for others that it delays messages.
    pub(crate) fn is_peer_behind(&self, own: u16) -> bool {
        let others = self.peers.inboxes.iter().enumerate().filter(|(index, _)| *index != usize::from(own));
        others.map(|(_, inbox)| inbox.envelopes_waiting()).any(|waiting| waiting >= BEHIND_ENVELOPES)
    }

    /// The inbox of a shard.
    pub(crate) fn peer(&self, shard: ShardIndex) -> &Arc<ShardInbox> {
        &self.peers.inboxes[usize::from(shard.0)]
    }
}

fn is_guest_of(table: &Table, conn: ConnId) -> bool {
    table.get(conn).is_some_and(|connection| !connection.flags.authenticated)
}

impl Connection {
    fn encrypt(&mut self, outbound: &mut outbound::Outbound) {
        match &mut self.tls {
            // During the TLS handshake nothing but handshake bytes may be sent.
            Some(tls) if !self.flags.tls_dead && !tls.is_handshaking() => {
                if !outbound.plain.is_empty() {
                    tls.encrypt(&outbound.plain, &mut outbound.wire);
                }
                if matches!(self.stage, Stage::Ending) && !self.flags.notified {
                    self.flags.notified = true;
                    tls.close(&mut outbound.wire);
                }
                outbound.plain.clear();
            }
            Some(_) => outbound.plain.clear(),
            None => outbound.seal(),
        }
    }

    fn send(&mut self, outbound: &mut outbound::Outbound, metrics: &EdgeMetrics) -> io::Result<()> {
        while !outbound.ready().is_empty() {
            let wanted = outbound.ready().len();
            match self.socket.write(outbound.ready()) {
                Ok(taken) => {
                    metrics.written_bytes_total.add(taken as u64);
                    metrics.writes_total.inc();
                    outbound.taken(taken);
                    // A full socket: epoll tells when there is room again.
                    if taken < wanted {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn keep(&mut self, mut outbound: Box<outbound::Outbound>, metrics: &EdgeMetrics) {
        let waiting = outbound.len();
        metrics.unsent_bytes.add(waiting as i64 - outbound.counted as i64);
        outbound.counted = waiting;
        self.outbound = Some(outbound);
    }

    /// All output is sent. If the stream has ended with it, sends FIN.
    fn finish(&mut self) {
        if matches!(self.stage, Stage::Ending) && !self.flags.finished {
            self.flags.finished = true;
            // Fails if the peer is gone; then the next read says so too.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }
}

/// Pieces of a stream's negotiation on their way into a connection's buffer.
pub(crate) struct Pieces {
    framing: Framing,
    /// The pieces, framed as the connection needs it.
    pub(crate) bytes: Vec<u8>,
    /// Whether they tell the client that its login has failed.
    pub(crate) login_failed: bool,
}

impl Pieces {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, bytes: Vec::new(), login_failed: false }
    }
}

impl Outlet for Pieces {
    fn put(&mut self, piece: &[u8]) {
        // RFC 6120 §6.4.5; no other element of a negotiation is called so.
        self.login_failed |= piece.starts_with(b"<failure");
        match self.framing {
            Framing::Tcp => self.bytes.extend_from_slice(piece),
            Framing::WebSocket => chaski_xmpp::websocket::encode_text(&mut self.bytes, &[piece]),
        }
    }
}
