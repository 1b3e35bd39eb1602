//! Reading: from the socket through TLS and framing to the login or to the session's owner.
//!
//! Bytes are read into the shard's one buffer and handled there. Only an incomplete element, and input that came while an answer
//! to a login was owed, is copied to the connection. RFC 6120 §4 and §11, RFC 7395.

use super::{EventLoop, READ_BYTES, SHARES_EVERY_US};
use crate::c2s::connection::{Connection, Stage};
use chaski_services::wire::{Closed, ConnId, SessionId};
use chaski_xmpp::framer::{FrameKind, MAX_BYTES_SKIPPED, Piece};
use chaski_xmpp::sm::Nonza;
use chaski_xmpp::stream::Input;
use chaski_xmpp::websocket::{self, CloseCode, Event, Message};
use chaski_xmpp::{Husk, ParseError, Prefixes, Stanza, StreamCondition, StreamHeader};
use std::io::{self, Read};

/// Whether a connection's input can be handled further after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next frame can be handled, if there is one.
    On,
    /// The rest of the input is TLS.
    StartTls,
    /// The connection has moved, is ending, or is gone.
    Gone,
}

impl EventLoop {
    /// Reads each session that has input once, unless its account has had its share of the turn; then the connections that are
    /// logging in, for a bounded time.
    pub(super) fn read_ready(&mut self) {
        self.renew_shares();
        for _ in 0..self.clients.ready.len() {
            if let Some(conn) = self.clients.ready.pop_front() {
                self.read_session(conn);
            }
        }
        // Sessions that were put off come before those that were read; otherwise one session of an account would always get the
        // whole share.
        let put_off = &mut self.buffers.put_off;
        self.put_off = put_off.len();
        put_off.append(&mut self.clients.ready);
        std::mem::swap(put_off, &mut self.clients.ready);
        self.read_logins();
    }

    fn read_logins(&mut self) {
        let budget_us = self.clients.limits.login_us_per_turn;
        self.strangers_took_us = 0;
        if self.clients.logins.is_empty() {
            return;
        }
        let begun_us = self.now_us();
        for _ in 0..self.clients.logins.len() {
            if let Some(conn) = self.clients.logins.pop_front() {
                self.read(conn, READ_BYTES);
            }
            self.strangers_took_us = self.now_us() - begun_us;
            if self.strangers_took_us >= budget_us {
                break;
            }
        }
    }

    /// A turn begins: gives each account a new share, but not more often than [`SHARES_EVERY_US`]; otherwise one account alone
    /// would keep a processor busy, and other threads would have to wait for it. While another shard is behind with what this one
    /// sends it, accounts that have spent their share wait for that shard, too: its queue is shared by all.
    fn renew_shares(&mut self) {
        let shard = &mut self.rooms.shard;
        let is_early = self.begun_us - self.shares_since_us < SHARES_EVERY_US;
        if shard.has_debtors() && (is_early || self.clients.is_peer_behind(self.index)) {
            return;
        }
        self.shares_since_us = self.begun_us;
        shard.renew_shares();
    }

    fn read_session(&mut self, conn: ConnId) {
        let Some(Stage::Live(session)) = self.clients.table.get(conn).map(|connection| &connection.stage)
        else {
            self.read(conn, READ_BYTES);
            return;
        };
        let session = *session;
        match self.rooms.shard.readable_bytes(session).min(READ_BYTES) {
            0 => {
                self.buffers.put_off.push_back(conn);
                self.metrics.reads_put_off_total.inc();
            }
            most => {
                let count = if self.is_held(conn) { self.read_held(conn) } else { self.read(conn, most) };
                self.rooms.shard.has_read(session, count);
            }
        }
    }

    fn is_held(&self, conn: ConnId) -> bool {
        self.clients.table.get(conn).is_some_and(|connection| connection.flags.held)
    }

    /// Handles input that was read before and had to wait for its account's share. Its bytes are charged already.
    fn read_held(&mut self, conn: ConnId) -> usize {
        let Some(connection) = self.clients.table.get_mut(conn) else { return 0 };
        connection.flags.queued = false;
        if connection.owes_answer() {
            connection.flags.read_pending = true;
            return 0;
        }
        connection.flags.held = false;
        self.consume(conn, &[]);
        let Some(connection) = self.clients.table.get_mut(conn) else { return 0 };
        if !connection.flags.held && std::mem::take(&mut connection.flags.last_held) {
            self.peer_closed(conn);
        } else {
            // Input that has arrived meanwhile was announced, and is still in the socket.
            self.clients.queue(conn);
        }
        0
    }

    /// Whether the rest of the input has to wait, because its account has had its share.
    fn hold(&mut self, conn: ConnId) -> bool {
        if self.rooms.shard.may_go_on() {
            return false;
        }
        if let Some(connection) = self.clients.table.get_mut(conn) {
            connection.flags.held = true;
            self.metrics.reads_held_total.inc();
        }
        true
    }

    /// Reads a connection and handles its input. Returns how many bytes were read.
    fn read(&mut self, conn: ConnId, most: usize) -> usize {
        let heard_tick = self.clients.wheel.now();
        let Some(connection) = self.clients.table.get_mut(conn) else { return 0 };
        connection.flags.queued = false;
        if connection.owes_answer() {
            connection.flags.read_pending = true;
            return 0;
        }
        let buffer = &mut self.buffers.read[..most];
        match connection.socket.read(buffer) {
            Ok(0) => self.peer_closed(conn),
            Ok(count) => {
                connection.heard_tick = heard_tick;
                connection.flags.probed = false;
                // A short read has emptied the socket: what comes later is a new event. Only a FIN that was
                // announced already is still to be found.
                let more = count == most || connection.flags.read_closed;
                self.metrics.read_bytes_total.add(count as u64);
                let mut buffer = std::mem::take(&mut self.buffers.read);
                self.take_bytes(conn, &mut buffer[..count]);
                self.buffers.read = buffer;
                if more || self.is_held(conn) {
                    self.clients.queue(conn);
                }
                return count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.clients.queue(conn),
            Err(_) => self.lost(conn),
        }
        0
    }

    /// Bytes as they came from the socket.
    fn take_bytes(&mut self, conn: ConnId, bytes: &mut [u8]) {
        match self.clients.table.get(conn) {
            Some(connection) if matches!(connection.stage, Stage::Ending) => {}
            Some(connection) if connection.tls.is_some() => self.decrypt(conn, bytes),
            Some(_) => self.consume(conn, bytes),
            None => {}
        }
    }

    fn decrypt(&mut self, conn: ConnId, ciphertext: &mut [u8]) {
        let Some(Connection { tls: Some(tls), .. }) = self.clients.table.get_mut(conn) else { return };
        let mut plain = std::mem::take(&mut self.buffers.plain);
        let mut wire = std::mem::take(&mut self.buffers.wire);
        let outcome = tls.decrypt(ciphertext, &mut plain, &mut wire);
        self.clients.put_wire(conn, &wire);
        wire.clear();
        self.buffers.wire = wire;
        if matches!(&outcome, Ok(decrypted) if decrypted.established) {
            self.tls_established(conn);
        }
        if !plain.is_empty() {
            self.consume(conn, &plain);
        }
        plain.clear();
        self.buffers.plain = plain;
        match outcome {
            Ok(decrypted) if decrypted.ended => match self.clients.table.get_mut(conn) {
                Some(connection) if connection.flags.held => connection.flags.last_held = true,
                _ => self.peer_closed(conn),
            },
            Ok(_) => {}
            Err(error) => self.tls_failed(conn, &error),
        }
    }

    fn tls_failed(&mut self, conn: ConnId, error: &rustls::Error) {
        self.metrics.tls_failures_total.inc();
        tracing::debug!(shard = self.index, %error, "TLS failed");
        self.leave(conn, Closed::Lost);
        if let Some(connection) = self.clients.table.get_mut(conn) {
            connection.flags.tls_dead = true;
        }
        // The TLS alert is sent, then the socket is closed.
        self.clients.begin_ending(conn);
    }

    /// The peer has closed its side.
    fn peer_closed(&mut self, conn: ConnId) {
        let Some(connection) = self.clients.table.get_mut(conn) else { return };
        if matches!(connection.stage, Stage::Ending) {
            // The stream has ended on both sides; our last output may still have to be sent.
            connection.flags.eof = true;
            if connection.flags.finished {
                self.clients.remove(conn);
            }
            return;
        }
        self.lost(conn);
    }

    /// Handles decrypted bytes of a stream: together with what the connection had kept, all complete frames are handled, and the
    /// rest is kept.
    pub(super) fn consume(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(connection) = self.clients.table.get_mut(conn) else { return };
        if connection.flags.websocket {
            return self.consume_websocket(conn, bytes);
        }
        let mut kept = std::mem::take(&mut connection.partial);
        if kept.is_empty() {
            let used = self.frames(conn, bytes);
            if let (Some(used), Some(connection)) = (used, self.clients.table.get_mut(conn)) {
                connection.partial = bytes[used..].to_vec();
            }
        } else {
            kept.extend_from_slice(bytes);
            let used = self.frames(conn, &kept);
            if let (Some(used), Some(connection)) = (used, self.clients.table.get_mut(conn)) {
                kept.drain(..used);
                connection.partial = if kept.is_empty() { Vec::new() } else { kept };
            }
        }
    }

    /// Handles the frames at the beginning of `bytes`. Returns how many bytes they took; `None`: nothing has to be kept.
    fn frames(&mut self, conn: ConnId, bytes: &[u8]) -> Option<usize> {
        let mut used = 0;
        loop {
            let connection = self.clients.table.get_mut(conn)?;
            if matches!(connection.stage, Stage::Ending) {
                return None;
            }
            if connection.owes_answer() || used > 0 && used < bytes.len() && self.hold(conn) {
                return Some(used);
            }
            let connection = self.clients.table.get_mut(conn)?;
            let rest = &bytes[used..];
            let frame = match connection.framer.next(rest) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Some(used),
                Err(error) => {
                    self.fail(conn, error.condition(), None);
                    return None;
                }
            };
            used += frame.len;
            match self.frame(conn, frame.kind, &rest[..frame.len]) {
                Flow::On => {}
                Flow::StartTls => {
                    // Whatever stands behind <starttls/> must be TLS: nobody can smuggle in elements. RFC 6120
                    // §5.3.1 forbids white space too, but go-xmpp ends each element with a newline, and no TLS
                    // record begins with one.
                    self.decrypt(conn, &mut bytes[used..].trim_ascii_start().to_vec());
                    return None;
                }
                Flow::Gone => return None,
            }
        }
    }

    fn frame(&mut self, conn: ConnId, kind: FrameKind, bytes: &[u8]) -> Flow {
        match kind {
            FrameKind::Whitespace => Flow::On,
            FrameKind::StreamOpen => match StreamHeader::parse(bytes) {
                Ok(mut header) => {
                    if let Some(connection) = self.clients.table.get_mut(conn) {
                        connection.prefixes = header.prefixes.take();
                    }
                    self.login_input(conn, Input::Header(&header))
                }
                Err(_) if declares_other_encoding(bytes) => {
                    self.fail(conn, StreamCondition::UnsupportedEncoding, None)
                }
                Err(error) => self.fail(conn, error.condition(), None),
            },
            FrameKind::Element if let Some((session, said)) = self.counts(conn, bytes) => {
                self.metrics.elements_total.inc();
                self.rooms.call(&mut self.clients, |shard, ctx| shard.nonza(ctx, session, &said));
                Flow::On
            }
            FrameKind::Element => match Stanza::parse(bytes) {
                Ok(element) => self.element(conn, &element),
                Err(ParseError::BadNamespacePrefix) => self.with_prefixes(conn, bytes),
                Err(error) => self.not_accepted(conn, Husk::of_whole(bytes), error),
            },
            FrameKind::StreamClose => self.stream_closed(conn),
            FrameKind::Excess(piece) => self.excess(conn, piece, bytes),
        }
    }

    /// An element of stream management (XEP-0198) of a session, if it is written in the plain form that needs no XML parser.
    fn counts(&self, conn: ConnId, bytes: &[u8]) -> Option<(SessionId, Nonza<'static>)> {
        match self.clients.table.get(conn)?.stage {
            Stage::Live(session) => Some((session, Nonza::parse_plain(bytes)?)),
            Stage::Handshake | Stage::Login(_) | Stage::Ending => None,
        }
    }

    /// An element uses a namespace prefix that it does not declare: the stream header may have declared it.
    fn with_prefixes(&mut self, conn: ConnId, bytes: &[u8]) -> Flow {
        let prefixes = self.clients.table.get(conn).and_then(|connection| connection.prefixes.as_deref());
        let whole = Prefixes::bring_along(prefixes, bytes);
        let parsed = whole.as_deref().map_or(Err(ParseError::BadNamespacePrefix), Stanza::parse);
        match parsed {
            Ok(element) => self.element(conn, &element),
            Err(error) => self.not_accepted(conn, Husk::of_whole(bytes), error),
        }
    }

    /// A piece of an element that is too large. Only its start is kept for the answer, so that a connection holds no more than it
    /// may.
    fn excess(&mut self, conn: ConnId, piece: Piece, bytes: &[u8]) -> Flow {
        self.metrics.skipped_bytes_total.add(bytes.len() as u64);
        let Some(connection) = self.clients.table.get_mut(conn) else { return Flow::Gone };
        match piece {
            Piece::First => match Husk::of_beginning(bytes) {
                Some(husk) => {
                    connection.skipped = Some(Box::new(husk));
                    Flow::On
                }
                None => self.not_accepted(conn, None, ParseError::TooLarge),
            },
            Piece::Middle => Flow::On,
            Piece::Last => {
                let husk = connection.skipped.take().map(|husk| *husk);
                self.not_accepted(conn, husk, ParseError::TooLarge)
            }
        }
    }

    /// An element is not accepted. In a session it is counted and answered like any stanza, if it is one and its end was found:
    /// otherwise it would end the stream, the client would send it again after resuming, and so on for ever.
    fn not_accepted(&mut self, conn: ConnId, husk: Option<Husk>, why: ParseError) -> Flow {
        let stage = self.clients.table.get(conn).map(|connection| &connection.stage);
        let (Some(Stage::Live(session)), Some(husk)) = (stage, husk) else {
            return self.fail(conn, why.condition(), None);
        };
        let session = *session;
        self.metrics.stanzas_refused_total.inc();
        self.rooms.call(&mut self.clients, |shard, ctx| shard.refused(ctx, session, &husk, why));
        Flow::On
    }

    fn element(&mut self, conn: ConnId, element: &Stanza<'_>) -> Flow {
        match self.clients.table.get(conn).map(|connection| &connection.stage) {
            Some(Stage::Live(session)) => {
                let session = *session;
                self.metrics.elements_total.inc();
                self.rooms.call(&mut self.clients, |shard, ctx| shard.element(ctx, session, element));
                Flow::On
            }
            Some(Stage::Login(_)) => self.login_input(conn, Input::Element(element)),
            Some(Stage::Handshake | Stage::Ending) | None => Flow::Gone,
        }
    }

    /// The client has closed its stream by `</stream:stream>` or `<close/>`.
    fn stream_closed(&mut self, conn: ConnId) -> Flow {
        match self.clients.table.get(conn).map(|connection| &connection.stage) {
            Some(Stage::Login(_)) => self.login_input(conn, Input::Close),
            Some(Stage::Live(_)) => {
                self.leave(conn, Closed::Clean);
                self.clients.end_stream(conn, None);
                Flow::Gone
            }
            _ => Flow::Gone,
        }
    }

    fn consume_websocket(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(connection) = self.clients.table.get_mut(conn) else { return };
        let Some(mut decoder) = connection.websocket.take() else { return };
        let mut kept = std::mem::take(&mut connection.partial);
        kept.extend_from_slice(bytes);
        let mut used = 0;
        loop {
            let Some(connection) = self.clients.table.get_mut(conn) else { return };
            if matches!(connection.stage, Stage::Ending) {
                return;
            }
            if connection.owes_answer() || used > 0 && used < kept.len() && self.hold(conn) {
                break;
            }
            let is_live = self.clients.table.get(conn).is_some_and(Connection::is_live);
            let max_bytes = self.element_bytes(conn);
            decoder.set_max_bytes(max_bytes);
            decoder.set_max_skipped(if is_live { MAX_BYTES_SKIPPED as usize } else { 0 });
            match decoder.next(&mut kept[used..]) {
                Ok((0, None)) => break,
                Ok((taken, event)) => {
                    used += taken;
                    if event.is_some_and(|event| self.websocket_event(conn, &event) == Flow::Gone) {
                        // An authenticated connection may have moved to another shard, and the rest of its input with it.
                        break;
                    }
                }
                Err(violation) => return self.websocket_violation(conn, violation.0),
            }
        }
        kept.drain(..used);
        if let Some(connection) = self.clients.table.get_mut(conn) {
            connection.websocket = Some(decoder);
            connection.partial = if kept.is_empty() { Vec::new() } else { kept };
        }
    }

    fn websocket_event(&mut self, conn: ConnId, event: &Event<'_>) -> Flow {
        match event {
            Event::Text(text) => match websocket::parse_message(text) {
                Ok(Message::Open(open)) => self.login_input(conn, Input::Open(&open)),
                Ok(Message::Close) => self.stream_closed(conn),
                Ok(Message::Element(element)) => self.element(conn, &element),
                Err(error) => self.not_accepted(conn, Husk::of_whole(text.as_bytes()), error),
            },
            Event::Excess { beginning, bytes } => {
                self.metrics.skipped_bytes_total.add(*bytes as u64);
                self.not_accepted(conn, Husk::of_beginning(beginning), ParseError::TooLarge)
            }
            Event::Ping(payload) => {
                let mut pong = Vec::new();
                websocket::encode_pong(&mut pong, payload);
                self.clients.put(conn, &pong);
                Flow::On
            }
            Event::Pong(_) => Flow::On,
            // Without `<close/>` before it, the session may be resumed (RFC 7395 §3.6).
            Event::Close(_) => {
                self.leave(conn, Closed::Lost);
                self.clients.begin_ending(conn);
                Flow::Gone
            }
        }
    }

    fn websocket_violation(&mut self, conn: ConnId, code: CloseCode) {
        // The session ends for good: a client that resumes would send the same bytes again.
        self.leave(conn, Closed::Clean);
        let mut close = Vec::new();
        websocket::encode_close(&mut close, Some(code as u16));
        self.clients.put(conn, &close);
        if let Some(connection) = self.clients.table.get_mut(conn) {
            // The close frame is written; no frame may follow it.
            connection.flags.websocket = false;
        }
        self.clients.begin_ending(conn);
    }

    /// The largest element that this connection may send.
    pub(super) fn element_bytes(&self, conn: ConnId) -> usize {
        let limits = &self.clients.limits;
        match self.clients.table.get(conn) {
            Some(connection) if connection.flags.authenticated => limits.element_bytes,
            _ => limits.element_bytes_before_auth,
        }
    }

    /// Ends the stream with an error, and the session with it: input that can't be parsed would come again after a resumption.
    pub(super) fn fail(&mut self, conn: ConnId, condition: StreamCondition, text: Option<&str>) -> Flow {
        match self.clients.table.get(conn).map(|connection| &connection.stage) {
            Some(Stage::Live(_)) => {
                self.leave(conn, Closed::Clean);
                self.clients.end_stream(conn, Some((condition, text)));
                Flow::Gone
            }
            Some(Stage::Login(_)) => self.fail_login(conn, condition, text),
            // There is no stream yet that could carry an error.
            Some(Stage::Handshake) => {
                self.lost(conn);
                Flow::Gone
            }
            Some(Stage::Ending) | None => Flow::Gone,
        }
    }
}

/// Whether the XML declaration of a stream header names an encoding other than UTF-8 (RFC 6120 §11.6).
fn declares_other_encoding(header: &[u8]) -> bool {
    let declared = || {
        let text = std::str::from_utf8(header).ok()?;
        let (declaration, _) = text.strip_prefix("<?xml")?.split_once("?>")?;
        let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
        value.split(['\'', '"']).nth(1)
    };
    declared().is_some_and(|encoding| !encoding.eq_ignore_ascii_case("utf-8"))
}
