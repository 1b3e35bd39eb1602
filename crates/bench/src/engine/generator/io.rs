//! Sockets of sessions: connecting, reading, writing, ending.

use super::Generator;
use super::owe::UNACKED_MAX;
use crate::engine::session::{Arrival, Session, State};
use crate::engine::socket;
use chaski_xmpp::framer::FrameKind;
use mio::{Interest, Token};
use std::io::{ErrorKind, Read, Write};

/// What a session may owe a full socket before it is given up: the server does not read at all.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// Room behind a partial element.
const READ_ROOM: usize = 16 * 1024;

impl Generator {
    pub(super) fn connect(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        if session.state != State::Away {
            return;
        }
        let targets = &self.shared.setup.targets;
        let n = self.arrivals.connections;
        self.arrivals.connections = n.wrapping_add(1);
        // The thread's number sets off the threads from each other, so that few sessions spread over all addresses too.
        let to = targets[(self.thread as usize + n as usize) % targets.len()];
        session.state = State::Connecting;
        session.arrival = Some(Box::new(Arrival { login: None, started_us: self.now_us }));
        self.arrivals.under_way += 1;
        self.arrivals.begun.push_back((self.now_us, index));
        let opened = socket::connect(to, self.thread, n).and_then(|mut socket| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(index as usize), interest)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => self.sessions[index as usize].socket = Some(socket),
            Err(error) => self.lose(index, &format!("can't connect to {to}: {error}")),
        }
    }

    /// A socket's event.
    pub(super) fn ready(&mut self, index: u32, is_readable: bool) {
        let Some(session) = self.sessions.get_mut(index as usize) else { return };
        let Some(socket) = session.socket.as_ref() else { return };
        if session.state == State::Connecting {
            if let Ok(Some(error)) | Err(error) = socket.take_error() {
                return self.lose(index, &format!("can't connect: {error}"));
            }
            if socket.peer_addr().is_err() {
                return;
            }
            self.connected(index);
        }
        if self.sessions[index as usize].pending.is_some() {
            self.write_pending(index);
        }
        if is_readable {
            self.read(index);
        }
    }

    /// Reads what is there. Edge-triggered: until a read is short or says that there is no more.
    fn read(&mut self, index: u32) {
        let mut buffer = std::mem::take(&mut self.buffers.read);
        loop {
            let session = &mut self.sessions[index as usize];
            let Some(socket) = session.socket.as_mut() else { break };
            let kept = match &session.secure {
                // What is kept is plaintext, and goes elsewhere.
                Some(_) => 0,
                None => keep_at_start(session.partial.as_deref(), &mut buffer),
            };
            match socket.read(&mut buffer[kept..]) {
                Ok(0) => {
                    self.lose(index, "the server closes the connection");
                    break;
                }
                Ok(count) => {
                    let is_drained = kept + count < buffer.len();
                    self.arrived(index, &mut buffer[..kept + count]);
                    if is_drained {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.lose(index, &format!("the connection breaks: {error}"));
                    break;
                }
            }
        }
        self.buffers.read = buffer;
        self.flush(index);
    }

    /// Bytes from the socket; without TLS they begin with what was kept.
    fn arrived(&mut self, index: u32, bytes: &mut [u8]) {
        let session = &mut self.sessions[index as usize];
        let Some(secure) = session.secure.as_mut() else { return self.cut_frames(index, bytes) };
        let mut plain = std::mem::take(&mut self.buffers.plain);
        plain.clear();
        plain.extend_from_slice(session.partial.as_deref().unwrap_or_default());
        match secure.feed(&mut session.ticket, bytes, &mut plain, &mut self.buffers.wire) {
            Ok(is_established) => {
                if is_established {
                    self.counters.tls_resumed += u64::from(secure.is_resumed());
                    self.secured(index);
                }
                self.cut_frames(index, &plain);
            }
            Err(error) => self.lose(index, &format!("TLS: {error}")),
        }
        self.buffers.plain = plain;
    }

    fn cut_frames(&mut self, index: u32, bytes: &[u8]) {
        let mut pos = 0;
        loop {
            let session = &mut self.sessions[index as usize];
            // Handling a frame may have ended the connection, or begun TLS: what follows is not ours to read then.
            if session.socket.is_none() || session.state == State::Handshake {
                session.partial = None;
                return;
            }
            match session.framer.next(&bytes[pos..]) {
                Ok(Some(frame)) => {
                    let end = pos + frame.len;
                    match frame.kind {
                        FrameKind::Element => self.element(index, &bytes[pos..end]),
                        FrameKind::StreamClose => self.lose(index, "the server ends the stream"),
                        FrameKind::StreamOpen | FrameKind::Whitespace | FrameKind::Excess(_) => {}
                    }
                    pos = end;
                }
                Ok(None) => break,
                Err(error) => return self.lose(index, &format!("the server's stream: {error}")),
            }
        }
        let session = &mut self.sessions[index as usize];
        session.partial = (pos < bytes.len()).then(|| bytes[pos..].into());
    }

    /// Writes what the session at work has to say: one write. An acknowledgement that it owes rides on that.
    pub(super) fn flush(&mut self, index: u32) {
        let session = &self.sessions[index as usize];
        if session.owes_ack && (!self.buffers.out.is_empty() || session.unacked >= UNACKED_MAX) {
            self.pay(index);
        }
        let session = &mut self.sessions[index as usize];
        if let Some(secure) = session.secure.as_mut()
            && !self.buffers.out.is_empty()
        {
            let encrypted = secure.encrypt(&self.buffers.out, &mut self.buffers.wire);
            self.buffers.out.clear();
            if let Err(error) = encrypted {
                self.buffers.wire.clear();
                return self.lose(index, &format!("TLS: {error}"));
            }
        }
        // Only one of both holds anything, but for the end of a stream before STARTTLS.
        let out = std::mem::take(&mut self.buffers.out);
        let wire = std::mem::take(&mut self.buffers.wire);
        self.write(index, &out);
        self.write(index, &wire);
        self.buffers.out = cleared(out);
        self.buffers.wire = cleared(wire);
    }

    fn write(&mut self, index: u32, bytes: &[u8]) {
        let session = &mut self.sessions[index as usize];
        let Some(socket) = session.socket.as_mut().filter(|_| !bytes.is_empty()) else { return };
        if let Some(pending) = session.pending.as_mut() {
            pending.extend_from_slice(bytes);
            if pending.len() > PENDING_BYTES_MAX {
                self.lose(index, "the server does not read");
            }
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match socket.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    session.pending = Some(Box::new(rest.to_vec()));
                    return;
                }
                Err(error) => return self.lose(index, &format!("the connection breaks: {error}")),
            }
        }
    }

    fn write_pending(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        let Some(pending) = session.pending.take() else { return };
        self.write(index, &pending);
        let session = &mut self.sessions[index as usize];
        if session.pending.is_none() && session.state == State::Live && self.closed.is_some() {
            self.make_due(index);
        }
    }

    /// The session's connection is gone, and it was not us who ended it. It comes back after a while.
    pub(super) fn lose(&mut self, index: u32, why: &str) {
        let session = &mut self.sessions[index as usize];
        match session.state {
            State::Away => return,
            State::Live => self.counters.sessions_lost += 1,
            State::Connecting | State::Handshake | State::Login => self.counters.login_failures += 1,
        }
        self.batch.complain(why);
        self.ended(index);
        // A second and up to one more, so that they do not all come at once.
        let at_us = self.now_us + 1_000_000;
        self.arrivals.later.push_back((at_us, index));
    }

    /// Ends the connection, whoever wanted it.
    pub(super) fn ended(&mut self, index: u32) {
        let session: &mut Session = &mut self.sessions[index as usize];
        match session.state {
            State::Away => {}
            State::Live => self.counters.live -= 1,
            State::Connecting | State::Handshake | State::Login => self.arrivals.under_way -= 1,
        }
        drop(session.disconnect());
        self.buffers.out.clear();
        self.buffers.wire.clear();
        self.is_unpublished = true;
    }
}

/// Moves what was kept to the buffer's beginning, and makes room behind it; how much it is.
fn keep_at_start(partial: Option<&[u8]>, buffer: &mut Vec<u8>) -> usize {
    let Some(partial) = partial else { return 0 };
    if buffer.len() < partial.len() + READ_ROOM {
        buffer.resize(partial.len() + READ_ROOM, 0);
    }
    buffer[..partial.len()].copy_from_slice(partial);
    partial.len()
}

/// Empty again, and not larger than usual.
fn cleared(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.shrink_to(PENDING_BYTES_MAX);
    buffer
}
