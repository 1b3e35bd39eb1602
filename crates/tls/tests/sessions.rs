//! Both sides in memory: our sessions against each other and against rustls' buffered connections.

use chaski_tls::{Progress, Session, prepare_client, prepare_server};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, Error, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};
use std::sync::{Arc, LazyLock};

const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

struct Identity {
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["chat.example".into()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    Identity {
        chain: vec![made.cert.der().clone()],
        key: PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        roots: Arc::new(roots),
    }
});

/// Settings of both sides; whether they are made fit for small sessions.
#[derive(Clone, Copy)]
struct Case {
    version: &'static SupportedProtocolVersion,
    suite: Option<SupportedCipherSuite>,
    prepared: bool,
}

impl Case {
    const SMALL: Self = Self { version: TLS13, suite: None, prepared: true };

    fn all() -> Vec<Self> {
        let mut all = vec![Self::SMALL, Self { prepared: false, ..Self::SMALL }];
        all.push(Self { version: TLS12, ..Self::SMALL });
        all.extend(
            rustls::crypto::ring::ALL_CIPHER_SUITES
                .iter()
                .filter(|suite| suite.tls13().is_some())
                .map(|&suite| Self { suite: Some(suite), ..Self::SMALL }),
        );
        all
    }

    fn provider(&self) -> Arc<rustls::crypto::CryptoProvider> {
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.retain(|suite| self.suite.is_none_or(|wanted| *suite == wanted));
        Arc::new(provider)
    }

    fn server(&self) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(IDENTITY.chain.clone(), IDENTITY.key.clone_key())
            .unwrap();
        config.send_tls13_tickets = 1;
        config.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        if self.prepared {
            prepare_server(&mut config);
        }
        config
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_root_certificates(IDENTITY.roots.clone())
            .with_no_client_auth();
        if self.prepared {
            prepare_client(&mut config);
        }
        config
    }

    fn pair(&self) -> Pair {
        Pair::new(Arc::new(self.server()), Arc::new(self.client()))
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("chat.example").unwrap()
}

/// One of our sessions with what it has said and what its peer is to get.
struct End {
    session: Session,
    wire: Vec<u8>,
    plain: Vec<u8>,
    seen: Progress,
}

impl End {
    fn new(session: Session, wire: Vec<u8>) -> Self {
        Self { session, wire, plain: Vec::new(), seen: Progress::default() }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<Progress, Error> {
        let progress = self.session.feed(&mut bytes.to_vec(), &mut self.plain, &mut self.wire)?;
        assert!(!(self.seen.established && progress.established), "established twice");
        self.seen.established |= progress.established;
        self.seen.ended |= progress.ended;
        Ok(progress)
    }

    fn say(&mut self, plain: &[u8]) {
        self.session.encrypt(plain, &mut self.wire).unwrap();
    }

    fn said(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plain)
    }
}

struct Pair {
    server: End,
    client: End,
}

impl Pair {
    fn new(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> Self {
        let mut wire = Vec::new();
        let client = Session::client(client, name(), 1, &mut wire).unwrap();
        let server = Session::server(server).unwrap();
        Self { server: End::new(server, Vec::new()), client: End::new(client, wire) }
    }

    /// Carries bytes to and fro, cut as `cut` says, until nobody says anything more.
    fn carry_cut(&mut self, mut cut: impl FnMut(usize) -> usize) -> Result<(), Error> {
        while !self.server.wire.is_empty() || !self.client.wire.is_empty() {
            for (from, to) in [(&mut self.client, &mut self.server)] {
                carry_one(from, to, &mut cut)?;
                carry_one(to, from, &mut cut)?;
            }
        }
        Ok(())
    }

    fn carry(&mut self) {
        self.carry_cut(|len| len).unwrap();
    }

    fn established(mut self) -> Self {
        self.carry();
        assert!(self.server.seen.established && self.client.seen.established);
        assert!(!self.server.session.is_handshaking() && !self.client.session.is_handshaking());
        self
    }
}

fn carry_one(from: &mut End, to: &mut End, cut: &mut impl FnMut(usize) -> usize) -> Result<(), Error> {
    let wire = std::mem::take(&mut from.wire);
    let mut rest = &wire[..];
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
        to.feed(piece)?;
        rest = behind;
    }
    Ok(())
}

#[test]
fn sides_talk_in_every_version_and_suite() {
    for case in Case::all() {
        let mut pair = case.pair().established();
        assert_eq!(pair.server.session.version(), Some(case.version.version));
        pair.client.say(b"<stream/>");
        pair.server.say(b"<features/>");
        pair.carry();
        assert_eq!(pair.server.said(), b"<stream/>");
        assert_eq!(pair.client.said(), b"<features/>");
    }
}
