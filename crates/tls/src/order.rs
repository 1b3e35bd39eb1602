//! Which cipher a session gets: the cheapest that both know, unless the client says by its order that it has none in hardware.
//!
//! A client's order is mostly its library's, not its own: OpenSSL's begins with AES-256, whose SHA-384 makes a login dearer
//! and nobody safer. Where it begins with ChaCha20, that is said by a device without AES in hardware (RFC 8446 leaves order to the
//! client; BoringSSL, on phones, makes it by what the processor has). So a server goes by its own order, but for those.
//! Called by [`crate::Session`].

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, NamedGroup, ServerConfig, SupportedCipherSuite};
use std::sync::Arc;

/// ring, with the cheapest of what is safe first: AES-128-GCM, ChaCha20, AES-256-GCM; X25519.
pub fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(cost);
    provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::X25519);
    provider
}

/// TLS 1.3 before 1.2, and then the cheap before the dear.
fn cost(suite: &SupportedCipherSuite) -> (bool, u8) {
    let cost = match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        suite if is_chacha(suite) => 1,
        _ => 2,
    };
    (suite.tls13().is_none(), cost)
}

fn is_chacha(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// A server's settings, for clients with AES in hardware and for those without. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    pub(crate) ours_first: Arc<ServerConfig>,
    pub(crate) theirs_first: Option<Arc<ServerConfig>>,
}

impl ServerSettings {
    /// Of settings with [`provider`] that went through [`crate::prepare_server`].
    pub fn new(config: ServerConfig) -> Self {
        let mut ours_first = config.clone();
        ours_first.ignore_client_order = true;
        Self { ours_first: Arc::new(ours_first), theirs_first: Some(Arc::new(config)) }
    }
}

impl From<Arc<ServerConfig>> for ServerSettings {
    /// As they are, for every client.
    fn from(config: Arc<ServerConfig>) -> Self {
        Self { ours_first: config, theirs_first: None }
    }
}

/// Whether a client that begins like this would rather have ChaCha20 than AES. It is looked for in one record; if the list
/// of its ciphers (RFC 8446 §4.1.2) is not there whole, it has no wish.
pub(crate) fn wants_chacha(record: &[u8]) -> bool {
    first_known_suite(record).is_some_and(is_chacha)
}

fn first_known_suite(record: &[u8]) -> Option<CipherSuite> {
    const RECORD_HEADER: usize = 5;
    const HANDSHAKE_HEADER: usize = 4;
    const VERSION_AND_RANDOM: usize = 2 + 32;
    let (&[kind, ..], hello) = record.split_first_chunk::<RECORD_HEADER>()?;
    let (&[message, ..], hello) = hello.split_first_chunk::<HANDSHAKE_HEADER>()?;
    if (kind, message) != (22, 1) {
        return None;
    }
    let (&session_id, rest) = hello.get(VERSION_AND_RANDOM..)?.split_first()?;
    let (length, rest) = rest.get(usize::from(session_id)..)?.split_first_chunk()?;
    let (suites, _) = rest.get(..usize::from(u16::from_be_bytes(*length)))?.as_chunks();
    // What is not one of these is made up (GREASE, RFC 8701), a signal, or something that we don't speak.
    let known = |suite: &CipherSuite| {
        rustls::crypto::ring::ALL_CIPHER_SUITES.iter().any(|known| known.suite() == *suite)
    };
    suites.iter().map(|&suite| CipherSuite::from(u16::from_be_bytes(suite))).find(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a ClientHello in a record, as far as its ciphers.
    fn hello(session_id: &[u8], suites: &[u16]) -> Vec<u8> {
        let mut hello = vec![22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
        hello.extend_from_slice(&[7; 32]);
        hello.push(session_id.len() as u8);
        hello.extend_from_slice(session_id);
        hello.extend_from_slice(&(2 * suites.len() as u16).to_be_bytes());
        suites.iter().for_each(|suite| hello.extend_from_slice(&suite.to_be_bytes()));
        hello
    }

    #[test]
    fn what_nobody_speaks_is_no_wish() {
        // GREASE, as BoringSSL begins; the signal of renegotiation; a cipher of another age.
        for before in [&[][..], &[0x8a8a], &[0x00ff], &[0x1a1a, 0x000a]] {
            for (suites, wants) in
                [(&[0x1303, 0x1301][..], true), (&[0x1301, 0x1303], false), (&[0xcca9, 0x1301], true)]
            {
                let suites: Vec<_> = before.iter().chain(suites).copied().collect();
                for session_id in [&[][..], &[1; 32]] {
                    assert_eq!(wants_chacha(&hello(session_id, &suites)), wants, "{suites:x?}");
                }
            }
        }
        assert!(!wants_chacha(&hello(&[], &[0x8a8a])));
    }

    #[test]
    fn half_a_hello_and_anything_else_is_no_wish() {
        let whole = hello(&[1; 32], &[0x1303, 0x1301]);
        for len in 0..whole.len() {
            assert!(!wants_chacha(&whole[..len]), "{len} bytes");
        }
        for (at, other) in [(0, 23), (5, 2)] {
            let mut wrong = whole.clone();
            wrong[at] = other;
            assert!(!wants_chacha(&wrong));
        }
    }
}
