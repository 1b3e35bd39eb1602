//! Records that no well-behaved peer sends, made with the right keys.

use super::*;
use crate::schedule::Secret;

const CIPHER: Cipher = Cipher::Aes128Gcm;
const DATA: u8 = 23;
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
const KEY_UPDATE_WANTED: [u8; 5] = [24, 0, 0, 1, 1];

/// A side and a peer that says what the test wants.
struct Against {
    record: Record,
    /// The peer's keys.
    tx: Keys,
    rx: Keys,
    plain: Vec<u8>,
    wire: Vec<u8>,
}

impl Against {
    fn server() -> Self {
        Self::side(true)
    }

    fn side(server: bool) -> Self {
        let keys = |secret: u8| Keys::new(CIPHER, Secret::new(&[secret; 32]), 0);
        Self {
            record: Record::new(CIPHER, keys(1), keys(2), None, server),
            tx: keys(2),
            rx: keys(1),
            plain: Vec::new(),
            wire: Vec::new(),
        }
    }

    /// A record of the peer's, with padding.
    fn padded(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let mut inner = [content, &[kind]].concat();
        inner.resize(inner.len() + padding, 0);
        let [high, low] = ((inner.len() + 16) as u16).to_be_bytes();
        let header = [23, 3, 3, high, low];
        let nonce = self.tx.nonce().unwrap();
        self.tx.expand(CIPHER).seal_in_place_append_tag(nonce, Aad::from(header), &mut inner).unwrap();
        [&header[..], &inner].concat()
    }

    fn made(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        self.padded(kind, content, 0)
    }

    fn key_update(&mut self, message: &[u8]) -> Vec<u8> {
        let record = self.made(HANDSHAKE, message);
        self.tx.update(CIPHER);
        record
    }

    fn feed(&mut self, mut bytes: Vec<u8>) -> Result<bool, Error> {
        let (used, outcome) = self.record.feed(&mut bytes, &mut self.plain, &mut self.wire);
        assert!(used <= bytes.len());
        outcome
    }

    fn says(&mut self, kind: u8, content: &[u8]) -> Result<bool, Error> {
        let record = self.made(kind, content);
        self.feed(record)
    }

    /// What the side has answered: kinds and contents.
    fn answers(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut wire = std::mem::take(&mut self.wire);
        let mut answers = Vec::new();
        let mut rest = &mut wire[..];
        while let Some(len) = record_len(rest).ok().unwrap() {
            let (record, behind) = rest.split_at_mut(len);
            let key = self.rx.expand(CIPHER);
            let (kind, content) = open(&key, &mut self.rx, record).ok().expect("it is for us");
            answers.push((kind.into(), content.to_vec()));
            if content.starts_with(&KEY_UPDATE[..4]) {
                self.rx.update(CIPHER);
            }
            rest = behind;
        }
        assert!(rest.is_empty());
        answers
    }

    /// The bytes are refused with this alert, which is the last that is said.
    #[track_caller]
    fn refuses(&mut self, bytes: Vec<u8>, alert: u8) {
        assert!(self.feed(bytes).is_err());
        assert_eq!(self.answers(), [(ALERT, vec![FATAL, alert])]);
        assert!(self.record.send(Intent::Encrypt(b"more"), &mut self.wire).is_err());
        assert!(self.wire.is_empty());
    }
}

#[track_caller]
fn refused(server: bool, kind: u8, content: &[u8], alert: u8) {
    let mut side = Against::side(server);
    let record = side.made(kind, content);
    side.refuses(record, alert);
}

#[test]
fn sizes_are_bounded_with_padding() {
    let mut side = Against::server();
    let largest = side.padded(DATA, &[b'x'; 1 << 14], 0);
    assert_eq!(side.feed(largest), Ok(false));
    let mut side = Against::server();
    let padded = side.padded(DATA, b"x", (1 << 14) - 1);
    assert_eq!(side.feed(padded), Ok(false));
    assert_eq!(side.plain, b"x");
    let too_long = side.padded(DATA, &[b'x'; (1 << 14) + 1], 0);
    side.refuses(too_long, 22);
    let mut side = Against::server();
    let too_padded = side.padded(DATA, b"x", 1 << 14);
    side.refuses(too_padded, 22);
    let mut side = Against::server();
    side.refuses(vec![DATA, 3, 3, 0x41, 1], 22);
}

#[test]
fn what_says_nothing_is_bounded() {
    let mut side = Against::server();
    let padding = side.padded(0, &[], 40);
    side.refuses(padding, 10);
    let mut side = Against::server();
    let fed = (0..200).take_while(|_| side.says(DATA, &[]).is_ok()).count();
    assert_eq!(fed, 32);
    let mut side = Against::server();
    let fed = (0..200).take_while(|_| side.says(ALERT, &[WARNING, 90]).is_ok()).count();
    assert_eq!(fed, 32);
    let mut side = Against::server();
    for _ in 0..100 {
        assert_eq!(side.says(DATA, &[]), Ok(false));
        assert_eq!(side.says(DATA, b"x"), Ok(false));
    }
    refused(true, HANDSHAKE, &[], 10);
}

#[test]
fn only_what_may_come_after_a_handshake_comes() {
    // change_cipher_spec, inside and outside; no kind; plain alerts.
    refused(true, 20, &[1], 10);
    refused(true, 99, b"x", 10);
    for bytes in [&[20, 3, 3, 0, 1, 1][..], &[21, 3, 3, 0, 2, 1, 0], &[22, 3, 3], &[0]] {
        Against::server().refuses(bytes.to_vec(), 10);
    }
    // From a client: Finished, whole and its first byte; ClientHello; a ticket. From a server: CertificateRequest.
    refused(true, HANDSHAKE, &[&[20, 0, 0, 32][..], &[7; 32]].concat(), 10);
    refused(true, HANDSHAKE, &[20], 10);
    refused(true, HANDSHAKE, &[1, 0, 1, 0], 10);
    refused(true, HANDSHAKE, &[4, 0, 0, 1, 0], 10);
    refused(false, HANDSHAKE, &[13, 0, 0, 3, 0, 0, 0], 10);
    refused(false, HANDSHAKE, &[0, 0, 0, 0], 10);
    refused(true, HANDSHAKE, &[24, 0, 0, 2, 0, 0], 50);
    refused(true, HANDSHAKE, &[24, 0, 0, 0], 50);
    refused(true, HANDSHAKE, &[24, 0, 0, 1, 2], 47);
}

#[test]
fn alerts_end_it_or_do_not() {
    for level in [WARNING, FATAL] {
        let mut side = Against::server();
        let mut said = side.made(DATA, b"bye");
        said.extend(side.made(ALERT, &[level, 0]));
        said.extend(side.made(DATA, b"ignored"));
        assert_eq!(side.feed(said), Ok(true));
        assert_eq!(side.plain, b"bye");
        let mut side = Against::server();
        assert_eq!(
            side.says(ALERT, &[level, 40]),
            Err(Error::AlertReceived(AlertDescription::HandshakeFailure))
        );
        assert!(side.wire.is_empty());
    }
    refused(true, ALERT, &[], 50);
    refused(true, ALERT, &[1], 50);
    refused(true, ALERT, &[1, 0, 1, 0], 50);
}

#[test]
fn a_key_update_is_the_last_of_its_record_and_of_its_keys() {
    refused(true, HANDSHAKE, &[KEY_UPDATE, KEY_UPDATE].concat(), 10);
    refused(true, HANDSHAKE, &[&KEY_UPDATE[..], &[24]].concat(), 10);
    // In pieces, with nothing between them.
    let mut side = Against::server();
    for piece in KEY_UPDATE.chunks(1) {
        assert_eq!(side.says(HANDSHAKE, piece), Ok(false));
    }
    side.tx.update(CIPHER);
    assert_eq!(side.says(DATA, b"new"), Ok(false));
    for (kind, between) in [(DATA, &b"x"[..]), (DATA, &[]), (ALERT, &[WARNING, 0])] {
        let mut side = Against::server();
        assert_eq!(side.says(HANDSHAKE, &KEY_UPDATE[..2]), Ok(false));
        let record = side.made(kind, between);
        side.refuses(record, 10);
    }
    // What comes behind it under the old keys is nobody's.
    let mut side = Against::server();
    let mut said = side.made(HANDSHAKE, &KEY_UPDATE);
    said.extend(side.made(DATA, b"old"));
    side.refuses(said, 20);
}

#[test]
fn updates_that_come_together_have_one_answer_and_late_ones_too() {
    let mut side = Against::server();
    let mut said = Vec::new();
    for _ in 0..3 {
        said.extend(side.key_update(&KEY_UPDATE_WANTED));
        said.extend(side.made(DATA, b"x"));
    }
    assert_eq!(side.feed(said), Ok(false));
    assert_eq!(side.plain, b"xxx");
    assert_eq!(side.answers(), [(HANDSHAKE, KEY_UPDATE.to_vec())]);
    let record = side.key_update(&KEY_UPDATE);
    assert_eq!(side.feed(record), Ok(false));
    assert_eq!(side.answers(), []);
    // Before what we say next (§4.6.3), also if the peer has said its last.
    let mut said = side.key_update(&KEY_UPDATE_WANTED);
    said.extend(side.made(ALERT, &[WARNING, 0]));
    assert_eq!(side.feed(said), Ok(true));
    side.record.send(Intent::Encrypt(b"y"), &mut side.wire).unwrap();
    side.record.send(Intent::Close, &mut side.wire).unwrap();
    let expected = [(HANDSHAKE, KEY_UPDATE.to_vec()), (DATA, b"y".to_vec()), (ALERT, vec![WARNING, 0])];
    assert_eq!(side.answers(), expected);
    let fed = (0..100).take_while(|_| {
        let record = side.key_update(&KEY_UPDATE);
        side.feed(record).is_ok()
    });
    assert!(fed.count() < 33);
}

#[test]
fn our_keys_are_changed_before_their_limit() {
    let mut side = Against::server();
    side.record.tx.sequence = (1 << 24) - 3;
    side.rx.sequence = (1 << 24) - 3;
    for _ in 0..3 {
        side.record.send(Intent::Encrypt(b"x"), &mut side.wire).unwrap();
    }
    let (data, update) = ((DATA, b"x".to_vec()), (HANDSHAKE, KEY_UPDATE_WANTED.to_vec()));
    assert_eq!(side.answers(), [data.clone(), data.clone(), update, data]);
    assert_eq!(side.record.tx.sequence, 1);
}

#[test]
fn numbers_do_not_wrap() {
    let mut side = Against::server();
    side.record.tx.sequence = u64::MAX;
    assert_eq!(
        side.record.seal(ContentType::ApplicationData, b"x", &mut side.wire),
        Err(Error::EncryptError)
    );
    assert!(side.wire.is_empty());
    let mut side = Against::server();
    (side.tx.sequence, side.record.rx.sequence) = (u64::MAX - 1, u64::MAX - 1);
    assert_eq!(side.says(DATA, b"x"), Ok(false));
    side.tx.sequence = 0;
    let record = side.made(DATA, b"x");
    side.refuses(record, 20);
}

#[test]
fn a_byte_now_and_then_pays_for_no_key_update() {
    for message in [KEY_UPDATE, KEY_UPDATE_WANTED] {
        let mut side = Against::server();
        let fed = (0..10_000).take_while(|_| {
            let update = side.key_update(&message);
            side.feed(update).is_ok() && side.says(DATA, b"x").is_ok()
        });
        assert_eq!(fed.count(), 32);
    }
}

/// Who says enough may change his keys for ever.
#[test]
fn what_is_said_pays_for_key_updates() {
    let mut side = Against::server();
    for round in 0..1_000 {
        let update = side.key_update(&KEY_UPDATE_WANTED);
        assert_eq!(side.feed(update), Ok(false), "{round}");
        for _ in 0..4 {
            assert_eq!(side.says(DATA, &[b'x'; 128]), Ok(false));
        }
    }
    assert_eq!(side.plain.len(), 1_000 * 512);
}
