//! Records under the right keys, well-formed and not, to our session after its handshake and to rustls' buffered
//! connection after its own: whatever rustls refuses we refuse, and what both take says the same.
//!
//! Shared by `crates/tls/tests/records.rs` and `fuzz/fuzz_targets/records.rs`. The input is a list of steps, see [`Script`].

use chaski_tls::{Session, prepare_server};
use ring::{aead, hkdf};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, KeyLog, RootCertStore, ServerConfig, ServerConnection};
use std::io::Read;
use std::sync::{Arc, LazyLock, Mutex};

const DATA: u8 = 23;
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
/// Beyond this many records that move nothing, the two have other bounds; user_canceled has its own.
const FRUITLESS_MAX: usize = 30;
const CANCELS_MAX: usize = 4;

type Reference = (Arc<ServerConfig>, Arc<ServerConfig>, Arc<RootCertStore>);

static CONFIGS: LazyLock<Reference> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["chat.example".into()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut theirs = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    theirs.send_tls13_tickets = 0;
    let mut ours = theirs.clone();
    prepare_server(&mut ours);
    (Arc::new(ours), Arc::new(theirs), Arc::new(roots))
});

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// The client's traffic secret of one handshake.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<u8>>);

impl KeyLog for Heard {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == "CLIENT_TRAFFIC_SECRET_0" {
            *self.0.lock().unwrap() = secret.to_vec();
        }
    }
}

/// What makes a client's records, without the rules.
struct Pen {
    secret: Vec<u8>,
    sequence: u64,
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Pen {
    fn derive(&self, label: &[u8], len: usize) -> Vec<u8> {
        let head = [0, len as u8, 6 + label.len() as u8];
        let info = [&head[..], b"tls13 ", label, &[0]];
        let mut out = vec![0; len];
        let secret = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &self.secret);
        secret.expand(&info, Length(len)).unwrap().fill(&mut out).unwrap();
        out
    }

    fn record(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let mut inner = [content, &[kind]].concat();
        inner.resize(inner.len() + padding, 0);
        let [high, low] = ((inner.len() + 16) as u16).to_be_bytes();
        let header = [DATA, 3, 3, high, low];
        let mut nonce: [u8; 12] = self.derive(b"iv", 12).try_into().unwrap();
        nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        self.sequence += 1;
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, &self.derive(b"key", 16)).unwrap();
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        aead::LessSafeKey::new(key)
            .seal_in_place_append_tag(nonce, aead::Aad::from(header), &mut inner)
            .unwrap();
        [&header[..], &inner].concat()
    }

    fn update(&mut self) {
        self.secret = self.derive(b"traffic upd", 32);
        self.sequence = 0;
    }
}

fn client(roots: &Arc<RootCertStore>) -> (ClientConnection, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.key_log = heard.clone();
    let name = ServerName::try_from("chat.example").unwrap();
    (ClientConnection::new(Arc::new(config), name).unwrap(), heard)
}

/// Carries the handshake of a client whose server `answers`.
fn shake(roots: &Arc<RootCertStore>, mut answers: impl FnMut(Vec<u8>) -> Vec<u8>) -> Pen {
    let (mut client, heard) = client(roots);
    loop {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        if wire.is_empty() {
            break;
        }
        client.read_tls(&mut &answers(wire)[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    let secret = heard.0.lock().unwrap().clone();
    Pen { secret, sequence: 0 }
}

/// Both servers, each with what writes to it.
struct Servers {
    ours: Session,
    to_ours: Pen,
    theirs: ServerConnection,
    to_theirs: Pen,
}

/// What came of a record.
#[derive(Debug, PartialEq)]
struct Outcome {
    plain: Vec<u8>,
    ended: bool,
}

impl Servers {
    fn new() -> Self {
        let (ours, theirs, roots) = &*CONFIGS;
        let mut ours = Session::server(ours.clone()).unwrap();
        let mut theirs = ServerConnection::new(theirs.clone()).unwrap();
        let to_ours = shake(roots, |mut wire| {
            let mut answer = Vec::new();
            ours.feed(&mut wire, &mut Vec::new(), &mut answer).unwrap();
            answer
        });
        let to_theirs = shake(roots, |wire| {
            theirs.read_tls(&mut &wire[..]).unwrap();
            theirs.process_new_packets().unwrap();
            let mut answer = Vec::new();
            while theirs.wants_write() {
                theirs.write_tls(&mut answer).unwrap();
            }
            answer
        });
        assert!(!ours.is_handshaking() && !theirs.is_handshaking());
        Self { ours, to_ours, theirs, to_theirs }
    }

    /// Ours, given the bytes in pieces.
    fn tell_ours(&mut self, bytes: &[u8], cut: usize) -> Result<Outcome, Error> {
        let (mut plain, mut wire, mut ended) = (Vec::new(), Vec::new(), false);
        for piece in bytes.chunks(cut) {
            ended |= self.ours.feed(&mut piece.to_vec(), &mut plain, &mut wire)?.ended;
            assert!(self.ours.kept_bytes() < 17_500, "{}", self.ours.kept_bytes());
        }
        assert!(plain.len() <= bytes.len());
        // An answer to an update, at most one for each piece.
        assert!(wire.len() <= bytes.len().div_ceil(cut) * 27);
        Ok(Outcome { plain, ended })
    }

    fn tell_theirs(&mut self, mut bytes: &[u8]) -> Result<Outcome, Error> {
        let (mut plain, mut ended) = (Vec::new(), false);
        while !bytes.is_empty() && !ended {
            self.theirs.read_tls(&mut bytes).unwrap();
            let state = self.theirs.process_new_packets()?;
            ended = state.peer_has_closed();
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            self.theirs.reader().read_exact(&mut plain[start..]).unwrap();
        }
        Ok(Outcome { plain, ended })
    }
}

/// The input: for each step a byte that says what is made, one with the length of what is taken from the input for it
/// (or that says how near to the bound it is), and one that says where the record is damaged and how it is cut.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// Kind, content and padding of the next record.
    fn next(&mut self) -> (u8, Vec<u8>, usize) {
        let (what, size) = (self.byte(), usize::from(self.byte()));
        match what % 8 {
            0 | 1 => (DATA, self.bytes(size % 64).to_vec(), usize::from(what) / 8),
            2 if size >= 128 => (HANDSHAKE, [&[24, 0, 0, 1, 0], self.bytes(size % 8)].concat(), 0),
            2 => (HANDSHAKE, self.bytes(size % 8).to_vec(), 0),
            3 => (HANDSHAKE, vec![24, 0, 0, 1, u8::from(size % 2 == 0)], usize::from(what) / 8),
            4 => (ALERT, alert(self.bytes(size % 4)), 0),
            5 => (self.byte(), self.bytes(size % 64).to_vec(), 0),
            6 => (DATA, vec![b'x'; (1 << 14) - 120 + size], usize::from(what) / 8),
            _ => (DATA, vec![b'x'; size], (1 << 14) - 120 + usize::from(what) / 2),
        }
    }
}

/// With a level that RFC 8446 has for it: rustls looks at it, we do not (§6).
fn alert(content: &[u8]) -> Vec<u8> {
    match *content {
        [_, 90, ..] => [&[1, 90], &content[2..]].concat(),
        [level, ..] => [&[level % 2 + 1], &content[1..]].concat(),
        [] => Vec::new(),
    }
}

/// See the module.
pub(crate) fn drive(input: &[u8]) {
    let mut script = Script(input);
    let mut servers = Servers::new();
    let mut message = Vec::new();
    let (mut fruitless, mut cancels) = (0, 0);
    while !script.0.is_empty() && fruitless < FRUITLESS_MAX && cancels < CANCELS_MAX {
        let (kind, content, padding) = script.next();
        let how = script.byte();
        fruitless += usize::from(kind != DATA || content.is_empty());
        cancels += usize::from(kind == ALERT);
        let mut to_ours = servers.to_ours.record(kind, &content, padding);
        let mut to_theirs = servers.to_theirs.record(kind, &content, padding);
        if how >= 0xf0 {
            let at = 5 + usize::from(script.byte()) % (to_ours.len() - 5);
            to_ours[at] ^= 1 << (how % 8);
            to_theirs[at] ^= 1 << (how % 8);
        }
        let said = servers.tell_ours(&to_ours, 1 + usize::from(how) * 97);
        match (said, servers.tell_theirs(&to_theirs)) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs);
                if ours.ended {
                    return;
                }
            }
            // §5.1 forbids to send these.
            (Err(Error::PeerMisbehaved(_)), Ok(_)) if kind == HANDSHAKE && content.is_empty() => return,
            // Of a message that can't come rustls waits for the end.
            (Err(Error::InappropriateHandshakeMessage { .. } | Error::InvalidMessage(_)), Ok(_))
                if kind == HANDSHAKE =>
            {
                return;
            }
            (Err(_), Err(_)) => {
                let again = servers.ours.feed(&mut to_ours, &mut Vec::new(), &mut Vec::new());
                return assert!(again.is_err());
            }
            (ours, theirs) => {
                let [ours, theirs] =
                    [ours, theirs].map(|said| said.map(|said| (said.plain.len(), said.ended)));
                panic!("record of kind {kind}: ours {ours:?}, rustls {theirs:?}");
            }
        }
        if kind == HANDSHAKE {
            message.extend(content);
            if message.len() == 5 {
                servers.to_ours.update();
                servers.to_theirs.update();
                message.clear();
            }
        }
    }
}
