//! `chaski bench …` as clap sees it.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Answer in JSON, for programs; no progress
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Kill a server of its own at random moments under load; no accepted message may be lost
    Crash(Crash),
}

#[derive(Debug, Args)]
pub(crate) struct Crash {
    /// An empty directory, or one of an earlier run, for the server and its log
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// How many times to kill
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) kills: u32,
    /// Repeats the random choices of an earlier run
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many clients, each of which sends and receives
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) peers: usize,
    /// Messages per second and client
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) rate: u32,
    /// Longest life of a server that is ready
    #[arg(long, value_name = "MS", default_value_t = 1_500)]
    pub(crate) uptime_ms: u64,
    /// The server's program, if it is not this one
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
}
