//! The command line as clap sees it. Nothing happens here.

use chaski_server::config::{Config, ConfigError, Overrides};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

pub(crate) mod bench;
pub(crate) mod chat;

/// A messaging server in which the account is a phone number.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server; without a file, for development on this machine
    Serve(Serve),
    /// Accounts, sessions and repairs, for operators
    Ctl(Ctl),
    /// Look at this machine's limits and say what to mend
    Doctor(Doctor),
    /// Chat from this terminal as +NUMBER, which is registered first if need be
    Chat(chat::Chat),
    /// See two people converse on a server of their own, then be one of them; nothing is left of it
    Demo(Demo),
    /// Load a server on this machine, kill it, measure it
    Bench(bench::Bench),
    /// Decode pictures for the server, which starts this itself
    #[command(hide = true, name = chaski_media::thumbnail::worker::COMMAND)]
    ThumbnailWorker,
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Source {
    /// The configuration file (`chaski serve --print-config` writes one)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory, instead of the file's
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The domain, instead of the file's
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Option<String>,
}

impl Source {
    /// Reads and checks it.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        let overrides = Overrides { data: self.data.clone(), domain: self.domain.clone() };
        Config::load(self.config.as_deref(), &overrides)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Write the complete configuration file with its defaults to stdout, and stop
    #[arg(long)]
    pub(crate) print_config: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Without pauses for reading
    #[arg(long)]
    pub(crate) quick: bool,
    /// Take lines from the standard input although it is no terminal
    #[arg(long)]
    pub(crate) keyboard: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ctl {
    /// The server's configuration file
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The server's data directory, instead of the file's
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// The server's domain, instead of the file's
    #[arg(long, value_name = "NAME", global = true)]
    domain: Option<String>,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: CtlCommand,
}

impl Ctl {
    /// Where the configuration is.
    pub(crate) fn source(&self) -> Source {
        Source { config: self.config.clone(), data: self.data.clone(), domain: self.domain.clone() }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    /// Make, import, show and remove accounts
    #[command(subcommand)]
    Account(Account),
    /// List and end sessions
    #[command(subcommand)]
    Session(Session),
    /// Show live what the server does for an account, until Ctrl-C: no content, and nobody else's number
    Trace {
        /// +15551234567 or the name of a service account
        name: String,
        /// End after so many seconds
        #[arg(long, value_name = "SECONDS")]
        seconds: Option<u64>,
    },
    /// Show what the server has in memory of an account or of a shard
    #[command(subcommand)]
    Dump(Dump),
    /// Show what users have reported of others
    #[command(subcommand)]
    Report(Report),
    /// Look after the files that people have sent each other
    #[command(subcommand)]
    Media(MediaArgs),
    /// Show what the machine's clock says and what is believed, or accept a jump of it. Works without a running server too
    Clock {
        #[command(subcommand)]
        command: Option<Clock>,
    },
    /// Recover every intact message of a damaged journal; the server must not run
    Salvage,
    /// Replace a secret of a data directory; the server must not run
    Secret {
        #[command(subcommand)]
        command: Secret,
    },
    /// Take a data directory to an older version of chaski; the server must not run
    Migrate {
        #[command(subcommand)]
        command: Migrate,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// What clients' tokens, tickets and message ids are made from. What they hold is good for 30 days more
    Replace {
        /// Somebody knows it: what clients hold is void at once, and each logs in once with its key or password
        #[arg(long)]
        forget: bool,
    },
    /// What the journal and the messages on disk are sealed with. Needs room for a second copy of what waits
    ReplaceDirectory,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Migrate {
    /// Bring it back to what the version before this one opens. A newer one takes it over again at its next start
    Back,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dump {
    /// Sessions, what is being written, what waits
    Account {
        /// +15551234567 or the name of a service account
        name: String,
    },
    /// Accounts, queues, links
    Shard {
        /// From 0; the logs and `dump account` name it
        shard: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MediaArgs {
    /// Compare the index with the files, while the server runs; fails if a row has no file, a file no row, or one has a wrong length
    Check,
    /// Count files, bytes and references in each backend, what is unfinished, blocked and about to go, and thumbnails
    Stat,
    /// The file behind a URL is not there any more, from now on. The same content may be there under other URLs: see `block`
    Remove {
        /// As it is in a report, or as a client shows it
        url: String,
    },
    /// A content is not to be here: it is served under no URL any more, deleted, and refused when somebody uploads it again
    Block {
        /// A URL that leads to it, or its SHA-256 in hexadecimal digits
        #[arg(value_name = "URL|HASH")]
        what: String,
        /// Why, for those who read the list later
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// A content may be uploaded again; what was deleted does not come back
    Unblock {
        /// Its SHA-256 in hexadecimal digits
        hash: String,
    },
    /// List what is blocked: since when and why
    Blocked,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Make an account, or give it another key, which ends its sessions. Works without a running server too
    Add(AccountAdd),
    /// Make accounts from lines of `+number,key`. Works without a running server too
    Import(AccountImport),
    /// Show an account
    Show {
        /// `+number` or a service account's name
        name: String,
    },
    /// Remove an account, its roster and its waiting messages
    Remove {
        /// `+number` or a service account's name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AccountAdd {
    /// `+number`, or a name for a service account
    pub(crate) name: String,
    /// A long random key of at least 16 bytes. Without --key and --password one is made and shown
    #[arg(long, conflicts_with = "password")]
    pub(crate) key: Option<String>,
    /// A password that a person has chosen (stored with a slow hash); "-" reads it from stdin
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// SCRAM iterations. Any other number than the default, 15000, tells strangers that there is such an account
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) iterations: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct AccountImport {
    /// The file, "-" for stdin. Empty lines and lines that begin with # are skipped
    pub(crate) file: PathBuf,
    /// SCRAM iterations. Fewer are quicker, and no weaker for keys of 128 random bits and more, but tell strangers which accounts
    /// there are; some clients insist on 4096
    #[arg(long, value_name = "N", default_value_t = chaski_services::account::credentials::ITERATIONS, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) iterations: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// The sessions of an account, or of all
    List {
        /// `+number` or a service account's name
        name: Option<String>,
    },
    /// End an account's sessions; its clients may log in again
    Kick {
        /// `+number` or a service account's name; with `@domain/resource` one session
        name: String,
        /// Only the session with this resource
        #[arg(long)]
        resource: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Report {
    /// All reports that are kept, oldest first: the last of each user. Works without a running server too
    List {
        /// Only those about this `+number` or JID
        about: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Clock {
    /// Show it
    Show,
    /// The machine's clock is right: believe its jump now. After a long stop, what has waited for too long is deleted then
    Accept,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Put and get a file through this public URL of the running server instead, and say what a proxy breaks
    #[arg(long, value_name = "URL", conflicts_with = "sessions")]
    pub(crate) url: Option<String>,
    /// The authority whose certificate to trust there, instead of the system's
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) ca: Option<PathBuf>,
    /// How many clients shall be connected at once
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub(crate) sessions: u64,
    /// Answer in JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ctl_flags_stand_anywhere() {
        for words in [
            "chaski ctl --data /x account show +15551230001 --json",
            "chaski ctl account show +15551230001 --json --data /x",
        ] {
            let cli = Cli::try_parse_from(words.split(' ')).unwrap();
            let Command::Ctl(ctl) = cli.command else { panic!("not ctl") };
            assert!(ctl.json && ctl.source().data == Some("/x".into()));
        }
    }
}
