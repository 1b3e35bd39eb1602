//! The terminal client: `chaski chat +NUMBER`. Line mode, for people and for scripts.
//!
//! [`run`] is everything: finds or registers the account ([`account`], [`register`]), then talks ([`session`]). What
//! a typed line means is in [`line`](mod@line), what is shown in [`show`], which mark a sent message has in [`outbox`], who is in the phone book
//! in [`people`], what files are sent and fetched in [`files`].
//! Called by: the binary. Calls `chaski-client`.

use std::io::{self, Write};
use std::path::PathBuf;

pub mod account;
pub mod files;
pub mod input;
pub mod line;
pub mod outbox;
pub mod people;
pub mod place;
pub mod register;
pub mod session;
pub mod show;

mod failure;

pub use failure::ChatError;
pub use input::Input;

/// How the connection is protected, if it is not to be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// STARTTLS.
    Starttls,
    /// TLS from the first byte.
    Direct,
    /// None, to this machine only.
    None,
}

/// What was asked for on the command line.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `+NUMBER`, or `user@domain` with a password.
    pub account: String,
    /// `HOST[:PORT]`.
    pub server: Option<String>,
    /// How it is protected.
    pub tls: Option<Tls>,
    /// Where to register.
    pub register_url: Option<String>,
    /// Whose certificates to trust.
    pub ca: Option<PathBuf>,
    /// Trust anybody on this machine.
    pub insecure: bool,
    /// Where keys are kept.
    pub data: Option<PathBuf>,
    /// A file with the password of an account that exists.
    pub password_file: Option<PathBuf>,
    /// Register again although there is a key.
    pub register: bool,
    /// Where fetched files go.
    pub downloads: PathBuf,
    /// How lines are shown.
    pub style: show::Style,
}

/// Where lines for the user go.
pub type Output = Box<dyn Write + Send>;

/// Chats until the user or the end of the input ends it.
pub async fn run(options: &Options, mut input: Input, out: Output) -> Result<(), ChatError> {
    let mut out: Output = Box::new(files::bar::Screen::new(out));
    let account = account::find(options, &mut input, &mut out).await?;
    session::Session::new(account, options, input, out).run().await
}

/// Draws over the line at once.
pub(crate) fn draw(out: &mut Output, line: &str) -> io::Result<()> {
    out.write_all(files::bar::drawn(line).as_bytes())?;
    out.flush()
}

/// Writes one line at once: the reader may be a program.
pub(crate) fn say(out: &mut Output, line: &str) -> io::Result<()> {
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
