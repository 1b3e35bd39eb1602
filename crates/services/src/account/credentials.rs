//! The secrets by which a client authenticates: SCRAM keys and the quick check for PLAIN. RFC 5802, RFC 7677, RFC 4013
//! (SASLprep).
//!
//! A *key* is made by the server: 256 bits as base64url. Guessing it is hopeless, so a salted SHA-256 is enough for PLAIN. A
//! *password* is chosen by a person or their app: PLAIN is verified through PBKDF2, which takes milliseconds and so never runs on
//! a shard. SCRAM tells salt and iterations to anybody who asks for a name. So both are the same function of the name for keys,
//! for passwords and for names without an account ([`Salting`], [`ITERATIONS`]), and a wrong password costs the same for each.

use crate::data::data;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
pub use chaski_xmpp::sasl::Salting;
use chaski_xmpp::sasl::scram::SALT_BYTES;
use chaski_xmpp::sasl::{Hash, ScramSecret, prep::saslprep};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use subtle::ConstantTimeEq;

/// SCRAM iterations: as many as passwords chosen by people need. Keys need fewer, but a lower number would tell which accounts
/// have a key.
pub const ITERATIONS: u32 = 15_000;

/// How credentials are derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derivation {
    /// SCRAM iterations, for both hashes.
    pub iterations: u32,
    /// Whether PLAIN may be checked with one salted SHA-256. Only for secrets that nobody can guess.
    pub quick_plain: bool,
}

impl Derivation {
    /// For keys that [`make_key`] made, or that an operator vouches for.
    pub const KEY: Self = Self { iterations: ITERATIONS, quick_plain: true };
    /// For passwords chosen by clients and people.
    pub const PASSWORD: Self = Self { iterations: ITERATIONS, quick_plain: false };
}

/// What SASL needs to know of an account. 180 bytes without the heap: it stays in the cache of the owner's shard.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Grows with each new key; sessions and resumptions of an older generation are void. The first one is random
    /// ([`Self::of_new_account`]).
    pub generation: u32,
    /// SCRAM iterations.
    pub iterations: u32,
    #[serde(with = "base64_bytes")]
    salt: [u8; SALT_BYTES],
    sha1: ScramKeys<20>,
    sha256: ScramKeys<32>,
    /// SHA-256 over salt and key; absent where PLAIN has to go through PBKDF2.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "base64_optional")]
    plain: Option<[u8; 32]>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ScramKeys<const N: usize> {
    #[serde(with = "base64_bytes")]
    stored_key: [u8; N],
    #[serde(with = "base64_bytes")]
    server_key: [u8; N],
}

/// The answer to [`Credentials::check_plain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainCheck {
    /// The key is right.
    Right,
    /// The key is wrong.
    Wrong,
    /// Only [`Credentials::check_plain_slowly`] can tell; call it off the shards' threads.
    Slow,
}

/// A fresh key: 256 bits from `rng` as 43 characters of base64url.
pub fn make_key(rng: &mut (impl CryptoRng + ?Sized)) -> String {
    let mut bytes = [0u8; 32];
    rng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Credentials {
    /// Derives credentials from a key or password. `salt` is what [`Salting`] yields for the account's name. Takes milliseconds:
    /// not for a shard's thread.
    pub fn derive(secret: &str, generation: u32, derivation: Derivation, salt: [u8; SALT_BYTES]) -> Self {
        let prepared = prepare(secret);
        let iterations = derivation.iterations.max(1);
        let plain = derivation.quick_plain.then(|| quick_digest(&salt, prepared.as_bytes()));
        Self {
            generation,
            iterations,
            salt,
            sha1: ScramKeys::derive(Hash::Sha1, &prepared, &salt, iterations),
            sha256: ScramKeys::derive(Hash::Sha256, &prepared, &salt, iterations),
            plain,
        }
    }

    /// Credentials for the first key of an account that is being made. Its generation is random: nothing is kept of an account
    /// that had the name before and was removed, so its last generation is not known. If the new generation were equal to the old
    /// one, something proved with the old key would let its holder in; the probability is one in 2³¹.
    pub fn of_new_account(mut self, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        self.generation = (rng.next_u32() >> 1).max(1);
        self
    }

    /// Credentials for a name without an account, which no password satisfies, as in [`ScramSecret::decoy`]: each check takes as
    /// long as for a wrong password.
    pub fn decoy(salting: &Salting, username: &str) -> Self {
        Self {
            generation: 0,
            iterations: ITERATIONS,
            salt: salting.salt(username),
            sha1: ScramKeys { stored_key: [0; 20], server_key: [0; 20] },
            sha256: ScramKeys { stored_key: [0; 32], server_key: [0; 32] },
            plain: Some([0; 32]),
        }
    }

    /// Whether the secret might be found by trying, because a client or a person has chosen it.
    pub fn can_be_guessed(&self) -> bool {
        self.plain.is_none()
    }

    /// Checks a PLAIN password if that is quick.
    pub fn check_plain(&self, secret: &str) -> PlainCheck {
        let Some(expected) = &self.plain else { return PlainCheck::Slow };
        let given = quick_digest(&self.salt, prepare(secret).as_bytes());
        if bool::from(given.ct_eq(expected)) { PlainCheck::Right } else { PlainCheck::Wrong }
    }

    /// Checks a PLAIN password through PBKDF2. Takes milliseconds: not on a shard's thread.
    pub fn check_plain_slowly(&self, secret: &str) -> bool {
        self.scram(Hash::Sha256).verify_password(&prepare(secret))
    }

    /// What a SCRAM exchange with this hash needs. Both hashes share one salt.
    pub fn scram(&self, hash: Hash) -> ScramSecret {
        let (stored_key, server_key) = match hash {
            Hash::Sha1 => (self.sha1.stored_key.to_vec(), self.sha1.server_key.to_vec()),
            Hash::Sha256 => (self.sha256.stored_key.to_vec(), self.sha256.server_key.to_vec()),
        };
        ScramSecret { hash, salt: self.salt.to_vec(), iterations: self.iterations, stored_key, server_key }
    }
}

/// Never the secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("generation", &self.generation)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// Applies SASLprep where the string allows it. A string with characters that SASLprep prohibits can't come from a correct client
/// by SCRAM, but by PLAIN it must still match itself.
fn prepare(secret: &str) -> Cow<'_, str> {
    saslprep(secret).unwrap_or(Cow::Borrowed(secret))
}

fn quick_digest(salt: &[u8], secret: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"chaski plain\0").chain_update(salt).chain_update(secret).finalize().into()
}

impl<const N: usize> ScramKeys<N> {
    /// `hash` must be a hash whose digests have N bytes.
    fn derive(hash: Hash, secret: &str, salt: &[u8], iterations: u32) -> Self {
        let derived = ScramSecret::derive(hash, secret, salt, iterations);
        let sized = |key: Vec<u8>| <[u8; N]>::try_from(key).expect("the hash's digests have N bytes");
        Self { stored_key: sized(derived.stored_key), server_key: sized(derived.server_key) }
    }
}

/// Fixed-size bytes as base64 in JSON.
pub(super) mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(d: D) -> Result<[u8; N], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom(format_args!("expected {N} bytes of base64")))
    }
}

/// Fixed-size bytes that may be absent, as base64 in JSON.
mod base64_optional {
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Option<[u8; 32]>, s: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::base64_bytes::serialize(bytes, s),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<[u8; 32]>, D::Error> {
        super::base64_bytes::deserialize(d).map(Some)
    }
}

data!(struct Credentials { generation, iterations, salt, sha1, sha256, plain });
data!(struct ScramKeys<20> { stored_key, server_key });
data!(struct ScramKeys<32> { stored_key, server_key });

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const SALT: [u8; SALT_BYTES] = [7; SALT_BYTES];

    fn rng() -> rand::rngs::StdRng {
        rand::rngs::StdRng::seed_from_u64(7)
    }

    #[test]
    fn a_decoy_is_told_from_no_account_by_nothing_but_its_keys() {
        let salting = Salting::of_server(b"secret");
        let decoy = Credentials::decoy(&salting, "+15551230001");
        for derivation in [Derivation::KEY, Derivation::PASSWORD] {
            let real = Credentials::derive("key", 1, derivation, salting.salt("+15551230001"));
            for hash in [Hash::Sha1, Hash::Sha256] {
                let (real, decoy) = (real.scram(hash), decoy.scram(hash));
                assert_eq!((real.salt, real.iterations), (decoy.salt, decoy.iterations), "{hash:?}");
            }
        }
        assert_eq!(decoy.check_plain("key"), PlainCheck::Wrong);
        assert!(!decoy.check_plain_slowly("key"));
    }

    #[test]
    fn a_new_account_s_generation_is_not_told_by_its_key() {
        let credentials = Credentials::derive("k", 0, Derivation { iterations: 1, ..Derivation::KEY }, SALT);
        let mut rng = rng();
        let [one, other] = [(); 2].map(|()| credentials.clone().of_new_account(&mut rng).generation);
        assert!(one != other && one > 0 && other > 0);
    }

    #[test]
    fn scram_secrets_are_those_of_the_protocol_crate() {
        let credentials = Credentials::derive("some key", 1, Derivation::KEY, SALT);
        for hash in [Hash::Sha1, Hash::Sha256] {
            let secret = credentials.scram(hash);
            assert!(secret.verify_password("some key"));
            assert!(!secret.verify_password("some other key"));
            assert_eq!(secret.iterations, ITERATIONS);
        }
    }

    #[test]
    fn keys_check_quickly_and_passwords_slowly() {
        let key = make_key(&mut rng());
        assert_eq!(key.len(), 43);
        let credentials = Credentials::derive(&key, 3, Derivation::KEY, SALT);
        assert_eq!(credentials.check_plain(&key), PlainCheck::Right);
        assert_eq!(credentials.check_plain("wrong"), PlainCheck::Wrong);
        assert!(credentials.check_plain_slowly(&key));

        let derivation = Derivation { iterations: 100, quick_plain: false };
        let credentials = Credentials::derive("pässwörd", 1, derivation, SALT);
        assert_eq!(credentials.check_plain("pässwörd"), PlainCheck::Slow);
        assert!(credentials.check_plain_slowly("pässwörd"));
        assert!(credentials.check_plain_slowly("pa\u{308}sswo\u{308}rd"), "SASLprep normalises");
        assert!(!credentials.check_plain_slowly("passwort"));
    }

    #[test]
    fn json_keeps_everything_and_refuses_wrong_sizes() {
        let credentials = Credentials::derive("some key", 3, Derivation::KEY, SALT);
        let json = serde_json::to_string(&credentials).unwrap();
        assert!(!json.contains("some key"));
        assert_eq!(serde_json::from_str::<Credentials>(&json).unwrap(), credentials);
        let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
        value["salt"] = "AAAA".into();
        assert!(serde_json::from_value::<Credentials>(value).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials::derive("k", 3, Derivation::KEY, SALT);
        assert_eq!(format!("{credentials:?}"), "Credentials { generation: 3, iterations: 15000, .. }");
    }
}
