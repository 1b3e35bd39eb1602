//! Why a run could not be done. (That a server failed a run is no error but the run's verdict.)

use chaski_client::ClientError;
use chaski_client::trust::TrustError;
use std::io;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Something with files or processes.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server did not do what it must for a run.
    #[error("{0}")]
    Server(String),
    /// A client could not do what it must for a run.
    #[error("{who}: {source}")]
    Client {
        /// Which client.
        who: String,
        /// Why.
        source: ClientError,
    },
    /// The certificate authority can't be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What was asked for makes no sense or is not allowed.
    #[error("{0}")]
    Refused(String),
}

impl BenchError {
    /// For `map_err`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For `map_err`.
    pub(crate) fn client(who: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let who = who.into();
        move |source| Self::Client { who, source }
    }
}
