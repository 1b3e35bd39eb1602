//! What ends the chat: each text says what happened, why, and what to do.

use chaski_client::ClientError;
use chaski_client::registration::{HttpError, RegistrationError};
use chaski_client::trust::TrustError;
use std::io;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// What was typed on the command line can't be.
    #[error("{0}")]
    Usage(String),
    /// A file of ours.
    #[error("{what}: {source}")]
    File {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The terminal is gone.
    #[error("can't write to the terminal: {0}")]
    Output(#[from] io::Error),
    /// Nobody to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No registration.
    #[error("no registration: {error}{}", registration_advice(error))]
    Registration {
        /// Why.
        error: RegistrationError,
    },
    /// The input ended while we were asking.
    #[error("registration needs the code from the SMS, and the input has ended; start again and type it")]
    NoCode,
    /// No connection.
    #[error("{error}{}", connection_advice(error))]
    Connection {
        /// Why.
        error: ClientError,
    },
    /// The input ended and not everything could be sent.
    #[error("{0} messages were not accepted by the server and are lost; send them again later")]
    Unsent(usize),
}

impl From<ClientError> for ChatError {
    fn from(error: ClientError) -> Self {
        Self::Connection { error }
    }
}

impl From<RegistrationError> for ChatError {
    fn from(error: RegistrationError) -> Self {
        Self::Registration { error }
    }
}

const UNTRUSTED: &str = "; if the server uses its own development certificate, name its authority with --ca FILE (the server says at its start which file that is)";

fn registration_advice(error: &RegistrationError) -> String {
    match error {
        RegistrationError::Http(HttpError::Unreachable { .. }) => {
            "; is the server running? Another address can be named with --register-url URL".into()
        }
        RegistrationError::Http(HttpError::Tls { .. }) => UNTRUSTED.into(),
        RegistrationError::Refused { retry_after_s: Some(seconds), .. } => {
            format!("; try again in {seconds} s")
        }
        _ => String::new(),
    }
}

fn connection_advice(error: &ClientError) -> &'static str {
    match error {
        ClientError::Unreachable { .. } => {
            "; is the server running? Another can be named with --server HOST:PORT"
        }
        ClientError::Tls { .. } => UNTRUSTED,
        ClientError::NotLoopback(_) => "; leave out --tls none and --insecure for servers elsewhere",
        ClientError::Refused { condition, .. } if condition == "not-authorized" => {
            "; the key or password is not, or no longer, the right one. If the number was registered on another device \
             since, register it again with --register"
        }
        ClientError::Stream(error) if error.condition.name() == "host-unknown" => {
            "; the server serves another domain than the one in the address"
        }
        ClientError::Stream(error) if error.condition.name() == "conflict" => {
            "; the same account has connected from elsewhere in this one's place"
        }
        _ => "",
    }
}
