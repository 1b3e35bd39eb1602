//! Who carries out a request: the server through its admin socket, or this process on a directory that no server uses.

use crate::failure::Failure;
use chaski_server::admin::client::{AdminClient, ClientError};
use chaski_server::admin::desk::Desk;
use chaski_server::admin::protocol::{Answer, Reply, Request};
use chaski_server::config::Config;
use chaski_services::account::credentials::Salting;
use chaski_services::owner::dispatch;
use chaski_store::Engine;
use chaski_store::embedded::{self, EmbeddedEngine};
use std::io::Write;

/// See the module.
pub(super) enum Backend {
    /// The running server.
    Server(Box<AdminClient>),
    /// The directory itself.
    Directory(Box<Directory>),
}

/// A data directory, locked by us for as long as this lives.
pub(super) struct Directory {
    engine: EmbeddedEngine,
    desk: Desk,
}

impl Backend {
    pub(super) fn server(config: &Config) -> Result<Self, Failure> {
        Ok(Self::Server(Box::new(AdminClient::connect(&config.data)?)))
    }

    /// The server if one runs, else the directory, which is made if `create`.
    pub(super) fn any(config: &Config, create: bool) -> Result<Self, Failure> {
        let socket = match AdminClient::connect(&config.data) {
            Ok(client) => return Ok(Self::Server(Box::new(client))),
            Err(ClientError::NotRunning(socket)) => socket,
            Err(error) => return Err(error.into()),
        };
        if !create && !config.data.is_dir() {
            return Err(ClientError::NotRunning(socket).into());
        }
        let options = embedded::Options { own_tables: dispatch::TABLES, ..embedded::Options::default() };
        let engine = embedded::open(&config.data, options)?;
        let salting = Salting::of_server(&engine.secrets().root);
        let desk = Desk::new(engine.records(), None, (&config.domain, salting), engine.time());
        let data = config.data.display();
        let _ = writeln!(std::io::stderr(), "chaski: no server is running; working on {data} directly");
        Ok(Self::Directory(Box::new(Directory { engine, desk })))
    }

    pub(super) fn call(&mut self, request: Request) -> Result<Reply, Failure> {
        match self {
            Self::Server(client) => Ok(client.call(&request)?),
            Self::Directory(directory) => match directory.desk.answer(request) {
                Answer::Ok(reply) => Ok(reply),
                Answer::Error { text, .. } => Err(Failure::new(text)),
            },
        }
    }

    /// From which the accounts' salts are made.
    pub(super) fn salting(&mut self) -> Result<Salting, Failure> {
        match self.call(Request::Salting)? {
            Reply::Salting { bytes } => Ok(Salting(bytes)),
            other => Err(unexpected(&other)),
        }
    }

    /// The domain of the accounts: the server's own, which may differ from what this command was told.
    pub(super) fn domain(&mut self, config: &Config) -> String {
        match self.call(Request::Status) {
            Ok(Reply::Status { domain, .. }) => domain,
            _ => config.domain.clone(),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.engine.close();
    }
}

/// What came instead of the answer that the request has.
pub(super) fn unexpected(reply: &Reply) -> Failure {
    Failure::new(format_args!("the server gave an answer that this program does not understand: {reply:?}"))
}
