//! A server and a client of raw bytes.

use chaski_server::tls::Tickets;
use chaski_server::{Edge, EdgeConfig, ListenerConfig, ListenerTls, TlsIdentity};
use chaski_services::account::credentials::Salting;
use chaski_services::account::credentials::{Credentials, Derivation};
use chaski_services::account::name::AccountName;
use chaski_services::account::record::AccountRecord;
use chaski_services::realm::{Limits, Realm};
use chaski_store::{Engine, Table, memory::MemoryEngine};
use chaski_telemetry::Registry;
use chaski_xmpp::sasl::client::{Binding, Credentials as ClientCredentials, Exchange};
use chaski_xmpp::sasl::{Mechanism, Nonce, base64};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KEY: &str = "nYHnTFoFnbmRMGSb2YzxwGrDsbHW1cjXvLx0Q1yXGSM";
/// Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) edge: Arc<Edge>,
    pub(crate) registry: Registry,
    pub(crate) leaf: CertificateDer<'static>,
    engine: Arc<MemoryEngine>,
}

pub(crate) fn identity() -> (TlsIdentity, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let leaf = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let tickets = Tickets::new(b"a secret", 86_400, Arc::new(|| 1_700_000_000));
    (TlsIdentity::new(vec![leaf.clone()], key, Some(tickets)).unwrap(), leaf)
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Listeners: starttls, direct, terminated, in this order.
    pub(crate) fn start_with(change: impl FnOnce(&mut EdgeConfig)) -> Self {
        Self::start_on(Arc::new(MemoryEngine::new()), change, Limits::default())
    }

    /// With what another server has left.
    pub(crate) fn start_on(
        engine: Arc<MemoryEngine>,
        change: impl FnOnce(&mut EdgeConfig),
        limits: Limits,
    ) -> Self {
        let (identity, leaf) = identity();
        let listener = |tls| ListenerConfig { addr: "127.0.0.1:0".parse().unwrap(), tls, force: false };
        let mut config = EdgeConfig {
            listeners: vec![
                listener(ListenerTls::StartTls),
                listener(ListenerTls::Direct),
                listener(ListenerTls::Terminated),
            ],
            tls: Some(identity),
            ..EdgeConfig::default()
        };
        config.timing.failure_ms = 2;
        change(&mut config);
        let mut registry = Registry::default();
        let mut realm = Realm::new("localhost", 2, engine.secrets());
        Arc::get_mut(&mut realm).unwrap().limits = limits;
        let edge = Arc::new(Edge::start(config, realm, engine.clone(), &mut registry).unwrap());
        Self { edge, registry, leaf, engine }
    }

    pub(crate) fn add(&self, local: &str, secret: &str, derivation: Derivation) {
        let salt = Salting::of_server(&self.engine.secrets().root).salt(local);
        let credentials = Credentials::derive(secret, 1, derivation, salt);
        let name = AccountName::parse(local).unwrap();
        let key = name.account().record_key();
        let record = AccountRecord::new(name, credentials, 0);
        self.engine.records().put_if(Table::ACCOUNTS, &key, &record.to_json(), None).unwrap();
    }

    /// Two accounts that different shards own.
    pub(crate) fn two_accounts(&self) -> [String; 2] {
        let of_shard = |shard: u16| {
            let owned = |number: &u64| chaski_store::AccountId::phone(*number).unwrap().shard(2).0 == shard;
            format!("+{}", (15_551_230_001..).find(owned).unwrap())
        };
        let locals = [of_shard(0), of_shard(1)];
        locals.iter().for_each(|local| self.add(local, KEY, Derivation::KEY));
        locals
    }

    pub(crate) fn addr(&self, tls: ListenerTls) -> SocketAddr {
        let index = match tls {
            ListenerTls::StartTls => 0,
            ListenerTls::Direct => 1,
            ListenerTls::Terminated => 2,
        };
        self.edge.local_addrs()[index]
    }

    pub(crate) fn connect(&self, tls: ListenerTls) -> Client {
        let socket = TcpStream::connect(self.addr(tls)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let client = Client { stream: Stream::Plain(socket), heard: String::new() };
        if tls == ListenerTls::Direct { client.with_tls(&self.leaf) } else { client }
    }

    /// A session over a listener that needs no TLS.
    pub(crate) fn session(&self, local: &str, resource: &str) -> Client {
        let mut client = self.connect(ListenerTls::Terminated);
        client.plain(local, KEY);
        client.bind(resource);
        client
    }

    /// Waits until a metric has at least this value.
    pub(crate) fn wait_for_metric(&self, name: &str, at_least: i64) {
        let mut last = 0;
        for _ in 0..3_000 {
            last = self.metric(name);
            if last >= at_least {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} is {last}, waited for {at_least}");
    }

    pub(crate) fn metric(&self, name: &str) -> i64 {
        let text = self.registry.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.edge.stop(Duration::ZERO);
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Gone,
}

pub(crate) struct Client {
    stream: Stream,
    /// Read and not yet asked for.
    heard: String,
}

pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams'>";

impl Client {
    pub(crate) fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            Stream::Gone => unreachable!(),
        }
    }

    fn read_some(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.read(&mut buffer)?,
            Stream::Tls(tls) => tls.read(&mut buffer)?,
            Stream::Gone => unreachable!(),
        };
        self.heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        Ok(count)
    }

    /// Everything up to and with `needle`.
    pub(crate) fn until(&mut self, needle: &str) -> String {
        loop {
            if let Some(at) = self.heard.find(needle) {
                let rest = self.heard.split_off(at + needle.len());
                return std::mem::replace(&mut self.heard, rest);
            }
            match self.read_some() {
                Ok(0) => panic!("closed while waiting for {needle}; heard: {}", self.heard),
                Ok(_) => {}
                Err(error) => panic!("{error} while waiting for {needle}; heard: {}", self.heard),
            }
        }
    }

    /// Everything until the server closes.
    pub(crate) fn until_closed(&mut self) -> String {
        loop {
            match self.read_some() {
                Ok(0) => return std::mem::take(&mut self.heard),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return std::mem::take(&mut self.heard);
                }
                Err(error) => panic!("{error} while waiting for the end; heard: {}", self.heard),
            }
        }
    }

    pub(crate) fn open(&mut self) -> String {
        self.send(HEADER);
        self.until("</stream:features>")
    }

    pub(crate) fn with_tls(self, trusted: &CertificateDer<'static>) -> Self {
        self.with_tls_versions(trusted, rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn with_tls_versions(
        self,
        trusted: &CertificateDer<'static>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let Stream::Plain(socket) = self.stream else { panic!("has TLS already") };
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let mut inner = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = socket;
        while inner.is_handshaking() {
            inner.complete_io(&mut socket).unwrap();
        }
        Self { stream: Stream::Tls(Box::new(StreamOwned::new(inner, socket))), heard: String::new() }
    }

    pub(crate) fn starttls(mut self, trusted: &CertificateDer<'static>) -> Self {
        assert!(self.open().contains("<starttls"));
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        self.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        self.with_tls(trusted)
    }

    pub(crate) fn starttls_12(mut self, trusted: &CertificateDer<'static>) -> Self {
        self.open();
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        self.until("/>");
        self.with_tls_versions(trusted, &[&rustls::version::TLS12])
    }

    pub(crate) fn tls(&self) -> &ClientConnection {
        match &self.stream {
            Stream::Tls(tls) => &tls.conn,
            _ => panic!("no TLS"),
        }
    }

    /// Authenticates by PLAIN and opens the next stream.
    pub(crate) fn plain(&mut self, local: &str, key: &str) {
        self.open();
        self.send(&auth_plain(local, key));
        self.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        assert!(self.open().contains("urn:ietf:params:xml:ns:xmpp-bind"));
    }

    /// Authenticates by SCRAM and opens the next stream.
    pub(crate) fn scram(&mut self, local: &str, key: &str, mechanism: Mechanism, binding: Binding) {
        let features = self.open();
        assert!(features.contains(&format!("<mechanism>{}</mechanism>", mechanism.name())), "{features}");
        let credentials = ClientCredentials { username: local.into(), password: key.into(), authzid: None };
        let nonce = Nonce::from_entropy([7; 18]);
        let (mut exchange, first) = Exchange::start(mechanism, &credentials, binding, nonce).unwrap();
        self.send(&auth(mechanism.name(), &first));
        let answer = self.until("</challenge>");
        let last = exchange.challenge(&content(&answer)).unwrap();
        let response = base64::encode(&last);
        self.send(&format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{response}</response>"));
        let answer = self.until("</success>");
        exchange.success(&content(&answer)).unwrap();
        assert!(self.open().contains("urn:ietf:params:xml:ns:xmpp-bind"));
    }

    pub(crate) fn bind(&mut self, resource: &str) -> String {
        self.send(&bind(resource));
        self.until("</iq>")
    }

    /// A round trip to the account's owner.
    pub(crate) fn ping(&mut self, id: &str) {
        self.send(&format!("<iq type='get' to='localhost' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>"));
        let heard = self.until("</iq>");
        assert!(heard.contains(id) && heard.contains("result"), "{heard}");
    }

    /// Says this and that it is the last, in one write if TLS has room for it.
    pub(crate) fn send_and_end(mut self, text: &str) {
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(text.as_bytes()).unwrap(),
            Stream::Tls(tls) => {
                tls.conn.writer().write_all(text.as_bytes()).unwrap();
                tls.conn.send_close_notify();
                tls.flush().unwrap();
            }
            Stream::Gone => unreachable!(),
        }
    }

    /// Vanishes without a word.
    pub(crate) fn vanish(mut self) {
        self.stream = Stream::Gone;
    }
}

pub(crate) fn auth(mechanism: &str, initial: &[u8]) -> String {
    let initial = base64::encode(initial);
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{initial}</auth>")
}

pub(crate) fn auth_plain(local: &str, key: &str) -> String {
    auth("PLAIN", format!("\0{local}\0{key}").as_bytes())
}

pub(crate) fn bind(resource: &str) -> String {
    format!(
        "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
    )
}

/// The base64 text of the last element.
pub(crate) fn content(xml: &str) -> Vec<u8> {
    let end = xml.rfind("</").unwrap();
    let start = xml[..end].rfind('>').unwrap() + 1;
    base64::decode(&xml[start..end]).unwrap().unwrap()
}
