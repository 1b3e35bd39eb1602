//! The edge as the binary sees it: started with listeners and rooms, stopped within a bound.
//!
//! Owns the shards' threads and the plain-password worker. Called by the composition (`serve`), by HTTP (to hand
//! over upgraded WebSockets) and by the admin socket (commands). Each call is cheap and may be made from any thread.

mod settings;

pub use settings::{EdgeConfig, EdgeLimits, EdgeTiming, ListenerConfig, ListenerTls};

use crate::c2s::Clients;
use crate::event_loop::{Arrival, EventLoop, Parts, ShardInbox, WAKER};
use crate::handover::Inbox;
use crate::listener::{Listener, bind_all};
use crate::metrics::EdgeMetrics;
use crate::plain_verify::Verifier;
use crate::tls::{TlsIdentity, TlsSlot};
use chaski_services::command::{Action, Command, Outcome, Refusal, Reply};
use chaski_services::context::Realm;
use chaski_services::shard::Shard;
use chaski_store::{AccountId, Engine, ShardIndex};
use chaski_telemetry::Registry;
use chaski_xmpp::stream::{PRE_APPROVAL, ROSTER_VERSIONING, Settings};
use mio::{Poll, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The running edge. Dropping it stops it without waiting.
pub struct Edge {
    inboxes: Arc<[Arc<ShardInbox>]>,
    addrs: Vec<SocketAddr>,
    tls: Arc<TlsSlot>,
    /// Each shard says once, when it ends, whether everybody got a farewell.
    ended: Mutex<Receiver<bool>>,
    next_websocket: AtomicUsize,
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
}

impl Edge {
    /// Binds all listeners, starts `realm.shards` shards, and returns when connections are accepted. The metrics of
    /// edge and rooms are registered with `registry`.
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
        let (listeners, addrs) = bind_all(&config.listeners, realm.shards)?;
        let limits = config.limits;
        let inbox = || Arc::new(Inbox::new(limits.queued_envelopes, limits.queued_arrivals));
        let inboxes: Arc<[Arc<ShardInbox>]> = (0..realm.shards).map(|_| inbox()).collect();
        let tls = Arc::new(TlsSlot::new(config.tls.clone()));
        let common = Common {
            settings: Arc::new(stream_settings(&realm, &config)),
            verifier: Verifier::start(limits.queued_verifications)?,
            config,
            realm,
            engine,
            inboxes: inboxes.clone(),
            tls: tls.clone(),
        };
        let mut loops = Vec::new();
        for (index, listeners) in (0..).zip(listeners) {
            loops.push(common.shard(index, listeners, registry)?);
        }
        let (ended_tx, ended) = channel();
        let edge =
            Self { inboxes, addrs, tls, ended: Mutex::new(ended), next_websocket: AtomicUsize::new(0) };
        for (index, event_loop) in loops.into_iter().enumerate() {
            // If one can't be started, dropping `edge` stops those that were.
            spawn(index, event_loop, ended_tx.clone())?;
        }
        Ok(edge)
    }

    /// The addresses that are listened on, in the order of the configuration, with port 0 resolved.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// New connections use this certificate from now on; present ones keep theirs.
    pub fn reload_tls(&self, identity: TlsIdentity) {
        self.tls.set(identity);
    }

    /// Takes over an upgraded WebSocket. Refused (and closed) if too many connections wait for a shard.
    pub fn adopt_websocket(&self, socket: UpgradedWebSocket) -> io::Result<()> {
        // Any shard will do until the client has authenticated.
        let shard = self.next_websocket.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        let pushed = self.inboxes[shard].push_arrival(Arrival::WebSocket(Box::new(socket)));
        pushed.map_err(|_| io::Error::other("too many connections wait for a shard"))
    }

    /// Gives a command to the account's owner; its reply is called exactly once, with
    /// [`chaski_services::command::Refusal::Overloaded`] if the shard's queue is full. A shard that stops before it
    /// gets to the command drops the reply.
    pub fn command(&self, command: Command) {
        let ShardIndex(owner) = command.account.shard(self.inboxes.len() as u16);
        let refused = self.inboxes[usize::from(owner)].push_arrival(Arrival::Command(command)).err();
        if let Some(Arrival::Command(Command { reply: Some(Reply::Call(reply)), .. })) = refused {
            reply(Err(Refusal::Overloaded));
        }
    }

    /// The same, waiting for the outcome.
    pub async fn request(&self, account: AccountId, action: Action) -> Outcome {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let reply = Reply::Call(Box::new(move |outcome| {
            // Fails if the one who asked has given up.
            let _ = sender.send(outcome);
        }));
        self.command(Command { account, action, reply: Some(reply) });
        receiver.await.unwrap_or_else(|_| Err(Refusal::Unavailable("the server is stopping".into())))
    }

    /// Stops accepting, tells clients `system-shutdown`, flushes, and waits for the shards to end; returns after at
    /// most about `deadline`. `true` if every client got its farewell in time. The store is to be closed afterwards.
    pub fn stop(&self, deadline: Duration) -> bool {
        self.order_stop(deadline);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = true;
        for _ in self.inboxes.iter() {
            // The shards keep the deadline themselves; the second is for a turn that is just going on.
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

/// What all shards are made with.
struct Common {
    config: EdgeConfig,
    realm: Arc<Realm>,
    engine: Arc<dyn Engine>,
    inboxes: Arc<[Arc<ShardInbox>]>,
    tls: Arc<TlsSlot>,
    settings: Arc<Settings>,
    verifier: Verifier,
}

impl Common {
    fn shard(&self, index: u16, listeners: Vec<Listener>, registry: &mut Registry) -> io::Result<EventLoop> {
        let poll = Poll::new()?;
        let inbox = self.inboxes[usize::from(index)].clone();
        inbox.set_waker(Waker::new(poll.registry(), WAKER)?);
        let metrics = Arc::new(EdgeMetrics::default());
        registry.register(metrics.clone());
        let waker = inbox.clone();
        let store = self.engine.attach(ShardIndex(index), self.realm.shards, Arc::new(move || waker.wake()));
        let clients = Clients::new(
            poll.registry().try_clone()?,
            self.inboxes.clone(),
            metrics.clone(),
            self.config.limits,
            self.config.timing,
        );
        EventLoop::new(Parts {
            index,
            poll,
            listeners,
            clients,
            shard: Shard::new(ShardIndex(index), self.realm.clone(), registry),
            store,
            inbox,
            tls: self.tls.clone(),
            verifier: self.verifier.clone(),
            realm: self.realm.clone(),
            settings: self.settings.clone(),
            metrics,
        })
    }
}

fn stream_settings(realm: &Realm, config: &EdgeConfig) -> Settings {
    Settings {
        sasl_failures_max: config.limits.login_failures,
        session_features: [ROSTER_VERSIONING, PRE_APPROVAL].concat(),
        ..Settings::new(&*realm.domain)
    }
}

fn spawn(index: usize, event_loop: EventLoop, ended: Sender<bool>) -> io::Result<()> {
    let run = move || {
        let told = event_loop.run();
        // Fails if nobody waits for the end.
        let _ = ended.send(told);
    };
    std::thread::Builder::new().name(format!("shard-{index}")).spawn(run).map(drop)
}
