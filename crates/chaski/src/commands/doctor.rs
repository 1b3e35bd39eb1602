//! `chaski doctor`: looks at the limits of this machine for a number of sessions, and says the command that mends each.
//!
//! Reads `/proc` and `/sys` and the data directory's file system; changes nothing. With `--url` it looks at the way from outside to files
//! instead ([`public`]), by a file of an account that is removed again. Exit code 0 if all is well.

mod checks;
mod machine;
mod public;

use crate::cli::Doctor;
use crate::failure::Failure;
use machine::Machine;
pub(super) use machine::open_files;
use serde::Serialize;
use std::io::Write;
use std::process::ExitCode;

/// What one look has found.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at.
    what: &'static str,
    /// Whether it is enough.
    ok: bool,
    /// What it is.
    found: String,
    /// What to run or do, if it is not enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn new(what: &'static str, ok: bool, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what, ok, found: found.into(), mend: (!ok).then(|| mend.into()) }
    }
}

#[expect(clippy::disallowed_methods, reason = "the machine's clock is one of the things looked at")]
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

pub(super) fn run(args: &Doctor) -> Result<ExitCode, Failure> {
    let config = args.source.load()?;
    let (title, findings) = match &args.url {
        Some(url) => (format!("Files through {url}:"), public::all(&config, url, args.ca.as_deref())?),
        None => (
            format!("This machine, for {} sessions:", args.sessions),
            checks::all(&Machine::this(), &config, args.sessions, unix_ms()),
        ),
    };
    let well = findings.iter().all(|finding| finding.ok);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&findings)?)?;
    } else {
        writeln!(out, "{title}")?;
        for finding in &findings {
            let mark = if finding.ok { "ok  " } else { "MEND" };
            writeln!(out, "{mark}  {:<22} {}", finding.what, finding.found)?;
            if let Some(mend) = &finding.mend {
                writeln!(out, "      {:<22} -> {mend}", "")?;
            }
        }
        let verdict = if well { "All is well." } else { "Mend what is marked, then look again." };
        writeln!(out, "{verdict}")?;
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
