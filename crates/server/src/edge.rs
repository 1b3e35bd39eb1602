//! The edge as the binary sees it: started with listeners and a realm, stopped within a bound.
//!
//! Owns the shards' threads and what all ways to log in have in common ([`Doors`]). Called by the composition (`serve`), by HTTP
//! (to hand over upgraded WebSockets) and by the admin socket (commands). Each call is cheap and may be made from any thread.

mod settings;

pub use settings::{EdgeConfig, EdgeLimits, EdgeTiming, ListenerConfig, ListenerTls};

use crate::descriptors::{self, Carried, Passage, Ticket};
use crate::doors::Doors;
use crate::event_loop::{Arrival, EventLoop, Parts, ShardInbox, Upgraded};
use crate::handover::Inbox;
use crate::listener;
use crate::memory::{MemoryMetrics, MemoryWatch};
use crate::metrics::EdgeMetrics;
use crate::replies::Replies;
use crate::tls::{TlsIdentity, TlsSlot};
use chaski_services::effects::owners::Owners;
use chaski_services::effects::turn::command::Refusal;
use chaski_services::owner::dispatch;
use chaski_services::realm::Realm;
use chaski_services::shard::Shard;
use chaski_store::{Engine, ShardIndex};
use chaski_telemetry::Registry;
use chaski_xmpp::ns;
use chaski_xmpp::stream::{CLIENT_STATES, PRE_APPROVAL, ROSTER_VERSIONING, Settings};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The running edge. Dropping it stops it without waiting.
pub struct Edge {
    realm: Arc<Realm>,
    inboxes: Arc<[Arc<ShardInbox>]>,
    addrs: Vec<SocketAddr>,
    tls: Arc<TlsSlot>,
    /// Each shard sends once, when it ends, whether all clients got their stream closed properly.
    ended: Mutex<Receiver<bool>>,
    passages: Option<Arc<[Passage]>>,
    replies: Replies,
    doors: Doors,
    next_websocket: AtomicU64,
}

/// Why the edge did not start. Each says what the operator has to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the port.
    #[error("{0} is in use by another program")]
    AddressInUse(SocketAddr),
    /// The address can't be bound for another reason (no permission, not one of ours).
    #[error("can't listen on {addr}: {source}")]
    Bind {
        /// Which one.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A `terminated` listener on an address that others can reach.
    #[error("{0} is not a loopback address: clear-text logins would be open to the network")]
    TerminatedExposed(SocketAddr),
    /// A `starttls` or `direct` listener without certificate.
    #[error("{0} needs a certificate")]
    NoCertificate(SocketAddr),
    /// A thread or an event queue could not be made.
    #[error("can't start a shard: {0}")]
    Shard(#[from] io::Error),
}

/// A connection that HTTP has upgraded to WebSocket (RFC 7395), to be served by the shards from here on.
pub struct UpgradedWebSocket {
    /// The socket; the 101 response has been written.
    pub stream: std::net::TcpStream,
    /// The TLS state, if the HTTP listener spoke TLS.
    pub tls: Option<rustls::ServerConnection>,
    /// Bytes of WebSocket frames that were already read (and decrypted).
    pub leftover: Vec<u8>,
    /// Whether the connection counts as protected although there is no TLS here (a terminator in front, loopback).
    pub protected: bool,
    /// The client's address as HTTP has found it.
    pub peer: Option<IpAddr>,
}

/// Tickets of sockets that HTTP sends; a shard's begin with its number.
const TICKETS_OF_HTTP: Ticket = 0xFFFF << 48;

impl Edge {
    /// Binds all listeners, starts `realm.shards()` shards, and returns when connections are accepted. The metrics of the edge
    /// and of the shards are registered with `registry`.
    pub fn start(
        config: EdgeConfig,
        realm: Arc<Realm>,
        engine: Arc<dyn Engine>,
        registry: &mut Registry,
    ) -> Result<Self, StartError> {
        if config.tls.is_none()
            && let Some(listener) = config.listeners.iter().find(|l| l.tls != ListenerTls::Terminated)
        {
            return Err(StartError::NoCertificate(listener.addr));
        }
        let mut config = config;
        let reservation = listener::reserve(&config.listeners)?;
        config.listeners.iter_mut().zip(&reservation.addrs).for_each(|(own, bound)| own.addr = *bound);
        let limits = config.limits;
        let inbox = |_| Inbox::new(limits.queued_envelopes, limits.queued_arrivals).map(Arc::new);
        let inboxes: Arc<[Arc<ShardInbox>]> = (0..realm.shards()).map(inbox).collect::<io::Result<_>>()?;
        let passages = passages(realm.shards())?;
        let tls = Arc::new(TlsSlot::new(config.tls.clone()));
        let memory_metrics = Arc::new(MemoryMetrics::default());
        registry.register(memory_metrics.clone());
        let doors = Doors::start(&limits, realm.secrets.root)?;
        doors.register(registry);
        let common = Common {
            memory: MemoryWatch::start(limits.memory_bytes, memory_metrics)?,
            settings: Arc::new(stream_settings(&realm, &config)),
            doors: doors.clone(),
            config,
            realm,
            engine,
            inboxes: inboxes.clone(),
            passages: passages.clone(),
            tls: tls.clone(),
        };
        let parts: Vec<Parts> =
            (0..common.realm.shards()).map(|index| common.shard(index, registry)).collect();
        let (ended_tx, ended) = channel();
        let edge = Self {
            realm: common.realm.clone(),
            inboxes,
            addrs: reservation.addrs.clone(),
            tls,
            ended: Mutex::new(ended),
            passages,
            replies: Replies::start()?,
            doors,
            next_websocket: AtomicU64::new(0),
        };
        // If a shard can't be started, dropping `edge` stops those that were.
        let (listening_tx, listening) = channel();
        for parts in parts {
            spawn(parts, listening_tx.clone(), ended_tx.clone())?;
        }
        drop(listening_tx);
        for _ in 0..edge.inboxes.len() {
            let lost = |_| io::Error::other("its thread has ended");
            listening.recv().map_err(lost)??;
        }
        Ok(edge)
    }

    /// The addresses that are listened on, in the order of the configuration, with port 0 resolved.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The count of wrong secrets and the worker for slow checks, for HTTP.
    pub fn doors(&self) -> Doors {
        self.doors.clone()
    }

    /// New connections use this certificate from now on; present ones keep theirs.
    pub fn reload_tls(&self, identity: TlsIdentity) {
        self.tls.set(identity);
    }

    /// Takes over an upgraded WebSocket. Refused (and closed) if too many connections wait for a shard.
    pub fn adopt_websocket(&self, socket: UpgradedWebSocket) -> io::Result<()> {
        let full = || io::Error::other("too many connections wait for a shard");
        let UpgradedWebSocket { stream, tls, leftover, protected, peer } = socket;
        stream.set_nonblocking(true)?;
        // Not vital: without it small answers may be held back for a while.
        let _ = stream.set_nodelay(true);
        // Any shard will do until the client has authenticated.
        let number = self.next_websocket.fetch_add(1, Ordering::Relaxed);
        let shard = (number % self.inboxes.len() as u64) as usize;
        if !self.inboxes[shard].reserve() {
            return Err(full());
        }
        let socket = self.carry(shard, TICKETS_OF_HTTP | number, stream.into());
        let socket = socket.inspect_err(|_| self.inboxes[shard].give_up())?;
        let upgraded = Box::new(Upgraded { peer, tls, leftover, protected });
        self.inboxes[shard].push_reserved(Arrival::WebSocket { upgraded, socket });
        Ok(())
    }

    fn carry(&self, shard: usize, ticket: Ticket, socket: OwnedFd) -> io::Result<Carried> {
        let Some(passages) = &self.passages else { return Ok(Carried::Here(socket)) };
        passages[shard].send(ticket, socket.as_fd())?;
        Ok(Carried::Passage(ticket))
    }

    /// The way to accounts' owners. A command is refused with [`Refusal::Overloaded`] if the shard's queue is full; a shard that
    /// stops before it gets to a command answers that there is no answer.
    pub fn owners(&self) -> Owners {
        let (realm, inboxes, replies) = (self.realm.clone(), self.inboxes.clone(), self.replies.clone());
        Owners::new(move |command| {
            let ShardIndex(owner) = realm.places.owner(command.whom.account).shard;
            let arrival = Arrival::Command(command.carried(&replies));
            if let Err(Arrival::Command(command)) = inboxes[usize::from(owner)].push_arrival(arrival) {
                command.refuse(Refusal::Overloaded);
            }
        })
    }

    /// Stops accepting, tells clients `system-shutdown`, flushes, and waits for the shards to end; returns after at
    /// most about `deadline`. `true` if every client got its farewell in time. The store is to be closed afterwards.
    pub fn stop(&self, deadline: Duration) -> bool {
        self.order_stop(deadline);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = true;
        for _ in self.inboxes.iter() {
            // The shards keep the deadline themselves; the additional second is for a turn that is under way.
            match ended.recv_timeout(deadline + Duration::from_secs(1)) {
                Ok(told) => all &= told,
                Err(_) => return false,
            }
        }
        all
    }

    fn order_stop(&self, deadline: Duration) {
        for inbox in self.inboxes.iter() {
            inbox.push_answer(Arrival::Stop { deadline_ms: deadline.as_millis() as u64 });
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.order_stop(Duration::ZERO);
    }
}

/// What all shards are made from.
struct Common {
    config: EdgeConfig,
    realm: Arc<Realm>,
    engine: Arc<dyn Engine>,
    inboxes: Arc<[Arc<ShardInbox>]>,
    passages: Option<Arc<[Passage]>>,
    tls: Arc<TlsSlot>,
    settings: Arc<Settings>,
    doors: Doors,
    memory: Arc<MemoryWatch>,
}

impl Common {
    fn shard(&self, index: u16, registry: &mut Registry) -> Parts {
        let inbox = self.inboxes[usize::from(index)].clone();
        let metrics = Arc::new(EdgeMetrics::default());
        registry.register(metrics.clone());
        let waker = inbox.clone();
        let store =
            self.engine.attach(ShardIndex(index), self.realm.shards(), Arc::new(move || waker.wake()));
        Parts {
            index,
            listeners: self.config.listeners.clone(),
            peers: self.inboxes.clone(),
            passages: self.passages.clone(),
            limits: self.config.limits,
            timing: self.config.timing,
            shard: Shard::new(ShardIndex(index), self.realm.clone(), registry),
            store,
            inbox,
            tls: self.tls.clone(),
            doors: self.doors.clone(),
            realm: self.realm.clone(),
            settings: self.settings.clone(),
            metrics,
            memory: self.memory.clone(),
            time: self.engine.time(),
        }
    }
}

/// The shards' passages, if each shard is to have a descriptor table of its own.
fn passages(shards: u16) -> io::Result<Option<Arc<[Passage]>>> {
    if !descriptors::has_table_per_shard(shards) {
        tracing::debug!("all shards share one descriptor table, and its limit of open files");
        return Ok(None);
    }
    (0..shards).map(|_| Passage::new()).collect::<io::Result<_>>().map(Some)
}

fn stream_settings(realm: &Realm, config: &EdgeConfig) -> Settings {
    Settings {
        sasl_failures_max: config.limits.login_failures,
        session_features: [ROSTER_VERSIONING, PRE_APPROVAL, CLIENT_STATES, &dispatch::own_caps(realm)]
            .concat(),
        bind_features: vec![ns::CARBONS, ns::CSI, ns::SM],
        ..Settings::new(&*realm.domain)
    }
}

fn spawn(parts: Parts, listening: Sender<Result<(), StartError>>, ended: Sender<bool>) -> io::Result<()> {
    let name = format!("shard-{}", parts.index);
    let run = move || {
        let made = part_table(&parts).map_err(StartError::from).and_then(|()| EventLoop::new(parts));
        match made {
            Ok(event_loop) => {
                // Both sends fail only if nobody waits any more.
                let _ = listening.send(Ok(()));
                let _ = ended.send(event_loop.run());
            }
            Err(error) => {
                let _ = listening.send(Err(error));
            }
        }
    };
    std::thread::Builder::new().name(name).spawn(run).map(drop)
}

/// Gives the shard's thread a descriptor table with what all threads share: the standard streams, all wake-ups, the entrances of
/// all passages, and the exit of its own.
fn part_table(parts: &Parts) -> io::Result<()> {
    let Some(passages) = &parts.passages else { return Ok(()) };
    let mut keep: Vec<RawFd> = vec![0, 1, 2, passages[usize::from(parts.index)].exit()];
    keep.extend(parts.peers.iter().map(|inbox| inbox.wake_fd()));
    keep.extend(passages.iter().map(Passage::entrance));
    descriptors::part_table(&mut keep)
}
