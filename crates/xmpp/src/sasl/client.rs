//! The client's side of SCRAM and PLAIN, for our own client, the load generator and tests (RFC 5802 §5, RFC 4616).

use super::scram::{ClientFinal, ClientKeys, Hash, Nonce, ServerFirst, write_saslname};
use super::{ChannelBindings, Mechanism, base64, plain, prep};
use std::fmt;
use subtle::ConstantTimeEq;

/// RFC 9266.
pub const TLS_EXPORTER: &str = "tls-exporter";
/// RFC 5929 §4.
pub const TLS_SERVER_END_POINT: &str = "tls-server-end-point";

/// More rounds than this nobody asks for in good faith: a server could stall us with them.
const ITERATIONS_MAX: u32 = 1_000_000;

/// What is said about channel binding (RFC 5802 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// We can't.
    Unsupported,
    /// We could, but the server does not offer it. If it did, somebody in between has removed the offer.
    NotOffered,
    /// Bound to this type and data.
    Bound {
        /// The type's registered name.
        name: &'static str,
        /// The data.
        data: Vec<u8>,
    },
}

/// Who we are.
#[derive(Clone)]
pub struct Credentials {
    /// The account's local part.
    pub username: String,
    /// Its key or password.
    pub password: String,
    /// Whom to act as; none for the account itself.
    pub authzid: Option<String>,
}

/// Does not show the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why the client stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Our own name or password holds what SASLprep forbids.
    #[error("the user name or password holds characters that are not allowed")]
    BadCredentials,
    /// A binding was given to a mechanism without one, or none to a -PLUS mechanism.
    #[error("the channel binding does not fit the mechanism")]
    BadBinding,
    /// The server's message is against the grammar, or comes out of turn.
    #[error("the server's SASL message is malformed")]
    Malformed,
    /// The server's nonce does not begin with ours: somebody replays an old exchange.
    #[error("the server's nonce does not extend ours")]
    WrongNonce,
    /// Too many iterations.
    #[error("the server asks for {0} iterations")]
    TooExpensive(u32),
    /// The server does not know our key: it is an impostor.
    #[error("the server could not prove itself")]
    ServerNotProved,
}

/// Picks the strongest of what is offered. `offered_types` are XEP-0440's, `None` if the server does not say. PLAIN
/// is picked only with `allow_plain`.
pub fn choose(
    offered: &[Mechanism],
    offered_types: Option<&[String]>,
    bindings: &ChannelBindings,
    allow_plain: bool,
) -> Option<(Mechanism, Binding)> {
    let common = |name: &&str| offered_types.is_none_or(|types| types.iter().any(|offered| offered == name));
    let bound = bindings.types().find(common).and_then(|name| {
        let data = bindings.get(name)?.to_vec();
        Some(Binding::Bound { name, data })
    });
    let plus_offered = offered.iter().any(|mechanism| mechanism.is_plus());
    Mechanism::ALL.into_iter().filter(|mechanism| offered.contains(mechanism)).find_map(|mechanism| {
        let binding = match mechanism {
            Mechanism::Plain => allow_plain.then_some(Binding::Unsupported)?,
            _ if mechanism.is_plus() => bound.clone()?,
            _ if !bindings.is_empty() && !plus_offered => Binding::NotOffered,
            _ => Binding::Unsupported,
        };
        Some((mechanism, binding))
    })
}

/// An authentication under way.
#[derive(Debug)]
pub struct Exchange(State);

enum State {
    Plain,
    First { hash: Hash, gs2: Vec<u8>, bare: String, nonce: String, password: String },
    Final { server_signature: Vec<u8> },
    Proved,
}

/// Shows neither password nor signatures.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::First { .. } => "First",
            Self::Final { .. } => "Final",
            Self::Proved => "Proved",
        })
    }
}

impl Exchange {
    /// Begins; also returns the initial response.
    pub fn start(
        mechanism: Mechanism,
        credentials: &Credentials,
        binding: Binding,
        nonce: Nonce,
    ) -> Result<(Self, Vec<u8>), ClientError> {
        let prepared = |text| prep::saslprep(text).ok_or(ClientError::BadCredentials);
        let username = prepared(&credentials.username)?;
        let password = prepared(&credentials.password)?;
        let authzid = credentials.authzid.as_deref();
        let Some(hash) = mechanism.hash() else {
            return Ok((Self(State::Plain), plain::write(authzid, &username, &password)));
        };
        let (flag, data) = match (binding, mechanism.is_plus()) {
            (Binding::Unsupported, false) => ("n".to_owned(), Vec::new()),
            (Binding::NotOffered, false) => ("y".to_owned(), Vec::new()),
            (Binding::Bound { name, data }, true) => (format!("p={name}"), data),
            _ => return Err(ClientError::BadBinding),
        };
        let authzid = authzid.map(|authzid| format!("a={}", write_saslname(authzid))).unwrap_or_default();
        let header = format!("{flag},{authzid},");
        let bare = format!("n={},r={}", write_saslname(&username), nonce.as_str());
        let initial = format!("{header}{bare}").into_bytes();
        let gs2 = [header.into_bytes(), data].concat();
        let nonce = nonce.as_str().to_owned();
        Ok((Self(State::First { hash, gs2, bare, nonce, password: password.into_owned() }), initial))
    }

    /// Answers a challenge. (RFC 6120 §6.4.6 lets a server send its signature as a last challenge: the answer is then
    /// empty.)
    pub fn challenge(&mut self, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        match std::mem::replace(&mut self.0, State::Plain) {
            State::First { hash, gs2, bare, nonce, password } => {
                let first = ServerFirst::parse(data).ok_or(ClientError::Malformed)?;
                if !first.nonce.starts_with(&nonce) || first.nonce.len() == nonce.len() {
                    return Err(ClientError::WrongNonce);
                }
                if first.iterations > ITERATIONS_MAX {
                    return Err(ClientError::TooExpensive(first.iterations));
                }
                let keys = ClientKeys::derive(hash, &password, &first.salt, first.iterations);
                let without_proof = ClientFinal::write_without_proof(&gs2, first.nonce);
                let server_first = std::str::from_utf8(data).map_err(|_| ClientError::Malformed)?;
                let auth_message = format!("{bare},{server_first},{without_proof}");
                let proof = base64::encode_field(&keys.proof(auth_message.as_bytes()));
                self.0 = State::Final { server_signature: keys.server_signature(auth_message.as_bytes()) };
                Ok(format!("{without_proof},p={proof}").into_bytes())
            }
            State::Final { server_signature } => {
                check_signature(&server_signature, data)?;
                self.0 = State::Proved;
                Ok(Vec::new())
            }
            State::Plain | State::Proved => Err(ClientError::Malformed),
        }
    }

    /// The server says that we are in: with SCRAM it must have proved itself.
    pub fn success(self, data: &[u8]) -> Result<(), ClientError> {
        match self.0 {
            State::Final { server_signature } => check_signature(&server_signature, data),
            State::Plain | State::Proved if data.is_empty() => Ok(()),
            State::Plain | State::Proved => Err(ClientError::Malformed),
            State::First { .. } => Err(ClientError::ServerNotProved),
        }
    }
}

fn check_signature(expected: &[u8], data: &[u8]) -> Result<(), ClientError> {
    let text = std::str::from_utf8(data).ok().and_then(|text| text.strip_prefix("v="));
    let signature =
        text.map(|text| text.split(',').next().unwrap_or_default()).and_then(base64::decode_field);
    let proved = signature.is_some_and(|signature| signature.ct_eq(expected).into());
    proved.then_some(()).ok_or(ClientError::ServerNotProved)
}
