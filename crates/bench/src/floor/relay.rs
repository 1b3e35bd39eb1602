//! One thread of the floor: its connections and its turns.
//!
//! A turn: wait, accept, read and sort what was read into the addressees' buffers, take what other threads sent, write every buffer once,
//! hand over to other threads. What stream management adds rides on that write. Promises: a connection's messages to one addressee stay in order.

use super::Shared;
use super::acks::Acks;
use super::element::{self, Cut, Element, Garbage, Knife};
use super::greeting;
use super::outbound::{Buffers, Handle, KEPT_BYTES_MAX};
use super::registry::{Place, Registry};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

pub(super) const LISTENER: Token = Token(usize::MAX);
pub(super) const WAKER: Token = Token(usize::MAX - 1);

/// Events of one turn.
const EVENTS_MAX: usize = 1024;
/// What one read takes, and the longest element.
const READ_BYTES_MAX: usize = 256 << 10;
/// What other threads may leave for one that does not come to take it; the rest is dropped.
const INBOX_BYTES_MAX: usize = 64 << 20;

/// Messages from other threads: slot, length, address, bytes; and again.
pub(super) struct Inbox {
    messages: Mutex<Vec<u8>>,
    waker: Waker,
}

const SLOT: usize = 4;
const LENGTH: usize = 4;
const ADDRESS: usize = 8;

impl Inbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self { messages: Mutex::new(Vec::new()), waker }
    }

    pub(super) fn wake(&self) {
        // It fails only if its thread's epoll is gone.
        let _ = self.waker.wake();
    }

    fn put(&self, messages: &mut Vec<u8>) {
        let was_empty = {
            let mut waiting = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
            let was_empty = waiting.is_empty();
            if was_empty {
                std::mem::swap(&mut *waiting, messages);
            } else if waiting.len() + messages.len() <= INBOX_BYTES_MAX {
                waiting.extend_from_slice(messages);
            }
            was_empty
        };
        messages.clear();
        if was_empty {
            self.wake();
        }
    }

    fn take(&self, into: &mut Vec<u8>) {
        std::mem::swap(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner), into);
    }
}

struct Connection {
    stream: TcpStream,
    /// What it is to get.
    outbound: Handle,
    /// The beginning of an element whose end has not come.
    partial: Handle,
    acks: Acks,
    /// 0: it has not said who it is.
    address: u64,
}

/// See the module.
pub(super) struct Relay {
    index: usize,
    poll: Poll,
    listener: TcpListener,
    shared: Arc<Shared>,
    connections: Slab<Connection>,
    sorter: Sorter,
    started: Instant,
    /// The names of connections between authentication and binding.
    names: HashMap<usize, Box<str>>,
    /// Connections that became live since the last turn.
    logins: Vec<(u64, Place)>,
    /// Connections that go at the end of the turn.
    ended: Vec<usize>,
    received: Vec<u8>,
    buffer: Vec<u8>,
}

/// Where what was read goes.
struct Sorter {
    index: usize,
    knife: Knife,
    buffers: Buffers,
    /// Connections with something to write.
    dirty: Vec<usize>,
    /// For each thread what it is to get.
    others: Vec<Vec<u8>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "each thread reads the time once a turn, for stream management"
)]
fn now() -> Instant {
    Instant::now()
}

/// Why a connection ends.
struct Ended;

impl From<Garbage> for Ended {
    fn from(_: Garbage) -> Self {
        Self
    }
}

impl Relay {
    pub(super) fn new(index: usize, poll: Poll, listener: TcpListener, shared: Arc<Shared>) -> Self {
        let others = shared.inboxes.iter().map(|_| Vec::new()).collect();
        let sorter =
            Sorter { index, knife: Knife::new(), buffers: Buffers::default(), dirty: Vec::new(), others };
        Self {
            index,
            poll,
            listener,
            shared,
            connections: Slab::new(),
            sorter,
            started: now(),
            names: HashMap::new(),
            logins: Vec::new(),
            ended: Vec::new(),
            received: Vec::new(),
            buffer: vec![0; READ_BYTES_MAX],
        }
    }

    /// Turns, until it is to stop.
    pub(super) fn run(mut self) {
        if self.shared.own_tables {
            // SAFETY: a system call without pointers. If it is refused, the threads share one table, which works as well.
            unsafe { libc::unshare(libc::CLONE_FILES) };
        }
        self.shared.start.wait();
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.shared.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.poll.poll(&mut events, None) {
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                break;
            }
            self.turn(&events);
        }
    }

    fn turn(&mut self, events: &Events) {
        let shared = self.shared.clone();
        let registry = shared.registry.read().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            match event.token() {
                LISTENER => self.accept(),
                WAKER => self.take(),
                Token(slot) => {
                    if event.is_writable() {
                        self.sorter.mark(&self.connections, slot);
                    }
                    if event.is_readable() || event.is_read_closed() {
                        self.read(slot, &registry);
                    }
                }
            }
        }
        drop(registry);
        self.log_in();
        self.write();
        self.end();
        self.hand_over();
    }

    fn accept(&mut self) {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The caller is gone already, or there are no descriptors left: the next one may do.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_) => return,
            };
            let entry = self.connections.vacant_entry();
            let both = Interest::READABLE | Interest::WRITABLE;
            let registered = self.poll.registry().register(&mut stream, super::token(entry.key()), both);
            if registered.is_ok() && stream.set_nodelay(true).is_ok() {
                entry.insert(Connection {
                    stream,
                    outbound: Handle::NONE,
                    partial: Handle::NONE,
                    acks: Acks::default(),
                    address: 0,
                });
            }
        }
    }

    fn read(&mut self, slot: usize, registry: &Registry) {
        // An event of this turn for a connection that ended in it.
        if !self.connections.contains(slot) {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            match self.read_once(slot, registry, &mut buffer) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Ended) => {
                    self.ended.push(slot);
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    /// True: there may be more to read.
    fn read_once(&mut self, slot: usize, registry: &Registry, buffer: &mut [u8]) -> Result<bool, Ended> {
        let connection = &mut self.connections[slot];
        let partial = self.sorter.buffers.bytes(connection.partial);
        let kept = partial.len();
        buffer[..kept].copy_from_slice(partial);
        let space = buffer.len() - kept;
        let read = match connection.stream.read(&mut buffer[kept..]) {
            Ok(0) => return Err(Ended),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(_) => return Err(Ended),
        };
        self.sorter.buffers.consume(&mut connection.partial, kept);
        let mut rest = &buffer[..kept + read];
        let mut stanzas = 0_u32;
        while let Some(Cut { element, bytes }) = self.sorter.knife.cut(rest)? {
            let (text, behind) = rest.split_at(bytes);
            match element {
                Element::Message(to) => {
                    stanzas += 1;
                    if let Some(&place) = registry.get(&to) {
                        self.sorter.message(&mut self.connections, place, to, text);
                    }
                }
                Element::Stanza => stanzas += 1,
                Element::Request => self.owe(slot),
                Element::Enable => {
                    self.enable(slot);
                    stanzas = 0;
                }
                Element::Other => {}
                Element::End => return Err(Ended),
                greeting => self.greet(slot, greeting)?,
            }
            rest = behind;
        }
        if rest.len() == buffer.len() {
            return Err(Ended);
        }
        let connection = &mut self.connections[slot];
        connection.acks.count(stanzas);
        if !rest.is_empty() {
            self.sorter.buffers.of(&mut connection.partial).extend_from_slice(rest);
        }
        // A short read has emptied the socket: the next byte is another event.
        Ok(read == space)
    }

    /// Stanzas count from here on, where there is stream management.
    fn enable(&mut self, slot: usize) {
        if !self.shared.has_acks {
            return;
        }
        let now_ms = self.now_ms();
        let connection = &mut self.connections[slot];
        let out = self.sorter.outbound(connection, slot);
        connection.acks.enable(now_ms, out);
    }

    /// The answer goes with what the turn has for it; the buffer is what has it written.
    fn owe(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        if connection.acks.owe() {
            self.sorter.outbound(connection, slot);
        }
    }

    fn greet(&mut self, slot: usize, element: Element<'_>) -> Result<(), Ended> {
        let connection = &mut self.connections[slot];
        let is_authenticated = connection.address != 0;
        let out = self.sorter.outbound(connection, slot);
        match element {
            Element::Header => greeting::header(is_authenticated, self.shared.has_acks, out),
            Element::Auth(data) => {
                let name = greeting::success(data, out).ok_or(Ended)?;
                connection.address = element::hash(name.as_bytes());
                self.names.insert(slot, name);
            }
            Element::Iq(tag) => {
                // Without a name it is a question of a live session: no answer.
                let Some(name) = self.names.remove(&slot) else {
                    connection.acks.count(1);
                    return Ok(());
                };
                greeting::bound(tag, &name, out);
                let thread = u32::try_from(self.index).expect("THREADS_MAX is small");
                let place =
                    Place { thread, slot: u32::try_from(slot).expect("slots are fewer than descriptors") };
                self.logins.push((connection.address, place));
            }
            // The others are no part of a greeting.
            _ => {}
        }
        Ok(())
    }

    /// What other threads sent.
    fn take(&mut self) {
        let mut received = std::mem::take(&mut self.received);
        self.shared.inboxes[self.index].take(&mut received);
        let mut rest = received.as_slice();
        while let Some((slot, behind)) = rest.split_first_chunk::<SLOT>()
            && let Some((length, behind)) = behind.split_first_chunk::<LENGTH>()
            && let Some((address, behind)) = behind.split_first_chunk::<ADDRESS>()
            && let Some((text, behind)) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)
        {
            let slot = u32::from_le_bytes(*slot) as usize;
            self.sorter.deliver(&mut self.connections, slot, u64::from_le_bytes(*address), text);
            rest = behind;
        }
        received.clear();
        self.received = received;
    }

    fn log_in(&mut self) {
        if self.logins.is_empty() {
            return;
        }
        let mut registry = self.shared.registry.write().unwrap_or_else(PoisonError::into_inner);
        registry.extend(self.logins.drain(..));
    }

    fn write(&mut self) {
        let now_ms = self.now_ms();
        for slot in self.sorter.dirty.drain(..) {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            if self.shared.has_acks {
                connection.acks.write(now_ms, self.sorter.buffers.of(&mut connection.outbound));
            }
            let bytes = self.sorter.buffers.bytes(connection.outbound);
            if bytes.is_empty() {
                self.sorter.buffers.consume(&mut connection.outbound, 0);
                continue;
            }
            let written = match connection.stream.write(bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => bytes.len(),
            };
            if bytes.len() - written > KEPT_BYTES_MAX {
                self.ended.push(slot);
            }
            self.sorter.buffers.consume(&mut connection.outbound, written);
        }
    }

    /// Since the start; only looked at for stream management.
    fn now_ms(&self) -> u32 {
        if self.shared.has_acks { self.started.elapsed().as_millis() as u32 } else { 0 }
    }

    fn end(&mut self) {
        for slot in self.ended.drain(..) {
            let Some(mut connection) = self.connections.try_remove(slot) else { continue };
            self.names.remove(&slot);
            let _ = self.poll.registry().deregister(&mut connection.stream);
            self.sorter.buffers.consume(&mut connection.outbound, usize::MAX);
            self.sorter.buffers.consume(&mut connection.partial, usize::MAX);
            let mut registry = self.shared.registry.write().unwrap_or_else(PoisonError::into_inner);
            let is_here = |place: &Place| place.thread as usize == self.index && place.slot as usize == slot;
            if registry.get(&connection.address).is_some_and(is_here) {
                registry.remove(&connection.address);
            }
        }
    }

    fn hand_over(&mut self) {
        for (inbox, messages) in self.shared.inboxes.iter().zip(&mut self.sorter.others) {
            if !messages.is_empty() {
                inbox.put(messages);
            }
        }
    }
}

impl Sorter {
    /// What a connection is to get; it will be written this turn.
    fn outbound(&mut self, connection: &mut Connection, slot: usize) -> &mut Vec<u8> {
        if connection.outbound.is_none() {
            self.dirty.push(slot);
        }
        self.buffers.of(&mut connection.outbound)
    }

    fn message(&mut self, connections: &mut Slab<Connection>, place: Place, to: u64, text: &[u8]) {
        if place.thread as usize == self.index {
            self.deliver(connections, place.slot as usize, to, text);
            return;
        }
        let Ok(length) = u32::try_from(text.len()) else { return };
        let other = &mut self.others[place.thread as usize];
        other.extend_from_slice(&place.slot.to_le_bytes());
        other.extend_from_slice(&length.to_le_bytes());
        other.extend_from_slice(&to.to_le_bytes());
        other.extend_from_slice(text);
    }

    /// To a connection of this thread, if it still is who it was.
    fn deliver(&mut self, connections: &mut Slab<Connection>, slot: usize, to: u64, text: &[u8]) {
        let Some(connection) = connections.get_mut(slot).filter(|connection| connection.address == to) else {
            return;
        };
        connection.acks.relayed();
        self.outbound(connection, slot).extend_from_slice(text);
    }

    /// Its socket has room again.
    fn mark(&mut self, connections: &Slab<Connection>, slot: usize) {
        if connections.get(slot).is_some_and(|connection| !connection.outbound.is_none()) {
            self.dirty.push(slot);
        }
    }
}
