//! What TLS costs a server's processor: a handshake, full and resumed, and a record each way.
//!
//! `cargo run --profile quick -p chaski-tls --example cost`. Only the server's calls are counted, in time of the
//! processor, and the least of several rounds is printed: the machine has other things to do.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may")]

use chaski_tls::{Session, prepare_client, prepare_server};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

const ROUNDS: usize = 9;
const HANDSHAKES: u32 = 150;
const RECORDS: u32 = 5_000;
const MESSAGE: &[u8] = &[b'x'; 300];

fn settings(provider: &Arc<CryptoProvider>, resume: bool) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["chat.example".into()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    server.send_tls13_tickets = 1;
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resume {
        client.resumption = rustls::client::Resumption::disabled();
    }
    prepare_server(&mut server);
    prepare_client(&mut client);
    (Arc::new(server), Arc::new(client))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("chat.example").unwrap()
}

/// The processor's time of this thread.
fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn timed<R>(total: &mut Duration, run: impl FnOnce() -> R) -> R {
    let start = now();
    let result = black_box(run());
    *total += now() - start;
    result
}

fn least(of: impl FnMut() -> Duration, count: u32) -> f64 {
    let least = std::iter::repeat_with(of).take(ROUNDS).min().unwrap();
    least.as_secs_f64() * 1e6 / f64::from(count)
}

/// A handshake; both sides at its end. The server's time is added.
fn small(
    (server, client): &(Arc<ServerConfig>, Arc<ClientConfig>),
    time: &mut Duration,
) -> (Session, Session) {
    let (mut to_server, mut to_client, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    let mut client = Session::client(client.clone(), name(), 1, &mut to_server).unwrap();
    let mut server = timed(time, || Session::server(server.clone())).unwrap();
    while !to_server.is_empty() {
        timed(time, || server.feed(&mut to_server, &mut plain, &mut to_client)).unwrap();
        to_server.clear();
        client.feed(&mut to_client, &mut plain, &mut to_server).unwrap();
        to_client.clear();
    }
    assert!(!server.is_handshaking());
    (server, client)
}

fn buffered(
    (server, client): &(Arc<ServerConfig>, Arc<ClientConfig>),
    time: &mut Duration,
) -> (ServerConnection, ClientConnection) {
    let mut client = ClientConnection::new(client.clone(), name()).unwrap();
    let mut server = timed(time, || ServerConnection::new(server.clone())).unwrap();
    let mut wire = Vec::new();
    loop {
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        if wire.is_empty() {
            return (server, client);
        }
        let mut answer = Vec::new();
        timed(time, || {
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets().unwrap();
            while server.wants_write() {
                server.write_tls(&mut answer).unwrap();
            }
        });
        wire.clear();
        client.read_tls(&mut &answer[..]).unwrap();
        client.process_new_packets().unwrap();
    }
}

fn handshakes(provider: &Arc<CryptoProvider>, resume: bool) -> (f64, f64) {
    let settings = settings(provider, resume);
    let mut unmeasured = Duration::ZERO;
    small(&settings, &mut unmeasured);
    let ours = least(
        || {
            let mut time = Duration::ZERO;
            for _ in 0..HANDSHAKES {
                assert_eq!(small(&settings, &mut time).0.is_resumed(), resume);
            }
            time
        },
        HANDSHAKES,
    );
    let theirs = least(
        || {
            let mut time = Duration::ZERO;
            (0..HANDSHAKES).for_each(|_| drop(buffered(&settings, &mut time)));
            time
        },
        HANDSHAKES,
    );
    (ours, theirs)
}

/// A record to the server and one from it, each on its own: all in, then all out.
fn records(provider: &Arc<CryptoProvider>) -> (f64, f64) {
    let settings = settings(provider, false);
    let mut unmeasured = Duration::ZERO;
    let (mut server, mut client) = small(&settings, &mut unmeasured);
    let mut text = vec![0; 1024];
    let ours = least(
        || {
            let (mut time, mut wire, mut back, mut plain) =
                (Duration::ZERO, Vec::new(), Vec::new(), Vec::new());
            (0..RECORDS).for_each(|_| client.encrypt(MESSAGE, &mut wire).unwrap());
            let record = wire.len() / RECORDS as usize;
            timed(&mut time, || {
                for record in wire.chunks_mut(record) {
                    server.feed(record, &mut plain, &mut back).unwrap();
                    plain.clear();
                    server.encrypt(MESSAGE, &mut back).unwrap();
                    back.clear();
                }
            });
            time
        },
        RECORDS,
    );
    let (mut server, mut client) = buffered(&settings, &mut unmeasured);
    client.set_buffer_limit(None);
    let theirs = least(
        || {
            let (mut time, mut wire, mut back) = (Duration::ZERO, Vec::new(), Vec::new());
            (0..RECORDS).for_each(|_| client.writer().write_all(MESSAGE).unwrap());
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let record = wire.len() / RECORDS as usize;
            timed(&mut time, || {
                for mut record in wire.chunks(record) {
                    server.read_tls(&mut record).unwrap();
                    server.process_new_packets().unwrap();
                    let _ = server.reader().read(&mut text).unwrap();
                    server.writer().write_all(MESSAGE).unwrap();
                    server.write_tls(&mut back).unwrap();
                    back.clear();
                }
            });
            time
        },
        RECORDS,
    );
    (ours, theirs)
}

fn main() {
    let rustls_order = rustls::crypto::ring::default_provider();
    let providers = [("ours", Arc::new(chaski_tls::provider())), ("ring", Arc::new(rustls_order))];
    println!("microseconds of the server, this crate and rustls' buffered connection");
    for (name, provider) in providers {
        let (ours, theirs) = handshakes(&provider, false);
        println!("{name}: full handshake          {ours:8.2} {theirs:8.2}");
        let (ours, theirs) = handshakes(&provider, true);
        println!("{name}: resumed handshake       {ours:8.2} {theirs:8.2}");
        let (ours, theirs) = records(&provider);
        println!("{name}: 300 bytes in, 300 out   {ours:8.2} {theirs:8.2}");
    }
}
