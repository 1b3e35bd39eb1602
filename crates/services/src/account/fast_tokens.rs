//! The FAST tokens by which an account's devices log in with one message (XEP-0484), as the account's record keeps them.
//!
//! Called by the account's owner, which alone knows tokens and checks proofs of them. Promises: the record tells nothing about a
//! token without the realm's secret. A token is good for one account, key, client and mechanism. At most two tokens of a client
//! are good: the one that it uses, and one that it was given and has not used. At most [`DEVICES_MAX`] clients of an account have
//! tokens; the one that has been away longest makes room.

use super::credentials::base64_bytes;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chaski_store::AccountId;
use chaski_store::secrets::Secret;
use chaski_xmpp::sasl::token::{self, PROOF_BYTES, TokenMechanism};
use chaski_xmpp::stream::{ClientId, IssuedToken, TokenProof};
use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Most clients of an account with tokens.
pub const DEVICES_MAX: usize = 16;
/// How long a token is good.
pub const LIFE_MS: u64 = 21 * DAY_MS;
/// A client whose token expires sooner than this gets a new one when it logs in.
pub const RENEW_MS: u64 = 14 * DAY_MS;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Length of a device's part of a resource, before it is written as text.
const RESOURCE_BYTES: usize = 9;

/// What an account's tokens are derived from, in addition to what the record keeps.
#[derive(Debug, Clone, Copy)]
pub struct Mint<'a> {
    /// One of the realm's: the current for new tokens, each that is good for those that come.
    pub secret: &'a Secret,
    /// The account that the tokens are for.
    pub account: AccountId,
    /// The generation of the account's key: with a new one all tokens are void.
    pub generation: u32,
}

/// The clients that have tokens; the one seen last is at the end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tokens(Vec<Device>);

/// The tokens of one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    #[serde(with = "base64_bytes")]
    client: [u8; 16],
    /// The token that the client uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<Token>,
    /// The token that the client was given and has not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fresh: Option<Token>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Token {
    /// The random part, by which tokens differ.
    #[serde(with = "base64_bytes")]
    nonce: [u8; 16],
    mechanism: Mechanism,
    expires_unix_ms: u64,
    /// The highest count (replay protection) that came with the token.
    #[serde(default)]
    count: u32,
}

/// The mechanism as the record spells it.
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
    /// The server's proof to the client that it knows the token, too.
    pub responder: [u8; PROOF_BYTES],
    /// Whether the record is to be saved.
    pub is_changed: bool,
    /// The tokens that the client has given back. The client may be told so when the record is saved; if that fails, see
    /// [`Tokens::put_back`].
    pub given_back: Option<Device>,
}

impl Tokens {
    /// Whether no client has a token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the proof of a token. `None`: there is no such token, or it is another client's or mechanism's, or expired, or its
    /// count was used before; the client is not told which.
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
        // The record has to be written only because the client's earlier token is void now. The fresh token is as good in either
        // place.
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
            // A client that logs out gives back the token that it has not used yet, too.
            is_changed = true;
            given_back = Some(device);
        } else {
            self.0.push(device);
        }
        Some(Proved { responder, is_changed, given_back })
    }

    /// The record without the tokens that a client gave back could not be saved: they are good again, so that the client can give
    /// them back again.
    pub(crate) fn put_back(&mut self, device: Device) {
        if self.0.len() < DEVICES_MAX && self.0.iter().all(|known| known.client != device.client) {
            self.0.push(device);
        }
    }

    /// Whether a device has this token, spelled out. For a client that can't prove the token by SASL.
    pub(crate) fn holds(&self, mint: Mint<'_>, token: &str, unix_ms: u64) -> bool {
        let is_same = |device: &Device, kept: &Option<Token>| {
            kept.as_ref().is_some_and(|kept| {
                let is_equal = kept.text(mint, ClientId(device.client)).as_bytes().ct_eq(token.as_bytes());
                bool::from(is_equal) && kept.expires_unix_ms > unix_ms
            })
        };
        self.0.iter().any(|device| is_same(device, &device.current) || is_same(device, &device.fresh))
    }

    /// Whether the token with which this client logs in expires soon.
    pub fn is_renewal_due(&self, client: ClientId, unix_ms: u64) -> bool {
        let device = self.0.iter().find(|device| device.client == client.0);
        let current = device.and_then(|device| device.current.as_ref());
        current.is_some_and(|token| token.expires_unix_ms.saturating_sub(unix_ms) < RENEW_MS)
    }

    /// Issues a new token to a client. An earlier token that the client has not used becomes void; the one that it uses is good
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
    /// The token itself: 256 bits that are derived and stored nowhere.
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
    fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        derive(self.secret, self.account, parts)
    }
}

/// The device's part of its resource (XEP-0386 §3.2.1): the same each time under the realm's root, and no text that its client has chosen.
pub fn resource(root: &Secret, account: AccountId, client: ClientId) -> String {
    URL_SAFE_NO_PAD.encode(&derive(root, account, &[b"chaski resource\0", &client.0])[..RESOURCE_BYTES])
}

fn derive(secret: &Secret, account: AccountId, parts: &[&[u8]]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    let mac = mac.chain_update(account.to_bits().to_be_bytes());
    parts.iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().into()
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
