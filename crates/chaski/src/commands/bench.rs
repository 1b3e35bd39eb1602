//! `chaski bench`: load and faults for a server on this machine, and what came of it.

use crate::cli::bench::{Bench, BenchCommand, Crash};
use crate::failure::Failure;
use chaski_bench::crash;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

pub(super) fn run(args: &Bench) -> Result<ExitCode, Failure> {
    super::serve::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match &args.command {
            BenchCommand::Crash(crash) => run_crash(args, crash).await,
        }
    })
}

async fn run_crash(args: &Bench, crash: &Crash) -> Result<ExitCode, Failure> {
    let seed = crash.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let options = crash::Options {
        binary: binary(crash.binary.as_ref())?,
        dir: crash.data.clone(),
        kills: crash.kills,
        seed,
        peers: crash.peers,
        rate: crash.rate,
        uptime_ms_max: crash.uptime_ms,
        quiet: args.json,
    };
    if !args.json {
        writeln!(
            std::io::stderr(),
            "seed {seed}; the server's log is {}",
            crash.data.join("server.log").display()
        )?;
    }
    let report = crash::run(&options).await?;
    let mut lines = vec![format!("{} kills, seed {}: {}", report.kills, report.seed, report.totals)];
    lines.extend(report.violations.iter().map(|violation| format!("VIOLATION  {violation}")));
    lines.push(match report.violations_total {
        0 => "Passed: everything that was accepted was delivered, once in order; duplicates only with an equal stanza-id.".into(),
        count => format!("FAILED: {count} violations."),
    });
    say(args, &report, &lines)?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The server's program: this one, unless another is named.
fn binary(named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match named {
        Some(path) => Ok(path.clone()),
        None => Ok(std::env::current_exe()?),
    }
}

fn say(args: &Bench, report: &impl Serialize, lines: &[String]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
    } else {
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(())
}
