//! Secrets of a TLS 1.3 session: caught from rustls, expanded to keys and to the channel binding.
//!
//! rustls gives out the traffic keys but neither the secrets they come from (which a key update needs, RFC 8446 §7.2)
//! nor, on unbuffered connections, exported keying material (§7.5). It tells both to its key log: [`Catch`] is one that
//! puts them aside for the session that is being fed on this thread, and nowhere else.

use ring::{aead, hkdf};
use rustls::{CipherSuite, ConnectionTrafficSecrets, Error, KeyLog};
use std::cell::RefCell;
use zeroize::Zeroize;

/// The longest hash of a TLS 1.3 cipher suite, SHA-384.
const SECRET_BYTES_MAX: usize = 48;

thread_local! {
    /// Of the session that is being fed. The place is the session's own, so that nothing stays here.
    static CAUGHT: RefCell<Option<Box<Secrets>>> = const { RefCell::new(None) };
}

/// A key log for [`Secrets::catch`].
#[derive(Debug)]
pub(crate) struct Catch;

impl KeyLog for Catch {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        CAUGHT.with_borrow_mut(|caught| {
            if let Some(place) = caught.as_mut().and_then(|secrets| secrets.place(label)) {
                *place = Secret::new(secret);
            }
        });
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, "EXPORTER_SECRET" | "CLIENT_TRAFFIC_SECRET_0" | "SERVER_TRAFFIC_SECRET_0")
    }
}

/// A secret of the key schedule; empty while it is not known.
#[derive(Clone)]
pub(crate) struct Secret {
    bytes: [u8; SECRET_BYTES_MAX],
    len: u8,
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self { bytes: [0; SECRET_BYTES_MAX], len: 0 }
    }
}

impl Secret {
    pub(crate) fn new(secret: &[u8]) -> Self {
        let mut this = Self::default();
        if let Some(bytes) = this.bytes.get_mut(..secret.len()) {
            bytes.copy_from_slice(secret);
            this.len = secret.len() as u8;
        }
        this
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// HKDF-Expand-Label (RFC 8446 §7.1).
    fn expand_label(&self, cipher: Cipher, label: &[u8], context: &[u8], out: &mut [u8]) {
        let length = (out.len() as u16).to_be_bytes();
        let label_length = [(b"tls13 ".len() + label.len()) as u8];
        let context_length = [context.len() as u8];
        let info: [&[u8]; 6] = [&length, &label_length, b"tls13 ", label, &context_length, context];
        hkdf::Prk::new_less_safe(cipher.hkdf(), self.bytes())
            .expand(&info, Length(out.len()))
            .and_then(|okm| okm.fill(out))
            .expect("at most one hash is asked for");
    }

    /// The secret after a key update (RFC 8446 §7.2).
    pub(crate) fn next(&self, cipher: Cipher) -> Self {
        let mut next = Self { bytes: [0; SECRET_BYTES_MAX], len: self.len };
        let len = usize::from(self.len);
        self.expand_label(cipher, b"traffic upd", b"", &mut next.bytes[..len]);
        next
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// What the handshake of one session has told the key log.
#[derive(Default)]
pub(crate) struct Secrets {
    exporter: Secret,
    pub(crate) client: Secret,
    pub(crate) server: Secret,
}

impl Secrets {
    /// Has `handshake` run; what it tells the key log is put into `secrets`. Another call within this one has its own.
    /// After a panic nothing is there, and the handshake that panicked never has secrets.
    pub(crate) fn catch<R>(secrets: &mut Box<Self>, handshake: impl FnOnce() -> R) -> R {
        struct Restore(Option<Box<Secrets>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CAUGHT.set(self.0.take());
            }
        }
        let outer = Restore(CAUGHT.replace(Some(std::mem::take(secrets))));
        let result = handshake();
        *secrets = CAUGHT.take().unwrap_or_default();
        drop(outer);
        result
    }

    fn place(&mut self, label: &str) -> Option<&mut Secret> {
        match label {
            "EXPORTER_SECRET" => Some(&mut self.exporter),
            "CLIENT_TRAFFIC_SECRET_0" => Some(&mut self.client),
            "SERVER_TRAFFIC_SECRET_0" => Some(&mut self.server),
            _ => None,
        }
    }

    /// Whether the session is of TLS 1.3 and with settings of ours.
    pub(crate) fn are_complete(&self) -> bool {
        [&self.exporter, &self.client, &self.server].iter().all(|secret| secret.len > 0)
    }

    /// `tls-exporter` (RFC 9266 §2): 32 bytes for its label and an empty context (RFC 8446 §7.5).
    pub(crate) fn channel_binding(&self, cipher: Cipher) -> Option<[u8; 32]> {
        if self.exporter.len == 0 {
            return None;
        }
        let empty = ring::digest::digest(cipher.hash(), b"");
        let mut derived = Secret { bytes: [0; SECRET_BYTES_MAX], len: self.exporter.len };
        let len = usize::from(derived.len);
        self.exporter.expand_label(
            cipher,
            b"EXPORTER-Channel-Binding",
            empty.as_ref(),
            &mut derived.bytes[..len],
        );
        let mut value = [0; 32];
        derived.expand_label(cipher, b"exporter", empty.as_ref(), &mut value);
        Some(value)
    }
}

/// The cipher suites of TLS 1.3 that can be taken over from rustls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Cipher {
    pub(crate) fn of(suite: CipherSuite) -> Option<Self> {
        match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => Some(Self::Aes128Gcm),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => Some(Self::Aes256Gcm),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => hkdf::HKDF_SHA256,
            Self::Aes256Gcm => hkdf::HKDF_SHA384,
        }
    }

    fn hash(self) -> &'static ring::digest::Algorithm {
        match self {
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => &ring::digest::SHA256,
            Self::Aes256Gcm => &ring::digest::SHA384,
        }
    }

    fn aead(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::Aes256Gcm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    /// How many records one key may encrypt (RFC 8446 §5.5).
    pub(crate) fn records_max(self) -> u64 {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 1 << 24,
            // Its numbers end before its strength does.
            Self::ChaCha20Poly1305 => 1 << 62,
        }
    }
}

/// One direction of a session: the secret, the key and nonce made of it, and the next record's number.
pub(crate) struct Keys {
    secret: Secret,
    key: [u8; 32],
    iv: [u8; aead::NONCE_LEN],
    pub(crate) sequence: u64,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl Keys {
    fn none(secret: Secret, sequence: u64) -> Self {
        Self { secret, key: [0; 32], iv: [0; aead::NONCE_LEN], sequence }
    }

    /// The keys of a secret.
    pub(crate) fn new(cipher: Cipher, secret: Secret, sequence: u64) -> Self {
        let mut keys = Self::none(secret, sequence);
        let key_len = cipher.aead().key_len();
        keys.secret.expand_label(cipher, b"key", b"", &mut keys.key[..key_len]);
        keys.secret.expand_label(cipher, b"iv", b"", &mut keys.iv);
        keys
    }

    /// The keys that rustls has used, with the secret that they come from.
    pub(crate) fn continued(
        cipher: Cipher,
        secret: &Secret,
        (sequence, used): &(u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let mut keys = Self::none(secret.clone(), *sequence);
        let (key, iv) = match used {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key.as_ref(), iv.as_ref()),
            _ => return Err(Error::General("a cipher without keys".into())),
        };
        if key.len() != cipher.aead().key_len() || iv.len() != keys.iv.len() {
            return Err(Error::General("keys of another cipher".into()));
        }
        keys.key[..key.len()].copy_from_slice(key);
        keys.iv.copy_from_slice(iv);
        // A secret of other keys would be found out only by the next key update; of another session, never.
        if keys.is_of_secret(cipher) {
            Ok(keys)
        } else {
            Err(Error::General("keys of another secret".into()))
        }
    }

    fn is_of_secret(&self, cipher: Cipher) -> bool {
        let derived = Self::new(cipher, self.secret.clone(), self.sequence);
        derived.key == self.key && derived.iv == self.iv
    }

    /// The keys after a key update.
    pub(crate) fn update(&mut self, cipher: Cipher) {
        *self = Self::new(cipher, self.secret.next(cipher), 0);
    }

    /// Made ready for records.
    pub(crate) fn expand(&self, cipher: Cipher) -> aead::LessSafeKey {
        let key = aead::UnboundKey::new(cipher.aead(), &self.key[..cipher.aead().key_len()]);
        aead::LessSafeKey::new(key.expect("the key has the cipher's length"))
    }

    /// The nonce of the next record, which is never used twice (RFC 8446 §5.3). `None`: there is none left.
    pub(crate) fn nonce(&mut self) -> Option<aead::Nonce> {
        let sequence = self.sequence;
        self.sequence = sequence.checked_add(1)?;
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= number;
        }
        Some(aead::Nonce::assume_unique_for_key(nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(secret: u8) {
        Catch.log("SERVER_TRAFFIC_SECRET_0", &[], &[secret; 32]);
    }

    fn caught(secrets: &Secrets) -> &[u8] {
        secrets.server.bytes()
    }

    #[test]
    fn a_secret_goes_to_the_session_that_is_fed_and_to_no_other() {
        let (mut outer, mut inner) = (Box::<Secrets>::default(), Box::<Secrets>::default());
        says(1);
        Secrets::catch(&mut outer, || {
            Secrets::catch(&mut inner, || says(2));
            says(3);
        });
        says(4);
        assert_eq!(caught(&outer), [3; 32]);
        assert_eq!(caught(&inner), [2; 32]);
        Secrets::catch(&mut inner, || {});
        assert_eq!(caught(&inner), [2; 32]);
    }

    #[test]
    fn after_a_panic_nothing_is_left_for_others() {
        let (mut first, mut next) = (Box::<Secrets>::default(), Box::<Secrets>::default());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Secrets::catch(&mut first, || {
                says(1);
                panic!("in the handshake");
            });
        }));
        assert!(panicked.is_err());
        CAUGHT.with_borrow(|caught| assert!(caught.is_none()));
        Secrets::catch(&mut next, || {});
        assert!(caught(&next).is_empty() && caught(&first).is_empty());
    }

    #[test]
    fn keys_of_another_secret_are_refused() {
        let cipher = Cipher::ChaCha20Poly1305;
        let keys = Keys::new(cipher, Secret::new(&[1; 32]), 0);
        let used = || ConnectionTrafficSecrets::Chacha20Poly1305 { key: keys.key.into(), iv: keys.iv.into() };
        assert!(Keys::continued(cipher, &Secret::new(&[1; 32]), &(3, used())).is_ok());
        assert!(Keys::continued(cipher, &Secret::new(&[2; 32]), &(3, used())).is_err());
    }
}
