//! What an idle session costs on the heap: counted by the allocator, for each way there is.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chaski_tls::tickets::Tickets;
use chaski_tls::{Session, prepare_client, prepare_server};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, SupportedProtocolVersion,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // Gone only while the thread ends.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

/// What malloc takes for so many bytes: 8 for itself, in steps of 16, at least 32.
fn taken(layout: Layout) -> isize {
    ((layout.size() + 8).next_multiple_of(16)).max(32) as isize
}

// SAFETY: everything is handed to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(taken(layout));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-taken(layout));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn live() -> isize {
    LIVE.get()
}

/// For tests of memory only: everybody is trusted.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn settings(
    version: &'static SupportedProtocolVersion,
    small: bool,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["chat.example".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.ticketer = Tickets::new(b"secret", 3_600, Arc::new(|| 1_000_000)).producer(&[]).unwrap();
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    server.send_tls13_tickets = 1;
    server.alpn_protocols = vec![b"xmpp-client".to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    client.alpn_protocols = vec![b"xmpp-client".to_vec()];
    if small {
        prepare_server(&mut server);
        prepare_client(&mut client);
    }
    (Arc::new(server), Arc::new(client))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("chat.example").unwrap()
}

/// Heap bytes that `run` leaves taken, with what it gives back.
fn cost<R>(total: &mut isize, run: impl FnOnce() -> R) -> R {
    let before = live();
    let result = run();
    *total += live() - before;
    result
}

/// Bytes of an idle session of ours: server's and client's.
fn ours(version: &'static SupportedProtocolVersion, small: bool) -> (isize, isize) {
    let (server_settings, client_settings) = settings(version, small);
    let (mut plain, mut wire, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for buffer in [&mut plain, &mut wire, &mut back] {
        buffer.reserve(1 << 16);
    }
    let (mut of_server, mut of_client) = (0, 0);
    let mut client = cost(&mut of_client, || {
        Box::new(Session::client(client_settings.clone(), name(), 0, &mut wire).unwrap())
    });
    let mut server = cost(&mut of_server, || Box::new(Session::server(server_settings.clone()).unwrap()));
    for turn in 0..6 {
        if turn == 4 {
            client.encrypt(b"<stream/>", &mut wire).unwrap();
            server.encrypt(b"<features/>", &mut back).unwrap();
        }
        cost(&mut of_server, || server.feed(&mut wire, &mut plain, &mut back).unwrap());
        wire.clear();
        cost(&mut of_client, || client.feed(&mut back, &mut plain, &mut wire).unwrap());
        back.clear();
        cost(&mut of_server, || server.exporter());
        cost(&mut of_client, || client.exporter());
    }
    assert_eq!(plain, b"<stream/><features/>");
    (of_server, of_client)
}

/// Bytes of an idle buffered connection of rustls.
fn buffered(version: &'static SupportedProtocolVersion) -> (isize, isize) {
    let (server_settings, client_settings) = settings(version, false);
    let (mut of_server, mut of_client) = (0, 0);
    let mut client =
        cost(&mut of_client, || Box::new(ClientConnection::new(client_settings.clone(), name()).unwrap()));
    let mut server =
        cost(&mut of_server, || Box::new(ServerConnection::new(server_settings.clone()).unwrap()));
    let mut wire = Vec::with_capacity(1 << 16);
    for _ in 0..6 {
        cost(&mut of_client, || {
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
        });
        cost(&mut of_server, || {
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets().unwrap();
        });
        wire.clear();
        cost(&mut of_server, || {
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
        });
        cost(&mut of_client, || {
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets().unwrap();
        });
        wire.clear();
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    (of_server, of_client)
}

#[test]
fn an_idle_session_is_small() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        println!("{:?}: heap bytes of an idle server's and client's session", version.version);
        println!("  rustls, buffered:   {:?}", buffered(version));
        println!("  rustls, unbuffered: {:?}", ours(version, false));
        println!("  this crate:         {:?}", ours(version, true));
    }
    println!("size_of Session: {}", size_of::<Session>());
    let (server, client) = ours(&rustls::version::TLS13, true);
    assert!(server <= 400, "{server}");
    assert!(client <= 400, "{client}");
}

/// Heap bytes of a server's session whose client has said this and no more.
fn unfinished(version: &'static SupportedProtocolVersion, mut said: Vec<u8>) -> (isize, bool) {
    let (server_settings, _) = settings(version, true);
    let (mut plain, mut wire) = (Vec::new(), Vec::with_capacity(1 << 16));
    let mut total = 0;
    let mut server = cost(&mut total, || Box::new(Session::server(server_settings.clone()).unwrap()));
    let is_refused = cost(&mut total, || server.feed(&mut said, &mut plain, &mut wire).is_err());
    (total, is_refused)
}

/// The first bytes of a client's message of so many, in records of 16 KB.
fn long_hello(bytes: usize) -> Vec<u8> {
    let message = [&[1, 0, 0xff, 0xff, 3, 3][..], &vec![7; 0xffff]].concat();
    let mut said = Vec::new();
    for fragment in message[..bytes].chunks(1 << 14) {
        said.extend_from_slice(&[22, 3, 1]);
        said.extend_from_slice(&(fragment.len() as u16).to_be_bytes());
        said.extend_from_slice(fragment);
    }
    said
}

#[test]
fn a_handshake_that_is_not_finished_is_small() {
    let mut most = 0;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let (_, client_settings) = settings(version, true);
        let mut hello = Vec::new();
        Session::client(client_settings, name(), 0, &mut hello).unwrap();
        let (bytes, is_refused) = unfinished(version, hello);
        println!("{:?}: {bytes} bytes after the client's first message", version.version);
        assert!(!is_refused);
        most = most.max(bytes);
        for length in [1_000, 4_000, 8_000, 12_000, 30_000, 57_000] {
            let (bytes, is_refused) = unfinished(version, long_hello(length));
            println!(
                "{:?}: {bytes} bytes after {length} of a long one, refused: {is_refused}",
                version.version
            );
            assert_eq!(is_refused, length > 8 << 10);
            most = most.max(bytes);
        }
    }
    assert!(most <= 16 << 10, "{most}");
}
