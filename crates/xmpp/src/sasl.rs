//! SASL as pure state machines: bytes in, [`server::Step`]s out (RFC 4422, 4616, 5802, 7677, 9266; RFC 6120 §6).
//!
//! Owns the mechanisms and nothing around them: neither the XML that carries the bytes (SASL of RFC 6120, SASL2)
//! nor the place where accounts are kept. Called by [`crate::stream`] for the server's side and by
//! [`crate::stream::client`] for our own client. Promises: no clock, no randomness (nonces are arguments), every
//! comparison of secrets takes constant time, and a user who does not exist can't be told from a wrong password.

pub mod base64;
pub mod client;
pub mod plain;
pub mod prep;
pub mod scram;
pub mod server;
pub mod token;

pub use scram::{Hash, Nonce, Salting, ScramSecret};

/// A mechanism that we speak. Ordered: the strongest is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// RFC 4616. Only ever inside TLS.
    Plain,
    /// RFC 5802.
    ScramSha1,
    /// RFC 5802 with channel binding.
    ScramSha1Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 7677 with channel binding.
    ScramSha256Plus,
}

impl Mechanism {
    /// All of them, the strongest first, as they are advertised.
    pub const ALL: [Self; 5] =
        [Self::ScramSha256Plus, Self::ScramSha256, Self::ScramSha1Plus, Self::ScramSha1, Self::Plain];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of a registered name, exactly as written.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// Whether it binds to the TLS channel.
    pub fn is_plus(self) -> bool {
        matches!(self, Self::ScramSha1Plus | Self::ScramSha256Plus)
    }

    /// The hash of a SCRAM mechanism; `None` for PLAIN.
    pub fn hash(self) -> Option<Hash> {
        match self {
            Self::Plain => None,
            Self::ScramSha1 | Self::ScramSha1Plus => Some(Hash::Sha1),
            Self::ScramSha256 | Self::ScramSha256Plus => Some(Hash::Sha256),
        }
    }
}

/// What the TLS connection offers to bind an authentication to.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ChannelBindings {
    /// RFC 9266: 32 bytes of `EXPORTER-Channel-Binding`. Only of TLS 1.3, or of 1.2 with extended master secret.
    pub tls_exporter: Option<[u8; 32]>,
    /// RFC 5929 §4: the hash of the server's certificate.
    pub tls_server_end_point: Option<Box<[u8]>>,
}

impl ChannelBindings {
    /// No TLS, or TLS that ends elsewhere: the -PLUS mechanisms are not offered.
    pub const NONE: Self = Self { tls_exporter: None, tls_server_end_point: None };

    /// Whether there is nothing to bind to.
    pub fn is_empty(&self) -> bool {
        self.types().next().is_none()
    }

    /// The names of the types that are there, best first (XEP-0440).
    pub fn types(&self) -> impl Iterator<Item = &'static str> + '_ {
        [client::TLS_EXPORTER, client::TLS_SERVER_END_POINT]
            .into_iter()
            .filter(|name| self.get(name).is_some())
    }

    /// The bytes of a type by its registered name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        match name {
            client::TLS_EXPORTER => self.tls_exporter.as_ref().map(|bytes| bytes.as_slice()),
            client::TLS_SERVER_END_POINT => self.tls_server_end_point.as_deref(),
            _ => None,
        }
    }
}

/// The exporter's bytes are as good as a session secret: they don't belong into logs.
impl std::fmt::Debug for ChannelBindings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.types()).finish()
    }
}

/// Why an authentication failed (RFC 6120 §6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The client gave up.
    #[error("aborted")]
    Aborted,
    /// The account is locked.
    #[error("account-disabled")]
    AccountDisabled,
    /// The key was right but is no longer valid.
    #[error("credentials-expired")]
    CredentialsExpired,
    /// Not base64.
    #[error("incorrect-encoding")]
    IncorrectEncoding,
    /// An authorization identity other than the account itself.
    #[error("invalid-authzid")]
    InvalidAuthzid,
    /// A mechanism that was not offered.
    #[error("invalid-mechanism")]
    InvalidMechanism,
    /// Against the mechanism's grammar or rules.
    #[error("malformed-request")]
    MalformedRequest,
    /// Wrong user or password: which of both is not said.
    #[error("not-authorized")]
    NotAuthorized,
    /// Our own trouble; the client may try again.
    #[error("temporary-auth-failure")]
    TemporaryAuthFailure,
}

impl Failure {
    /// The name of the condition's element.
    pub fn condition(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

/// A password on its way to being checked. Does not show itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub(crate) String);

impl Password {
    /// The text, already prepared (RFC 4013).
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests;
