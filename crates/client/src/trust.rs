//! Whose certificates are believed: the system's authorities, one from a file, or, on this machine only, anybody's.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Why there is nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file can't be read or holds no certificate.
    #[error("{path} holds no certificate that can be read: {why}")]
    BadFile {
        /// Which.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The system knows no authorities.
    #[error(
        "this system trusts no certificate authority; install the package ca-certificates or name a CA file"
    )]
    NoneInstalled,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    /// The same, announcing XMPP by ALPN (XEP-0368).
    xmpp: Arc<ClientConfig>,
    loopback_only: bool,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("loopback_only", &self.loopback_only).finish_non_exhaustive()
    }
}

impl Trust {
    /// The authorities that the system trusts.
    pub fn system() -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(TrustError::NoneInstalled) } else { Ok(Self::roots(roots)) }
    }

    /// The authorities in a PEM file, and nobody else.
    pub fn file(path: &Path) -> Result<Self, TrustError> {
        let bad = |why: String| TrustError::BadFile { path: path.display().to_string(), why };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
        }
        if roots.is_empty() { Err(bad("it is empty".into())) } else { Ok(Self::roots(roots)) }
    }

    /// Any certificate, on connections to this machine only.
    pub fn anybody_on_loopback() -> Self {
        let verifier = Unchecked(provider());
        let config = builder().dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        Self::of(config.with_no_client_auth(), true)
    }

    fn roots(roots: RootCertStore) -> Self {
        Self::of(builder().with_root_certificates(roots).with_no_client_auth(), false)
    }

    fn of(config: ClientConfig, loopback_only: bool) -> Self {
        let mut xmpp = config.clone();
        xmpp.alpn_protocols = vec![b"xmpp-client".to_vec()];
        Self { config: Arc::new(config), xmpp: Arc::new(xmpp), loopback_only }
    }

    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The settings for a connection of one's own, announcing XMPP by ALPN.
    pub fn xmpp_config(&self) -> &Arc<ClientConfig> {
        &self.xmpp
    }

    pub(crate) fn is_loopback_only(&self) -> bool {
        self.loopback_only
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(chaski_tls::provider())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
}

/// Believes every certificate; the signatures of the handshake are still checked.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let path = std::env::temp_dir().join(format!("chaski-no-ca-{}", std::process::id()));
        std::fs::write(&path, "no certificate").unwrap();
        let error = Trust::file(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("chaski-no-ca") && error.contains("empty"), "{error}");
        assert!(Trust::file(Path::new("/nowhere/ca.pem")).is_err());
    }
}
