//! A command's failure: one line for the operator that says what is wrong and how to mend it.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure with this line.
    pub(crate) fn new(line: impl Display) -> Self {
        Self(line.to_string().replace('\n', " "))
    }

    /// Writes the line and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(std::io::stderr(), "chaski: {}", self.0);
        ExitCode::FAILURE
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}
