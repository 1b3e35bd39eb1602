//! TLS sessions that are resumed: over a restart, not over another certificate, and by all of our own programs.

use crate::bench::measure;
use crate::client::{Client, Tls, http, tcp};
use crate::server::Server;
use chaski_client::{Security, Settings, Target};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind};
use std::path::Path;
use std::sync::Arc;

const KEY: &str = "0123456789abcdef";

/// Trusts these authorities, and remembers tickets for as long as it lives.
fn phone(cas: &[&Path]) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    cas.iter().for_each(|ca| roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Connects and hears the server, and with it the ticket.
fn visit(server: &Server, phone: &Arc<ClientConfig>) -> HandshakeKind {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = rustls::ClientConnection::new(phone.clone(), name).unwrap();
    let mut client = Client::new(Tls::new(connection, tcp(server.direct_tls())));
    client.open();
    client.stream.conn.handshake_kind().unwrap()
}

#[test]
fn a_phone_resumes_over_a_restart_and_not_over_another_certificate() {
    let (dir, other) = (tempfile::tempdir().unwrap(), Server::start(""));
    let server = Server::start_in(dir.path(), "");
    let phone = phone(&[&server.ca_file(), &other.ca_file()]);
    assert_eq!(visit(&server, &phone), HandshakeKind::Full);
    assert_eq!(visit(&server, &phone), HandshakeKind::Resumed);
    assert!(server.end(libc::SIGTERM).0.success());
    let server = Server::start_in(dir.path(), "");
    assert_eq!(visit(&server, &phone), HandshakeKind::Resumed);
    // A server with data of its own takes no ticket of this one, though it has the same name.
    assert_eq!(visit(&other, &phone), HandshakeKind::Full);
    assert_eq!(visit(&server, &phone), HandshakeKind::Full);

    let text = std::fs::read_to_string(server.config_file()).unwrap();
    let reload = |tls: &str| {
        std::fs::write(server.config_file(), format!("{text}[tls]\n{tls}\n")).unwrap();
        server.signal(libc::SIGHUP);
        server.wait_for_log("reloaded");
    };
    let own = other.dir.join("data/tls");
    let certificate = format!("certificate = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n", own.display());
    reload(&certificate);
    assert_eq!(visit(&server, &phone), HandshakeKind::Full, "it has to see the new certificate");
    assert_eq!(visit(&server, &phone), HandshakeKind::Resumed);
    reload(&format!("{certificate}ticket_hours = 2"));
    assert_eq!(visit(&server, &phone), HandshakeKind::Full, "the keys are of other periods");
    assert_eq!(visit(&server, &phone), HandshakeKind::Resumed);
    reload(&format!("{certificate}tickets = false"));
    assert_eq!(visit(&server, &phone), HandshakeKind::Full);
    assert_eq!(visit(&server, &phone), HandshakeKind::Full);
    reload("");
    assert_eq!(visit(&server, &phone), HandshakeKind::Full, "it has got no ticket since");
}

#[test]
fn the_client_library_resumes_by_itself() {
    let server = Server::start("");
    server.ctl(&["account", "add", "bot", "--key", KEY]);
    let trust = chaski_client::Trust::file(&server.ca_file()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let resumed = || {
        let text = http(tcp(server.private()), "GET /metrics HTTP/1.1");
        let line = text.lines().find_map(|line| line.strip_prefix("chaski_edge_tls_resumed_total ")).unwrap();
        line.parse::<u32>().unwrap()
    };
    let security = Security::Direct(trust);
    let address = server.direct_tls();
    let target =
        Target { host: "127.0.0.1".into(), port: address.port(), security, domain: "localhost".into() };
    let mut client = chaski_client::Client::new(Settings::new(target, "bot", KEY));
    for before in 0..3 {
        runtime.block_on(client.connect()).unwrap();
        assert_eq!(resumed(), before);
        client.disconnect();
    }
}

#[test]
fn each_phone_of_a_load_has_its_own_ticket() {
    let args = ["login", "--sessions", "30", "--stay", "4", "--rate", "60", "--seconds", "1"];
    for more in [&["--tls", "--tls-resumption", "--fast"][..], &["--starttls", "--tls-resumption"]] {
        let login = measure(&[&args, more].concat());
        let figures = &login["figures"];
        assert_eq!((&figures["resumed"], &figures["tls_resumed"]), (&30.into(), &30.into()), "{login}");
    }
}
