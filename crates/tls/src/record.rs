//! The record layer of TLS 1.3 after the handshake: RFC 8446 §5 (records), §6 (alerts), §4.6 (tickets, key updates).
//!
//! Called by [`crate::Session`] with the keys that rustls' handshake has led to. It keeps the two directions' keys and
//! nothing else, but for a handshake message that comes in pieces and, on the client, what tickets need until they are
//! there. Every fault is fatal: the alert is written and the session takes nothing more.

use crate::handshake::Intent;
use crate::schedule::{Cipher, Keys};
use ring::aead::{Aad, LessSafeKey, MAX_TAG_LEN};
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::{AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved};

pub(crate) const HEADER_BYTES: usize = 5;
/// The most a record may contain (§5.1), and its ciphertext (§5.2).
const CONTENT_BYTES_MAX: usize = 1 << 14;
const RECORD_BYTES_MAX: usize = CONTENT_BYTES_MAX + 256;
/// The longest messages: a ticket, which only a client gets, and a key update.
const TICKET_BYTES_MAX: usize = 0xffff;
const KEY_UPDATE_BYTES: usize = 1;
/// How much of what moves nothing a peer may send before it says something.
const FRUITLESS_MAX: u8 = 32;
/// How often a peer may change its keys, which is more work than anything it may say as shortly, before it has said something.
const KEY_UPDATES_MAX: u8 = 32;
/// For so many bytes that it says it may once more.
const BYTES_PER_KEY_UPDATE: u16 = 512;

/// See the module.
pub(crate) struct Record {
    cipher: Cipher,
    tx: Keys,
    rx: Keys,
    /// A client's, with how many it still takes.
    tickets: Option<Box<(KernelConnection<ClientConnectionData>, u8)>>,
    /// The beginning of a handshake message.
    message: Option<Box<[u8]>>,
    fruitless: u8,
    /// Those that what was said does not pay for.
    key_updates: u8,
    /// What was said that does not pay for one yet.
    said_bytes: u16,
    closed: bool,
    server: bool,
}

/// Why a session ends: what the peer is told, if it is, and what the caller is.
struct Fault(Option<AlertDescription>, Error);

impl Fault {
    fn new(alert: AlertDescription, error: impl Into<Error>) -> Self {
        Self(Some(alert), error.into())
    }

    fn unexpected(error: impl Into<Error>) -> Self {
        Self::new(AlertDescription::UnexpectedMessage, error)
    }
}

/// What a record has said.
enum Said {
    Nothing,
    Ended,
    /// The peer has changed its keys; whether it wants us to do so.
    KeysChanged(bool),
}

impl Record {
    pub(crate) fn new(
        cipher: Cipher,
        tx: Keys,
        rx: Keys,
        tickets: Option<Box<(KernelConnection<ClientConnectionData>, u8)>>,
        server: bool,
    ) -> Self {
        Self {
            cipher,
            tx,
            rx,
            tickets,
            message: None,
            fruitless: 0,
            key_updates: 0,
            said_bytes: 0,
            closed: false,
            server,
        }
    }

    /// Deals with the complete records in `bytes`; how many bytes they took, and whether the peer has ended.
    pub(crate) fn feed(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<bool, Error>) {
        let mut used = 0;
        let outcome = self.records(bytes, &mut used, plain, wire);
        (
            used,
            outcome.map_err(|Fault(alert, error)| {
                if let Some(alert) = alert.filter(|_| !self.closed) {
                    self.closed = true;
                    // Without numbers for it the peer is not told.
                    let _ = self.seal(ContentType::Alert, &[FATAL, alert.into()], wire);
                }
                error
            }),
        )
    }

    fn records(
        &mut self,
        bytes: &mut [u8],
        used: &mut usize,
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<bool, Fault> {
        let mut answer_update = false;
        let mut ended = false;
        let mut key = None;
        while !ended && let Some(len) = record_len(&bytes[*used..])? {
            let record = &mut bytes[*used..*used + len];
            *used += len;
            let opener = key.get_or_insert_with(|| self.rx.expand(self.cipher));
            let (kind, content) = open(opener, &mut self.rx, record)?;
            match self.said(kind, content, plain)? {
                Said::Nothing => {}
                Said::Ended => ended = true,
                Said::KeysChanged(wanted) => {
                    answer_update |= wanted;
                    key = None;
                }
            }
        }
        // One answer for all requests that came together (§4.6.3).
        if answer_update && !self.closed {
            self.change_keys(false, wire).map_err(|error| Fault(None, error))?;
        }
        Ok(ended)
    }

    fn said(&mut self, kind: ContentType, content: &[u8], plain: &mut Vec<u8>) -> Result<Said, Fault> {
        // Pieces of a message follow each other (§5.1).
        if self.message.is_some() && kind != ContentType::Handshake {
            return Err(Fault::unexpected(PeerMisbehaved::MessageInterleavedWithHandshakeMessage));
        }
        match kind {
            ContentType::ApplicationData if content.is_empty() => {
                self.fruitless(PeerMisbehaved::TooManyEmptyFragments)?;
                Ok(Said::Nothing)
            }
            ContentType::ApplicationData => {
                self.fruitless = 0;
                self.pay(content.len());
                plain.extend_from_slice(content);
                Ok(Said::Nothing)
            }
            ContentType::Alert => self.alert(content),
            ContentType::Handshake => self.handshake(content),
            _ => Err(Fault::unexpected(InvalidMessage::InvalidContentType)),
        }
    }

    fn fruitless(&mut self, why: PeerMisbehaved) -> Result<(), Fault> {
        self.fruitless += 1;
        if self.fruitless > FRUITLESS_MAX { Err(Fault::unexpected(why)) } else { Ok(()) }
    }

    /// The peer has said something, which pays for its key updates.
    fn pay(&mut self, bytes: usize) {
        if self.key_updates == 0 {
            return;
        }
        // A record's content: no overflow.
        let said = usize::from(self.said_bytes) + bytes;
        let paid = said / usize::from(BYTES_PER_KEY_UPDATE);
        self.said_bytes = (said % usize::from(BYTES_PER_KEY_UPDATE)) as u16;
        self.key_updates = self.key_updates.saturating_sub(paid.min(usize::from(u8::MAX)) as u8);
    }

    fn alert(&mut self, content: &[u8]) -> Result<Said, Fault> {
        let &[_, description] = content else {
            return Err(Fault::new(AlertDescription::DecodeError, InvalidMessage::MessageTooShort));
        };
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => Ok(Said::Ended),
            AlertDescription::UserCanceled => {
                self.fruitless(PeerMisbehaved::TooManyWarningAlertsReceived)?;
                Ok(Said::Nothing)
            }
            // All others are fatal whatever they say they are (§6), and not answered.
            description => Err(Fault(None, Error::AlertReceived(description))),
        }
    }

    /// Handshake messages, or pieces of them (§5.1).
    fn handshake(&mut self, content: &[u8]) -> Result<Said, Fault> {
        if content.is_empty() {
            return Err(Fault::unexpected(PeerMisbehaved::TooManyEmptyFragments));
        }
        let joined = self.message.take().map(|beginning| [&beginning, content].concat());
        let mut rest = joined.as_deref().unwrap_or(content);
        while let Some(Message { kind, body, behind }) = message(rest, self.server)? {
            rest = behind;
            if kind == HandshakeType::KeyUpdate {
                return self.key_update(body, rest);
            }
            self.fruitless(PeerMisbehaved::TooManyKeyUpdateRequests)?;
            self.ticket(body)?;
        }
        if !rest.is_empty() {
            self.message = Some(rest.into());
        }
        Ok(Said::Nothing)
    }

    fn ticket(&mut self, body: &[u8]) -> Result<(), Fault> {
        let Some(tickets) = &mut self.tickets else { return Ok(()) };
        tickets
            .0
            .handle_new_session_ticket(body)
            .map_err(|error| Fault::new(AlertDescription::DecodeError, error))?;
        tickets.1 -= 1;
        if tickets.1 == 0 {
            self.tickets = None;
        }
        Ok(())
    }

    fn key_update(&mut self, body: &[u8], behind: &[u8]) -> Result<Said, Fault> {
        let &[request @ (0 | 1)] = body else {
            let alert = if body.len() == 1 {
                AlertDescription::IllegalParameter
            } else {
                AlertDescription::DecodeError
            };
            return Err(Fault::new(alert, InvalidMessage::InvalidKeyUpdate));
        };
        // What follows would have to be under the new keys (§5.1).
        if !behind.is_empty() {
            return Err(Fault::unexpected(PeerMisbehaved::KeyEpochWithPendingFragment));
        }
        self.key_updates += 1;
        if self.key_updates > KEY_UPDATES_MAX {
            return Err(Fault::unexpected(PeerMisbehaved::TooManyKeyUpdateRequests));
        }
        self.rx.update(self.cipher);
        Ok(Said::KeysChanged(request == 1))
    }

    /// Does what is to be sent.
    pub(crate) fn send(&mut self, intent: Intent<'_>, wire: &mut Vec<u8>) -> Result<(), Error> {
        if self.closed {
            return Err(Error::EncryptError);
        }
        match intent {
            Intent::Nothing => Ok(()),
            Intent::Refresh => self.change_keys(true, wire),
            Intent::Close => {
                self.closed = true;
                self.seal(ContentType::Alert, &[WARNING, AlertDescription::CloseNotify.into()], wire)
            }
            Intent::Encrypt(plain) => {
                let records = (plain.len() / CONTENT_BYTES_MAX + 1) as u64;
                // The key update takes the last number.
                if self.tx.sequence + records >= self.cipher.records_max() {
                    self.change_keys(true, wire)?;
                }
                let key = self.tx.expand(self.cipher);
                wire.reserve(plain.len() + records as usize * (HEADER_BYTES + 1 + MAX_TAG_LEN));
                plain
                    .chunks(CONTENT_BYTES_MAX)
                    .try_for_each(|chunk| seal(&key, &mut self.tx, ContentType::ApplicationData, chunk, wire))
            }
        }
    }

    fn change_keys(&mut self, wanted_of_peer: bool, wire: &mut Vec<u8>) -> Result<(), Error> {
        let message = [HandshakeType::KeyUpdate.into(), 0, 0, 1, u8::from(wanted_of_peer)];
        self.seal(ContentType::Handshake, &message, wire)?;
        self.tx.update(self.cipher);
        Ok(())
    }

    fn seal(&mut self, kind: ContentType, content: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        let key = self.tx.expand(self.cipher);
        seal(&key, &mut self.tx, kind, content, wire)
    }
}

const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// How long the record at the beginning of `bytes` is, with its header. `None`: it is not complete.
fn record_len(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(&[kind, _, _, high, low]) = bytes.first_chunk() else {
        // A wrong beginning need not wait for the rest.
        return match bytes.first() {
            Some(&kind) => check_kind(kind).map(|()| None),
            None => Ok(None),
        };
    };
    check_kind(kind)?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > RECORD_BYTES_MAX {
        return Err(Fault::new(AlertDescription::RecordOverflow, Error::PeerSentOversizedRecord));
    }
    Ok((bytes.len() >= HEADER_BYTES + len).then_some(HEADER_BYTES + len))
}

/// After the handshake everything is protected, and says it is application data (§5.2).
fn check_kind(kind: u8) -> Result<(), Fault> {
    if ContentType::from(kind) == ContentType::ApplicationData {
        Ok(())
    } else {
        Err(Fault::unexpected(InvalidMessage::InvalidContentType))
    }
}

/// Opens a record in place: what it is, and its content without padding (§5.2, §5.4).
fn open<'a>(
    key: &LessSafeKey,
    keys: &mut Keys,
    record: &'a mut [u8],
) -> Result<(ContentType, &'a [u8]), Fault> {
    let (header, payload) = record.split_at_mut(HEADER_BYTES);
    let failed = || Fault::new(AlertDescription::BadRecordMac, Error::DecryptError);
    let nonce = keys.nonce().ok_or_else(failed)?;
    let inner = key.open_in_place(nonce, Aad::from(header), payload).map_err(|_| failed())?;
    // With its type and its padding (§5.4).
    if inner.len() > CONTENT_BYTES_MAX + 1 {
        return Err(Fault::new(AlertDescription::RecordOverflow, Error::PeerSentOversizedRecord));
    }
    let end = inner
        .iter()
        .rposition(|&byte| byte != 0)
        .ok_or_else(|| Fault::unexpected(PeerMisbehaved::IllegalTlsInnerPlaintext))?;
    Ok((ContentType::from(inner[end]), &inner[..end]))
}

/// Appends a record; nothing on error.
fn seal(
    key: &LessSafeKey,
    keys: &mut Keys,
    kind: ContentType,
    content: &[u8],
    wire: &mut Vec<u8>,
) -> Result<(), Error> {
    let nonce = keys.nonce().ok_or(Error::EncryptError)?;
    let start = wire.len();
    let len = (content.len() + 1 + key.algorithm().tag_len()) as u16;
    let [high, low] = len.to_be_bytes();
    let header = [ContentType::ApplicationData.into(), 3, 3, high, low];
    wire.extend_from_slice(&header);
    wire.extend_from_slice(content);
    wire.push(kind.into());
    let inner = &mut wire[start + HEADER_BYTES..];
    match key.seal_in_place_separate_tag(nonce, Aad::from(header), inner) {
        Ok(tag) => {
            wire.extend_from_slice(tag.as_ref());
            Ok(())
        }
        Err(_) => {
            wire.truncate(start);
            Err(Error::EncryptError)
        }
    }
}

/// A handshake message and what is behind it.
struct Message<'a> {
    kind: HandshakeType,
    body: &'a [u8],
    behind: &'a [u8],
}

/// The handshake message at the beginning of `bytes`: a key update or, for a client, a ticket (§4.6). `None`: it is not
/// complete.
fn message(bytes: &[u8], server: bool) -> Result<Option<Message<'_>>, Fault> {
    let Some(&kind) = bytes.first() else { return Ok(None) };
    let kind = HandshakeType::from(kind);
    let body_bytes_max = match kind {
        HandshakeType::KeyUpdate => KEY_UPDATE_BYTES,
        HandshakeType::NewSessionTicket if !server => TICKET_BYTES_MAX,
        _ => {
            return Err(Fault::unexpected(Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::KeyUpdate],
                got_type: kind,
            }));
        }
    };
    let Some((&[_, high, middle, low], rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let len = u32::from_be_bytes([0, high, middle, low]) as usize;
    if len > body_bytes_max {
        return Err(Fault::new(AlertDescription::DecodeError, InvalidMessage::HandshakePayloadTooLarge));
    }
    Ok(rest.split_at_checked(len).map(|(body, behind)| Message { kind, body, behind }))
}

#[cfg(test)]
mod tests;
