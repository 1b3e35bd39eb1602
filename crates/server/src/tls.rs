//! Certificates and what the SASL channel binding needs of them.
//!
//! [`TlsIdentity`] is a certificate chain with its key, made into rustls settings once and shared by all shards;
//! [`TlsSlot`] holds the current one and is read by each new connection, so that a reload touches nobody who is
//! connected. Called by the composition and the shards. RFC 5929 (tls-server-end-point), RFC 9266 (tls-exporter),
//! XEP-0368 (ALPN `xmpp-client`).

use chaski_tls::ServerSettings;
pub use chaski_tls::tickets::Tickets;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a certificate or key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refuses it: the key does not fit the certificate, or is of a kind it does not know.
    #[error("the certificate and key can't be used: {0}")]
    Refused(#[from] rustls::Error),
    /// There is no certificate in the chain.
    #[error("the certificate chain is empty")]
    EmptyChain,
}

/// A certificate chain and its key, ready to serve.
#[derive(Clone)]
pub struct TlsIdentity {
    xmpp: ServerSettings,
    key: Arc<CertifiedKey>,
    tickets: Option<Tickets>,
    end_point: Option<Arc<[u8]>>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("chain", &self.key.cert.len()).finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Checks chain (leaf first) and key, and prepares them for TLS 1.2 and 1.3; `tickets`: by which sessions can be resumed, if
    /// they can be at all.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        tickets: Option<Tickets>,
    ) -> Result<Self, TlsError> {
        let leaf = chain.first().ok_or(TlsError::EmptyChain)?;
        let end_point = end_point_hash(leaf.as_ref());
        let key = Arc::new(CertifiedKey::from_der(chain, key, &chaski_tls::provider())?);
        let mut xmpp = server_config(chaski_tls::provider(), &key, &[b"xmpp-client"], tickets.as_ref())?;
        chaski_tls::prepare_server(&mut xmpp);
        Ok(Self { xmpp: ServerSettings::new(xmpp), key, tickets, end_point })
    }

    /// Settings for another protocol on the same certificate (HTTP), with its ALPN names.
    pub fn config_for(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        // Browsers know what their device has hardware for.
        let provider = rustls::crypto::ring::default_provider();
        server_config(provider, &self.key, alpn, self.tickets.as_ref()).map(Arc::new)
    }

    /// Settings for XMPP: ALPN `xmpp-client` if the client uses ALPN at all.
    pub fn xmpp(&self) -> &ServerSettings {
        &self.xmpp
    }

    /// Channel binding data `tls-server-end-point`: the hash of the leaf certificate. `None` where RFC 5929 §4.1
    /// leaves it undefined (a signature without a hash of its own).
    pub fn end_point(&self) -> Option<&Arc<[u8]>> {
        self.end_point.as_ref()
    }
}

fn server_config(
    provider: CryptoProvider,
    key: &Arc<CertifiedKey>,
    alpn: &[&[u8]],
    tickets: Option<&Tickets>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key.clone())));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    // Stateless: the ticket is all there is to a resumable TLS session, so that a million of them cost nothing.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if let Some(tickets) = tickets {
        config.ticketer = tickets.producer(&purpose(key, alpn))?;
        // Each costs a client and the network 250 bytes, and a phone comes back with the newest.
        config.send_tls13_tickets = 1;
    }
    Ok(config)
}

/// What a session ticket is bound to. A client that resumes a TLS session does not look at the certificate again, and may bind a
/// login to it (`tls-server-end-point`). So after a change of the certificate a ticket is void, and the client has to make a full
/// handshake; this is also so if somebody else has taken the ticket from its client.
fn purpose<'a>(key: &'a CertifiedKey, alpn: &[&'a [u8]]) -> Vec<&'a [u8]> {
    key.cert.first().map(AsRef::as_ref).into_iter().chain(alpn.iter().copied()).collect()
}

/// RFC 5929 §4.1: the hash of the certificate's signature algorithm, SHA-256 in place of MD5 and SHA-1.
fn end_point_hash(leaf: &[u8]) -> Option<Arc<[u8]>> {
    use x509_parser::oid_registry as oid;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let algorithm = &certificate.signature_algorithm.algorithm;
    let is = |known: &[oid::Oid<'static>]| known.contains(algorithm);
    if is(&[
        oid::OID_PKCS1_SHA256WITHRSA,
        oid::OID_SIG_ECDSA_WITH_SHA256,
        oid::OID_PKCS1_SHA1WITHRSA,
        oid::OID_PKCS1_MD5WITHRSAENC,
    ]) {
        Some(Sha256::digest(leaf).as_slice().into())
    } else if is(&[oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384]) {
        Some(Sha384::digest(leaf).as_slice().into())
    } else if is(&[oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512]) {
        Some(Sha512::digest(leaf).as_slice().into())
    } else {
        None
    }
}

/// The identity that new connections take. Shards look at the version first, which is one relaxed load, and take
/// the lock only after a reload.
#[derive(Debug)]
pub(crate) struct TlsSlot {
    version: AtomicU64,
    identity: Mutex<Option<TlsIdentity>>,
}

impl TlsSlot {
    pub(crate) fn new(identity: Option<TlsIdentity>) -> Self {
        Self { version: AtomicU64::new(0), identity: Mutex::new(identity) }
    }

    /// Puts another identity in place.
    pub(crate) fn set(&self, identity: TlsIdentity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Changes with each [`set`](Self::set).
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The identity now.
    pub(crate) fn get(&self) -> Option<TlsIdentity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
