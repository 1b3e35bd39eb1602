//! A shard's thread: one epoll loop that accepts, reads, drives the owner of its accounts, and writes, in turns.
//!
//! A turn: wait for events; accept a bounded number of connections; read each ready connection once (sessions first, then logins,
//! for a bounded time); take what other threads have sent; handle the store's completions, the deadlines and the owner's answers
//! to logins; end the shard's turn; write each connection that has output with one system call; hand each other shard its
//! envelopes in one batch. The clock is read once per turn. Nothing in a turn blocks, and if fairness leaves something undone,
//! the next turn begins without waiting.
//!
//! Policy on panics: accounts and connections may be half changed after a panic, so the process logs it and aborts rather than
//! serve wrong state (see [`AbortOnPanic`]). What was accepted is in the journal. RFC 6120, RFC 7395.

mod accept;
mod admission;
mod arrivals;
mod deadlines;
mod login;
mod pace;
mod proving;
mod receive;

use crate::c2s::connection::{Connection, Stage};
use crate::c2s::{Clients, Flushed, Peers};
use crate::descriptors::{Carried, Passage, Ticket};
use crate::doors::Doors;
use crate::edge::{EdgeLimits, EdgeTiming, ListenerConfig, StartError};
use crate::handover::Inbox;
use crate::listener::{self, Listener};
use crate::memory::MemoryWatch;
use crate::metrics::EdgeMetrics;
use crate::tls::{TlsIdentity, TlsSlot};
use chaski_services::account::credentials::Salting;
use chaski_services::effects::letter::Envelope;
use chaski_services::effects::turn::command::{AtWork, Command};
use chaski_services::owner::context::Context;
use chaski_services::realm::{Pressure, Realm};
use chaski_services::shard::Shard;
use chaski_services::wire::{Closed, ConnId};
use chaski_store::{Completion, Now, ShardStore, Time};
use chaski_xmpp::stream::Settings;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use pace::{Pace, Turn};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The token of the inbox' waker. Listeners have the tokens from 0; connections those from 2^32.
pub(crate) const WAKER: Token = Token(u32::MAX as usize);
/// Events taken from the kernel in one call.
const EVENTS: usize = 1024;
/// The size of the shard's buffer for reading: the most that is read from one connection in one turn.
const READ_BYTES: usize = 64 * 1024;
/// Envelopes handled in one turn.
const ENVELOPES_PER_TURN: usize = 4096;
/// Accounts get a new share of the shard's time at most this often. An account that has spent its share waits as long, and leaves
/// the rest of the machine to others. This is as fine as the wait for events is.
const SHARES_EVERY_US: u64 = 1_000;
/// How often the shard's coarse timers run.
const ROOMS_TICK_MS: u64 = 250;

/// The inbox of a shard.
pub(crate) type ShardInbox = Inbox<Envelope, Arrival>;

/// What comes to a shard from another thread, besides envelopes.
pub(crate) enum Arrival {
    /// A connection that has authenticated as an account of this shard.
    Moved { connection: Box<Connection>, socket: Carried },
    /// A connection from HTTP.
    WebSocket { upgraded: Box<Upgraded>, socket: Carried },
    /// A command for the shard.
    Command(Command),
    /// The outcome of a slow password check. `None`: the check was not made, because too many waited.
    Verified { conn: ConnId, is_right: Option<bool> },
    /// Close all streams, then end the thread within this time.
    Stop { deadline_ms: u64 },
}

/// A connection that HTTP has upgraded.
pub(crate) struct Upgraded {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) tls: Option<rustls::ServerConnection>,
    pub(crate) leftover: Vec<u8>,
    pub(crate) protected: bool,
}

/// What a shard is made from. It holds no descriptors except those that all threads share: the shard's thread opens its own.
pub(crate) struct Parts {
    pub(crate) index: u16,
    pub(crate) listeners: Vec<ListenerConfig>,
    pub(crate) peers: Arc<[Arc<ShardInbox>]>,
    pub(crate) passages: Option<Arc<[Passage]>>,
    pub(crate) limits: EdgeLimits,
    pub(crate) timing: EdgeTiming,
    pub(crate) shard: Shard,
    pub(crate) store: Box<dyn ShardStore>,
    pub(crate) inbox: Arc<ShardInbox>,
    pub(crate) tls: Arc<TlsSlot>,
    pub(crate) doors: Doors,
    pub(crate) realm: Arc<Realm>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: Arc<EdgeMetrics>,
    pub(crate) memory: Arc<MemoryWatch>,
    pub(crate) time: Arc<Time>,
}

/// See the module.
pub(crate) struct EventLoop {
    index: u16,
    poll: Poll,
    listeners: Vec<Listener>,
    clients: Clients,
    rooms: Rooms,
    inbox: Arc<ShardInbox>,
    passage: Option<Arc<[Passage]>>,
    /// Sockets that have arrived before their connections' records.
    sockets: HashMap<Ticket, OwnedFd>,
    tls: Arc<TlsSlot>,
    identity: (u64, Option<TlsIdentity>),
    doors: Doors,
    realm: Arc<Realm>,
    /// For decoy credentials, which stand in for names without an account.
    salting: Salting,
    settings: Arc<Settings>,
    metrics: Arc<EdgeMetrics>,
    memory: Arc<MemoryWatch>,
    origin: Instant,
    /// Failures of logins that are reported later ([`crate::c2s::connection::Asked::Late`]): the time and the connection. One per
    /// connection at a time.
    late: BinaryHeap<Reverse<(u64, u64)>>,
    /// Envelopes that were taken from the inbox and wait for a turn.
    envelopes: VecDeque<Envelope>,
    buffers: Buffers,
    next_rooms_tick_ms: u64,
    next_confirm_ms: u64,
    /// The tick in which no guest could be asked to make room.
    paused_tick: Option<u32>,
    /// When the stop must be over, once it has been ordered.
    stop_at_ms: Option<u64>,
    /// The next turn must not wait.
    again: bool,
    /// Sessions with input that is not read, because their accounts have had their share of the turn.
    put_off: usize,
    /// When this turn began, in microseconds since the origin.
    begun_us: u64,
    /// The part of the turn that was spent on logins.
    strangers_took_us: u64,
    /// Decides how far apart turns begin.
    pace: Pace,
    /// When shares were last renewed, in microseconds since the origin.
    shares_since_us: u64,
    /// The gap between turns as it was last reported to the metrics.
    gap_us: i64,
    turn_max_us: u64,
    turn_max_since_ms: u64,
}

/// The shard's own buffers. Each is taken out while it is in use.
struct Buffers {
    read: Vec<u8>,
    plain: Vec<u8>,
    wire: Vec<u8>,
    /// Deadlines that are due and wait for a turn.
    fired: VecDeque<ConnId>,
    /// Sessions that are not read in this turn, in order. Empty between turns.
    put_off: VecDeque<ConnId>,
    dirty: Vec<ConnId>,
    completions: Vec<Completion>,
}

/// The shard with what a [`Context`] lends it.
struct Rooms {
    shard: Shard,
    store: Box<dyn ShardStore>,
    rng: rand::rngs::StdRng,
    now_ms: u64,
    time: Arc<Time>,
    now: Now,
    pressure: Pressure,
}

impl Rooms {
    /// Calls the shard.
    fn call<R>(&mut self, clients: &mut Clients, f: impl FnOnce(&mut Shard, &mut Context<'_>) -> R) -> R {
        let mut context = Context {
            now_ms: self.now_ms,
            unix_ms: self.now.unix_ms,
            shown_by_ms: self.now.shown_by_ms,
            pressure: self.pressure,
            rng: &mut self.rng,
            store: &mut *self.store,
            wire: clients,
            at_work: AtWork::new(),
        };
        f(&mut self.shard, &mut context)
    }
}

impl EventLoop {
    /// Opens the listeners. Has to be called on the shard's own thread, whose descriptor table it uses.
    pub(crate) fn new(parts: Parts) -> Result<Self, StartError> {
        let poll = Poll::new()?;
        let mut listeners = listener::listen(&parts.listeners)?;
        for (index, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(&mut listener.socket, Token(index), Interest::READABLE)?;
        }
        poll.registry().register(&mut SourceFd(&parts.inbox.wake_fd()), WAKER, Interest::READABLE)?;
        let clients = Clients::new(
            poll.registry().try_clone()?,
            Peers {
                inboxes: parts.peers,
                passages: parts.passages.clone(),
                next_ticket: Ticket::from(parts.index) << 48,
            },
            parts.metrics.clone(),
            parts.limits,
            parts.timing,
        );
        Ok(Self {
            index: parts.index,
            poll,
            listeners,
            clients,
            rooms: Rooms {
                shard: parts.shard,
                store: parts.store,
                rng: rand::make_rng(),
                now_ms: 0,
                now: parts.time.now(),
                time: parts.time,
                pressure: Pressure::None,
            },
            inbox: parts.inbox,
            passage: parts.passages,
            sockets: HashMap::new(),
            identity: (parts.tls.version(), parts.tls.get()),
            tls: parts.tls,
            salting: Salting::of_server(&parts.realm.secrets.root),
            doors: parts.doors,
            realm: parts.realm,
            settings: parts.settings,
            metrics: parts.metrics,
            memory: parts.memory,
            origin: now(),
            late: BinaryHeap::new(),
            envelopes: VecDeque::new(),
            buffers: Buffers {
                read: vec![0; READ_BYTES],
                plain: Vec::new(),
                wire: Vec::new(),
                fired: VecDeque::new(),
                put_off: VecDeque::new(),
                dirty: Vec::new(),
                completions: Vec::new(),
            },
            next_rooms_tick_ms: 0,
            next_confirm_ms: 0,
            paused_tick: None,
            stop_at_ms: None,
            again: true,
            put_off: 0,
            begun_us: 0,
            strangers_took_us: 0,
            pace: Pace::new(parts.timing.turn_gap_us, 0),
            shares_since_us: 0,
            gap_us: 0,
            turn_max_us: 0,
            turn_max_since_ms: 0,
        })
    }

    /// Runs until it is told to stop. `true`: every client's stream was closed in time.
    pub(crate) fn run(mut self) -> bool {
        let _guard = AbortOnPanic { shard: self.index };
        let mut events = Events::with_capacity(EVENTS);
        // Reading the clock costs a hundred instructions: the end of one turn is used as the begin of the next wait.
        let mut ended_us = self.now_us();
        loop {
            let wait = self.wait(ended_us);
            if !wait.is_zero()
                && let Some(pause) = self.pace.pause(self.begun_us, ended_us)
            {
                std::thread::sleep(pause);
                self.metrics.turns_spaced_total.inc();
            }
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                // Only a programming error gets here (a bad descriptor); without events there is no service.
                tracing::error!(shard = self.index, %error, "the event queue failed");
                return false;
            }
            self.read_clock();
            self.turn(&events);
            ended_us = self.now_us();
            self.measure(ended_us);
            if let Some(stop_at_ms) = self.stop_at_ms {
                let all_gone = self.clients.table.len() == 0;
                if all_gone || self.rooms.now_ms >= stop_at_ms {
                    return all_gone;
                }
            }
        }
    }

    /// Microseconds since the origin, as a number: comparing and subtracting [`Instant`]s costs more than reading the clock.
    fn now_us(&self) -> u64 {
        let since = now().duration_since(self.origin);
        since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
    }

    fn read_clock(&mut self) {
        self.begun_us = self.now_us();
        self.rooms.now_ms = self.begun_us / 1_000;
        self.rooms.now = self.rooms.time.now();
        self.rooms.pressure = self.memory.pressure();
    }

    fn measure(&mut self, ended_us: u64) {
        let (begun_us, strangers_took_us) = (self.begun_us, self.strangers_took_us);
        let spent_us = ended_us - begun_us;
        let has_debtors = self.rooms.shard.has_debtors();
        self.pace.turned(Turn { begun_us, ended_us, strangers_took_us, has_debtors });
        if self.rooms.now_ms >= self.turn_max_since_ms + 60_000 {
            self.turn_max_since_ms = self.rooms.now_ms;
            self.turn_max_us = 0;
        }
        self.turn_max_us = self.turn_max_us.max(spent_us);
        self.metrics.turns_total.inc();
        self.metrics.turn_us_total.add(spent_us);
        self.metrics.turn_us.observe(spent_us);
        self.metrics.turn_max_us.set(self.turn_max_us as i64);
        let gap_us = self.pace.gap_us() as i64;
        self.metrics.turn_gap_us.add(gap_us - self.gap_us);
        self.gap_us = gap_us;
    }

    /// How long the next wait may be, at this moment.
    fn wait(&self, now_us: u64) -> Duration {
        // A session whose account has spent its share is not read sooner by beginning a turn at once.
        let has_readable = self.put_off < self.clients.ready.len();
        let work = self.again
            || has_readable
            || !self.clients.logins.is_empty()
            || !self.envelopes.is_empty()
            || !self.buffers.fired.is_empty()
            || !self.clients.waiting_to_move.is_empty()
            || self.has_place() && self.listeners.iter().any(|listener| listener.ready);
        if work {
            return Duration::ZERO;
        }
        let now_ms = now_us / 1_000;
        let mut wait_ms = self.clients.wheel.next_tick_in_ms(now_ms);
        wait_ms = wait_ms.min(self.next_rooms_tick_ms.saturating_sub(now_ms));
        if !self.clients.ready.is_empty() {
            wait_ms = wait_ms.min(SHARES_EVERY_US / 1_000);
        }
        if let Some(Reverse((due_ms, _))) = self.late.peek() {
            wait_ms = wait_ms.min(due_ms.saturating_sub(now_ms));
        }
        if !self.clients.confirming.is_empty() {
            wait_ms = wait_ms.min(self.next_confirm_ms.saturating_sub(now_ms));
        }
        Duration::from_millis(wait_ms)
    }

    fn turn(&mut self, events: &Events) {
        self.again = false;
        for event in events {
            self.note(event);
        }
        // Timers run before anything is read. What waits for a tick must not get one in the turn in which it came: otherwise an
        // answer sent with the tick could overtake the acknowledgement of an earlier stanza.
        self.tick_rooms();
        self.accept();
        self.read_ready();
        self.take_arrivals();
        self.take_completions();
        self.move_waiting();
        self.take_answers();
        self.take_late();
        self.take_deadlines();
        self.poll_confirmations();
        self.again |= self.rooms.call(&mut self.clients, |shard, ctx| shard.end_turn(ctx));
        // What these answers lead to is carried out in the next turn, which begins at once.
        self.again |= self.take_answers();
        self.flush();
        self.clients.forward_outgoing();
        self.metrics.ready_connections.set(self.clients.ready.len() as i64);
        self.metrics.inbox_envelopes.set(self.inbox.envelopes_waiting() as i64);
    }

    fn note(&mut self, event: &Event) {
        let token = event.token();
        if token == WAKER {
            return;
        }
        if token.0 < u32::MAX as usize {
            if let Some(listener) = self.listeners.get_mut(token.0) {
                listener.ready = true;
            }
            return;
        }
        let conn = ConnId(token.0 as u64);
        if event.is_writable() {
            self.socket_writable(conn);
        }
        let over = event.is_read_closed() || event.is_error();
        if event.is_readable() || over {
            if over && let Some(connection) = self.clients.table.get_mut(conn) {
                connection.flags.read_closed = true;
            }
            self.clients.queue(conn);
        }
    }

    fn socket_writable(&mut self, conn: ConnId) {
        match self.clients.writable(conn) {
            Flushed::Fine => {}
            Flushed::Drained => self.drained(conn),
            Flushed::Broken | Flushed::Over => self.lost(conn),
        }
    }

    fn drained(&mut self, conn: ConnId) {
        if let Some(Connection { stage: Stage::Live(session), .. }) = self.clients.table.get(conn) {
            let session = *session;
            self.rooms.call(&mut self.clients, |shard, ctx| shard.writable(ctx, session));
        }
    }

    fn take_completions(&mut self) {
        let mut completions = std::mem::take(&mut self.buffers.completions);
        self.rooms.store.poll(&mut completions);
        for completion in completions.drain(..) {
            self.rooms.call(&mut self.clients, |shard, ctx| shard.completion(ctx, completion));
        }
        self.buffers.completions = completions;
    }

    fn tick_rooms(&mut self) {
        if self.rooms.now_ms >= self.next_rooms_tick_ms {
            let is_behind = self.rooms.call(&mut self.clients, |shard, ctx| shard.tick(ctx));
            self.again |= is_behind;
            if !is_behind {
                self.next_rooms_tick_ms = self.rooms.now_ms + ROOMS_TICK_MS;
            }
        }
    }

    /// Writes the output of the turn, and cuts connections that can't be written to.
    fn flush(&mut self) {
        for conn in std::mem::take(&mut self.clients.too_slow) {
            self.metrics.slow_clients_total.inc();
            tracing::debug!(shard = self.index, conn = conn.0, "client does not read: cut");
            self.lost(conn);
            self.again = true;
        }
        let mut dirty = std::mem::take(&mut self.buffers.dirty);
        self.clients.take_dirty(&mut dirty);
        for conn in dirty.drain(..) {
            if self.clients.is_held_back(conn) {
                continue;
            }
            match self.clients.flush(conn) {
                Flushed::Fine => {}
                // What the owner does about either is written by the next turn, which begins at once.
                Flushed::Drained => {
                    self.drained(conn);
                    self.again = true;
                }
                Flushed::Broken | Flushed::Over => {
                    self.lost(conn);
                    self.again = true;
                }
            }
        }
        self.buffers.dirty = dirty;
    }

    /// The connection is over and its stream was not closed: tells the owner, and closes the socket.
    fn lost(&mut self, conn: ConnId) {
        self.leave(conn, Closed::Lost);
        self.clients.remove(conn);
    }

    /// Tells the owner that the session has lost this connection.
    fn leave(&mut self, conn: ConnId, why: Closed) {
        let Some(connection) = self.clients.table.get_mut(conn) else { return };
        match &connection.stage {
            Stage::Live(session) => {
                let session = *session;
                // What the client's TCP has acknowledged by now counts as delivered: otherwise a client that leaves at once would
                // get it again.
                if connection.flags.confirming && deadlines::is_confirmed(connection) {
                    self.rooms.call(&mut self.clients, |shard, ctx| shard.confirmed(ctx, session));
                }
                self.rooms.call(&mut self.clients, |shard, ctx| shard.closed(ctx, session, conn, why));
            }
            // An answer to a login that is still to come finds no connection, and is handled there.
            Stage::Login(_) | Stage::Handshake | Stage::Ending => {}
        }
    }

    /// The certificate and key for new connections.
    fn identity(&mut self) -> Option<&TlsIdentity> {
        let version = self.tls.version();
        if version != self.identity.0 {
            self.identity = (version, self.tls.get());
        }
        self.identity.1.as_ref()
    }
}

/// Ends the process if a shard's thread panics: its accounts would be unreachable and its state can't be trusted.
struct AbortOnPanic {
    shard: u16,
}

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                shard = self.shard,
                "a shard panicked: the process ends; what was accepted is durable"
            );
            std::process::abort();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the event loop owns the clock and lends it to the rooms")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
