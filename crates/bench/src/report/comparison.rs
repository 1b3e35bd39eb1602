//! What `bench/compare` collects: the same loads on several servers, one after the other on one machine.
//!
//! Fields are only ever added and have defaults, as in [`crate::result`].

use crate::result::Report;
use serde::{Deserialize, Serialize};

/// A file of results.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Several servers.
    Comparison(Comparison),
    /// One run, with the file's name.
    Run(String, Box<Report>),
}

/// Several servers under the same loads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// A word for file names.
    pub name: String,
    /// When, as `2026-01-31 12:00 UTC`.
    pub taken_at: String,
    /// Whether it was the version of minutes, whose figures are rougher.
    pub is_short: bool,
    /// Where.
    pub machine: Machine,
    /// In the order in which they are to be shown.
    pub servers: Vec<Server>,
    /// All that ran.
    pub runs: Vec<Run>,
    /// What did not run, in words.
    pub complaints: Vec<String>,
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// How many processors.
    pub cores: u64,
    /// Its memory.
    pub memory_bytes: u64,
    /// The kernel's name and version.
    pub kernel: String,
    /// The distribution's.
    pub system: String,
}

/// A server, or one way of using it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// A word: `floor`, `floor-acks`, `chaski`, `chaski-no-acks`, `ejabberd`, `prosody`.
    pub name: String,
    /// What people read.
    pub title: String,
    /// Its version.
    pub version: String,
    /// What matters of its configuration.
    pub settings: String,
}

/// One load on one server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// A word: `idle-plain`, `idle-tls`, `pairs-4`, `pairs-1`, `open`, `half`.
    pub load: String,
    /// What people read.
    pub title: String,
    /// [`Server::name`].
    pub server: String,
    /// What came out.
    pub report: Report,
}

impl Input {
    /// Reads one file's text.
    pub fn parse(name: &str, text: &str) -> Result<Self, serde_json::Error> {
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
        let value = serde_json::Value::Object(value);
        if value.get("runs").is_some() {
            return serde_json::from_value(value).map(Self::Comparison);
        }
        serde_json::from_value(value).map(|report| Self::Run(name.to_owned(), Box::new(report)))
    }
}

impl Comparison {
    /// What came of a load on a server.
    pub fn report(&self, load: &str, server: &str) -> Option<&Report> {
        let run = self.runs.iter().find(|run| run.load == load && run.server == server)?;
        Some(&run.report)
    }

    /// What people read of a load.
    pub fn load_title(&self, load: &str) -> Option<&str> {
        Some(self.runs.iter().find(|run| run.load == load)?.title.as_str())
    }
}
