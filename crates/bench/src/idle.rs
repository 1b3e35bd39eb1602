//! Sessions that do nothing: what each costs the server in memory.

use crate::error::BenchError;
use crate::load::{self, Load, LoadServer};
use serde::Serialize;
use std::time::Duration;

/// The server's buffers of the logins are given back by then.
const SETTLE: Duration = Duration::from_secs(3);
/// Sessions that are logged in and out before the measurement, so that what is there once is not counted.
const WARM_UP_SESSIONS: usize = 50;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where, and with which accounts.
    pub load: Load,
    /// How many sessions.
    pub sessions: usize,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How many sessions.
    pub sessions: usize,
    /// Whether over TLS.
    pub tls: bool,
    /// The server's resident memory before.
    pub server_resident_bytes_before: u64,
    /// With all sessions.
    pub server_resident_bytes: u64,
    /// The difference, for each.
    pub resident_bytes_per_session: f64,
    /// Logins per second.
    pub logins_per_s: f64,
    /// The server's CPU time for each login.
    pub server_cpu_us_per_login: f64,
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    if options.sessions == 0 {
        return Err(BenchError::Refused("--sessions must not be 0".into()));
    }
    load::check_open_files(options.sessions as u64)?;
    let server = LoadServer::start(&options.load, options.sessions).await?;
    let known = || {
        BenchError::Refused(
            "the server's process is not known, so its memory can't be read; name it with --pid".into(),
        )
    };
    let quiet = Load { quiet: true, ..options.load.clone() };
    let warm = load::log_in(&quiet, &server.target, WARM_UP_SESSIONS.min(options.sessions)).await?;
    load::log_out(warm).await;
    tokio::time::sleep(SETTLE).await;
    let before = server.usage().ok_or_else(known)?;
    let started = tokio::time::Instant::now();
    let sessions = load::log_in(&options.load, &server.target, options.sessions).await?;
    let seconds = started.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let after = server.usage().ok_or_else(known)?;
    drop(sessions);
    server.stop().await?;
    let count = options.sessions as f64;
    let grown = after.resident_bytes.saturating_sub(before.resident_bytes);
    Ok(Report {
        sessions: options.sessions,
        tls: options.load.tls,
        server_resident_bytes_before: before.resident_bytes,
        server_resident_bytes: after.resident_bytes,
        resident_bytes_per_session: grown as f64 / count,
        logins_per_s: count / seconds,
        server_cpu_us_per_login: after.cpu.saturating_sub(before.cpu).as_micros() as f64 / count,
    })
}
