//! `chaski chat …` as clap sees it.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// Your number, e.g. +15550100001; with --password-file also user@domain
    #[arg(value_name = "+NUMBER")]
    pub(crate) account: String,
    /// The server; without it, where the account was registered, or this machine
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) server: Option<String>,
    /// How the connection is protected, if the port does not say
    #[arg(long, value_enum)]
    pub(crate) tls: Option<ChatTls>,
    /// Where to register the number
    #[arg(long, value_name = "URL")]
    pub(crate) register_url: Option<String>,
    /// The authority whose certificates to trust, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Trust any certificate, on this machine only
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,
    /// Where keys are kept, instead of ~/.local/share/chaski
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A file with the password of an account that exists, on any XMPP server; nothing is registered
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Where fetched files go, instead of the current directory
    #[arg(long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub(crate) downloads: PathBuf,
    /// Register again, although there is a key: other devices of this number are logged out
    #[arg(long, conflicts_with = "password_file")]
    pub(crate) register: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ChatTls {
    /// From the first byte (usually port 5223)
    Direct,
    /// After STARTTLS (usually port 5222)
    Starttls,
    /// None: a listener behind a TLS terminator, on this machine only
    None,
}
