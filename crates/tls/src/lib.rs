//! TLS of one connection, without a socket and without a buffer: ciphertext in, plaintext out, and back.
//!
//! One small interface for both sides, [`Session`]; the server's shards and the load generator call it. Buffers are the
//! caller's and are shared by all its sessions; a session keeps bytes only while a record is incomplete. No clock, no
//! threads, no I/O.
//!
//! # What a session is made of
//! - The handshake of TLS 1.2 and 1.3, and all of TLS 1.2, is rustls' (its unbuffered connection).
//! - When a TLS 1.3 handshake is over, rustls hands out the traffic keys and is dropped: its connection keeps buffers,
//!   expanded keys and room for QUIC, more than 2 KB, of which an idle session needs 200 bytes. From then on [`record`]
//!   speaks the record layer (RFC 8446 §5, §6, §4.6): sequence numbers, alerts, key updates, tickets. The ciphers are
//!   ring's; keys are kept as they were derived, expanded when there is something to do, and wiped when dropped.
//! - That needs settings that went through [`prepare_server`] or [`prepare_client`]; with others everything stays with
//!   rustls and there is no [`Session::exporter`].
//!
//! # Promises
//! - What is appended to `plain` is never longer than the ciphertext that was given, all calls together.
//! - A session keeps at most one record (18 KB); a server's in a handshake at most 8 KB, a client's in a handshake 64 KB.
//! - After an error the alert is in `wire`, and the session takes nothing more.

mod handshake;
mod order;
mod record;
mod schedule;
pub mod tickets;

pub use order::{ServerSettings, provider};

use handshake::{Intent, Rustls};
use record::Record;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Error, HandshakeKind, InvalidMessage, ProtocolVersion, ServerConfig};
use schedule::Secrets;
use std::sync::Arc;

/// The most that a client keeps of a message that is not complete: a server's chain may be long.
const KEPT_BYTES_MAX: usize = 0xffff;
/// The most that a server keeps in a handshake. A client's first message, the only long one, has some hundred bytes, with
/// post-quantum keys two thousand; and whoever sends it is a stranger.
const HELLO_BYTES_MAX: usize = 8 << 10;
/// The longest record: TLS 1.2 adds more than 1.3 (RFC 5246 §6.2.3).
const RECORD_BYTES_MAX: usize = 5 + (1 << 14) + 2048;
/// By how much the room for it grows at least.
const KEPT_GROWTH_BYTES: usize = 512;

/// Makes the settings fit for small sessions and for [`Session::exporter`].
pub fn prepare_server(config: &mut ServerConfig) {
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(schedule::Catch);
}

/// Makes the settings fit for small sessions and for [`Session::exporter`].
pub fn prepare_client(config: &mut ClientConfig) {
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(schedule::Catch);
}

/// What came of some ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The handshake was completed by this.
    pub established: bool,
    /// The peer said `close_notify`: nothing comes any more.
    pub ended: bool,
}

/// See the module.
pub struct Session {
    state: State,
    /// What came of a record, or in the handshake of a message, that is not complete.
    kept: Vec<u8>,
    exporter: Option<Box<[u8; 32]>>,
    ended: bool,
    resumed: bool,
}

#[expect(clippy::large_enum_variant, reason = "the large one is what idle sessions are")]
enum State {
    /// Not over yet, or of TLS 1.2, or with settings of others.
    Rustls(Box<Handshake>),
    /// After the handshake of TLS 1.3.
    Record(Record),
    Failed(Box<Error>),
}

struct Handshake {
    rustls: Rustls,
    secrets: Box<Secrets>,
    /// How many bytes at the beginning of what is fed rustls has had: complete records that it still needs.
    given: usize,
    established: bool,
    /// Of a server that has heard nothing yet: its settings for a client that has its own order.
    theirs_first: Option<Arc<ServerConfig>>,
}

impl Session {
    /// A server's session before its handshake.
    pub fn server(settings: impl Into<ServerSettings>) -> Result<Self, Error> {
        let ServerSettings { ours_first, theirs_first } = settings.into();
        Ok(Self::new(Rustls::server(ours_first)?, theirs_first))
    }

    /// A client's session; the beginning of its handshake is appended to `wire`. So many of the server's tickets are
    /// taken for later resumption (into the settings' store) and what that needs is kept until they have come.
    pub fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        tickets: u8,
        wire: &mut Vec<u8>,
    ) -> Result<Self, Error> {
        let mut session = Self::new(Rustls::client(config, name, tickets)?, None);
        session.feed(&mut [], &mut Vec::new(), wire)?;
        Ok(session)
    }

    fn new(rustls: Rustls, theirs_first: Option<Arc<ServerConfig>>) -> Self {
        let secrets = Box::default();
        let handshake = Box::new(Handshake { rustls, secrets, given: 0, established: false, theirs_first });
        Self {
            state: State::Rustls(handshake),
            kept: Vec::new(),
            exporter: None,
            ended: false,
            resumed: false,
        }
    }

    /// Takes ciphertext (which is destroyed); appends what it says to `plain` and what has to be sent for it to `wire`,
    /// also on error. On error, `plain` holds what was said before.
    pub fn feed(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Progress, Error> {
        let was_handshaking = self.is_handshaking();
        if self.ended {
            return Ok(Progress { established: false, ended: true });
        }
        let outcome = if self.kept.is_empty() {
            let (used, outcome) = self.take(incoming, plain, wire);
            if outcome.is_ok() {
                self.kept = incoming[used..].to_vec();
            }
            outcome
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.reserve_exact(incoming.len().max(KEPT_GROWTH_BYTES));
            kept.extend_from_slice(incoming);
            let (used, outcome) = self.take(&mut kept, plain, wire);
            if outcome.is_ok() {
                // Anew, so that no room for what is dealt with stays.
                self.kept = if used == 0 { kept } else { kept[used..].to_vec() };
            }
            outcome
        };
        match outcome {
            Ok(()) if self.kept.len() > self.kept_bytes_max() => {
                Err(self.failed(InvalidMessage::HandshakePayloadTooLarge.into()))
            }
            Ok(()) => {
                if self.ended {
                    self.kept = Vec::new();
                }
                let established = was_handshaking && !self.is_handshaking();
                Ok(Progress { established, ended: self.ended })
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn kept_bytes_max(&self) -> usize {
        match &self.state {
            State::Rustls(handshake) if !handshake.rustls.is_server() => KEPT_BYTES_MAX,
            State::Rustls(handshake) if !handshake.established => HELLO_BYTES_MAX,
            _ => RECORD_BYTES_MAX,
        }
    }

    /// Deals with what is complete at the beginning of `bytes`; how many bytes that were.
    fn take(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<(), Error>) {
        let mut used = 0;
        while let State::Rustls(handshake) = &mut self.state {
            let (taken, outcome) = handshake.feed(&mut bytes[used..], plain, wire);
            used += taken;
            match outcome.and_then(|ended| {
                self.ended |= ended;
                self.hand_over()
            }) {
                Ok(true) => {}
                Ok(false) => return (used, Ok(())),
                Err(error) => return (used, Err(error)),
            }
        }
        match &mut self.state {
            State::Record(record) => {
                let (taken, outcome) = record.feed(&mut bytes[used..], plain, wire);
                (used + taken, outcome.map(|ended| self.ended |= ended))
            }
            State::Rustls(_) => (used, Ok(())),
            State::Failed(error) => (used, Err((**error).clone())),
        }
    }

    /// Once, when the handshake is over: from rustls to our record layer, if that can be. Whether it is over just now.
    fn hand_over(&mut self) -> Result<bool, Error> {
        let State::Rustls(handshake) = &mut self.state else { return Ok(false) };
        if handshake.established || handshake.rustls.common().is_handshaking() {
            return Ok(false);
        }
        handshake.established = true;
        self.resumed = handshake.rustls.common().handshake_kind() == Some(HandshakeKind::Resumed);
        let suite = handshake.rustls.common().negotiated_cipher_suite();
        if let Some(suite) = suite.filter(|_| handshake.secrets.are_complete())
            && let Some(cipher) = schedule::Cipher::of(suite.suite())
        {
            self.exporter = handshake.secrets.channel_binding(cipher).map(Box::new);
            let gone = State::Failed(Box::new(Error::HandshakeNotComplete));
            if let State::Rustls(handshake) = std::mem::replace(&mut self.state, gone) {
                // The secrets stay where they are and are wiped there.
                let rustls = handshake.rustls;
                self.state = State::Record(rustls.into_record(cipher, &handshake.secrets)?);
            }
        }
        Ok(true)
    }

    /// Encrypts and appends to `wire`. Nothing can be said before the handshake is over or after the end.
    pub fn encrypt(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        if plain.is_empty() {
            return Ok(());
        }
        self.send(Intent::Encrypt(plain), wire)
    }

    /// Appends `close_notify`, once, if the handshake is over.
    pub fn close(&mut self, wire: &mut Vec<u8>) {
        // Where it can't be said there is nobody to say it to.
        let _ = self.send(Intent::Close, wire);
    }

    /// Changes our keys and asks the peer to change its own (TLS 1.3). It happens by itself before the cipher's limit.
    pub fn refresh_keys(&mut self, wire: &mut Vec<u8>) -> Result<(), Error> {
        self.send(Intent::Refresh, wire)
    }

    fn send(&mut self, intent: Intent<'_>, wire: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.state {
            // Settings may let a server speak before its client has finished (RFC 8446 §2): not to us.
            State::Rustls(handshake) if !handshake.established => Err(Error::HandshakeNotComplete),
            State::Rustls(handshake) => {
                let (used, outcome) = handshake.rustls.send(&mut self.kept, intent, wire);
                self.kept.drain(..used);
                outcome
            }
            State::Record(record) => record.send(intent, wire),
            State::Failed(error) => Err((**error).clone()),
        }
    }

    fn failed(&mut self, error: Error) -> Error {
        self.kept = Vec::new();
        self.state = State::Failed(Box::new(error.clone()));
        error
    }

    /// Whether the handshake is going on.
    pub fn is_handshaking(&self) -> bool {
        match &self.state {
            State::Rustls(handshake) => !handshake.established,
            State::Record(_) | State::Failed(_) => false,
        }
    }

    /// Which was agreed on, once one is.
    pub fn version(&self) -> Option<ProtocolVersion> {
        match &self.state {
            State::Rustls(handshake) => handshake.rustls.common().protocol_version(),
            State::Record(_) => Some(ProtocolVersion::TLSv1_3),
            State::Failed(_) => None,
        }
    }

    /// Whether the handshake took up an earlier session (by ticket).
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The channel binding `tls-exporter` (RFC 9266): once, after a handshake of TLS 1.3. Of TLS 1.2 only sessions with
    /// extended master secret may be bound to (§4.2), and rustls does not say whether one has it.
    pub fn exporter(&mut self) -> Option<[u8; 32]> {
        self.exporter.take().map(|value| *value)
    }

    /// How many bytes of an incomplete record it keeps.
    pub fn kept_bytes(&self) -> usize {
        self.kept.capacity()
    }
}
