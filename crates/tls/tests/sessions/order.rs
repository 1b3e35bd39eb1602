//! Which cipher it becomes, by what the client can and how it begins its list.

use super::*;
use chaski_tls::ServerSettings;
use rustls::CipherSuite::{
    TLS13_AES_128_GCM_SHA256 as AES128, TLS13_AES_256_GCM_SHA384 as AES256,
    TLS13_CHACHA20_POLY1305_SHA256 as CHACHA,
};
use rustls::crypto::ring::ALL_CIPHER_SUITES;

fn settings() -> ServerSettings {
    let mut config = ServerConfig::builder_with_provider(Arc::new(chaski_tls::provider()))
        .with_protocol_versions(&[TLS13, TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(IDENTITY.chain.clone(), IDENTITY.key.clone_key())
        .unwrap();
    prepare_server(&mut config);
    ServerSettings::new(config)
}

/// What comes of a client's list of ciphers.
fn agreed(list: &[rustls::CipherSuite], cut: usize) -> rustls::CipherSuite {
    let mut provider = rustls::crypto::ring::default_provider();
    let known = |suite: &rustls::CipherSuite| ALL_CIPHER_SUITES.iter().find(|known| known.suite() == *suite);
    provider.cipher_suites = list.iter().map(|suite| *known(suite).unwrap()).collect();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(IDENTITY.roots.clone())
        .with_no_client_auth();
    let mut theirs = ClientConnection::new(Arc::new(config), name()).unwrap();
    let mut ours = End::new(Session::server(settings()).unwrap(), Vec::new());
    carry_buffered(&mut ours, &mut theirs, cut).unwrap();
    assert!(ours.seen.established);
    theirs.negotiated_cipher_suite().unwrap().suite()
}

#[test]
fn the_cheapest_but_chacha_for_who_asks_for_it() {
    for (list, wanted) in [
        (&[AES256, CHACHA, AES128][..], AES128),
        (&[AES256, AES128], AES128),
        (&[AES128, AES256, CHACHA], AES128),
        (&[AES256, CHACHA], CHACHA),
        (&[CHACHA, AES128, AES256], CHACHA),
        (&[CHACHA, AES256], CHACHA),
        (&[AES256], AES256),
    ] {
        assert_eq!(agreed(list, 1 << 14), wanted, "{list:?}");
    }
}

#[test]
fn the_same_in_tls12() {
    use rustls::CipherSuite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as AES128, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 as AES256,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 as CHACHA,
    };
    assert_eq!(agreed(&[AES256, CHACHA, AES128], 1 << 14), AES128);
    assert_eq!(agreed(&[CHACHA, AES128], 1 << 14), CHACHA);
    assert_eq!(agreed(&[AES256], 1 << 14), AES256);
}

#[test]
fn a_hello_in_pieces_is_understood_too() {
    // Its list has not come with the first: then it has no wish.
    assert_eq!(agreed(&[CHACHA, AES128], 7), AES128);
    assert_eq!(agreed(&[CHACHA, AES128], 90), CHACHA);
    assert_eq!(agreed(&[CHACHA, AES256], 1), CHACHA);
}
