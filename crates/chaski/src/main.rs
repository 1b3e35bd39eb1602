//! The one binary: `chaski serve`, `ctl`, `doctor` and their like.
//!
//! Owns the command line and the composition of the other crates. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod cli;
mod commands;
mod failure;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
