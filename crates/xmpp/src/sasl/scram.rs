//! SCRAM's arithmetic and grammar (RFC 5802, RFC 7677): what server and client share.
//!
//! Called by [`super::server`], [`super::client`], and by whoever makes accounts ([`ScramSecret::derive`]).

use super::base64;
use hmac::{KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

mod message;
pub(crate) use message::{BindingFlag, ClientFinal, ClientFirst, ServerFirst, write_saslname};

/// Length of the salts that we make.
pub const SALT_BYTES: usize = 16;

/// From which the salts of a server's accounts are made: a salt is a function of the name alone, the same for both hashes,
/// for every key that the name ever has, and for a name that is nobody's. So nothing is learned from a salt, nor from its
/// having changed. It is no secret that keeps passwords: any client is told the salts of all names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salting(pub [u8; 32]);

impl Salting {
    /// Of the server with this secret, for as long as it has it.
    pub fn of_server(secret: &[u8]) -> Self {
        Self(hmac_sha256(secret, b"scram salts"))
    }

    /// The salt of a name.
    pub fn salt(&self, username: &str) -> [u8; SALT_BYTES] {
        let mut salt = [0; SALT_BYTES];
        let digest = hmac_sha256(&self.0, format!("salt\0{username}").as_bytes());
        salt.copy_from_slice(&digest[..SALT_BYTES]);
        salt
    }
}

/// Shows nothing.
impl std::fmt::Debug for Salting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salting")
    }
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(&Hash::Sha256.hmac(key, data));
    digest
}

/// The hash under a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl Hash {
    /// Length of its digests and keys.
    pub fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    /// The HMAC (RFC 2104) of `data`.
    pub fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        const ANY_KEY: &str = "HMAC takes keys of any length";
        match self {
            Self::Sha1 => {
                let mac = hmac::Hmac::<Sha1>::new_from_slice(key).expect(ANY_KEY);
                mac.chain_update(data).finalize().into_bytes().to_vec()
            }
            Self::Sha256 => {
                let mac = hmac::Hmac::<Sha256>::new_from_slice(key).expect(ANY_KEY);
                mac.chain_update(data).finalize().into_bytes().to_vec()
            }
        }
    }

    /// `Hi()` of RFC 5802 §2.2: PBKDF2 with one block of output.
    fn salted_password(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut salted = vec![0; self.bytes()];
        match self {
            Self::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password.as_bytes(), salt, iterations, &mut salted),
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted),
        }
        salted
    }
}

/// What the server keeps of a password for one hash: enough to verify a proof, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramSecret {
    /// Which SCRAM it is for.
    pub hash: Hash,
    /// Sent to the client.
    pub salt: Vec<u8>,
    /// Sent to the client.
    pub iterations: u32,
    /// `H(ClientKey)`, [`Hash::bytes`] long.
    pub stored_key: Vec<u8>,
    /// `HMAC(SaltedPassword, "Server Key")`, [`Hash::bytes`] long.
    pub server_key: Vec<u8>,
}

impl ScramSecret {
    /// Derives the secret of a password that is already prepared ([`super::prep::saslprep`]). Takes time in
    /// proportion to `iterations` (about 2 ms for 4096): for passwords that people choose, not on a shard's thread.
    pub fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Self {
        let keys = ClientKeys::derive(hash, password, salt, iterations);
        Self {
            hash,
            salt: salt.to_vec(),
            iterations,
            stored_key: hash.digest(&keys.client_key),
            server_key: keys.server_key,
        }
    }

    /// A secret for a user who does not exist, always the same for the same name, that nobody can satisfy: the
    /// exchange looks and lasts as with a wrong password (RFC 5802 §9), if accounts have `salting`'s salts and as many
    /// iterations.
    pub fn decoy(salting: &Salting, hash: Hash, username: &str, iterations: u32) -> Self {
        // Nobody knows what hashes to zeros, and neither key is ever shown: to have them by name would only cost.
        let key = vec![0; hash.bytes()];
        let salt = salting.salt(username).to_vec();
        Self { hash, salt, iterations, stored_key: key.clone(), server_key: key }
    }

    /// Whether this is the password (already prepared). Costs a whole derivation.
    pub fn verify_password(&self, password: &str) -> bool {
        let derived = Self::derive(self.hash, password, &self.salt, self.iterations);
        derived.stored_key.ct_eq(&self.stored_key).into()
    }

    /// Whether the keys have their hash's length: a damaged record must not reach the arithmetic.
    pub(crate) fn is_sound(&self) -> bool {
        let length = self.hash.bytes();
        self.stored_key.len() == length && self.server_key.len() == length && self.iterations > 0
    }

    /// RFC 5802 §3: `ClientKey = ClientProof XOR ClientSignature`; right if its hash is the stored key.
    pub(crate) fn verify_proof(&self, auth_message: &[u8], proof: &[u8]) -> bool {
        if proof.len() != self.hash.bytes() {
            return false;
        }
        let signature = self.hash.hmac(&self.stored_key, auth_message);
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.hash.digest(&client_key).ct_eq(&self.stored_key).into()
    }

    /// What proves the server to the client.
    pub(crate) fn server_signature(&self, auth_message: &[u8]) -> Vec<u8> {
        self.hash.hmac(&self.server_key, auth_message)
    }
}

/// Shows neither keys nor salt.
impl std::fmt::Debug for ScramSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hash, iterations, .. } = self;
        write!(f, "ScramSecret({hash:?}, {iterations} iterations)")
    }
}

/// What the client derives from its password.
pub(crate) struct ClientKeys {
    hash: Hash,
    client_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl ClientKeys {
    pub(crate) fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Self {
        let salted = hash.salted_password(password, salt, iterations);
        Self {
            hash,
            client_key: hash.hmac(&salted, b"Client Key"),
            server_key: hash.hmac(&salted, b"Server Key"),
        }
    }

    pub(crate) fn proof(&self, auth_message: &[u8]) -> Vec<u8> {
        let signature = self.hash.hmac(&self.hash.digest(&self.client_key), auth_message);
        self.client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect()
    }

    pub(crate) fn server_signature(&self, auth_message: &[u8]) -> Vec<u8> {
        self.hash.hmac(&self.server_key, auth_message)
    }
}

/// One side's nonce: printable ASCII without comma (RFC 5802 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// From 144 random bits.
    pub fn from_entropy(entropy: [u8; 18]) -> Self {
        Self(base64::encode_field(&entropy))
    }

    /// A given text, if it is a legal nonce.
    pub fn from_text(text: &str) -> Option<Self> {
        message::is_nonce(text).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
