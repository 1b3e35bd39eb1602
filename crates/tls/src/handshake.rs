//! Drives rustls' unbuffered connection of either side: the handshake, and TLS 1.2 after it.
//!
//! Called by [`crate::Session`]. The bytes that a call did not use must be given again, with more behind them, in the
//! next: rustls remembers what it has seen of them.

use crate::record::{HEADER_BYTES, Record};
use crate::schedule::{Cipher, Keys, Secrets};
use crate::{Handshake, order};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};
use std::sync::Arc;

/// The most a record adds to its content.
const RECORD_OVERHEAD_MAX: usize = 64;
const FRAGMENT_BYTES: usize = 16 * 1024;

/// What is to be sent.
#[derive(Clone, Copy)]
pub(crate) enum Intent<'a> {
    Nothing,
    Encrypt(&'a [u8]),
    Close,
    Refresh,
}

/// Where a step of rustls has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There may be more to do.
    Again,
    /// It needs more input; nothing can be sent.
    Blocked,
    /// It needs more input; the intent is done.
    Done,
    PeerClosed,
}

/// A connection of either side.
pub(crate) enum Rustls {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection, u8),
}

impl Handshake {
    /// Deals with what is complete in `bytes`; how many bytes that were, and whether the peer has ended. Stops when
    /// the handshake is over and its last messages are in `wire`, so that the rest can be handed over: until then
    /// rustls is given one record more at a time, else it would go on with what stands behind the handshake (and change
    /// keys, RFC 8446 §4.6.3, that we have noted otherwise).
    pub(crate) fn feed(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<bool, Error>) {
        if let Some(theirs_first) = self.theirs_first.take_if(|_| !bytes.is_empty())
            && order::wants_chacha(bytes)
        {
            match Rustls::server(theirs_first) {
                Ok(rustls) => self.rustls = rustls,
                Err(error) => return (0, Err(error)),
            }
        }
        let Self { rustls, secrets, given, established, .. } = self;
        let mut used = 0;
        let mut all = *established;
        loop {
            let end = if all { bytes.len() } else { used + *given };
            let part = &mut bytes[used..end];
            let (taken, outcome) =
                Secrets::catch(secrets, || rustls.step(part, Intent::Nothing, plain, wire));
            used += taken;
            *given = given.saturating_sub(taken);
            let common = rustls.common();
            let over = !*established && !common.is_handshaking() && !common.wants_write();
            match outcome {
                Err(error) => {
                    rustls.flush_alert(&mut bytes[used..], wire);
                    return (used, Err(error));
                }
                Ok(Step::PeerClosed) => return (used, Ok(true)),
                Ok(_) if over => return (used, Ok(false)),
                Ok(Step::Again) => {}
                Ok(Step::Blocked | Step::Done) if all || end == bytes.len() => return (used, Ok(false)),
                Ok(Step::Blocked | Step::Done) => match complete_record_len(&bytes[end..]) {
                    Some(len) => *given += len,
                    // Not complete; but it may be wrong already.
                    None => all = true,
                },
            }
        }
    }
}

impl Rustls {
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        UnbufferedServerConnection::new(config).map(Self::Server)
    }

    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        tickets: u8,
    ) -> Result<Self, Error> {
        UnbufferedClientConnection::new(config, name).map(|connection| Self::Client(connection, tickets))
    }

    pub(crate) fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    pub(crate) fn common(&self) -> &CommonState {
        match self {
            Self::Server(connection) => connection,
            Self::Client(connection, _) => connection,
        }
    }

    /// Sends; `kept` are the bytes that [`Handshake::feed`] has not used. How many of them have been by now.
    pub(crate) fn send(
        &mut self,
        kept: &mut [u8],
        intent: Intent<'_>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<(), Error>) {
        let mut used = 0;
        let mut intent = intent;
        loop {
            // All complete records have been dealt with: nothing can be said here.
            let (taken, outcome) = self.step(&mut kept[used..], intent, &mut Vec::new(), wire);
            used += taken;
            match outcome {
                Ok(Step::Again | Step::PeerClosed) => {}
                Ok(Step::Done) if matches!(intent, Intent::Refresh) => intent = Intent::Nothing,
                Ok(Step::Done) => return (used, Ok(())),
                Ok(Step::Blocked) => return (used, Err(Error::HandshakeNotComplete)),
                Err(error) => return (used, Err(error)),
            }
        }
    }

    /// After an error: what rustls has to say about it. It must not see more input (it would fail again).
    fn flush_alert(&mut self, rest: &mut [u8], wire: &mut Vec<u8>) {
        while self.common().wants_write() {
            let (_, outcome) = self.step(rest, Intent::Nothing, &mut Vec::new(), wire);
            if !matches!(outcome, Ok(Step::Again)) {
                break;
            }
        }
    }

    fn step(
        &mut self,
        bytes: &mut [u8],
        intent: Intent<'_>,
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<Step, Error>) {
        match self {
            Self::Server(connection) => act(connection.process_tls_records(bytes), intent, plain, wire),
            Self::Client(connection, _) => act(connection.process_tls_records(bytes), intent, plain, wire),
        }
    }

    /// The session after the handshake, without rustls.
    pub(crate) fn into_record(self, cipher: Cipher, secrets: &Secrets) -> Result<Record, Error> {
        let is_server = self.is_server();
        let (used, tickets, ours, theirs) = match self {
            Self::Server(connection) => {
                let (used, _) = connection.dangerous_into_kernel_connection()?;
                (used, None, &secrets.server, &secrets.client)
            }
            Self::Client(connection, wanted) => {
                let (used, kernel) = connection.dangerous_into_kernel_connection()?;
                let tickets = (wanted > 0).then(|| Box::new((kernel, wanted)));
                (used, tickets, &secrets.client, &secrets.server)
            }
        };
        let tx = Keys::continued(cipher, ours, &used.tx)?;
        let rx = Keys::continued(cipher, theirs, &used.rx)?;
        Ok(Record::new(cipher, tx, rx, tickets, is_server))
    }
}

/// How long the record at the beginning of `bytes` is with its header, if all of it is there.
fn complete_record_len(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, high, low] = bytes.first_chunk()?;
    let len = HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    (bytes.len() >= len).then_some(len)
}

fn act<Side>(
    status: UnbufferedStatus<'_, '_, Side>,
    intent: Intent<'_>,
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Step::Again),
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Err(error),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            encode(&mut data, wire);
            Ok(Step::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::WriteTraffic(traffic)) => write(traffic, intent, wire),
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Ok(Step::Blocked),
        Ok(ConnectionState::PeerClosed) => Ok(Step::PeerClosed),
        Ok(_) => Err(Error::General("early data was not asked for".into())),
        Err(error) => Err(error),
    };
    (discard, step)
}

fn encode<Side>(data: &mut EncodeTlsData<'_, Side>, wire: &mut Vec<u8>) {
    let start = wire.len();
    loop {
        match data.encode(&mut wire[start..]) {
            Ok(written) => return wire.truncate(start + written),
            Err(EncodeError::InsufficientSize(size)) => wire.resize(start + size.required_size, 0),
            Err(EncodeError::AlreadyEncoded) => return wire.truncate(start),
        }
    }
}

fn write<Side>(
    mut traffic: WriteTraffic<'_, Side>,
    intent: Intent<'_>,
    wire: &mut Vec<u8>,
) -> Result<Step, Error> {
    let start = wire.len();
    let content = match intent {
        Intent::Nothing => return Ok(Step::Done),
        Intent::Refresh => return traffic.refresh_traffic_keys().map(|()| Step::Done),
        Intent::Encrypt(plain) => plain,
        Intent::Close => &[],
    };
    let records = content.len() / FRAGMENT_BYTES + 1;
    wire.resize(start + content.len() + records * RECORD_OVERHEAD_MAX, 0);
    loop {
        let written = match intent {
            Intent::Encrypt(plain) => traffic.encrypt(plain, &mut wire[start..]),
            _ => traffic.queue_close_notify(&mut wire[start..]),
        };
        match written {
            Ok(written) => {
                wire.truncate(start + written);
                return Ok(Step::Done);
            }
            Err(EncryptError::InsufficientSize(size)) => wire.resize(start + size.required_size, 0),
            Err(EncryptError::EncryptExhausted) => {
                wire.truncate(start);
                return Err(Error::EncryptError);
            }
        }
    }
}
