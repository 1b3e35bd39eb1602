//! Both sides in memory: our sessions against each other and against rustls' buffered connections.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "sessions/end_of_handshake.rs"]
mod end_of_handshake;
#[path = "sessions/order.rs"]
mod order;
#[path = "sessions/resumption.rs"]
mod resumption;

use chaski_tls::{Progress, Session, prepare_client, prepare_server};
use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SupportedCipherSuite, SupportedProtocolVersion,
};
use std::io::{Read, Write};
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
            carry_one(&mut self.client, &mut self.server, &mut cut)?;
            carry_one(&mut self.server, &mut self.client, &mut cut)?;
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

/// A buffered connection of rustls as the other side.
fn carry_buffered<Side>(
    ours: &mut End,
    theirs: &mut rustls::ConnectionCommon<Side>,
    cut: usize,
) -> Result<(), Error>
where
    Side: rustls::SideData,
{
    loop {
        let mut wire = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut wire).unwrap();
        }
        let quiet = wire.is_empty() && ours.wire.is_empty();
        for piece in wire.chunks(cut) {
            ours.feed(piece)?;
        }
        let wire = std::mem::take(&mut ours.wire);
        for mut piece in wire.chunks(cut) {
            while !piece.is_empty() {
                theirs.read_tls(&mut piece).unwrap();
                theirs.process_new_packets()?;
            }
        }
        if quiet {
            return Ok(());
        }
    }
}

fn read_buffered<Side: rustls::SideData>(theirs: &mut rustls::ConnectionCommon<Side>) -> Vec<u8> {
    let mut plain = vec![0; 1 << 16];
    let len = theirs.reader().read(&mut plain).unwrap_or(0);
    plain.truncate(len);
    plain
}

const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// Our server after the handshake with rustls' buffered client.
fn server_and_buffered(case: Case) -> (End, ClientConnection) {
    let mut theirs = ClientConnection::new(Arc::new(case.client()), name()).unwrap();
    let mut ours = End::new(Session::server(Arc::new(case.server())).unwrap(), Vec::new());
    carry_buffered(&mut ours, &mut theirs, 1 << 14).unwrap();
    (ours, theirs)
}

/// Our client after the handshake with rustls' buffered server.
fn client_and_buffered(case: Case) -> (End, ServerConnection) {
    let mut theirs = ServerConnection::new(Arc::new(case.server())).unwrap();
    let mut wire = Vec::new();
    let session = Session::client(Arc::new(case.client()), name(), 0, &mut wire).unwrap();
    let mut ours = End::new(session, wire);
    carry_buffered(&mut ours, &mut theirs, 1 << 14).unwrap();
    (ours, theirs)
}

#[test]
fn rustls_understands_us_and_exports_the_same() {
    for case in Case::all() {
        let (mut server, mut client) = server_and_buffered(case);
        let exported = server.session.exporter();
        let small = case.prepared && case.version.version == ProtocolVersion::TLSv1_3;
        assert_eq!(exported.is_some(), small);
        if let Some(exported) = exported {
            assert_eq!(exported, client.export_keying_material([0; 32], EXPORTER, Some(b"")).unwrap());
            assert_eq!(server.session.exporter(), None);
        }
        client.writer().write_all(b"<stream/>").unwrap();
        server.say(&[b'y'; 16_000]);
        carry_buffered(&mut server, &mut client, 1 << 14).unwrap();
        assert_eq!(server.said(), b"<stream/>");
        assert_eq!(read_buffered(&mut client), [b'y'; 16_000]);

        let (mut client, mut server) = client_and_buffered(case);
        let exported = client.session.exporter();
        assert_eq!(exported.is_some(), small);
        if let Some(exported) = exported {
            assert_eq!(exported, server.export_keying_material([0; 32], EXPORTER, Some(b"")).unwrap());
        }
        client.say(b"<stream/>");
        server.writer().write_all(b"<features/>").unwrap();
        carry_buffered(&mut client, &mut server, 1 << 14).unwrap();
        assert_eq!(read_buffered(&mut server), b"<stream/>");
        assert_eq!(client.said(), b"<features/>");
    }
}

#[test]
fn keys_are_changed_from_either_side() {
    for case in Case::all().into_iter().filter(|case| case.version.version == ProtocolVersion::TLSv1_3) {
        let (mut server, mut client) = server_and_buffered(case);
        for round in 0..3u8 {
            client.refresh_traffic_keys().unwrap();
            client.writer().write_all(&[round; 10]).unwrap();
            carry_buffered(&mut server, &mut client, 7).unwrap();
            assert_eq!(server.said(), [round; 10]);
            server.say(b"still here");
            server.session.refresh_keys(&mut server.wire).unwrap();
            server.say(b"and here");
            carry_buffered(&mut server, &mut client, 7).unwrap();
            assert_eq!(read_buffered(&mut client), b"still hereand here");
        }
        let mut pair = case.pair().established();
        pair.client.session.refresh_keys(&mut pair.client.wire).unwrap();
        pair.server.session.refresh_keys(&mut pair.server.wire).unwrap();
        pair.carry();
        pair.client.say(b"under new keys");
        pair.carry();
        assert_eq!(pair.server.said(), b"under new keys");
    }
}

#[test]
fn too_many_key_changes_end_it() {
    let mut pair = Case::SMALL.pair().established();
    for _ in 0..33 {
        pair.client.session.refresh_keys(&mut pair.client.wire).unwrap();
    }
    assert!(pair.carry_cut(|len| len).is_err());
}

#[test]
fn byte_by_byte() {
    for case in Case::all() {
        let mut pair = case.pair();
        pair.carry_cut(|_| 1).unwrap();
        assert!(pair.server.seen.established && pair.client.seen.established);
        pair.client.say(b"one");
        pair.client.say(b"two");
        pair.server.say(b"three");
        pair.carry_cut(|_| 1).unwrap();
        assert_eq!(pair.server.said(), b"onetwo");
        assert_eq!(pair.client.said(), b"three");
    }
}

#[test]
fn data_may_come_with_the_end_of_the_handshake() {
    for case in Case::all() {
        let mut pair = case.pair();
        // The client's last flight and what it says first are one piece for the server.
        while !pair.client.seen.established {
            carry_one(&mut pair.client, &mut pair.server, &mut |len| len).unwrap();
            carry_one(&mut pair.server, &mut pair.client, &mut |len| len).unwrap();
        }
        pair.client.say(b"<stream/>");
        pair.client.session.close(&mut pair.client.wire);
        pair.carry();
        assert_eq!(pair.server.said(), b"<stream/>");
        assert!(pair.server.seen.established && pair.server.seen.ended);
    }
}

#[test]
fn closing_is_heard_once_and_ends_it() {
    for case in Case::all() {
        let mut pair = case.pair().established();
        pair.client.say(b"bye");
        pair.client.session.close(&mut pair.client.wire);
        let first = pair.client.wire.len();
        pair.client.session.close(&mut pair.client.wire);
        assert_eq!(pair.client.wire.len(), first);
        pair.carry();
        assert!(pair.server.seen.ended);
        assert_eq!(pair.server.said(), b"bye");
        assert_eq!(pair.server.feed(b"whatever").unwrap(), Progress { established: false, ended: true });
        // The other direction is still open.
        pair.server.say(b"fare well");
        pair.server.session.close(&mut pair.server.wire);
        pair.carry();
        assert_eq!(pair.client.said(), b"fare well");
        assert!(pair.client.seen.ended);
        assert!(pair.client.session.encrypt(b"more", &mut Vec::new()).is_err());
    }
}

#[test]
fn closing_reaches_rustls() {
    let (mut server, mut client) = server_and_buffered(Case::SMALL);
    server.session.close(&mut server.wire);
    let wire = std::mem::take(&mut server.wire);
    client.read_tls(&mut &wire[..]).unwrap();
    assert!(client.process_new_packets().unwrap().peer_has_closed());
}

#[test]
fn a_corrupted_record_is_answered_with_an_alert() {
    for case in Case::all() {
        let (mut server, mut client) = server_and_buffered(case);
        client.writer().write_all(b"good").unwrap();
        client.writer().write_all(b"bad").unwrap();
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        *wire.last_mut().unwrap() ^= 1;
        assert_eq!(server.feed(&wire), Err(Error::DecryptError));
        assert_eq!(server.said(), b"good");
        // For ever.
        assert_eq!(server.feed(&wire), Err(Error::DecryptError));
        assert!(server.session.encrypt(b"more", &mut Vec::new()).is_err());
        let heard = carry_buffered(&mut server, &mut client, 1 << 14).unwrap_err();
        assert_eq!(heard, Error::AlertReceived(AlertDescription::BadRecordMac));
    }
}

#[test]
fn what_is_no_tls_is_refused() {
    for case in Case::all() {
        for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[22, 3, 1, 0xff, 0xff, 0, 0], &[0; 64]] {
            let mut server = End::new(Session::server(Arc::new(case.server())).unwrap(), Vec::new());
            assert!(server.feed(junk).is_err(), "{junk:?}");
        }
        let mut pair = case.pair().established();
        assert!(pair.server.feed(b"<stream:stream>").is_err());
        assert!(!pair.server.wire.is_empty());
        let mut pair = case.pair().established();
        assert!(pair.server.feed(&[23, 3, 3, 0x48, 1]).is_err());
        let mut pair = case.pair().established();
        assert!(pair.server.feed(&[23, 3, 3, 0, 0]).is_err());
    }
}

#[test]
fn a_message_in_crumbs_is_not_kept_for_ever() {
    let mut server = End::new(Session::server(Arc::new(Case::SMALL.server())).unwrap(), Vec::new());
    server.feed(&[22, 3, 1, 0, 4, 1, 0, 0xff, 0xf0]).unwrap();
    let crumbs = [22, 3, 1, 0, 1, 0].repeat(100);
    let fed = (0..200).take_while(|_| server.feed(&crumbs).is_ok()).count();
    assert!((8..20).contains(&fed), "{fed}");
    assert_eq!(server.session.kept_bytes(), 0);
}

#[test]
fn before_the_handshake_nothing_is_said() {
    for case in Case::all() {
        let mut pair = case.pair();
        let (before, mut wire) = (pair.client.wire.clone(), Vec::new());
        assert_eq!(pair.server.session.encrypt(b"early", &mut wire), Err(Error::HandshakeNotComplete));
        assert!(pair.client.session.encrypt(b"early", &mut pair.client.wire).is_err());
        pair.server.session.close(&mut wire);
        assert!(wire.is_empty());
        assert_eq!(pair.client.wire, before);
        // Nor to a client that has not finished, though its server could.
        carry_one(&mut pair.client, &mut pair.server, &mut |len| len).unwrap();
        assert_eq!(pair.server.session.encrypt(b"early", &mut wire), Err(Error::HandshakeNotComplete));
        pair.server.session.close(&mut wire);
        assert!(wire.is_empty());
        pair.carry();
        assert!(pair.server.plain.is_empty() && pair.server.seen.established);
    }
}

#[test]
fn tickets_are_taken_and_used() {
    for case in Case::all() {
        let (server, client) = (Arc::new(case.server()), Arc::new(case.client()));
        let first = Pair::new(server.clone(), client.clone()).established();
        assert!(!first.server.session.is_resumed() && !first.client.session.is_resumed());
        let mut second = Pair::new(server, client).established();
        assert!(second.server.session.is_resumed() && second.client.session.is_resumed());
        assert_eq!(second.server.session.exporter(), second.client.session.exporter());
        second.server.say(b"welcome back");
        second.carry();
        assert_eq!(second.client.said(), b"welcome back");
    }
}

#[test]
fn an_idle_session_keeps_nothing() {
    for case in Case::all() {
        let mut pair = case.pair().established();
        pair.client.say(&[b'x'; 20_000]);
        let wire = std::mem::take(&mut pair.client.wire);
        let (most, last) = wire.split_at(wire.len() - 1);
        pair.server.feed(most).unwrap();
        assert!(pair.server.session.kept_bytes() > 0);
        pair.server.feed(last).unwrap();
        assert_eq!(pair.server.said(), [b'x'; 20_000]);
        assert_eq!(pair.server.session.kept_bytes(), 0);
        assert_eq!(pair.client.session.kept_bytes(), 0);
        // Nor, while a record is incomplete, room for those that came with its beginning.
        pair.client.say(&[b'x'; 100_000]);
        let wire = std::mem::take(&mut pair.client.wire);
        let mut kept_bytes_max = 0;
        for piece in wire.chunks(40_000) {
            pair.server.feed(piece).unwrap();
            kept_bytes_max = kept_bytes_max.max(pair.server.session.kept_bytes());
        }
        assert!(kept_bytes_max > 0 && kept_bytes_max < 17_000, "{kept_bytes_max}");
    }
}

#[test]
fn it_speaks_while_a_record_is_incomplete() {
    for case in Case::all() {
        let mut pair = case.pair().established();
        pair.client.say(b"slowly");
        let wire = std::mem::take(&mut pair.client.wire);
        pair.server.feed(&wire[..9]).unwrap();
        pair.server.say(b"meanwhile");
        pair.carry();
        assert_eq!(pair.client.said(), b"meanwhile");
        pair.server.feed(&wire[9..]).unwrap();
        assert_eq!(pair.server.said(), b"slowly");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_make_no_difference(
        case in 0..6usize,
        messages in prop::collection::vec((any::<bool>(), 0..40_000usize), 1..6),
        cuts in prop::collection::vec(1..9000usize, 1..20),
    ) {
        let mut cuts = cuts.into_iter().cycle();
        let mut pair = Case::all()[case].pair();
        pair.carry_cut(|_| cuts.next().unwrap()).unwrap();
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        for (of_client, len) in messages {
            let text = vec![len as u8; len];
            if of_client {
                pair.client.say(&text);
                to_server.extend(text);
            } else {
                pair.server.say(&text);
                to_client.extend(text);
            }
        }
        pair.carry_cut(|_| cuts.next().unwrap()).unwrap();
        prop_assert!(pair.server.said() == to_server);
        prop_assert!(pair.client.said() == to_client);
        prop_assert_eq!(pair.server.session.kept_bytes(), 0);
    }

    #[test]
    fn damage_ends_in_an_error_or_in_silence(
        case in 0..6usize,
        established: bool,
        at: prop::sample::Index,
        bit in 0..8u8,
        cut in 1..2000usize,
    ) {
        let mut pair = Case::all()[case].pair();
        if established {
            pair = pair.established();
            pair.client.say(b"<message/>");
        }
        let at = at.index(pair.client.wire.len());
        pair.client.wire[at] ^= 1 << bit;
        // No panic, and never another text. (In the handshake a client hello may stay a good one.)
        let _ = pair.carry_cut(|_| cut);
        prop_assert!(pair.server.plain.is_empty() || pair.server.plain == b"<message/>");
        if established && Case::all()[case].prepared && at > 2 {
            prop_assert!(pair.server.plain.is_empty());
        }
    }
}
