//! Why a connection could not be made or has ended.

use chaski_xmpp::sasl;
use chaski_xmpp::stream::client::StreamError;
use std::io;

/// See the module. The text says what happened; [`ClientError::is_final`] whether trying again is of use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or there is no such host.
    #[error("can't reach {server}: {source}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// What the system says.
        source: io::Error,
    },
    /// The TLS handshake failed, most often because the certificate is not trusted.
    #[error("no secure connection to {server}: {source}")]
    Tls {
        /// Host and port.
        server: String,
        /// What rustls says.
        source: io::Error,
    },
    /// Without TLS, or with unchecked certificates, we only talk to this machine.
    #[error("an unprotected connection is only allowed to this machine, and {0} is not")]
    NotLoopback(String),
    /// The server can't do what we insist on.
    #[error("the server does not offer {0}")]
    NotOffered(&'static str),
    /// SASL's failure (RFC 6120 §6.5).
    #[error("the server refused the login: {condition}{}", text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// The condition's name.
        condition: String,
        /// What it says about it.
        text: Option<String>,
    },
    /// SASL on our side.
    #[error("login failed: {0}")]
    Sasl(#[from] sasl::client::ClientError),
    /// The server refused to bind.
    #[error("the server gave no session: {0}")]
    NotBound(String),
    /// The server ended the stream with an error.
    #[error("the server ended the connection: {}{}", .0.condition.name(), .0.text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Stream(StreamError),
    /// The server ended the stream.
    #[error("the server closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(#[from] io::Error),
    /// What came is no XMPP.
    #[error("the server sent what is no XMPP: {0}")]
    Protocol(&'static str),
    /// Connecting and logging in took too long.
    #[error("the server did not answer in time")]
    TimedOut,
    /// There is no connection.
    #[error("not connected")]
    NotConnected,
    /// More is waiting to be accepted than we keep.
    #[error("too many messages wait to be accepted by the server")]
    QueueFull,
}

impl ClientError {
    /// Whether the same attempt would fail again until a person changes something.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Refused { condition, .. } => condition != "temporary-auth-failure",
            Self::NotLoopback(_) | Self::NotOffered(_) | Self::Sasl(_) => true,
            Self::Tls { source, .. } => source.kind() == io::ErrorKind::InvalidData,
            Self::Stream(error) => matches!(error.condition.name(), "host-unknown" | "conflict"),
            _ => false,
        }
    }
}
