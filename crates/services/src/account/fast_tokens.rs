//! The tokens by which an account's devices come back in one message (XEP-0484), as its record keeps them.
//!
//! Called by the account's owner shard, which alone knows tokens and checks proofs of them. Promises: what is kept says
//! nothing about a token without the store's secret; a token is good for one account, key, client and mechanism; of a
//! client at most two are good, the one it uses and one it was given and has not used; an account has at most
//! [`DEVICES_MAX`] clients with tokens, the one that has been away longest makes room.

use super::credentials::base64_bytes;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chaski_store::AccountId;
use chaski_xmpp::sasl::token::{self, PROOF_BYTES, TokenMechanism};
use chaski_xmpp::stream::{ClientId, IssuedToken, TokenProof};
use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Clients of an account with tokens.
pub const DEVICES_MAX: usize = 16;
/// How long a token is good.
pub const LIFE_MS: u64 = 21 * DAY_MS;
/// A client that comes with less left than this gets a new one.
pub const RENEW_MS: u64 = 14 * DAY_MS;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Length of a device's part of a resource, before it is written as text.
const RESOURCE_BYTES: usize = 9;

/// From what an account's tokens are made, besides what the record keeps.
#[derive(Debug, Clone, Copy)]
pub struct Mint<'a> {
    /// The store's secret.
    pub secret: &'a [u8; 16],
    /// Whose tokens.
    pub account: AccountId,
    /// The generation of the account's key: with a new one all tokens are void.
    pub generation: u32,
}

/// The devices that have tokens, the one seen last at the end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tokens(Vec<Device>);

/// The tokens of one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    #[serde(with = "base64_bytes")]
    client: [u8; 16],
    /// The one it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<Token>,
    /// The one it was given and has not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fresh: Option<Token>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Token {
    /// What makes it differ from all others.
    #[serde(with = "base64_bytes")]
    nonce: [u8; 16],
    mechanism: Mechanism,
    expires_unix_ms: u64,
    /// The highest count that came with it.
    #[serde(default)]
    count: u32,
}

/// As the record spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Mechanism {
    #[serde(rename = "HT-SHA-256-NONE")]
    Unbound,
    #[serde(rename = "HT-SHA-256-ENDP")]
    EndPoint,
    #[serde(rename = "HT-SHA-256-EXPR")]
    Exporter,
}

/// A client has proved that it has a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Proved {
    /// What proves us to the client.
    pub responder: [u8; PROOF_BYTES],
    /// Whether the record is to be saved.
    pub is_changed: bool,
    /// What is void from now on, if the client has given its tokens back. That may be said once it is saved; if it can't be,
    /// [`Tokens::put_back`].
    pub given_back: Option<Device>,
}

impl Tokens {
    /// Whether no client has any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks a proof. `None`: there is no such token, or it is another client's or mechanism's, or over, or the count
    /// has come before; which of these is not said.
    pub fn prove(&mut self, mint: Mint<'_>, proof: &TokenProof, unix_ms: u64) -> Option<Proved> {
        let place = self.0.iter().position(|device| device.client == proof.client.0)?;
        let device = &mut self.0[place];
        let responder =
            |token: &Option<Token>| token.as_ref().and_then(|token| token.check(mint, proof, unix_ms));
        let (is_fresh, responder) = match (responder(&device.fresh), responder(&device.current)) {
            (Some(responder), _) => (true, responder),
            (None, Some(responder)) => (false, responder),
            (None, None) => return None,
        };
        // Only that another one is void from now on has to be written: a fresh one is as good in either place.
        let mut is_changed = is_fresh && device.current.is_some();
        if is_fresh {
            device.current = device.fresh.take();
        }
        if let (Some(count), Some(token)) = (proof.token_use.count, &mut device.current) {
            token.count = count;
            is_changed = true;
        }
        let device = self.0.remove(place);
        let mut given_back = None;
        if proof.token_use.invalidate {
            // Whoever logs out means the one that is still on its way as well.
            is_changed = true;
            given_back = Some(device);
        } else {
            self.0.push(device);
        }
        Some(Proved { responder, is_changed, given_back })
    }

    /// What a client gave back could not be saved: it is as good as before, so that the client can do it again.
    pub(crate) fn put_back(&mut self, device: Device) {
        if self.0.len() < DEVICES_MAX && self.0.iter().all(|known| known.client != device.client) {
            self.0.push(device);
        }
    }

    /// Whether this is a token of a device, spelled out. For who can't prove it by SASL.
    pub(crate) fn holds(&self, mint: Mint<'_>, token: &str, unix_ms: u64) -> bool {
        let is_same = |device: &Device, kept: &Option<Token>| {
            kept.as_ref().is_some_and(|kept| {
                let is_equal = kept.text(mint, ClientId(device.client)).as_bytes().ct_eq(token.as_bytes());
                bool::from(is_equal) && kept.expires_unix_ms > unix_ms
            })
        };
        self.0.iter().any(|device| is_same(device, &device.current) || is_same(device, &device.fresh))
    }

    /// Whether the token that a client has come by is nearly over.
    pub fn is_renewal_due(&self, client: ClientId, unix_ms: u64) -> bool {
        let device = self.0.iter().find(|device| device.client == client.0);
        let current = device.and_then(|device| device.current.as_ref());
        current.is_some_and(|token| token.expires_unix_ms.saturating_sub(unix_ms) < RENEW_MS)
    }

    /// A new token for a client. One that it was given before and has not used is void; the one that it uses is good
    /// until it uses the new one.
    pub fn issue(
        &mut self,
        mint: Mint<'_>,
        client: ClientId,
        mechanism: TokenMechanism,
        unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> IssuedToken {
        self.drop_expired(unix_ms);
        let place = self.0.iter().position(|device| device.client == client.0);
        let mut device = match place {
            Some(place) => self.0.remove(place),
            None => Device { client: client.0, current: None, fresh: None },
        };
        if self.0.len() >= DEVICES_MAX {
            self.0.remove(0);
        }
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let expires_unix_ms = unix_ms + LIFE_MS;
        let fresh = Token { nonce, mechanism: mechanism.into(), expires_unix_ms, count: 0 };
        let token = fresh.text(mint, client);
        device.fresh = Some(fresh);
        self.0.reserve_exact(1);
        self.0.push(device);
        IssuedToken { token, expires_unix_ms }
    }

    fn drop_expired(&mut self, unix_ms: u64) {
        self.0.retain_mut(|device| {
            for token in [&mut device.current, &mut device.fresh] {
                token.take_if(|token| token.expires_unix_ms <= unix_ms);
            }
            device.current.is_some() || device.fresh.is_some()
        });
    }
}

impl Token {
    /// The token itself: 256 bits that are kept nowhere.
    fn text(&self, mint: Mint<'_>, client: ClientId) -> String {
        let mechanism = TokenMechanism::from(self.mechanism).name();
        let generation = mint.generation.to_be_bytes();
        let parts = [&b"chaski token\0"[..], &generation, &client.0, &self.nonce, mechanism.as_bytes()];
        URL_SAFE_NO_PAD.encode(mint.derive(&parts))
    }

    fn check(&self, mint: Mint<'_>, proof: &TokenProof, unix_ms: u64) -> Option<[u8; PROOF_BYTES]> {
        let token = self.text(mint, proof.client);
        let is_proved = token::is_same(&proof.proof, &token::initiator(&token, &proof.binding));
        let is_good = TokenMechanism::from(self.mechanism) == proof.mechanism
            && self.expires_unix_ms > unix_ms
            && proof.token_use.count.is_none_or(|count| count > self.count);
        (is_proved && is_good).then(|| token::responder(&token, &proof.binding))
    }
}

impl Mint<'_> {
    /// A device's part of its resource (XEP-0386 §3.2.1): the same each time, and nothing that its client said.
    pub fn resource(&self, client: ClientId) -> String {
        URL_SAFE_NO_PAD.encode(&self.derive(&[b"chaski resource\0", &client.0])[..RESOURCE_BYTES])
    }

    fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(self.secret).expect("HMAC takes keys of any length");
        let mac = mac.chain_update(self.account.to_bits().to_be_bytes());
        parts.iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().into()
    }
}

impl From<Mechanism> for TokenMechanism {
    fn from(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Unbound => Self::Unbound,
            Mechanism::EndPoint => Self::EndPoint,
            Mechanism::Exporter => Self::Exporter,
        }
    }
}

impl From<TokenMechanism> for Mechanism {
    fn from(mechanism: TokenMechanism) -> Self {
        match mechanism {
            TokenMechanism::Unbound => Self::Unbound,
            TokenMechanism::EndPoint => Self::EndPoint,
            TokenMechanism::Exporter => Self::Exporter,
        }
    }
}

#[cfg(test)]
mod tests;
